"""`--energy` of `infinitedance dance`: a number, or a file with a curve."""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

COLUMNS = ["seconds", "energy"]
MAX_BYTES = 1 << 22


def energy_option(text: str) -> float | list[tuple[float, float]]:
    """Return a number from 0 to 1, or the points of a CSV file, as argparse's `type`."""
    try:
        value = float(text)
    except ValueError:
        return read_energy_file(Path(text))
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"a number must lie in 0 to 1, got {text}")
    return value


def read_energy_file(path: Path) -> list[tuple[float, float]]:
    """Read a curve of energy.

    Args:
        path: CSV with the columns `seconds`, rising, and `energy`, 0 to 1.

    Raises:
        argparse.ArgumentTypeError: If it is no such file.
    """
    must_hold = "must hold the header `seconds,energy` and lines like `12.5,0.8`: seconds rise, energy is 0 to 1"
    try:
        if not path.is_file() or path.stat().st_size > MAX_BYTES:  # a pipe would block, a device never ends
            raise OSError
        rows = list(csv.reader(path.read_text(encoding="utf-8-sig").splitlines()))
    except (OSError, ValueError, csv.Error) as error:
        raise argparse.ArgumentTypeError(
            f"{path} is neither a number nor a file that can be read, of up to 4 MB; a file {must_hold}"
        ) from error
    rows = [[cell.strip() for cell in row] for row in rows if any(cell.strip() for cell in row)]
    if not rows or rows[0] != COLUMNS or len(rows) < 2:
        raise argparse.ArgumentTypeError(
            f"the file {path} {must_hold}; it begins with {rows[0] if rows else 'nothing'}"
        )
    points: list[tuple[float, float]] = []
    for row in rows[1:]:
        try:
            seconds, energy = (float(cell) for cell in row)
        except ValueError:
            seconds = energy = float("nan")
        if not (0 <= seconds < float("inf") and 0 <= energy <= 1 and (not points or seconds > points[-1][0])):
            raise argparse.ArgumentTypeError(f"the file {path} {must_hold}; got {','.join(row)}")
        points.append((seconds, energy))
    return points
