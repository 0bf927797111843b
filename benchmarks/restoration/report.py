"""Measure foot restoration, its baselines and its parts, and write the numbers down.

```bash
python -m benchmarks.restoration --model_dir assets/frdm-tiny --generator_dir assets/choreollama-research \
    --data_dir built --held_out_dir built-songs --output docs/frdm.md
```
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from infinitedance.audio.loading import load_audio
from infinitedance.audio.spectra import SAMPLING_RATE
from infinitedance.dataset_builder.built import BuiltDataset
from infinitedance.dataset_builder.splits import TEST
from infinitedance.evaluation.measures import Song
from infinitedance.evaluation.metrics.pulse import pulse_lock, speed_curve
from infinitedance.evaluation.report.tables import Cell, Table, mean_with_interval
from infinitedance.motion.feet.planting import plant_feet
from infinitedance.motion.motion import FRAME_RATE, Motion
from infinitedance.motion.physics.imitation import imitate
from infinitedance.pipeline import MusicToDancePipeline
from infinitedance.restoration.pipeline_frdm import FrdmPipeline
from infinitedance.restoration.restore import with_lower_body
from infinitedance.training.arguments import LoopArguments, parse_arguments
from infinitedance.training.data_frdm import select_clips
from infinitedance.training.train_frdm import FrdmArguments

from ..metrics.baselines import own_song, read_dance, with_clock
from ..writer import Section, add_sections_option, chosen_sections, shown_options, write_report
from .ablation import guidance_table, loss_table, paper_table, steps_table
from .baselines import lock_feet, smooth_savgol
from .floor import floor_tables
from .measures import OWN_MEASURES, TRUTH_MEASURES, Case, Method, measure_method, restorer, synthetic_cases
from .speed import speed_tables

INTRODUCTION = """# Foot restoration, measured

Written by `python -m benchmarks.restoration`; not edited by hand. [restoring.md](restoring.md) shows how
to restore files.

Synthetic faults (`dataset_builder/augmentation/faults.py`) are added to clean captures of people who were never
trained on: CMU's subject 5, ballet, for choosing settings, and Motorica's dancer d01, street dance, for the test.
Training used Motorica's d02 and Bandai Namco. The faults of training, validation and test come from one generator
with different seeds; section 3 measures real faults. Section 6 asks whether dances come back on their true floor; its
clips are of eight kinds, and nothing was chosen on them. A range in parentheses is a 95 % bootstrap interval over
pieces of 10 s; pieces of one clip are not independent, so it is too narrow.
"""
PATHS = ("model_dir", "data_dir", "output")
REAL, REAL_PATHS = "real", ("generator_dir", "held_out_dir")
"""A section, and what is needed for it alone."""
PHONE_SOURCE = "AnimatedDrawings/Rokoko"
GENERATED_SECONDS, NUM_SEEDS = 30.0, 2
OBSERVED, DECODED, TRUTH = "as it came, put on the floor", "decoded, smoothed", "truth"


class FrdmReport:
    """Model, data and cases that are measured.

    Args:
        model_dir: Foot restoration model.
        data_dir: Built data set.
        recipe: Of the training: who danced in which split.
        generator_dir: Generator of dances, for the section of real faults.
        held_out_dir: Built data set whose test split holds songs with a dance, for the same.
    """

    def __init__(
        self,
        model_dir: Path,
        data_dir: Path,
        recipe: FrdmArguments,
        generator_dir: Path | None = None,
        held_out_dir: Path | None = None,
    ):
        self.model_dir, self.generator_dir, self.held_out_dir = model_dir, generator_dir, held_out_dir
        self.pipeline = FrdmPipeline.from_pretrained(model_dir)
        self.data = BuiltDataset(data_dir)
        self.recipe = recipe
        self.splits = select_clips(self.data, recipe.sources, recipe.validation_clips, recipe.test_clips)

    @cached_property
    def validation_cases(self) -> list[Case]:
        """Clips of the validation split with synthetic faults."""
        return synthetic_cases(self.data, self.splits["validation"])

    def methods(self) -> dict[str, Method]:
        """Return all that is compared, by name."""
        default = restorer(self.pipeline)
        return {
            OBSERVED: lambda motion: motion,
            "Savitzky-Golay": smooth_savgol,
            "Savitzky-Golay, foot lock": lambda motion: lock_feet(smooth_savgol(motion)),
            "Savitzky-Golay, `plant_feet`": lambda motion: plant_feet(smooth_savgol(motion)),
            "physics": imitated,
            "`paper`": restorer(self.pipeline, sampler="paper"),
            "`paper_corrected`": restorer(self.pipeline, sampler="paper_corrected"),
            "`default`": default,
            "physics, `default`": lambda motion: default(imitated(motion)),
        }


def imitated(motion: Motion) -> Motion:
    """Return the root and legs of a physics imitation, also where `infinitedance restore` would reject it."""
    return with_lower_body(motion, imitate(motion).motion)


def compare(methods: Mapping[str, Method], cases: Sequence[Case], title: str, note: str) -> Table:
    """Measure several methods on the same dances."""
    columns = OWN_MEASURES if cases[0].truth is None else TRUTH_MEASURES
    rows: list[list[Cell]] = []
    for name, method in tqdm(methods.items(), desc=title, unit="method", leave=False):
        values, speed = measure_method(method, cases)
        known = [values[key][np.isfinite(values[key])] for key in columns]  # a piece may have no contact
        cells = [mean_with_interval(some) if len(some) else None for some in known]
        rows.append([name, *cells, None if name in (OBSERVED, DECODED, TRUTH) else speed])
    return Table(title, ["method", *columns.values(), "x real time"], rows, note)


def synthetic_section(report: FrdmReport, split: str) -> list[Table]:
    """Compare all methods on clean dances with synthetic faults."""
    cases = report.validation_cases if split == "validation" else synthetic_cases(report.data, report.splits[split])
    seconds = sum(case.observed.duration_seconds for case in cases)
    truths = {id(case.observed): case.truth for case in cases if case.truth is not None}
    methods = report.methods() | {TRUTH: lambda motion: truths[id(motion)]}
    note = (
        f"{len(cases)} clips, {seconds:.0f} s. MPJPE: in the world, unaligned. Slide, toes, float: where the feet of "
        "the truth touch the floor (low and slower than 0.35 m/s: they do move). Penetration, float: against the rest "
        "heights of the skeleton. The paper's samplers never see the observed legs and root: their path is the sum of "
        "the model's velocities, over whole clips here. Timings on one thread of a busy machine: read them as ratios."
    )
    return [compare(methods, cases, "Synthetic faults", note)]


def real_section(report: FrdmReport) -> list[Table]:
    """Compare methods on captures with faults of their own, and on generated dances."""
    methods = {name: method for name, method in report.methods().items() if "paper" not in name}
    assert report.generator_dir is not None and report.held_out_dir is not None  # checked with the arguments
    held_out = BuiltDataset(report.held_out_dir)
    captured = [read_dance(held_out, clip) for clip in held_out.split(TEST, mirrored=False)]
    phone = [read_dance(report.data, c) for c in report.data.clips if c.source == PHONE_SOURCE and not c.is_mirrored]
    note = (
        "No truth is known. A low foot is within 5 cm of its rest height, whatever its speed: a dancer may want to "
        "glide. FSR: the foot-skating ratio of LODGE and of the paper, corrected. GMD: over 0.5 m/s."
    )
    tables = [
        compare(methods, list(map(Case, captured)), "Dances to held-out songs, as captured", note),
        compare(methods, list(map(Case, phone)), "A dance captured by a phone (Rokoko Video)", note),
    ]
    generator = MusicToDancePipeline.from_pretrained(report.generator_dir)
    return [*tables, *generated_tables(report.pipeline, generator, held_out, note)]


def generated_tables(
    pipeline: FrdmPipeline, generator: MusicToDancePipeline, held_out: BuiltDataset, note: str
) -> list[Table]:
    """Compare ways to finish generated dances."""
    loose: list[Motion] = []
    songs: list[Song] = []
    for clip in with_clock(held_out, held_out.split(TEST, mirrored=False)):
        if clip.audio_file is None or clip.genre not in generator.genres:
            continue
        waveform = load_audio(held_out.folder / clip.audio_file, SAMPLING_RATE)
        waveform = waveform[: round(min(GENERATED_SECONDS, clip.num_frames / FRAME_RATE) * SAMPLING_RATE)]
        for dance in generator.dances(waveform, genre=clip.genre, seeds=range(NUM_SEEDS)):
            num_frames = dance.motion.num_frames
            loose.append(generator.decode(dance.motion_codes, num_frames, plants_feet=False))
            songs.append(own_song(held_out, clip, num_frames))
    default = restorer(pipeline)
    methods = {
        DECODED: lambda motion: motion,
        "`plant_feet`": plant_feet,
        "`default`": default,
        "`plant_feet`, `default`": lambda motion: default(plant_feet(motion)),
        "Savitzky-Golay, foot lock": lambda motion: lock_feet(smooth_savgol(motion)),
    }
    table = compare(methods, [Case(dance) for dance in loose], "Generated dances to held-out songs", note)
    rows: list[list[Cell]] = []
    for name, method in methods.items():
        locks = [_lock(method(dance), song) for dance, song in zip(loose, songs, strict=True)]
        rows.append([name, mean_with_interval(locks)])
    return [
        table,
        Table("Pulse lock of these dances", ["method", "lock"], rows, "A repair must not take the beat away."),
    ]


def _lock(motion: Motion, song: Song) -> float:
    speed = speed_curve(motion.joint_positions().astype(np.float64), FRAME_RATE)
    return pulse_lock(speed, song.clock.phase(np.arange(len(speed)) / FRAME_RATE), song.cycles_per_beat)


SECTIONS: Mapping[str, tuple[str, Callable[[FrdmReport], list[Table]]]] = {
    "test": ("1. Synthetic faults: a dancer never seen", lambda report: synthetic_section(report, "test")),
    "validation": (
        "2. Synthetic faults: the dancer that settings were chosen on",
        lambda r: synthetic_section(r, "validation"),
    ),
    REAL: ("3. Real faults", real_section),
    "sampling": (
        "4. Parts of the sampler (validation)",
        lambda report: [
            table(report.pipeline, report.validation_cases) for table in (guidance_table, steps_table, paper_table)
        ],
    ),
    "losses": (
        "5. Losses (validation)",
        lambda report: [
            loss_table(report.data, report.splits["train"], report.validation_cases, report.pipeline.settings)
        ],
    ),
    "floor": ("6. The floor", lambda report: floor_tables(report.data, report.pipeline)),
    "speed": ("7. Time and memory", lambda report: speed_tables(report.model_dir)),
}


def main(command_line: Sequence[str] | None = None) -> None:
    """Measure the chosen sections and write the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in PATHS:
        parser.add_argument(f"--{name}", type=Path, required=True)
    for name in REAL_PATHS:
        parser.add_argument(f"--{name}", type=Path, help=f"needed for the section {REAL}")
    parser.add_argument(
        "--config", type=Path, default=Path("training/configs/frdm_tiny_cpu.yaml"), help="recipe of the training"
    )
    add_sections_option(parser, SECTIONS)
    arguments = parser.parse_args(command_line)
    chosen = chosen_sections(parser, arguments, SECTIONS)
    if REAL in chosen and None in (arguments.generator_dir, arguments.held_out_dir):
        parser.error(f"the section {REAL} needs --generator_dir and --held_out_dir")
    options = ["--config", arguments.config, "--data_dir", arguments.data_dir, "--output_dir", arguments.model_dir]
    recipe = parse_arguments((LoopArguments, FrdmArguments), list(map(str, options)))[1]
    report = FrdmReport(
        arguments.model_dir, arguments.data_dir, recipe, arguments.generator_dir, arguments.held_out_dir
    )
    sections = {}
    for name, (title, measure) in SECTIONS.items():
        paths = [*PATHS, *(REAL_PATHS if name == REAL and REAL in chosen else ())]
        command = f"python -m benchmarks.restoration {shown_options(arguments, paths)} --sections {name}"
        sections[name] = Section(title, command, arguments.model_dir, partial(measure, report))
    write_report(arguments.output, INTRODUCTION, sections, chosen)


if __name__ == "__main__":
    main()
