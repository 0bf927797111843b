from fractions import Fraction

import numpy as np
import pytest

from infinitedance.retrieval.windows import WindowLayout, cut_windows

LAYOUT = WindowLayout()


def test_window_times_are_exact_at_25_30_and_60_hz():
    generator = np.random.default_rng(0)
    for fifths in generator.integers(1, 3000, size=500):  # up to ten minutes, in fifths of a second
        starts = [LAYOUT.query_starts_seconds(int(fifths) * rate // 5, rate) for rate in (25, 30, 60)]
        assert starts[0] == starts[1] == starts[2] == [index * Fraction(32, 5) for index in range(len(starts[0]))]
        seconds = Fraction(int(fifths), 5)
        assert starts[0][-1] + Fraction(64, 5) >= seconds  # the last window reaches the end
        assert len(starts[0]) == 1 or starts[0][-2] + Fraction(64, 5) < seconds  # and the one before it does not
        for rate in (25, 30, 60):
            assert all((start * rate).denominator == 1 for start in starts[0])  # a window begins on a frame


def test_every_moment_belongs_to_one_window_and_lies_inside_it():
    for num_frames in (1, 191, 384, 385, 576, 577, 3000, 3333):
        starts = LAYOUT.query_starts_seconds(num_frames, 30)
        owner = np.full(num_frames, -1)
        for index, start in enumerate(starts):
            first, end = LAYOUT.used_frames(index, len(starts))
            end = num_frames if end is None else end
            assert (owner[first:end] == -1).all()
            owner[first:end] = index
            assert first >= start * 30 and min(end, num_frames) <= start * 30 + 384
        assert (owner >= 0).all()


def test_windows_of_a_dance_are_whole_and_reach_its_end():
    assert LAYOUT.clip_starts(100) == [0]
    assert LAYOUT.clip_starts(384) == [0]
    assert LAYOUT.clip_starts(385) == [0, 1]
    assert LAYOUT.clip_starts(384 + 2 * 192) == [0, 192, 384]
    for num_frames in range(384, 2000, 7):
        starts = LAYOUT.clip_starts(num_frames)
        assert starts[-1] + 384 == num_frames
        assert all(0 < step <= 192 for step in np.diff(starts))


def test_a_window_beyond_the_end_is_padded_and_masked():
    features = np.arange(10, dtype=np.float32)[:, None]
    windows, mask = cut_windows(features, [0, 8], 4)
    assert windows[..., 0].tolist() == [[0, 1, 2, 3], [8, 9, 0, 0]]
    assert mask.tolist() == [[True] * 4, [True, True, False, False]]


def test_a_song_without_frames_is_refused():
    with pytest.raises(ValueError, match="at least one frame"):
        LAYOUT.query_starts_seconds(0, 30)
