"""Public data sets in tiny folders of their own layouts, made here from synthetic dances."""

import json
import pickle
from dataclasses import replace
from pathlib import Path

import joblib
import numpy as np
import pytest
import roma
import soundfile
import torch

from infinitedance.dataset_builder.entry_files import write_entry
from infinitedance.dataset_builder.procedural.dance import synthesize_dance
from infinitedance.dataset_builder.sources import MotionSource, open_source
from infinitedance.dataset_builder.sources.dance_with_melody import POINTS
from infinitedance.dataset_builder.sources.g1_moves import LINK_INDEX, stance
from infinitedance.motion.files import save_motion, write_bvh
from infinitedance.motion.motion import Motion
from infinitedance.motion.skeleton import JOINT_INDEX

SECONDS = 1.6


@pytest.fixture(scope="session")
def dance() -> Motion:
    return synthesize_dance("waltz", 90.0, SECONDS, seed=0)


def write_song(path: Path, seconds: float = SECONDS) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.zeros(round(8000 * seconds)), 8000)


def write_pickle(path: Path, content) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content))


def write_array(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, array)


def write_json(path: Path, content) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def smpl(dance: Motion, joints: int = 24) -> tuple[np.ndarray, np.ndarray]:
    vectors = roma.rotmat_to_rotvec(dance.joint_rotations_matrix()).numpy().reshape(dance.num_frames, -1)
    return np.pad(vectors, ((0, 0), (0, 3 * joints - 66))), dance.root_positions.astype(np.float64)


def make_aist(folder: Path, dance: Motion) -> None:
    poses, trans = smpl(dance)
    content = {"smpl_poses": poses, "smpl_trans": trans * 90, "smpl_scaling": np.array([90.0])}
    for name in (
        "gBR_sBM_cAll_d04_mBR3_ch01",
        "gHO_sFM_cAll_d19_mHO2_ch12",
        "gWA_sBM_cAll_d25_mWA0_ch01",
        "gXX_sBM_cAll_d01_mXX0_ch01",
        "odd",
        "gBR_sBM_cAll_d04_mBR5_ch02",
    ):
        write_pickle(folder / "motions" / f"{name}.pkl", content)
    (folder / "motions" / "gBR_sBM_cAll_d04_mBR3_ch01.pkl").with_name("gBR_sBM_cAll_d04_mBR4_ch02.pkl").write_bytes(
        b"?"
    )
    (folder / "ignore_list.txt").write_text("gWA_sBM_cAll_d25_mWA0_ch01\n")
    for song in ("mBR3", "mBR4", "mHO2", "mWA0"):
        write_song(folder / "music" / f"{song}.wav")


def make_amass(folder: Path, dance: Motion) -> None:
    poses, trans = smpl(dance, 52)
    for name, key in (
        ("DanceDB/anna/waltz_poses", "mocap_framerate"),
        ("CMU/05/05_01_stageii", "mocap_frame_rate"),
        ("CMU/05/bad_poses", "other"),
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        np.savez(folder / f"{name}.npz", poses=poses, trans=trans, **{key: 60.0})
    np.savez(folder / "CMU/05/neutral_stagei.npz", betas=np.zeros(16))


def make_clip_folder(folder: Path, dance: Motion) -> None:
    lifted = replace(dance, root_positions=dance.root_positions + np.array([0, 0.3, 0]))
    save_motion(lifted, folder / "anna.npz")
    write_song(folder / "blue.wav")
    (folder / "metadata.csv").write_text(
        "clip,file,genre,audio,bpm,source,license,performer\n"
        "anna,anna.npz,waltz,blue.wav,90,studio,CC BY 4.0,a\n"
        "ben,ben.npz,waltz,red.wav,90,studio,CC BY 4.0,b\n"
        "anna,anna.npz,tango\n"
        "cleo,anna.npz,waltz,,fast\n"
    )


def make_video(folder: Path, dance: Motion) -> None:
    """Write what a capture of two videos leaves, one of which failed."""
    save_motion(dance, folder / "anna.npz")
    write_song(folder / "blue.wav")
    row = "anna,anna.npz,waltz,guessed,blue.wav,a,90,CC0,video"
    table = f"clip,file,genre,genre_source,audio,performer,bpm,license,source\n{row}\n"
    (folder / "metadata.csv").write_text(table)
    entry = {"key": "gone", "video": "gone.mp4", "status": "failed", "reason": "gone.mp4: nobody dances", "clips": []}
    write_entry({**entry, "files": {}}, folder / "captures/gone.json")


def make_estimates(folder: Path, dance: Motion) -> None:
    poses = roma.rotmat_to_rotvec(dance.joint_rotations_matrix()).float().reshape(dance.num_frames, -1)
    values = {
        "global_orient": poses[:, :3],
        "body_pose": poses[:, 3:],
        "transl": torch.from_numpy(dance.root_positions),
    }
    torch.save({"smpl_params_global": values}, folder / "solo.pt")
    write_song(folder / "solo.wav")
    (folder / "broken.pt").write_bytes(b"no tensors")


def make_cmu(folder: Path, dance: Motion) -> None:
    for name in ("05/05_02", "5/05_01", "subjects/060/60_03", "61/61_03", "77/77_01", "05/dance", "60/61_01"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_bvh(dance, folder / f"{name}.bvh")
    (folder / "77" / "77_02.bvh").write_text("HIERARCHY\n")


def robot_dance(seconds: float = SECONDS) -> np.ndarray:
    """Swing arms, waist and knees of the robot, which stands and turns slowly: `(frames, 36)` at 60 Hz."""
    frames = round(60 * seconds)
    times = np.arange(frames) / 60
    table = np.repeat(stance(), frames, axis=0)
    table[:, 2], table[:, 5], table[:, 6] = 0.75, np.sin(0.2 * times), np.cos(0.2 * times)
    for joint, amplitude in (("waist_yaw", 0.3), ("left_shoulder_pitch", 0.8), ("right_elbow", 0.4)):
        table[:, 7 + LINK_INDEX[joint]] += amplitude * np.sin(2 * np.pi * times)
    for side in ("left", "right"):
        bend = 0.6 + 0.2 * np.sin(2 * np.pi * times)
        for joint, share in (("hip_pitch", -0.5), ("knee", 1.0), ("ankle_pitch", -0.5)):
            table[:, 7 + LINK_INDEX[f"{side}_{joint}"]] = share * bend
    return table


def make_g1_moves(folder: Path, dance: Motion) -> None:
    table = robot_dance()
    tables = {"J_Dance2_Salsa": table, "M_Dance1_Robot": table, "J_Dance3_Short": table[:, :35]}
    tables["J_Dance4_Lost"] = np.where(np.arange(36) == 20, np.nan, table)
    for name, values in tables.items():
        path = folder / "dance" / name / "retarget" / f"{name}.csv"
        path.parent.mkdir(parents=True)
        np.savetxt(f"{path}.gz" if name.startswith("M") else path, values, fmt="%.6f", delimiter=",")
    (folder / "dance" / "J_Dance3_Short" / "retarget" / "J_Dance5_Words.csv").write_text("a,b\n")


def points_of(dance: Motion) -> np.ndarray:
    """Put the 23 points of Dance with Melody on a dance, metres, Y up."""
    joints = dance.joint_positions().astype(np.float64)
    points = np.zeros((len(joints), len(POINTS), 3))
    for index, name in enumerate(POINTS):
        side = "left" if "left" in name else "right"
        joint, offset = {
            "head": ("head", [0.08 if side == "left" else -0.08, 0.1, 0]),
            "waist": ("spine2", [0, 0, 0]),
            "heel": (f"{side}_ankle", [0, -0.03, -0.06]),
            "toe": (f"{side}_foot", [0, 0, 0]),
            "forearm": (f"{side}_elbow", [0, -0.05, 0]),
            "elbow_outer": (f"{side}_elbow", [0, 0, -0.05]),
            "wrist_outer": (f"{side}_wrist", [0, 0, -0.05]),
        }.get(name.replace("left", "").replace("right", "").strip("_"), (name, [0, 0, 0]))
        points[:, index] = joints[:, JOINT_INDEX[joint]] + offset
    return points


def write_dwm(folder: Path, points: np.ndarray, start: int = 50, end: int = 90, *, song: str = "audio.mp3") -> None:
    center = points.mean(axis=1)
    skeletons = (points - center[:, None]).round(4).tolist()
    write_json(
        folder / "skeletons.json", {"length": len(points), "skeletons": skeletons, "center": center.round(4).tolist()}
    )
    write_json(folder / "config.json", {"start_position": start, "end_position": end})
    if song:
        (folder / song).touch()


def make_dance_with_melody(folder: Path, dance: Motion) -> None:
    points = points_of(dance.resample(25.0))  # 40 frames
    write_dwm(folder / "DANCE_W_1", points)
    write_dwm(folder / "DANCE_C_2", points, end=91)
    write_dwm(folder / "DANCE_R_3", points, end=120)
    write_dwm(folder / "DANCE_X_4", points)
    write_dwm(folder / "DANCE_T_5", points, song="")
    write_dwm(folder / "DANCE_T_6", points, start=90)
    write_dwm(folder / "DANCE_T_7", points[:, :20])
    write_dwm(folder / "DANCE_T_8", points * 0.2)


def make_finedance(folder: Path, dance: Motion) -> None:
    rows = dance.joint_rotations_matrix()[:, :, :2].flatten(1).numpy()
    array = np.concatenate([dance.root_positions, rows, np.ones((dance.num_frames, 30 * 6))], axis=1)
    labels = {
        "001": {"name": "song a", "style1": "Folk", "style2": "Miao"},
        "002": {"style1": "Breaking"},
        "003": {"style1": "Juggling"},
        "004": {"genre": "Jazz"},
        "005": {"style1": "Jazz"},
        "006": {"style1": "Jazz"},
    }
    for name, label in labels.items():
        write_array(folder / "motion" / f"{name}.npy", array if name != "006" else array[:, :300])
        write_json(folder / "label_json" / f"{name}.json", label)
        if name != "005":
            write_song(folder / "music_wav" / f"{name}.wav")
    write_array(folder / "motion" / "007.npy", array)


def make_infinitedance(folder: Path, dance: Motion) -> None:
    poses, trans = smpl(dance)
    content = {"global_orient": poses[:, :3], "body_pose": poses[:, 3:66], "transl": trans}
    smplx = folder / "dance" / "infinitedance_smplx_smooth"
    smplx.mkdir(parents=True)
    for name in ("Popular-Jazz1", "Latin-Mix61", "Ballet5", "Juggling9", "clip_7"):
        joblib.dump(content, smplx / f"{name}.pkl")
    joblib.dump({**content, "transl": trans[:-1]}, smplx / "Folk-Miao1.pkl")
    write_json(folder / "styles" / "all_style_map.json", {"clip_7": 5})
    write_song(folder / "music" / "wav" / "Ballet5.wav")
    joints = dance.joint_positions().astype(np.float64)
    features = np.zeros((dance.num_frames, 264))  # the heading stays, so that no position is turned
    floor_point = joints[:, :1] * np.array([1.0, 0.0, 1.0])
    features[:, 0], features[:-1, 3:5] = joints[:, 0, 1], np.diff(joints[:, 0], axis=0)[:, [0, 2]]
    features[:, 5:68] = (joints[:, 1:] - floor_point).reshape(len(joints), -1)
    for name in ("Latin-Samba61", "gBR_sBM_cAll_d04_mBR0_ch01", "063", "kthjazz_gCH_sFM_cAll_d02_mCH_ch01_x_001"):
        write_array(folder / "dance" / "alldata_new_joint_vecs264_ft_balanced" / f"{name}.npy", features)


def make_motorica(folder: Path, dance: Motion) -> None:
    (folder / "bvh").mkdir(parents=True)
    names = (
        "kthstreet_gKR_sFM_cAll_d01_mKR_ch01_chargedcableupyour_001",
        "kthjazz_gCH_sFM_cAll_d02_mCH_ch01_bounce_002_00",
        "kthjazz_gCH_sFM_cAll_d02_mCH_ch01_bounce_002_00_mirrored",
        "kthjazz_gZZ_sFM_cAll_d02_mZZ_ch01_bounce_002",
        "kthjazz_gTP_sFM_cAll_d02_mTP_ch01_silent_001",
        "kthjazz_gTP_sFM_cAll_d02_mTP_ch01_broken_001",
        "rehearsal",
    )
    for name in names:
        write_bvh(dance, folder / "bvh" / f"{name}.bvh")
        if "silent" not in name:
            write_song(folder / "wav" / f"{name}.wav")
    (folder / "bvh" / f"{names[5]}.bvh").write_text("HIERARCHY\n")


def make_popdanceset(folder: Path, dance: Motion) -> None:
    poses, trans = smpl(dance)
    for part, name in (("train", "a"), ("test", "b"), ("test", "silent"), ("test", "long")):
        write_pickle(folder / part / "motions" / f"{name}.pkl", {"smpl_poses": poses, "smpl_trans": trans})
    for part, name in (("train", "a"), ("test", "b")):
        write_song(folder / part / "wavs" / f"{name}.wav")
    write_song(folder / "test" / "wavs" / "long.wav", 2 * SECONDS)


MAKERS = {
    "aist++": make_aist,
    "amass": make_amass,
    "clip_folder": make_clip_folder,
    "video": make_video,
    "cmu": make_cmu,
    "dance_with_melody": make_dance_with_melody,
    "finedance": make_finedance,
    "estimates": make_estimates,
    "g1_moves": make_g1_moves,
    "infinitedance": make_infinitedance,
    "motorica": make_motorica,
    "popdanceset": make_popdanceset,
}


@pytest.fixture(scope="session")
def folders(dance, tmp_path_factory) -> dict[str, Path]:
    made = {}
    for name, make in MAKERS.items():
        made[name] = tmp_path_factory.mktemp("source") / "set"
        made[name].mkdir()
        make(made[name], dance)
    return made


@pytest.fixture
def opened(folders):
    def open_by_name(name: str, **options) -> MotionSource:
        return open_source(name, folders[name], trust_pickle=True, **options)

    return open_by_name


@pytest.fixture(scope="session")
def robot_table() -> np.ndarray:
    """A dance of the robot, `(frames, 36)` at 60 Hz."""
    return robot_dance()


@pytest.fixture(scope="session")
def dance_points(dance) -> np.ndarray:
    """The points of Dance with Melody on the dance, `(frames, 23, 3)`."""
    return points_of(dance)
