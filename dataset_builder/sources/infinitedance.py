"""The InfiniteDance release: dances reconstructed from videos, as SMPL-X poses or as 264-d features.

Layout, inside `InfiniteDanceData`:

```
dance/infinitedance_smplx_smooth/<clip>.pkl                       joblib: body_pose, global_orient, transl; 30 Hz
dance/alldata_new_joint_vecs264_ft_balanced/<clip>.npy            (frames, 264), not normalized; 30 Hz
styles/all_style_map.json                                         clip to style
```

`motion="smplx"` has the true rotations and needs `trust_pickle`; `motion="features264"` holds positions, to which the
body is fitted. The second folder also has copies of AIST++, FineDance and Motorica: they are listed with that reason,
and are read from their own source. The release has features of its music but no sound: a clip has a song if a sound
file of its name lies below `music/`, else it is a dance without music.

Not certain are the styles: taken are texts such as `Popular-Jazz1`, or the index of one of the six coarse styles; a
clip that the map lacks is read from its own name. Names say neither song nor dancer: each clip counts as a song of its
own.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...audio.loading import AUDIO_SUFFIXES
from ...motion.files import read_motion
from ...motion.motion import Motion
from ..genres import is_known_genre
from .base import MotionSource, SourceRecord, npy_duration_seconds

STYLES = ("ballet", "popular", "latin", "modern", "folk", "classic")
"""Coarse styles in the order of the release's indices."""
MOTIONS = {
    "smplx": ("dance/infinitedance_smplx_smooth", ".pkl"),
    "features264": ("dance/alldata_new_joint_vecs264_ft_balanced", ".npy"),
}
_STYLE = re.compile(rf"({'|'.join(STYLES)})(?:[-_ ]?([a-z][a-z _-]*?))?[-_ ]*\d*", re.IGNORECASE)
_COPIES = {
    "AIST++": re.compile(r"g[A-Z]{2}_s[A-Z]{2}_"),
    "FineDance": re.compile(r"\d+$"),
    "Motorica": re.compile("kth"),
}


class InfiniteDanceSource(MotionSource):
    """The InfiniteDance release; see the module for its layout.

    Args:
        folder: `InfiniteDanceData`.
        trust_pickle: Read the joblib pickles of `motion="smplx"`.
        motion: `"smplx"` or `"features264"`; `None` for the first where pickles are trusted, else the second.
    """

    name = "infinitedance"
    license = "InfiniteDance terms: no commercial use; dances and songs are of third parties"
    homepage_citation = (
        "InfiniteDance: Scalable 3D Dance Generation Towards in-the-wild Generalization, ECCV 2026, arXiv 2603.13375. "
        "github.com/MotrixLab/InfiniteDance"
    )

    def __init__(self, folder: str | os.PathLike, *, trust_pickle: bool = False, motion: str | None = None) -> None:
        motion = motion or ("smplx" if trust_pickle else "features264")
        if motion not in MOTIONS:
            raise ValueError(f"`motion` must be one of {', '.join(MOTIONS)}, got {motion!r}.")
        self.motion = motion
        self.needs_pickle = motion == "smplx"
        super().__init__(folder, trust_pickle=trust_pickle)

    def records(self) -> Iterator[SourceRecord]:
        """List the clips by name."""
        folder, suffix = MOTIONS[self.motion]
        motions = self.subfolder(folder)
        styles = self._styles()
        music = self.folder / "music"
        sounds = sorted(path for path in music.rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES)
        songs = {path.stem: path for path in sounds}
        for path in sorted(motions.glob(f"*{suffix}")):
            yield self._record(path, styles, songs.get(path.stem))

    def _record(self, path: Path, styles: dict[str, Any], audio: Path | None) -> SourceRecord:
        origin = next((name for name, pattern in _COPIES.items() if pattern.match(path.stem)), None)
        genre, problem = "", ""
        if origin is not None:
            problem = f"the release's copy of a clip of {origin}: read it from its own source"
        else:
            genre, problem = _genre(styles.get(path.stem, path.stem))
        return self.make_record(
            path,
            genre=genre,
            audio_path=audio,
            duration_seconds=npy_duration_seconds(path) if path.suffix == ".npy" else None,
            problem=problem,
        )

    def _styles(self) -> dict[str, Any]:
        path = self.folder / "styles" / "all_style_map.json"
        if not path.is_file():
            return {}
        styles = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(styles, dict):
            raise ValueError(f"{path} must be an object from clip to style, got {type(styles).__name__}.")
        return styles

    def read(self, record: SourceRecord) -> Motion:
        """Read the SMPL-X motion, or fit the body to the joints of the features."""
        return read_motion(record.motion_path, trust_pickle=self.trust_pickle)


def _genre(style: Any) -> tuple[str, str]:
    """Return the fine genre of `Popular-Jazz1`, `Ballet5` or an index, and what is wrong with the style."""
    if type(style) is int and 0 <= style < len(STYLES):
        return STYLES[style], ""
    match = _STYLE.fullmatch(style) if isinstance(style, str) else None
    fine = (match[2] or match[1]).strip().lower() if match else ""
    if match and fine == "mix":
        fine = f"{match[1].lower()} mix"
    if not is_known_genre(fine):
        return "", f"unknown style {style!r}: must be alike Popular-Jazz1 or an index below {len(STYLES)}"
    return fine, ""
