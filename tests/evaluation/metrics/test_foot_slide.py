import numpy as np
import pytest

from infinitedance.evaluation.metrics.foot_slide import LOW_METRES, low_foot_slide

FRAME_RATE = 30.0
REST = np.array([0.07, 0.07, 0.02, 0.02])


def gliding(speed: np.ndarray | float, height: np.ndarray | float = 0.0) -> np.ndarray:
    """Four joints that glide along a diagonal, so many m/s, at a height over their rest heights."""
    feet = np.zeros((61, 4, 3))
    feet[..., 1] = REST + height
    feet[..., 0] = feet[..., 2] = np.arange(61)[:, None] / FRAME_RATE * np.asarray(speed) / np.sqrt(2)
    return feet


def test_a_planted_foot_does_not_slide_and_a_gliding_one_has_its_speed():
    assert low_foot_slide(gliding(0.0), FRAME_RATE, REST) == 0
    assert low_foot_slide(gliding(0.7), FRAME_RATE, REST) == pytest.approx(0.7)
    assert low_foot_slide(gliding(0.7, -0.03), FRAME_RATE, REST) == pytest.approx(0.7)  # sunk into the floor


def test_a_fast_slide_counts_that_no_detector_of_slow_feet_would_see():
    assert low_foot_slide(gliding([3.0, 0.0, 3.0, 0.0]), FRAME_RATE, REST) == pytest.approx(1.5)


def test_the_weight_falls_with_height_and_is_nothing_from_five_centimetres_on():
    height = np.array([0.5 * LOW_METRES, 0.0, 0.5 * LOW_METRES, 0.0])
    weight = 2 - 2**0.5
    slide = low_foot_slide(gliding([1.0, 0.0, 1.0, 0.0], height), FRAME_RATE, REST)
    assert slide == pytest.approx(weight / (1 + weight))
    assert np.isnan(low_foot_slide(gliding(1.0, LOW_METRES), FRAME_RATE, REST))


def test_the_speed_does_not_depend_on_the_frame_rate():
    assert low_foot_slide(gliding(0.7)[::2], FRAME_RATE / 2, REST) == pytest.approx(0.7)
