"""Damage files of every kind that the package reads, and see that each is read right or refused in one clear line.

```bash
python -m benchmarks.fuzz --output docs/reliability.md     # 1,600 damaged files, some minutes
python -m benchmarks.fuzz --area songs --count 200         # one area; the cases that fail are printed
```

Each damaged file is read in a process of its own, with limits on time and memory. `--case AREA:NUMBER` reads one again
and prints what happens. Exits with 1 if anything failed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from infinitedance.evaluation.report.tables import Cell, Table, table_markdown
from infinitedance.utils.atomic import atomic_path

from .fuzz_inputs import Reading, Target, damage, make_targets

MAX_SECONDS = 20
MAX_BYTES = 1 << 30
"""That reading one file may take, beside what the process had before."""
LOSS = 0.2
"""Seconds of a song, frames of a dance or rows that a cut file may hold less without being refused."""
FAILURES = ("traceback", "crash", "hang", "memory", "silently wrong")
OUTCOMES = ("refused", "refused without the name", "read", *FAILURES)
INTRODUCTION = """# Reliability

What happens to damaged and hostile files. Each was made from a sound one by a seeded damage: cut, bits flipped, parts
overwritten, removed, doubled or inserted; numbers, lines, values, arrays and members of archives replaced by odd
ones; other encodings, deep nesting, swollen archives. A file is *read* if it is still a file of its kind; it is
*silently wrong* if what was read is less than what was there, not finite, or, of weights and libraries, not what was
saved. *Memory* is more than 1 GiB, a *hang* more than {seconds} s.
"""


@dataclass(frozen=True)
class Outcome:
    """What became of one damaged file.

    Args:
        area: Row of the report.
        number: Of the case in its area; with the area it names the case.
        file: The file that was damaged.
        damage: What was done to it.
        outcome: One of `OUTCOMES`.
        message: What the reader said.
    """

    area: str
    number: int
    file: str
    damage: str
    outcome: str
    message: str


def run_case(targets: Sequence[Target], area: str, number: int, seed: int, folder: Path) -> Outcome:
    """Damage a file of an area, and read it in a process of its own.

    Args:
        targets: All files.
        area: Of the file.
        number: Chooses file and damage, with `seed`.
        seed: Of the run.
        folder: For the damaged copy; emptied afterwards.
    """
    own = [target for target in targets if target.area == area]
    draw = random.Random(f"{seed} {area} {number}")
    target = own[number % len(own)]
    content, how = damage(target.file.read_bytes(), target.kind, draw)
    root = folder / target.root.name
    if target.root.is_dir():
        shutil.copytree(target.root, root)
        file = root / target.file.relative_to(target.root)
    else:
        file = root
    file.write_bytes(content)
    try:
        sound = _sound_reading(target)
        outcome, message = _judge(target, sound, _read_apart(target, root), file, content, how)
    finally:
        shutil.rmtree(folder)
        folder.mkdir()
    return Outcome(area, number, target.file.name, how, outcome, message)


_sound: dict[Path, Reading] = {}


def _sound_reading(target: Target) -> Reading:
    """Return what is read of the file before it is damaged."""
    if target.file not in _sound:
        with tempfile.TemporaryDirectory() as name:
            copy = Path(name) / target.root.name
            if target.root.is_dir():
                shutil.copytree(target.root, copy)
            else:
                shutil.copy(target.root, copy)
            answer = _read_apart(target, copy)
        assert answer["kind"] == "read" and not answer["problem"], (target.file, answer)
        _sound[target.file] = Reading(answer["amount"], answer["digest"])
    return _sound[target.file]


def _judge(target: Target, sound: Reading, answer: dict, file: Path, content: bytes, how: str) -> tuple[str, str]:
    if answer["kind"] == "read":
        return _judge_reading(target, sound, answer, content, how)
    if answer["kind"] == "refused":
        # Of a folder the whole or the part may be named.
        names = (file.name, target.root.name, str(file.parent))
        is_named = any(name in answer["message"] for name in names)
        return ("refused" if is_named else "refused without the name"), answer["message"]
    return answer["kind"], answer["message"]


def _judge_reading(target: Target, sound: Reading, answer: dict, content: bytes, how: str) -> tuple[str, str]:
    if answer["problem"]:
        return "silently wrong", answer["problem"]
    if answer["digest"] != sound.digest:
        return "silently wrong", "other content than was saved"
    is_less = answer["amount"] < sound.amount - LOSS
    if how == "cut" and target.is_cut_noticed and is_less and not answer["warnings"]:
        return "silently wrong", f"{answer['amount']:.2f} of {sound.amount:.2f} were read without a word"
    return "read", "; ".join(answer["warnings"])


def _read_apart(target: Target, root: Path) -> dict:
    """Read in a forked process; return what it answers, or how it ended."""
    receiving, sending = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(receiving)
        os.write(sending, json.dumps(_answer(target, root)).encode()[:60_000])
        os._exit(0)
    os.close(sending)
    deadline = time.monotonic() + MAX_SECONDS
    while (ended := os.wait4(child, os.WNOHANG))[0] == 0:
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            os.wait4(child, 0)
            os.close(receiving)
            return {"kind": "hang", "message": f"more than {MAX_SECONDS} s"}
        time.sleep(0.002)
    with os.fdopen(receiving, "rb") as pipe:
        answer = pipe.read()
    if not answer:
        return {"kind": "crash", "message": f"ended with status {ended[1]}"}
    return json.loads(answer)


def _answer(target: Target, root: Path) -> dict:
    """Read, in the forked process."""
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    memory_before = _memory_bytes("VmRSS")
    limit = _memory_bytes("VmSize") + 3 * MAX_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            reading = target.read(root)
            answer = {"kind": "read", **asdict(reading)}
        except (ValueError, OSError, argparse.ArgumentTypeError) as error:
            is_line = "\n" not in str(error).replace("\n  ", " ")
            answer = {"kind": "refused" if is_line else "traceback", "message": str(error)[:2000]}
        except MemoryError as error:
            answer = {"kind": "memory", "message": repr(error)}
        except BaseException as error:
            lines = "".join(traceback.format_exception(error)[-3:])
            answer = {"kind": "traceback", "message": lines[-2000:]}
    if _memory_bytes("VmHWM") - memory_before > MAX_BYTES:
        answer = {"kind": "memory", "message": f"{_memory_bytes('VmHWM') - memory_before:,} bytes"}
    return answer | {
        "warnings": [str(each.message)[:500] for each in caught if issubclass(each.category, UserWarning)]
    }


def _memory_bytes(name: str) -> int:
    status = Path("/proc/self/status").read_text()
    return 1024 * int(next(line.split()[1] for line in status.splitlines() if line.startswith(name)))


def summarize(outcomes: Sequence[Outcome]) -> Table:
    """Count the outcomes of each area."""
    areas = list(dict.fromkeys(each.area for each in outcomes))
    rows: list[list[Cell]] = []
    for area in [*areas, "all"]:
        counts = Counter(each.outcome for each in outcomes if area in (each.area, "all"))
        rows.append([area, sum(counts.values()), *(counts[name] for name in OUTCOMES)])
    return Table("By area", ["Area", "Files", *(name.capitalize() for name in OUTCOMES)], rows)


def main(command_line: list[str] | None = None) -> int:
    """Damage and read, print what failed, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1600, help="number of damaged files (default: 1600)")
    parser.add_argument("--seed", type=int, default=0, help="another seed, other damages (default: 0)")
    parser.add_argument("--area", help="one area only")
    parser.add_argument("--case", help="read one case again and print what happens: AREA:NUMBER")
    parser.add_argument("--output", type=Path, help="Markdown to write; a JSON file is written beside it")
    arguments = parser.parse_args(command_line)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as sound, tempfile.TemporaryDirectory() as damaged:
        targets = make_targets(Path(sound))
        if arguments.case:
            area, _, number = arguments.case.rpartition(":")
            print(run_case(targets, area, int(number), arguments.seed, Path(damaged)))
            return 0
        areas = [arguments.area] if arguments.area else list(dict.fromkeys(target.area for target in targets))
        outcomes = []
        for index, area in enumerate(areas):
            share = arguments.count // len(areas) + (index < arguments.count % len(areas))
            for number in range(share):
                outcome = run_case(targets, area, number, arguments.seed, Path(damaged))
                outcomes.append(outcome)
                if outcome.outcome in FAILURES or outcome.outcome == "refused without the name":
                    message = outcome.message[-400:].replace("\n", " | ")
                    print(
                        f"{area}:{number} {outcome.file}, {outcome.damage}: {outcome.outcome}: {message}", flush=True
                    )
    table = summarize(outcomes)
    print(table_markdown(asdict(table)))
    if arguments.output is not None:
        _write_report(table, arguments)
    return any(each.outcome in FAILURES for each in outcomes)


def _write_report(table: Table, arguments: argparse.Namespace) -> None:
    named, unnamed = (int(str(table.rows[-1][2 + OUTCOMES.index(name)])) for name in OUTCOMES[:2])
    record = {
        "count": arguments.count,
        "seed": arguments.seed,
        "named_share": named / max(1, named + unnamed),
        "table": asdict(table),
    }
    with atomic_path(arguments.output.with_suffix(".json")) as temporary:
        temporary.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    options = f"--count {arguments.count} --seed {arguments.seed} --output docs/reliability.md"
    parts = [
        INTRODUCTION.format(seconds=MAX_SECONDS),
        f"<!-- not run: it takes a few minutes -->\n```bash\npython -m benchmarks.fuzz {options}\n```\n",
        table_markdown(asdict(table)),
        f"{100 * record['named_share']:.1f} % of the refusals name the file.\n",
        *_describe_kills(arguments.output.with_name("kills.json")),
    ]
    with atomic_path(arguments.output) as temporary:
        temporary.write_text("\n".join(parts), encoding="utf-8")


def _describe_kills(path: Path) -> list[str]:
    """Show what `benchmarks.kill` has written, if it has."""
    if not path.is_file():
        return []
    rows = json.loads(path.read_text(encoding="utf-8"))
    cells: list[list[Cell]] = [
        [name, row["kills"], ", ".join(row["differing"]) or "the same bytes, nothing else"]
        for name, row in rows.items()
    ]
    table = Table("", ["Command", "Kills", "After it was run again"], cells)
    return [
        "## Kills\n",
        "Each command was killed (SIGKILL) at random moments and run again with the same command line, until it "
        "ended; all files, also hidden ones, are compared with those of a run that nothing interrupted.\n",
        "<!-- not run: it takes minutes -->\n```bash\npython -m benchmarks.kill --output docs/kills.json\n```\n",
        table_markdown(asdict(table)),
    ]


if __name__ == "__main__":
    sys.exit(main())
