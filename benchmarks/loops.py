"""Measure the seams of loops, cut only and closed, and the sound of their songs.

```bash
python -m benchmarks.loops --songs_dir ../shared/data/music --work_dir outputs/loops
```
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from infinitedance.assets import DEMO_SONG, MODELS
from infinitedance.audio.loading import AUDIO_SUFFIXES
from infinitedance.audio.song_loop import loop_of_song
from infinitedance.evaluation.metrics.foot_slide import low_foot_slide
from infinitedance.evaluation.report.tables import Table
from infinitedance.motion.files import load_motion, save_motion
from infinitedance.motion.looping import Seam, loop_of_whole_bars
from infinitedance.motion.motion import Motion
from infinitedance.motion.skeleton import CONTACT_JOINTS
from infinitedance.pipeline import MusicToDancePipeline

from .writer import Section, add_sections_option, chosen_sections, shown_options, write_report

INTRODUCTION = """# Loops

<!-- not run: the dance of the tests has two bars; the block of exporting.md cuts one of them -->
```bash
infinitedance convert dance.npz loop.glb --loop --song song.mp3
infinitedance convert dance.npz chorus.glb --loop 8 --from-bar 17 --in-place --song song.mp3
```

`--loop` cuts the whole bars that close best, four to 32; `--loop 8` cuts eight. `--from-bar` says where, 1 for the
first whole bar; by default it is where the loop closes best. The last key repeats the first.

- **The seam.** Over half a bar, 0.8 s at most, the end of the loop is blended into what the dance does before the
  loop's start; where that is too short, the start out of what it does after the loop's end. A foot that stands in one
  place in both stays there; one that lands elsewhere makes a step.
- **The path.** A loop comes back to where it began. How far the dancer travels and turns in one pass is taken back
  evenly over all its bars, by each foot when it steps: feet that stand do not slide for it. `--in-place` removes the
  path.
- **The song.** With `--song` the cut is written beside the loop, `loop.song.wav` beside `loop.glb`: the samples of the
  song from the loop's first frame on, exactly as long as the loop. Its last 5 ms lead into the sound before its start.
  A loop lasts whole frames, so a bar of it is off the song's by half a frame at most; `--frame-rate 60` halves that.

The tables are of dances of the models that ship, to all songs of a folder, with the genre that suits each. A *jump* is
how far the joint that jumps most is, where the loop leads to at its last key, from where its first key has it, and how
much its velocities there differ. A *kink* is how much the velocity of a joint changes in one frame, between the slopes
of cubics through the four frames before and after; it is not 0 in a dance, so the largest around the seam is compared
with those of the dance. *Slide* is the speed over the floor of feet that are low, the lower the heavier; a dash where
none is.
"""
ASKED: dict[str, tuple[int | None, int | None]] = {
    "best": (None, None),
    "four bars": (4, None),
    "two bars from bar 3 on": (2, 3),
}
"""Bars of a loop, and that in which it starts."""
SEAM_FRAMES = 3
"""To either side, in which the kink of a seam is looked for."""


@dataclass(frozen=True, eq=False)
class Measured:
    """A loop and what was found.

    Args:
        name: Of the song.
        seam: As the package measures it.
        seam_kink: Largest kink around the seam, m/s.
        dance_kink: 95 % of the dance's kinks are less, m/s.
        slide: Of the dance, of the loop, and of the loop around its seam, m/s.
        sound_step: Step from the last sample of the cut to the first, over the largest of the 50 ms around them.
    """

    name: str
    seam: Seam
    seam_kink: float
    dance_kink: float
    slide: tuple[float, float, float]
    sound_step: float


def dances(pipeline: MusicToDancePipeline, songs: list[Path], work_dir: Path) -> Iterator[tuple[Path, Motion]]:
    """Make a dance to each song with seed 0; what is there already is read."""
    work_dir.mkdir(parents=True, exist_ok=True)
    for song in songs:
        path = work_dir / f"{song.stem}_any_0.npz"
        if not path.is_file():
            save_motion(pipeline(song).motion, path)
        yield song, load_motion(path)


def kinks(positions: np.ndarray, frame_rate: float) -> np.ndarray:
    """Return the change of velocity of the joint that changes most, m/s, for each frame but three at either end."""
    slope, num_frames = np.array([11, -18, 9, -2]) / 6 * frame_rate, len(positions) - 6
    before, after = (
        sum(weight * positions[3 + way * index :][:num_frames] for index, weight in enumerate(slope))
        for way in (-1, 1)
    )
    return np.linalg.norm(before + after, axis=-1).max(axis=1)


def measure_loop(song: Path, dance: Motion, num_bars: int | None, from_bar: int | None = None) -> Measured:
    """Cut a loop of a dance and of its song, and measure what is seen and heard where it starts again."""
    loop, seam = loop_of_whole_bars(dance, num_bars, from_bar)
    length = loop.num_frames - 1
    played = np.concatenate([loop.joint_positions().astype(np.float64)[:-1]] * 3)
    start = round(seam.start_seconds * dance.frame_rate)
    danced = dance.joint_positions().astype(np.float64)[start : start + length]
    around = slice(length - 3 - SEAM_FRAMES, length - 3 + SEAM_FRAMES + 1)
    blend = round(seam.blend_seconds * dance.frame_rate)
    seam_frames = played[length - blend : length + blend]
    rests = dance.skeleton.contact_rest_heights
    slides = [
        low_foot_slide(part[:, list(CONTACT_JOINTS)], dance.frame_rate, rests)
        for part in (danced, played, seam_frames)
    ]
    sound, rate = loop_of_song(song, seam.start_seconds, length / dance.frame_rate)
    near = round(0.025 * rate)
    steps = np.abs(np.diff(np.concatenate([sound[-near:], sound[:near]]), axis=0)).max(axis=1)
    largest = np.delete(steps, near - 1).max()
    return Measured(
        song.stem,
        seam,
        float(kinks(played, dance.frame_rate)[around].max()),
        float(np.quantile(kinks(danced, dance.frame_rate), 0.95)),
        (slides[0], slides[1], slides[2]),
        float(steps[near - 1] / max(largest, 1e-9)),
    )


def measure(model: str, songs_dir: Path, work_dir: Path) -> list[Table]:
    """Make the dances of a model and measure their loops."""
    songs = [*sorted(path for path in songs_dir.iterdir() if path.suffix.lower() in AUDIO_SUFFIXES), DEMO_SONG]
    made = list(dances(MusicToDancePipeline.from_pretrained(model), songs, work_dir / model))
    measured = {name: [measure_loop(*each, *asked) for each in made] for name, asked in ASKED.items()}
    return [_summary(measured), *(_details(name, found) for name, found in measured.items())]


def _summary(measured: dict[str, list[Measured]]) -> Table:
    rows: list[list] = []
    for asked, found in measured.items():
        columns = {
            "jump, cut only, mm": [1000 * each.seam.cut_position_jump_metres for each in found],
            "jump, mm": [1000 * each.seam.position_jump_metres for each in found],
            "jump of velocity, cut only, m/s": [each.seam.cut_velocity_jump for each in found],
            "jump of velocity, m/s": [each.seam.velocity_jump for each in found],
            "kink at the seam over that of the dance": [each.seam_kink / each.dance_kink for each in found],
            "slide of the loop over that of the dance": [each.slide[1] / each.slide[0] for each in found],
            "step of the sound over those around": [each.sound_step for each in found],
        }
        rows += [[asked, name, float(np.median(values)), float(np.max(values))] for name, values in columns.items()]
    note = "Wanted: jumps of at most 20 mm and 0.05 m/s; kinks, slides and steps like those of the dance and the song."
    return Table("In short", ["asked", "what", "median", "largest"], rows, note)


def _details(asked: str, found: list[Measured]) -> Table:
    columns = [
        "song",
        "from bar",
        "bars",
        "blend, s",
        "travel, m",
        "turn, degrees",
        "cut only: mm",
        "m/s",
        "closed: mm",
        "m/s ",
        "kink: seam",
        "dance, 95 %",
        "slide: dance",
        "loop",
        "seam",
    ]
    rows: list[list] = [
        [
            each.name,
            each.seam.first_bar,
            each.seam.num_bars,
            each.seam.blend_seconds,
            each.seam.travel_metres,
            each.seam.turn_degrees,
            1000 * each.seam.cut_position_jump_metres,
            each.seam.cut_velocity_jump,
            1000 * each.seam.position_jump_metres,
            each.seam.velocity_jump,
            each.seam_kink,
            each.dance_kink,
            *each.slide,
        ]
        for each in found
    ]
    return Table(f"Loops: {asked}", columns, rows, "Kinks and slides in m/s.")


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--songs_dir", type=Path, required=True, help="folder of songs")
    parser.add_argument("--work_dir", type=Path, required=True, help="dances are kept here")
    parser.add_argument("--output", type=Path, default=Path("docs/loops.md"), help="default: docs/loops.md")
    add_sections_option(parser, MODELS)
    arguments = parser.parse_args()
    options = shown_options(arguments, ("songs_dir", "work_dir", "output"))
    sections = {
        model: Section(
            f"Dances of choreollama-{model}",
            f"python -m benchmarks.loops {options} --sections {model}",
            MODELS[model],
            partial(measure, model, arguments.songs_dir, arguments.work_dir),
        )
        for model in MODELS
    }
    write_report(arguments.output, INTRODUCTION, sections, chosen_sections(parser, arguments, MODELS))


if __name__ == "__main__":
    main()
