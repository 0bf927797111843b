"""BVH: the round trip of our own files, and the variety of what other tools write."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
import roma
import torch

from infinitedance.motion.files import BONE_NAMES, BVHError, export_motion, read_bvh, read_motion, write_bvh
from infinitedance.motion.files.bvh import WRITTEN_ROTATION_ORDER
from infinitedance.motion.skeleton import JOINT_NAMES


def joints_of(source):
    """Positions of our 22 joints in an animation that has their names."""
    positions, _ = source.pose()
    return positions[:, [source.joint_names.index(name) for name in JOINT_NAMES]]


def test_a_dance_is_written_and_read_back_within_a_tenth_of_a_millimetre(moving, tmp_path):
    write_bvh(moving, tmp_path / "dance.bvh")
    source = read_bvh(tmp_path / "dance.bvh")
    assert source.frame_rate == moving.frame_rate
    np.testing.assert_allclose(joints_of(source), moving.joint_positions(), atol=1e-5)


@pytest.mark.shared_data
@pytest.mark.parametrize("name", ["motion/rokoko/jesse_dance.npz", "motion/bandai/bow_active_001.npz"])
def test_a_real_dance_is_written_and_read_back(name, shared_data_dir, tmp_path):
    motion = read_motion(shared_data_dir / name)
    write_bvh(motion, tmp_path / "dance.bvh")
    np.testing.assert_allclose(joints_of(read_bvh(tmp_path / "dance.bvh")), motion.joint_positions(), atol=1e-5)


def test_one_frame_is_enough(moving, tmp_path):
    write_bvh(moving.cut(3, 4), tmp_path / "pose.bvh")
    np.testing.assert_allclose(
        joints_of(read_bvh(tmp_path / "pose.bvh")), moving.cut(3, 4).joint_positions(), atol=1e-5
    )


def test_another_reader_sees_the_same_positions(moving, tmp_path):
    bvhio = pytest.importorskip("bvhio")
    write_bvh(moving, tmp_path / "dance.bvh")
    root = bvhio.readAsHierarchy(str(tmp_path / "dance.bvh"))
    expected = moving.joint_positions() * 100
    for frame in (0, 40, moving.num_frames - 1):
        root.loadPose(frame)
        for name, position in zip(JOINT_NAMES, expected[frame], strict=True):
            joint = root.filter(name, isEqual=True)[0] if root.Name != name else root
            np.testing.assert_allclose(np.array(joint.PositionWorld), position, atol=2e-3)


def test_written_angles_do_not_jump(moving, tmp_path):
    turns = np.linspace(0, 6 * np.pi, moving.num_frames)  # three times round
    turning = torch.from_numpy(np.stack([0 * turns, turns, 0 * turns], axis=-1))
    rotations = moving.joint_rotations.copy()
    rotations[:, 0] = roma.quat_xyzw_to_wxyz(roma.rotvec_to_unitquat(turning)).numpy()
    write_bvh(replace(moving, joint_rotations=rotations), tmp_path / "turns.bvh")
    yaw = np.loadtxt((tmp_path / "turns.bvh").read_text().split("Frame Time")[1].splitlines()[1:])[
        :, 3 + WRITTEN_ROTATION_ORDER.index("Y")
    ]
    np.testing.assert_allclose(yaw, np.degrees(turns), atol=1e-3)


def test_equal_dances_give_equal_bytes(moving, make_moving, tmp_path):
    write_bvh(moving, tmp_path / "first.bvh")
    write_bvh(make_moving(), tmp_path / "second.bvh")
    assert (tmp_path / "first.bvh").read_bytes() == (tmp_path / "second.bvh").read_bytes()


def test_a_bvh_becomes_a_dance_on_our_body(moving, tmp_path):
    calm = replace(moving, joint_rotations=moving.joint_rotations * 0 + np.array([1, 0, 0, 0], dtype=np.float32))
    write_bvh(calm, tmp_path / "dance.bvh")
    motion = read_motion(tmp_path / "dance.bvh")
    assert motion.provenance == {"source": "dance.bvh", "rotations": "source"}
    expected = calm.joint_positions()
    error = motion.joint_positions() - expected
    assert np.abs(error - error.mean(axis=(0, 1))).max() < 0.02  # up to where the floor is


# A body 175 cm high whose arms hang sideways. Root: translation and yaw 90 degrees, in the order of each variant.
BODY = """HIERARCHY
ROOT Hips
{
	OFFSET 0 0 0
	CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
	JOINT Chest
	{
		OFFSET 0 40 0
		CHANNELS 3 Zrotation Xrotation Yrotation
		JOINT Head
		{
			OFFSET 0 30 0
			CHANNELS 3 Zrotation Xrotation Yrotation
			End Site
			{
				OFFSET 0 10 0
			}
		}
		JOINT LeftArm
		{
			OFFSET 20 15 0
			CHANNELS 3 Zrotation Xrotation Yrotation
			JOINT LeftForeArm
			{
				OFFSET 30 0 0
				CHANNELS 3 Zrotation Xrotation Yrotation
				JOINT LeftHand
				{
					OFFSET 25 0 0
					CHANNELS 3 Zrotation Xrotation Yrotation
				}
			}
		}
		JOINT RightArm
		{
			OFFSET -20 15 0
			CHANNELS 3 Zrotation Xrotation Yrotation
			JOINT RightForeArm
			{
				OFFSET -30 0 0
				CHANNELS 3 Zrotation Xrotation Yrotation
				JOINT RightHand
				{
					OFFSET -25 0 0
					CHANNELS 3 Zrotation Xrotation Yrotation
				}
			}
		}
	}
	JOINT LeftUpLeg
	{
		OFFSET 10 -5 0
		CHANNELS 3 Zrotation Xrotation Yrotation
		JOINT LeftLeg
		{
			OFFSET 0 -45 0
			CHANNELS 3 Zrotation Xrotation Yrotation
			JOINT LeftFoot
			{
				OFFSET 0 -45 0
				CHANNELS 3 Zrotation Xrotation Yrotation
				End Site
				{
					OFFSET 0 -8 15
				}
			}
		}
	}
	JOINT RightUpLeg
	{
		OFFSET -10 -5 0
		CHANNELS 3 Zrotation Xrotation Yrotation
		JOINT RightLeg
		{
			OFFSET 0 -45 0
			CHANNELS 3 Zrotation Xrotation Yrotation
			JOINT RightFoot
			{
				OFFSET 0 -45 0
				CHANNELS 3 Zrotation Xrotation Yrotation
			}
		}
	}
}
MOTION
Frames: 2
Frame Time: 0.033333
"""
NUM_CHANNELS = 6 + 3 * 14
ROWS = np.zeros((2, NUM_CHANNELS))
ROWS[:, :6] = [5, 100, 7, 10, 20, 30]
ROWS[1, 6:] = np.linspace(-80, 80, NUM_CHANNELS - 6)


def text_of(rows, separator=" ", number="{:.6f}"):
    return "\n".join(separator.join(number.format(value) for value in row) for row in rows) + "\n"


@pytest.fixture
def write(tmp_path):
    def write_text(text, name="clip.bvh", encoding="utf-8"):
        (tmp_path / name).write_bytes(text.encode(encoding))
        return tmp_path / name

    return write_text


@pytest.fixture
def plain(write):
    return read_bvh(write(BODY + text_of(ROWS)))


def test_channels_are_multiplied_from_left_to_right(plain):
    def axis(degrees, x, y, z):
        return roma.rotvec_to_rotmat(torch.deg2rad(torch.tensor([x, y, z], dtype=torch.float64) * degrees)).numpy()

    expected = axis(10, 0, 0, 1) @ axis(20, 1, 0, 0) @ axis(30, 0, 1, 0)
    np.testing.assert_allclose(plain.pose()[1][0, 0], expected, atol=1e-7)


def test_units_names_and_tips_are_read(plain):
    assert plain.frame_rate == 30.0
    assert plain.joint_names[:3] == ("Hips", "Chest", "Head")
    assert plain.parents[:5] == (-1, 0, 1, 1, 3)
    np.testing.assert_allclose(plain.offsets[1], [0, 0.4, 0])
    np.testing.assert_allclose(plain.root_positions[0], [0.05, 1.0, 0.07])
    tips = {plain.joint_names[joint]: tip.tolist() for joint, tip in plain.end_sites.items()}
    assert tips == {"Head": [[0, 0.1, 0]], "LeftFoot": [[0, -0.08, 0.15]]}


VARIANTS = {
    "tabs": BODY + text_of(ROWS, separator="\t"),
    "spaces at the ends": BODY + "".join(f"  {line}  \n" for line in text_of(ROWS).splitlines()),
    "carriage returns": (BODY + text_of(ROWS)).replace("\n", "\r\n"),
    "scientific numbers": BODY + text_of(ROWS, number="{:.9e}"),
    "blank lines": BODY.replace("MOTION", "\n\nMOTION\n") + text_of(ROWS).replace("\n", "\n\n"),
    "byte order mark": "\ufeff" + BODY + text_of(ROWS),
    "braces on the line of the joint": BODY.replace("\n{", " {").replace("\n\t{", "{").replace("\n\t\t{", " {")
    + text_of(ROWS),
    "lower case keywords": BODY.replace("CHANNELS", "channels")
    .replace("rotation", "Rotation")
    .replace("JOINT", "Joint")
    + text_of(ROWS),
    "end site in one word": BODY.replace("End Site", "End site Tip") + text_of(ROWS),
    "no last newline": BODY + text_of(ROWS)[:-1],
}


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_of_the_format_is_read_alike(name, plain, write):
    variant = read_bvh(write(VARIANTS[name], "variant.bvh"))
    np.testing.assert_allclose(variant.pose()[0], plain.pose()[0], atol=1e-7)


def test_rotation_channels_before_positions_and_on_top_of_any_order(plain, write):
    header = BODY.replace(
        "Xposition Yposition Zposition Zrotation Xrotation Yrotation",
        "Zrotation Zposition Xrotation Yposition Yrotation Xposition",
    )
    rows = ROWS.copy()
    rows[:, :6] = ROWS[:, [3, 2, 4, 1, 5, 0]]
    np.testing.assert_allclose(read_bvh(write(header + text_of(rows))).pose()[0], plain.pose()[0], atol=1e-7)


def test_missing_channels_mean_no_rotation_and_the_offset(write):
    header = BODY.replace("CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation", "CHANNELS 1").replace(
        "CHANNELS 3 Zrotation Xrotation Yrotation\n\t\t\tEnd", "CHANNELS 0\n\t\t\tEnd"
    )
    rows = np.zeros((2, 1 + 3 * 13))
    rows[:, 0] = 90
    positions, rotations = read_bvh(write(header + text_of(rows))).pose()
    np.testing.assert_allclose(rotations[0, 0] @ [0, 0, 1], [1, 0, 0], atol=1e-7)
    np.testing.assert_allclose(positions[:, 0], 0)


def with_chest_translation(values):
    header = BODY.replace(
        "OFFSET 0 40 0\n\t\tCHANNELS 3 Zrotation",
        "OFFSET 0 40 0\n\t\tCHANNELS 6 Xposition Yposition Zposition Zrotation",
    )
    return header + text_of(np.concatenate([ROWS[:, :6], values, ROWS[:, 6:]], axis=1))


def test_a_constant_translation_of_a_joint_takes_the_place_of_its_offset(write):
    source = read_bvh(write(with_chest_translation(np.array([[0, 50, 0], [0, 50, 0]]))))
    np.testing.assert_allclose(source.offsets[1], [0, 0.5, 0])
    assert source.joint_translations == {}


def test_a_translation_of_zero_is_a_displacement_from_the_offset(plain, write):
    source = read_bvh(write(with_chest_translation(np.zeros((2, 3)))))
    np.testing.assert_allclose(source.pose()[0], plain.pose()[0], atol=1e-7)


def test_a_joint_that_slides_is_followed(write):
    source = read_bvh(write(with_chest_translation(np.array([[0, 40, 0], [0, 60, 0]]))))
    positions, _ = source.pose()
    np.testing.assert_allclose(np.linalg.norm(positions[:, 1] - positions[:, 0], axis=-1), [0.4, 0.6])


@pytest.mark.parametrize(
    ("frame_time", "frame_rate"),
    [
        ("0.0333", 30),
        (".0333333", 30),
        ("0.033367", 30000 / 1001),
        ("0.033", 30),
        ("0.03", 30),
        ("0.0333333350", 30),
        ("0.017", 60),
        ("0.016", 60),
        ("0.01668", 60000 / 1001),
        ("0.0042", 240),
        ("0.00417", 240),
        ("0.0083", 120),
        ("0.008", 120),
        ("0.0417", 24),
        ("0.042", 24),
        ("0.0167", 60),
        ("0.05", 20),
        ("0.01", 100),
        ("0.011111", 90),
        ("0.00800", 125),
        ("0.0323", 31),
        ("0.008333", 120),
        ("8.3333e-3", 120),
        ("0.04", 25),
        ("1", 1),
        ("0.0166667", 60),
    ],
)
def test_a_rounded_frame_time_gives_the_whole_rate(frame_time, frame_rate, write):
    text = BODY.replace("0.033333", frame_time) + text_of(ROWS)
    assert read_bvh(write(text)).frame_rate == pytest.approx(frame_rate, rel=1e-12)


def scaled(factor):
    lines = []
    for line in BODY.splitlines():
        words = line.split()
        if words[0] == "OFFSET":
            line = " ".join(["OFFSET", *(f"{float(word) * factor:.6f}" for word in words[1:])])
        lines.append(line)
    rows = ROWS.copy()
    rows[:, :3] *= factor
    return "\n".join(lines) + "\n" + text_of(rows)


@pytest.mark.parametrize("units_per_metre", [1.0, 100.0, 1000.0, 1 / 0.0254, 0.45 / 0.0254])
def test_the_unit_is_guessed_from_the_height(units_per_metre, plain, write):
    guessed = read_bvh(write(scaled(units_per_metre / 100)))
    np.testing.assert_allclose(guessed.pose()[0], plain.pose()[0], atol=1e-3)


def test_an_unknown_unit_warns_and_a_given_one_does_not(plain, write, recwarn):
    path = write(scaled(3))
    np.testing.assert_allclose(read_bvh(path, unit_scale=1 / 300).pose()[0], plain.pose()[0], atol=1e-3)
    assert not recwarn.list
    with pytest.warns(UserWarning, match="no adult's in a usual unit.* Pass `--unit`"):
        source = read_bvh(path)
    assert np.ptp(source.pose()[0][0, :, 1]) == pytest.approx(1.70, rel=0.1)


def z_up(text):
    """Write the same body for a Z-up world: every OFFSET turned, the root's motion turned."""
    lines = []
    for line in text.splitlines():
        words = line.split()
        if words[:1] == ["OFFSET"]:
            x, y, z = words[1:]
            line = f"OFFSET {x} {-float(z)} {y}"
        lines.append(line)
    rows = np.zeros((2, NUM_CHANNELS))
    rows[:, :3] = [5, -7, 100]
    return "\n".join(lines) + "\n" + text_of(rows)


def test_a_z_up_file_is_turned_to_y_up(write):
    upright = np.zeros((2, NUM_CHANNELS))
    upright[:, :3] = [5, 100, 7]
    expected = read_bvh(write(BODY + text_of(upright), "y.bvh")).pose()[0]
    np.testing.assert_allclose(read_bvh(write(z_up(BODY), "z.bvh")).pose()[0], expected, atol=1e-7)


def test_a_world_on_its_side_is_turned_with_a_warning(write):
    rows = np.zeros((2, NUM_CHANNELS))
    rows[:, :6] = [5, -7, 100, 0, 90, 0]  # a rest pose with Y up, turned in every frame
    path = write(BODY + text_of(rows))
    with pytest.warns(UserWarning, match="up_axis='y'"):
        positions, _ = read_bvh(path).pose()
    assert positions[0, 2, 1] > positions[0, 0, 1] + 0.5
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        positions, _ = read_bvh(path, up_axis="y").pose()
    assert positions[0, 2, 2] > positions[0, 0, 2] + 0.5


def test_feet_without_toe_joints_point_where_the_body_looks(write):
    upright = np.zeros((2, NUM_CHANNELS))
    body, _, found = read_bvh(write(BODY + text_of(upright))).to_body()
    feet = {
        name: body[0, JOINT_NAMES.index(name)] for name in ("left_ankle", "left_foot", "right_ankle", "right_foot")
    }
    np.testing.assert_allclose(feet["left_foot"] - feet["left_ankle"], [0, -0.08, 0.15], atol=1e-7)  # its End Site
    forward = feet["right_foot"] - feet["right_ankle"]
    assert forward[2] > 0.1 and abs(forward[0]) < 1e-6
    assert "right_foot" not in found
    heights = body[
        0, [JOINT_NAMES.index(name) for name in ("pelvis", "spine1", "spine2", "spine3", "neck", "head")], 1
    ]
    assert (np.diff(heights) > 0).all()


ERRORS = {
    "no hierarchy": ("solid cube\n", "is not a BVH file.*HIERARCHY, got 'solid cube'"),
    "empty": ("", "got nothing"),
    "no motion": (BODY.split("MOTION")[0], "there is no line MOTION"),
    "two roots": (BODY.replace("\tJOINT LeftUpLeg", "\tROOT LeftUpLeg"), "line 50: .*exactly one ROOT"),
    "joint outside": ("HIERARCHY\nROOT a\nJOINT b\n", "line 3: a JOINT must stand inside"),
    "open brace": (BODY.replace("}\nMOTION", "\nMOTION"), "1 braces of the hierarchy are not closed"),
    "closed brace": ("HIERARCHY\n}\n", "line 2: a brace is closed that was never opened"),
    "short offset": (BODY.replace("OFFSET 0 40 0", "OFFSET 0 40"), "line 8: OFFSET must give 3 numbers"),
    "word in offset": (BODY.replace("OFFSET 0 40 0", "OFFSET 0 forty 0"), "line 8: expected numbers"),
    "channel count": (BODY.replace("CHANNELS 3", "CHANNELS 4", 1), "line 9: CHANNELS must give the number"),
    "channel name": (BODY.replace("Xposition", "Xscale"), "line 5: a channel must be one of.*'xscale'"),
    "unknown keyword": (BODY.replace("\tOFFSET 0 40 0", "\tROTATE 1"), "line 8: expected ROOT, JOINT"),
    "no frames line": (BODY.replace("Frames: 2\n", ""), "expected `Frames: NUMBER`"),
    "frame time": (BODY.replace("0.033333", "0"), "Frame Time must be a positive number"),
    "no frames": (BODY, "holds no frames"),
    "short row": (BODY + text_of(ROWS) + "1 2 3\n", "line 90: a frame must have 48 numbers, got 3"),
    "decimal comma": (BODY + text_of(ROWS).replace(".", ","), "line 88: expected numbers.*decimal commas"),
    "nan": (
        BODY + text_of(ROWS).replace("100.000000", "nan", 1),
        "NaN or infinity in 1 of 2 frames, first in frame 0",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_a_broken_file_is_refused_with_its_name_and_line(name, write):
    text, message = ERRORS[name]
    with pytest.raises(BVHError, match=message) as error:
        read_bvh(write(text, "broken.bvh"))
    assert "broken.bvh" in str(error.value)


def test_a_wrong_number_of_frames_warns(write):
    with pytest.warns(UserWarning, match="announces 9 frames and holds 2"):
        assert len(read_bvh(write(BODY.replace("Frames: 2", "Frames: 9") + text_of(ROWS))).root_positions) == 2


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"path": "absent.bvh"}, FileNotFoundError, "There is no file absent.bvh"),
        ({"unit_scale": -1.0}, ValueError, "`unit_scale` must be a positive"),
        ({"up_axis": "w"}, ValueError, "`up_axis` must be one of y, z, x, -y, -z, -x or None"),
    ],
)
def test_wrong_arguments_are_refused(arguments, error, message, write):
    with pytest.raises(error, match=message):
        read_bvh(**({"path": write(BODY + text_of(ROWS))} | arguments))


def test_writing_needs_an_existing_folder(moving, tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        write_bvh(moving, tmp_path / "absent" / "dance.bvh")


@pytest.mark.parametrize("names", BONE_NAMES)
def test_our_own_file_comes_back_as_it_was(names, dance, tmp_path):
    """On our body nothing is fitted, levelled or scaled; the names with a bone for root motion are another rig."""
    moved = replace(dance, root_positions=dance.root_positions + np.array([0.3, 0.04, -2.0], np.float32))
    export_motion(moved, tmp_path / "dance.bvh", names=names)
    error = np.abs(read_motion(tmp_path / "dance.bvh").joint_positions() - moved.joint_positions()).max()
    assert error < (1e-4 if names != "unreal" else 0.05), error
