"""PopDanceSet (POPDG): popular dances of young dancers, SMPL estimated from videos.

The layout is not certain. Assumed is that of the code it is used with, once or in `train/` and `test/`:

```
motions/<name>.pkl      smpl_poses, smpl_trans, maybe smpl_scaling
wavs/<name>.wav
```

The file does not say its frame rate. `frame_rate` gives it; otherwise 60 Hz are taken where the file has
`smpl_scaling` and 30 where not, and a dance that is then not about as long as its song is an error of that clip. There
are no labels: all clips are `popular`. Names say no song: where several dances share one, splits by `song_id` cannot
keep it apart.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

from ...audio.loading import audio_duration_seconds
from ...motion.files import read_motion
from ...motion.motion import Motion
from .base import MotionSource, SourceRecord, find_audio

_MAX_LENGTH_RATIO = 1.15


class PopDanceSetSource(MotionSource):
    """PopDanceSet; see the module for its layout.

    Args:
        folder: The folder of the set.
        trust_pickle: Must be set: the motions are pickles.
        frame_rate: Hz of the motions, a number or its text; `None` to tell it from the file's arrays.

    Raises:
        ValueError: If `frame_rate` is no positive number.
    """

    name = "popdanceset"
    license = "PopDanceSet terms: research only, no commercial use; songs and videos belong to their owners"
    homepage_citation = (
        "Luo et al., POPDG: Popular 3D Dance Generation with PopDanceSet, CVPR 2024. github.com/Luke-Luo1/POPDG"
    )
    needs_pickle = True

    def __init__(
        self, folder: str | os.PathLike, *, trust_pickle: bool = False, frame_rate: float | str | None = None
    ) -> None:
        super().__init__(folder, trust_pickle=trust_pickle)
        try:
            self.frame_rate = None if frame_rate is None else float(frame_rate)
        except ValueError:
            self.frame_rate = math.nan
        if self.frame_rate is not None and not 0 < self.frame_rate < math.inf:
            raise ValueError(f"`frame_rate` must be a positive number of Hz, got {frame_rate!r}.")

    def records(self) -> Iterator[SourceRecord]:
        """List the dances by part and name."""
        parts = [part for part in ("", "train", "test") if (self.folder / part / "motions").is_dir()]
        if not parts:
            raise self.missing_layout("a folder motions, train/motions or test/motions")
        for part in parts:
            for path in sorted((self.folder / part / "motions").glob("*.pkl")):
                yield self._record(path, part)

    def _record(self, path: Path, part: str) -> SourceRecord:
        audio = find_audio([self.folder / part / "wavs", self.folder / part / "music"], path.stem)
        return self.make_record(
            path,
            clip_id=f"{part}_{path.stem}" if part else path.stem,
            song_id=path.stem,
            genre="popular",
            audio_path=audio,
            problem="" if audio else f"no song {path.stem} in wavs/ or music/",
        )

    def read(self, record: SourceRecord) -> Motion:
        """Read the SMPL motion, and hold its length against the song's."""
        motion = read_motion(record.motion_path, trust_pickle=self.trust_pickle, frame_rate=self.frame_rate)
        if record.audio_path is not None:
            song_seconds = audio_duration_seconds(record.audio_path)
            ratio = motion.duration_seconds / song_seconds
            if not 1 / _MAX_LENGTH_RATIO < ratio < _MAX_LENGTH_RATIO:
                raise ValueError(
                    f"the dance must be about as long as its song, got {motion.duration_seconds:.1f} s at "
                    f"{motion.frame_rate:g} Hz against {song_seconds:.1f} s. Pass `frame_rate` if it is another."
                )
        return motion
