import numpy as np
import pytest

from infinitedance.capture.camera import Camera
from infinitedance.motion.drawing.body_mesh import skin
from infinitedance.motion.drawing.clothes import human_body
from infinitedance.motion.drawing.rasterizer import Canvas, View, draw_mesh, skin_with_normals
from infinitedance.motion.skeleton import NUM_JOINTS, neutral_skeleton

FRONT = np.diag([1.0, -1.0, -1.0])
"""A camera that looks along -z."""
RED, BLUE = np.tile([1.0, 0, 0], (3, 1)), np.tile([0, 0, 1.0], (3, 1))


@pytest.fixture
def view() -> View:
    return View((120, 80), 100.0, FRONT, np.array([0.0, 0.0, 5.0]))


def _triangle(size: float = 2.0, z: float = 0.0) -> np.ndarray:
    return np.array([[-size / 2, -size / 2, z], [size / 2, -size / 2, z], [-size / 2, size / 2, z]])


def _draw(canvas: Canvas, view: View, corners: np.ndarray, colors: np.ndarray) -> None:
    draw_mesh(canvas, view.project(corners), np.array([[0, 1, 2]]), colors)


def test_a_triangle_covers_its_area_and_knows_its_depth(view):
    canvas = Canvas.blank(view.image_size)
    _draw(canvas, view, _triangle(), RED)
    covered = canvas.nearness > 0
    assert covered.sum() == pytest.approx(40 * 40 / 2, rel=0.03)  # 2 m at 5 m with a focal length of 100 pixels
    np.testing.assert_allclose(canvas.nearness[covered], 1 / 5, rtol=1e-5)
    np.testing.assert_allclose(canvas.colors[covered], np.tile(RED[0], (covered.sum(), 1)), atol=1e-6)
    assert not canvas.colors[~covered].any()


def test_two_triangles_with_a_common_side_leave_no_gap(view):
    canvas = Canvas.blank(view.image_size)
    corners = np.array([[-1, -1, 0], [1, -1, 0], [1.0, 1, 0], [-1, 1, 0]]) * 0.77
    draw_mesh(canvas, view.project(corners), np.array([[0, 1, 2], [0, 2, 3]]), np.ones((4, 3)))
    covered = canvas.nearness > 0
    rows, columns = np.flatnonzero(covered.any(axis=1)), np.flatnonzero(covered.any(axis=0))
    assert covered[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()


@pytest.mark.parametrize("order", [(0.0, 1.0), (1.0, 0.0)])
def test_the_nearer_triangle_hides_the_other_whichever_is_drawn_first(view, order):
    canvas = Canvas.blank(view.image_size)
    for z in order:
        _draw(canvas, view, _triangle(z=z), BLUE if z else RED)
    np.testing.assert_allclose(canvas.colors[45, 52], BLUE[0])


def test_a_triangle_seen_from_behind_or_behind_the_camera_is_left_out(view):
    for corners in (_triangle()[::-1], _triangle(z=6.0), _triangle() * [1, 1, 0] + [[0, 0, 0], [0, 0, 0], [0, 0, 9]]):
        canvas = Canvas.blank(view.image_size)
        _draw(canvas, view, corners, RED)
        assert not canvas.nearness.any()


def test_colors_blend_between_the_corners(view):
    canvas = Canvas.blank(view.image_size)
    _draw(canvas, view, _triangle(), np.eye(3))
    covered = canvas.nearness > 0
    np.testing.assert_allclose(canvas.colors[covered].sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(canvas.colors[covered].mean(axis=0), 1 / 3, atol=0.02)


def test_a_view_projects_as_the_camera_does():
    rng = np.random.default_rng(0)
    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    position = rng.normal(size=3)
    points = position + (rng.uniform(-1, 1, (20, 3)) + [0, 0, 4]) @ rotation
    corners = View((640, 360), 500.0, rotation, position).project(points)
    camera = Camera((640, 360), 500.0, rotation[None], position)
    np.testing.assert_allclose(corners[:, :2], camera.project(points[None])[0], atol=1e-3)
    np.testing.assert_allclose(1 / corners[:, 2], camera.to_camera(points[None])[0, :, 2], rtol=1e-5)


def test_vertices_move_as_body_mesh_moves_them_and_normals_turn_with_them(generator):
    mesh = human_body(neutral_skeleton())
    rng = np.random.default_rng(0)
    rotations = np.linalg.qr(rng.normal(size=(NUM_JOINTS, 3, 3)))[0]
    rotations *= np.linalg.det(rotations)[:, None, None]
    shifts = rng.normal(size=(NUM_JOINTS, 3))
    moved, normals = skin_with_normals(
        mesh.vertices.astype(np.float32),
        mesh.normals().astype(np.float32),
        mesh.joints.astype(np.int32),
        mesh.weights.astype(np.float32),
        rotations,
        shifts,
    )
    np.testing.assert_allclose(moved, skin(mesh.vertices, mesh.joints, mesh.weights, rotations, shifts), atol=1e-5)
    rigid = mesh.weights[:, 0] == 1
    turned = np.einsum("vab,vb->va", rotations[mesh.joints[rigid, 0]], mesh.normals()[rigid])
    np.testing.assert_allclose(normals[rigid], turned, atol=1e-4)
