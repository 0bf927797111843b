"""The likeness of pictures by which encoders are chosen."""

import numpy as np
import pytest

pytest.importorskip("cv2", reason="needs the extra `video`")

from benchmarks.video import structural_similarity  # noqa: E402


def test_the_likeness_of_flat_pictures_is_that_of_the_formula():
    first, second = np.full((40, 50), 100.0), np.full((40, 50), 120.0)
    light = 2.55**2
    expected = (2 * 100 * 120 + light) / (100**2 + 120**2 + light)
    assert structural_similarity(first, second) == pytest.approx(expected, rel=1e-9)
    assert structural_similarity(first, first) == pytest.approx(1)


def test_noise_and_opposite_contrast_make_pictures_unlike():
    picture = np.random.default_rng(0).normal(128, 30, (60, 60))
    noisy = picture + np.random.default_rng(1).normal(0, 30, (60, 60))
    assert 0.3 < structural_similarity(picture, noisy) < 0.9
    assert structural_similarity(picture, 256 - picture) < -0.5
