"""Dances in place and loops of whole bars."""

from dataclasses import replace

import numpy as np
import pytest

from infinitedance.motion.looping import in_place, loop_of_whole_bars

BAR_FRAMES = 40


@pytest.fixture
def dance(make_moving):
    """Four bars of which the third begins as the first, standing still, a walk along x, and a little of the fifth."""
    motion = make_moving(num_frames=4 * BAR_FRAMES + 5)
    rotations = motion.joint_rotations.copy()
    for downbeat in (0, 2 * BAR_FRAMES):
        rotations[max(0, downbeat - 3) : downbeat + 4] = motion.joint_rotations[3]
    root = np.stack([np.linspace(0, 3, len(rotations)), np.full(len(rotations), 0.95), np.zeros(len(rotations))], -1)
    beats = np.arange(0, len(rotations), BAR_FRAMES // 2) / 30
    return replace(
        motion,
        root_positions=root,
        joint_rotations=rotations,
        foot_contacts=np.tile(np.arange(len(rotations))[:, None] % 2 == 0, (1, 4)),
        provenance={
            "seed": 7,
            "beat_times_seconds": beats.tolist(),
            "downbeat_times_seconds": beats[::2].tolist(),
        },
    )


def test_in_place_the_path_goes_and_heights_and_poses_stay(dance):
    still = in_place(dance)
    assert not still.root_positions[:, [0, 2]].any()
    np.testing.assert_array_equal(still.root_positions[:, 1], dance.root_positions[:, 1])
    np.testing.assert_allclose(still.joint_rotations, dance.joint_rotations, atol=1e-6)


def test_the_loop_begins_where_the_dance_comes_back_to_itself(dance):
    loop, seam = loop_of_whole_bars(dance)
    assert (seam.start_seconds, seam.num_bars) == (0.0, 2)
    assert seam.position_jump_metres < 1e-6  # the path aside
    assert seam.travel_metres == pytest.approx(3 * 2 * BAR_FRAMES / (len(dance.root_positions) - 1))
    assert loop.num_frames == 2 * BAR_FRAMES + 1
    _, still_seam = loop_of_whole_bars(in_place(dance))
    assert still_seam.travel_metres == 0 and still_seam.num_bars == 2


def test_from_the_first_key_to_the_last_a_loop_lasts_whole_bars_and_its_last_pose_is_its_first(dance):
    loop, seam = loop_of_whole_bars(dance)
    assert (loop.num_frames - 1) / loop.frame_rate == pytest.approx(seam.num_bars * BAR_FRAMES / 30)
    np.testing.assert_array_equal(loop.joint_rotations[-1], loop.joint_rotations[0])
    np.testing.assert_array_equal(loop.foot_contacts[-1], loop.foot_contacts[0])
    assert loop.root_positions[-1, 1] == loop.root_positions[0, 1]
    np.testing.assert_array_equal(loop.root_positions[-1, [0, 2]], dance.root_positions[2 * BAR_FRAMES, [0, 2]])
    np.testing.assert_allclose(loop.joint_rotations[:-1], dance.joint_rotations[: 2 * BAR_FRAMES], atol=1e-6)


def test_no_other_loop_has_a_smaller_seam(make_moving):
    dance = make_moving(num_frames=6 * BAR_FRAMES, seed=3)
    bars = range(0, 6 * BAR_FRAMES, BAR_FRAMES)
    dance = replace(dance, provenance={"downbeat_times_seconds": [frame / 30 for frame in bars]})
    _, seam = loop_of_whole_bars(dance)
    poses = in_place(dance).joint_positions().astype(np.float64)
    found = {}
    for start in bars:
        for end in bars:
            if end - start >= 3 * BAR_FRAMES:
                jump = np.linalg.norm(poses[end] - poses[start], axis=-1).mean()
                steps = [(poses[frame + 1] - poses[max(0, frame - 1)]) / (2 if frame else 1) for frame in (start, end)]
                speed = 30 * np.linalg.norm(steps[1] - steps[0], axis=-1).mean()
                found[start / 30, (end - start) // BAR_FRAMES] = (jump, speed)
    best = min(found, key=lambda loop: found[loop][0] + found[loop][1] / 10)
    assert (seam.start_seconds, seam.num_bars) == best
    assert (seam.position_jump_metres, seam.velocity_jump) == pytest.approx(found[best])
    assert len(found) == 6


def test_beats_count_from_the_first_frame_of_the_loop_and_the_repeated_one_has_none(dance):
    shifted = dance.cut(BAR_FRAMES // 2, dance.num_frames)
    beats = {key: np.array(dance.provenance[key]) - 20 / 30 for key in dance.provenance if key.endswith("seconds")}
    shifted = replace(shifted, provenance={key: value[value >= 0].tolist() for key, value in beats.items()})
    loop, seam = loop_of_whole_bars(shifted)
    assert seam.start_seconds > 0
    bars = loop.provenance["downbeat_times_seconds"]
    np.testing.assert_allclose(bars, np.arange(seam.num_bars) * BAR_FRAMES / 30, atol=1e-9)
    assert len(loop.provenance["beat_times_seconds"]) == 2 * seam.num_bars


@pytest.mark.parametrize(
    ("provenance", "message"),
    [
        ({}, "needs `downbeat_times_seconds` in the dance's provenance, got a dance without: give the song"),
        ({"downbeat_times_seconds": [1.0]}, "needs one whole bar, got a dance of 5.50 s with 1 downbeats"),
        ({"downbeat_times_seconds": [1.0, 90.0]}, "with 1 downbeats"),
    ],
)
def test_a_dance_without_whole_bars_is_refused(provenance, message, dance):
    with pytest.raises(ValueError, match=message):
        loop_of_whole_bars(replace(dance, provenance=provenance))
