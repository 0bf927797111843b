"""Where dancers stand and what the cameras see."""

from dataclasses import replace

import numpy as np
import pytest

from infinitedance.motion.drawing.scene import CAMERAS, build_scene
from infinitedance.motion.motion import Motion
from infinitedance.motion.skeleton import JOINT_INDEX

SIZE = (320, 240)


def standing(num_frames=60, place=(0.0, 0.0), yaw_degrees=0.0, **changes):
    """A body in its rest pose on a place of the floor, which looks along +Z if it is not turned."""
    rotations = np.zeros((num_frames, 22, 4))
    rotations[..., 0] = 1
    half = np.radians(yaw_degrees) / 2
    rotations[:, 0] = [np.cos(half), 0, np.sin(half), 0]
    root = np.tile([place[0], 0.98, place[1]], (num_frames, 1))
    return replace(Motion(30.0, root, rotations), **changes)


def walking(num_frames=90, length=8.0):
    path = np.stack([np.linspace(0, length, num_frames), np.full(num_frames, 0.98), np.zeros(num_frames)], axis=-1)
    return standing(num_frames, root_positions=path)


def pixel(scene, joint, frame=0, dancer=0):
    return scene.project(scene.joint_positions[dancer, frame, JOINT_INDEX[joint]], frame)[0]


@pytest.mark.parametrize("camera", CAMERAS)
@pytest.mark.parametrize("num_dancers", [1, 2])
def test_every_camera_keeps_everybody_in_the_picture(camera, num_dancers, moving):
    scene = build_scene([walking(), moving.cut(0, 60)][:num_dancers], SIZE, camera)
    assert (scene.centers - scene.radii[..., None] >= 0).all()
    assert (scene.centers + scene.radii[..., None] <= np.array(SIZE)).all()
    nearest = (np.array(SIZE) / 2 - np.abs(scene.centers - np.array(SIZE) / 2) - scene.radii[..., None]).min()
    assert nearest < 0.12 * max(SIZE) / 2 + 1  # and no further away than that takes


def test_the_front_camera_stands_still_before_the_face_and_the_side_camera_at_the_left():
    motion = walking()
    front, side = (build_scene(motion, SIZE, camera) for camera in ("front", "side"))
    for scene in (front, side):
        assert (scene.cameras == scene.cameras[0]).all() and (scene.views == scene.views[0]).all()
    left, right = (pixel(front, f"{name}_shoulder") for name in ("left", "right"))
    assert left[0] - right[0] > 8 and abs(left[1] - right[1]) < 2
    assert pixel(front, "pelvis", 0)[0] < SIZE[0] / 2 < pixel(front, "pelvis", -1)[0]  # the dancer walks to its left
    toward_left = front.joint_positions[0, 0, JOINT_INDEX["left_hip"]] - front.joint_positions[0, 0, 0]
    assert (side.cameras[0] - side.joint_positions[0, 0, 0]) @ toward_left > 0
    assert abs(pixel(side, "head", 0)[0] - pixel(side, "head", -1)[0]) < 40  # and toward the camera there


def test_the_orbit_goes_once_around_in_24_seconds_at_one_distance():
    scene = build_scene(standing(24 * 30 + 1), SIZE, "orbit")
    around = scene.cameras - scene.joint_positions[0, :, 0]
    angles = np.unwrap(np.arctan2(around[:, 0], around[:, 2]))
    np.testing.assert_allclose(np.diff(angles), 2 * np.pi / (24 * 30), rtol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(around, axis=1), np.linalg.norm(around[0]), rtol=1e-6)
    np.testing.assert_allclose(scene.cameras[-1], scene.cameras[0], atol=1e-6)


@pytest.mark.parametrize("yaw", [0, 90, 200])
def test_dancers_who_would_stand_in_each_other_stand_side_by_side_as_the_camera_sees_them(yaw):
    scene = build_scene([standing(yaw_degrees=yaw), standing(yaw_degrees=yaw)], SIZE)
    first, second = scene.joint_positions[:, 0, 0]
    assert np.linalg.norm(second - first) == pytest.approx(1.5, abs=1e-5)
    assert pixel(scene, "pelvis", dancer=1)[0] - pixel(scene, "pelvis", dancer=0)[0] > 30
    np.testing.assert_allclose(first, [0, 0.98, 0], atol=1e-6)


def test_dancers_who_cross_each_other_never_come_nearer_than_that():
    first, second = walking(), walking(length=-8.0)
    scene = build_scene([first, second], SIZE)
    apart = np.linalg.norm(scene.joint_positions[1, :, 0] - scene.joint_positions[0, :, 0], axis=-1)
    assert apart.min() == pytest.approx(1.5, abs=1e-4)
    steps = np.diff(scene.joint_positions[1, :, 0], axis=0)  # the whole dance is moved, not bent
    np.testing.assert_allclose(steps, np.diff(second.root_positions, axis=0), atol=1e-5)


@pytest.mark.parametrize("place", [(0.6, 0.0), (0.0, 3.0)])
def test_dancers_with_room_keep_their_places(place):
    scene = build_scene([standing(), standing(place=place)], SIZE)
    np.testing.assert_allclose(scene.joint_positions[1, :, 0], [[place[0], 0.98, place[1]]] * 60, atol=1e-6)


def test_a_dancer_out_of_sight_is_brought_beside_the_other():
    scene = build_scene([standing(), standing(place=(40.0, 7.0))], SIZE)
    assert np.linalg.norm(scene.joint_positions[1, 0, 0] - scene.joint_positions[0, 0, 0]) == pytest.approx(1.5)


def test_the_shorter_dance_ends_in_its_last_pose(moving):
    scene = build_scene([moving.cut(0, 40), moving.cut(0, 70)], SIZE)
    assert scene.num_frames == 70
    first = scene.joint_positions[0]
    np.testing.assert_array_equal(first[40:], np.broadcast_to(first[39], (30, 22, 3)))
    assert np.abs(first[38] - first[39]).max() > 1e-4


@pytest.mark.parametrize(
    ("dances", "camera", "message"),
    [
        ([], "follow", "one dancer or two, of one frame rate; got 0: none"),
        ([standing()] * 3, "follow", "got 3: 30 Hz, 30 Hz, 30 Hz"),
        ([standing(), standing(frame_rate=25.0)], "follow", "got 2: 30 Hz, 25 Hz"),
        ([standing()], "drone", "must be one of follow, front, side, orbit, got 'drone'"),
    ],
)
def test_a_wrong_scene_is_refused(dances, camera, message):
    with pytest.raises(ValueError, match=message):
        build_scene(dances, SIZE, camera)
