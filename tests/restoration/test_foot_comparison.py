"""What a repair did: closed forms."""

from html import escape

import numpy as np
import pytest

from infinitedance.evaluation.report.charts import timeline_chart
from infinitedance.restoration.foot_comparison import FOOT_LABELS, MEASURES, compare_feet
from infinitedance.restoration.report_page import render_restoration_page

FEET = (1, 2, 3, 4)
REST = np.array([0.08, 0.08, 0.02, 0.02])


def standing(num_frames):
    """A root and four joints of the feet that stand still."""
    clip = np.zeros((num_frames, 5, 3))
    clip[:, 0, 1] = 0.9
    clip[:, 1:, 1] = REST
    return clip


def sliding(num_frames, frame_rate, metres_per_second):
    clip = standing(num_frames)
    clip[:, 1:, 0] += metres_per_second * np.arange(num_frames)[:, None] / frame_rate
    return clip


def touching(num_frames):
    return np.ones((num_frames, 4), bool)


@pytest.mark.parametrize(("frame_rate", "num_frames"), [(30.0, 31), (120.0, 121), (24.0, 25)])
def test_a_slide_counts_in_millimetres_a_thirtieth_of_a_second_at_any_rate(frame_rate, num_frames):
    before = sliding(num_frames, frame_rate, 0.09)
    feet = compare_feet(before, standing(num_frames), frame_rate, touching(num_frames), FEET)
    assert feet["before"]["slide_mm"] == pytest.approx(3.0)
    assert feet["after"]["slide_mm"] == pytest.approx(0, abs=1e-9)
    assert feet["before"]["jitter"] == pytest.approx(0, abs=1e-6)


def test_depth_and_height_count_from_where_the_restored_feet_rest():
    for height, key in ((-0.02, "penetration_mm"), (0.02, "float_mm")):
        before = standing(40)
        before[..., 1] += height
        feet = compare_feet(before, standing(40), 30.0, touching(40), FEET)
        assert feet["before"][key] == pytest.approx(20) and feet["after"][key] == 0
    lifted = standing(40) + np.array([0, 5.0, 0])
    assert compare_feet(lifted, lifted, 30.0, touching(40), FEET)["after"]["float_mm"] == 0


def test_fast_feet_on_the_floor_skate_in_both_ratios():
    feet = compare_feet(sliding(40, 30.0, 0.9), standing(40), 30.0, touching(40), FEET)
    assert feet["before"]["skating_ratio"] == 1 and feet["after"]["skating_ratio"] == 0
    assert feet["before"]["gmd_skating_ratio"] > 0.8 and feet["after"]["gmd_skating_ratio"] == 0


def test_the_distance_from_the_input_counts_root_and_legs():
    after = standing(10)
    after[:, 0, 2] += 0.01
    after[3, 2, 2] += 0.05
    feet = compare_feet(standing(10), after, 30.0, touching(10), FEET)
    assert feet["mpjpe_to_input_mm"] == pytest.approx((10 * 10 + 50) / 50)
    assert feet["largest_move_mm"] == pytest.approx(50) and feet["root_move_mm"] == pytest.approx(10)


def test_contacts_become_spans_in_seconds():
    contacts = np.zeros((30, 4), bool)
    contacts[6:12, 0] = contacts[24:, 0] = True
    feet = compare_feet(standing(30), standing(30), 30.0, contacts, FEET)
    assert feet["contacts"][FOOT_LABELS[0]]["after"] == [pytest.approx([0.2, 0.4]), pytest.approx([0.8, 1.0])]
    assert feet["contacts"][FOOT_LABELS[1]] == {"before": [[0.0, 1.0]], "after": []}
    assert feet["contact_share"] == pytest.approx(12 / 120)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (standing(3), standing(3), "must have shape"),
        (standing(9), standing(8), "the same shape"),
        (standing(9) * np.nan, standing(9), "finite"),
    ],
)
def test_wrong_clips_are_refused(before, after, message):
    with pytest.raises(ValueError, match=message):
        compare_feet(before, after, 30.0, touching(len(before)), FEET)


def test_a_timeline_draws_each_span_where_it_is():
    svg = timeline_chart("Contacts", [("left", {"before": [(0.0, 5.0)], "after": [(5.0, 10.0), (2.0, 2.0)]})], 10.0)
    assert svg.count("<rect") == 3
    assert 'class="bar generated" x="10.0"' in svg and 'class="bar reference" x="180.0"' in svg
    assert 'width="170.0"' in svg and "seconds" in svg


@pytest.mark.parametrize("rejected", [True, False])
def test_the_page_says_what_became_better_and_whether_physics_was_used(rejected):
    feet = compare_feet(sliding(40, 30.0, 0.9), standing(40), 30.0, touching(40), FEET)
    report = {
        "rejected": rejected,
        "mpjpe_to_input_mm": 30.0,
        "max_error_metres": 0.2,
        "mean_residual_force": [0.1] * 3,
    }
    page = render_restoration_page(
        {"name": "a", "notes": ["<i>"], "files": [], "feet": feet, "physics": report, "settings": {}, "versions": {}}
    )
    assert all(escape(label) in page for label, _ in MEASURES.values())
    assert 'class="good">0.000' in page and "&lt;i&gt;" in page
    assert ("rejected and not used" in page) == rejected
