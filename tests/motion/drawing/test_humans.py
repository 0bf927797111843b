"""The drawn body in clothes, and the dancer alone."""

from dataclasses import replace

import numpy as np
import pytest

from infinitedance.motion.motion import Motion
from infinitedance.motion.skeleton import JOINT_INDEX

pytest.importorskip("cv2", reason="needs the extra `video`")

from infinitedance.motion.drawing.drawing import BODIES, Painter  # noqa: E402
from infinitedance.motion.drawing.scene import build_scene  # noqa: E402

SIZE = (320, 240)


def standing(**changes):
    rotations = np.zeros((2, 22, 4))
    rotations[..., 0] = 1
    return replace(Motion(30.0, np.tile([0.0, 0.98, 0.0], (2, 1)), rotations), **changes)


def color_at(scene, image, joint, dancer=0, lift=(0.0, 0.0, 0.0)):
    point = scene.joint_positions[dancer, 0, JOINT_INDEX[joint]] + lift
    x, y = scene.project(point, 0)[0].round().astype(int)
    blue, green, red = image[y, x, :3].astype(int)
    return red, green, blue


def test_a_human_wears_a_blue_shirt_dark_trousers_and_has_skin_on_hands():
    scene = build_scene(standing(), SIZE, "front")
    image = Painter(scene, "human").draw(0)
    red, green, blue = color_at(scene, image, "spine2")
    assert blue > red + 60 and green > red + 40
    red, green, blue = color_at(scene, image, "left_wrist", lift=(0.08, 0, 0))
    assert red > blue + 40
    assert max(color_at(scene, image, "left_knee")) < 110
    assert min(color_at(scene, image, "left_foot", lift=(0, 0.01, 0.02))) > 100  # white shoes
    assert not np.array_equal(image, Painter(scene, "human").background)


def test_two_humans_wear_different_clothes_and_the_nearer_one_hides_the_other():
    behind = standing(root_positions=np.tile([0.0, 0.98, -1.5], (2, 1)))
    scene = build_scene([standing(), behind], SIZE, "front")
    image = Painter(scene, "human").draw(0)
    red, _, blue = color_at(scene, image, "spine2")
    assert blue > red + 60
    swapped = build_scene([behind, standing()], SIZE, "front")
    red, _, blue = color_at(swapped, Painter(swapped, "human").draw(0), "spine2", dancer=1)
    assert red > blue + 40


def test_a_body_outside_the_picture_is_left_out():
    scene = build_scene(standing(), SIZE)
    painter = Painter(replace(scene, cameras=scene.cameras + [30.0, 0, 0]), "human")
    image = np.zeros_like(painter.background)
    painter.figures.draw(image, 0)
    assert not image.any()


@pytest.mark.parametrize("body", BODIES)
def test_a_dancer_alone_lies_over_any_picture_as_it_is_drawn_on_it(body):
    scene = build_scene(standing(), SIZE)
    painter = Painter(scene, body)
    alone = painter.draw_alone(0).astype(float)
    share = alone[..., 3:] / 255
    assert alone.shape == (240, 320, 4) and 0.01 < (share > 0).mean() < 0.3
    assert not alone[share[..., 0] == 0].any() and (share[..., 0] == 1).sum() > 500
    for under in (np.array([40, 200, 90]), np.array([250, 250, 250])):
        drawn = np.broadcast_to(under, (240, 320, 3)).astype(np.uint8).copy()
        painter.figures.draw(drawn, 0)
        laid = alone[..., :3] * share + under * (1 - share)
        assert np.abs(laid - drawn).mean() < 0.1 and np.percentile(np.abs(laid - drawn), 99.9) < 6


def test_edges_of_a_human_are_smooth():
    painter = Painter(build_scene(standing(), SIZE), "human")
    opacity = painter.draw_alone(0)[..., 3]
    assert {0, 64, 128, 191, 255} <= set(np.unique(opacity).tolist()) | {63, 64, 127, 128, 191, 192}
    assert ((opacity > 0) & (opacity < 255)).sum() > 200


def test_the_rings_of_planted_feet_are_drawn_for_capsules_only():
    planted = standing(foot_contacts=np.ones((2, 4), dtype=bool))
    free = standing(foot_contacts=np.zeros((2, 4), dtype=bool))
    same = {
        body: np.array_equal(*(Painter(build_scene(each, SIZE), body).draw(0) for each in (planted, free)))
        for body in BODIES
    }
    assert same == {"human": True, "capsules": False, "openpose": True}


def test_an_unknown_body_is_refused():
    with pytest.raises(ValueError, match="must be one of human, capsules, openpose, got 'robot'"):
        Painter(build_scene(standing(), SIZE), "robot")
