import csv

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_limits

from infinitedance.audio import beat_network
from infinitedance.audio.beats import GENRE_METERS, GENRE_TEMPO_RANGES, BeatClock, estimate_beats, track_beats
from infinitedance.audio.loading import load_audio
from infinitedance.dataset_builder.procedural.music import synthesize_music

RATE = 24000


def beats_inside(clock: BeatClock, seconds: float) -> np.ndarray:
    beats = clock.beat_times_seconds
    return beats[(beats >= 0) & (beats < seconds)]


def distance_to_nearest(times: np.ndarray, others: np.ndarray) -> np.ndarray:
    return np.abs(times[:, None] - others).min(axis=1)


@pytest.mark.parametrize(
    ("bpm", "counted"),
    [(60, 60), (75, 75), (90, 90), (105, 105), (120, 120), (135, 135), (150, 75), (165, 82.5), (180, 90)],
)
def test_the_tempo_and_beats_of_a_click_track_are_found(make_clicks, bpm, counted):
    times = 0.31 + np.arange(0, 20, 60 / bpm)
    clock = estimate_beats(make_clicks(times, 20), RATE)
    assert clock.bpm(np.array([1.0, 10.0, 19.0])) == pytest.approx(counted, rel=1e-3)
    beats = beats_inside(clock, 20)
    assert distance_to_nearest(beats[(beats > 0.3) & (beats < 19.5)], times).max() < 0.015


def test_one_tempo_gives_exactly_even_beats(make_drums):
    beats = estimate_beats(make_drums(97.3, 30, first_downbeat=0.4), RATE).beat_times_seconds
    np.testing.assert_allclose(np.diff(beats), 60 / 97.3, rtol=2e-3)
    assert np.ptp(np.diff(beats)) < 1e-9


def test_players_who_are_early_and_late_do_not_bend_a_steady_tempo(make_clicks):
    times = np.arange(0.2, 40, 0.6)
    played = times + np.random.default_rng(0).normal(scale=0.02, size=len(times))
    beats = estimate_beats(make_clicks(played, 40), RATE).beat_times_seconds
    assert np.ptp(np.diff(beats)) < 1e-9
    assert distance_to_nearest(times, beats).max() < 0.02


def test_the_beats_cover_the_whole_song(make_clicks):
    clock = estimate_beats(make_clicks(np.arange(6, 14, 0.5), 20), RATE)
    assert clock.beat_times_seconds[0] <= 0 < clock.beat_times_seconds[1]
    assert clock.beat_times_seconds[-2] < 20 <= clock.beat_times_seconds[-1]


def test_a_change_of_tempo_is_followed(make_clicks):
    times = np.concatenate([np.arange(0, 30, 60 / 90), 30 + np.arange(0, 30, 60 / 120)])
    clock = estimate_beats(make_clicks(times, 60), RATE)
    assert clock.bpm(np.array([5.0, 15.0, 25.0])) == pytest.approx(90, rel=2e-3)
    assert clock.bpm(np.array([35.0, 45.0, 55.0])) == pytest.approx(120, rel=2e-3)
    assert distance_to_nearest(beats_inside(clock, 59), times).max() < 0.03
    assert (distance_to_nearest(times, clock.beat_times_seconds) < 0.03).mean() > 0.97


def test_a_slow_drift_is_followed(make_clicks):
    periods = np.linspace(0.5, 0.54, 80)
    times = np.cumsum(periods)
    clock = estimate_beats(make_clicks(times, 41), RATE)
    assert distance_to_nearest(times[2:-2], clock.beat_times_seconds).max() < 0.06


def test_the_genre_decides_between_half_and_double_tempo(make_drums):
    song = make_drums(80, 20)
    assert estimate_beats(song, RATE, genre="rumba").bpm(10.0) == pytest.approx(80, rel=2e-3)
    assert estimate_beats(song, RATE, genre="viennese waltz").bpm(10.0) == pytest.approx(160, rel=2e-3)


def test_no_range_of_a_genre_in_four_holds_a_tempo_and_its_double():
    for genre, (lowest, highest) in GENRE_TEMPO_RANGES.items():
        assert lowest < highest < 2 * lowest or GENRE_METERS.get(genre) == 3


@pytest.mark.parametrize("first_downbeat_beats", [0, 1, 2])
def test_a_waltz_has_three_beats_from_its_loud_one(make_drums, first_downbeat_beats):
    downbeat = 0.2 + first_downbeat_beats * 60 / 90
    clock = estimate_beats(make_drums(90, 20, first_downbeat=downbeat, meter=3), RATE)
    assert clock.beats_per_bar == 3
    phase_in_bar = clock.phase(downbeat) % 3
    assert min(phase_in_bar, 3 - phase_in_bar) < 0.05


def test_four_beats_are_heard_from_their_accents(make_drums):
    clock = estimate_beats(make_drums(100, 20, first_downbeat=1.2), RATE)
    assert clock.beats_per_bar == 4
    assert abs((clock.phase(1.2) + 2) % 4 - 2) < 0.05


def test_the_beat_phase_is_right_within_ten_milliseconds(make_drums):
    clock = estimate_beats(make_drums(104, 25, first_downbeat=0.37), RATE)
    offset = (clock.phase(0.37) + 0.5) % 1 - 0.5
    assert abs(offset) * 60 / 104 < 0.010


@pytest.mark.parametrize("bpm", [91.0, 91.4, 91.37, 182.8])
@pytest.mark.parametrize("seconds", [2.0, 4.4, 30.0])
def test_a_given_tempo_is_kept_to_the_digit(make_drums, bpm, seconds):
    clock = estimate_beats(make_drums(91.4, seconds), RATE, bpm=bpm)
    np.testing.assert_allclose(60 / np.diff(clock.beat_times_seconds), bpm, rtol=1e-9)


def test_beats_of_a_given_tempo_lie_on_those_of_the_song(make_drums):
    clock = estimate_beats(make_drums(104, 25, first_downbeat=0.37), RATE, bpm=104)
    offset = (clock.phase(0.37) + 0.5) % 1 - 0.5
    assert abs(offset) * 60 / 104 < 0.015


def test_a_given_tempo_is_kept_exactly_through_silence():
    clock = estimate_beats(np.zeros(12 * RATE, dtype=np.float32), RATE, bpm=120)
    np.testing.assert_allclose(np.diff(clock.beat_times_seconds), 0.5, rtol=1e-9)


AGE = np.arange(RATE // 4) / RATE
NOISE = np.random.default_rng(5).normal(size=(2, len(AGE)))
KICK = np.sin(2 * np.pi * np.cumsum(45 + 90 * np.exp(-AGE / 0.03)) / RATE) * np.exp(-AGE / 0.08)
SNARE = 0.5 * (NOISE[0] * np.exp(-AGE / 0.05) + 0.5 * np.sin(2 * np.pi * 190 * AGE) * np.exp(-AGE / 0.06))
HAT = np.diff(NOISE[1], prepend=0) * np.exp(-AGE / 0.03)
HAT /= np.abs(HAT).max()
RIM = 0.5 * np.sin(2 * np.pi * 900 * AGE) * np.exp(-AGE / 0.01)
CHORD = 0.15 * sum(np.sin(2 * np.pi * pitch * AGE) for pitch in (220, 277, 330)) * np.exp(-AGE / 0.1)
BASS = 0.5 * np.sin(2 * np.pi * 55 * AGE) * np.exp(-AGE / 0.2)
EIGHTHS = [(0.2 * HAT, k / 2) for k in range(8)]
RHYTHMS = {
    "one-drop": [(KICK, 2), (RIM, 2), (CHORD, 1), (CHORD, 3), (BASS, 0), (BASS, 1.5), (BASS, 2.5), *EIGHTHS],
    "ska": [(KICK, 0), (KICK, 2), (SNARE, 1), (SNARE, 3), *((CHORD + 0.2 * HAT, k + 0.5) for k in range(4))]
    + [(BASS, k) for k in range(4)],
    "bossa": [(KICK, at) for at in (0, 1.5, 2, 3.5)] + [(RIM, at) for at in (0, 1.5, 3)]
    + [(CHORD, at) for at in (0, 1.5, 2.5)] + [(BASS, 0), (BASS, 2), *EIGHTHS],
    "reggaeton": [(KICK, k) for k in range(4)] + [(SNARE, at) for at in (0.75, 1.5, 2.75, 3.5)]
    + [(BASS, 0), (CHORD, 0)],
    "12/8": [(KICK, 0), (KICK, 2), (SNARE, 1), (SNARE, 3), (CHORD, 0), (BASS, 0), (BASS, 2)]
    + [(0.2 * HAT, k / 3) for k in range(12)],
    "6/8": [(KICK, 0), (SNARE, 1), (KICK, 2), (SNARE, 3), (CHORD, 0), (CHORD, 2), (BASS, 0), (BASS, 2)]
    + [(0.2 * HAT, k / 3) for k in range(12)],
}  # fmt: skip
"""What sounds at which beat of a bar of four."""


def played(rhythm, bpm: float, seconds: float = 20.0) -> np.ndarray:
    """Play a bar again and again; the first begins at 0.2 s."""
    song = np.random.default_rng(0).normal(size=round((seconds + 1) * RATE)) * 1e-3
    for bar in range(int((seconds - 0.2) * bpm / 60 / 4)):
        for sound, beat in rhythm:
            start = round((0.2 + (4 * bar + beat) * 60 / bpm) * RATE)
            song[start : start + len(sound)] += sound[: len(song) - start]
    return (0.5 * song / np.abs(song).max()).astype(np.float32)


def beats_off(clock: BeatClock, bpm: float) -> np.ndarray:
    """Return how far the beats lie from those played, in beats."""
    beats = clock.beat_times_seconds
    return np.abs((beats[(beats > 1) & (beats < 17)] - 0.2) * bpm / 60 % 1 - 0.5)


@pytest.mark.parametrize("hat_decibels", [-22.0, -12.0, -3.0])
@pytest.mark.parametrize("options", [{}, {"bpm": 124.0}, {"genre": "locking"}], ids=str)
def test_a_hat_off_the_beat_is_not_the_beat(hat_decibels, options):
    rhythm = [
        (sound, k + part) for k in range(4) for sound, part in ((KICK, 0), (10 ** (hat_decibels / 20) * HAT, 0.5))
    ]
    assert beats_off(estimate_beats(played(rhythm, 124), RATE, **options), 124).min() > 0.45


@pytest.mark.parametrize(
    ("name", "bpm"),
    # A slow bossa nova may be half a beat off, see docs/audio.md.
    [(name, bpm) for name in RHYTHMS for bpm in (76, 100) if (name, bpm) != ("bossa", 76)],
)
def test_beats_of_syncopated_and_compound_rhythms_are_on_the_beat(name, bpm):
    song = played(RHYTHMS[name], bpm)
    for options in ({}, {"bpm": float(bpm)}):
        clock = estimate_beats(song, RATE, **options)
        assert clock.bpm(np.array([8.0])) == pytest.approx(bpm, rel=2e-3)
        assert beats_off(clock, bpm).min() > 0.45


@pytest.mark.parametrize("seconds", [2.0, 5.0])
def test_a_given_tempo_is_the_same_for_any_number_of_threads(make_drums, seconds):
    song, before = make_drums(120, seconds), torch.get_num_threads()
    clocks = []
    for num_threads in (1, 2):
        torch.set_num_threads(num_threads)
        try:
            clocks.append(estimate_beats(song, RATE, bpm=119.3))
        finally:
            torch.set_num_threads(before)
    np.testing.assert_array_equal(clocks[0].beat_times_seconds, clocks[1].beat_times_seconds)
    np.testing.assert_allclose(np.diff(clocks[0].beat_times_seconds), 60 / 119.3, rtol=1e-12)


def test_a_given_meter_and_first_downbeat_are_used(make_drums):
    clock = estimate_beats(make_drums(90, 20), RATE, bpm=90, meter=5, first_downbeat_seconds=3.1)
    assert clock.beats_per_bar == 5
    assert clock.phase(3.1) == pytest.approx(0, abs=1e-9)
    assert clock.beat_times_seconds[0] <= 0 and clock.beat_times_seconds[-1] >= 20


def test_a_clear_beat_is_surer_than_noise(make_drums):
    noise = 0.1 * np.random.default_rng(0).normal(size=20 * RATE).astype(np.float32)
    assert track_beats(make_drums(100, 20), RATE).confidence > 0.6
    assert track_beats(noise, RATE).confidence < 0.3


def test_other_ways_to_count_are_offered_with_their_confidence(make_drums):
    estimate = track_beats(make_drums(100, 20), RATE)
    ways = {way.kind: way for way in estimate.alternatives}
    assert set(ways) == {"half", "double", "next downbeat"}
    assert ways["half"].clock.bpm(10.0) == pytest.approx(50, rel=1e-3)
    assert ways["double"].clock.bpm(10.0) == pytest.approx(200, rel=1e-3)
    confidences = [way.confidence for way in estimate.alternatives]
    assert confidences == sorted(confidences, reverse=True)
    assert all(0 <= confidence <= estimate.confidence <= 1 for confidence in confidences)
    downbeats = {way.clock.first_downbeat_index % 4 for way in estimate.alternatives if way.kind == "next downbeat"}
    assert downbeats == set(range(4)) - {estimate.clock.first_downbeat_index % 4}


def test_a_waltz_has_no_half_and_no_double(make_drums):
    estimate = track_beats(make_drums(90, 20, meter=3), RATE, genre="waltz")
    assert [way.kind for way in estimate.alternatives] == ["next downbeat", "next downbeat"]


def test_a_song_has_the_same_beats_at_any_level(make_drums):
    song = make_drums(97, 15)
    loud, soft = (estimate_beats(gain * song, RATE) for gain in (1.0, 0.01))
    np.testing.assert_allclose(loud.beat_times_seconds, soft.beat_times_seconds, atol=0.003)
    assert loud.first_downbeat_index == soft.first_downbeat_index


def test_beats_are_the_same_for_any_number_of_threads(make_drums):
    song = make_drums(113, 20)
    before = torch.get_num_threads()
    clocks = []
    for num_threads in (1, 2):
        torch.set_num_threads(num_threads)
        with threadpool_limits(num_threads):
            clocks.append(estimate_beats(song, RATE))
    torch.set_num_threads(before)
    np.testing.assert_array_equal(*(clock.beat_times_seconds for clock in clocks))


def test_long_songs_are_heard_in_blocks_as_in_one_piece(make_drums, monkeypatch):
    song = make_drums(96, 60)
    whole = estimate_beats(song, RATE)
    monkeypatch.setattr(beat_network, "BLOCK_FRAMES", 700)
    blocks = estimate_beats(song, RATE)
    np.testing.assert_allclose(blocks.beat_times_seconds, whole.beat_times_seconds, atol=0.003)
    assert blocks.first_downbeat_index == whole.first_downbeat_index


def test_a_beat_at_the_start_of_a_song_is_within_it():
    clock = BeatClock(np.array([-0.0017, 0.5, 1.0, 1.5, 2.0]), 4, 0)
    within = clock.times_within(2.0)
    assert within["beat_times_seconds"] == [0.0, 0.5, 1.0, 1.5]
    assert within["downbeat_times_seconds"] == [0.0]


@pytest.mark.parametrize(("before", "after"), [(10, 0), (0, 15), (12, 12)])
def test_silence_at_the_ends_keeps_the_tempo_of_the_song(make_drums, before, after):
    song = np.pad(make_drums(120, 20), (before * RATE, after * RATE))
    estimate = track_beats(song, RATE)
    np.testing.assert_allclose(np.diff(estimate.clock.beat_times_seconds), 0.5, atol=1e-3)
    assert estimate.confidence > 0.6


def test_a_song_of_one_beat_has_no_confidence(make_clicks):
    assert track_beats(make_clicks(np.array([0.2]), 0.5), RATE).confidence == 0


def test_nothing_is_a_beat_in_silence(make_drums):
    song = make_drums(100, 20)
    song[5 * RATE : 12 * RATE] = 0
    activations = beat_network.beat_activations(song)
    assert activations[5 * 50 + 2 : 12 * 50 - 2].max() == 0 < activations[: 5 * 50].max()


@pytest.mark.parametrize("bpm", [80, 110, 140, 170, 200])
@pytest.mark.parametrize("genre", [None, "waltz"])
def test_a_waltz_is_counted_in_three_at_any_tempo(make_drums, bpm, genre):
    clock = estimate_beats(make_drums(bpm, 20, first_downbeat=0.3, meter=3), RATE, genre=genre)
    assert clock.beats_per_bar == 3
    assert clock.bpm(10.0) == pytest.approx(bpm, rel=0.01)


def test_the_same_song_gives_the_same_beats(make_drums):
    song = make_drums(117, 15)
    first, second = (estimate_beats(song, RATE).beat_times_seconds for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_silence_takes_the_tempo_of_the_prior_with_a_warning(caplog):
    clock = estimate_beats(np.zeros(RATE * 5, dtype=np.float32), RATE)
    assert clock.bpm(2.0) == pytest.approx(100, rel=0.03)
    assert "No clear beat" in caplog.text


@pytest.mark.parametrize("seconds", [0.5, 1.0, 2.0])
def test_a_very_short_song_has_a_clock(make_clicks, seconds):
    features = estimate_beats(make_clicks(np.arange(0, seconds, 0.5), seconds), RATE).to_features(round(30 * seconds))
    assert np.isfinite(features).all()


def test_a_steady_clock_counts_beats_from_its_first():
    clock = BeatClock.steady(bpm=90, duration_seconds=10, first_beat_seconds=0.5, meter=3)
    assert clock.phase(np.array([0.5, 0.5 + 60 / 90, -0.1667, 20.5])) == pytest.approx([0, 1, -1, 30], abs=1e-3)
    assert clock.beats_per_bar == 3
    assert clock.beat_times_seconds[0] <= 0 and clock.beat_times_seconds[-1] >= 10


@pytest.mark.parametrize(
    ("meter", "cycles_per_beat"), [(4, (2, 1, 1 / 4, 1 / 8, 1 / 16)), (3, (2, 1, 1 / 3, 1 / 6, 1 / 12))]
)
def test_clock_features_are_the_sines_and_cosines_of_beats_and_bars(meter, cycles_per_beat):
    clock = BeatClock.steady(bpm=60, duration_seconds=12, meter=meter)
    features = clock.to_features(360)
    assert features.shape == (360, 11) and features.dtype == np.float32
    seconds = np.arange(360) / 30  # at 60 bpm a beat is a second
    for index, cycles in enumerate(cycles_per_beat):
        np.testing.assert_allclose(features[:, 2 * index], np.sin(2 * np.pi * cycles * seconds), atol=1e-5)
        np.testing.assert_allclose(features[:, 2 * index + 1], np.cos(2 * np.pi * cycles * seconds), atol=1e-5)
    np.testing.assert_allclose(features[:, 10], -1)


def test_one_odd_interval_does_not_show_in_the_local_tempo():
    times = np.concatenate([np.arange(0, 10, 0.5), 10.2 + np.arange(0, 10, 0.4)])
    assert set(np.round(BeatClock(times).bpm(np.arange(0, 19, 0.1)), 3)) == {120.0, 150.0}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"beat_times_seconds": np.array([1.0])}, "two or more"),
        ({"beat_times_seconds": np.array([1.0, 1.0])}, "strictly increasing"),
        ({"beat_times_seconds": np.array([1.0, np.nan])}, "finite"),
        ({"beat_times_seconds": np.array([0.0, 1.0]), "beats_per_bar": 0}, "beats_per_bar"),
        ({"beat_times_seconds": np.array([0.0, 1.0]), "first_downbeat_index": 2}, "first_downbeat_index"),
    ],
)
def test_an_impossible_clock_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        BeatClock(**arguments)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sampling_rate": 44100}, "24000 Hz, got 44100.*load_audio"),
        ({"waveform": np.zeros((2, RATE))}, "mono"),
        ({"waveform": np.zeros(10)}, "at least 0.1 s"),
        ({"waveform": np.full(RATE, np.nan)}, "finite"),
        ({"bpm": 0}, "`bpm` must lie in"),
        ({"bpm": float("nan")}, "`bpm` must lie in"),
        ({"meter": 0}, "`meter`"),
        ({"first_downbeat_seconds": 5.0}, "must lie in the song"),
        ({"first_downbeat_seconds": -1.0}, "must lie in the song"),
    ],
)
def test_a_wrong_argument_is_refused(changes, message):
    arguments = {"waveform": np.zeros(RATE, dtype=np.float32), "sampling_rate": RATE} | changes
    with pytest.raises(ValueError, match=message):
        estimate_beats(**arguments)


@pytest.mark.shared_data
@pytest.mark.parametrize("clip", ["dance_w_5", "dance_r_6", "dance_c_7"])
def test_the_beats_of_a_real_song_meet_its_known_tempo(shared_data_dir, clip):
    with open(shared_data_dir / "metadata.csv", newline="") as file:
        row = next(row for row in csv.DictReader(file) if row["clip"] == clip)
    clock = estimate_beats(load_audio(shared_data_dir / row["audio"]), RATE, genre=row["genre"])
    bpm = float(row["bpm"])
    seconds = float(row["seconds"])
    assert np.median(clock.bpm(np.arange(0, seconds))) == pytest.approx(bpm, rel=2e-3)
    phase = np.angle(np.exp(2j * np.pi * beats_inside(clock, seconds) * bpm / 60).mean()) / (2 * np.pi)
    assert abs(phase) < 0.08  # the song begins on a beat


@pytest.mark.parametrize("genre", ["waltz", "rumba", "cha-cha"])
def test_a_genre_does_not_hide_a_tempo_that_is_somewhat_beyond_its_range(genre):
    music = np.concatenate([synthesize_music("rumba", bpm, 20.0, seed=1) for bpm in (90, 120)])
    clock = estimate_beats(music, 24_000, genre=genre)
    np.testing.assert_allclose(clock.bpm(np.array([5.0, 10.0, 30.0, 35.0])), [90, 90, 120, 120], rtol=0.01)
