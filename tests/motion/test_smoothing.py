import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from infinitedance.motion.motion import Motion
from infinitedance.motion.smoothing import smooth_motion

DEVIATION_SECONDS = 0.02


def swinging(frequency_hz: float, amplitude: float) -> Motion:
    """The left elbow swings about one axis and the root sways, 10 s at 30 Hz."""
    swing = amplitude * np.sin(2 * np.pi * frequency_hz * np.arange(300) / 30)
    rotations = np.zeros((300, 22, 4))
    rotations[..., 0] = 1
    rotations[:, 18] = Rotation.from_rotvec(swing[:, None] * [0, 0, 1]).as_quat(scalar_first=True)
    return Motion(30.0, np.stack([swing, np.ones(300), np.zeros(300)], axis=1), rotations)


def swing_of(motion: Motion) -> tuple[np.ndarray, np.ndarray]:
    """Return the elbow's angle and the root's sway away from the ends, where a filter has less to average."""
    turned = Rotation.from_quat(motion.joint_rotations[:, 18], scalar_first=True).as_rotvec()
    return turned[30:-30, 2], motion.root_positions[30:-30, 0]


@pytest.mark.parametrize("frequency_hz", [2.0, 10.0])
def test_a_swing_keeps_what_the_gaussian_lets_through(frequency_hz):
    before, after = (
        swing_of(motion)
        for motion in (swinging(frequency_hz, 0.3), smooth_motion(swinging(frequency_hz, 0.3), DEVIATION_SECONDS))
    )
    times = np.arange(-2, 3) / 30
    weights = np.exp(-((times / DEVIATION_SECONDS) ** 2) / 2)
    kept = (weights * np.cos(2 * np.pi * frequency_hz * times)).sum() / weights.sum()
    for swing, smoothed, tolerance in zip(before, after, (5e-3, 1e-5), strict=True):  # rotations: to second order
        assert smoothed.std() / swing.std() == pytest.approx(kept, abs=tolerance)


def test_signs_of_quaternions_do_not_matter():
    motion = swinging(2.0, 1.0)
    signs = np.where(np.arange(300) % 3 == 0, -1, 1)[:, None, None]
    flipped = Motion(30.0, motion.root_positions, motion.joint_rotations * signs)
    expected = smooth_motion(motion, DEVIATION_SECONDS).joint_positions()
    np.testing.assert_allclose(smooth_motion(flipped, DEVIATION_SECONDS).joint_positions(), expected, atol=1e-6)


def test_a_still_dancer_stays_where_it_is():
    motion = swinging(2.0, 0.0)
    np.testing.assert_allclose(smooth_motion(motion, 0.1).joint_positions(), motion.joint_positions(), atol=1e-6)


def test_a_width_that_is_none_is_refused():
    with pytest.raises(ValueError, match="positive"):
        smooth_motion(swinging(2.0, 0.3), 0.0)
