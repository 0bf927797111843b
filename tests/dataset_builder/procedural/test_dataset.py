import filecmp

import numpy as np
import pytest

from infinitedance.dataset_builder.clip_folder import read_clip_folder
from infinitedance.dataset_builder.procedural.dance import DANCE_PATTERNS, synthesize_dance
from infinitedance.dataset_builder.procedural.dataset import make_procedural_dataset
from infinitedance.dataset_builder.procedural.music import (
    MUSIC_PATTERNS,
    SAMPLING_RATE,
    beat_times_seconds,
    synthesize_music,
)
from infinitedance.dataset_builder.splits import split_by_song
from infinitedance.motion.files.npz import load_motion
from infinitedance.motion.skeleton import CONTACT_JOINTS, JOINT_INDEX

GENRES = sorted(DANCE_PATTERNS)


@pytest.fixture(scope="module", params=GENRES)
def genre(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def dance(genre):
    return synthesize_dance(genre, 120.0, 8.0, seed=1)


def test_every_genre_has_music_and_steps():
    assert set(MUSIC_PATTERNS) == set(DANCE_PATTERNS)


def test_beats_are_steady_from_zero_to_the_end():
    np.testing.assert_allclose(beat_times_seconds(120, 2.0), [0, 0.5, 1.0, 1.5])
    np.testing.assert_allclose(beat_times_seconds(90, 1.0), [0, 2 / 3])


def test_the_song_has_its_length_and_does_not_clip(genre):
    waveform = synthesize_music(genre, 97.3, 3.7, seed=0)
    assert waveform.shape == (round(3.7 * SAMPLING_RATE),) and waveform.dtype == np.float32
    assert np.abs(waveform).max() == pytest.approx(0.8)


def test_every_bar_begins_with_the_loudest_attack(genre):
    bpm = 120.0
    waveform = synthesize_music(genre, bpm, 6.0, seed=0)
    beats = beat_times_seconds(bpm, 5.5)
    attacks = [np.square(waveform[round(beat * SAMPLING_RATE) :][:1200]).sum() for beat in beats]
    beats_per_bar = MUSIC_PATTERNS[genre].beats_per_bar
    downbeats = attacks[::beats_per_bar]
    others = [attack for index, attack in enumerate(attacks) if index % beats_per_bar]
    assert min(downbeats) > max(others)


def test_a_dance_has_30_frames_a_second(genre):
    assert synthesize_dance(genre, 97.3, 7.3, seed=0).num_frames == 219


def test_a_planted_foot_has_no_skating(dance):
    feet = dance.joint_positions()[:, list(CONTACT_JOINTS)]
    stays = dance.foot_contacts[1:] & dance.foot_contacts[:-1]
    assert stays.any(axis=0).all() and not stays.all(axis=1).all()
    assert np.linalg.norm(np.diff(feet, axis=0), axis=-1)[stays].max() < 1e-5


def test_a_planted_foot_is_flat_on_the_floor_and_no_joint_is_below(dance):
    positions = dance.joint_positions()
    heights = positions[:, list(CONTACT_JOINTS), 1] - dance.skeleton.contact_rest_heights
    np.testing.assert_allclose(heights[dance.foot_contacts], 0, atol=1e-5)
    assert heights.min() > -1e-5


def test_every_step_lands_on_its_beat(genre, dance):
    frames_per_beat = 15  # 120 bpm
    planted = dance.foot_contacts[:, :2]
    landings = {(frame + 1, foot) for frame, foot in np.argwhere(planted[1:] & ~planted[:-1])}
    pattern = DANCE_PATTERNS[genre]
    expected = {
        (int(np.ceil((cycle * pattern.cycle_beats + beat) * frames_per_beat)), foot)
        for cycle in range(8)
        for beat, foot, _, _ in pattern.steps
    }
    assert landings == {(frame, foot) for frame, foot in expected if 0 < frame < 240}


def test_one_foot_is_always_on_the_floor(dance):
    assert dance.foot_contacts[:, :2].any(axis=1).all()


def test_knees_bend_forward_and_the_dancer_stays_upright(dance):
    positions = dance.joint_positions()
    for side in ("left", "right"):
        hip, knee, ankle, toe = (
            positions[:, JOINT_INDEX[f"{side}_{name}"]] for name in ("hip", "knee", "ankle", "foot")
        )
        bend = knee - (hip + ankle) / 2
        assert ((bend * (toe - ankle)).sum(-1) > 0).all()
    assert (positions[:, JOINT_INDEX["head"], 1] > 1.3).all()


def test_the_knees_bounce_with_the_beat(genre, dance):
    height = dance.root_positions[:, 1]
    period_frames = round(15 * DANCE_PATTERNS[genre].bounce_beats)
    np.testing.assert_allclose(height[:-period_frames], height[period_frames:], atol=1e-5)
    assert height[:period_frames].argmin() == 0


def test_the_dancer_stays_on_a_small_stage(genre):
    dance = synthesize_dance(genre, 120.0, 60.0, seed=0)
    assert np.abs(dance.root_positions[:, [0, 2]]).max() < 1.0


def test_a_data_set_is_a_clip_folder_that_can_be_split(tmp_path):
    records = read_clip_folder(make_procedural_dataset(tmp_path / "data", num_clips=8, seconds=2.0))
    assert {record.genre for record in records} == set(GENRES)
    for record in records:
        motion = load_motion(record.motion_path)
        assert motion.num_frames == 60 and record.duration_seconds == 2.0
        low, high = MUSIC_PATTERNS[record.genre].tempo_range_bpm
        assert record.aligned and low <= record.bpm <= high
        assert motion.provenance["bpm"] == record.bpm and motion.foot_contacts is not None
    assert [len(part) for part in split_by_song(records).values()] == [6, 1, 1]


def test_the_same_seed_writes_the_same_bytes(tmp_path):
    first = make_procedural_dataset(tmp_path / "first", num_clips=2, seconds=1.0, seed=3)
    second = make_procedural_dataset(tmp_path / "second", num_clips=2, seconds=1.0, seed=3)
    other = make_procedural_dataset(tmp_path / "other", num_clips=2, seconds=1.0, seed=4)
    names = sorted(str(path.relative_to(first)) for path in first.rglob("*.*"))
    assert len(names) == 5
    assert filecmp.cmpfiles(first, second, names, shallow=False)[0] == names
    assert filecmp.cmpfiles(first, other, names, shallow=False)[1] == names


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_clips": 0, "seconds": 2.0}, "`num_clips` must lie in 1 to 1,000,000"),
        ({"num_clips": 1, "seconds": 0.5}, "`seconds` must lie in 1.0 to 600"),
        ({"num_clips": 1, "seconds": float("nan")}, "`seconds` must lie in 1.0 to 600"),
    ],
)
def test_an_impossible_data_set_is_refused_with_the_reason(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        make_procedural_dataset(tmp_path, **arguments)


def test_a_folder_with_files_is_never_written_into(tmp_path):
    (tmp_path / "keep.txt").touch()
    with pytest.raises(FileExistsError, match="must be new or empty"):
        make_procedural_dataset(tmp_path, num_clips=1, seconds=1.0)
    assert [path.name for path in tmp_path.iterdir()] == ["keep.txt"]
