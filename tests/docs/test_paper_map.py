"""Everything that docs/paper_map.md names exists."""

import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PLACE = re.compile(r"`(?P<path>[\w/]+(?:\.py|/))(?::(?P<symbol>[\w.]+))?`")
PLACES = sorted({match.groups() for match in PLACE.finditer((ROOT / "docs/paper_map.md").read_text())}, key=str)


def test_the_map_names_files_and_symbols():
    assert len([symbol for _, symbol in PLACES if symbol]) > 15


@pytest.mark.parametrize(("path", "symbol"), PLACES)
def test_the_place_exists(path, symbol):
    assert (ROOT / path).exists()
    if symbol is not None:
        found = importlib.import_module(f"infinitedance.{path.removesuffix('.py').replace('/', '.')}")
        for name in symbol.split("."):
            found = getattr(found, name)


def test_every_cell_of_the_second_column_names_a_place():
    """So that no row speaks of code without saying where it is."""
    rows = [
        line.split(" | ") for line in (ROOT / "docs/paper_map.md").read_text().splitlines() if line.startswith("|")
    ]
    nowhere = [row[0] for row in rows[2:] if not PLACE.search(row[1]) and row[1].strip() != "absent"]
    assert not nowhere
