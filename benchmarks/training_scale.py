"""Measure whether training takes more memory, or longer steps, with more data: `python -m benchmarks.training_scale`.

For each number of hours it writes takes of random music and codes as a training run keeps them, and trains a tiny
generator on them with worker processes, in a process of its own. Memory is sampled once a second over the trainer and
its workers: what they hold themselves (`Pss_Anon`, pages that processes share counted once) and the pages of mapped
files (`Pss_File`), which are the system's to take back. Before each run the files are dropped from the system's cache.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from infinitedance.audio.beats import BeatClock
from infinitedance.audio.features import MusicFeatureLayout
from infinitedance.evaluation.report.tables import Table, table_markdown
from infinitedance.modeling.choreollama.configuration_choreollama import ChoreoLlamaConfig
from infinitedance.modeling.choreollama.modeling_choreollama import ChoreoLlamaForConditionalGeneration
from infinitedance.motion.motion import FRAME_RATE
from infinitedance.training.arguments import LoopArguments
from infinitedance.training.data_choreollama import ChoreoSampler, ChoreoWindows, MusicChanges
from infinitedance.training.evaluation_choreollama import describe_step
from infinitedance.training.loop import build_accelerator, build_optimizer, train
from infinitedance.training.takes import DanceTake, _map_takes, _write_takes
from infinitedance.training.train_choreollama import decays

from .scaling import write_section

GENRES = ["waltz", "rumba", "cha-cha", "hip-hop"]
NUM_QUANTIZERS, CODEBOOK_SIZE, FRAMES_PER_TOKEN = 6, 512, 4
TAKE_SECONDS = 60
CHANGES = MusicChanges(foreign_spectra_share=0.5, equalizer_spread=0.25, moved_bar_share=0.15)
"""As in the recipe `choreollama.yaml`: another song's clock is read whole to lay its beats on a window's."""
TITLE = "Memory while data are streamed"
SAMPLE_SECONDS = 1.0
FREE_SHARE = 0.5
"""Of the free disk, the most that the takes may fill."""
MEGABYTE = 1024  # kB


def make_takes(hours: float) -> Iterator[DanceTake]:
    """Yield takes of a minute, of random spectra on a true clock, and random codes."""
    generator = np.random.default_rng(0)
    frames = round(TAKE_SECONDS * FRAME_RATE)
    shapes = [(NUM_QUANTIZERS, -(-(frames - offset) // FRAMES_PER_TOKEN)) for offset in range(FRAMES_PER_TOKEN)]
    for number in range(round(hours * 3600 / TAKE_SECONDS)):
        music = generator.standard_normal((frames, MusicFeatureLayout.size), np.float32)
        clock = BeatClock.steady(float(generator.uniform(80, 160)), TAKE_SECONDS, 0.0)
        music[:, MusicFeatureLayout.beat_clock] = clock.to_features(frames)
        yield DanceTake(
            song_id=f"song_{number}",
            genre=GENRES[number % len(GENRES)],
            music=music,
            codes=[generator.integers(CODEBOOK_SIZE, size=shape) for shape in shapes],
            clip_id=f"clip_{number}",
            speed=generator.uniform(0.1, 1.0, frames),
        )


def bytes_per_hour() -> int:
    """Return about how much disk an hour of takes fills."""
    codes_per_frame = NUM_QUANTIZERS  # one token in four frames, at four offsets
    return round(3600 * FRAME_RATE) * (4 * (MusicFeatureLayout.size + 1) + 2 * codes_per_frame)


def build_model(code_dim: int = 8) -> ChoreoLlamaForConditionalGeneration:
    """Return a generator so small that reading is most of the work."""
    config = ChoreoLlamaConfig(
        backbone_config={
            "model_type": "llama",
            "hidden_size": 32,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "intermediate_size": 32,
        },
        code_pattern="depth",
        controls_side=True,
        controls_energy=True,
        expert_hidden_size=16,
        expert_num_heads=2,
        genres=GENRES,
        num_quantizers=NUM_QUANTIZERS,
        codebook_size=CODEBOOK_SIZE,
        codebook_dim=code_dim,
        frames_per_token=FRAMES_PER_TOKEN,
    )
    model = ChoreoLlamaForConditionalGeneration(config)
    model.set_codebooks(torch.randn(NUM_QUANTIZERS, CODEBOOK_SIZE, code_dim))
    return model


def memory_of(process: int) -> dict[str, float]:
    """Return the memory of a process in MB, by the names of `/proc/PID/smaps_rollup`; nothing if it has ended."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()[1:]
    except (FileNotFoundError, ProcessLookupError):
        return {}
    return {line.split(":")[0]: int(line.split()[1]) / MEGABYTE for line in lines}


class MemorySampler(threading.Thread):
    """Thread that samples the memory of this process and of its workers.

    `samples` holds, for each time, the sums over all processes of `Pss_Anon` and `Pss_Shmem` (`own`), of `Pss_File`
    (`mapped`) and of `Rss` of this process (`rss`) and its largest worker (`worker_rss`), MB.
    """

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.samples: list[dict[str, float]] = []
        self.stopped = threading.Event()

    def run(self) -> None:
        """Sample until `stopped` is set."""
        while not self.stopped.wait(SAMPLE_SECONDS):
            own = memory_of(os.getpid())
            workers = [memory_of(worker.pid) for worker in multiprocessing.active_children() if worker.pid]
            everyone = [own, *(worker for worker in workers if worker)]
            self.samples.append(
                {
                    "processes": len(everyone),
                    "own": sum(each["Pss_Anon"] + each["Pss_Shmem"] for each in everyone),
                    "mapped": sum(each["Pss_File"] for each in everyone),
                    "rss": own["Rss"],
                    "worker_rss": max((each["Rss"] for each in everyone[1:]), default=0.0),
                }
            )


def drop_from_cache(folder: Path) -> None:
    """Let the system forget the contents of the files of a folder, so that they are read from the disk."""
    for path in folder.iterdir():
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def train_on(folder: Path, steps: int, workers: int, batch_size: int) -> dict[str, float]:
    """Train on the takes of a folder and return what it took."""
    drop_from_cache(folder)
    takes = _map_takes(folder)
    model = build_model()
    windows = ChoreoWindows(takes, model.config)
    sampler = ChoreoSampler(
        windows,
        batch_size=batch_size,
        genre_balance=0.5,
        group_share=1.0,
        in_group=[True] * len(takes),
        seed=(0,),
        changes=CHANGES,
    )
    with tempfile.TemporaryDirectory() as output_dir:
        arguments = LoopArguments(
            output_dir, max_steps=steps, batch_size=batch_size, data_workers=workers, eval_steps=steps
        )
        accelerator = build_accelerator(arguments)
        memory, start = MemorySampler(), time.perf_counter()
        memory.start()
        train(
            accelerator,
            model,
            build_optimizer(model, arguments, decays),
            arguments,
            make_batch=lambda index: sampler(index) | {"num_context_tokens": model.config.context_tokens},
            before_step=lambda fraction: None,
            evaluate=lambda trained: {},
            describe=describe_step,
        )
        seconds = time.perf_counter() - start
        memory.stopped.set()
    return summarize(memory.samples, workers) | {"seconds_per_step": seconds / steps}


def summarize(samples: Sequence[dict[str, float]], workers: int) -> dict[str, float]:
    """Compare the second tenth of a run, when everything is loaded, with the last tenth of it."""
    whole = [sample for sample in samples if sample["processes"] == 1 + workers]
    tenth = max(1, len(whole) // 10)
    parts = {"early": whole[tenth : 2 * tenth], "late": whole[-tenth:]}
    names = ("own", "mapped", "rss", "worker_rss")
    means = {
        f"{name}_{part}": float(np.mean([sample[name] for sample in chosen]))
        for part, chosen in parts.items()
        for name in names
    }
    return means | {"num_samples": len(whole), "own_max": max(sample["own"] for sample in whole)}


def measure(hours: float, folder: Path, arguments: argparse.Namespace) -> dict[str, float]:
    """Write takes, train on them in a new process, and remove them."""
    needed, free = hours * bytes_per_hour(), shutil.disk_usage(folder).free
    if needed > FREE_SHARE * free:
        allowed = FREE_SHARE * free
        raise SystemExit(
            f"{hours:g} hours fill {needed / 1e9:.1f} GB, half of what is free in {folder} is {allowed / 1e9:.1f} GB: "
            f"at most {allowed / bytes_per_hour():.0f} hours fit."
        )
    takes_dir = folder / f"takes_{hours:g}_hours"
    start = time.perf_counter()
    try:
        _write_takes(make_takes(hours), takes_dir, "made")
        written = time.perf_counter() - start
        size = sum(path.stat().st_size for path in takes_dir.iterdir())
        options = ["--steps", str(arguments.steps), "--workers", str(arguments.workers)]
        options += ["--batch_size", str(arguments.batch_size), "--takes", str(takes_dir)]
        command = [sys.executable, "-m", "benchmarks.training_scale", *options]
        printed = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout
        result = json.loads(printed.splitlines()[-1])
    finally:
        shutil.rmtree(takes_dir, ignore_errors=True)
    return result | {"hours": hours, "gigabytes": size / 1e9, "writing_seconds": written}


def to_table(results: Sequence[dict[str, float]], arguments: argparse.Namespace) -> Table:
    """Return the table; memory in MB, early to late in the run."""
    columns = {
        "hours": "hours",
        "gigabytes": "takes on disk, GB",
        "own_early": "own memory early",
        "own_late": "late",
        "own_max": "most",
        "mapped_early": "mapped pages early",
        "mapped_late": "late ",
        "rss_early": "RSS of the trainer early",
        "rss_late": "late  ",
        "worker_rss_early": "RSS of a worker early",
        "worker_rss_late": "late   ",
        "seconds_per_step": "seconds a step",
    }
    note = (
        f"{arguments.steps} steps of {arguments.batch_size} windows, {arguments.workers} workers, two cores that other"
        " work shared. Memory in MB: own memory is that of all processes, pages that they share counted once; early "
        "is the second tenth of the run, late the last. Mapped pages, which RSS counts, are the system's to take back."
    )
    return Table(TITLE, list(columns.values()), [[result[name] for name in columns] for result in results], note)


def main() -> None:
    """Print a table, a row for each number of hours, and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, nargs="+", default=[1.0, 100.0], help="default: 1 100")
    parser.add_argument("--steps", type=int, default=400, help="optimizer steps (default: 400)")
    parser.add_argument("--workers", type=int, default=2, help="processes that make batches (default: 2)")
    parser.add_argument("--batch_size", type=int, default=16, help="windows of a batch (default: 16)")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()), help="where takes are written")
    parser.add_argument("--takes", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path, help="JSON file in whose section `data` the table is kept")
    arguments = parser.parse_args()
    if arguments.takes is not None:
        print(json.dumps(train_on(arguments.takes, arguments.steps, arguments.workers, arguments.batch_size)))
        return
    table = to_table([measure(hours, arguments.folder, arguments) for hours in arguments.hours], arguments)
    print(table_markdown(asdict(table)))
    if arguments.output is not None:
        command = "OMP_NUM_THREADS=1 python -m benchmarks.training_scale "
        command += f"--hours {' '.join(f'{hours:g}' for hours in arguments.hours)} --steps {arguments.steps} "
        write_section(arguments.output, "data", "Streamed data", command + f"--output {arguments.output}", [table])


if __name__ == "__main__":
    main()
