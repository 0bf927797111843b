"""Measure foot restoration, its baselines and its parts, and write the numbers down.

```bash
python -m benchmarks.restoration --model_dir assets/frdm-tiny --generator_dir assets/choreollama-tiny \
    --data_dir built --output docs/frdm.md
```
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from infinitedance.dataset_builder.built import BuiltDataset
from infinitedance.evaluation.report.tables import Cell, Table, mean_with_interval
from infinitedance.motion.features import features_to_motion
from infinitedance.motion.feet.planting import plant_feet
from infinitedance.motion.motion import Motion
from infinitedance.motion.physics.imitation import imitate
from infinitedance.motion.retargeting.retargeting import put_on_floor
from infinitedance.restoration.pipeline_frdm import FrdmPipeline
from infinitedance.restoration.restore import with_lower_body
from infinitedance.training.arguments import LoopArguments, parse_arguments
from infinitedance.training.data_frdm import select_clips
from infinitedance.training.train_frdm import FrdmArguments

from ..held_out import CodedDance, ReportData
from ..writer import Section, add_sections_option, chosen_sections, shown_options, write_report
from .ablation import guidance_table, loss_table, paper_table, steps_table
from .baselines import lock_feet, smooth_savgol
from .measures import OWN_MEASURES, TRUTH_MEASURES, Case, Method, measure_method, restorer, synthetic_cases
from .speed import speed_tables

INTRODUCTION = """# Foot restoration, measured

Written by `python -m benchmarks.restoration`; not edited by hand. [restoring.md](restoring.md) shows how
to restore files.

Synthetic faults (`dataset_builder/augmentation/faults.py`) are added to clean captures of people who were never
trained on: CMU's subject 5, ballet, for choosing settings, and Motorica's dancer d01, street dance, for the test.
Training used Motorica's d02 and Bandai Namco. The faults of training, validation and test come from one generator
with different seeds; section 3 measures real faults. A range in parentheses is a 95 % bootstrap interval over pieces
of 10 s; pieces of one clip are not independent, so it is too narrow.
"""
PATHS = ("model_dir", "generator_dir", "data_dir", "output")
PHONE_CLIP = "jesse_dance"
OBSERVED, DECODED, TRUTH = "as it came, put on the floor", "decoded, smoothed", "truth"


class FrdmReport:
    """Model, data and cases that are measured.

    Args:
        model_dir: Foot restoration model.
        generator_dir: Generator of dances.
        data_dir: Built data set.
        recipe: Of the training: who danced in which split.
    """

    def __init__(self, model_dir: Path, generator_dir: Path, data_dir: Path, recipe: FrdmArguments):
        self.model_dir, self.generator_dir = model_dir, generator_dir
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
    melody = [
        put_on_floor(features_to_motion(torch.from_numpy(np.array(report.data.motion_features(clip)))))
        for clip in report.data.split("test", mirrored=False)
        if clip.source == "DanceWithMelody"
    ]
    phone = put_on_floor(
        features_to_motion(
            torch.from_numpy(
                np.array(report.data.motion_features(next(c for c in report.data.clips if c.clip_id == PHONE_CLIP)))
            )
        )
    )
    note = (
        "No truth is known. A low foot is within 5 cm of its rest height, whatever its speed: a dancer may want to "
        "glide. FSR: the foot-skating ratio of LODGE and of the paper, corrected. GMD: over 0.5 m/s."
    )
    tables = [
        compare(methods, [Case(dance) for dance in melody], "Dance with Melody, held-out songs", note),
        compare(methods, [Case(phone)], "A dance captured by a phone (Rokoko Video)", note),
    ]
    return [*tables, *generated_tables(report, note)]


def generated_tables(report: FrdmReport, note: str) -> list[Table]:
    """Compare ways to finish generated dances."""
    data = ReportData(report.generator_dir, report.data.folder, num_seeds=2, max_seconds=30.0)
    dances = data.generate(data.requests())
    loose = [
        data.pipeline.decode(torch.from_numpy(dance.codes), dance.motion.num_frames, plants_feet=False)
        for dance in dances
    ]
    default = restorer(report.pipeline)
    methods = {
        DECODED: lambda motion: motion,
        "`plant_feet`": plant_feet,
        "`default`": default,
        "`plant_feet`, `default`": lambda motion: default(plant_feet(motion)),
        "Savitzky-Golay, foot lock": lambda motion: lock_feet(smooth_savgol(motion)),
    }
    table = compare(methods, [Case(dance) for dance in loose], "Generated dances to held-out songs", note)
    songs = [song for song in data.songs for _ in data.seeds]
    rows: list[list[Cell]] = []
    for name, method in methods.items():
        locks = [
            CodedDance(method(dance), measured.codes).lock(song.bpm, song.clip.genre)
            for dance, measured, song in zip(loose, dances, songs, strict=True)
        ]
        rows.append([name, mean_with_interval(locks)])
    return [
        table,
        Table("Pulse lock of these dances", ["method", "lock"], rows, "A repair must not take the beat away."),
    ]


SECTIONS: Mapping[str, tuple[str, Callable[[FrdmReport], list[Table]]]] = {
    "test": ("1. Synthetic faults: a dancer never seen", lambda report: synthetic_section(report, "test")),
    "validation": (
        "2. Synthetic faults: the dancer that settings were chosen on",
        lambda r: synthetic_section(r, "validation"),
    ),
    "real": ("3. Real faults", real_section),
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
    "speed": ("6. Time and memory", lambda report: speed_tables(report.model_dir)),
}


def main(command_line: Sequence[str] | None = None) -> None:
    """Measure the chosen sections and write the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in PATHS:
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument(
        "--config", type=Path, default=Path("training/configs/frdm_tiny_cpu.yaml"), help="recipe of the training"
    )
    add_sections_option(parser, SECTIONS)
    arguments = parser.parse_args(command_line)
    chosen = chosen_sections(parser, arguments, SECTIONS)
    options = ["--config", arguments.config, "--data_dir", arguments.data_dir, "--output_dir", arguments.model_dir]
    recipe = parse_arguments((LoopArguments, FrdmArguments), list(map(str, options)))[1]
    report = FrdmReport(
        arguments.model_dir,
        arguments.generator_dir,
        arguments.data_dir,
        recipe,
    )
    command = f"python -m benchmarks.restoration {shown_options(arguments, PATHS)} --sections "
    sections = {
        name: Section(title, command + name, arguments.model_dir, partial(measure, report))
        for name, (title, measure) in SECTIONS.items()
    }
    write_report(arguments.output, INTRODUCTION, sections, chosen)


if __name__ == "__main__":
    main()
