"""Windows whose music is changed: foreign spectra, moved bars, filters."""

import librosa
import numpy as np
import pytest
import torch

from infinitedance.audio.beats import BeatClock
from infinitedance.audio.features import MusicFeatureLayout, spectral_features
from infinitedance.modeling.choreollama.configuration_choreollama import ChoreoLlamaConfig
from infinitedance.training.data_choreollama import (
    ChoreoSampler,
    ChoreoWindows,
    MusicChanges,
    beat_counts,
    beats_per_bar,
    equalize,
    foreign_spectra,
    move_bar,
)
from infinitedance.training.references_choreollama import AdapterReferences
from infinitedance.training.takes import DanceTake

CLOCK = MusicFeatureLayout.beat_clock
ONSET = MusicFeatureLayout.onset_strength.start
WAVES_OF_BEATS = slice(CLOCK.start, CLOCK.start + 4)


def clocked_music(
    bpm: float, num_frames: int = 300, *, first_beat: float = 0.0, meter: int = 4, first_downbeat: int = 0
) -> np.ndarray:
    """Make music of a click on every beat: a 1 at the frame next to it, and the clock."""
    times = first_beat + 60 / bpm * np.arange(-8, num_frames / 30 * bpm / 60 + 8)
    clock = BeatClock(times, beats_per_bar=meter, first_downbeat_index=8 + first_downbeat)
    features = np.zeros((num_frames, MusicFeatureLayout.size), np.float32)
    frames = np.rint(times * 30).astype(int)
    features[frames[(frames >= 0) & (frames < num_frames)], ONSET] = 1
    features[:, 0] = np.cos(2 * np.pi * clock.phase(np.arange(num_frames) / 30))
    features[:, CLOCK] = clock.to_features(num_frames)
    return features


def make_take(music: np.ndarray, song_id: str = "a", **fields) -> DanceTake:
    codes = [np.zeros((3, -(-(len(music) - offset) // 4)), np.int64) for offset in range(4)]
    return DanceTake(song_id, "waltz", music, codes, **fields)


@pytest.fixture
def config():
    backbone = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    return ChoreoLlamaConfig(
        backbone_config=backbone | {"num_key_value_heads": 2}, genres=["waltz"], codebook_size=8, max_window_tokens=32
    )


@pytest.mark.parametrize("other_bpm", [60.0, 132.0, 171.0])
@pytest.mark.parametrize("other_frames", [100, 1000])
@pytest.mark.parametrize("seed", range(3))
def test_the_clicks_of_another_song_are_heard_on_the_own_beats(other_bpm, other_frames, seed):
    own = clocked_music(96.0, first_beat=0.17)[11:]
    other = clocked_music(other_bpm, other_frames, first_beat=0.29)
    changed = foreign_spectra(own, other, np.random.default_rng(seed))
    np.testing.assert_array_equal(changed[:, CLOCK], own[:, CLOCK])
    phase = beat_counts(own)
    # A click is a frame long, and lies up to half a frame of each song away from its beat; where frames of the other
    # song are passed over, it is heard a frame longer.
    click_frames = np.flatnonzero(changed[:, ONSET])
    away = np.abs(phase[click_frames] - np.rint(phase[click_frames]))
    assert away.max() <= (1 + (other_bpm < 96.0)) * other_bpm / 1800 + 1e-6
    tolerance = 1 + other_bpm / 96.0
    for beat in np.arange(np.ceil(phase[0]) + 1, np.floor(phase[-1])):
        assert np.abs(click_frames - np.interp(beat, phase, np.arange(len(phase)))).min() <= tolerance
    np.testing.assert_allclose(changed[:, 0], np.cos(2 * np.pi * phase), atol=2 * np.pi * other_bpm / 1800 * 0.55)


def test_another_draw_begins_elsewhere_in_the_other_song():
    own, other = clocked_music(96.0), clocked_music(120.0, 3000)
    other[:, 1] = np.arange(3000)
    starts = {int(foreign_spectra(own, other, np.random.default_rng(seed))[0, 1]) for seed in range(20)}
    assert len(starts) > 10
    assert np.ptp([start % 15 for start in starts]) <= 1  # on a beat of the other song, as the own music


@pytest.mark.parametrize("meter", [2, 3, 4])
@pytest.mark.parametrize("beats", [1, 2, 3])
def test_moving_the_bar_is_the_clock_of_a_song_whose_downbeat_is_later(meter, beats):
    moved = clocked_music(96.0, meter=meter)
    move_bar(moved, beats, beats=True)
    later = clocked_music(96.0, meter=meter, first_downbeat=beats)
    np.testing.assert_allclose(moved, later, atol=1e-5)
    if beats % meter:
        assert np.abs(moved - clocked_music(96.0, meter=meter)).max() > 0.5
    phrase = clocked_music(96.0, meter=meter)
    move_bar(phrase, beats, beats=False)
    np.testing.assert_allclose(phrase, clocked_music(96.0, meter=meter, first_downbeat=beats * meter), atol=1e-5)


@pytest.mark.parametrize("meter", [1, 2, 3, 4, 6])
@pytest.mark.parametrize(("first", "last"), [(0, 300), (37, 52), (200, 202)])
def test_the_meter_is_read_from_the_clock(meter, first, last):
    assert beats_per_bar(clocked_music(131.0, meter=meter)[first:last]) == meter


def test_the_meter_of_a_changing_tempo_is_read_too():
    times = np.cumsum(np.linspace(0.4, 0.8, 40))
    features = np.zeros((600, MusicFeatureLayout.size), np.float32)
    features[:, CLOCK] = BeatClock(times, beats_per_bar=3).to_features(600)
    assert beats_per_bar(features) == 3
    np.testing.assert_allclose(
        beat_counts(features) - beat_counts(features)[0],
        BeatClock(times).phase(np.arange(600) / 30) - BeatClock(times).phase(np.zeros(1)),
        atol=1e-4,
    )


def test_a_filter_changes_the_cepstrum_as_the_extractor_would(clicks):
    features = np.zeros((60, MusicFeatureLayout.size), np.float32)
    features[:, : CLOCK.start] = spectral_features(clicks, 0, 60)
    before = features.copy()
    equalize(features, 0.5, np.random.default_rng(0))
    spreads = np.maximum(4 / (1 + np.arange(20)), 0.4)
    log_mel = features[:, MusicFeatureLayout.log_mel]
    expected = librosa.feature.mfcc(S=log_mel.T, n_mfcc=20).T / spreads
    np.testing.assert_allclose(features[:, MusicFeatureLayout.mfcc], expected, atol=1e-4)
    filtered = log_mel - before[:, MusicFeatureLayout.log_mel]
    np.testing.assert_allclose(filtered, np.broadcast_to(filtered[0], filtered.shape), atol=1e-5)  # one filter
    assert np.ptp(filtered[0]) > 0.3 and np.abs(np.diff(filtered[0])).max() < 0.1  # and a smooth one
    others = [*range(64, 76), *range(96, MusicFeatureLayout.size)]
    np.testing.assert_array_equal(features[:, others], before[:, others])


def sampler_of(takes, config, changes, batch_size=64) -> ChoreoSampler:
    windows = ChoreoWindows(takes, config)
    settings = {"genre_balance": 1.0, "group_share": 0.5, "in_group": [True] * len(takes), "seed": (0,)}
    return ChoreoSampler(windows, batch_size=batch_size, changes=changes, **settings)


@pytest.mark.parametrize("meter", [2, 3, 4])
def test_every_window_keeps_its_meter_and_its_beats_when_its_bar_is_moved(config, meter):
    """Also where padding stands before or after a short clip."""
    takes = [make_take(clocked_music(90.0, frames, meter=meter), str(frames)) for frames in (50, 90, 400)]
    plain = sampler_of(takes, config, MusicChanges())(0)
    moved = sampler_of(takes, config, MusicChanges(moved_bar_share=1.0))(0)
    assert torch.equal(plain["frame_mask"], moved["frame_mask"]) and not moved["frame_mask"].all()
    num_moved = 0
    for before, after, mask in zip(
        plain["input_features"].numpy(), moved["input_features"].numpy(), plain["frame_mask"].numpy(), strict=True
    ):
        assert not after[~mask].any()
        assert beats_per_bar(after[mask]) == meter
        np.testing.assert_array_equal(after[:, WAVES_OF_BEATS], before[:, WAVES_OF_BEATS])
        # The bar begins a whole number of beats elsewhere, and never where it did.
        column = WAVES_OF_BEATS.stop
        turn = np.angle(
            (after[mask, column + 1] + 1j * after[mask, column])
            / (before[mask, column + 1] + 1j * before[mask, column])
        )
        beats = np.round(-turn * meter / (2 * np.pi)) % meter
        np.testing.assert_allclose(-turn * meter / (2 * np.pi) % meter % meter, beats, atol=1e-3)
        assert len(set(beats)) == 1 and beats[0] != 0
        num_moved += 1
    assert num_moved == 64


def test_windows_hear_foreign_spectra_as_often_as_is_asked_for_with_or_without_music_of_their_own(config):
    heard, silent = clocked_music(96.0), clocked_music(110.0)
    silent[:, : CLOCK.start] = 0
    heard[:, 5], unknown = 7.0, np.zeros_like(silent)
    takes = [
        make_take(heard, "heard"),
        make_take(silent, "silent", has_spectra=False),
        make_take(unknown, "unknown", has_spectra=False, has_clock=False),
    ]
    changed = sampler_of(takes, config, MusicChanges(foreign_spectra_share=0.5), batch_size=900)(0)
    plain = sampler_of(takes, config, MusicChanges(), batch_size=900)(0)
    assert set(plain["spectra_mask"].tolist()) == {True, False} == set(plain["music_mask"].tolist())
    for has_spectra, has_clock, share in ((False, True, 0.5), (False, False, 0.0), (True, True, 1.0)):
        rows = (plain["spectra_mask"] == has_spectra) & (plain["music_mask"] == has_clock)
        assert rows.sum() > 200
        assert changed["spectra_mask"][rows].float().mean().item() == pytest.approx(share, abs=0.08)
    hears = changed["input_features"][..., 5].abs().sum(1) > 0
    assert torch.equal(hears, changed["spectra_mask"])
    assert torch.equal(changed["input_features"][..., CLOCK], plain["input_features"][..., CLOCK])


def test_a_filter_is_heard_where_spectra_are_and_nowhere_else(config):
    silent = clocked_music(110.0)
    silent[:, : CLOCK.start] = 0
    takes = [make_take(clocked_music(96.0), "heard"), make_take(silent, "silent", has_spectra=False)]
    plain, filtered = (
        sampler_of(takes, config, MusicChanges(equalizer_spread=spread))(0)["input_features"] for spread in (0.0, 0.3)
    )
    has_spectra = sampler_of(takes, config, MusicChanges())(0)["spectra_mask"]
    is_changed = (plain != filtered).flatten(1).any(1)
    assert torch.equal(is_changed, has_spectra) and has_spectra.any() and not has_spectra.all()
    mask = sampler_of(takes, config, MusicChanges())(0)["frame_mask"]
    assert not filtered[~mask].any()


def test_the_same_number_is_the_same_batch_however_the_music_is_changed(config):
    takes = [make_take(clocked_music(bpm, meter=3), str(bpm)) for bpm in (80.0, 96.0, 120.0)]
    changes = MusicChanges(foreign_spectra_share=0.5, equalizer_spread=0.2, moved_bar_share=0.3)
    first, second = sampler_of(takes, config, changes), sampler_of(takes, config, changes)
    second(3)
    for name, values in first(7).items():
        assert torch.equal(values, second(7)[name]), name
    assert not torch.equal(first(7)["input_features"], first(8)["input_features"])


def test_changing_the_music_changes_no_take(config):
    takes = [make_take(clocked_music(bpm), str(bpm)) for bpm in (80.0, 96.0)]
    before = [take.music.copy() for take in takes]
    sampler_of(takes, config, MusicChanges(0.5, 0.2, 0.5))(0)
    for take, music in zip(takes, before, strict=True):
        np.testing.assert_array_equal(take.music, music)


def test_a_dance_of_the_base_has_the_reference_that_it_was_danced_with_or_none(config):
    takes = [make_take(clocked_music(100.0, 128), side=side) for side in ("natural", "")]
    reference = np.arange(128 * config.motion_feature_size, dtype=np.float32).reshape(1, 128, -1)
    config.controls_side = True
    batch = ChoreoWindows(takes, config, AdapterReferences(None, 0, [reference, None], 1)).cut([(0, 0, 0), (1, 0, 0)])
    assert batch["reference_mask"].tolist() == [[True], [False]]
    assert torch.equal(batch["reference_features"][0, 0][batch["frame_mask"][0]], torch.from_numpy(reference[0]))
    assert not batch["reference_features"][1].any()
    assert batch["side_ids"].tolist() == [0, 2]  # natural, any


def test_added_genres_have_the_ids_after_any(config):
    takes = [make_take(clocked_music(100.0)) for _ in range(3)]
    for take, genre in zip(takes, ("waltz", "unknown", "mine"), strict=True):
        take.genre = genre
    batch = ChoreoWindows(takes, config, added_genres={"mine": 2}).cut([(row, 0, 0) for row in range(3)])
    assert batch["genre_ids"].tolist() == [0, 1, 4]
