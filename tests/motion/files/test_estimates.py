"""Result files of video estimators, written here as their code writes them."""

import pickle
from dataclasses import replace

import joblib
import numpy as np
import pytest
import roma
import torch

from infinitedance.motion.files import read_joint_positions, read_motion
from infinitedance.motion.files.estimates import Estimate, read_estimates, split_at_gaps
from infinitedance.motion.motion import Motion
from infinitedance.motion.retargeting.retargeting import put_on_floor
from infinitedance.motion.skeleton import CONTACT_JOINTS, JOINT_INDEX

TO_CAMERA = np.diag([1.0, -1.0, -1.0])


@pytest.fixture
def dance(make_moving) -> Motion:
    moving = make_moving(num_frames=40, strength=0.2)
    bent = moving.joint_rotations.copy()
    bent[:, [JOINT_INDEX["left_knee"], JOINT_INDEX["right_knee"]]] = [np.cos(0.3), np.sin(0.3), 0, 0]
    return put_on_floor(replace(moving, joint_rotations=bent))


def matrices(motion, turn=None):
    rotations = motion.joint_rotations_matrix().numpy().copy()
    if turn is not None:
        rotations[:, 0] = turn @ rotations[:, 0]
    hands = np.tile(np.eye(3), (len(rotations), 2, 1, 1))
    return np.concatenate([rotations, hands], axis=1)


def vectors(motion, turn=None, joints=24):
    rotations = torch.from_numpy(matrices(motion, turn)[:, :joints])
    return roma.rotmat_to_rotvec(rotations).numpy().reshape(motion.num_frames, -1)


def smplx(motion, turn=None):
    poses = vectors(motion, turn, 22).astype(np.float32)
    path = motion.root_positions if turn is None else motion.root_positions @ turn.T
    return {"global_orient": poses[:, :3], "body_pose": poses[:, 3:], "transl": path.astype(np.float32)}


def gvhmr(motion, folder):
    tensors = {name: torch.from_numpy(array) for name, array in smplx(motion).items()}
    tensors["betas"] = torch.zeros(motion.num_frames, 10)
    content = {"smpl_params_global": tensors, "smpl_params_incam": tensors, "K_fullimg": torch.eye(3).repeat(40, 1, 1)}
    torch.save(content | {"net_outputs": {"model_output": {"pred_cam": torch.zeros(1, 40, 3)}}}, folder / "hmr4d.pt")
    return folder / "hmr4d.pt"


def genmo(motion, folder):
    tensors = {name: torch.from_numpy(array) for name, array in smplx(motion).items()}
    torch.save({"body_params_incam": tensors, "body_params_global": tensors}, folder / "smpl_params.pt")
    return folder / "smpl_params.pt"


def wham(motion, folder):
    frames = np.arange(motion.num_frames)
    person = {
        "pose": vectors(motion, TO_CAMERA),
        "trans": motion.root_positions @ TO_CAMERA,
        "pose_world": vectors(motion),
        "trans_world": motion.root_positions,
        "betas": np.zeros((motion.num_frames, 10)),
        "frame_ids": frames,
    }
    joblib.dump({0: person}, folder / "wham_output.pkl")
    return folder / "wham_output.pkl"


def tram(motion, folder, camera_turn=TO_CAMERA, with_camera=False):
    track = folder / "hps" / "hps_track_0.npy"
    track.parent.mkdir()
    shift = np.array([0.5, -1.0, 3.0])
    content = {
        "pred_rotmat": torch.from_numpy(matrices(motion, camera_turn)),
        "pred_trans": torch.from_numpy(motion.root_positions @ camera_turn.T + shift)[:, None],
        "frame": torch.arange(motion.num_frames),
    }
    np.save(track, np.array(content, dtype=object), allow_pickle=True)
    if with_camera:
        camera = {
            "world_cam_R": torch.from_numpy(np.tile(camera_turn.T, (motion.num_frames, 1, 1))),
            "world_cam_T": torch.from_numpy(np.tile(-camera_turn.T @ shift, (motion.num_frames, 1))),
        }
        np.save(folder / "camera.npy", np.array(camera, dtype=object), allow_pickle=True)
    return track


def tram_with_camera(motion, folder):
    tilt = roma.rotvec_to_rotmat(torch.tensor([0.4, 0.0, 0.0], dtype=torch.float64)).numpy()
    return tram(motion, folder, tilt @ TO_CAMERA, True)


def phalp(motion, folder):
    rotations, path = matrices(motion, TO_CAMERA), motion.root_positions @ TO_CAMERA
    content = {}
    for frame in range(motion.num_frames):
        smpl = {"global_orient": rotations[frame, :1], "body_pose": rotations[frame, 1:], "betas": np.zeros(10)}
        content[f"frames/{frame:06d}.jpg"] = {"tid": [7], "smpl": [smpl], "camera": [path[frame]], "time": frame}
    joblib.dump(content, folder / "demo_video.pkl")
    return folder / "demo_video.pkl"


def prompt_hmr(motion, folder):
    world = {"pose": vectors(motion, joints=24), "shape": np.zeros((40, 10)), "trans": motion.root_positions}
    world["pose"] = np.pad(world["pose"], ((0, 0), (0, 165 - 72)))
    person = {"frames": np.arange(motion.num_frames), "smplx_world": world}
    joblib.dump({"people": {np.int64(1): person}, "camera": {"pred_cam_R": np.eye(3)}}, folder / "results.pkl")
    return folder / "results.pkl"


def vibe_person(motion, frames=None, as_matrices=False):
    frames = np.arange(motion.num_frames) if frames is None else frames
    pose = matrices(motion, TO_CAMERA).astype(np.float32) if as_matrices else vectors(motion, TO_CAMERA)
    return {
        "pred_cam": np.zeros((len(frames), 3)),
        "orig_cam": np.zeros((len(frames), 4)),
        "pose": pose,
        "betas": np.zeros((len(frames), 10)),
        "joints3d": np.zeros((len(frames), 49, 3)),
        "frame_ids": frames,
        "bboxes": np.zeros((len(frames), 4)),
    }


def vibe(motion, folder):
    joblib.dump({7: vibe_person(motion)}, folder / "vibe_output.pkl", compress=3)
    return folder / "vibe_output.pkl"


def pare(motion, folder):
    (folder / "pare.pkl").write_bytes(pickle.dumps({1: vibe_person(motion, as_matrices=True)}))
    return folder / "pare.pkl"


def mhr70(motion):
    """Key points of SAM 3D Body in camera coordinates, `(frames, 70, 3)`."""
    joints = motion.joint_positions().astype(np.float64)
    points = np.zeros((len(joints), 70, 3))
    places = {"shoulder": 5, "elbow": 7, "hip": 9, "knee": 11, "ankle": 13}
    for index, side in enumerate(("left", "right")):
        for part, place in places.items():
            points[:, place + index] = joints[:, JOINT_INDEX[f"{side}_{part}"]]
        points[:, {"left": 62, "right": 41}[side]] = joints[:, JOINT_INDEX[f"{side}_wrist"]]
        ankle, ball = (joints[:, JOINT_INDEX[f"{side}_{part}"]] for part in ("ankle", "foot"))
        points[:, {"left": [15, 16], "right": [18, 19]}[side]] = (ankle + 1.5 * (ball - ankle))[:, None]
    points[:, 69] = joints[:, JOINT_INDEX["neck"]]
    points[:, [3, 4]] = joints[:, [JOINT_INDEX["head"]]]
    return points @ TO_CAMERA


def sam_pictures(motion, folder):
    shift = np.array([0.3, 0.5, 4.0])
    pictures = [
        [
            {
                "pred_keypoints_3d": (points - shift).astype(np.float32),
                "pred_cam_t": shift,
                "pred_joint_coords": np.zeros((127, 3)),
            }
        ]
        for points in mhr70(motion)
    ]
    (folder / "sam.pkl").write_bytes(pickle.dumps(pictures))
    return folder / "sam.pkl"


def sam_people(motion, folder):
    points = mhr70(motion)
    person = {"pred_keypoints_3d": points, "pred_cam_t": np.zeros((len(points), 3))}
    np.save(folder / "sam.npy", np.array({"3": person}, dtype=object), allow_pickle=True)
    return folder / "sam.npy"


def sam_lists(motion, folder):
    people = {"a": [{"pred_keypoints_3d": points, "pred_cam_t": np.zeros(3)} for points in mhr70(motion)]}
    (folder / "sam_lists.pkl").write_bytes(pickle.dumps(people))
    return folder / "sam_lists.pkl"


def smplerx(motion, folder):
    arrays = smplx(motion, TO_CAMERA)
    (folder / "result" / "smplx").mkdir(parents=True)
    for frame in range(motion.num_frames):
        shapes = {"global_orient": (1, 3), "body_pose": (21, 3), "transl": (1, 3)}
        one = {name: arrays[name][frame].reshape(shape) for name, shape in shapes.items()}
        np.savez(folder / "result" / "smplx" / f"{frame:05d}_0.npz", **one, betas=np.zeros((1, 10)))
    return folder / "result"


@pytest.mark.parametrize(
    ("write", "tool"),
    [
        (gvhmr, "GVHMR"),
        (genmo, "GENMO"),
        (wham, "WHAM"),
        (prompt_hmr, "PromptHMR"),
        (tram, "TRAM"),
        (tram_with_camera, "TRAM"),
        (phalp, "4D-Humans"),
        (smplerx, "SMPLer-X"),
    ],
)
def test_a_result_becomes_the_dance_that_was_estimated(write, tool, dance, tmp_path):
    (motion,) = read_estimates(write(dance, tmp_path), trust_pickle=True, frame_rate=30.0)
    assert motion.provenance["tool"] == tool
    np.testing.assert_allclose(motion.joint_rotations[:, 1:], dance.joint_rotations[:, 1:], atol=2e-3)
    steps = np.diff(motion.root_positions, axis=0) - np.diff(dance.root_positions, axis=0)
    assert np.abs(steps).max() < 1e-3
    np.testing.assert_allclose(motion.joint_positions()[..., 1], dance.joint_positions()[..., 1], atol=2e-3)


@pytest.mark.parametrize(("write", "tool"), [(vibe, "VIBE or PARE"), (pare, "PARE")])
def test_a_result_without_a_path_dances_on_the_spot_with_a_word(write, tool, dance, tmp_path):
    with pytest.warns(UserWarning, match="does not say where people are in the room: person . dances on the spot"):
        (motion,) = read_estimates(write(dance, tmp_path), trust_pickle=True, frame_rate=30.0)
    assert motion.provenance["tool"] == tool
    np.testing.assert_allclose(motion.joint_rotations[:, 1:], dance.joint_rotations[:, 1:], atol=2e-3)
    assert not motion.root_positions[:, [0, 2]].any()
    heights = motion.joint_positions()[:, list(CONTACT_JOINTS), 1] - motion.skeleton.contact_rest_heights
    np.testing.assert_allclose(heights.min(axis=1), 0, atol=1e-3)


@pytest.mark.parametrize("write", [sam_pictures, sam_people, sam_lists])
def test_key_points_of_sam_3d_body_become_a_dance(write, dance, tmp_path):
    path = write(dance, tmp_path)
    (motion,) = read_estimates(path, trust_pickle=True, frame_rate=30.0)
    assert motion.provenance["tool"] == "SAM 3D Body" and motion.provenance["rotations"] == "fitted"
    found, expected = (each.joint_positions() - each.joint_positions()[:1, :1] for each in (motion, dance))
    assert np.linalg.norm(found - expected, axis=-1).mean() < 0.04
    limbs = [JOINT_INDEX[f"{side}_{part}"] for side in ("left", "right") for part in ("knee", "ankle", "elbow")]
    assert np.linalg.norm(found - expected, axis=-1)[:, limbs].mean() < 0.04


def test_the_samples_of_mdm_are_read_one_at_a_time(dance, make_moving, tmp_path):
    others = [put_on_floor(make_moving(num_frames=40, strength=0.2, seed=seed)) for seed in (1, 2)]
    joints = np.stack([motion.joint_positions() for motion in (dance, *others)]).transpose(0, 2, 3, 1)
    content = {"motion": joints, "text": ["a", "b", "c"], "lengths": np.array([40, 30, 20]), "num_samples": 3}
    np.save(tmp_path / "results.npy", np.array(content, dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="--trust-pickle"):
        read_motion(tmp_path / "results.npy")
    with pytest.warns(UserWarning, match="results.npy holds 3 samples, of which 0 is read. Pass `--person`"):
        positions, rate = read_joint_positions(tmp_path / "results.npy", trust_pickle=True)
    assert rate == 20 and len(positions) == 40
    np.testing.assert_allclose(positions, dance.joint_positions(), atol=1e-6)
    assert read_motion(tmp_path / "results.npy", trust_pickle=True, person="2").num_frames == 20
    with pytest.raises(ValueError, match="samples 0 to 2, got '3'"):
        read_motion(tmp_path / "results.npy", trust_pickle=True, person="3")


def test_one_of_several_people_is_chosen_and_told(dance, tmp_path):
    short = dance.cut(0, 20)
    joblib.dump({4: vibe_person(short), 9: vibe_person(dance)}, tmp_path / "people.pkl")
    options = {"trust_pickle": True, "frame_rate": 30.0}
    with pytest.warns(UserWarning, match="people 4, 9: the longest is read, person 9 .*Pass `--person`"):
        assert read_motion(tmp_path / "people.pkl", **options).num_frames == 40
    with pytest.warns(UserWarning, match="on the spot"):
        assert read_motion(tmp_path / "people.pkl", person="4", **options).num_frames == 20
    with pytest.raises(ValueError, match="people.pkl holds the people 4, 9, got '5'"):
        read_motion(tmp_path / "people.pkl", person="5", **options)


@pytest.mark.parametrize(
    ("person", "message"),
    [
        ({"pose": np.zeros((5, 72)), "frame_ids": np.arange(4)}, "`frame_ids` must have 5 numbers"),
        ({"pose": np.zeros((5, 60)), "frame_ids": np.arange(5)}, "at least 66 numbers a frame, got 60"),
        ({"pose": np.zeros((5, 72)), "frame_ids": np.arange(5) - 3}, "must count from 0"),
        ({"pose": np.zeros((2, 72)), "frame_ids": np.array([0, 10**8])}, "must count from 0"),
        (
            {"pose_world": np.zeros((5, 72)), "trans_world": np.zeros((4, 3))},
            r"`trans_world` must have shape \(5, 3\)",
        ),
        ({"smplx_world": np.zeros(3)}, "`smplx_world` of a result of PromptHMR"),
        ({"pred_keypoints_3d": np.zeros((5, 17, 3))}, r"must have shape \(frames, 70, 3\)"),
        ({"pose": "none", "frame_ids": [0]}, "`pose` must be an array of numbers"),
        ({"pose": np.full((5, 72), np.nan), "frame_ids": np.arange(5)}, "NaN or infinity in 5 of 5"),
    ],
)
def test_a_person_that_makes_no_sense_is_refused_with_the_file(person, message, tmp_path):
    (tmp_path / "people.pkl").write_bytes(pickle.dumps({0: person}))
    with pytest.raises(ValueError, match=f"people.pkl.*{message}"):
        read_motion(tmp_path / "people.pkl", trust_pickle=True, frame_rate=30)


@pytest.mark.parametrize("write", [gvhmr, genmo])
def test_tools_of_a_fixed_rate_need_none(write, dance, tmp_path):
    (motion,) = read_estimates(write(dance, tmp_path))
    assert motion.frame_rate == 30


@pytest.mark.parametrize("write", [wham, phalp, tram])
def test_pickles_need_trust_and_an_unknown_rate_of_a_video_is_told(write, dance, tmp_path):
    path = write(dance, tmp_path)
    with pytest.raises(ValueError, match="can run code when it is opened"):
        read_estimates(path)
    with pytest.warns(UserWarning, match="taken for 30 Hz. Pass `--input-frame-rate`"):
        (motion,) = read_estimates(path, trust_pickle=True)
    assert motion.frame_rate == 30


def test_several_people_are_dances_of_their_own(dance, make_moving, tmp_path):
    people = {}
    for name, motion in (("3", dance), ("5", dance.mirror())):
        path = wham(motion, tmp_path)
        people[name] = joblib.load(path)[0]
    joblib.dump(people, tmp_path / "wham_output.pkl")
    first, second = read_estimates(tmp_path / "wham_output.pkl", trust_pickle=True, frame_rate=30.0)
    assert (first.provenance["person"], second.provenance["person"]) == ("3", "5")
    assert np.abs(first.joint_positions() - second.joint_positions()).max() > 0.1


def estimate_at(frames):
    angles = torch.tensor(frames, dtype=torch.float64)[:, None, None] * torch.tensor([0.01, 0.0, 0.0]).double()
    rotations = roma.rotvec_to_rotmat(angles.expand(-1, 22, 3)).numpy()
    path = np.array(frames, dtype=float)[:, None] * np.array([0.1, 0.0, 0.0])
    return Estimate("WHAM", "0", rotations, path, np.array(frames))


def test_short_gaps_are_filled_and_long_ones_end_a_clip():
    first, second = split_at_gaps(estimate_at([3, 4, 15, 16, 28, 29]))
    assert first.frame_indices.tolist() == list(range(3, 17)) and second.frame_indices.tolist() == [28, 29]
    np.testing.assert_allclose(first.translations[:, 0], 0.1 * np.arange(3, 17))
    angles = roma.rotmat_to_rotvec(torch.from_numpy(first.rotations))[..., 0].numpy()
    np.testing.assert_allclose(angles, np.repeat(0.01 * np.arange(3, 17)[:, None], 22, axis=1), atol=1e-9)


def test_frames_out_of_order_are_refused():
    with pytest.raises(ValueError, match="person 0 must rise"):
        split_at_gaps(estimate_at([3, 2]))


class Harmful:
    def __reduce__(self):
        return print, ("harm",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"other": torch.zeros(3)}, "must hold `smpl_params_global`.*got other"),
        ({"smpl_params_global": {"body_pose": torch.zeros(4, 63)}}, "a result of GVHMR must hold `global_orient`"),
        (
            {name: {"global_orient": torch.zeros(4, 3), "body_pose": torch.zeros(4, 60), "transl": torch.zeros(4, 3)}
             for name in ("smpl_params_global",)},
            "`body_pose` must have 63 numbers a frame, got 60",
        ),
        ({"smpl_params_global": Harmful()}, "not a torch file of tensors only"),
    ],
)  # fmt: skip
def test_a_wrong_torch_file_is_refused_and_runs_no_code(content, message, tmp_path, capsys):
    torch.save(content, tmp_path / "result.pt")
    with pytest.raises(ValueError, match=message):
        read_estimates(tmp_path / "result.pt")
    assert "harm" not in capsys.readouterr().out


def test_other_files_are_left_to_other_readers(tmp_path):
    np.save(tmp_path / "joints.npy", np.zeros((3, 22, 3)))
    (tmp_path / "edge.pkl").write_bytes(pickle.dumps({"smpl_poses": np.zeros((3, 72))}))
    for name in ("joints.npy", "edge.pkl"):
        assert read_estimates(tmp_path / name, trust_pickle=True) == []
    with pytest.raises(FileNotFoundError):
        read_estimates(tmp_path / "missing.pt")


def test_a_torch_file_of_other_objects_is_refused_in_one_plain_line_with_what_it_holds(tmp_path):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "module.pt")
    with pytest.raises(ValueError, match=r"module.pt is not a torch file of tensors only: .*Linear") as refused:
        read_motion(tmp_path / "module.pt")
    assert str(refused.value).isprintable()


def test_keys_that_would_steer_a_terminal_are_named_without_it(tmp_path):
    (tmp_path / "keys.json").write_text('{"a\\n\\u001b[31m": 1}')
    with pytest.raises(ValueError, match=r"got the keys a\?\?\[31m"):
        read_motion(tmp_path / "keys.json")


def test_a_person_who_is_never_seen_for_two_frames_is_told(tmp_path):
    person = {"pose_world": np.zeros((5, 72)), "trans_world": np.zeros((5, 3)), "frame_ids": np.arange(5) * 100}
    joblib.dump({0: person}, tmp_path / "seldom.pkl")
    with pytest.raises(ValueError, match="seldom.pkl holds no person that is seen for two frames"), pytest.warns():
        read_motion(tmp_path / "seldom.pkl", trust_pickle=True)


def test_matrices_that_are_no_rotations_are_refused(dance, tmp_path):
    track = tram(dance, tmp_path)
    content = np.load(track, allow_pickle=True).item()
    for scale in (2.0, -1.0):
        np.save(track, np.array({**content, "pred_rotmat": scale * content["pred_rotmat"]}, dtype=object))
        with pytest.raises(ValueError, match="hps_track_0.npy: the rotations of person .* are no rotation matrices"):
            read_estimates(track, trust_pickle=True)
