"""FineDance: dances of 22 genres by marker-based capture, with their songs.

Layout, as its public README describes it; one number names a dance:

```
motion/001.npy          (frames, 315): root position (m), 6D rotations of 52 SMPL-H joints; 30 Hz
music_wav/001.wav
label_json/001.json     an object whose style2, or style1, is the genre
```

That the keys of the labels are `style1` and `style2` is not certain: a label without them is an error of that clip
that lists its keys. The labels name no dancer, and every dance counts as a song of its own unless `name` says
otherwise.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...motion.files import read_motion
from ...motion.motion import Motion
from ..genres import is_known_genre
from .base import MotionSource, SourceRecord, find_audio, npy_duration_seconds

_GENRE_KEYS = ("style2", "style1")


class FineDanceSource(MotionSource):
    """FineDance; see the module for its layout."""

    name = "finedance"
    license = "FineDance terms: research only, no commercial use; songs belong to their owners"
    homepage_citation = (
        "Li et al., FineDance: A Fine-grained Choreography Dataset for 3D Full Body Dance Generation, ICCV 2023. "
        "github.com/li-ronghui/FineDance"
    )

    def records(self) -> Iterator[SourceRecord]:
        """List the dances by number."""
        motions, labels = self.subfolder("motion"), self.subfolder("label_json")
        music = self.subfolder("music_wav", "music")
        for path in sorted(motions.glob("*.npy")):
            label, problem = _read_label(labels / f"{path.stem}.json")
            genre = next((str(label[key]) for key in _GENRE_KEYS if label.get(key)), "")
            audio = find_audio([music], path.stem)
            if not problem and not genre:
                problem = f"its label must have style2 or style1, got the keys {', '.join(label) or 'none'}"
            if not problem and not is_known_genre(genre):
                problem = f"unknown genre {genre!r}"
            if not problem and audio is None:
                problem = f"no song {path.stem} in {music}"
            yield self.make_record(
                path,
                song_id=str(label.get("name") or path.stem),
                genre=genre,
                audio_path=audio,
                duration_seconds=npy_duration_seconds(path),
                problem=problem,
            )

    def read(self, record: SourceRecord) -> Motion:
        """Read position and rotations."""
        return read_motion(record.motion_path)


def _read_label(path: Path) -> tuple[dict[str, Any], str]:
    """Return the label of a dance and what is wrong with it."""
    if not path.is_file():
        return {}, f"no label {path}"
    try:
        label = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        return {}, f"{path} is not readable JSON: {error}"
    return (label, "") if isinstance(label, dict) else ({}, f"{path} must hold an object, got {type(label).__name__}")
