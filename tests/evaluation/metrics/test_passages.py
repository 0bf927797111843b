import numpy as np
import pytest

from infinitedance.evaluation.metrics.memory import hip_aligned_poses
from infinitedance.evaluation.metrics.passages import Passage, chorus_likeness, near_copy_share
from infinitedance.evaluation.metrics.sides import mirror_positions

FRAME_RATE = 30.0
CHORUS, AGAIN, VERSE = Passage(0, 16), Passage(16, 16), Passage(32, 16)


@pytest.fixture(scope="module")
def poses(make_moving):
    """Poses of three unlike passages of 8 s."""
    return [hip_aligned_poses(make_moving(240, seed).joint_positions(), 1, 2) for seed in range(3)]


def test_a_repeated_chorus_is_nearer_than_the_verse(poses):
    first, _, verse = poses
    beats = np.arange(720) * 16 / 240
    likeness = chorus_likeness(np.concatenate([first, first, verse]), beats, CHORUS, AGAIN, VERSE)
    assert likeness.same_mm == pytest.approx(0, abs=1e-3) and likeness.other_mm > 100
    assert likeness.is_nearer and not likeness.is_mirrored
    unlike = chorus_likeness(np.concatenate([first, verse, verse]), beats, CHORUS, AGAIN, VERSE)
    assert not unlike.is_nearer and unlike.other_mm == pytest.approx(0, abs=1e-3)


def test_a_mirrored_repeat_counts_and_is_named(poses):
    first, _, verse = poses
    danced = np.concatenate([first, mirror_positions(first), verse])
    likeness = chorus_likeness(danced, np.arange(720) * 16 / 240, CHORUS, AGAIN, VERSE)
    assert likeness.is_nearer and likeness.is_mirrored and likeness.same_mm == pytest.approx(0, abs=1e-3)


def test_a_repeat_at_another_tempo_is_compared_beat_by_beat(poses):
    first, _, verse = poses
    slow = np.repeat(first, 2, axis=0)
    slow[1:-1:2] = (slow[:-2:2] + slow[2::2]) / 2
    beats = np.concatenate([np.arange(240) / 15, 16 + np.arange(480) / 30, 32 + np.arange(240) / 15])
    likeness = chorus_likeness(np.concatenate([first, slow, verse]), beats, CHORUS, AGAIN, VERSE)
    assert likeness.same_mm < 1 < 100 < likeness.other_mm


def test_a_passage_beyond_the_dance_is_refused(poses):
    with pytest.raises(ValueError, match="must lie in the dance, beats 0.0 to 15.9, got 16 beats from 16"):
        chorus_likeness(poses[0], np.arange(240) / 15, CHORUS, AGAIN, VERSE)


def test_a_loop_is_all_near_copies_and_a_dance_that_goes_on_has_none(poses):
    assert near_copy_share(np.concatenate([poses[0]] * 3), FRAME_RATE) == 1
    assert near_copy_share(np.concatenate(poses), FRAME_RATE) == 0
    half = near_copy_share(np.concatenate([poses[0], poses[1], poses[0], poses[2]]), FRAME_RATE)
    assert 0.25 < half < 0.5
    with pytest.raises(ValueError, match="two windows of 120 frames, got 239"):
        near_copy_share(poses[0][:239], FRAME_RATE)


def test_a_held_pose_is_a_copy_of_itself(poses):
    assert near_copy_share(np.repeat(poses[0][:1], 300, axis=0), FRAME_RATE) == 1
