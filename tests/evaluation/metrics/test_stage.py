import numpy as np
import pytest

from infinitedance.evaluation.metrics.stage import facing_share, net_turns, outside_share

FRAME_RATE = 30.0


def test_a_circle_is_outside_a_smaller_stage_and_inside_a_larger_one():
    angles = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    root = np.stack([5 + 3 * np.sin(angles), 0.9 + 0 * angles, 3 * np.cos(angles)], axis=-1)
    assert outside_share(root, 2.9) == 1 and outside_share(root, 3.1) == 0
    root[:100] = [5, 0.9, 0]
    assert outside_share(np.concatenate([root[100:], 10 - root[100:]]), 2.0) > 0


def test_the_audience_is_at_z_and_a_whole_turn_changes_nothing():
    heading = np.radians([0, 40, 50, 180, 360, -395, 310, 90])
    assert facing_share(heading, [0, 1, 4, 5]) == 1
    assert facing_share(heading, [2, 3, 6, 7]) == 0
    assert facing_share(heading, range(8)) == 0.5
    with pytest.raises(ValueError, match="at least one frame"):
        facing_share(heading, [])


def test_turns_add_up_and_set_each_other_off():
    seconds = np.arange(round(120 * FRAME_RATE)) / FRAME_RATE
    spinning = 2 * np.pi * seconds / 20
    assert net_turns(spinning, FRAME_RATE) == pytest.approx(2, rel=0.01)
    assert net_turns(-spinning[:300], FRAME_RATE) == pytest.approx(0.5, rel=0.01)
    swaying = np.sin(2 * np.pi * seconds / 4)
    assert net_turns(swaying, FRAME_RATE) < 0.1
