import random

import numpy as np
import pytest
import yaml

from infinitedance.dataset_builder.data_card import license_table, render_data_card, split_table
from infinitedance.dataset_builder.hours import hours_by_genre, round_to_sum
from infinitedance.dataset_builder.manifest import BuiltClip
from infinitedance.dataset_builder.splits import SPLITS


def make_clip(index: int, **values) -> BuiltClip:
    fields = {
        "clip_id": f"set/{index}",
        "song_id": f"set/song{index}",
        "performer_id": "",
        "source": "set",
        "license": "CC0-1.0",
        "genre": "waltz",
        "coarse_genre": "Latin",
        "bpm": None,
        "is_mirrored": False,
        "side": "natural",
        "units": (),
        "num_frames": 300,
        "motion_file": f"motion/set/{index}.npy",
        "music_file": None,
        "clock_file": None,
        "music_features_version": None,
        "codes_file": None,
        "audio_file": None,
        "flags": (),
        "sha256": "",
        "split": "train",
    }
    return BuiltClip(**{**fields, **values})


def random_clips(seed: int, num_clips: int) -> list[BuiltClip]:
    draw = random.Random(seed)
    genres = {"waltz": "Latin", "rumba": "Latin", "krump": "Popular", "ballet": "Ballet"}
    clips = []
    for index in range(num_clips):
        genre = draw.choice(list(genres))
        clip = make_clip(
            index,
            genre=genre,
            coarse_genre=genres[genre],
            num_frames=draw.randint(30, 20_000),
            split=draw.choice(SPLITS),
            license=draw.choice(["", "CC0-1.0", "research only"]),
            source=draw.choice(["one", "two"]),
        )
        clips += [clip, make_clip(index, **{**vars(clip), "clip_id": f"{clip.clip_id}_mirror", "is_mirrored": True})]
    return clips


@pytest.mark.parametrize("num_clips", [1, 7, 300])
@pytest.mark.parametrize("seed", range(5))
def test_the_printed_hours_add_up_and_equal_the_data(seed, num_clips):
    clips = random_clips(seed, num_clips)
    originals = [clip for clip in clips if not clip.is_mirrored]
    table = hours_by_genre(clips)
    decimals = len(table.rows[0][-1].split(".")[1])
    # The printed text itself is added, in whole steps of its last digit.
    printed = np.array([[round(float(cell) * 10**decimals) for cell in row[3:]] for row in table.rows])
    np.testing.assert_array_equal(printed[:-1].sum(axis=0), printed[-1])
    np.testing.assert_array_equal(printed[:, :3].sum(axis=1), printed[:, 3])
    assert sum(row[2] for row in table.rows[:-1]) == table.rows[-1][2] == num_clips
    total = sum(clip.num_frames for clip in originals) / 108_000
    assert printed[-1, -1] / 10**decimals == pytest.approx(total, abs=0.5 / 10**decimals + 1e-9)
    for row, values in zip(table.rows[:-1], printed, strict=False):
        for split, value in zip(SPLITS, values, strict=False):
            frames = sum(clip.num_frames for clip in originals if (clip.genre, clip.split) == (row[1], split))
            assert abs(value / 10**decimals - frames / 108_000) < 1 / 10**decimals


def test_hours_of_the_licenses_are_those_of_the_genres():
    clips = random_clips(0, 100)
    table = license_table(clips)
    assert table.rows[-1][-1] == hours_by_genre(clips).rows[-1][-1]
    assert sum(row[2] for row in table.rows[:-1]) == table.rows[-1][2] == 100
    assert "not stated" in {row[1].split(":")[0] for row in table.rows}


def test_rounding_to_a_sum_moves_no_value_by_a_whole_step():
    random_numbers = np.random.default_rng(0)
    for _ in range(200):
        counts = random_numbers.integers(0, 10**6, size=random_numbers.integers(1, 30))
        steps = round_to_sum(counts, 108_000, 100)
        assert steps.sum() == round(counts.sum() / 1080)
        assert (np.abs(steps - counts / 1080) < 1).all()


def test_clips_songs_and_performers_are_counted_by_split():
    clips = [
        make_clip(0, song_id="a", performer_id="x", music_file="a.npy"),
        make_clip(1, song_id="a", performer_id="y", music_file="a.npy"),
        make_clip(2, song_id="b", split="test", music_file="b.npy"),
        make_clip(3, song_id="a", performer_id="x", is_mirrored=True, music_file="a.npy"),
        make_clip(4, song_id="silent", split="validation"),
    ]
    rows = {row[0]: row[1:] for row in split_table(clips).rows}
    assert rows == {"train": [2, 1, 1, 2], "validation": [1, 0, 0, 0], "test": [1, 0, 1, 0], "all": [4, 1, 2, 2]}


def test_the_front_matter_names_the_files_as_the_hub_expects():
    card = render_data_card(random_clips(0, 20), {"paired": ["train", "test"], "codes": ["train"]})
    front = yaml.safe_load(card.split("---")[1])
    paired, codes = front["configs"]
    assert paired["default"] and paired["data_files"][1] == {"split": "test", "path": "paired/test-*.parquet"}
    assert codes["config_name"] == "codes" and "default" not in codes
    assert (front["license"], front["license_name"], front["size_categories"]) == ("other", "mixed", ["n<1K"])
    assert "## Removal" in card and "research only" in card


def test_the_card_says_how_to_cite_the_sources_that_were_read_and_no_other():
    card = render_data_card([make_clip(0, clip_id="finedance/001"), make_clip(1, clip_id="aist++/a")], {})
    assert "- aist++: Li et al., AI Choreographer" in card and "- finedance: Li et al., FineDance" in card
    assert "AMASS" not in card


def test_the_card_states_unique_minutes_and_what_splits_share():
    units = (("W-1", 60.0),)
    clips = [
        make_clip(index, num_frames=1800, units=units, performer_id="anna", split=split)
        for index, split in ((0, "train"), (1, "train"), (2, "test"))
    ]
    card = render_data_card(clips[:2], {})
    assert "| Latin | waltz | 1 | 2.00 | 1.00 | 0.00 | 0.00 | 0.00 | 0.00 | 2.00 | 1.00 |" in card
    assert "| units | 1 | 0 |  |" in card
    card = render_data_card(clips, {})
    assert "| performers | 1 | 1 | anna (train, test) |" in card and "| units | 1 | 1 | W-1 (train, test) |" in card
    assert "no performer" not in card


def test_one_license_is_named_in_the_front_matter():
    front = yaml.safe_load(render_data_card([make_clip(0)], {}).split("---")[1])
    assert front["license"] == "cc0-1.0" and "license_name" not in front and "configs" not in front


@pytest.mark.parametrize(
    ("files", "sentence", "is_tagged"),
    [
        ((None, None), "frames per second, without music, made by", False),
        (("a.npy", None), "frames per second, some with the music that they are danced to, made by", True),
        (("a.npy", "b.npy"), "frames per second, with the music that they are danced to, made by", True),
    ],
)
def test_the_card_promises_no_music_that_is_not_there(files, sentence, is_tagged):
    card = render_data_card([make_clip(index, music_file=file) for index, file in enumerate(files)], {})
    assert sentence in card
    assert ("music-to-dance" in yaml.safe_load(card.split("---")[1])["tags"]) is is_tagged
