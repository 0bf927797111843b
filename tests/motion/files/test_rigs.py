"""One dance on the rigs of many tools: what is read is the same dance, whatever the rig, its axes and its names."""

import re
import warnings
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import roma
import torch

from infinitedance.motion.files import read_bvh, read_joint_positions, read_motion, save_motion
from infinitedance.motion.files.anatomy import mirrored_motion, turned_motion
from infinitedance.motion.files.bvh import read_bvh_rig
from infinitedance.motion.files.limits import MAX_RIG_JOINTS
from infinitedance.motion.retargeting.joint_mapping import JointMappingError
from infinitedance.motion.skeleton import JOINT_INDEX, JOINT_NAMES, PARENTS

MIXAMO = {
    "pelvis": "Hips",
    "spine1": "Spine",
    "spine2": "Spine1",
    "spine3": "Spine2",
    "neck": "Neck",
    "head": "Head",
    **{
        f"{side}_{part}": side.capitalize() + name
        for side in ("left", "right")
        for part, name in {
            "collar": "Shoulder",
            "shoulder": "Arm",
            "elbow": "ForeArm",
            "wrist": "Hand",
            "hip": "UpLeg",
            "knee": "Leg",
            "ankle": "Foot",
            "foot": "ToeBase",
        }.items()
    },
}
PARTS = ("collar", "shoulder", "elbow", "wrist", "hip", "knee", "ankle", "foot")


def named(trunk, limbs, left="{}", right="{}"):
    """Return names by our joints: of pelvis, spine1, spine2, spine3, neck, head; then of `PARTS` of both sides."""
    names = dict(zip(("pelvis", "spine1", "spine2", "spine3", "neck", "head"), trunk.split(), strict=True))
    for side, pattern in (("left", left), ("right", right)):
        names |= {f"{side}_{part}": pattern.format(name) for part, name in zip(PARTS, limbs.split(), strict=True)}
    return names


NAMES = {
    "Chinese": named("骨盆 脊柱 脊柱1 胸部 颈部 头部", "锁骨 上臂 前臂 手 大腿 小腿 脚 脚趾", "左{}", "右{}"),
    "Chinese with joints": named(
        "盆骨 脊椎01 脊椎02 上胸 脖子 头", "肩 大臂 手肘 手腕 髋 膝盖 脚踝 脚尖", "{}_左", "{}_右"
    ),
    "traditional Chinese": named("骨盆 腰椎 脊骨 胸 頸 頭", "鎖骨 上臂 前臂 手掌 大腿 小腿 腳踝 腳趾", "左{}", "右{}"),
    "Japanese": named("下半身 腰 上半身 上半身2 首 頭", "肩 腕 ひじ 手首 足 ひざ 足首 つま先", "左{}", "右{}"),
    "Korean": named(
        "골반 척추 척추1 가슴 목 머리", "쇄골 위팔 팔꿈치 손목 허벅지 무릎 발목 발가락", "왼쪽 {}", "오른쪽 {}"
    ),
    "Russian": named(
        "таз позвоночник спина грудь шея голова",
        "ключица плечо предплечье кисть бедро голень стопа носок",
        "Левая_{}",
        "Правая_{}",
    ),
    "German": named(
        "Hüfte Wirbelsäule Wirbelsäule1 Brust Hals Kopf",
        "Schlüsselbein Oberarm Unterarm Hand Oberschenkel Unterschenkel Fuß Zehen",
        "{}_L",
        "{}_R",
    ),
    "German in words": named(
        "Becken Rücken Rücken2 Brustkorb Nacken Kopf",
        "Schulter Arm Ellenbogen Handgelenk Hüfte Knie Knöchel Zehe",
        "Linke{}",
        "Rechte{}",
    ),
    "French": named(
        "Bassin Colonne Colonne1 Poitrine Cou Tête",
        "Clavicule Bras AvantBras Main Cuisse Tibia Pied Orteils",
        "{} gauche",
        "{} droit",
    ),
    "Spanish": named(
        "Cadera Columna Columna1 Pecho Cuello Cabeza",
        "Clavícula Brazo Antebrazo Muñeca Muslo Pantorrilla Tobillo Dedos",
        "{}_izquierdo",
        "{}_derecho",
    ),
    "Italian": named(
        "Bacino Colonna Colonna1 Torace Collo Testa",
        "Clavicola Braccio Avambraccio Polso Coscia Ginocchio Caviglia Punta",
        "{}_sinistro",
        "{}_destro",
    ),
    "English of OptiTrack Motive": named(
        "Hip Ab Ab2 Chest Neck Head", "Shoulder UArm FArm Hand Thigh Shin Foot Toe", "L{}", "R{}"
    ),
    "anatomy of Acclaim files": named(
        "root lowerback upperback thorax lowerneck head",
        "clavicle humerus radius wrist femur tibia foot toes",
        "l{}",
        "r{}",
    ),
    "English of Advanced Skeleton": named(
        "Root_M Spine1_M Spine2_M Chest_M Neck_M Head_M",
        "Scapula Shoulder Elbow Wrist Hip Knee Ankle Toes",
        "{}_L",
        "{}_R",
    ),
    "English of Auto-Rig Pro": named(
        "root.x spine_01.x spine_02.x spine_03.x neck.x head.x",
        "shoulder arm_stretch forearm_stretch hand thigh_stretch leg_stretch foot toes_01",
        "{}.l",
        "{}.r",
    ),
    "English with lf and rt": named(
        "hips spine spine1 chest neck head", "clav upArm loArm hand upLeg loLeg foot toe", "lf_{}", "rt_{}"
    ),
}


@dataclass
class Rig:
    """How `written` puts a dance into a BVH file.

    Args:
        names: By our joints.
        metres: Of one unit.
        on_parent: Our joints, each of which gets one more above it with no offset, by that one's name.
        turn: Of the world, put before everything.
        mirror: Negate x, and keep the names.
        order: Of the rotation channels.
        frame_time: As it is written; by the dance's rate if `None`.
        root_frame: A joint above the pelvis, on the floor.
    """

    names: dict = field(default_factory=lambda: dict(MIXAMO))
    metres: float = 0.01
    on_parent: dict = field(default_factory=dict)
    turn: np.ndarray = field(default_factory=lambda: np.eye(3))
    mirror: bool = False
    order: str = "ZXY"
    frame_time: str | None = None
    root_frame: str | None = None


def euler(quaternions, order):
    """Turn wxyz into degrees in the order of the channels."""
    xyzw = roma.quat_wxyz_to_xyzw(torch.from_numpy(quaternions).double())
    return roma.unitquat_to_euler(order, xyzw, degrees=True).numpy()


def written(motion, path, encoding="utf-8", **settings):
    """Write a dance as a BVH of some rig."""
    rig = Rig(**settings)
    rotations = motion.joint_rotations.astype(np.float64).copy()
    root = motion.root_positions.astype(np.float64)
    offsets = motion.skeleton.offsets.copy()
    if rig.mirror:
        rotations, root, offsets = rotations * [1, 1, -1, -1], root * [-1, 1, 1], offsets * [-1, 1, 1]
    matrices = roma.unitquat_to_rotmat(roma.quat_wxyz_to_xyzw(torch.from_numpy(rotations[:, 0]))).numpy()
    turned = torch.from_numpy(rig.turn @ matrices)
    rotations[:, 0] = roma.quat_xyzw_to_wxyz(roma.rotmat_to_unitquat(turned)).numpy()
    root = root @ rig.turn.T
    lines, columns = ["HIERARCHY"], []
    channels = " ".join(f"{axis}rotation" for axis in rig.order)
    still = np.zeros((motion.num_frames, 3))

    def add(name, offset, angles, indent, keyword="JOINT"):
        x, y, z = offset / rig.metres
        lines.extend([f"{indent}{keyword} {name}", f"{indent}{{", f"{indent}\tOFFSET {x:.6f} {y:.6f} {z:.6f}"])
        if keyword == "ROOT":
            lines.append(f"{indent}\tCHANNELS 6 Xposition Yposition Zposition {channels}")
        else:
            lines.append(f"{indent}\tCHANNELS 3 {channels}")
        columns.append(angles)

    def write_joint(joint, indent):
        name, offset = JOINT_NAMES[joint], offsets[joint]
        extra = rig.on_parent.get(name)
        if extra:
            add(extra, offset * 0, still, indent)
            indent += "\t"
        keyword = "JOINT" if joint or rig.root_frame else "ROOT"
        if keyword == "ROOT":
            columns.append(root / rig.metres)
        add(
            rig.names[name],
            offset if joint else root[0] * bool(rig.root_frame),
            euler(rotations[:, joint], rig.order),
            indent,
            keyword,
        )
        children = [
            child for child, parent in enumerate(PARENTS) if parent == joint and JOINT_NAMES[child] in rig.names
        ]
        for child in children:
            write_joint(child, indent + "\t")
        if not children:
            lines.extend([f"{indent}\tEnd Site", f"{indent}\t{{", f"{indent}\t\tOFFSET 0 0 0", f"{indent}\t}}"])
        lines.append(f"{indent}}}")
        if extra:
            lines.append(f"{indent[:-1]}}}")

    write_joint(0, "")
    rows = np.concatenate(columns, axis=1)
    frame_time = rig.frame_time or f"{1 / motion.frame_rate:.8f}"
    lines += ["MOTION", f"Frames: {motion.num_frames}", f"Frame Time: {frame_time}"]
    lines += [" ".join(f"{value:.6f}" for value in row) for row in rows]
    path.write_bytes(("\n".join(lines) + "\n").encode(encoding))
    return path


@pytest.fixture(scope="module")
def bent(dance):
    """A dance whose knees bend and whose toes point forward, as those of people do."""
    return dance.cut(0, 60)


def apart(motion, other):
    """Return the mean distance of all joints, metres, wherever both begin on the floor."""
    first, second = (each if isinstance(each, np.ndarray) else each.joint_positions() for each in (motion, other))
    first, second = (each - each[:1, :1] * [1, 0, 1] for each in (first, second))
    return np.linalg.norm(first - second, axis=-1).mean()


@pytest.fixture(scope="module")
def expected(bent, tmp_path_factory):
    return read_motion(written(bent, tmp_path_factory.mktemp("plain") / "plain.bvh"))


@pytest.mark.parametrize("language", NAMES)
def test_a_rig_is_known_by_its_names_in_many_languages(language, bent, expected, tmp_path, recwarn):
    read = read_motion(written(bent, tmp_path / "named.bvh", names=NAMES[language]))
    assert apart(read, expected) < 1e-4
    assert not recwarn.list


@pytest.mark.parametrize(
    ("language", "encoding"),
    [
        ("Japanese", "cp932"),
        ("Chinese", "gb18030"),
        ("German", "latin-1"),
        ("Chinese", "utf-16"),
        ("Chinese", "utf-16-le"),
        ("German", "utf-8-sig"),
        ("German", "utf-32"),
    ],
)
def test_old_and_wide_encodings_are_read(language, encoding, bent, expected, tmp_path):
    path = written(bent, tmp_path / "encoded.bvh", encoding, names=NAMES[language])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert apart(read_motion(path), expected) < 1e-4


def test_an_old_encoding_is_told(bent, tmp_path):
    path = written(bent, tmp_path / "old.bvh", "cp932", names=NAMES["Japanese"])
    with pytest.warns(UserWarning, match=r"old.bvh is not in UTF-8; its names are read as cp932.*save it as UTF-8"):
        read_motion(path)


# Name, parent, position in centimetres: the trunk and one side of MikuMikuDance's standard bones.
MMD = [
    ("全ての親", "", (0, 0, 0)),
    ("センター", "全ての親", (0, 64, 0)),
    ("グルーブ", "センター", (0, 66, 0)),
    ("腰", "グルーブ", (0, 94, 0)),
    ("上半身", "腰", (0, 97, 0)),
    ("上半身2", "上半身", (0, 110, 0)),
    ("首", "上半身2", (0, 140, 0)),
    ("頭", "首", (0, 148, 2)),
    ("左肩P", "上半身2", (3, 134, 0)),
    ("左肩", "左肩P", (3, 134, 0)),
    ("左腕", "左肩", (14, 133, 0)),
    ("左腕捩", "左腕", (26, 133, 0)),
    ("左ひじ", "左腕捩", (40, 133, 0)),
    ("左手捩", "左ひじ", (52, 133, 0)),
    ("左手首", "左手捩", (64, 133, 0)),
    ("左親指０", "左手首", (66, 132, 2)),
    ("下半身", "腰", (0, 97, 0)),
    ("腰キャンセル左", "下半身", (9, 90, 0)),
    ("左足", "腰キャンセル左", (9, 90, 0)),
    ("左ひざ", "左足", (9, 50, 0)),
    ("左足首", "左ひざ", (9, 9, 0)),
    ("左つま先", "左足首", (9, 2, 12)),
    ("左足ＩＫ", "全ての親", (9, 9, 0)),
    ("左つま先ＩＫ", "左足ＩＫ", (9, 2, 12)),
]


def test_the_bones_of_mikumikudance_are_found_among_their_helpers(tmp_path):
    rows = MMD + [
        tuple(name.replace("左", "右") for name in row[:2]) + ((-row[2][0], *row[2][1:]),)
        for row in MMD
        if row[0].startswith(("左", "腰キャンセル"))
    ]
    places = {name: np.array(place) for name, _, place in rows}

    def lines(name):
        parent = next(row[1] for row in rows if row[0] == name)
        x, y, z = places[name] - places.get(parent, 0)
        channels = "CHANNELS 3 Zrotation Xrotation Yrotation" if parent else "CHANNELS 3 Xposition Yposition Zposition"
        inner = [line for row in rows if row[1] == name for line in lines(row[0])]
        return [f"{'JOINT' if parent else 'ROOT'} {name}", "{", f"OFFSET {x} {y} {z}", channels, *inner, "}"]

    text = "\n".join(["HIERARCHY", *lines("全ての親"), "MOTION", "Frames: 2", "Frame Time: 0.033"])
    path = tmp_path / "mmd.bvh"
    path.write_text(text + "\n" + "\n".join(["0 " * 3 * len(rows)] * 2) + "\n", encoding="cp932")
    with pytest.warns(UserWarning, match="cp932"):
        source = read_bvh(path)
    mapping = source.joint_mapping()
    sides = {name: mapping[name] for name in mapping if name.startswith("left_")}
    assert (mapping["pelvis"], mapping["spine3"], mapping["neck"], mapping["head"]) == (
        "下半身",
        "上半身2",
        "首",
        "頭",
    )
    expected = ["左足", "左ひざ", "左足首", "左つま先", "左肩", "左腕", "左ひじ", "左手首"]
    assert list(sides.values()) == expected
    body = source.to_body()[0][0]
    heights = body[[JOINT_INDEX[name] for name in ("pelvis", "spine1", "spine2", "spine3", "neck", "head")], 1]
    assert (np.diff(heights) > 0).all()


CMU_EXTRA = {
    "left_hip": "LHipJoint",
    "right_hip": "RHipJoint",
    "spine1": "LowerBack",
    "neck": "Neck",
    "left_collar": "LeftShoulderBase",
}
CMU_NAMES = {**MIXAMO, "neck": "Neck1"}


def test_joints_that_lie_on_their_parent_are_as_good_as_absent(bent, expected, tmp_path, recwarn):
    path = written(bent, tmp_path / "cmu.bvh", names=CMU_NAMES, on_parent=CMU_EXTRA, metres=0.0254 / 0.45)
    read = read_motion(path)
    assert apart(read, expected) < 1e-3
    assert not recwarn.list
    mapping = read_bvh(path).joint_mapping()
    assert mapping["neck"] == "Neck1" and mapping["spine1"] == "Spine" and mapping["left_hip"] == "LeftUpLeg"


@pytest.mark.parametrize(
    "flat",
    [
        ("left_collar", "right_collar"),
        ("spine1",),
        ("spine2",),
        ("neck",),
        ("left_foot", "right_foot"),
        ("left_hip", "right_hip"),
        ("spine1", "neck", "left_collar", "right_collar", "left_foot", "right_foot"),
    ],
    ids="+".join,
)
def test_a_bone_without_length_is_read_wherever_a_joint_may_be_absent(flat, bent, expected, tmp_path):
    offsets = bent.skeleton.offsets.copy()
    for name in flat:
        joint = JOINT_INDEX[name]
        if not name.endswith(("hip", "foot")):  # what hangs below keeps its place
            for child in (child for child, parent in enumerate(PARENTS) if parent == joint):
                offsets[child] += offsets[joint]
        offsets[joint] = 0
    dancer = replace(bent, skeleton=replace(bent.skeleton, offsets=offsets))
    read = read_motion(written(dancer, tmp_path / "flat.bvh"))
    assert apart(read, expected) < 0.05


TURNS = {
    "-y": np.diag([1.0, -1.0, -1.0]),
    "x": np.array([[0.0, 1, 0], [-1, 0, 0], [0, 0, 1]]),
    "-x": np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]),
    "z": np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]),
    "-z": np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]]),
}


@pytest.mark.parametrize("axis", TURNS)
def test_a_world_on_its_side_or_head_is_turned_with_a_word(axis, bent, expected, tmp_path):
    path = written(bent, tmp_path / "turned.bvh", turn=TURNS[axis])
    with pytest.warns(UserWarning, match=rf"turned.bvh: the body stands along \+?{axis} .*`--up-axis=y`"):
        read = read_motion(path)
    assert read_bvh_rig(path).up_axis == axis
    assert apart(read, expected) < 1e-3
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert apart(read_motion(path, up_axis=axis), expected) < 1e-3


@pytest.mark.parametrize("turn", [np.eye(3), TURNS["-y"], np.diag([-1.0, 1, -1])])
def test_a_mirror_image_is_turned_over_with_a_word(turn, bent, expected, tmp_path):
    path = written(bent, tmp_path / "mirror.bvh", mirror=True, turn=turn)
    with pytest.warns(UserWarning, match="mirror.bvh: left and right contradict"):
        read = read_motion(path)
    about_y = read.joint_positions() * [-1, 1, -1]  # a mirror image may come back turned by half a turn
    about_y -= about_y[:1, :1] * [1, 0, 1]
    other = expected.joint_positions() - expected.joint_positions()[:1, :1] * [1, 0, 1]
    assert min(apart(read, expected), np.linalg.norm(about_y - other, axis=-1).mean()) < 1e-3


@pytest.mark.parametrize("side", [-1, 1])
def test_a_dance_that_crouches_over_a_steady_floor_is_upright_on_a_rig_that_lies_at_rest(side, bent, tmp_path):
    bowing = bent.joint_rotations.copy()
    bowing[:, JOINT_INDEX["spine1"]] = [np.cos(0.55), np.sin(0.55), 0, 0]
    crouch = replace(bent, joint_rotations=bowing)
    lie = roma.rotvec_to_unitquat(torch.tensor([side * np.pi / 2, 0, 0], dtype=torch.float64))
    local = roma.quat_wxyz_to_xyzw(torch.from_numpy(bowing).double())
    lying = roma.quat_composition([roma.quat_conjugation(lie).expand_as(local), local, lie.expand_as(local)])
    lying[:, 0] = roma.quat_product(local[:, 0], lie.expand_as(local[:, 0]))
    rest = replace(bent.skeleton, offsets=bent.skeleton.offsets @ roma.unitquat_to_rotmat(lie).numpy())
    rig = replace(crouch, joint_rotations=roma.quat_xyzw_to_wxyz(lying).numpy(), skeleton=rest)
    with pytest.warns(UserWarning, match=r"stands along \+y"):
        read = read_motion(written(rig, tmp_path / "lying.bvh"))
    assert apart(read, read_motion(written(crouch, tmp_path / "standing.bvh"))) < 0.05  # the soles of a foreign rig


@pytest.mark.parametrize(("frame_time", "rate", "other"), [("0.02", 50, 60), ("0.04", 25, 24), ("0.01", 100, 120)])
def test_a_short_exact_frame_time_is_taken_by_the_digit_and_told(frame_time, rate, other, bent, tmp_path):
    path = written(bent, tmp_path / "rate.bvh", frame_time=frame_time)
    with pytest.warns(UserWarning, match=f"may be {rate} or {other} Hz; {rate} is used"):
        assert read_motion(path).frame_rate == rate


def test_a_mirrored_dance_is_no_mirror_image(bent, tmp_path, recwarn):
    read_motion(written(bent.mirror(), tmp_path / "other side.bvh"))
    assert not recwarn.list


@pytest.mark.parametrize("metres", [1.0, 0.01, 0.001, 0.0254, 0.0254 / 0.45])
@pytest.mark.parametrize("folded", [False, True])
def test_the_unit_is_that_of_the_bones_in_any_pose(metres, folded, bent, tmp_path, recwarn):
    rotations = bent.joint_rotations.copy()
    if folded:  # as somebody who sits with legs crossed
        for side, sign in (("left", 1), ("right", -1)):
            rotations[:, JOINT_INDEX[f"{side}_hip"]] = [np.cos(0.7), -np.sin(0.7), 0, 0]
            rotations[:, JOINT_INDEX[f"{side}_knee"]] = [np.cos(1.1), np.sin(1.1), 0, sign * 0.0]
    path = written(replace(bent, joint_rotations=rotations), tmp_path / "unit.bvh", metres=metres)
    assert read_bvh_rig(path).metres_per_unit == pytest.approx(metres)
    assert not recwarn.list


@pytest.mark.parametrize(("unit", "metres"), [("ft", 0.3048), ("dm", 0.1)])
def test_a_rare_unit_is_told_and_a_given_one_is_taken(unit, metres, bent, tmp_path, recwarn):
    path = written(bent, tmp_path / "unit.bvh", metres=metres)
    assert read_bvh_rig(path).metres_per_unit == pytest.approx(metres)
    assert "Pass `--unit`" in str(recwarn.pop().message)
    from infinitedance.motion.files import ReadOptions

    assert read_bvh_rig(path, ReadOptions(unit=unit)).metres_per_unit == pytest.approx(metres)
    assert not recwarn.list


def test_a_rate_written_for_the_time_is_taken_for_the_rate_with_a_word(bent, tmp_path):
    path = written(bent, tmp_path / "rate.bvh", frame_time="30")
    with pytest.warns(UserWarning, match=r"rate.bvh, line \d+: a Frame Time of 30 s is taken for 30 frames a second"):
        assert read_motion(path).frame_rate == 30
    assert read_motion(path, frame_rate=24).frame_rate == 24


@pytest.mark.parametrize("frame_time", ["33.333", "1e-300", "1e300", "0.0009", "-1", "2", "7200"])
def test_a_rate_that_no_recording_has_is_refused(frame_time, bent, tmp_path):
    path = written(bent, tmp_path / "rate.bvh", frame_time=frame_time)
    with pytest.raises(ValueError, match=r"rate.bvh, line \d+: (Frame Time must be|expected finite)"):
        read_motion(path)
    if frame_time != "-1":
        assert read_motion(path, frame_rate=30).frame_rate == 30


def test_digits_that_do_not_tell_two_likely_rates_apart_are_told(bent, tmp_path):
    path = written(bent, tmp_path / "rate.bvh", frame_time="0.003")
    with pytest.warns(UserWarning, match="may be 300 or 360 Hz; 300 is used"):
        assert read_motion(path).frame_rate == 300


def rerooted(motion, path, root, names=MIXAMO, shoulders_on_root=False):
    """Write a dance on a rig whose root is another joint: positions and rotations of the joints are exact."""
    positions, rotations = motion.joint_frames()
    present = [JOINT_INDEX[name] for name in names]
    neighbors = {joint: [] for joint in present}
    for joint in present:
        if PARENTS[joint] in present:
            neighbors[joint].append(PARENTS[joint])
            neighbors[PARENTS[joint]].append(joint)
    order, above = [], {}

    def visit(joint, parent):
        order.append(joint)
        above[joint] = parent
        for other in neighbors[joint]:
            if other != parent:
                visit(other, joint)

    start = JOINT_INDEX[root]
    visit(start, -1)
    # The bone from a joint to its child turns with the joint; on the way to the root it was the child's before.
    frames, node = {}, JOINT_INDEX["pelvis"]
    reverse = [node]
    while above[node] >= 0:
        node = above[node]
        reverse.append(node)
    for joint in order:
        frames[joint] = rotations[:, joint]
    for lower, upper in zip(reverse, reverse[1:], strict=False):
        frames[upper] = rotations[:, lower] if PARENTS[upper] == lower else frames[upper]
    rest = np.zeros((22, 3))
    for joint in range(1, 22):
        rest[joint] = rest[PARENTS[joint]] + motion.skeleton.offsets[joint]
    lines, columns = ["HIERARCHY"], []

    def write(joint, indent):
        parent = above[joint]
        offset = (rest[joint] - rest[parent]) * 100 if parent >= 0 else np.zeros(3)
        local = frames[joint] if parent < 0 else frames[parent].swapaxes(-1, -2) @ frames[joint]
        quaternion = roma.quat_xyzw_to_wxyz(roma.rotmat_to_unitquat(torch.from_numpy(local))).numpy()
        lines.append(f"{indent}{'ROOT' if parent < 0 else 'JOINT'} {names[JOINT_NAMES[joint]]}")
        lines.extend([f"{indent}{{", f"{indent}OFFSET {offset[0]:.6f} {offset[1]:.6f} {offset[2]:.6f}"])
        if parent < 0:
            columns.append(positions[:, joint] * 100)
        positions_of_root = "6 Xposition Yposition Zposition" if parent < 0 else "3"
        lines.append(f"{indent}CHANNELS {positions_of_root} Zrotation Xrotation Yrotation")
        columns.append(euler(quaternion, "ZXY"))
        for child in order:
            if above[child] == joint:
                write(child, indent + " ")
        lines.append(f"{indent}}}")

    write(start, "")
    lines += ["MOTION", f"Frames: {motion.num_frames}", "Frame Time: 0.0333333"]
    lines += [" ".join(f"{value:.6f}" for value in row) for row in np.concatenate(columns, axis=1)]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("root", ["head", "left_foot", "right_ankle", "spine3", "left_wrist"])
def test_a_rig_rooted_anywhere_is_read_from_its_pelvis(root, bent, expected, tmp_path):
    still = bent.joint_rotations.copy()
    # Where the root is not the pelvis, a joint between turns two bones: keep what the file cannot say at rest.
    still[:, [JOINT_INDEX[name] for name in ("spine1", "spine2", "spine3", "neck", "head", "left_collar")]] = [
        1,
        0,
        0,
        0,
    ]
    dancer = replace(bent, joint_rotations=still)
    plain = read_motion(written(dancer, tmp_path / "plain.bvh"))
    read = read_motion(rerooted(dancer, tmp_path / "rerooted.bvh", root))
    assert apart(read, plain) < 0.05


def test_names_that_mean_nothing_can_be_mapped(bent, expected, tmp_path):
    names = {name: f"J{index}x" for index, name in enumerate(JOINT_NAMES)}
    path = written(bent, tmp_path / "numbers.bvh", names=names)
    with pytest.raises(JointMappingError, match=r"numbers.bvh: Could not find.*joints are: J0x, .*`--joint-map`"):
        read_motion(path)
    assert apart(read_motion(path, overrides=names), expected) < 1e-4


def test_a_rig_of_too_many_joints_is_refused_at_once(tmp_path):
    path = tmp_path / "chain.bvh"
    count = 20 * MAX_RIG_JOINTS
    opened = "".join(
        f"JOINT j{index}\n{{\nOFFSET 0 1 0\nCHANNELS 3 Xrotation Yrotation Zrotation\n" for index in range(count)
    )
    path.write_text("HIERARCHY\nROOT r\n{\nOFFSET 0 0 0\nCHANNELS 0\n" + opened + "}\n" * (count + 1) + "MOTION\n")
    with pytest.raises(ValueError, match=f"chain.bvh, line .*at most {MAX_RIG_JOINTS} joints"):
        read_motion(path)


def test_deep_rigs_below_the_bound_are_read(tmp_path):
    count = MAX_RIG_JOINTS - 1
    opened = "".join(f"JOINT j{index}\n{{\nOFFSET 0 1 0\nCHANNELS 1 Xrotation\n" for index in range(count))
    text = "HIERARCHY\nROOT r\n{\nOFFSET 0 0 0\nCHANNELS 1 Yposition\n" + opened + "}\n" * (count + 1)
    (tmp_path / "chain.bvh").write_text(f"{text}MOTION\nFrames: 1\nFrame Time: .04\n" + "0 " * (count + 1) + "\n")
    with pytest.raises(JointMappingError, match="chain.bvh: Could not find.* and 880 more"):
        read_motion(tmp_path / "chain.bvh")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (r"OFFSET \S+", "OFFSET 1e30", "finite numbers of at most 1e"),
        (r"OFFSET \S+", "OFFSET nan", "expected (finite )?numbers"),
        ("Frame Time: ", "Frame Time: nan", "expected (finite )?numbers"),
        ("\nROOT", "\nROOT x", "lies? in one point|Could not find|holds"),
    ],
)
def test_numbers_that_no_rig_has_are_refused(old, new, message, bent, tmp_path):
    path = written(bent, tmp_path / "wild.bvh")
    text = re.sub(old, new, path.read_text(), count=1)
    if "ROOT x" in new:  # a rig of one point
        lines = [line if "OFFSET" not in line else "OFFSET 0 0 0" for line in text.splitlines()]
        text = "\n".join(lines)
    path.write_text(text)
    with pytest.raises(ValueError, match=f"wild.bvh.*({message})"):
        read_motion(path)


def own_file(motion, path):
    save_motion(motion, path.with_suffix(".npz"))
    return path.with_suffix(".npz")


def joints_file(motion, path):
    np.savez(
        path.with_suffix(".npz"), joints22=motion.joint_positions(), joint22_names=np.array(JOINT_NAMES), fps=30.0
    )
    return path.with_suffix(".npz")


def array_file(motion, path):
    np.save(path.with_suffix(".npy"), motion.joint_positions())
    return path.with_suffix(".npy")


def smpl_file(motion, path):
    poses = roma.rotmat_to_rotvec(motion.joint_rotations_matrix()).numpy().reshape(motion.num_frames, 66)
    np.savez(path.with_suffix(".npz"), poses=poses, trans=motion.root_positions, fps=30.0)
    return path.with_suffix(".npz")


@pytest.mark.parametrize("axis", TURNS)
@pytest.mark.parametrize("write", [own_file, array_file, smpl_file])
def test_stance_is_checked_in_every_format(write, axis, bent, tmp_path):
    turned = turned_motion(bent, {"x": "-x", "-x": "x", "z": "-z", "-z": "z"}.get(axis, axis))
    path = write(turned, tmp_path / "turned")
    usual = axis == "z" and write is not own_file
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        read, _ = read_joint_positions(path, frame_rate=30)
    assert [f"stands along {'' if axis[0] == '-' else '+'}{axis} " in str(each.message) for each in told] == [True] * (
        not usual
    )
    straight, _ = read_joint_positions(write(bent, tmp_path / "straight"), frame_rate=30)
    assert apart(read, straight) < 1e-3


@pytest.mark.parametrize("write", [own_file, array_file, joints_file])
def test_handedness_is_checked_in_every_format(write, bent, tmp_path):
    straight, _ = read_joint_positions(write(bent, tmp_path / "straight"), frame_rate=30)
    with pytest.warns(UserWarning, match="mirror.*left and right contradict.*`--joint-map`"):
        read, _ = read_joint_positions(write(mirrored_motion(bent), tmp_path / "mirror"), frame_rate=30)
    assert apart(read, straight) < 1e-3


def test_a_handstand_and_a_dancer_on_the_back_are_left_as_they_are(bent, tmp_path, recwarn):
    hands = turned_motion(bent, "-y")
    lowest = hands.joint_positions()[..., 1].min(axis=1)
    root = hands.root_positions.copy()
    root[:, 1] -= lowest  # whatever is lowest rests on the floor
    path = own_file(replace(hands, root_positions=root), tmp_path / "handstand")
    assert read_motion(path).joint_positions()[:, JOINT_INDEX["head"], 1].max() < 0.8
    back = turned_motion(bent, "z")
    root = back.root_positions.copy()
    root[:, 1] -= back.joint_positions()[..., 1].min(axis=1)
    path = array_file(replace(back, root_positions=root), tmp_path / "back")
    assert np.ptp(read_joint_positions(path, frame_rate=30)[0][..., 1]) < 1.2
    assert not recwarn.list
