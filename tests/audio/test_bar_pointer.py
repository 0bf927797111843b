import itertools

import numpy as np
import pytest

from infinitedance.audio import bar_pointer
from infinitedance.audio.bar_pointer import ACTIVATION_RATE, BarPointer, best_bars, observe


def activations_of(frames: np.ndarray, meter: int, num_frames: int, first_count: int = 0) -> np.ndarray:
    """Clear beats at some frames, the first of them with a count."""
    activations = np.full((num_frames, 2), 0.01)
    counts = (np.arange(len(frames)) + first_count) % meter
    activations[frames, (counts == 0).astype(int)] = 0.8
    return activations


@pytest.mark.parametrize("meter", [2, 3, 4, 5, 7])
@pytest.mark.parametrize("first_count", [0, 1])
def test_clear_beats_and_bars_are_found(meter, first_count):
    frames = np.arange(7, 1000, 25)
    path = best_bars(activations_of(frames, meter, 1000, first_count), (2, 3, 4, 5, 7), 60, 135)
    assert path.meter == meter
    np.testing.assert_array_equal(path.frames[np.isin(path.frames, frames)], frames)
    assert (path.counts[np.flatnonzero(path.frames == 7)[0]] - first_count) % meter == 0
    np.testing.assert_array_equal(np.diff(path.counts) % meter, 1)


def test_missing_beats_are_filled_in():
    frames = np.arange(0, 1000, 25)
    activations = activations_of(frames, 4, 1000)
    activations[300:500] = 0.01
    np.testing.assert_array_equal(best_bars(activations, (4,), 60, 135).frames, frames)


def test_beats_between_two_frames_are_followed():
    frames = np.round(np.arange(0, 1000, 23.4)).astype(int)
    found = best_bars(activations_of(frames, 4, 1000), (3, 4), 60, 135).frames
    assert len(found) == len(frames) and np.abs(found - frames).max() <= 1


def test_a_change_of_tempo_is_followed():
    frames = np.concatenate([np.arange(0, 600, 30), np.arange(600, 1200, 24)])
    found = best_bars(activations_of(frames, 4, 1200), (4,), 60, 135).frames
    assert np.isin(frames, found).mean() > 0.9


def test_the_path_is_the_best_of_all_paths(monkeypatch):
    monkeypatch.setattr(bar_pointer, "METER_COSTS", {})
    random = np.random.default_rng(0)
    activations = random.uniform(0, 0.5, (90, 2))
    pointer = BarPointer((2,), 190, 210)
    shortest, longest = int(pointer.durations[0]), int(pointer.durations[-1])
    beat, none = observe(activations)
    before = np.concatenate([[0.0], np.cumsum(none)])

    def score(frames: tuple[int, ...], count: int) -> float:
        lasted = np.diff(frames)
        total = before[max(frames[0] - 1, 0)]
        for index, frame in enumerate(frames):
            end = frames[index + 1] - 1 if index + 1 < len(frames) else len(activations)
            total += (
                beat[frame, int((count + index) % 2 == 0)] + before[end] - before[min(frame + 2, len(activations))]
            )
        for earlier, later in itertools.pairwise(lasted):
            total -= pointer.step_costs[earlier - later + bar_pointer.MAX_STEP_FRAMES, later - shortest]
        costs = pointer.beat_costs[0, lasted - shortest]
        return float(total - costs.sum())

    found = best_bars(activations, (2,), 190, 210)
    best = score(tuple(found.frames), int(found.counts[0]))
    for _ in range(3000):
        frames = np.cumsum(random.integers(shortest, longest + 1, 12)) - random.integers(1, longest)
        frames = frames[(frames >= 0) & (frames < len(activations))]
        steps = np.abs(np.diff(frames, 2))
        if len(frames) < 4 or (steps > bar_pointer.MAX_STEP_FRAMES).any() or len(activations) - frames[-1] > shortest:
            continue
        last_costs = pointer.beat_costs[0].min()
        assert score(tuple(frames), int(random.integers(2))) <= best + last_costs + 1.0


def test_frames_may_come_one_by_one():
    beat, none = observe(np.random.default_rng(0).uniform(0, 0.5, (300, 2)))
    whole, single = BarPointer((3, 4), 60, 135), BarPointer((3, 4), 60, 135)
    at_once = whole.advance(beat, none)
    one_by_one = [single.advance(beat[index : index + 1], none[index : index + 1]) for index in range(300)]
    np.testing.assert_array_equal(np.concatenate(one_by_one), at_once)
    np.testing.assert_array_equal(single.running(), whole.running())


def test_what_is_kept_does_not_grow():
    pointer = BarPointer((3, 4), 60, 135)
    beat, none = observe(activations_of(np.arange(0, 2000, 25), 4, 2000))
    sizes = set()
    for index in range(2000):
        pointer.advance(beat[index : index + 1], none[index : index + 1])
        sizes.add(sum(value.nbytes for value in vars(pointer).values() if isinstance(value, np.ndarray)))
    assert len(sizes) == 1


def test_a_beat_that_began_at_the_last_frame_has_age_0():
    frames = np.arange(0, 501, 25)
    pointer = BarPointer((4,), 60, 135)
    pointer.advance(*observe(activations_of(frames, 4, 501)))
    age, row, column = np.unravel_index(pointer.running().argmax(), pointer.running().shape)
    assert age == 0 and pointer.counts[row] == 20 % 4 and pointer.durations[column] == 25


def test_half_of_a_comfortable_tempo_is_not_chosen_for_its_comfort():
    frames = np.arange(0, 1500, 60 * ACTIVATION_RATE // 150)
    found = best_bars(activations_of(frames, 3, 1500), (2, 3, 4, 5, 7), 60, 135)
    assert np.median(np.diff(found.frames)) == 20 and found.meter == 3
