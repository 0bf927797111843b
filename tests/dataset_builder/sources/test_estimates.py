"""Results of video estimators as a source."""

from dataclasses import replace
from pathlib import Path

import joblib
import numpy as np
import pytest
import roma
import soundfile
import torch

from infinitedance.dataset_builder.build import build_dataset
from infinitedance.dataset_builder.genres import NOT_LABELED
from infinitedance.dataset_builder.manifest import read_manifest
from infinitedance.dataset_builder.procedural.dance import synthesize_dance
from infinitedance.dataset_builder.sources import open_source
from infinitedance.dataset_builder.stages import SourceFolder
from infinitedance.motion.motion import Motion


@pytest.fixture(scope="module")
def dance() -> Motion:
    return synthesize_dance("waltz", 100, 3.0, seed=1)


def vectors(motion: Motion, joints: int) -> np.ndarray:
    return roma.rotmat_to_rotvec(motion.joint_rotations_matrix()[:, :joints]).numpy().reshape(motion.num_frames, -1)


def write_gvhmr(motion: Motion, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    poses = torch.from_numpy(vectors(motion, 22)).float()
    values = {"global_orient": poses[:, :3], "body_pose": poses[:, 3:]}
    torch.save({"smpl_params_global": {**values, "transl": torch.from_numpy(motion.root_positions)}}, path)


def write_wham(motion: Motion, path: Path, starts=(0, 0)) -> None:
    poses = np.pad(vectors(motion, 22), ((0, 0), (0, 6)))
    person = {"pose_world": poses, "trans_world": motion.root_positions}
    people = {
        number: {**person, "frame_ids": np.arange(motion.num_frames) + start} for number, start in enumerate(starts)
    }
    joblib.dump(people, path)


def ids(folder: Path, **options) -> list[str]:
    return [record.clip_id for record in open_source("estimates", folder, **options).records()]


def test_a_result_is_a_clip_with_the_song_of_its_name(dance, tmp_path):
    write_gvhmr(dance, tmp_path / "solo.pt")
    soundfile.write(tmp_path / "solo.wav", np.zeros(24000), 24000)
    (record,) = open_source("estimates", tmp_path, genre="waltz", license="CC0").records()
    assert (record.clip_id, record.genre, record.license) == ("solo", "waltz", "CC0")
    assert record.audio_path == tmp_path / "solo.wav"
    assert record.aligned
    assert not record.is_genre_guessed


def test_the_dance_of_a_result_is_loaded(dance, tmp_path):
    write_gvhmr(dance, tmp_path / "solo.pt")
    source = open_source("estimates", tmp_path)
    (record,) = source.records()
    moves = np.diff(source.load(record).joint_positions(), axis=0)
    np.testing.assert_allclose(moves, np.diff(dance.joint_positions(), axis=0), atol=1e-3)


def test_a_common_name_gives_way_to_that_of_the_folder(dance, tmp_path):
    write_gvhmr(dance, tmp_path / "walk/hmr4d_results.pt")
    soundfile.write(tmp_path / "walk.wav", np.zeros(24000), 24000)
    (record,) = open_source("estimates", tmp_path).records()
    assert (record.clip_id, record.song_id, record.audio_path) == ("walk", "walk", tmp_path / "walk.wav")


def test_every_person_is_a_clip_and_keeps_their_own_dance(dance, tmp_path):
    other = replace(dance, root_positions=dance.root_positions * np.float32([2, 1, 2]))
    people = {}
    for number, motion in enumerate((dance, other)):
        poses = np.pad(vectors(motion, 22), ((0, 0), (0, 6)))
        people[number] = {"pose_world": poses, "trans_world": motion.root_positions, "frame_ids": np.arange(90)}
    joblib.dump(people, tmp_path / "duo.pkl")
    source = open_source("estimates", tmp_path, trust_pickle=True)
    records = list(source.records())
    assert [record.clip_id for record in records] == ["duo~0", "duo~1"]
    paths = [np.ptp(source.load(record).root_positions[:, 0]) for record in records]
    assert paths[1] == pytest.approx(2 * paths[0], rel=1e-3)


def test_a_person_who_comes_later_begins_later_in_the_song(dance, tmp_path):
    write_wham(dance, tmp_path / "duo.pkl", starts=(0, 60))
    source = open_source("estimates", tmp_path, trust_pickle=True, frame_rate="60")
    assert [record.start_seconds for record in source.records()] == [0, 1]


def test_the_rate_is_that_of_the_video_beside_it(dance, tmp_path, write_video):
    write_wham(dance, tmp_path / "duo.pkl", starts=(0, 50))
    write_video(tmp_path / "duo.mkv")  # 25 pictures a second
    records = list(open_source("estimates", tmp_path, trust_pickle=True).records())
    assert [record.start_seconds for record in records] == [0, 2]
    assert records[0].duration_seconds == pytest.approx(90 / 25)
    assert records[0].audio_path == tmp_path / "duo.mkv"


def test_a_pickle_that_is_not_trusted_is_listed_with_that_reason(dance, tmp_path):
    write_wham(dance, tmp_path / "duo.pkl")
    (record,) = open_source("estimates", tmp_path).records()
    assert "pickle" in record.problem
    assert str(tmp_path) not in record.problem


def test_a_file_of_something_else_is_listed_with_that_reason(tmp_path):
    np.save(tmp_path / "numbers.npy", np.zeros((3, 2)))
    (record,) = open_source("estimates", tmp_path).records()
    assert record.problem.startswith("numbers.npy")


def test_what_tools_keep_beside_a_result_is_passed_over(dance, tmp_path):
    write_gvhmr(dance, tmp_path / "walk/hmr4d_results.pt")
    for name in ("walk/preprocess/bbx.pt", "walk/preprocess/vitpose.pt", "duo/tracking_results.pth", "duo/masks.npy"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"boxes")
    assert ids(tmp_path) == ["walk"]


def test_smplerx_and_tram_are_named_by_their_folders(dance, tmp_path):
    poses = vectors(dance, 22).astype(np.float32)
    (tmp_path / "steps/smplx").mkdir(parents=True)
    for frame in range(40):
        np.savez(
            tmp_path / f"steps/smplx/{frame:05}_0.npz",
            global_orient=poses[frame : frame + 1, :3],
            body_pose=poses[frame, 3:].reshape(21, 3),
            transl=dance.root_positions[frame : frame + 1],
        )
    (tmp_path / "walk/hps").mkdir(parents=True)
    matrices = torch.nn.functional.pad(dance.joint_rotations_matrix().float(), (0, 0, 0, 0, 0, 2))
    matrices[:, 22:] = torch.eye(3)
    track = {
        "pred_rotmat": matrices,
        "pred_trans": torch.from_numpy(dance.root_positions)[:, None],
        "frame": torch.arange(90),
    }
    np.save(tmp_path / "walk/hps/hps_track_3.npy", np.array(track, dtype=object), allow_pickle=True)
    assert ids(tmp_path, trust_pickle=True) == ["steps", "walk~3"]


def test_results_are_built_as_any_other_dances(dance, tmp_path, click_song):
    write_gvhmr(dance, tmp_path / "results/solo.pt")
    soundfile.write(tmp_path / "results/solo.wav", click_song(24000, 4.0)[0], 24000)
    source = SourceFolder.parse(f"estimates={tmp_path / 'results'},license=CC0")
    (clip,) = read_manifest(build_dataset([source], tmp_path / "built", mirror=False))
    assert (clip.clip_id, clip.genre, clip.license) == ("estimates/solo", NOT_LABELED, "CC0")
    assert "genre_guessed" in clip.flags
    assert clip.music_file
