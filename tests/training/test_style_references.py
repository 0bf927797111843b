"""References of the same style: which clips a take may be given, and which passages of them."""

import random

import numpy as np
import pytest

from infinitedance.dataset_builder.built import BuiltDataset
from infinitedance.dataset_builder.splits import unit_labels
from infinitedance.modeling.choreollama.configuration_choreollama import ChoreoLlamaConfig
from infinitedance.training.data_choreollama import ChoreoWindows
from infinitedance.training.references_choreollama import (
    MIN_FRAMES_FOR_ITSELF,
    MIN_REFERENCE_FRAMES,
    ReferenceFinder,
    StyleReferences,
    TakeReferences,
)
from infinitedance.training.takes import DanceTake
from infinitedance.training.train_choreollama import ChoreoArguments, build_references

LENGTH = 80


def numbered(number: int, num_frames: int = LENGTH) -> np.ndarray:
    """Features that say which clip and which frame they are: `(frames, 269)`."""
    features = np.zeros((num_frames, 269), np.float32)
    features[:, 0], features[:, 1] = number, np.arange(num_frames)
    return features


def take_of(clip, stretch: float = 1.0, num_frames: int | None = None) -> DanceTake:
    frames = num_frames or round(clip.num_frames / stretch)
    codes = [np.zeros((3, -(-frames // 4)), np.int64)]
    return DanceTake(
        clip.song_id,
        clip.genre,
        np.zeros((frames, 109), np.float32),
        codes,
        clip_id=clip.clip_id,
        performer_id=clip.performer_id,
        side=clip.side,
        stretch=stretch,
    )


@pytest.fixture
def write_stage(tmp_path, write_built):
    """Write a data set of named clips with a mirrored copy each: `write_stage({"a": {"genre": "waltz"}})`."""

    def write(fields: dict[str, dict], lengths: dict[str, int] | None = None) -> BuiltDataset:
        features, rows = {}, {}
        for number, (name, values) in enumerate(fields.items()):
            for suffix in ("", "_mirror"):
                features[name + suffix] = numbered(2 * number + bool(suffix), (lengths or {}).get(name, LENGTH))
                side = values.get("side", "natural")
                opposite = {"natural": "mirrored", "mirrored": "natural"}[side]
                rows[name + suffix] = values | {"side": opposite if suffix else side}
        return BuiltDataset(write_built(tmp_path, features, rows))

    return write


def given_clips(data: BuiltDataset, references: StyleReferences, take_index: int, draws: int = 60) -> set[str]:
    """Return the ids of the clips that a take is given, drawn many times."""
    generator = np.random.default_rng(0)
    numbers = {
        int(passage[0, 0]) for _ in range(draws // 2) for passage in references.cut(take_index, 0, 20, generator)
    }
    by_number = {int(data.motion_features(clip)[0, 0]): clip.clip_id for clip in data.clips}
    return {by_number[number] for number in numbers}


@pytest.mark.parametrize("choice", ["style", "random"])
def test_no_take_is_given_its_own_clip_song_or_units_while_there_is_something_else(write_stage, choice, tmp_path):
    draw = random.Random(0)
    fields = {
        f"clip{number:02d}": {
            "genre": draw.choice(["waltz", "rumba"]),
            "song_id": f"song{draw.randrange(12)}",
            "performer_id": draw.choice(["", "anna", "ben"]),
            "units": tuple((f"W-{draw.randrange(9)}", 1.0) for _ in range(draw.randint(0, 2))),
            "side": draw.choice(["natural", "mirrored"]),
        }
        for number in range(24)
    }
    data = write_stage(fields)
    takes = [take_of(clip) for clip in data.clips]
    references = StyleReferences(data, data.clips, takes, 2, choice)
    clip_of = {clip.clip_id: clip for clip in data.clips}
    num_dancer = num_checked = 0
    for index, own in enumerate(data.clips):
        free = [
            clip
            for clip in data.clips
            if clip.clip_id.removesuffix("_mirror") != own.clip_id.removesuffix("_mirror")
            and clip.side == own.side
            and clip.song_id != own.song_id
            and not unit_labels(clip) & unit_labels(own)
            and (choice == "random" or clip.genre == own.genre)
        ]
        assert free  # else the test would check nothing
        given = given_clips(data, references, index)
        assert given <= {clip.clip_id for clip in free}
        num_checked += 1
        by_dancer = {clip.clip_id for clip in free if own.performer_id and clip.performer_id == own.performer_id}
        if by_dancer and choice == "style":
            assert given <= by_dancer
            num_dancer += 1
        assert {clip_of[name].side for name in given} == {own.side}
    assert num_checked == 48 and (num_dancer > 10 or choice == "random")


def test_dancers_who_are_not_named_are_not_one_dancer(write_stage):
    data = write_stage({"a": {}, "b": {}, "c": {"performer_id": "anna"}})
    own = next(clip for clip in data.clips if clip.clip_id == "a")
    references = StyleReferences(data, data.clips, [take_of(own)], 2)
    assert given_clips(data, references, 0) == {"b", "c"}


def test_the_narrowest_kind_that_there_is_serves(write_stage):
    song = {"song_id": "blue"}
    kinds = {
        "genre": ({"a": song, "b": song, "c": {"genre": "rumba"}}, {"b"}),  # its song, for want of another waltz
        "genre, mirrored": ({"a": song, "b": song | {"side": "mirrored"}, "c": {"genre": "rumba"}}, {"b_mirror"}),
        "others": ({"a": song, "c": {"genre": "rumba"}, "d": {"genre": "tango"}}, {"c", "d"}),
        "nothing else": ({"a": song}, {"a", "a_mirror"}),
    }
    for fields, expected in kinds.values():
        data = write_stage(fields)
        own = next(clip for clip in data.clips if clip.clip_id == "a")
        references = StyleReferences(data, data.clips, [take_of(own)], 2)
        given = given_clips(data, references, 0)
        assert given == expected or (expected == {"a", "a_mirror"} and given <= expected)


@pytest.mark.parametrize("stretch", [0.8, 1.0, 1.25])
def test_a_clip_that_is_alone_in_its_genre_has_other_passages_of_itself(write_stage, stretch):
    data = write_stage({"a": {}, "b": {"genre": "rumba"}}, {"a": MIN_FRAMES_FOR_ITSELF})
    own = next(clip for clip in data.clips if clip.clip_id == "a")
    references = StyleReferences(data, data.clips, [take_of(own, stretch)], 2)
    generator = np.random.default_rng(0)
    num_frames = round(MIN_FRAMES_FOR_ITSELF / stretch)
    for start in (0, num_frames // 3, num_frames // 2, num_frames - 200):
        window = np.arange(start, start + 200) * stretch
        for _ in range(20):
            for passage in references.cut(0, start, 200, generator):
                assert set(passage[:, 0]) == {0.0}
                frames = passage[:, 1]
                assert not ((frames >= window[0]) & (frames <= window[-1])).any()
                assert set(np.abs(np.diff(frames))) <= {0.0, 1.0}


def test_own_references_are_other_passages_of_the_dance_and_its_style_where_it_is_short(write_stage):
    fields = {name: {"genre": "waltz", "song_id": name, "performer_id": "anna"} for name in ("long", "short", "other")}
    data = write_stage(fields, {"long": MIN_FRAMES_FOR_ITSELF})
    takes = [take_of(clip) for clip in data.clips]
    of_clip = {clip.clip_id: index for index, clip in enumerate(data.clips)}
    own, style = (StyleReferences(data, data.clips, takes, 1, choice) for choice in ("own", "style"))
    assert given_clips(data, own, of_clip["long"]) == {"long"}
    assert given_clips(data, own, of_clip["long_mirror"]) == {"long_mirror"}
    assert given_clips(data, style, of_clip["long"]) == {"short", "other"}
    assert given_clips(data, own, of_clip["short"]) == {"long", "other"}
    frames = own.cut(of_clip["long"], 300, 100, np.random.default_rng(0))[0, :, 1]
    assert not ((frames >= 300) & (frames < 400)).any()


def test_a_window_of_the_whole_clip_still_has_a_reference(write_stage):
    data = write_stage({"a": {}}, {"a": MIN_FRAMES_FOR_ITSELF})
    references = StyleReferences(data, data.clips, [take_of(data.clips[0])], 1)
    cut = references.cut(0, 0, MIN_FRAMES_FOR_ITSELF, np.random.default_rng(0))
    assert cut.shape == (1, MIN_FRAMES_FOR_ITSELF, 269)


def test_passages_are_consecutive_frames_and_a_short_clip_begins_again(write_stage):
    data = write_stage({"a": {}, "b": {}}, {"b": 70})
    references = StyleReferences(data, data.clips, [take_of(data.clips[0])], 3)
    firsts = set()
    for seed in range(60):
        short = references.cut(0, 0, 50, np.random.default_rng(seed))
        assert short.shape == (3, 50, 269)
        assert (np.diff(short[..., 1], axis=1) == 1).all()
        firsts |= set(short[:, 0, 1])
    assert {0.0, 20.0} <= firsts <= set(np.arange(21.0))  # the last passage, too
    long = references.cut(0, 0, 200, np.random.default_rng(0))[0, :, 1]
    np.testing.assert_array_equal(long, np.arange(200) % 70)


def test_clips_that_are_too_short_serve_nobody(write_stage):
    data = write_stage({"a": {}, "b": {}, "c": {}}, {"b": MIN_REFERENCE_FRAMES - 1, "a": MIN_REFERENCE_FRAMES - 1})
    own = next(clip for clip in data.clips if clip.clip_id == "a")
    references = StyleReferences(data, data.clips, [take_of(own)], 2)
    assert given_clips(data, references, 0) == {"c"}
    with pytest.raises(ValueError, match="a clip of at least 60 frames, got none"):
        StyleReferences(data, [clip for clip in data.clips if clip.clip_id != "c" and "c_" not in clip.clip_id], [], 2)


def test_a_window_has_references_drawn_by_the_batch_and_else_by_the_window(write_stage):
    data = write_stage({name: {} for name in "abcdef"})
    takes = [take_of(clip) for clip in data.clips]
    config = ChoreoLlamaConfig(max_window_tokens=8, genres=["waltz"], max_references=2)
    windows = ChoreoWindows(takes, config, StyleReferences(data, data.clips, takes, 2))
    first, second = (windows.cut([(0, 0, 3), (4, 0, 3)])["reference_features"] for _ in range(2))
    assert (first == second).all() and first.shape[:2] == (2, 2)
    mask = windows.cut([(0, 0, 3)])["frame_mask"][0]
    assert not first[0][:, ~mask].any() and first[1][:, mask].any()
    drawn = [
        windows.cut([(0, 0, 3)], generator=np.random.default_rng(seed))["reference_features"] for seed in range(5)
    ]
    assert len({tuple(values[0, :, -1, :2].flatten().tolist()) for values in drawn}) > 1


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"reference_choice": "none"}, type(None)),
        ({"reference_choice": "style"}, StyleReferences),
        ({"reference_choice": "own"}, StyleReferences),
        ({"reference_choice": "random"}, StyleReferences),
        ({"reference_choice": "retrieved", "retrieval_dir": "encoder"}, TakeReferences),
        ({"reference_choice": "pinned", "retrieval_dir": "encoder"}, TakeReferences),
    ],
)
def test_a_recipe_says_which_references_there_are(write_stage, options, kind, make_encoder, tmp_path, monkeypatch):
    data = write_stage({name: {} for name in "ab"})
    if "retrieval_dir" in options:
        pytest.importorskip("faiss", reason="the retrieval index needs the extra `data`")
        make_encoder(window_frames=32).save_pretrained(tmp_path / "encoder")
        options = options | {"retrieval_dir": str(tmp_path / "encoder")}
        found = TakeReferences(None, [], 2)
        monkeypatch.setattr(ReferenceFinder, "__init__", lambda self, *_: None)
        monkeypatch.setattr(ReferenceFinder, "__call__", lambda self, takes: found)
    arguments = ChoreoArguments("data", codec_dir="codec", **options)
    takes = [take_of(clip) for clip in data.clips]
    assert type(build_references(arguments, data, takes)) is kind
