"""The body in its clothes."""

import numpy as np
import pytest

from infinitedance.motion.drawing.body_mesh import bare_body, rest_positions, skin
from infinitedance.motion.drawing.clothes import MATERIALS, human_body
from infinitedance.motion.skeleton import NUM_JOINTS, neutral_skeleton

NAMES = [material.name for material in MATERIALS]


@pytest.fixture(scope="module")
def mesh():
    return human_body(neutral_skeleton())


def part(mesh, name):
    return mesh.vertices[mesh.parts == NAMES.index(name)]


def boundary(triangles):
    edges = np.sort(np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]]), axis=1)
    unique, counts = np.unique(edges, axis=0, return_counts=True)
    return unique[counts == 1]


def test_all_corners_of_a_triangle_have_one_material_and_all_triangles_have_one(mesh):
    parts = mesh.parts[mesh.triangles]
    assert (parts == parts[:, :1]).all()
    faces = np.concatenate([mesh.faces_of(index) for index in range(len(MATERIALS))])
    np.testing.assert_array_equal(np.sort(faces), np.arange(len(mesh.triangles)))


def test_clothes_are_where_one_wears_them(mesh):
    shirt, trousers, shoes, hair = (part(mesh, name) for name in ("shirt", "trousers", "shoes", "hair"))
    assert shirt[:, 1].max() < 0.52 < hair[:, 1].min()  # no collar over the chin
    assert 0.15 < np.abs(shirt[:, 0]).max() - 0.18 < 0.2  # sleeves
    assert shirt[:, 1].min() < trousers[:, 1].max() - 0.05  # the shirt hangs over the trousers
    assert trousers[:, 1].min() < shoes[:, 1].max()  # and these over the shoes
    hands = rest_positions(neutral_skeleton())[20, 0]
    skin_vertices = part(mesh, "skin")
    assert (np.abs(skin_vertices[:, 0]) > hands).sum() > 1000 and skin_vertices[:, 1].min() > -0.89  # hands, no toes


@pytest.mark.parametrize("name", ["shirt", "trousers"])
def test_cloth_lies_outside_the_body_and_has_a_level_hem(name, mesh):
    from scipy.spatial import cKDTree

    bare = bare_body()
    index = NAMES.index(name)
    triangles = mesh.triangles[mesh.faces_of(index)]
    distance, nearest = cKDTree(bare.vertices).query(part(mesh, name))
    outward = ((part(mesh, name) - bare.vertices[nearest]) * bare.normals()[nearest]).sum(axis=1)
    assert np.mean(outward > -0.005) > 0.97 and np.median(outward) > 0.008
    rims = mesh.vertices[np.unique(boundary(triangles))]
    hem = rims[rims[:, 1] < rims[:, 1].min() + 0.02]
    assert len(hem) > 30 and np.ptp(hem[:, 1]) < 0.006


def test_no_gap_opens_between_skin_and_cloth_when_an_arm_is_raised(mesh):
    """The skin goes on under the sleeve: what lies outside of it is never its edge."""
    turns = np.tile(np.eye(3), (NUM_JOINTS, 1, 1))
    angle = np.radians(70)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    rest = rest_positions(neutral_skeleton())
    shifts = np.zeros((NUM_JOINTS, 3))
    for joint in (16, 18, 20):  # the left arm turns about its shoulder
        turns[joint], shifts[joint] = turn, rest[16] - turn @ rest[16]
    moved = skin(mesh.vertices, mesh.joints, mesh.weights, turns, shifts)
    skin_faces = mesh.triangles[mesh.faces_of(NAMES.index("skin"))]
    edge = np.unique(boundary(skin_faces))
    edge = edge[(mesh.vertices[edge, 0] > 0.25) & (np.abs(mesh.vertices[edge, 1] - 0.42) < 0.1)]
    assert len(edge) > 10
    sleeve = moved[mesh.parts == NAMES.index("shirt")] @ turn  # back into the arm's frame, but for where the hem is
    hem = sleeve[mesh.vertices[mesh.parts == NAMES.index("shirt"), 0] > 0.3]
    assert (moved[edge] @ turn)[:, 0].max() < hem[:, 0].max() - 0.01


def test_the_face_has_eyes_brows_and_lips_on_both_sides_alike(mesh):
    for name in ("eyes", "irises", "lips"):
        vertices = part(mesh, name)
        assert len(vertices) > 20 and abs(vertices[:, 0].mean()) < 0.002 and vertices[:, 2].min() > 0.05
    eyes, lips = part(mesh, "eyes"), part(mesh, "lips")
    assert eyes[:, 1].min() > lips[:, 1].max()


def test_soles_stand_on_the_floor(mesh):
    floor = bare_body().vertices[:, 1].min()
    assert part(mesh, "soles")[:, 1].min() == pytest.approx(floor, abs=1e-4)
    assert mesh.vertices[:, 1].min() >= floor - 1e-4
