"""Pictures as OpenPose draws them, beside the tables of that program's 18 points."""

from dataclasses import replace

import numpy as np
import pytest

from infinitedance.motion.motion import Motion
from infinitedance.motion.skeleton import JOINT_INDEX

pytest.importorskip("cv2", reason="needs the extra `video`")

from infinitedance.motion.drawing.drawing import Painter  # noqa: E402
from infinitedance.motion.drawing.openpose import COLORS, KEYPOINTS, LIMBS, OpenPoses  # noqa: E402
from infinitedance.motion.drawing.scene import build_scene  # noqa: E402

SIZE = (512, 512)
# As published with the ControlNet that is driven by them: points count from 1.
LIMB_TABLE = [
    *([2, 3], [2, 6], [3, 4], [4, 5], [6, 7], [7, 8], [2, 9], [9, 10], [10, 11], [2, 12], [12, 13], [13, 14]),
    *([2, 1], [1, 15], [15, 17], [1, 16], [16, 18]),
]


def standing(yaw_degrees=0.0):
    rotations = np.zeros((1, 22, 4))
    rotations[..., 0] = 1
    half = np.radians(yaw_degrees) / 2
    rotations[:, 0] = [np.cos(half), 0, np.sin(half), 0]
    return Motion(30.0, np.array([[0.0, 0.98, 0.0]]), rotations)


def seen_from(degrees):
    """The scene of a dancer who looks at the camera, then turned away from it by an angle."""
    scene = build_scene(standing(), SIZE, "front")
    turned = build_scene(standing(degrees), SIZE, "front")
    return replace(turned, cameras=scene.cameras, views=scene.views)


def test_points_limbs_and_colors_are_those_of_the_model_of_18_points():
    assert (
        KEYPOINTS[0] == "nose"
        and KEYPOINTS[1] == "neck"
        and KEYPOINTS[14:]
        == (
            "right_eye",
            "left_eye",
            "right_ear",
            "left_ear",
        )
    )
    assert [[start + 1, end + 1] for start, end in LIMBS] == LIMB_TABLE
    assert COLORS[0] == (255, 0, 0) and COLORS[4] == (170, 255, 0) and COLORS[13] == (85, 0, 255)
    assert COLORS[17] == (255, 0, 85) and len(set(COLORS)) == 18


def test_points_are_drawn_in_their_colors_on_black_where_the_joints_are():
    scene = seen_from(0)
    image = Painter(scene, "openpose").draw(0)
    for name in ("right_wrist", "left_wrist", "right_knee", "left_ankle"):
        x, y = scene.project(scene.joint_positions[0, 0, JOINT_INDEX[name]], 0)[0].round().astype(int)
        assert tuple(image[y, x, ::-1]) == COLORS[KEYPOINTS.index(name)], name
    elbow, wrist = (
        scene.project(scene.joint_positions[0, 0, JOINT_INDEX[f"left_{name}"]], 0)[0] for name in ("elbow", "wrist")
    )
    x, y = ((elbow + wrist) / 2).round().astype(int)
    limb = LIMBS.index((6, 7))
    np.testing.assert_allclose(image[y, x, ::-1], 0.6 * np.array(COLORS[limb]), atol=1)
    assert not image[:20].any() and (image.max(axis=2) > 0).mean() < 0.05


@pytest.mark.parametrize(
    ("degrees", "hidden"),
    [
        (0, set()),
        (90, {"left_eye", "left_ear"}),
        (180, {"nose", "left_eye", "right_eye"}),
        (-90, {"right_eye", "right_ear"}),
    ],
)
def test_what_looks_away_is_not_drawn(degrees, hidden):
    _, seen = OpenPoses(seen_from(degrees)).keypoints(0, 0)
    assert {name for name, visible in zip(KEYPOINTS, seen, strict=True) if not visible} == hidden


def test_the_face_is_where_the_eyes_of_the_mesh_are():
    from infinitedance.motion.drawing.clothes import MATERIALS, human_body

    motion = standing()
    scene = seen_from(0)
    points, _ = OpenPoses(scene).keypoints(0, 0)
    mesh = human_body(motion.skeleton)
    eyes = mesh.vertices[mesh.parts == [each.name for each in MATERIALS].index("irises")] + [0, 0.98, 0]
    for name, side in (("left_eye", 1), ("right_eye", -1)):
        middle = scene.project(eyes[eyes[:, 0] * side > 0].mean(axis=0), 0)[0]
        assert np.abs(points[KEYPOINTS.index(name)] - middle).max() < 4


def test_two_dancers_are_drawn_as_two_people():
    scene = build_scene([standing(), standing()], SIZE)
    image = Painter(scene, "openpose").draw(0)
    for dancer in (0, 1):
        x, y = scene.project(scene.joint_positions[dancer, 0, JOINT_INDEX["right_knee"]], 0)[0].round().astype(int)
        assert tuple(image[y, x, ::-1]) == COLORS[KEYPOINTS.index("right_knee")]
