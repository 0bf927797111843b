from dataclasses import replace

import numpy as np
import pytest

from infinitedance.dataset_builder.augmentation.body import recombine
from infinitedance.motion.files.anatomy import mirrored_motion
from infinitedance.motion.fingers import (
    FINGER_JOINT_NAMES,
    FINGER_MIRROR_ORDER,
    JOINTS_OF_HAND,
    NUM_FINGER_JOINTS,
    PARENT_JOINTS,
    finger_offsets,
    fingertip_offsets,
    flat_fingers,
)
from infinitedance.motion.finishing.blending import blend, joined, sample_at, take
from infinitedance.motion.finishing.finishing import finish
from infinitedance.motion.looping import loop_of_whole_bars
from infinitedance.motion.motion import Motion
from infinitedance.motion.retargeting.retargeting import put_on_floor, retarget
from infinitedance.motion.skeleton import JOINT_INDEX, JOINT_NAMES, neutral_skeleton
from infinitedance.restoration.pipeline_frdm import RestoredMotion, join

FINGERTIP_MIRROR_ORDER = (*range(5, 10), *range(5))


def t_pose() -> Motion:
    rotations = np.zeros((1, 22, 4))
    rotations[..., 0] = 1
    return Motion(30.0, np.array([[0.0, 0.9, 0.0]]), rotations, finger_rotations=flat_fingers(1))


def test_names_and_parents_are_those_of_smpl_x():
    assert FINGER_JOINT_NAMES[:4] == ("left_index1", "left_index2", "left_index3", "left_middle1")
    assert FINGER_JOINT_NAMES[6:15:3] == ("left_pinky1", "left_ring1", "left_thumb1")
    assert FINGER_JOINT_NAMES[15] == "right_index1" and len(set(FINGER_JOINT_NAMES)) == 30
    all_names = (*JOINT_NAMES, *FINGER_JOINT_NAMES)
    parents = dict(zip(FINGER_JOINT_NAMES, (all_names[parent] for parent in PARENT_JOINTS), strict=True))
    assert (parents["left_ring1"], parents["left_ring2"], parents["right_thumb3"]) == (
        "left_wrist",
        "left_ring1",
        "right_thumb2",
    )
    assert parents["right_index1"] == "right_wrist"


def test_a_hand_at_rest_is_flat_as_long_as_published_and_its_thumb_points_ahead():
    motion = t_pose()
    places, wrist = motion.finger_positions()[0], motion.joint_positions()[0, JOINT_INDEX["left_wrist"]]
    middle_tip, thumb_tip = places[NUM_FINGER_JOINTS + 1] - wrist, places[NUM_FINGER_JOINTS + 4] - wrist
    assert 0.98 < middle_tip[0] / (0.108 * 1.70) < 1.0
    fingers = [joint for joint in range(JOINTS_OF_HAND) if "thumb" not in FINGER_JOINT_NAMES[joint]]
    np.testing.assert_allclose(places[fingers, 1], wrist[1], atol=1e-6)
    assert thumb_tip[2] > 0.08 and thumb_tip[0] > 0.05


def test_a_curled_finger_bends_toward_the_palm_and_moves_no_other():
    fingers = flat_fingers(1)
    fingers[0, FINGER_JOINT_NAMES.index("left_index1")] = [np.sqrt(0.5), 0, 0, -np.sqrt(0.5)]  # -90 degrees about +Z
    still, bent = t_pose(), replace(t_pose(), finger_rotations=fingers)
    difference = (bent.finger_positions() - still.finger_positions())[0]
    length = fingertip_offsets(still.skeleton)[0, 0] + finger_offsets(still.skeleton)[1:3, 0].sum()
    np.testing.assert_allclose(difference[NUM_FINGER_JOINTS], [-length, -length, 0], atol=1e-6)
    moved = np.linalg.norm(difference, axis=-1) > 1e-6
    assert np.flatnonzero(moved).tolist() == [1, 2, NUM_FINGER_JOINTS]


def test_hands_are_as_large_as_their_body():
    skeleton = neutral_skeleton()
    np.testing.assert_allclose(finger_offsets(skeleton.scaled(0.7)), 0.7 * finger_offsets(skeleton))


def test_mirroring_reflects_every_finger(with_fingers):
    order = [*FINGER_MIRROR_ORDER, *(NUM_FINGER_JOINTS + tip for tip in FINGERTIP_MIRROR_ORDER)]
    reflected = with_fingers.finger_positions()[:, order] * [-1, 1, 1]
    np.testing.assert_allclose(with_fingers.mirror().finger_positions(), reflected, atol=1e-5)
    twice = with_fingers.mirror().mirror()
    np.testing.assert_array_equal(twice.finger_rotations, with_fingers.finger_rotations)


def test_a_mirror_image_with_the_same_names_keeps_its_fingers_on_their_side(with_fingers):
    mirrored = mirrored_motion(with_fingers).finger_rotations
    np.testing.assert_allclose(mirrored, with_fingers.finger_rotations * np.float32([1, 1, -1, -1]), atol=1e-6)


def test_fingers_go_where_their_frames_go(with_fingers):
    fingers = with_fingers.finger_rotations
    np.testing.assert_array_equal(with_fingers.cut(3, 9).finger_rotations, fingers[3:9])
    np.testing.assert_array_equal(take(with_fingers, [5, 2]).finger_rotations, fingers[[5, 2]])
    np.testing.assert_array_equal(retarget(with_fingers).finger_rotations, fingers)
    np.testing.assert_allclose(
        sample_at(with_fingers, np.array([4.0, 7.0])).finger_rotations, fingers[[4, 7]], atol=1e-6
    )
    halves = joined([with_fingers.cut(0, 10), with_fingers.cut(10, 30)])
    np.testing.assert_array_equal(halves.finger_rotations, fingers[:30])
    upper = recombine(replace(with_fingers, finger_rotations=None).cut(0, 20), with_fingers)
    np.testing.assert_array_equal(upper.finger_rotations, fingers[:20])


def test_resampled_fingers_keep_shared_frames_and_lie_between_them(with_fingers):
    doubled = with_fingers.resample(60.0)
    np.testing.assert_allclose(doubled.finger_rotations[::2], with_fingers.finger_rotations, atol=1e-6)
    middle = with_fingers.finger_rotations[:-1] + with_fingers.finger_rotations[1:]
    middle /= np.linalg.norm(middle, axis=-1, keepdims=True)
    np.testing.assert_allclose(doubled.finger_rotations[1::2], middle, atol=1e-4)


def test_a_blend_ends_with_the_fingers_of_the_second_and_a_dance_without_has_flat_ones(with_fingers):
    other = with_fingers.mirror()
    num_frames = with_fingers.num_frames
    ends = blend(with_fingers, other, np.ones(num_frames)).finger_rotations
    assert np.abs((ends * other.finger_rotations).sum(-1)).min() > 1 - 1e-5
    bare = replace(with_fingers, finger_rotations=None)
    np.testing.assert_allclose(
        blend(bare, with_fingers, np.zeros(num_frames)).finger_rotations, flat_fingers(num_frames), atol=1e-6
    )
    np.testing.assert_array_equal(joined([bare, with_fingers]).finger_rotations[:num_frames], flat_fingers(num_frames))
    assert (
        joined([bare, bare]).finger_rotations is None
        and blend(bare, bare, np.zeros(num_frames)).finger_rotations is None
    )


def test_restored_pieces_keep_the_fingers_of_the_dance(with_fingers):
    dance = replace(with_fingers, foot_contacts=np.zeros((with_fingers.num_frames, 4), dtype=bool))
    probabilities = np.zeros((60, 4))
    parts = [RestoredMotion(dance.cut(0, 60), probabilities), RestoredMotion(dance.cut(60, 120), probabilities)]
    np.testing.assert_array_equal(join(dance, parts).motion.finger_rotations, with_fingers.finger_rotations)


def test_a_loop_ends_with_the_fingers_of_its_first_frame(with_fingers):
    dance = replace(with_fingers, provenance={"downbeat_times_seconds": [0.0, 1.0, 2.0, 3.0]})
    loop = loop_of_whole_bars(dance)[0]
    np.testing.assert_array_equal(loop.finger_rotations[-1], loop.finger_rotations[0])


@pytest.mark.parametrize("settings", [{"end_seconds": 3.0}, {"fade_out_seconds": (2.0, 3.5)}])
def test_a_finished_dance_has_fingers_that_do_not_jump(with_fingers, settings):
    finished = finish(
        put_on_floor(with_fingers), silences_seconds=[(1.0, 2.5)], radius_metres=2.0, bar_seconds=1.0, **settings
    )
    fingers = finished.finger_rotations
    assert fingers.shape == with_fingers.finger_rotations.shape
    steps = np.abs((fingers[1:] * fingers[:-1]).sum(-1)).min()
    assert steps > 0.9
    assert finish(replace(with_fingers, finger_rotations=None), **settings).finger_rotations is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda fingers: fingers[:-1], r"must have shape \(120, 30, 4\)"),
        (lambda fingers: fingers[:, :15], r"must have shape \(120, 30, 4\)"),
        (lambda fingers: fingers * 1.1, "must be unit quaternions"),
        (lambda fingers: np.where(fingers == fingers.max(), np.nan, fingers), "holds NaN or infinity in 1 of"),
    ],
)
def test_bad_fingers_are_refused(with_fingers, change, message):
    with pytest.raises(ValueError, match="finger_rotations` " + message):
        replace(with_fingers, finger_rotations=change(with_fingers.finger_rotations))
