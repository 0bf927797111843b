"""VMD: read back by a parser of our own, and danced by a resting MMD model with hanging arms."""

import math
import struct
from dataclasses import replace

import numpy as np
import pytest
import roma
import torch

from infinitedance.motion.drawing.body_mesh import rest_positions
from infinitedance.motion.files import export_motion
from infinitedance.motion.files.vmd import ARM_DEGREES
from infinitedance.motion.fingers import PARENT_JOINTS, finger_offsets
from infinitedance.motion.skeleton import JOINT_INDEX

UNIT_METRES = 0.08
# Of a model with our bones: where it begins (the arms hang), and what it hangs on.
BONES = {
    "下半身": ("spine1", "センター"),
    "上半身": ("spine1", "センター"),
    "上半身2": ("spine3", "上半身"),
    "首": ("neck", "上半身2"),
    "頭": ("head", "首"),
}
for side, letter in (("left", "左"), ("right", "右")):
    BONES |= {
        f"{letter}肩": (f"{side}_collar", "上半身2"),
        f"{letter}腕": (f"{side}_shoulder", f"{letter}肩"),
        f"{letter}ひじ": (f"{side}_elbow", f"{letter}腕"),
        f"{letter}手首": (f"{side}_wrist", f"{letter}ひじ"),
        f"{letter}足": (f"{side}_hip", "下半身"),
        f"{letter}ひざ": (f"{side}_knee", f"{letter}足"),
        f"{letter}足首": (f"{side}_ankle", f"{letter}ひざ"),
    }


def parse(path):
    """Return keys of bones by name and frame, and what the file switches off."""
    data = path.read_bytes()
    assert data[:30] == b"Vocaloid Motion Data 0002".ljust(30, b"\0")
    place = 50

    def take(layout):
        nonlocal place
        values = struct.unpack_from("<" + layout, data, place)
        place += struct.calcsize("<" + layout)
        return values

    bones = {}
    for _ in range(take("I")[0]):
        name, frame, *numbers = take("15sI3f4f64s")
        name = name.rstrip(b"\0").decode("cp932")
        bones.setdefault(name, []).append((frame, numbers[:3], numbers[3:7], numbers[7]))
    assert take("4I") == (0, 0, 0, 0)
    (num_switches,) = take("I")
    assert num_switches == 1
    frame, shown, num_off = take("IBI")
    assert (frame, shown) == (0, 1)
    off = [take("20sB") for _ in range(num_off)]
    assert place == len(data)
    return bones, {name.rstrip(b"\0").decode("cp932"): on for name, on in off}


def hanging_rest(skeleton, degrees):
    """Joints and finger joints of our rest pose whose arms hang, in MMD's axes and units, `(52, 3)`."""
    rest = rest_positions(skeleton)
    rest[:, 1] += skeleton.toe_rest_height - rest[:, 1].min()
    for offset, parent in zip(finger_offsets(skeleton), PARENT_JOINTS, strict=True):
        rest = np.concatenate([rest, [rest[parent] + offset]])
    for side, sign, fingers in (("left", -1, range(22, 37)), ("right", 1, range(37, 52))):
        shoulder, elbow, wrist = (JOINT_INDEX[f"{side}_{name}"] for name in ("shoulder", "elbow", "wrist"))
        angle = math.radians(sign * degrees)
        down = np.array([[math.cos(angle), -math.sin(angle), 0], [math.sin(angle), math.cos(angle), 0], [0, 0, 1]])
        for joint in (elbow, wrist, *fingers):
            rest[joint] = rest[shoulder] + down @ (rest[joint] - rest[shoulder])
    return rest * [1, 1, -1] / UNIT_METRES


def dance_of_model(bones, rest, model=None):
    """Where the bones of a model are when MMD plays the keys, by its rules, `{bone: (frames, 3)}` in units."""
    center = np.array([key[1] for key in bones["センター"]])
    placed = {"センター": (center + rest[JOINT_INDEX["spine1"]], np.eye(3))}
    begin = {"センター": rest[JOINT_INDEX["spine1"]]}
    for name, (joint, parent) in (model or BONES).items():
        begin[name] = rest[JOINT_INDEX.get(joint, joint)]
        keys = torch.tensor([key[2] for key in bones[name]], dtype=torch.float64)
        position, turn = placed[parent]
        own = turn @ roma.unitquat_to_rotmat(keys).numpy()
        placed[name] = (position + np.einsum("...ab,b->...a", turn, begin[name] - begin[parent]), own)
    return {name: position for name, (position, _) in placed.items()}


@pytest.fixture
def dance(make_moving):
    return make_moving(num_frames=40)


def test_a_model_with_our_bones_and_hanging_arms_dances_as_we_do(dance, tmp_path):
    straight = dance.joint_rotations.copy()
    straight[:, JOINT_INDEX["spine3"]] = straight[:, JOINT_INDEX["spine2"]] = [1, 0, 0, 0]  # one bone there, not two
    dance = replace(dance, joint_rotations=straight)
    export_motion(dance, tmp_path / "dance.vmd")
    bones, _ = parse(tmp_path / "dance.vmd")
    found = dance_of_model(bones, hanging_rest(dance.skeleton, ARM_DEGREES))
    expected = dance.joint_positions() * [1, 1, -1] / UNIT_METRES
    for name, (joint, _) in BONES.items():
        np.testing.assert_allclose(found[name], expected[:, JOINT_INDEX[joint]], atol=1e-4, err_msg=name)


def test_bends_of_the_whole_spine_reach_the_arms_as_directions(dance, tmp_path):
    export_motion(dance, tmp_path / "dance.vmd")
    bones, _ = parse(tmp_path / "dance.vmd")
    found = dance_of_model(bones, hanging_rest(dance.skeleton, ARM_DEGREES))
    expected = dance.joint_positions() * [1, 1, -1] / UNIT_METRES
    for start, end in (
        ("左腕", "左ひじ"),
        ("右ひじ", "右手首"),
        ("首", "頭"),
        ("左足", "左ひざ"),
        ("右ひざ", "右足首"),
    ):
        first, last = (JOINT_INDEX[BONES[name][0]] for name in (start, end))
        bone = found[end] - found[start]
        np.testing.assert_allclose(bone, expected[:, last] - expected[:, first], atol=1e-4, err_msg=end)


def test_keys_are_a_frame_each_at_30_hz_and_straight_between(dance, tmp_path):
    export_motion(replace(dance, frame_rate=60.0), tmp_path / "dance.vmd")
    bones, off = parse(tmp_path / "dance.vmd")
    assert set(bones) == {"センター", *BONES}
    for keys in bones.values():
        assert [key[0] for key in keys] == list(range(20))
        curves = np.frombuffer(keys[0][3], np.uint8).reshape(4, 16)
        for row in range(4):  # MMD keeps the 16 bytes four times, each moved on by one
            assert curves[row].tolist() == ([20] * 8 + [107] * 8)[row:] + [0] * row
        quaternions = np.array([key[2] for key in keys])
        np.testing.assert_allclose(np.linalg.norm(quaternions, axis=1), 1, atol=1e-6)
        assert (np.sum(quaternions[1:] * quaternions[:-1], axis=1) > 0).all()
    assert off == {"左足ＩＫ": 0, "左つま先ＩＫ": 0, "右足ＩＫ": 0, "右つま先ＩＫ": 0}


def test_a_model_that_stands_still_has_only_raised_arms(make_moving, tmp_path):
    still = make_moving(num_frames=2)
    rotations = np.zeros_like(still.joint_rotations)
    rotations[..., 0] = 1
    rest = rest_positions(still.skeleton)
    root = np.tile([0, still.skeleton.toe_rest_height - rest[:, 1].min(), 0], (2, 1))
    export_motion(replace(still, joint_rotations=rotations, root_positions=root), tmp_path / "pose.vmd")
    bones, _ = parse(tmp_path / "pose.vmd")
    np.testing.assert_allclose(bones["センター"][0][1], 0, atol=1e-5)
    half = math.radians(ARM_DEGREES) / 2
    for name, keys in bones.items():
        sine = {"左腕": math.sin(half), "右腕": -math.sin(half)}.get(name, 0.0)
        np.testing.assert_allclose(keys[0][2], [0, 0, sine, math.cos(half) if sine else 1], atol=1e-6, err_msg=name)


def test_fingers_are_written_where_the_dance_has_them(with_fingers, tmp_path):
    export_motion(with_fingers, tmp_path / "dance.vmd")
    bones, _ = parse(tmp_path / "dance.vmd")
    fingers = {
        f"{side}{finger}{digit}"
        for side in "左右"
        for finger in ("人指", "中指", "薬指", "小指")
        for digit in "１２３"
    }
    fingers |= {f"{side}親指{digit}" for side in "左右" for digit in "０１２"}
    assert set(bones) == {"センター", *BONES, *fingers}
    model = dict(BONES)
    for letter, first in (("左", 22), ("右", 37)):
        for place, finger in enumerate(("人指", "中指", "小指", "薬指", "親指")):
            parent = f"{letter}手首"
            for bone, digit in enumerate("０１２" if finger == "親指" else "１２３"):
                model[f"{letter}{finger}{digit}"] = (first + 3 * place + bone, parent)
                parent = f"{letter}{finger}{digit}"
    found = dance_of_model(bones, hanging_rest(with_fingers.skeleton, ARM_DEGREES), model)
    wrists = with_fingers.joint_positions()[:, [JOINT_INDEX["left_wrist"], JOINT_INDEX["right_wrist"]]]
    expected = with_fingers.finger_positions()[:, :30] - np.repeat(wrists, 15, axis=1)
    for name in fingers:
        bone = found[name] - found[f"{name[0]}手首"]  # the wrist is elsewhere, by the second joint of the spine
        own = expected[:, model[name][0] - 22] * [1, 1, -1] / UNIT_METRES
        np.testing.assert_allclose(bone, own, atol=1e-4, err_msg=name)
