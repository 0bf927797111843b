"""CMU: the Graphics Lab Motion Capture Database as BVH files, one folder a subject, without music.

Layout, as the conversions of the database to BVH have it; a subject is written with or without leading zeros:

```
05/05_02.bvh                    subject 5, trial 2; or subjects/05/05_02.bvh
```

The conversions run at 120, 60 or other rates and begin with no, one or several frames of a rest pose: the rate of each
file is kept, and `rest_frames` says how many frames are left out at the start. Subject 5 dances modern dance, 60 and
61 dance salsa with each other; clips of others are `not labeled` unless the table of `genres` names them: the columns
`clip` (a trial, `05_02`, or a subject, `05`) and `genre`. Two subjects that were recorded together share their songs,
so that no split parts them.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Collection, Iterator
from pathlib import Path

from ...motion.files import read_motion
from ...motion.motion import Motion
from ..genres import NOT_LABELED
from .base import MotionSource, SourceRecord

GENRES = {"05": "modern", "05_01": NOT_LABELED, "60": "salsa", "61": "salsa"}
"""Genres by subject or trial; the first trial of subject 5 is a walk."""
PARTNERS = {"19": "18", "21": "20", "23": "22", "34": "33", "61": "60"}
"""Subjects who were recorded together with another, whose trials have the same numbers."""
_NAME = re.compile(r"(?P<subject>\d+)_(?P<trial>\d+)")


class CmuSource(MotionSource):
    """The CMU database as BVH; see the module for its layout.

    Args:
        folder: The folder that holds one folder a subject, or the folder `subjects`.
        trust_pickle: Not needed.
        subjects: Numbers of the subjects to list, or one text with a plus sign between them; `None` for all.
        genres: Table of genres that are added to those known here, or take their place.
        rest_frames: Frames that are left out at the start of each file.
    """

    name = "cmu"
    license = (
        "CMU mocap: free for use in research projects; may be included in commercially-sold products, but not be "
        "resold directly, even in converted form"
    )
    homepage_citation = (
        "The data used in this project was obtained from mocap.cs.cmu.edu. The database was created with funding from "
        "NSF EIA-0196217."
    )

    def __init__(
        self,
        folder: str | os.PathLike,
        *,
        trust_pickle: bool = False,
        subjects: Collection[str] | str | None = None,
        genres: str | os.PathLike | None = None,
        rest_frames: int | str = 0,
    ) -> None:
        super().__init__(folder, trust_pickle=trust_pickle)
        names = subjects.split("+") if isinstance(subjects, str) else subjects
        self.subjects = None if names is None else {_padded(name) for name in names}
        self.genres = GENRES | ({} if genres is None else _read_genres(Path(genres)))
        try:
            self.rest_frames = int(rest_frames)
        except ValueError:
            self.rest_frames = -1
        if self.rest_frames < 0:
            raise ValueError(f"`rest_frames` must be a number of frames, at least 0, got {rest_frames!r}.")

    def records(self) -> Iterator[SourceRecord]:
        """List the clips by subject and trial."""
        paths = [path for pattern in ("*/*.bvh", "subjects/*/*.bvh") for path in self.folder.glob(pattern)]
        if not paths:
            raise self.missing_layout("files such as 05/05_02.bvh or subjects/05/05_02.bvh")
        found = {_padded(path.parent.name) for path in paths}
        absent = sorted((self.subjects or set()) - found)
        if absent:
            raise self.missing_layout(f"a folder of subject {', '.join(absent)}")
        for path in sorted(paths, key=lambda path: (_padded(path.parent.name).zfill(4), path.name)):
            if self.subjects is None or _padded(path.parent.name) in self.subjects:
                yield self._record(path)

    def _record(self, path: Path) -> SourceRecord:
        name = _NAME.fullmatch(path.stem)
        if name is None or _padded(name["subject"]) != _padded(path.parent.name):
            folder = path.parent.name
            return self.make_record(
                path,
                clip_id=f"{folder}/{path.stem}",
                problem=f"its name must be {_padded(folder)}_01.bvh or alike, got {path.name!r}",
            )
        subject, trial = _padded(name["subject"]), _padded(name["trial"])
        clip_id = f"{subject}_{trial}"
        return self.make_record(
            path,
            clip_id=clip_id,
            song_id=f"{PARTNERS.get(subject, subject)}_{trial}",
            performer_id=subject,
            genre=self.genres.get(clip_id, self.genres.get(subject, NOT_LABELED)),
        )

    def read(self, record: SourceRecord) -> Motion:
        """Read the BVH file; what is of the rest pose is left out."""
        motion = read_motion(record.motion_path)
        if self.rest_frames >= motion.num_frames:
            raise ValueError(f"nothing remains of its {motion.num_frames} frames without {self.rest_frames} of rest")
        return motion.cut(self.rest_frames, motion.num_frames) if self.rest_frames else motion


def _padded(number: str) -> str:
    """Return a number as the database writes it, `05`, however many zeros it has; another text as it is."""
    return f"{int(number):02d}" if number.isdecimal() else number


def _read_genres(path: Path) -> dict[str, str]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    if not rows or not {"clip", "genre"} <= set(rows[0]):
        raise ValueError(f"{path} must have rows with the columns clip and genre.")
    return {"_".join(_padded(part) for part in row["clip"].split("_")): row["genre"] for row in rows}
