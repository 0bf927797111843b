"""Draw one dance of each genre of the models that ship, to songs that nobody danced to in training.

```bash
python -m benchmarks.gallery ../shared/data/music docs/gallery.md
```
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import cv2

from infinitedance.assets import MODELS
from infinitedance.audio.loading import load_audio
from infinitedance.motion.drawing.rendering import render_contact_sheet
from infinitedance.motion.motion import Motion
from infinitedance.pipeline import MusicToDancePipeline

SONGS = {
    "waltz": "librosa_nutcracker",
    "tango": "gunroar_3",
    "rumba": "librosa_brahms",
    "cha-cha": "zaz_3",
    "salsa": "librosa_pistachio_ragtime",
    "hip-hop": "librosa_choice_drumbass",
    "locking": "mu_cade_1",
    "popping": "torus_trooper_1",
    "krumping": "rrootage_c",
    "pop": "zaz_1",
    "contemporary": "librosa_fishin",
}
SECONDS = 24.0
STILLS, TILE_SIZE = 8, (180, 240)
INTRODUCTION = """# Gallery

Written by `python -m benchmarks.gallery`; not edited by hand. One dance of each genre of each model that ships, seed
0, nothing chosen among several: {stills} stills at equal distances over the first {seconds:.0f} seconds of a free song
that no model has heard in training. [dances.md](dances.md) and [dances_open.md](dances_open.md) measure more of them.
"""


def draw(motion: Motion, path: Path) -> None:
    """Write a small JPEG of stills in a row."""
    with tempfile.TemporaryDirectory() as folder:
        sheet = Path(folder) / "sheet.png"
        render_contact_sheet(motion, sheet, rows=1, columns=STILLS, tile_size=TILE_SIZE)
        picture = cv2.imread(str(sheet))
        assert picture is not None  # just written
        cv2.imwrite(str(path), picture, [cv2.IMWRITE_JPEG_QUALITY, 82])


def main() -> None:
    """Dance, draw and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("songs", type=Path, help="folder of the free songs")
    parser.add_argument("page", type=Path, help="Markdown file; the pictures go to a folder of its name beside it")
    arguments = parser.parse_args()
    pictures = arguments.page.with_suffix("")
    pictures.mkdir(exist_ok=True)
    page = [INTRODUCTION.format(stills=STILLS, seconds=SECONDS)]
    for name in MODELS:
        pipeline = MusicToDancePipeline.from_pretrained(name)
        page.append(f"## {pipeline.name}\n")
        for genre in pipeline.genres:
            song = arguments.songs / f"{SONGS[genre]}.ogg"
            waveform = load_audio(song, pipeline.processor.feature_extractor.sampling_rate)
            seconds = waveform[: round(SECONDS * pipeline.processor.feature_extractor.sampling_rate)]
            dance = pipeline(seconds, genre=genre, seed=0)
            picture = pictures / f"{name}_{genre}.jpg"
            draw(dance.motion, picture)
            page.append(f"**{genre}**, to `{SONGS[genre]}`\n")
            page.append(f"![{genre}: {STILLS} stills]({pictures.name}/{picture.name})\n")
    arguments.page.write_text("\n".join(page), encoding="utf-8")


if __name__ == "__main__":
    main()
