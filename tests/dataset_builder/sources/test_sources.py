"""What all sources have in common: listing, loading, and the reasons of bad clips."""

import numpy as np
import pytest

from infinitedance.dataset_builder.genres import OTHER, coarse_genre
from infinitedance.dataset_builder.sources import SOURCES, open_source
from infinitedance.motion.skeleton import neutral_skeleton

GOOD = {
    # clip: (song, performer, genre, coarse genre, bpm, has a song)
    "aist++": {
        "gBR_sBM_cAll_d04_mBR3_ch01": ("mBR3", "d04", "breaking", "popular", 110, True),
        "gHO_sFM_cAll_d19_mHO2_ch12": ("mHO2", "d19", "house", "popular", 120, True),
    },
    "amass": {
        "DanceDB__anna__waltz_poses": (
            "DanceDB__anna__waltz_poses", "DanceDB/anna", "not labeled", OTHER, None, False
        ),
        "CMU__05__05_01_stageii": ("CMU__05__05_01_stageii", "CMU/05", "not labeled", OTHER, None, False),
    },
    "clip_folder": {"anna": ("blue", "a", "waltz", "ballroom", 90, True)},
    "cmu": {
        "05_02": ("05_02", "05", "modern", "modern", None, False),
        "05_01": ("05_01", "05", "not labeled", OTHER, None, False),
        "60_03": ("60_03", "60", "salsa", "latin", None, False),
        "61_03": ("60_03", "61", "salsa", "latin", None, False),
        "77_01": ("77_01", "77", "not labeled", OTHER, None, False),
    },
    "dance_with_melody": {
        "dance_w_1": ("dance_w_1", "", "waltz", "ballroom", None, True),
        "dance_c_2": ("dance_c_2", "", "cha-cha", "latin", None, True),
    },
    "estimates": {"solo": ("solo", "", "not labeled", OTHER, None, True)},
    "finedance": {
        "001": ("song a", "", "Miao", "folk", None, True),
        "002": ("002", "", "Breaking", "popular", None, True),
    },
    "g1_moves": {
        "J_Dance2_Salsa": ("J_Dance2_Salsa", "Jasmine Coro", "salsa", "latin", None, False),
        "M_Dance1_Robot": ("M_Dance1_Robot", "Mitch Chaiet", "pop", "popular", None, False),
    },
    "infinitedance": {
        "Popular-Jazz1": ("Popular-Jazz1", "", "jazz", "popular", None, False),
        "Latin-Mix61": ("Latin-Mix61", "", "latin mix", "latin", None, False),
        "Ballet5": ("Ballet5", "", "ballet", "ballet", None, True),
        "clip_7": ("clip_7", "", "classic", "classic", None, False),
    },
    "motorica": {
        "kthstreet_gKR_sFM_cAll_d01_mKR_ch01_chargedcableupyour_001": (
            "chargedcableupyour", "d01", "krumping", "popular", None, True
        ),
        "kthjazz_gCH_sFM_cAll_d02_mCH_ch01_bounce_002_00": ("bounce", "d02", "charleston", "swing", None, True),
    },
    "popdanceset": {
        "train_a": ("a", "", "popular", "popular", None, True),
        "test_b": ("b", "", "popular", "popular", None, True),
    },
    "video": {"anna": ("blue", "a", "waltz", "ballroom", 90, True)},
}  # fmt: skip

BAD = {
    "aist++": {
        "gWA_sBM_cAll_d25_mWA0_ch01": "ignore_list.txt names it",
        "gXX_sBM_cAll_d01_mXX0_ch01": "unknown genre code",
        "odd": "its name must be gBR_",
        "gBR_sBM_cAll_d04_mBR5_ch02": "no song mBR5 in music, wav, wavs, all_musics",
        "gBR_sBM_cAll_d04_mBR4_ch02": "is not a readable pickle|cannot be read",
    },
    "amass": {"CMU__05__bad_poses": "does not say its frame rate"},
    "clip_folder": {
        "ben": "there is no file ben.npz and no red.wav",
        "line 4": "metadata.csv, line 4: the clip 'anna' is listed more than once",
        "line 5": "metadata.csv, line 5: `bpm` must be a positive number or empty, got 'fast'",
    },
    "cmu": {
        "05/dance": "its name must be 05_01.bvh or alike, got 'dance.bvh'",
        "60/61_01": "its name must be 60_01.bvh or alike, got '61_01.bvh'",
        "77_02": "ROOT|no line MOTION",
    },
    "dance_with_melody": {
        "dance_x_4": "with one of c, r, t, w, got 'DANCE_X_4'",
        "dance_t_5": "there must be one song in .*, got none",
        "dance_t_6": "must hold 0 <= start_position < end_position, got .*90.*90",
        "dance_t_8": "got legs .* of 0.16.*no adult",
        "dance_t_7": r"must have shape \(frames, 23, 3\), got \(40, 20, 3\)",
    },
    "estimates": {"broken": "is not a torch file of tensors only"},
    "finedance": {
        "003": "unknown genre 'Juggling'",
        "004": "its label must have style2 or style1, got the keys genre",
        "005": "no song 005",
        "006": r"layout that is not known: got shape \(48, 300\)",
        "007": "no label",
    },
    "g1_moves": {
        "J_Dance3_Short": r"must hold finite numbers in 36 columns .*got shape \(96, 35\)",
        "J_Dance4_Lost": "must hold finite numbers",
        "J_Dance5_Words": "must be a table of numbers",
    },
    "infinitedance": {
        "Juggling9": "unknown style 'Juggling9'",
        "Folk-Miao1": r"`transl` must have shape \(48, 3\)",
    },
    "motorica": {
        "kthjazz_gCH_sFM_cAll_d02_mCH_ch01_bounce_002_00_mirrored": "a mirrored copy",
        "kthjazz_gZZ_sFM_cAll_d02_mZZ_ch01_bounce_002": "unknown genre code gZZ",
        "kthjazz_gTP_sFM_cAll_d02_mTP_ch01_silent_001": "no song",
        "kthjazz_gTP_sFM_cAll_d02_mTP_ch01_broken_001": "ROOT|no line MOTION",
        "rehearsal": "its name must be kthstreet_",
    },
    "popdanceset": {"test_silent": "no song silent", "test_long": "about as long as its song.*Pass `frame_rate`"},
    "video": {"gone": "gone.mp4: nobody dances"},
}


def test_every_source_is_tested(folders):
    assert set(SOURCES) == set(folders) == set(GOOD) == set(BAD)


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_a_source_lists_its_clips_with_what_their_names_say(name, opened):
    source = opened(name)
    records = {record.clip_id: record for record in source.records()}
    assert list(records) == [record.clip_id for record in source.records()]
    for clip_id, (song, performer, genre, coarse, bpm, has_song) in GOOD[name].items():
        record = records[clip_id]
        assert record.problem == ""
        assert (record.song_id, record.performer_id, record.genre, record.bpm) == (song, performer, genre, bpm)
        assert coarse_genre(record.genre) == coarse
        assert record.motion_path.is_file()
        assert (record.audio_path is not None) == has_song == record.aligned
        assert record.audio_path is None or record.audio_path.is_file()
        assert record.license and record.source
    assert set(records) >= set(GOOD[name]) | set(BAD[name])


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_a_good_clip_is_a_dance_on_our_body_at_30_hz_on_the_floor(name, opened):
    source = opened(name)
    for record in source.records():
        if record.clip_id not in GOOD[name]:
            continue
        motion = source.load(record)
        assert motion.frame_rate == 30
        assert motion.skeleton == neutral_skeleton()
        assert abs(motion.skeleton.fit_floor_height(motion.joint_positions())) < 1e-4
        assert motion.foot_contacts is not None
        assert motion.provenance["license"] == record.license
        assert motion.provenance["clip"] == record.clip_id


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_a_bad_clip_says_why_and_spares_the_others(name, opened):
    source = opened(name)
    records = {record.clip_id: record for record in source.records()}
    for clip_id, reason in BAD[name].items():
        with pytest.raises(ValueError, match=f"{clip_id}: .*({reason})"):
            source.load(records[clip_id])


def test_the_release_has_true_rotations_and_features_and_copies_of_other_sets(opened, dance):
    source = opened("infinitedance", motion="features264")
    records = {record.clip_id: record for record in source.records()}
    samba = records["Latin-Samba61"]
    assert (samba.genre, samba.duration_seconds) == ("samba", dance.num_frames / 30)
    motion = source.load(samba)
    assert motion.provenance["rotations"] == "fitted"
    apart = motion.joint_positions() - dance.joint_positions()
    assert np.linalg.norm(apart - apart[0, 0], axis=-1).mean() < 0.03
    for clip_id, origin in (("gBR_sBM", "AIST++"), ("063", "FineDance"), ("kthjazz", "Motorica")):
        record = next(record for name, record in records.items() if name.startswith(clip_id))
        assert record.problem == f"the release's copy of a clip of {origin}: read it from its own source"
    truth = opened("infinitedance")
    assert truth.load(next(iter(truth.records()))).provenance["rotations"] == "source"


def test_amass_reads_the_named_datasets_alone(opened):
    assert [record.clip_id for record in opened("amass", datasets=["DanceDB"]).records()] == [
        "DanceDB__anna__waltz_poses"
    ]
    assert len(list(opened("amass", datasets="DanceDB+CMU").records())) == len(list(opened("amass").records()))
    with pytest.raises(FileNotFoundError, match="expected a folder HumanEva, found CMU/, DanceDB/"):
        list(opened("amass", datasets=["HumanEva"]).records())


def test_popdanceset_takes_the_given_frame_rate(opened):
    for frame_rate in (15.0, "15"):  # a command line gives text
        source = opened("popdanceset", frame_rate=frame_rate)
        record = next(record for record in source.records() if record.clip_id == "test_long")
        assert source.load(record).duration_seconds == pytest.approx(3.2, abs=0.04)
    for wrong in ("fast", "0", -1):
        with pytest.raises(ValueError, match="positive number of Hz"):
            opened("popdanceset", frame_rate=wrong)


@pytest.mark.parametrize("name", ["aist++", "popdanceset"])
def test_sets_of_pickles_are_opened_only_where_they_are_trusted(name, folders):
    with pytest.raises(ValueError, match="can run code when they are opened.*trust_pickle=True"):
        open_source(name, folders[name])


def test_without_trust_the_release_is_read_from_its_features(folders):
    assert {
        record.motion_path.suffix for record in open_source("infinitedance", folders["infinitedance"]).records()
    } == {".npy"}
    with pytest.raises(ValueError, match="trust_pickle=True"):
        open_source("infinitedance", folders["infinitedance"], motion="smplx")


@pytest.mark.parametrize("name", sorted(set(SOURCES)))
def test_another_layout_is_refused_with_what_was_found(name, tmp_path):
    (tmp_path / "holiday.jpg").touch()
    expected = (
        "metadata.csv"
        if name == "clip_folder"
        else f"not laid out as {name}.*: expected .*found holiday.jpg".replace("+", r"\+")
    )
    with pytest.raises(FileNotFoundError, match=expected):
        list(open_source(name, tmp_path, trust_pickle=True).records())


@pytest.mark.parametrize(
    ("name", "folder", "options", "error", "message"),
    [
        ("tiktok", ".", {}, ValueError, "`name` must be one of aist"),
        ("amass", "absent", {}, FileNotFoundError, "The data set amass must be a folder"),
        ("infinitedance", ".", {"motion": "codes"}, ValueError, "`motion` must be one of smplx, features264"),
        ("amass", ".", {"split": 1}, TypeError, "split"),
    ],
)
def test_a_source_that_cannot_be_opened_says_why(name, folder, options, error, message, tmp_path):
    with pytest.raises(error, match=message):
        open_source(name, tmp_path / folder, **options)
