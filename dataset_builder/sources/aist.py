"""AIST++: ten street dances, SMPL fitted to the videos of the AIST Dance Database.

Layout (the public annotations, and a folder of the songs beside them):

```
motions/gBR_sBM_cAll_d04_mBR0_ch01.pkl     smpl_poses, smpl_trans, smpl_scaling; 60 Hz
ignore_list.txt                            clips whose fit failed; they are listed with that reason
music/mBR0.wav                             or wav/, wavs/, all_musics/; a file named as the clip serves too
```

A name says genre, situation, camera, dancer, music and choreography. The tempo follows from the number of the song: 80
to 130 bpm in steps of ten, house 110 to 135 in steps of five (from the paper of the AIST database, not from a file).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from ...motion.files import read_motion
from ...motion.motion import Motion
from .base import MotionSource, SourceRecord, find_audio

GENRES = {
    "BR": "breaking",
    "PO": "popping",
    "LO": "locking",
    "MH": "middle hip-hop",
    "LH": "LA-style hip-hop",
    "HO": "house",
    "WA": "waacking",
    "KR": "krumping",
    "JS": "street jazz",
    "JB": "ballet jazz",
}
_NAME = re.compile(r"g(?P<genre>[A-Z]{2})_s[A-Z]{2}_c\w+_d(?P<dancer>\d+)_m(?P<song>[A-Z]{2}(?P<number>\d))_ch\d+")
_MUSIC_FOLDERS = ("music", "wav", "wavs", "all_musics")


class AistSource(MotionSource):
    """AIST++; see the module for its layout."""

    name = "aist++"
    license = "annotations CC BY 4.0; videos and songs: terms of the AIST Dance Video Database, research only"
    homepage_citation = (
        "Li et al., AI Choreographer: Music Conditioned 3D Dance Generation with AIST++, ICCV 2021; Tsuchida et al., "
        "AIST Dance Video Database, ISMIR 2019. google.github.io/aistplusplus_dataset, aistdancedb.ongaaccel.jp"
    )
    needs_pickle = True

    def records(self) -> Iterator[SourceRecord]:
        """List the clips by name."""
        motions = self.subfolder("motions")
        ignore_list = self.folder / "ignore_list.txt"
        ignored = set(ignore_list.read_text().split()) if ignore_list.is_file() else set()
        for path in sorted(motions.glob("*.pkl")):
            yield self._record(path, path.stem in ignored)

    def _record(self, path: Path, ignored: bool) -> SourceRecord:
        name = _NAME.fullmatch(path.stem)
        if name is None or name["genre"] not in GENRES:
            what = "its name must be gBR_sBM_cAll_d04_mBR0_ch01 or alike" if name is None else "unknown genre code"
            return self.make_record(path, problem=f"{what}, got {path.name!r}")
        song = f"m{name['song']}"
        audio = find_audio((self.folder / folder for folder in _MUSIC_FOLDERS), path.stem, song)
        problem = ""
        if ignored:
            problem = "the set's ignore_list.txt names it: its fit failed"
        elif audio is None:
            problem = f"no song {song} in {', '.join(_MUSIC_FOLDERS)} of {self.folder}"
        return self.make_record(
            path,
            song_id=song,
            performer_id=f"d{name['dancer']}",
            genre=GENRES[name["genre"]],
            audio_path=audio,
            bpm=float(_bpm(name["song"][:2], int(name["number"]))),
            problem=problem,
        )

    def read(self, record: SourceRecord) -> Motion:
        """Read the SMPL motion; the translation's scale is divided out."""
        return read_motion(record.motion_path, trust_pickle=self.trust_pickle)


def _bpm(genre: str, number: int) -> int:
    return 110 + 5 * number if genre == "HO" else 80 + 10 * number
