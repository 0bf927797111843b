import json
import re
from xml.etree import ElementTree

import numpy as np
import pytest

from infinitedance.evaluation.metrics.distribution import measure_frechet
from infinitedance.evaluation.report.charts import band_chart, histogram_chart, interval_chart, nice_ticks
from infinitedance.evaluation.report.page import Picture, render_page
from infinitedance.evaluation.report.record import (
    compare,
    frechet_record,
    group_summaries,
    histogram,
    judge,
    metric_summaries,
    render_markdown,
    summarize,
    tempo_group,
)
from infinitedance.evaluation.report.tables import without_nan

METRICS = [
    {"key": "pulse_lock", "label": "pulse lock", "family": "music", "unit": "", "better": "higher", "note": "n1"},
    {"key": "slide", "label": "slide", "family": "feet", "unit": "mm/frame", "better": "lower", "note": "n2"},
    {"key": "copied", "label": "copied", "family": "memory", "unit": "", "better": "real", "note": "n3"},
    {"key": "jitter", "label": "jitter", "family": "movement", "unit": "", "better": "real", "note": "n4"},
]


def dance(which: str, song: str, lock: float, slide: float, genre: str = "waltz", bpm: float = 84.0):
    return {
        "name": song,
        "set": which,
        "song": song,
        "unit": song,
        "genre": genre,
        "bpm": bpm,
        "tempo": tempo_group(bpm),
        "seconds": 30.0,
        "values": {"pulse_lock": lock, "slide": slide, "copied": 0.25, "longest_copied": 2.0},
        "nearest": {"seconds": 4.0, "clip": f"clip of {song}", "clip_seconds": 1.5, "millimetres": lock},
    }


DANCES = [
    dance("generated", "a", 10.0, 5.0),
    dance("generated", "a", 12.0, 5.0),
    dance("generated", "b", 21.0, np.nan, "rumba", 124.0),
    dance("reference", "a", 2.0, 1.0),
    dance("reference", "b", 3.0, 2.0, "rumba", 124.0),
]


@pytest.fixture(scope="module")
def record():
    random = np.random.default_rng(0)
    result = measure_frechet(random.normal(size=(8, 3)), random.normal(size=(20, 3)), num_resamples=10)
    spread = {"generated": random.normal(size=50), "reference": random.normal(size=50)}
    return without_nan(
        {
            "schema_version": 1,
            "summary": "Three dances & more.",
            "warnings": ["few <songs>"],
            "versions": {"numpy": "2"},
            "seed": 7,
            "settings": {"frame_rate": 30.0, "window_seconds": 10.0, "on_one_body": False},
            "left_out": [{"file": "x<y", "reason": "no song"}],
            "metrics": metric_summaries(DANCES, METRICS),
            "frechet": [frechet_record("FID_k", "corrected", "reference", result)],
            "diversity": [{"name": "Div_k", "mode": "corrected", "generated": 2.0, "reference": 3.0}],
            "by_genre": group_summaries(DANCES, "genre"),
            "by_tempo": group_summaries(DANCES, "tempo"),
            "histograms": {
                "speed": histogram(spread, -2, 2, 10),
                "energy": histogram(spread, -2, 2, 10),
                "beat_offsets": histogram({"generated": spread["generated"] / 9}, -0.5, 0.5, 10),
            },
            "dances": DANCES,
            "inputs": {"generated": {"num_files": 1, "sha256": "ab" * 32, "files": {"a.npz": "cd" * 32}}},
        }
    )


def test_dances_of_one_song_count_once_and_nan_does_not_count():
    summary = summarize([1.0, 3.0, 8.0, np.nan], ["a", "a", "b", "c"])
    assert summary["mean"] == 5.0 and summary["num"] == 2
    assert 2 <= summary["low"] < 5 < summary["high"] <= 8
    nothing = summarize([np.nan], ["a"])
    assert nothing["num"] == 0 and np.isnan(nothing["mean"])


def test_intervals_that_overlap_are_no_clear_difference():
    low, high = ({"low": 1.0, "high": 2.0, "num": 3}, {"low": 2.5, "high": 4.0, "num": 3})
    assert compare(high, low) == "above" and compare(low, high) == "below"
    assert compare(low, {"low": 1.9, "high": 3.0, "num": 3}) == "no clear difference"
    assert compare(low, {"num": 0}) == ""


@pytest.mark.parametrize(
    ("better", "comparison", "text"),
    [
        ("higher", "above", "above: better"),
        ("higher", "below", "below: worse"),
        ("lower", "above", "above: worse"),
        ("lower", "below", "below: better"),
        ("real", "below", "below real"),
        ("real", "no clear difference", "no clear difference"),
        ("lower", "", ""),
    ],
)
def test_a_difference_is_judged_by_what_is_better(better, comparison, text):
    assert judge({"better": better, "comparison": comparison}) == text


def test_the_nearest_training_dances_are_listed_from_the_nearest_on(record):
    text = render_markdown(record)
    assert text.index("| a | 4 s | clip of a at 1.5 s | 10.0 |") < text.index(
        "| b | 4 s | clip of b at 1.5 s | 21.0 |"
    )
    many = [dance("generated", f"s{number}", 1.0, 1.0) for number in range(25)]
    assert "20 of 25 dances; the JSON has all" in render_markdown({**record, "dances": many})
    assert "Nearest training dances" not in render_markdown(
        {**record, "dances": [{**each, "nearest": None} for each in many]}
    )


def test_metrics_without_any_value_are_left_out():
    rows = {row["key"]: row for row in metric_summaries(DANCES, METRICS)}
    assert list(rows) == ["pulse_lock", "slide", "copied"]
    assert rows["pulse_lock"]["generated"]["mean"] == 16.0 and rows["pulse_lock"]["comparison"] == "above"
    assert rows["slide"]["generated"]["num"] == 1


def test_groups_are_those_of_generated_dances_and_tempos_are_in_order():
    groups = group_summaries(DANCES + [dance("reference", "c", 1, 1, "tango")], "genre")
    assert list(groups) == ["rumba", "waltz"]
    assert groups["rumba"]["pulse_lock"]["generated"]["mean"] == 21.0
    assert groups["waltz"]["pulse_lock"]["reference"]["mean"] == 2.0
    assert list(group_summaries(DANCES, "tempo")) == ["under 90 bpm", "over 120 bpm"]


def test_a_histogram_holds_all_values_even_those_beyond_its_ends():
    counted = histogram({"a": np.array([-9.0, 0.1, 0.9, 1.0, 5.0]), "b": np.empty(0)}, 0.0, 1.0, 2)
    assert counted["bin_edges"] == [0.0, 0.5, 1.0]
    assert counted["shares"]["a"] == pytest.approx([0.4, 0.6]) and counted["shares"]["b"] == [0, 0]


@pytest.mark.parametrize(
    ("shift", "verdict"), [(9.0, "farther than real"), (0.0, "within the floor"), (None, "closer than real")]
)
def test_the_verdict_of_a_distance_says_on_which_side_of_the_floor_it_lies(shift, verdict):
    reference = np.random.default_rng(0).normal(size=(60, 2))
    generated = reference if shift is None else np.random.default_rng(1).normal(size=(60, 2)) + shift
    if shift is None:
        reference = np.concatenate([reference] * 4)  # every sample has its copies in the rest
    result = measure_frechet(generated, reference, num_resamples=5)
    if shift is None:
        result = type(result)(**{**vars(result), "matched_value": 0.0})
    assert frechet_record("FID_k", "corrected", "reference", result)["verdict"].startswith(verdict)


def test_markdown_shows_every_table_and_what_was_left_out(record):
    text = render_markdown(record)
    assert "| pulse lock | 16.0 (11.0 to 21.0) | 2.50 (2.00 to 3.00) | above: better | higher |" in text
    assert "slide, mm/frame" in text and "*slide*: n2." in text and "### By genre" in text
    assert text.count("Feet on the floor") == 1
    assert "- few <songs>" in text and "- `x<y`: no song" in text and "seed 7; features of windows of 10 s" in text
    assert "FID_k, corrected, against reference" in text and "abababababababab" in text
    assert json.loads(json.dumps(record, allow_nan=False)) == record


def test_the_page_is_one_file_without_links_and_escapes_what_it_shows(record):
    page = render_page(record, [Picture("generated", 'a"<b>', "30 s", b"\x89PNG")])
    assert "few &lt;songs&gt;" in page and "<songs>" not in page
    assert 'alt="Stills of a&quot;&lt;b&gt;"' in page and "data:image/png;base64,iVBORw==" in page
    assert not re.findall(r"(?:src|href)=\"(?!data:)|url\(|@import|<script", page)
    for needed in ('name="viewport"', "prefers-color-scheme: dark", "SHA-256 of every file", "cd" * 32):
        assert needed in page
    body = page[page.index("<body>") : page.index("</html>")]
    ElementTree.fromstring(body)  # every tag is closed


def test_a_page_without_pictures_has_no_gallery(record):
    assert "Gallery" not in render_page(record)


def parse(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)


def test_a_histogram_chart_draws_shares_to_scale():
    root = parse(histogram_chart("T", [0, 1, 2], {"gen & co": [0.25, 0.75], "real": [0.5, 0.5]}, "m/s", level=0.5))
    lines = {line.get("class"): line for line in root.iter("polyline")}
    heights = {
        name: [float(point.split(",")[1]) for point in line.get("points").split()] for name, line in lines.items()
    }
    base, dashed = 160, next(float(line.get("y1")) for line in root.iter("line") if line.get("class") == "level")
    quarter, _, three_quarters, _ = heights["stroke generated"]
    assert base - three_quarters == pytest.approx(3 * (base - quarter), abs=0.3)
    assert heights["stroke reference"] == pytest.approx([dashed] * 4, abs=0.1)
    assert root.get("aria-label") == "T"


def test_an_interval_chart_draws_bars_from_zero_and_leaves_out_what_is_not_known():
    rows = [("waltz", {"g": [2.0, 1.0, 3.0], "r": [-1.0, None, None]}), ("rumba", {"g": [None, None, None]})]
    root = parse(interval_chart("T", rows, ""))
    bars = list(root.iter("rect"))
    assert len(bars) == 2 and len([line for line in root.iter("line") if line.get("class") == "whisker"]) == 1
    positive, negative = bars
    assert float(negative.get("x")) + float(negative.get("width")) == pytest.approx(float(positive.get("x")), abs=0.2)
    assert float(positive.get("width")) == pytest.approx(2 * float(negative.get("width")), rel=0.01)
    assert [text.text for text in root.iter("text")][:1] == ["waltz"]


def test_a_band_chart_puts_the_dot_beside_its_band():
    root = parse(band_chart("T", [("FID", 4.0, 0.5, 2.0)], "times", 1.0))
    band, dot = next(root.iter("rect")), next(root.iter("circle"))
    assert float(dot.get("cx")) - 10 == pytest.approx(4 / 0.5 * (float(band.get("x")) - 10), rel=0.01)


def test_ticks_are_round_and_inside():
    assert nice_ticks(0, 1, 5) == [0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert nice_ticks(-0.5, 0.5, 5) == [-0.4, -0.2, 0, 0.2, 0.4]
    assert nice_ticks(0, 87.3, 5) == [0, 20, 40, 60, 80]


def test_shares_that_do_not_fit_their_bins_are_refused():
    with pytest.raises(ValueError, match="must have 2 values a group for 3 edges"):
        histogram_chart("T", [0, 1, 2], {"a": [1.0]}, "x")
