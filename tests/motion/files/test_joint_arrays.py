"""Arrays of joints and of features that other systems write."""

import json
import pickle

import numpy as np
import pytest
import roma
import torch

from infinitedance.motion.files import read_joint_positions, read_motion
from infinitedance.motion.files.joint_arrays import joints_from_root_and_ric
from infinitedance.motion.motion import Motion
from infinitedance.motion.retargeting.retargeting import motion_from_positions, put_on_floor
from infinitedance.motion.skeleton import JOINT_INDEX

Z_UP = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])


@pytest.fixture
def dance(make_moving) -> Motion:
    return put_on_floor(make_moving(num_frames=60, strength=0.3))


def with_hands(joints: np.ndarray, count: int) -> np.ndarray:
    """Append joints of hands and face."""
    return np.concatenate([joints, np.repeat(joints[:, -1:], count - joints.shape[1], axis=1)], axis=1)


def saved(folder, array, name="dance.npy", **options):
    np.save(folder / name, array, **options)
    return folder / name


def to_ric(joints: np.ndarray, width: int) -> np.ndarray:
    """Write joints as root velocities and positions in the heading frame, as HumanML3D (263) and the 264 do.

    Any heading serves, as long as the first is 0; the channels that the recovery does not read are noise.
    """
    frames = len(joints)
    heading = 0.4 * np.sin(np.arange(frames) / 9)
    cosine, sine = np.cos(heading), np.sin(heading)

    def to_heading_frame(vectors, rows):
        x, z = vectors[..., 0], vectors[..., 2]
        c, s = (value[rows].reshape(-1, *[1] * (x.ndim - 1)) for value in (cosine, sine))
        # Both formats count the heading from +Z toward -X.
        return np.stack([c * x + s * z, vectors[..., 1], c * z - s * x], axis=-1)

    features = np.random.default_rng(0).normal(size=(frames, width))
    yaw_velocity = np.zeros(frames)
    yaw_velocity[:-1] = np.diff(heading) / 2
    velocity = np.zeros((frames, 3))
    velocity[:-1] = to_heading_frame(np.diff(joints[:, 0], axis=0), np.arange(1, frames))
    floor_point = joints[:, :1] * np.array([1.0, 0.0, 1.0])
    local = to_heading_frame(joints[:, 1:] - floor_point, np.arange(frames)).reshape(frames, -1)
    height = joints[:, 0, 1]
    if width == 263:
        features[:, 0], features[:, 1:3], features[:, 3] = yaw_velocity, velocity[:, [0, 2]], height
        features[:, 4:67] = local
    else:
        features[:, 0], features[:, 2], features[:, 3:5] = height, yaw_velocity, velocity[:, [0, 2]]
        features[:, 5:68] = local
    return features


def to_rotation_features(motion: Motion, width: int) -> np.ndarray:
    """Write contacts, root position and the first two rows of each rotation, as LODGE and FineDance do."""
    joints = {139: 22, 319: 52, 315: 52}[width]
    rows = with_hands(motion.joint_rotations_matrix()[:, :, :2].flatten(2).numpy(), joints).reshape(60, -1)
    contacts = np.ones((60, 4 if width != 315 else 0))
    return np.concatenate([contacts, motion.root_positions, rows], axis=1).astype(np.float32)


@pytest.mark.parametrize(
    ("joints", "frame_rate"), [(22, 30.0), (24, None), (52, None), (55, None)], ids=lambda value: str(value)
)
@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("z_up", [False, True])
def test_joints_are_read_as_they_stand_in_the_file(joints, frame_rate, flat, z_up, dance, tmp_path):
    positions = dance.joint_positions().astype(np.float64)
    array = with_hands(positions @ Z_UP.T if z_up else positions, joints)
    path = saved(tmp_path, array.reshape(len(array), -1) if flat else array)
    if frame_rate is None:
        with pytest.raises(ValueError, match="do not say their frame rate; pass `--input-frame-rate`"):
            read_joint_positions(path)
    read, rate = read_joint_positions(path, frame_rate=None if frame_rate else 50.0)
    assert rate == frame_rate or rate == 50.0
    np.testing.assert_allclose(read, positions, atol=1e-9)


def bailando_json(joints, folder):
    path = folder / "dance.json"
    path.write_text(json.dumps({"id": "gBR", "music_array": [], "dance_array": joints.reshape(60, 72).tolist()}))
    return path


def bailando_npy(joints, folder):
    return saved(folder, {"pred_position": joints.reshape(60, 72)}, allow_pickle=True)


def bailando_pickle(joints, folder):
    path = folder / "dance.pkl"
    path.write_bytes(pickle.dumps({"pred_position": joints}))
    return path


@pytest.mark.parametrize("write", [bailando_json, bailando_npy, bailando_pickle])
def test_dictionaries_of_bailando_are_read_at_60_hz(write, dance, tmp_path):
    joints = with_hands(dance.joint_positions().astype(np.float64), 24)
    read, frame_rate = read_joint_positions(write(joints, tmp_path), trust_pickle=True)
    assert frame_rate == 60
    np.testing.assert_allclose(read, joints[:, :22], atol=1e-9)


def test_a_bare_list_in_json_is_read(dance, tmp_path):
    (tmp_path / "dance.json").write_text(json.dumps(dance.joint_positions().tolist()))
    np.testing.assert_allclose(read_joint_positions(tmp_path / "dance.json")[0], dance.joint_positions())


@pytest.mark.parametrize(("width", "frame_rate"), [(263, 20), (264, 30)])
def test_joints_come_back_from_features_with_root_and_local_positions(width, frame_rate, dance, tmp_path):
    joints = dance.joint_positions().astype(np.float64)
    joints -= joints[0, 0] * np.array([1.0, 0.0, 1.0])
    read, rate = read_joint_positions(saved(tmp_path, to_ric(joints, width)))
    assert rate == frame_rate
    np.testing.assert_allclose(read, joints, atol=1e-9)


@pytest.mark.shared_data
@pytest.mark.parametrize("name", ["", "random_"])
def test_the_recovery_from_264_channels_equals_the_published_one(name, repository_root):
    path = repository_root.parent / "shared" / "parity" / "features264" / "features264.npz"
    if not path.is_file():
        pytest.skip(f"golden vectors: there is no {path}")
    golden = np.load(path)
    recovered = joints_from_root_and_ric(golden[f"{name}features264"])
    np.testing.assert_allclose(recovered, golden[f"{name}recovered_joints"], atol=1e-6)


@pytest.mark.parametrize("width", [139, 319, 315])
def test_rotation_features_keep_their_rotations(width, dance, tmp_path):
    read = read_motion(saved(tmp_path, to_rotation_features(dance, width)))
    assert read.frame_rate == 30
    assert read.provenance["rotations"] == "source"
    np.testing.assert_allclose(read.joint_positions(), dance.joint_positions(), atol=1e-3)
    twist = torch.from_numpy(read.joint_rotations), torch.from_numpy(dance.joint_rotations)
    angle = roma.rotmat_geodesic_distance(*(roma.unitquat_to_rotmat(value[..., [1, 2, 3, 0]]) for value in twist))
    assert angle.max() < 0.01


def test_joints_alone_are_fitted_and_marked_so(dance, tmp_path):
    joints = dance.joint_positions()
    read = read_motion(saved(tmp_path, joints))
    assert read.provenance == {"source": "dance.npy", "rotations": "fitted"}
    np.testing.assert_array_equal(read.joint_rotations, motion_from_positions(joints, 30.0).joint_rotations)
    apart = np.linalg.norm(read.joint_positions() - joints, axis=-1)
    assert apart.mean() < 0.02
    assert apart[:, [JOINT_INDEX["left_ankle"], JOINT_INDEX["right_ankle"]]].mean() < 0.015


def test_what_a_fit_would_repair_is_still_there_for_measuring(dance, tmp_path):
    stretched = dance.joint_positions().astype(np.float64)
    stretched[:, JOINT_INDEX["left_foot"], 1] -= 0.2 * np.sin(np.arange(60))
    path = saved(tmp_path, stretched)
    np.testing.assert_allclose(read_joint_positions(path)[0], stretched)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda joints: joints[:, :21],
            r"layout that is not known: got shape \(60, 21, 3\), known are .*263\) HumanML3D",
        ),
        (lambda joints: joints.reshape(60, -1)[:, :50], "layout that is not known"),
        (lambda joints: joints[None], "layout that is not known"),
        (lambda joints: joints[:0], r"at least one frame, got shape \(0, 22, 3\)"),
        (lambda joints: np.float32(3), "at least one frame"),
        (lambda joints: np.where(np.arange(60)[:, None, None] == 7, np.nan, joints), "in 1 of 60 frames, first in 7"),
        (lambda joints: 100 * joints, "must be in metres, got legs .* this looks like centimetres"),
        (lambda joints: 1000 * joints, "this looks like millimetres"),
        (lambda joints: 1e5 * joints, "no adult in any unit"),
        (lambda joints: np.random.default_rng(0).normal(size=(60, 66)), "does not hold the joints of a body"),
        (lambda joints: np.random.default_rng(0).normal(size=(60, 264)), "does not hold the joints of a body"),
        (lambda joints: np.array(["a"]), "must be an array of numbers"),
    ],
)
def test_a_wrong_array_is_refused_with_the_reason(change, message, dance, tmp_path):
    with pytest.raises(ValueError, match=f"dance.npy.*{message}"):
        read_motion(saved(tmp_path, change(dance.joint_positions())))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("dance.npy", b"no array", "not a readable .npy"),
        ("dance.npy", b"", "not a readable .npy"),
        ("dance.json", b"{", "not readable JSON"),
        ("dance.json", b'{"poses": []}', "at least one frame"),
        ("dance.json", b'{"angles": []}', "joints under one of pred_position, dance_array, got the keys angles"),
        ("dance.json", b"[" * 100_000, "at most 64 levels deep"),
        ("dance.json", b"[]", "at least one frame"),
        ("dance.json", b"[[1, 2], [3]]", "must be an array of numbers"),
    ],
)
def test_a_broken_file_is_named(name, content, message, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"{name}.*{message}"):
        read_motion(tmp_path / name)


@pytest.mark.parametrize("name", ["dance.npy", "dance.json", "dance.pkl", "dance.npz"])
def test_a_missing_file_is_named(name, tmp_path):
    with pytest.raises(FileNotFoundError, match=f"There is no file .*{name}"):
        read_motion(tmp_path / name, trust_pickle=True)


def test_an_array_that_is_a_pickle_is_refused_unless_it_is_trusted(dance, tmp_path):
    path = bailando_npy(with_hands(dance.joint_positions(), 24), tmp_path)
    with pytest.raises(ValueError, match="is a Python pickle.*--trust-pickle"):
        read_joint_positions(path)


def test_options_that_make_no_sense_are_refused(dance, tmp_path):
    path = saved(tmp_path, dance.joint_positions())
    with pytest.raises(ValueError, match="`up_axis` must be one of y, z, x, -y, -z, -x or None, got 'w'"):
        read_motion(path, up_axis="w")
    for frame_rate in (-5, 0, np.nan):
        with pytest.raises(ValueError, match=f"must lie in 1 to 1000 Hz, got {frame_rate}"):
            read_motion(path, frame_rate=frame_rate)
