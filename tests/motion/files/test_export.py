"""Exported dances, read back by others: pygltflib, pxr, bvhio, SciPy; what is asked for wrongly is told."""

import csv
import importlib.util
import json
from dataclasses import replace

import numpy as np
import pytest
import roma
import torch
from scipy.spatial.transform import Rotation

from infinitedance.motion.drawing.body_mesh import capsule_body, rest_positions, skin
from infinitedance.motion.drawing.clothes import human_body
from infinitedance.motion.files import (
    BONE_NAMES,
    EXPORT_FORMATS,
    check_export_path,
    export_motion,
    load_motion,
    read_bvh,
)
from infinitedance.motion.files.bone_names import FINGER_BONE_NAMES
from infinitedance.motion.fingers import FINGER_JOINT_NAMES, NUM_FINGER_JOINTS
from infinitedance.motion.kinematics import forward_kinematics
from infinitedance.motion.skeleton import JOINT_NAMES, NUM_JOINTS, PARENTS

MILLIMETRE = 1e-3
NOTES = {
    "model": "choreollama-research",
    "seed": 7,
    "license": "research only",
    "beat_times_seconds": [0.5, 1.0, 1.5],
    "downbeat_times_seconds": [0.5],
    "references": [{"hits": [{"clip_id": "waltz_3", "license": "CC BY 4.0"}]}],
}


@pytest.fixture
def dance(make_moving):
    return replace(make_moving(num_frames=60), provenance=NOTES)


def quaternions_to_matrices(xyzw):
    return roma.unitquat_to_rotmat(torch.from_numpy(np.array(xyzw, dtype=np.float64))).numpy()


class Glb:
    """A GLB as pygltflib reads it, posed by the rules of the glTF specification."""

    def __init__(self, path):
        pygltflib = pytest.importorskip("pygltflib")
        self.gltf = pygltflib.GLTF2().load_binary(str(path))
        self.blob = self.gltf.binary_blob()
        self.names = [node.name for node in self.gltf.nodes]
        self.parents = {child: node for node, value in enumerate(self.gltf.nodes) for child in value.children or []}

    def array(self, accessor):
        entry = self.gltf.accessors[accessor]
        view = self.gltf.bufferViews[entry.bufferView]
        dtype = {5121: "<u1", 5123: "<u2", 5126: "<f4"}[entry.componentType]
        width = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}[entry.type]
        return np.frombuffer(self.blob, dtype, entry.count * width, view.byteOffset).reshape(entry.count, width)

    def node_matrices(self):
        """Global matrices of the nodes at the keys, `(frames, nodes, 4, 4)`."""
        animation = self.gltf.animations[0]
        times = self.array(animation.samplers[0].input)[:, 0]
        local = np.tile(np.eye(4), (len(times), len(self.gltf.nodes), 1, 1))
        for index, node in enumerate(self.gltf.nodes):
            local[:, index, :3, 3] = node.translation or 0
            local[:, index, :3, :3] = quaternions_to_matrices(node.rotation or [0, 0, 0, 1])
        for channel in animation.channels:
            keys = self.array(animation.samplers[channel.sampler].output)
            if channel.target.path == "translation":
                local[:, channel.target.node, :3, 3] = keys
            else:
                local[:, channel.target.node, :3, :3] = quaternions_to_matrices(keys)
        placed = {}

        def place(node):
            if node not in placed:
                parent = self.parents.get(node)
                placed[node] = local[:, node] if parent is None else place(parent) @ local[:, node]
            return placed[node]

        return times, np.stack([place(node) for node in range(len(self.gltf.nodes))], axis=1)

    def positions(self, names):
        return self.node_matrices()[1][..., :3, 3][:, [self.names.index(name) for name in names]]

    def skinned_vertices(self, frame):
        """The body in a frame, `(vertices, 3)`: the weighted `joint matrix @ inverse bind matrix` of each vertex."""
        matrices = self.node_matrices()[1][frame]
        skin = self.gltf.skins[0]
        inverse_bind = self.array(skin.inverseBindMatrices).reshape(-1, 4, 4).transpose(0, 2, 1)
        moves = matrices[skin.joints] @ inverse_bind
        vertices, joints, weights = (
            np.concatenate([self.array(getattr(each.attributes, name)) for each in self.gltf.meshes[0].primitives])
            for name in ("POSITION", "JOINTS_0", "WEIGHTS_0")
        )
        blended = (moves[joints] * (weights / 255)[..., None, None]).sum(axis=1)
        return np.einsum("vab,vb->va", blended[:, :3, :3], vertices) + blended[:, :3, 3]


def expected_vertices(motion, body, frame):
    """The body in a frame by our own kinematics."""
    positions, rotations = forward_kinematics(
        motion.joint_rotations_matrix()[frame],
        torch.from_numpy(motion.root_positions[frame]).double(),
        torch.from_numpy(motion.skeleton.offsets),
        PARENTS,
    )
    turns = rotations.numpy()
    shifts = positions.numpy() - np.einsum("jab,jb->ja", turns, rest_positions(motion.skeleton))
    return skin(body.vertices, body.joints, body.weights, turns, shifts)


@pytest.mark.parametrize("body", ["human", "capsules", "none"])
@pytest.mark.parametrize("names", BONE_NAMES)
def test_pygltflib_finds_the_joints_and_the_body_of_a_glb_where_they_are(dance, body, names, tmp_path):
    export_motion(dance, tmp_path / "dance.glb", names=names, body=body)
    glb = Glb(tmp_path / "dance.glb")
    times, _ = glb.node_matrices()
    np.testing.assert_allclose(times, np.arange(60) / 30, atol=1e-6)
    np.testing.assert_allclose(glb.positions(BONE_NAMES[names]), dance.joint_positions(), atol=MILLIMETRE / 10)
    assert len(glb.gltf.skins) == 1  # by which Blender and others make bones of the nodes
    if body == "none":
        assert not glb.gltf.meshes
        return
    mesh = {"human": human_body, "capsules": capsule_body}[body](dance.skeleton)
    for frame in (0, 37):
        np.testing.assert_allclose(
            glb.skinned_vertices(frame), expected_vertices(dance, mesh, frame), atol=MILLIMETRE / 10
        )


@pytest.mark.parametrize("names", BONE_NAMES)
def test_pygltflib_finds_the_fingers_of_a_glb_where_they_are(with_fingers, names, tmp_path):
    export_motion(with_fingers, tmp_path / "dance.glb", names=names)
    glb = Glb(tmp_path / "dance.glb")
    expected = with_fingers.finger_positions()[:, :NUM_FINGER_JOINTS]
    np.testing.assert_allclose(glb.positions(FINGER_BONE_NAMES[names]), expected, atol=MILLIMETRE / 10)
    np.testing.assert_allclose(glb.positions(BONE_NAMES[names]), with_fingers.joint_positions(), atol=MILLIMETRE / 10)
    assert len(glb.gltf.skins[0].joints) == 52 + (names == "unreal")


def test_a_dancer_of_another_size_keeps_its_bones_and_gets_a_body_that_fits(dance, tmp_path):
    stretched = dance.skeleton.offsets * np.array([1.3, 0.9, 1.1])
    other = replace(dance, skeleton=replace(dance.skeleton.scaled(1.2), offsets=stretched))
    export_motion(other, tmp_path / "other.glb")
    glb = Glb(tmp_path / "other.glb")
    np.testing.assert_allclose(glb.positions(JOINT_NAMES), other.joint_positions(), atol=MILLIMETRE / 10)
    rest = human_body(other.skeleton).vertices
    reach = np.abs(rest_positions(other.skeleton)[:, 0]).max()
    assert reach < np.abs(rest[:, 0]).max() < reach + 0.25  # hands are where the wrists are


def test_the_rest_pose_stands_on_the_floor_with_straight_arms(dance, tmp_path):
    export_motion(dance, tmp_path / "dance.glb")
    nodes = Glb(tmp_path / "dance.glb").gltf.nodes
    assert all(node.scale is None for node in nodes)
    mesh = human_body(dance.skeleton)
    pelvis = nodes[0].translation[1]
    heights = mesh.vertices[:, 1] + pelvis
    assert abs(heights.min()) < MILLIMETRE
    assert abs(capsule_body(dance.skeleton).vertices[:, 1].min() + pelvis) < MILLIMETRE
    assert 1.65 < heights.max() < 1.80
    assert pelvis == pytest.approx(dance.skeleton.toe_rest_height - rest_positions(dance.skeleton)[10, 1])
    arms = rest_positions(dance.skeleton)[[JOINT_NAMES.index(f"left_{name}") for name in ("shoulder", "wrist")]]
    assert arms[0, 1] == arms[1, 1] and arms[0, 2] == arms[1, 2] and arms[1, 0] > arms[0, 0] > 0


def rest_matrices(path):
    """Global matrices of a GLB's nodes while nothing is animated, `(nodes, 4, 4)`."""
    glb = Glb(path)
    placed = {}

    def place(node):
        if node not in placed:
            own, parent = np.eye(4), glb.parents.get(node)
            own[:3, 3] = glb.gltf.nodes[node].translation or 0
            own[:3, :3] = quaternions_to_matrices(glb.gltf.nodes[node].rotation or [0, 0, 0, 1])
            placed[node] = own if parent is None else place(parent) @ own
        return placed[node]

    return glb, np.stack([place(node) for node in range(len(glb.gltf.nodes))])


@pytest.mark.parametrize("names", ["smpl", "unreal"])
def test_bones_of_a_glb_rest_in_the_t_pose_and_point_along_their_limbs(with_fingers, names, tmp_path):
    export_motion(with_fingers, tmp_path / "dance.glb", names=names)
    glb, matrices = rest_matrices(tmp_path / "dance.glb")
    joints = [glb.names.index(name) for name in (*BONE_NAMES[names], *FINGER_BONE_NAMES[names])]
    places, along = matrices[joints, :3, 3], matrices[joints, :3, 1]
    standing = rest_positions(with_fingers.skeleton)
    standing[:, 1] += with_fingers.skeleton.toe_rest_height - standing[:, 1].min()
    np.testing.assert_allclose(places[:NUM_JOINTS], standing, atol=1e-6)
    by_name = dict(zip((*JOINT_NAMES, *FINGER_JOINT_NAMES), range(len(joints)), strict=True))
    limbs = [("pelvis", "spine1"), ("spine1", "spine2"), ("spine2", "spine3"), ("spine3", "neck"), ("neck", "head")]
    limbs += [
        (f"{side}_{first}", f"{side}_{second}")
        for side in ("left", "right")
        for first, second in (
            *(("hip", "knee"), ("knee", "ankle"), ("ankle", "foot"), ("collar", "shoulder"), ("shoulder", "elbow")),
            *(("elbow", "wrist"), ("index1", "index2"), ("pinky2", "pinky3"), ("thumb1", "thumb2")),
        )
    ]
    for first, second in limbs:
        direction = places[by_name[second]] - places[by_name[first]]
        np.testing.assert_allclose(along[by_name[first]], direction / np.linalg.norm(direction), atol=1e-6)
    ends = {"head": [0, 1, 0], "left_wrist": [1, 0, 0], "right_wrist": [-1, 0, 0], "left_foot": [0, 0, 1]}
    ends |= {"left_middle3": [1, 0, 0], "right_ring3": [-1, 0, 0]}
    for name, direction in ends.items():
        np.testing.assert_allclose(along[by_name[name]], direction, atol=1e-6)
    hinges = matrices[joints, :3, 0]
    for name in ("left_elbow", "right_elbow"):  # forearms come forward about the vertical
        assert abs(hinges[by_name[name], 1]) > 0.999
    for name in ("left_knee", "right_knee"):
        assert abs(hinges[by_name[name], 0]) > 0.999


def test_a_vrm_animation_rests_without_rotations(dance, tmp_path):
    export_motion(dance, tmp_path / "dance.vrma")
    assert all(node.rotation is None for node in Glb(tmp_path / "dance.vrma").gltf.nodes)


def test_a_bvh_rests_in_the_t_pose_with_its_feet_on_the_floor(dance, tmp_path):
    export_motion(dance, tmp_path / "dance.bvh")
    source = read_bvh(tmp_path / "dance.bvh")
    rest = source.offsets[0] + source.rest_positions() - source.rest_positions()[0]
    assert rest[:, 1].min() == pytest.approx(dance.skeleton.toe_rest_height, abs=1e-6)
    own = rest_positions(dance.skeleton)
    own[:, 1] += dance.skeleton.toe_rest_height - own[:, 1].min()
    joints = [source.joint_names.index(name) for name in JOINT_NAMES]
    np.testing.assert_allclose(rest[joints], own, atol=1e-6)
    np.testing.assert_allclose(source.root_positions, dance.root_positions, atol=1e-6)  # and it does not float


@pytest.mark.parametrize(
    ("provenance", "expected"),
    [
        ({"song": "Mr. Blue.mp3", "genre": "waltz", "seed": 7}, "Mr. Blue_waltz_seed7"),
        ({"song": "song.ogg", "seed": 0}, "song_seed0"),
        ({"song": "歌" * 50 + ".mp3", "seed": 0}, "歌" * 40 + "_seed0"),
        ({"genre": "waltz"}, "waltz"),
        ({"source": "capture.bvh", "seed": 3}, "dance"),
        ({}, "dance"),
    ],
)
def test_an_animation_is_called_by_song_genre_and_seed(provenance, expected, dance, tmp_path):
    named = replace(dance, provenance=provenance)
    for suffix in (".glb", ".vrma"):
        export_motion(named, tmp_path / f"dance{suffix}")
        assert Glb(tmp_path / f"dance{suffix}").gltf.animations[0].name == expected


def test_a_usd_names_its_animation_and_rests_in_the_t_pose(dance, tmp_path):
    pytest.importorskip("pxr")
    from pxr import Usd, UsdSkel

    named = replace(dance, provenance={"song": "Mr. Blue.mp3", "genre": "waltz", "seed": 7})
    export_motion(named, tmp_path / "dance.usdc")
    stage = Usd.Stage.Open(str(tmp_path / "dance.usdc"))
    skeleton = UsdSkel.Skeleton(stage.GetPrimAtPath("/dance/skeleton"))
    targets = UsdSkel.BindingAPI(skeleton.GetPrim()).GetAnimationSourceRel().GetTargets()
    assert targets == ["/dance/skeleton/Mr__Blue_waltz_seed7"]
    cache = UsdSkel.Cache()
    cache.Populate(UsdSkel.Root(stage.GetDefaultPrim()), Usd.PrimDefaultPredicate)
    query = cache.GetSkelQuery(skeleton)
    rest = np.array(query.ComputeJointSkelTransforms(0, True))
    np.testing.assert_allclose(rest, np.array(query.GetJointWorldBindTransforms()), atol=1e-6)
    own = rest_positions(dance.skeleton)
    own[:, 1] += dance.skeleton.toe_rest_height - own[:, 1].min()
    np.testing.assert_allclose(rest[:, 3, :3], own, atol=1e-6)
    left_elbow = JOINT_NAMES.index("left_elbow")
    np.testing.assert_allclose(rest[left_elbow, 1, :3], [1, 0, 0], atol=1e-6)  # rows are the axes


def test_the_clothes_of_a_glb_are_materials_in_linear_colors(dance, tmp_path):
    export_motion(dance, tmp_path / "dance.glb")
    glb = Glb(tmp_path / "dance.glb")
    mesh = human_body(dance.skeleton)
    found = [(each.name, each.pbrMetallicRoughness.baseColorFactor) for each in glb.gltf.materials]
    assert [name for name, _ in found] == [each.name for each in mesh.materials]
    shirt = next(each for each in mesh.materials if each.name == "shirt")
    np.testing.assert_allclose(dict(found)["shirt"][:3], np.array(shirt.color) ** 2.2, atol=0.01)
    primitives = glb.gltf.meshes[0].primitives
    assert [each.material for each in primitives] == list(range(len(mesh.materials)))
    counts = [len(glb.array(each.indices)) // 3 for each in primitives]
    assert counts == [len(mesh.faces_of(index)) for index in range(len(mesh.materials))] and min(counts) > 20


def test_the_clothes_of_a_usd_are_bound_to_all_its_faces(dance, tmp_path):
    pytest.importorskip("pxr")
    from pxr import Usd, UsdGeom, UsdShade

    export_motion(dance, tmp_path / "dance.usdc")
    stage = Usd.Stage.Open(str(tmp_path / "dance.usdc"))
    body = UsdGeom.Mesh(stage.GetPrimAtPath("/dance/body"))
    valid, why = UsdGeom.Subset.ValidateFamily(body, UsdGeom.Tokens.face, "materialBind")
    assert valid, why
    for material in human_body(dance.skeleton).materials:
        subset = stage.GetPrimAtPath(f"/dance/body/{material.name}")
        bound, _ = UsdShade.MaterialBindingAPI(subset).ComputeBoundMaterial()
        color = bound.ComputeSurfaceSource()[0].GetInput("diffuseColor").Get()
        np.testing.assert_allclose(color, material.linear_color, atol=1e-6)


def test_the_unreal_preset_has_a_root_on_the_floor_that_carries_the_path(dance, tmp_path):
    export_motion(dance, tmp_path / "dance.glb", names="unreal")
    glb = Glb(tmp_path / "dance.glb")
    assert glb.parents[glb.names.index("pelvis")] == glb.names.index("root") == 0
    root, pelvis = glb.positions(["root", "pelvis"]).swapaxes(0, 1)
    np.testing.assert_allclose(root, dance.root_positions * [1, 0, 1], atol=1e-6)
    np.testing.assert_allclose(pelvis - root, dance.root_positions * [0, 1, 0], atol=1e-6)


def test_quaternions_of_neighboring_keys_are_near(dance, tmp_path):
    signs = np.where(np.arange(60) % 2, 1, -1)[:, None, None].astype(np.float32)
    export_motion(replace(dance, joint_rotations=dance.joint_rotations * signs), tmp_path / "dance.glb")
    glb = Glb(tmp_path / "dance.glb")
    animation = glb.gltf.animations[0]
    for channel in animation.channels[1:]:
        keys = glb.array(animation.samplers[channel.sampler].output)
        assert (np.sum(keys[1:] * keys[:-1], axis=-1) > 0.5).all()


def test_glb_and_vrma_say_what_they_are(dance, tmp_path):
    for name in ("dance.glb", "dance.vrma"):
        export_motion(dance, tmp_path / name)
        gltf = Glb(tmp_path / name).gltf
        notes = gltf.scenes[0].extras
        assert (notes["frame_rate"], notes["unit"], notes["up_axis"]) == (30.0, "metre", "Y")
        assert notes["beat_times_seconds"] == [0.5, 1.0, 1.5] and notes["downbeat_times_seconds"] == [0.5]
        assert notes["provenance"]["seed"] == 7
        assert gltf.asset.copyright.startswith("research only; reference waltz_3: CC BY 4.0")
        assert ("MakeHuman" in gltf.asset.copyright) == (name == "dance.glb")


def test_a_vrm_animation_names_the_nodes_of_a_humanoid(dance, tmp_path):
    export_motion(dance, tmp_path / "dance.vrma")
    glb = Glb(tmp_path / "dance.vrma")
    extension = glb.gltf.extensions["VRMC_vrm_animation"]
    assert extension["specVersion"] == "1.0" and glb.gltf.extensionsUsed == ["VRMC_vrm_animation"]
    bones = {name: entry["node"] for name, entry in extension["humanoid"]["humanBones"].items()}
    assert [glb.names[node] for node in bones.values()] == list(bones) == list(BONE_NAMES["vrm"])
    np.testing.assert_allclose(glb.positions(bones), dance.joint_positions(), atol=MILLIMETRE / 10)


@pytest.mark.parametrize("suffix", [".usda", ".usdc", ".usd"])
@pytest.mark.parametrize(("names", "body"), [("smpl", "human"), ("mixamo", "none"), ("unreal", "capsules")])
def test_pxr_finds_joints_and_body_of_a_usd_where_they_are(dance, suffix, names, body, tmp_path):
    pytest.importorskip("pxr")
    from pxr import Gf, Usd, UsdGeom, UsdSkel

    path = tmp_path / f"dance{suffix}"
    for _ in range(2):  # a file that is there is replaced
        export_motion(dance, path, names=names, body=body)
    assert path.read_bytes()[:5] == (b"#usda" if suffix == ".usda" else b"PXR-U")
    stage = Usd.Stage.Open(str(path))
    assert UsdGeom.GetStageUpAxis(stage) == "Y" and UsdGeom.GetStageMetersPerUnit(stage) == 1.0
    assert (stage.GetTimeCodesPerSecond(), stage.GetStartTimeCode(), stage.GetEndTimeCode()) == (30.0, 0.0, 59.0)
    layer = stage.GetRootLayer()
    assert json.loads(layer.customLayerData["infinitedance"])["downbeat_times_seconds"] == [0.5]
    assert "reference waltz_3: CC BY 4.0" in layer.comment
    root = UsdSkel.Root(stage.GetDefaultPrim())
    cache = UsdSkel.Cache()
    cache.Populate(root, Usd.PrimDefaultPredicate)
    query = cache.GetSkelQuery(UsdSkel.Skeleton(stage.GetPrimAtPath("/dance/skeleton")))
    order = [str(joint).split("/")[-1] for joint in query.GetJointOrder()]
    joints = [order.index(name.replace(":", "_")) for name in BONE_NAMES[names]]
    for frame in (0, 37, 59):
        matrices = query.ComputeJointSkelTransforms(frame)
        positions = [matrices[joint].ExtractTranslation() for joint in joints]
        np.testing.assert_allclose(np.array(positions), dance.joint_positions()[frame], atol=MILLIMETRE / 10)
    if body == "none":
        assert not stage.GetPrimAtPath("/dance/body")
        return
    prim = stage.GetPrimAtPath("/dance/body")
    points = UsdGeom.Mesh(prim).GetPointsAttr().Get()
    assert cache.GetSkinningQuery(prim).ComputeSkinnedPoints(query.ComputeSkinningTransforms(37), points, 37)
    mesh = {"human": human_body, "capsules": capsule_body}[body](dance.skeleton)
    np.testing.assert_allclose(np.array(points), expected_vertices(dance, mesh, 37), atol=MILLIMETRE / 10)
    assert UsdSkel.BindingAPI(prim).GetGeomBindTransformAttr().Get() == Gf.Matrix4d(1)


def test_bvhio_finds_the_joints_of_a_bvh_under_the_names_of_a_preset(dance, tmp_path):
    bvhio = pytest.importorskip("bvhio")
    export_motion(dance, tmp_path / "dance.bvh", names="mixamo")
    root = bvhio.readAsHierarchy(str(tmp_path / "dance.bvh"))
    root.loadPose(37)
    for name, position in zip(BONE_NAMES["mixamo"], dance.joint_positions()[37], strict=True):
        joint = root if root.Name == name else root.filter(name, isEqual=True)[0]
        np.testing.assert_allclose(np.array(joint.PositionWorld) / 100, position, atol=MILLIMETRE / 10)


def test_scipy_poses_an_smplx_file_as_the_dance(dance, tmp_path):
    export_motion(dance, tmp_path / "dance.smplx.npz")
    with np.load(tmp_path / "dance.smplx.npz") as file:
        arrays = dict(file)
    assert arrays["poses"].shape == (60, 165) and not arrays["poses"][:, 66:].any()
    assert (str(arrays["surface_model_type"]), float(arrays["mocap_frame_rate"])) == ("smplx", 30.0)
    assert [arrays[name].shape[1] for name in ("root_orient", "pose_body", "pose_jaw", "pose_eye", "pose_hand")] == [
        3,
        63,
        3,
        6,
        90,
    ]
    notes = json.loads(str(arrays["infinitedance"]))
    assert notes["up_axis"] == "Z" and notes["provenance"]["seed"] == 7
    placed = [Rotation.from_rotvec(arrays["root_orient"])]
    positions = [arrays["trans"]]
    for joint in range(1, NUM_JOINTS):
        parent = PARENTS[joint]
        positions.append(positions[parent] + placed[parent].apply(dance.skeleton.offsets[joint]))
        placed.append(placed[parent] * Rotation.from_rotvec(arrays["poses"][:, 3 * joint : 3 * joint + 3]))
    expected = dance.joint_positions()[..., [0, 2, 1]] * [1, -1, 1]  # Z up: what looked along +Z looks along -Y
    np.testing.assert_allclose(np.stack(positions, axis=1), expected, atol=MILLIMETRE / 10)


def test_a_csv_holds_places_times_and_beats(dance, tmp_path):
    export_motion(dance, tmp_path / "dance.csv", names="vrm")
    with (tmp_path / "dance.csv").open(newline="") as file:
        assert json.loads(file.readline().removeprefix("# "))["provenance"]["model"] == "choreollama-research"
        rows = list(csv.DictReader(file))
    columns = [f"{name}_{axis}" for name in BONE_NAMES["vrm"] for axis in "xyz"]
    positions = np.array([[float(row[column]) for column in columns] for row in rows]).reshape(60, 22, 3)
    np.testing.assert_allclose(positions, dance.joint_positions(), atol=2e-6)
    np.testing.assert_allclose([float(row["time_seconds"]) for row in rows], np.arange(60) / 30, atol=1e-6)
    beats = {index: row["beat"] for index, row in enumerate(rows) if row["beat"] != "0"}
    assert beats == {15: "2", 30: "1", 45: "1"}


def test_our_own_file_comes_back_as_it_was(dance, tmp_path):
    export_motion(dance, tmp_path / "dance.npz")
    again = load_motion(tmp_path / "dance.npz")
    assert again.provenance == NOTES
    np.testing.assert_allclose(again.joint_rotations, dance.joint_rotations, atol=1e-6)


@pytest.mark.parametrize("suffix", sorted(set(EXPORT_FORMATS) - {".fbx"}))
def test_one_frame_and_a_dance_of_unknown_origin_are_enough(suffix, make_moving, tmp_path):
    export_motion(make_moving(num_frames=1), tmp_path / f"pose{suffix}")
    assert [file.name for file in tmp_path.iterdir()] == [f"pose{suffix}"]


@pytest.mark.parametrize("suffix", sorted(set(EXPORT_FORMATS) - {".fbx"}))
def test_equal_dances_give_equal_bytes(suffix, dance, tmp_path):
    first, second = (tmp_path / folder / f"dance{suffix}" for folder in ("first", "second"))
    for path in (first, second):
        path.parent.mkdir()
        export_motion(dance, path)
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize(
    ("name", "options", "error", "message"),
    [
        ("dance.mp5", {}, ValueError, "must end in one of .bvh .*, .glb"),
        ("dance", {}, ValueError, "must end in one of"),
        ("dance.glb", {"names": "maya"}, ValueError, "must be one of smpl, mixamo, vrm, unity, unreal, got 'maya'"),
        ("dance.glb", {"body": "robot"}, ValueError, "`body` must be one of human, capsules, none, got 'robot'"),
        ("dance.bvh", {"names": "maya"}, ValueError, "must be one of smpl"),
        ("dance.bvh", {"body": "human"}, ValueError, "`body` must be given for .glb, .usd.* only"),
        ("dance.vrma", {"names": "mixamo"}, ValueError, "names of their own, got mixamo"),
        ("dance.npz", {"names": "smpl"}, ValueError, "names of their own"),
        ("none/dance.glb", {}, FileNotFoundError, "the folder .*none does not exist"),
        ("folder.glb", {}, IsADirectoryError, "is a folder"),
        ("folder.usda", {}, IsADirectoryError, "is a folder"),
    ],
)
def test_what_cannot_be_written_is_told_and_leaves_nothing(name, options, error, message, dance, tmp_path):
    folders = {tmp_path / "folder.glb", tmp_path / "folder.usda"}
    for folder in folders:
        folder.mkdir()
    with pytest.raises(error, match=message):
        export_motion(dance, tmp_path / name, **options)
    assert set(tmp_path.rglob("*")) == folders


def test_the_longer_of_two_endings_counts():
    assert check_export_path("dance.smplx.npz") == ".smplx.npz"
    assert check_export_path("DANCE.GLB") == ".glb"


def without(monkeypatch, *packages):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in packages else found(name))


def test_usd_without_its_package_says_what_to_install(dance, tmp_path, monkeypatch):
    without(monkeypatch, "pxr")
    with pytest.raises(
        ImportError,
        match=r"needs the package `pxr`: `pip install 'infinitedance\[usd\]'`, or `pip install '.\[usd\]'` in a",
    ):
        export_motion(dance, tmp_path / "dance.usd")
    assert not list(tmp_path.iterdir())


def test_fbx_without_blender_says_what_to_install(dance, tmp_path, monkeypatch):
    without(monkeypatch, "bpy")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ImportError, match=r"`blender` is not found needs .*'infinitedance\[fbx\]'"):
        export_motion(dance, tmp_path / "dance.fbx")
    assert not list(tmp_path.iterdir())


def test_a_blender_that_fails_is_quoted_and_leaves_nothing(dance, tmp_path, monkeypatch):
    without(monkeypatch, "bpy")
    broken = tmp_path / "bin" / "blender"
    broken.parent.mkdir()
    broken.write_text("#!/bin/sh\necho 'Error: no graphics today' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", f"{broken.parent}:/usr/bin:/bin")
    with pytest.raises(OSError, match="no graphics today"):
        export_motion(dance, tmp_path / "dance.fbx")
    assert [path.name for path in tmp_path.iterdir()] == ["bin"]
