"""Measure a Space under load: `python benchmarks/space_load.py [--visitors 20] [--dances 50]`.

First dances are made one after the other; the server's memory after the last is compared with that after the fifth.
Then visitors ask at once, each for a seed of its own, and must get the dance of that seed. At the end, after the time
that files are kept, none may be left.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import soundfile

SECONDS = 3
KEEP_MINUTES = 5.0
WARM_DANCES = 5


def serve(connection: Connection) -> None:
    """Run a Space in a process of its own; answer with its address and folder, end when told."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    from infinitedance.spaces_demo.limits import SpaceLimits
    from infinitedance.spaces_demo.space import running_space

    with running_space(
        limits=SpaceLimits(keep_minutes=KEEP_MINUTES, max_visitor_jobs=100, max_visitor_files=1000)
    ) as (_, url):
        connection.send((url, os.environ["GRADIO_TEMP_DIR"]))
        connection.recv()
    connection.send("ended")


def write_song(path: Path, seconds: float) -> Path:
    """Write clicks at 96 beats a minute."""
    times = np.arange(round(24_000 * seconds)) / 24_000
    soundfile.write(path, 0.5 * np.sin(2 * np.pi * 220 * times) * np.exp(-20 * (times % 0.625)), 24_000)
    return path


def memory_megabytes(pid: int) -> float:
    """Return the resident memory of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def visit_together(url: str, song: Path, folder: Path, num_visitors: int) -> str:
    """Let visitors ask at once, each from a client of its own; return what they got, in words."""
    from gradio_client import Client, handle_file

    from infinitedance.motion.files import load_motion

    clients = [
        Client(url, verbose=False, download_files=folder / f"{seed}", analytics_enabled=False)
        for seed in range(num_visitors)
    ]
    started = time.perf_counter()
    jobs = [
        client.submit(song=handle_file(song), seconds=SECONDS, seed=seed, formats=[".npz"], api_name="/dance")
        for seed, client in enumerate(clients)
    ]
    results = [job.result(timeout=1800) for job in jobs]
    elapsed = time.perf_counter() - started
    seeds = [load_motion(files[0]).provenance["seed"] for files, _ in results]
    is_own = [
        seed == wanted == cards[0]["seed"]
        for wanted, (seed, (_, cards)) in enumerate(zip(seeds, results, strict=True))
    ]
    return (
        f"{num_visitors} visitors at once: {sum(is_own)} got their own dance, {num_visitors - sum(is_own)} another's; "
        f"{elapsed:.0f} s for all, {elapsed / num_visitors:.1f} s each"
    )


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--visitors", type=int, default=20, help="visitors at once (default: 20)")
    parser.add_argument("--dances", type=int, default=50, help="dances one after the other (default: 50)")
    arguments = parser.parse_args()
    from gradio_client import Client, handle_file

    here, there = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(there,), daemon=True)
    server.start()
    assert server.pid is not None  # it was started
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        song = write_song(folder / "song.wav", SECONDS)
        url, root = here.recv()
        client = Client(url, verbose=False, download_files=folder / "one", analytics_enabled=False)
        memory = []
        for seed in range(arguments.dances):
            client.predict(song=handle_file(song), seconds=SECONDS, seed=seed, formats=[".npz"], api_name="/dance")
            memory.append(memory_megabytes(server.pid))
        growth = memory[-1] / memory[min(WARM_DANCES, len(memory)) - 1] - 1
        print(
            f"memory after {WARM_DANCES} dances {memory[WARM_DANCES - 1]:.0f} MB, after {len(memory)} "
            f"{memory[-1]:.0f} MB: {100 * growth:+.1f} %"
        )
        print(visit_together(url, song, folder, arguments.visitors))
        print(f"files right after: {sum(path.is_file() for path in Path(root).rglob('*'))}", end="")
        time.sleep(60 * KEEP_MINUTES + 90)  # the sweeper comes once a minute
        print(f"; once they are old: {sum(path.is_file() for path in Path(root).rglob('*'))}", end="")
        here.send("end")
        here.recv()
        print(f"; folder left when the Space ends: {Path(root).exists()}")
    server.join()


if __name__ == "__main__":
    main()
