"""No text shows another figure than was measured."""

import json
import re
import runpy

import pytest

from benchmarks import figures

COMMANDS = [
    section["command"]
    for name in figures.PAGES
    for section in json.loads((figures.ROOT / f"docs/{name}.json").read_text(encoding="utf-8")).values()
]


def test_every_text_shows_what_was_measured(capsys):
    try:
        figures.main(["--check"])
    except SystemExit:
        pytest.fail(f"Run `python -m benchmarks.figures`:\n{capsys.readouterr().out}")


def test_every_figure_is_shown_somewhere():
    texts = "".join(figures.current_texts().values())
    names = {
        match["name"] for mark in (figures.MARKED_FIGURE, figures.MARKED_STRING) for match in mark.finditer(texts)
    }
    assert names == set(figures.FIGURES)


def test_marks_are_filled():
    text = 'lock <!--= lock-->0<!--/-->, real "?",  # figure: lock_real\n'
    assert figures.fill(text) == 'lock <!--= lock-->19.7<!--/-->, real "9.6",  # figure: lock_real\n'
    mark = "<!--table results.quality: Copying-->\nold\n<!--/table-->"
    assert "| generated | 0.036 | 0.001 |" in figures.fill(mark) and "old" not in figures.fill(mark)
    assert figures.fill(figures.fill(mark)) == figures.fill(mark)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<!--= loc-->19.7<!--/-->", "must name a figure"),
        ('"19.7",  # figure: loc', "must name a figure"),
        ("<!--table results.music: Pulse-->\n<!--/table-->", "must have one table 'Pulse'"),
    ],
)
def test_a_mark_that_names_nothing_is_an_error(text, message):
    with pytest.raises(ValueError, match=message):
        figures.fill(text)


@pytest.mark.parametrize(("row", "column"), [("median", "right song"), ("mean", "left song")])
def test_a_figure_that_points_at_no_cell_is_an_error(row, column):
    with pytest.raises(ValueError, match="must have one row"):
        figures.Figure("results.music", "Pulse lock", row, column).show()


def test_a_stale_text_is_told_and_written_anew(tmp_path, monkeypatch, capsys):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("lock <!--= lock-->1.0<!--/-->\n")
    for name in figures.PAGES:
        source = figures.ROOT / "docs" / name
        for ending in (".json", ".md"):
            (tmp_path / "docs" / f"{name}{ending}").write_bytes(source.with_suffix(ending).read_bytes())
    monkeypatch.setattr(figures, "ROOT", tmp_path)
    with pytest.raises(SystemExit):
        figures.main(["--check"])
    assert "-lock <!--= lock-->1.0" in capsys.readouterr().out
    figures.main([])
    assert capsys.readouterr().out == "docs/a.md\n"
    figures.main(["--check"])


@pytest.mark.parametrize("command", [command for command in COMMANDS if command.startswith("python -m benchmarks.")])
@pytest.mark.filterwarnings("ignore:.*found in sys.modules")
def test_the_command_that_measured_a_section_can_still_be_given(command, monkeypatch, capsys):
    module = command.split()[2]
    monkeypatch.setattr("sys.argv", [module, "--help"])
    with pytest.raises(SystemExit):
        runpy.run_module(module, run_name="__main__")
    known = capsys.readouterr().out
    assert not [option for option in re.findall(r" (--\w+)", command) if option not in known]
