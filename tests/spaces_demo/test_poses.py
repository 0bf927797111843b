import re

import numpy as np

from infinitedance.motion.motion import Motion
from infinitedance.spaces_demo.poses import draw_poses


def points(path: str) -> np.ndarray:
    """Return the ends of the lines of a path, `(lines, 2, 2)`."""
    return np.array(re.findall(r"-?\d+", path), int).reshape(-1, 2, 2)


def standing(yaw: float, num_frames: int = 9) -> Motion:
    rotations = np.zeros((num_frames, 22, 4))
    rotations[..., 0] = 1
    rotations[:, 0, 0], rotations[:, 0, 2] = np.cos(yaw / 2), np.sin(yaw / 2)
    return Motion(30.0, np.tile([5.0, 0.93, -3.0], (num_frames, 1)), rotations)


def test_three_poses_stand_side_by_side_on_one_floor_seen_from_the_front():
    drawn = draw_poses(standing(0.0))
    width, height = drawn["size"]
    left, right = points(drawn["left"]), points(drawn["right"])
    assert len(drawn["heads"]) == 3 and len(left) == len(right) == 3 * 6
    everything = np.concatenate([left, right, points(drawn["trunk"])]).reshape(-1, 2)
    assert (everything >= 0).all() and (everything <= [width, height]).all()
    # Seen from the front, the left side is on the right of the picture.
    assert (left.reshape(3, -1, 2).mean(axis=1) > right.reshape(3, -1, 2).mean(axis=1))[:, 0].all()
    lowest = left.reshape(3, -1, 2)[..., 1].max(axis=1)
    assert np.ptp(lowest) == 0


def test_a_pose_looks_the_same_wherever_the_dancer_looks():
    np.testing.assert_allclose(
        points(draw_poses(standing(0.0))["left"]), points(draw_poses(standing(2.0))["left"]), atol=1
    )


def test_the_most_outstretched_pose_is_drawn():
    motion = standing(0.0)
    motion.joint_rotations[4, 16] = [np.cos(0.7), 0, 0, np.sin(0.7)]  # the left arm goes up in the middle
    left = points(draw_poses(motion)["left"]).reshape(3, -1, 2)
    assert left[1, :, 1].min() < left[0, :, 1].min() - 30 and left[0, :, 1].min() == left[2, :, 1].min()


def test_a_dance_of_one_frame_is_drawn_once():
    assert len(draw_poses(standing(0.0, 1))["heads"]) == 1
