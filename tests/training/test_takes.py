"""Takes: encoded clips with music or the clock of their pulse, in memory or mapped from disk."""

import json
import re
import shutil

import numpy as np
import pytest
import torch

from infinitedance.audio.beats import BeatClock
from infinitedance.audio.features import MusicFeatureLayout
from infinitedance.dataset_builder.built import BuiltDataset
from infinitedance.tokenization.configuration_motion_codec import MotionCodecConfig
from infinitedance.tokenization.modeling_motion_codec import MotionCodecModel
from infinitedance.training import takes as takes_module
from infinitedance.training.data_choreollama import beat_counts
from infinitedance.training.takes import DanceTake, genre_speeds, load_takes, motion_energy, smooth_speed

OPTIONS = {"stretches": (1.0, 1.25), "offsets": (0, 2)}


def make_codec(seed: int = 0, **fields) -> MotionCodecModel:
    torch.manual_seed(seed)
    config = {"hidden_size": 16, "codebook_dim": 8, "codebook_size": 32, "residual_dilations": [1], **fields}
    codec = MotionCodecModel(MotionCodecConfig(**config)).eval()
    codec.codebooks.normal_()
    return codec


@pytest.fixture(scope="module")
def codec() -> MotionCodecModel:
    return make_codec()


@pytest.fixture
def folder(tmp_path, write_built, walking_features):
    """A clip with music, one with a clock, one with neither, each mirrored, and one that is too short."""
    lengths = {"heard": 90, "clocked": 75, "silent": 61, "short": 2}
    features, fields = {}, {}
    for number, (name, num_frames) in enumerate(lengths.items()):
        for suffix in ("", "_mirror"):
            features[name + suffix] = walking_features(num_frames, number + len(suffix))
            fields[name + suffix] = {"performer_id": f"dancer {number}", "genre": "waltz" if number else "rumba"}
    clock = BeatClock.steady(100.0, 3.0, 0.2, 3).to_features(90)
    music = np.random.default_rng(0).normal(size=(90, MusicFeatureLayout.size)).astype(np.float32)
    music[:, MusicFeatureLayout.beat_clock] = clock
    np.save(tmp_path / "music.npy", music)
    np.save(tmp_path / "clock.npy", clock[:75])
    for suffix in ("", "_mirror"):
        fields[f"heard{suffix}"]["music_file"] = "music.npy"
        fields[f"clocked{suffix}"] |= {"clock_file": "clock.npy", "music_features_version": 2}
    return write_built(tmp_path, features, fields)


def assert_equal_takes(first: list[DanceTake], second: list[DanceTake]) -> None:
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        values, others = vars(one), vars(other)
        assert set(values) == set(others)
        for name, value in values.items():
            if name in ("music", "speed"):
                np.testing.assert_array_equal(value, others[name])
                assert value.dtype == others[name].dtype == np.float32
            elif name == "codes":
                for codes, other_codes in zip(value, others[name], strict=True):
                    np.testing.assert_array_equal(codes, other_codes)
                    assert codes.dtype == other_codes.dtype == np.int16
            else:
                assert value == others[name], name


def test_takes_say_what_their_clips_are_and_what_of_the_music_is_known(folder, codec):
    takes = load_takes(BuiltDataset(folder), BuiltDataset(folder).clips, codec, **OPTIONS)
    assert [(take.clip_id, take.stretch) for take in takes] == [
        (f"{name}{suffix}", stretch)
        for name in ("heard", "clocked", "silent")
        for suffix in ("", "_mirror")
        for stretch in (1.0, 1.25)
    ]  # nothing is left of the short clip behind an offset of two frames
    for take in takes:
        name = take.clip_id.removesuffix("_mirror")
        assert (take.has_spectra, take.has_clock) == (name == "heard", name != "silent")
        assert take.side == ("natural" if take.clip_id == name else "mirrored")
        assert take.song_id == name and take.performer_id.startswith("dancer")
        assert take.music[:, : MusicFeatureLayout.beat_clock.start].any() == take.has_spectra
        frames = round({"heard": 90, "clocked": 75, "silent": 61}[name] / take.stretch)
        assert len(take.music) == len(take.speed) == frames
        assert [codes.shape for codes in take.codes] == [(3, -(-frames // 4)), (3, -(-(frames - 2) // 4))]


def test_codes_are_those_of_the_motion_from_each_offset_on(folder, codec):
    data = BuiltDataset(folder)
    (take,) = load_takes(data, [data.clips[0]], codec, offsets=(0, 1, 3))
    features = torch.from_numpy(np.array(data.motion_features(data.clips[0])))
    for offset, codes in zip((0, 1, 3), take.codes, strict=True):
        np.testing.assert_array_equal(codes, codec.encode(features[None, offset:])[0].numpy())


def test_takes_mapped_from_disk_equal_takes_in_memory(folder, codec, tmp_path):
    data = BuiltDataset(folder)
    in_memory = load_takes(data, data.clips, codec, **OPTIONS)
    mapped = load_takes(data, data.clips, codec, **OPTIONS, cache_dir=tmp_path / "takes")
    assert_equal_takes(in_memory, mapped)
    for take in mapped:
        assert isinstance(take.music, np.memmap) and not take.music.flags.writeable
    # Clips that can be read once only are both encoded and named.
    assert_equal_takes(in_memory, load_takes(data, iter(data.clips), codec, **OPTIONS, cache_dir=tmp_path / "others"))


def test_takes_on_disk_are_used_again(folder, codec, tmp_path, monkeypatch):
    data = BuiltDataset(folder)
    first = load_takes(data, data.clips, codec, **OPTIONS, cache_dir=tmp_path / "takes")
    monkeypatch.setattr(takes_module, "_encode", lambda *_: pytest.fail("a take was encoded again"))
    for clips in (data.clips, iter(data.clips)):
        assert_equal_takes(first, load_takes(data, clips, codec, **OPTIONS, cache_dir=tmp_path / "takes"))


@pytest.mark.parametrize(
    "change", ["codec", "dilations", "search width", "data", "clips", "stretches", "offsets", "interrupted"]
)
def test_takes_on_disk_are_written_anew_when_they_would_be_others(folder, codec, tmp_path, change):
    data, clips, options, cache = BuiltDataset(folder), BuiltDataset(folder).clips, dict(OPTIONS), tmp_path / "takes"
    first = load_takes(data, clips, codec, **options, cache_dir=cache)
    before = [np.array(take.codes[0]) for take in first]
    if change == "codec":
        codec = make_codec(seed=1)
    elif change in ("dilations", "search width"):
        fields = {"residual_dilations": [2]} if change == "dilations" else {"search_width": 1}
        weights = codec.state_dict()
        codec = make_codec(**fields)
        codec.load_state_dict(weights)
    elif change == "data":
        path = folder / "manifest.jsonl"
        np.save(folder / "heard.npy", 0.5 * np.load(folder / "heard.npy"))
        path.write_text(re.sub(r'"sha256": "[0-9a-f]+"', '"sha256": "1"', path.read_text(), count=1))
        data = BuiltDataset(folder)
        clips = data.clips
    elif change == "clips":
        clips = clips[:2]
    elif change in ("stretches", "offsets"):
        options[change] = (1.0,) if change == "stretches" else (1, 3)
    else:
        (cache / "takes.json").unlink()  # it is written last
        (cache / "codes.bin").write_bytes(b"half")
    second = load_takes(data, clips, codec, **options, cache_dir=cache)
    assert_equal_takes(second, load_takes(data, clips, codec, **options))
    if change != "interrupted":
        after = [np.array(take.codes[0]) for take in second]
        same = len(before) == len(after) and all(map(np.array_equal, before, after))
        assert not same or change == "clips"


def test_writing_anew_leaves_a_run_that_has_mapped_the_old_takes_alone(folder, codec, tmp_path):
    data = BuiltDataset(folder)
    first = load_takes(data, data.clips, codec, **OPTIONS, cache_dir=tmp_path / "takes")
    expected = load_takes(data, data.clips, codec, **OPTIONS)
    load_takes(data, data.clips[2:4], make_codec(seed=1), cache_dir=tmp_path / "takes")
    assert_equal_takes(first, expected)


def test_no_takes_are_no_error(folder, codec, tmp_path):
    data = BuiltDataset(folder)
    short = [clip for clip in data.clips if clip.clip_id == "short"]
    for _ in range(2):
        assert load_takes(data, short, codec, **OPTIONS, cache_dir=tmp_path / "takes") == []


def test_a_broken_off_writing_leaves_no_index(folder, codec, tmp_path, monkeypatch):
    data, cache = BuiltDataset(folder), tmp_path / "takes"
    calls = []

    def broken(own, features):
        calls.append(1)
        if len(calls) > 5:
            raise KeyboardInterrupt
        return own.encode(torch.from_numpy(features[None]))[0].numpy().astype(np.int16)

    monkeypatch.setattr(takes_module, "_encode", broken)
    with pytest.raises(KeyboardInterrupt):
        load_takes(data, data.clips, codec, **OPTIONS, cache_dir=cache)
    monkeypatch.undo()
    assert list(cache.iterdir()) == []
    mapped = load_takes(data, data.clips, codec, **OPTIONS, cache_dir=cache)
    assert_equal_takes(mapped, load_takes(data, data.clips, codec, **OPTIONS))
    assert sorted(path.name for path in cache.iterdir()) == ["codes.bin", "music.bin", "speed.bin", "takes.json"]
    assert len(json.loads((cache / "takes.json").read_text())["takes"]) == len(mapped)


@pytest.mark.parametrize("stretch", [0.8, 1.0, 1.25])
def test_the_beats_of_a_stretched_dance_fall_where_its_own_do(folder, codec, stretch):
    """Beats at 0.2 + 0.6 k seconds of the clip are at that time over the stretch."""
    data = BuiltDataset(folder)
    clips = [clip for clip in data.clips if clip.clip_id in ("heard", "clocked")]
    for take in load_takes(data, clips, codec, stretches=(stretch,)):
        phase = beat_counts(take.music)
        beats = (0.2 + 0.6 * np.arange(4)) / stretch * 30
        counted = np.interp(beats[beats < len(phase) - 1], np.arange(len(phase)), phase)
        np.testing.assert_allclose(counted, np.rint(counted), atol=0.01)
        np.testing.assert_allclose(np.diff(counted), 1, atol=0.01)
        tempo = take.music[:, MusicFeatureLayout.beat_clock.stop - 1]
        np.testing.assert_allclose(120 * 2**tempo, 100 * stretch, rtol=1e-4)


def test_the_speed_of_a_dance_is_smooth_and_its_energy_relative_to_its_genre(walking_features):
    features = walking_features(300, 0.0)
    speed = smooth_speed(features)
    assert speed.shape == (300,) and np.abs(np.diff(speed)).max() < 0.05
    still = np.zeros_like(features)
    assert not smooth_speed(still).any()
    music = np.zeros((300, 109), np.float32)
    takes = [DanceTake("a", "waltz", music, [], speed=value) for value in (speed, 3 * speed, None)]
    assert genre_speeds(takes) == {"waltz": pytest.approx(2 * speed.mean(), rel=1e-5)}
    np.testing.assert_allclose(motion_energy(speed, float(speed.mean())).mean(), 0, atol=1e-5)
    assert (motion_energy(0 * speed, 1.0) == -1).all()
    assert motion_energy(speed, 1e-9).max() == 1.5  # a genre of which nothing moves


def test_a_data_set_without_its_files_says_so(folder, codec, tmp_path):
    shutil.copytree(folder, tmp_path / "copy", dirs_exist_ok=True)
    (tmp_path / "copy" / "clock.npy").unlink()
    data = BuiltDataset(tmp_path / "copy")
    with pytest.raises(FileNotFoundError, match="clock.npy, of clip 'clocked', does not exist"):
        load_takes(data, data.clips, codec)
