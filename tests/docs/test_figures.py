"""No text shows another figure than was measured."""

import hashlib
import json
import re
import runpy

import pytest

from benchmarks import figures

MEASURED = {
    name: json.loads((figures.ROOT / f"docs/{name}.json").read_text(encoding="utf-8"))
    for name in figures.PAGES
    if (figures.ROOT / f"docs/{name}.json").is_file()  # one that is missing fails the first test
}
COMMANDS = [section["command"] for sections in MEASURED.values() for section in sections.values()]


def test_every_text_shows_what_was_measured(capsys):
    try:
        figures.main(["--check"])
    except SystemExit:
        pytest.fail(f"Run `python -m benchmarks.figures`:\n{capsys.readouterr().out}")


@pytest.mark.parametrize(("page", "model"), [("dances", "choreollama-research"), ("dances_open", "choreollama-open")])
def test_the_dances_that_were_measured_are_those_of_the_weights_that_ship(page, model):
    weights = (figures.ROOT / "assets" / model / "model.safetensors").read_bytes()
    measured = {section["weights_sha256"] for section in MEASURED[page].values()}
    assert measured == {hashlib.sha256(weights).hexdigest()}


def test_every_figure_is_shown_somewhere():
    paths = {path for pattern in figures.TEXTS for path in figures.ROOT.glob(pattern)}
    texts = "".join(path.read_text(encoding="utf-8") for path in sorted(paths))
    names = {
        match["name"] for mark in (figures.MARKED_FIGURE, figures.MARKED_STRING) for match in mark.finditer(texts)
    }
    assert names == set(figures.FIGURES)


def test_marks_are_filled():
    lock = figures.FIGURES["lock_real"].show()
    assert float(lock) > 2
    text = 'lock <!--= lock_real-->0<!--/-->, again "?",  # figure: lock_real\n'
    assert figures.fill(text) == f'lock <!--= lock_real-->{lock}<!--/-->, again "{lock}",  # figure: lock_real\n'
    mark = "<!--table metrics.systems: Diversity: real dances and obvious fakes-->\nold\n<!--/table-->"
    assert "| Div_k, compat |" in figures.fill(mark) and "old" not in figures.fill(mark)
    assert figures.fill(figures.fill(mark)) == figures.fill(mark)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<!--= loc-->19.7<!--/-->", "must name a figure"),
        ('"19.7",  # figure: loc', "must name a figure"),
        ("<!--table metrics.systems: Pulse-->\n<!--/table-->", "must have one table 'Pulse'"),
        ("<!--table metrics.music: Pulse-->\n<!--/table-->", "must have one table 'Pulse' in section 'music'"),
    ],
)
def test_a_mark_that_names_nothing_is_an_error(text, message):
    with pytest.raises(ValueError, match=message):
        figures.fill(text)


def test_a_report_that_was_not_measured_is_told():
    with pytest.raises(FileNotFoundError, match=r"docs/songs.json must be measured first"):
        figures.find_table("songs.free", "In short")


@pytest.mark.parametrize(("row", "column"), [("pulse", "real"), ("pulse lock", "model")])
def test_a_figure_that_points_at_no_cell_is_an_error(row, column):
    with pytest.raises(ValueError, match="must have one row"):
        figures.Figure("metrics.systems", "Music: real dances and obvious fakes", row, column).show()


def test_a_stale_text_is_told_and_written_anew(tmp_path, monkeypatch, capsys):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("lock <!--= lock_real-->1.0<!--/-->\n")
    for ending in (".json", ".md"):
        (tmp_path / "docs" / f"metrics{ending}").write_bytes((figures.ROOT / f"docs/metrics{ending}").read_bytes())
    monkeypatch.setattr(figures, "ROOT", tmp_path)
    monkeypatch.setattr(figures, "PAGES", {"metrics": figures.PAGES["metrics"]})
    with pytest.raises(SystemExit):
        figures.main(["--check"])
    assert "-lock <!--= lock_real-->1.0" in capsys.readouterr().out
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
