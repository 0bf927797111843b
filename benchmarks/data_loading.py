"""Measure how fast a built data set becomes training batches, and how much memory that takes.

```bash
python benchmarks/data_loading.py                    # a synthetic data set, of two sizes
python benchmarks/data_loading.py --built my_set     # a built one, as it is
```

A plain loop over the `.npy` files is the yardstick. Each way of reading runs in a process of its own; memory is what
the process holds itself (`RssAnon`), as pages of mapped files are the system's to take back, and beside it the whole.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from infinitedance.dataset_builder.build import build_dataset
from infinitedance.dataset_builder.hub import InfiniteDanceBuilder
from infinitedance.dataset_builder.manifest import read_manifest, write_manifest
from infinitedance.dataset_builder.procedural.dataset import make_procedural_dataset
from infinitedance.dataset_builder.schema import view_matrix
from infinitedance.dataset_builder.stages import SourceFolder

Clip = tuple[np.ndarray, np.ndarray]
READERS = ("plain loop", "map-style, numpy", "map-style, views", "stream, numpy", "stream, views")


def grow(built_dir: Path, output_dir: Path, num_clips: int) -> None:
    """Write a manifest that lists the training clips of a built folder again and again, beside links to its files."""
    clips = [clip for clip in read_manifest(built_dir) if clip.music_file is not None]
    output_dir.mkdir()
    for name in ("motion", "music"):
        (output_dir / name).symlink_to(built_dir / name)
    rows = [
        replace(clips[index % len(clips)], clip_id=f"{index:07d}", split="train", audio_file=None)
        for index in range(num_clips)
    ]
    write_manifest(rows, output_dir)


def read_clips(reader: str, built_dir: Path, cache_dir: Path) -> Iterator[Clip]:
    """Yield motion and music of every training clip."""
    if reader == "plain loop":
        for clip in read_manifest(built_dir):
            if clip.split == "train" and clip.music_file is not None:
                yield np.load(built_dir / clip.motion_file), np.load(built_dir / clip.music_file)
        return
    builder = InfiniteDanceBuilder(config_name="paired", data_dir=built_dir, cache_dir=cache_dir)
    rows = builder.as_streaming_dataset("train") if reader.startswith("stream") else builder.as_dataset("train")
    rows = rows.select_columns(["motion_features", "music_features"])
    if reader.endswith("views"):
        for row in rows.with_format("arrow"):
            yield view_matrix(row, "motion_features"), view_matrix(row, "music_features")
        return
    for row in rows.with_format("numpy"):
        yield row["motion_features"], row["music_features"]


def to_batches(
    clips: Iterator[Clip], window_frames: int, batch_size: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Cut one random window out of each clip and stack them."""
    random = np.random.default_rng(0)
    windows: list[Clip] = []
    for motion, music in clips:
        start = int(random.integers(min(len(motion), len(music)) - window_frames + 1))
        windows.append((motion[start : start + window_frames], music[start : start + window_frames]))
        if len(windows) == batch_size:
            motions, songs = zip(*windows, strict=True)
            yield torch.from_numpy(np.stack(motions)), torch.from_numpy(np.stack(songs))
            windows = []


def memory_megabytes() -> tuple[float, float]:
    """Return what the process holds itself, and all of its resident memory."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["RssAnon"].split()[0]) / 1024, int(status["VmRSS"].split()[0]) / 1024


def measure(reader: str, built_dir: Path, cache_dir: Path, window_frames: int, batch_size: int) -> dict:
    """Read all training clips once and return clips per second and the largest memory seen."""
    anonymous, resident = memory_megabytes()
    num_clips, start, processor_start = 0, time.perf_counter(), time.process_time()
    for motions, _ in to_batches(read_clips(reader, built_dir, cache_dir), window_frames, batch_size):
        num_clips += len(motions)
        now = memory_megabytes()
        anonymous, resident = max(anonymous, now[0]), max(resident, now[1])
    return {
        "clips_per_second": num_clips / (time.perf_counter() - start),
        "clips_per_processor_second": num_clips / (time.process_time() - processor_start),
        "anonymous_mb": anonymous,
        "resident_mb": resident,
    }


def measure_in_process(*arguments: object) -> dict:
    """Run `measure` in a fresh process."""
    command = [sys.executable, __file__, "--measure", *map(str, arguments)]
    completed = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(completed.stdout.splitlines()[-1])


def main() -> None:
    """Measure all ways of reading at each size and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--built", type=Path, help="a built data set; a synthetic one of two sizes if not given")
    parser.add_argument("--clips", type=int, nargs=2, default=(500, 4000), help="sizes of the synthetic data set")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of its clips (default: 10)")
    parser.add_argument("--window-frames", type=int, default=256, help="frames of a training window (default: 256)")
    parser.add_argument("--batch-size", type=int, default=16, help="windows in a batch (default: 16)")
    parser.add_argument("--measure", nargs=5, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        reader, built_dir, cache_dir, window_frames, batch_size = arguments.measure
        print(json.dumps(measure(reader, Path(built_dir), Path(cache_dir), int(window_frames), int(batch_size))))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        built_dirs = [arguments.built]
        if arguments.built is None:
            clips = make_procedural_dataset(folder / "clips", 8, arguments.seconds)
            small = build_dataset([SourceFolder("clip_folder", str(clips))], folder / "built")
            built_dirs = [folder / f"set_{num_clips}" for num_clips in arguments.clips]
            for built_dir, num_clips in zip(built_dirs, arguments.clips, strict=True):
                grow(small, built_dir, num_clips)
        for built_dir in built_dirs:
            start = time.perf_counter()
            InfiniteDanceBuilder(config_name="paired", data_dir=built_dir, cache_dir=folder).download_and_prepare()
            print(f"{built_dir.name}: prepared in {time.perf_counter() - start:.1f} s")
            for reader in READERS:
                result = measure_in_process(reader, built_dir, folder, arguments.window_frames, arguments.batch_size)
                print(
                    f"  {reader:16} {result['clips_per_second']:6.0f} clips/s, "
                    f"{result['clips_per_processor_second']:6.0f} a second of processor time, own memory "
                    f"{result['anonymous_mb']:.0f} MB, resident {result['resident_mb']:.0f} MB",
                    flush=True,
                )


if __name__ == "__main__":
    main()
