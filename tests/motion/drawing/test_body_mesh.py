"""The bodies of exported dances."""

import numpy as np
import pytest

from infinitedance.assets import BODY_MESH
from infinitedance.motion.drawing.body_mesh import (
    INFLUENCES,
    BodyMesh,
    capsule_body,
    fit_to_joints,
    rest_positions,
)
from infinitedance.motion.drawing.clothes import human_body
from infinitedance.motion.skeleton import JOINT_INDEX, JOINT_NAMES, MIRROR_ORDER, NUM_JOINTS, PARENTS, neutral_skeleton

BODIES = {"human": human_body, "capsules": capsule_body}


@pytest.fixture(params=BODIES)
def body(request) -> BodyMesh:
    return BODIES[request.param](neutral_skeleton())


def volume(mesh):
    corners = mesh.vertices[mesh.triangles]
    return np.einsum("ta,ta->t", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])).sum() / 6


def test_weights_are_shares_of_known_joints_and_every_joint_moves_something(body):
    assert body.joints.shape == body.weights.shape == (len(body.vertices), INFLUENCES)
    np.testing.assert_allclose(body.weights.sum(axis=1), 1, atol=1e-9)
    assert (body.weights >= 0).all() and body.joints.min() >= 0
    assert set(np.unique(body.joints[body.weights > 0.4])) == set(range(NUM_JOINTS))


def test_triangles_face_outwards_and_use_every_vertex(body):
    assert 0.03 < volume(body) < 0.15  # cubic metres; capsules overlap
    assert set(np.unique(body.triangles)) == set(range(len(body.vertices)))
    np.testing.assert_allclose(np.linalg.norm(body.normals(), axis=1), 1, atol=1e-6)


def test_what_a_joint_moves_lies_near_its_bone(body):
    rest = rest_positions(neutral_skeleton())
    for joint, name in enumerate(JOINT_NAMES):
        own = body.vertices[((body.joints == joint) & (body.weights > 0.4)).any(axis=1)]
        ends = [rest[child] for child, parent in enumerate(PARENTS) if parent == joint] or [rest[joint]]
        distances = []
        for end in ends:
            along = end - rest[joint]
            share = np.clip((own - rest[joint]) @ along / max(along @ along, 1e-12), 0, 1)
            distances.append(np.linalg.norm(own - rest[joint] - share[:, None] * along, axis=1))
        assert np.min(distances, axis=0).max() < 0.27, name


def test_the_body_stands_on_the_floor_as_tall_as_the_skeleton_says():
    mesh = human_body(neutral_skeleton())
    floor = rest_positions(neutral_skeleton())[JOINT_INDEX["left_foot"], 1] - neutral_skeleton().toe_rest_height
    assert mesh.vertices[:, 1].min() == pytest.approx(floor, abs=1e-3)
    assert np.ptp(mesh.vertices[:, 1]) == pytest.approx(1.70, abs=0.06)


def test_left_and_right_are_mirrored():
    mesh = human_body(neutral_skeleton())
    mirrored = mesh.vertices * [-1, 1, 1]
    order = np.lexsort(np.round(mesh.vertices, 3).T)
    other = np.lexsort(np.round(mirrored, 3).T)
    for axis in range(3):
        np.testing.assert_allclose(np.sort(mesh.vertices[order, axis]), np.sort(mirrored[other, axis]), atol=6e-3)
    shares = np.zeros(NUM_JOINTS)
    np.add.at(shares, mesh.joints, mesh.weights)
    np.testing.assert_allclose(shares, shares[list(MIRROR_ORDER)], rtol=5e-3)


def test_a_mesh_is_stretched_along_bones_and_not_thickened():
    mesh = capsule_body(neutral_skeleton())
    source = rest_positions(neutral_skeleton())
    target = source.copy()
    arm = [JOINT_INDEX["left_elbow"], JOINT_INDEX["left_wrist"]]
    target[arm, 0] += 0.2  # a longer upper arm
    fitted = fit_to_joints(mesh, source, target)
    upper = mesh.joints[:, 0] == JOINT_INDEX["left_shoulder"]
    factor = (target[arm[0], 0] - source[16, 0]) / (source[arm[0], 0] - source[16, 0])
    np.testing.assert_allclose(
        fitted.vertices[upper, 0] - source[16, 0], factor * (mesh.vertices[upper, 0] - source[16, 0]), atol=1e-9
    )
    np.testing.assert_allclose(fitted.vertices[upper, 1:], mesh.vertices[upper, 1:], atol=1e-9)
    lower = mesh.joints[:, 0] == arm[0]
    np.testing.assert_allclose(fitted.vertices[lower], mesh.vertices[lower] + [0.2, 0, 0], atol=1e-9)


def test_the_license_of_the_mesh_stands_beside_it_and_in_every_export():
    note = BODY_MESH.with_name("BODY_MESH.md").read_text(encoding="utf-8")
    assert "CC0" in note and "MakeHuman" in note and "make_body_mesh" in note
    assert "CC0" in human_body(neutral_skeleton()).note
    assert BODY_MESH.stat().st_size < 200_000
