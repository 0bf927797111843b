import json
from argparse import ArgumentParser
from pathlib import Path

import numpy as np
import pytest

from benchmarks.writer import (
    Section,
    add_sections_option,
    chosen_sections,
    render_markdown,
    shown_options,
    write_report,
)
from infinitedance.evaluation.report.tables import Table, format_cell, mean_with_interval


def _section(title: str) -> dict:
    table = {"title": "T", "columns": ["a", "b"], "rows": [["x", [1.5, 1.25, None]], ["y", None]], "note": "N"}
    return {"title": title, "command": "c", "versions": {"p": "1"}, "weights_sha256": "0" * 64, "tables": [table]}


def test_sections_that_are_not_measured_again_are_kept_in_order(tmp_path):
    output = tmp_path / "report.md"
    output.with_suffix(".json").write_text(json.dumps({"music": _section("It hears"), "codec": _section("Old")}))
    sections = {
        name: Section(title, "c", None, lambda: [Table("New", ["a"], [[float("nan")]])])
        for name, title in (("codec", "1. The codec"), ("music", "2. Music"))
    }
    write_report(output, "# Head\n", sections, ["codec"])
    numbers = json.loads(output.with_suffix(".json").read_text())
    assert list(numbers) == ["codec", "music"] and numbers["music"] == _section("It hears")
    assert numbers["codec"]["tables"][0]["rows"] == [[None]] and "weights_sha256" not in numbers["codec"]
    text = output.read_text()
    assert "## 1. The codec" in text and "## It hears" in text and "Old" not in text


def test_markdown_shows_every_cell():
    text = render_markdown({"music": _section("It hears")}, "# Head\n")
    assert "| a | b |\n| --- | --- |\n| x | 1.50 (1.25 to -) |\n| y | - |\n" in text
    assert text.startswith("# ") and "```bash\nc\n```" in text and "\nN\n" in text


@pytest.mark.parametrize(
    ("cell", "shown"),
    [(0.01234, "0.012"), (1.239, "1.24"), (-12.34, "-12.3"), (123.4, "123"), (7, "7"), ("a", "a"), (None, "-")],
)
def test_numbers_are_shown_with_three_digits(cell, shown):
    assert format_cell(cell) == shown


def test_an_interval_needs_every_song():
    assert mean_with_interval([1.0, 3.0])[0] == 2
    assert np.isnan(mean_with_interval([1.0, np.nan])).all()


def test_a_row_of_another_length_than_the_columns_is_refused():
    with pytest.raises(ValueError, match="must have 2 cells"):
        Table("T", ["a", "b"], [[1]])


def test_an_unknown_section_is_refused_and_absolute_paths_are_not_shown(capsys, tmp_path):
    parser = ArgumentParser()
    add_sections_option(parser, ["codec", "music"])
    parser.add_argument("--model", type=Path)
    arguments = parser.parse_args(["--model", str(tmp_path / "model")])
    assert chosen_sections(parser, arguments, ["codec", "music"]) == ["codec", "music"]
    assert shown_options(arguments, ["model"]) == "--model model"
    with pytest.raises(SystemExit):
        chosen_sections(parser, parser.parse_args(["--sections", "codec,musik"]), ["codec", "music"])
    assert "must be some of codec,music, got musik" in capsys.readouterr().err
