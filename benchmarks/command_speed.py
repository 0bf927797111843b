"""Time the command `dance` beside that of the first edition, in turns, and where its time goes.

```bash
git worktree add ../first 1b42047
python -m benchmarks.command_speed --first ../first --song song.ogg
```
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from infinitedance.evaluation.report.tables import Table

from .writer import Section, add_sections_option, chosen_sections, shown_options, write_report

INTRODUCTION = """# Time of the command `dance`

The whole command, from the shell to the files, beside that of the first edition (commit 1b42047, with the packages of
today): a song of 61 s, all options at their defaults, with a video of 540 lines and without. All are run in turns on
one machine of two cores: time of the processors, user and system, and time by the clock
([notes/command_speed.md](notes/command_speed.md) has the findings).

The first edition hears the song by onsets alone, takes no references unless it is asked to, and measures no copies.
Wanted is 40 % of its time, which is not reached: importing torch, transformers and librosa takes half of it alone.
"""
STAGES = """
import time
from pathlib import Path
marks = [("Python", time.process_time())]
def done(name):
    marks.append((name, time.process_time()))
import torch
done("import torch")
from infinitedance.pipeline import MusicToDancePipeline
done("import transformers and the pipeline")
pipeline = MusicToDancePipeline.from_pretrained()
done("weights and references")
import librosa
librosa.stft, librosa.cqt, librosa.filters.mel, librosa.onset.onset_strength
done("import librosa")
from infinitedance.audio.loading import load_audio
from infinitedance.audio.repeated_passages import repeated_passages
from infinitedance.retrieval.copying import copy_report
song = pipeline.listen(load_audio(Path(SONG), 24_000))
inputs = pipeline.model_inputs(song)
done("hear the song")
torch.set_num_threads(1)
features, windows = pipeline._find_references(song, inputs, pipeline.default_num_references, [], None)
inputs["reference_features"] = torch.from_numpy(features)[None]
options = pipeline._genre_guidance(song.genre, {})
repeats = repeated_passages(song.song_map, 7.5)
codes = pipeline.model.generate_codes(**inputs, seeds=[0], repeats=repeats, **options)[0]
done("references and codes")
num_frames = inputs["input_features"].shape[1]
motion = pipeline.decode(codes, num_frames, finishing=pipeline._finishing(song, num_frames, "pose", None))
done("decode and finish")
copy_report(pipeline.retriever.library, motion, codes, windows, pipeline.tokenizer.model)
done("report of copies")
from infinitedance.motion.files import save_motion, write_bvh
write_bvh(motion, Path(FOLDER) / "dance.bvh")
save_motion(motion, Path(FOLDER) / "dance.npz")
done("write BVH and npz")
from infinitedance.motion.drawing.rendering import render_video
render_video(motion, Path(FOLDER) / "dance.mp4", SONG, size=(960, 540), show_progress=False)
done("draw and encode")
for (_, before), (name, after) in zip([("", 0.0), *marks], marks):
    print(name, after - before, sep="|")
"""


@dataclass(frozen=True)
class Run:
    """One run of a command, in seconds."""

    wall_seconds: float
    cpu_seconds: float


def run(command: list[str], environment: dict[str, str]) -> Run:
    """Run a command to its end.

    Raises:
        subprocess.CalledProcessError: If it fails.
    """
    start, before = time.perf_counter(), os.times()
    subprocess.run(command, env={**os.environ, **environment}, check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Run(time.perf_counter() - start, cpu)


def measure_command(first: Path, song: Path, repeats: int) -> list[Table]:
    """Time both editions in turns."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "infinitedance").symlink_to(first.resolve(), target_is_directory=True)
        main = "import sys; from infinitedance.cli import main; sys.exit(main())"
        # Not from the folder here, which is on the path of `python -c`.
        commands = {
            "first edition": (["env", "-C", folder, sys.executable, "-c", main, "dance"], {"PYTHONPATH": folder}),
            "this edition": ([str(Path(sys.executable).with_name("infinitedance")), "dance", "--overwrite"], {}),
        }
        ways: dict[str, list[str]] = {"without video": ["--no-video"], "with video": []}
        runs: dict[tuple[str, str], list[Run]] = {(way, name): [] for way in ways for name in commands}
        for repeat in range(repeats + 1):
            for (way, name), done in runs.items():
                command, environment = commands[name]
                output = ["--output", str(root / name.split()[0])]
                result = run([*command, str(song.resolve()), *output, *ways[way]], environment)
                if repeat:  # the first one reads the files into memory and compiles what numba keeps
                    done.append(result)
    rows: list[list] = []
    for way in ways:
        base = [statistics.median(each.cpu_seconds for each in runs[way, "first edition"])]
        base.append(statistics.median(each.wall_seconds for each in runs[way, "first edition"]))
        for name in commands:
            cpu = statistics.median(each.cpu_seconds for each in runs[way, name])
            wall = statistics.median(each.wall_seconds for each in runs[way, name])
            rows.append([way, name, cpu, cpu / base[0], wall, wall / base[1]])
    columns = ["files", "edition", "processors, s", "of the first edition", "wall, s", "of the first edition "]
    return [
        Table("", columns, rows, f"Medians of runs in turns, after one that does not count: {repeats}. Wanted: 0.4.")
    ]


def measure_stages(song: Path, repeats: int) -> list[Table]:
    """Time what the command does, one after the other."""
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        script = f"SONG, FOLDER = {str(song.resolve())!r}, {folder!r}\n{STAGES}"
        for repeat in range(repeats + 1):
            printed = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
            for line in printed.splitlines() if repeat else ():
                name, seconds = line.split("|")
                found.setdefault(name, []).append(float(seconds))
    medians = {name: statistics.median(values) for name, values in found.items()}
    rows: list[list] = [[name, value] for name, value in medians.items()]
    note = "Processor time of all threads. Drawing and encoding share both cores."
    return [Table("", ["what", "processors, s"], [*rows, ["all", sum(medians.values())]], note)]


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first", type=Path, required=True, help="checkout of the first edition")
    parser.add_argument("--song", type=Path, required=True, help="song of 61 s")
    parser.add_argument("--repeats", type=int, default=5, help="runs of each command (default: 5)")
    parser.add_argument("--output", type=Path, default=Path("docs/command_speed.md"))
    names = ("command", "stages")
    add_sections_option(parser, names)
    arguments = parser.parse_args()
    command = f"python -m benchmarks.command_speed {shown_options(arguments, ('first', 'song', 'output'))}"
    measures = {
        "command": lambda: measure_command(arguments.first, arguments.song, arguments.repeats),
        "stages": lambda: measure_stages(arguments.song, arguments.repeats),
    }
    titles = {"command": "The whole command", "stages": "Where the time goes"}
    sections = {name: Section(titles[name], f"{command} --sections {name}", None, measures[name]) for name in names}
    write_report(arguments.output, INTRODUCTION, sections, chosen_sections(parser, arguments, names))


if __name__ == "__main__":
    main()
