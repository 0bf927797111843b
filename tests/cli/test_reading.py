"""The same motion files for every command, with the same options, and advice that each command takes."""

import argparse
import json
import pickle
import re
import warnings

import numpy as np
import pytest
import roma
import torch

from infinitedance.cli import build_parser, main
from infinitedance.cli.reading_options import UNITS, UP_AXES, read_joint_map
from infinitedance.evaluation.folders import read_dances
from infinitedance.motion import files
from infinitedance.motion.files import ReadOptions, load_motion, read_motion, save_motion, write_bvh
from infinitedance.motion.motion import Motion
from infinitedance.motion.skeleton import JOINT_NAMES, NUM_JOINTS, PARENTS

COMMANDS = {
    "convert": ["in.bvh", "out.glb"],
    "sheet": ["in.bvh"],
    "view": ["in.bvh"],
    "restore": ["in.bvh", "--output", "out"],
    "evaluate": ["--generated", "a", "--reference", "b", "--music", "c"],
}
MILLIMETRE = 1e-3


def options_of(command):
    (commands,) = (action for action in build_parser()._actions if isinstance(action, argparse._SubParsersAction))
    return {option for action in commands.choices[command]._actions for option in action.option_strings}


def vectors(motion, joints=NUM_JOINTS):
    rotations = roma.rotmat_to_rotvec(motion.joint_rotations_matrix()).numpy().reshape(motion.num_frames, -1)
    return np.pad(rotations, ((0, 0), (0, 3 * joints - rotations.shape[1])))


def aist(motion, folder):
    path = folder / "gBR.pkl"
    content = {
        "smpl_poses": vectors(motion, 24),
        "smpl_trans": motion.root_positions.astype(np.float64) * 93.8,
        "smpl_scaling": np.array([93.8]),
    }
    path.write_bytes(pickle.dumps(content))
    return path, ["--trust-pickle"]


def edge(motion, folder):
    path = folder / "edge.pkl"
    content = {
        "smpl_poses": vectors(motion, 24),
        "smpl_trans": motion.root_positions,
        "full_pose": motion.joint_positions()[:, [*range(22), 20, 21]],
    }
    path.write_bytes(pickle.dumps(content))
    return path, ["--trust-pickle"]


def gvhmr(motion, folder):
    poses = torch.from_numpy(vectors(motion))
    world = {
        "global_orient": poses[:, :3],
        "body_pose": poses[:, 3:],
        "transl": torch.from_numpy(motion.root_positions),
    }
    torch.save({"smpl_params_global": world, "K_fullimg": torch.eye(3).expand(len(poses), 3, 3)}, folder / "hmr4d.pt")
    return folder / "hmr4d.pt", []


def cgspeed(motion, folder):
    """Write the rig of the CMU library: its unit, its frame time of 120 Hz, and joints without length."""
    write_bvh(motion, folder / "plain.bvh")
    lines, depth = [], []
    unit = 0.01 / (0.0254 / 0.45)
    for line in (folder / "plain.bvh").read_text().splitlines():
        words = line.split()
        if words and words[0] == "OFFSET":
            line = "OFFSET " + " ".join(f"{float(word) * unit:.6f}" for word in words[1:])
        if words and words[0] == "JOINT" and words[1] in ("left_hip", "right_hip", "spine1", "neck"):
            lines += [f"JOINT zero_{words[1]}", "{", "OFFSET 0 0 0", "CHANNELS 0"]
            depth.append(sum(text.count("{") for text in lines) - sum(text.count("}") for text in lines))
        lines.append(line)
        if "}" in line and depth and depth[-1] == _depth(lines):
            lines.append("}")
            depth.pop()
    start = next(index for index, line in enumerate(lines) if line.startswith("Frame Time"))
    lines[start] = "Frame Time: .0083333"
    for index in range(start + 1, len(lines)):
        values = [float(word) for word in lines[index].split()]
        lines[index] = " ".join(f"{value:.6f}" for value in (*(np.array(values[:3]) * unit), *values[3:]))
    (folder / "cmu.bvh").write_text("\n".join(lines) + "\n")
    return folder / "cmu.bvh", []


def _depth(lines):
    return sum(text.count("{") for text in lines) - sum(text.count("}") for text in lines)


WRITERS = {"AIST++": aist, "EDGE": edge, "GVHMR": gvhmr, "CMU": cgspeed}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_the_same_options_for_reading(command):
    wanted = {"--trust-pickle", "--input-frame-rate", "--up-axis", "--unit", "--joint-map", "--person"}
    assert wanted <= options_of(command)
    build_parser().parse_args(
        [command, *COMMANDS[command], "--up-axis=-y", "--unit", "cm", "--input-frame-rate", "20"]
    )


def test_the_choices_are_those_of_the_readers():
    assert UP_AXES == files.UP_AXES and tuple(files.UNITS) == UNITS


def glb_positions(path):
    """Place the joints of a GLB by the rules of the glTF specification, as pygltflib reads it: `(frames, 22, 3)`."""
    pygltflib = pytest.importorskip("pygltflib")
    gltf = pygltflib.GLTF2().load_binary(str(path))
    blob = gltf.binary_blob()
    parents = {child: node for node, value in enumerate(gltf.nodes) for child in value.children or []}

    def array(accessor):
        entry, width = gltf.accessors[accessor], {"SCALAR": 1, "VEC3": 3, "VEC4": 4}[gltf.accessors[accessor].type]
        offset = gltf.bufferViews[entry.bufferView].byteOffset
        return np.frombuffer(blob, "<f4", entry.count * width, offset).reshape(entry.count, width)

    animation = gltf.animations[0]
    count = gltf.accessors[animation.samplers[0].input].count
    local = np.tile(np.eye(4), (count, len(gltf.nodes), 1, 1))
    for index, node in enumerate(gltf.nodes):
        local[:, index, :3, 3] = node.translation or 0
    for channel in animation.channels:
        keys = array(animation.samplers[channel.sampler].output)
        if channel.target.path == "translation":
            local[:, channel.target.node, :3, 3] = keys
        else:
            turns = roma.unitquat_to_rotmat(torch.from_numpy(keys.astype(np.float64)))
            local[:, channel.target.node, :3, :3] = turns.numpy()

    def place(node):
        return local[:, node] if node not in parents else place(parents[node]) @ local[:, node]

    names = [node.name for node in gltf.nodes]
    return np.stack([place(names.index(name))[:, :3, 3] for name in JOINT_NAMES], axis=1)


@pytest.mark.parametrize("kind", WRITERS)
def test_a_dance_of_another_tool_comes_through_convert_within_a_millimetre(kind, dance, tmp_path, capsys):
    clip = dance.cut(0, 60)
    path, options = WRITERS[kind](clip, tmp_path)
    assert main(["convert", str(path), str(tmp_path / "out.glb"), *options, "--body", "none"]) == 0
    assert "warning" not in capsys.readouterr().err
    found = glb_positions(tmp_path / "out.glb")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read = read_motion(path, trust_pickle=True).joint_positions()
    assert np.linalg.norm(found - read, axis=-1).max() < MILLIMETRE
    truth = clip.joint_positions() - clip.joint_positions()[:1, :1]
    apart = np.linalg.norm(found - found[:1, :1] - truth, axis=-1)
    assert apart.max() < MILLIMETRE if kind != "CMU" else apart.mean() < 5 * MILLIMETRE


@pytest.mark.parametrize("kind", WRITERS)
def test_every_command_reads_what_every_other_reads(kind, dance, tmp_path, capsys):
    clip = dance.cut(0, 90)
    (tmp_path / "folder").mkdir()
    path, options = WRITERS[kind](clip, tmp_path / "folder")
    assert main(["sheet", str(path), *options, "--rows", "1", "--output", str(tmp_path / "sheet.png")]) == 0
    assert main(["view", str(path), *options, "--html", str(tmp_path / "page.html")]) == 0
    assert main(["restore", str(path), *options, "--output", str(tmp_path / "restored")]) == 0
    (tmp_path / "folder" / "plain.bvh").unlink(missing_ok=True)
    dances = read_dances(tmp_path / "folder", "generated dances", ReadOptions(trust_pickle=True, frame_rate=30))
    assert list(dances.positions) == [path.stem]


@pytest.fixture
def strange(dance, tmp_path):
    """A rig whose names mean nothing."""
    write_bvh(dance.cut(0, 40), tmp_path / "strange.bvh", names=[f"J{index}" for index in range(NUM_JOINTS)])
    return tmp_path / "strange.bvh"


def test_a_joint_map_names_what_was_not_found(strange, tmp_path, capsys):
    assert main(["convert", str(strange), str(tmp_path / "out.npz")]) == 2
    message = capsys.readouterr().err
    assert "joints are: J0, J1" in message and "`--joint-map`" in message and message.count("\n") == 1
    joint_map = tmp_path / "map.json"
    joint_map.write_text(json.dumps({name: f"J{index}" for index, name in enumerate(JOINT_NAMES)}))
    assert main(["convert", str(strange), str(tmp_path / "out.npz"), "--joint-map", str(joint_map)]) == 0
    assert load_motion(tmp_path / "out.npz").num_frames == 40
    command = ["restore", str(strange), "--output", str(tmp_path / "out"), "--joint-map", str(joint_map)]
    assert main(command) == 0
    assert (tmp_path / "out" / "strange.bvh").is_file()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "must be a JSON object in UTF-8"),
        ("[" * 10_000, "must be a JSON object"),
        ("[]", "must be a JSON object from our joints"),
        ('{"pelvis": 3}', "must be a JSON object from our joints"),
        ('{"belly": "Hips"}', "'belly' is none of our joints"),
    ],
)
def test_a_joint_map_that_is_none_is_refused_by_name(text, message, tmp_path):
    (tmp_path / "map.json").write_text(text)
    with pytest.raises(ValueError, match=f"map.json.*{message}"):
        read_joint_map(tmp_path / "map.json")
    with pytest.raises(FileNotFoundError, match="no joint map"):
        read_joint_map(tmp_path / "absent.json")


def test_a_map_to_joints_that_the_file_lacks_is_told(strange, tmp_path, capsys):
    (tmp_path / "map.json").write_text('{"pelvis": "Hips"}')
    assert main(["convert", str(strange), str(tmp_path / "o.npz"), "--joint-map", str(tmp_path / "map.json")]) == 2
    assert "has no joint 'Hips' to use as 'pelvis'" in capsys.readouterr().err


def troubles(dance, folder):
    """Write files that are told about, each with what is told; return path and options of each."""
    joints = dance.cut(0, 20).joint_positions()
    names = {}
    for name, array in {
        "joints22.npy": joints,
        "joints24.npy": joints[:, [*range(22), 20, 21]],
        "centimetres.npy": 100 * joints,
        "camera.npy": joints * [1, -1, -1],
        "mirror.npy": joints * [-1, 1, 1],
    }.items():
        np.save(folder / name, array)
        names[name] = []
    for writer in (aist, gvhmr):
        names[writer(dance.cut(0, 20), folder)[0].name] = []
    names["missing.bvh"] = []
    return names


@pytest.mark.parametrize("command", ["convert", "sheet", "view", "restore"])
def test_all_advice_can_be_followed(command, dance, tmp_path, capsys, recwarn):
    for name in troubles(dance, tmp_path):
        arguments = {
            "convert": [str(tmp_path / "out.npz")],
            "sheet": ["--rows", "1", "--output", str(tmp_path / "out.png")],
            "view": ["--html", str(tmp_path / "out.html")],
            "restore": ["--output", str(tmp_path / f"out {name}")],
        }[command]
        main([command, str(tmp_path / name), *arguments])
        told = capsys.readouterr().err + " ".join(str(warning.message) for warning in recwarn.list)
        advice = set(re.findall(r"(?<![\w-])--[a-z-]+", told))
        assert advice <= options_of(command), (name, advice)


def test_evaluate_tells_the_option_of_each_folder(dance, tmp_path):
    np.save(tmp_path / "joints24.npy", dance.cut(0, 20).joint_positions()[:, [*range(22), 20, 21]])
    for what, option in (
        ("generated dances", "`--input-frame-rate`"),
        ("reference dances", "`--reference-frame-rate`"),
    ):
        with pytest.raises(ValueError, match=option), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read_dances(tmp_path, what)


def test_a_loop_keeps_its_keys_and_its_second(dance, tmp_path, capsys):
    loop = dance.cut(0, 31)
    rotations = loop.joint_rotations.copy()
    rotations[-1] = rotations[0]
    save_motion(Motion(30.0, loop.root_positions, rotations), tmp_path / "loop.npz")
    assert main(["convert", str(tmp_path / "loop.npz"), str(tmp_path / "o.npz"), "--frame-rate", "60"]) == 0
    assert load_motion(tmp_path / "o.npz").num_frames == 61


def test_a_knee_of_one_channel_leaves_its_file_out_of_a_batch(dance, tmp_path, capsys):
    write_bvh(dance.cut(0, 40), tmp_path / "good.bvh")
    order = []

    def visit(joint):
        order.append(joint)
        for child, parent in enumerate(PARENTS):
            if parent == joint:
                visit(child)

    visit(0)
    text = (tmp_path / "good.bvh").read_text()
    text = re.sub(r"(JOINT left_knee\s+\{\s+OFFSET [^\n]*\n\s+)CHANNELS 3 [^\n]*", r"\1CHANNELS 1 Xrotation", text)
    head, rows = text.split("Frame Time: 0.03333333\n")
    first = 3 + 3 * order.index(JOINT_NAMES.index("left_knee"))
    kept = [" ".join(row.split()[: first + 1] + row.split()[first + 3 :]) for row in rows.splitlines()]
    (tmp_path / "hinge.bvh").write_text(f"{head}Frame Time: 0.03333333\n" + "\n".join(kept) + "\n")
    command = ["restore", str(tmp_path / "hinge.bvh"), str(tmp_path / "good.bvh"), "--output", str(tmp_path / "out")]
    assert main(command) == 2
    assert "hinge.bvh: left_knee must have rotation channels on x, y and z" in capsys.readouterr().err
    assert (tmp_path / "out" / "good.bvh").is_file() and not (tmp_path / "out" / "hinge.bvh").exists()
    assert main(["convert", str(tmp_path / "hinge.bvh"), str(tmp_path / "o.npz")]) == 0


@pytest.mark.parametrize(("rows", "columns"), [(1_000_000, 6), (0, 1), (50, 50), (1, -1)])
def test_a_sheet_of_any_size_is_not_drawn(rows, columns, dance, tmp_path, capsys):
    save_motion(dance.cut(0, 30), tmp_path / "d.npz")
    assert main(["sheet", str(tmp_path / "d.npz"), "--rows", str(rows), "--columns", str(columns)]) == 2
    assert "1 to 400 stills" in capsys.readouterr().err


@pytest.mark.parametrize("rate", ["0", "-5", "nan", "inf", "1e300", "1e-300"])
def test_a_rate_that_no_recording_has_is_refused(rate, dance, tmp_path, capsys):
    save_motion(dance.cut(0, 30), tmp_path / "d.npz")
    assert main(["convert", str(tmp_path / "d.npz"), str(tmp_path / "o.bvh"), f"--input-frame-rate={rate}"]) == 2
    assert "must lie in 1 to 1000 Hz" in capsys.readouterr().err
