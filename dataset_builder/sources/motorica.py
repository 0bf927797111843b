"""Motorica Dance: street, jazz and casual dances by marker-based capture, BVH with the song as wav.

Layout; names of motion and song are equal:

```
bvh/kthstreet_gKR_sFM_cAll_d01_mKR_ch01_chargedcableupyour_001.bvh
wav/kthstreet_gKR_sFM_cAll_d01_mKR_ch01_chargedcableupyour_001.wav
```

Both may also lie in one folder, as in the copy that the code of "Listen, Denoise, Action!" uses, whose pieces end in
`_00` and alike. Its mirrored copies are listed with that reason: the builder makes its own. Names say genre, dancer
and song.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from ...motion.files import read_motion
from ...motion.motion import Motion
from .base import MotionSource, SourceRecord, find_audio

GENRES = {
    "CA": "casual",
    "CH": "charleston",
    "HH": "hip-hop",
    "JZ": "vernacular jazz",
    "KR": "krumping",
    "LH": "hip-hop",
    "LO": "locking",
    "PO": "popping",
    "TP": "tap",
}
_NAME = re.compile(
    r"kth[a-z]+_g(?P<genre>[A-Z]{2})_s[A-Z]{2}_c[A-Za-z0-9]+_d(?P<dancer>\d+)_m[A-Z]{2}_ch\d+_(?P<song>.+?)_\d+(_\d+)?"
)
_MIRRORED = "_mirrored"


class MotoricaSource(MotionSource):
    """Motorica Dance; see the module for its layout."""

    name = "motorica"
    license = "Motorica Dance Dataset terms: research only, no commercial use, no redistribution"
    homepage_citation = (
        "Alexanderson et al., Listen, Denoise, Action! Audio-Driven Motion Synthesis with Diffusion Models, SIGGRAPH "
        "2023; Valle-Perez et al., Transflower, SIGGRAPH Asia 2021. "
        "github.com/simonalexanderson/MotoricaDanceDataset"
    )

    def records(self) -> Iterator[SourceRecord]:
        """List the dances by name."""
        folders = [folder for folder in (self.folder / "bvh", self.folder) if folder.is_dir()]
        paths = sorted(path for folder in folders for path in folder.glob("*.bvh"))
        if not paths:
            raise self.missing_layout("files *.bvh in bvh/ or in the folder itself")
        for path in paths:
            yield self._record(path)

    def _record(self, path: Path) -> SourceRecord:
        name = _NAME.fullmatch(path.stem.removesuffix(_MIRRORED))
        audio = find_audio([self.folder / "wav", path.parent], path.stem)
        problem = ""
        if path.stem.endswith(_MIRRORED):
            problem = "a mirrored copy of another clip"
        elif name is None:
            problem = f"its name must be kthstreet_gKR_sFM_cAll_d01_mKR_ch01_song_001 or alike, got {path.stem!r}"
        elif name["genre"] not in GENRES:
            problem = f"unknown genre code g{name['genre']}"
        elif audio is None:
            problem = f"no song {path.stem} in wav/ or beside the motion"
        return self.make_record(
            path,
            song_id=name["song"] if name else path.stem,
            performer_id=f"d{name['dancer']}" if name else "",
            genre=GENRES.get(name["genre"], "") if name else "",
            audio_path=audio,
            problem=problem,
        )

    def read(self, record: SourceRecord) -> Motion:
        """Read the BVH with its rotations."""
        return read_motion(record.motion_path)
