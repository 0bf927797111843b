from dataclasses import replace

import numpy as np
import pytest

from benchmarks.beats.songs import drum_sounds
from benchmarks.sections import CLOCKS, SAMPLING_RATE, SCALES, draw_part, make_song, play_part, score_sections
from infinitedance.audio.beats import BeatClock
from infinitedance.audio.breaks import find_breaks, find_drops
from infinitedance.audio.loudness import find_silences, hop_powers, integrated_loudness
from infinitedance.audio.sections import find_sections, label_sections, segment, tidy, uncover
from infinitedance.audio.step_features import beats_over, step_features

HELD_OUT_SEEDS = range(20)
"""The constants of the algorithm were chosen on seeds from 1000 on."""


def labels(sections) -> str:
    return "".join(section.label for section in sections)


def is_cover(sections, duration: float) -> bool:
    edges = [(section.start_seconds, section.end_seconds) for section in sections]
    follows = all(left[1] == right[0] for left, right in zip(edges, edges[1:], strict=False))
    return follows and edges[0][0] == 0 and edges[-1][1] == pytest.approx(duration)


@pytest.fixture(scope="module")
def songs():
    return [make_song(seed) for seed in HELD_OUT_SEEDS]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("clock", "lowest_pairwise", "lowest_boundary"),
    [("known", 0.9, 0.9), ("bar a beat late", 0.85, 0.85), ("half the tempo", 0.85, 0.85)],
)
def test_sections_of_songs_that_were_not_tuned_on_are_found(songs, clock, lowest_pairwise, lowest_boundary):
    scores = [
        score_sections(song, find_sections(song.waveform, SAMPLING_RATE, CLOCKS[clock](song.clock))) for song in songs
    ]
    assert np.mean([score["pairwise"] for score in scores]) >= lowest_pairwise
    assert np.mean([score["boundary"] for score in scores]) >= lowest_boundary


def test_repeats_share_a_label_and_are_counted(songs):
    song = make_song(2, "IABABCBO")
    sections = find_sections(song.waveform, SAMPLING_RATE, song.clock)
    assert labels(sections) == "ABCBCDCE"
    assert [section.occurrence for section in sections] == [1, 1, 1, 2, 2, 1, 3, 1]
    assert is_cover(sections, len(song.waveform) / SAMPLING_RATE)


def test_sections_begin_on_bar_lines_of_the_clock(songs):
    for song in songs[:5]:
        clock = CLOCKS["bar a beat late"](song.clock)
        downbeats = clock.times_within(len(song.waveform) / SAMPLING_RATE)["downbeat_times_seconds"]
        starts = [section.start_seconds for section in find_sections(song.waveform, SAMPLING_RATE, clock)[1:]]
        assert all(np.abs(np.array(downbeats) - start).min() < 2e-3 for start in starts)


def test_the_level_of_the_recording_does_not_matter(songs):
    song = songs[1]
    quiet = find_sections(song.waveform * np.float32(0.03), SAMPLING_RATE, song.clock)
    assert quiet == find_sections(song.waveform, SAMPLING_RATE, song.clock)


@pytest.mark.parametrize("seed", range(4))
def test_a_loop_is_one_section(seed):
    random = np.random.default_rng(seed)
    bpm = float(random.uniform(80, 150))
    part = replace(draw_part(random, 4, 4, "A", None), num_bars=4)
    sounds, bar_seconds, cache = drum_sounds(random), 240 / bpm, {}
    waveform = np.zeros(round((48 * bar_seconds + 0.5) * SAMPLING_RATE), np.float32)
    for bar in range(0, 48, 4):
        start = bar * bar_seconds
        play_part(waveform, part, start, bar_seconds, 4, (50, SCALES["minor"]), sounds, cache, random)
    sections = find_sections(waveform, SAMPLING_RATE, BeatClock.steady(bpm, len(waveform) / SAMPLING_RATE))
    assert labels(sections) == "A"


@pytest.mark.parametrize("bpm", [90, 128, 170])
def test_noise_is_one_section(bpm):
    waveform = (0.1 * np.random.default_rng(bpm).normal(size=180 * SAMPLING_RATE)).astype(np.float32)
    assert labels(find_sections(waveform, SAMPLING_RATE, BeatClock.steady(bpm, 180))) == "A"


@pytest.mark.parametrize("bpm", [30.0, 90.0, 300.0])
@pytest.mark.parametrize("seconds", [0.5, 5.0, 19.0])
def test_a_short_song_is_one_section(songs, seconds, bpm):
    waveform = songs[0].waveform[: round(seconds * SAMPLING_RATE)]
    sections = find_sections(waveform, SAMPLING_RATE, BeatClock.steady(bpm, seconds, 0.2))
    assert labels(sections) == "A" and is_cover(sections, seconds)


@pytest.mark.parametrize("bpm", [30.0, 61.0, 300.0])
def test_any_clock_gives_sections_that_cover_the_song(songs, bpm):
    song = songs[0]
    duration = len(song.waveform) / SAMPLING_RATE
    assert is_cover(find_sections(song.waveform, SAMPLING_RATE, BeatClock.steady(bpm, duration, 0.7, 3)), duration)


def test_no_section_bridges_a_long_silence(songs):
    song = songs[2]
    half = round(30 * SAMPLING_RATE)
    waveform = np.concatenate([song.waveform[:half], np.zeros(10 * SAMPLING_RATE, np.float32), song.waveform[half:]])
    duration = len(waveform) / SAMPLING_RATE
    powers = hop_powers(waveform, SAMPLING_RATE)
    silences = find_silences(powers, integrated_loudness(powers), duration)
    clock = BeatClock.steady(120, duration)
    sections = find_sections(waveform, SAMPLING_RATE, clock, silences=silences)
    for section in sections:
        assert section.end_seconds <= 30.1 or section.start_seconds >= 39.7
    assert sections[0].start_seconds == pytest.approx(silences[0][1] if silences[0][0] == 0 else 0)


def test_silence_has_no_sections():
    waveform = np.zeros(60 * SAMPLING_RATE, np.float32)
    assert find_sections(waveform, SAMPLING_RATE, BeatClock.steady(120, 60), silences=[(0.0, 60.0)]) == []


def blocks(text: str, size: int = 8) -> np.ndarray:
    """Return which unit is played in each of the sections `text`."""
    return np.concatenate([100 * ord(letter) + np.arange(size) for letter in text])


def test_the_cheapest_cut_follows_the_repeats():
    units = blocks("ABACBA")
    distances = (units[:, None] != units).astype(np.float32)
    kin = (units[:, None] // 100 == units // 100).astype(np.float32)
    cuts, cost = segment(distances, kin)
    assert cuts == list(range(0, 49, 8))
    found = label_sections(distances, cuts)
    assert [found[0] == found[index] for index in range(6)] == [True, False, True, False, False, True]
    assert segment(distances, kin, walls=[20])[0].count(20) == 1
    assert segment(distances, kin, walls=[20])[1] > cost


def test_equal_neighbors_are_cut_where_the_label_also_comes_alone():
    units = blocks("AABA")
    distances = (units[:, None] != units).astype(np.float32)
    spans = [(0, 16, 1), (16, 24, 2), (24, 32, 1)]
    assert tidy(spans, distances) == [(0, 8, 1), (8, 16, 1), (16, 24, 2), (24, 32, 1)]


def test_equal_neighbors_that_are_a_loop_are_joined():
    units = np.arange(32) % 4
    distances = (units[:, None] != units).astype(np.float32)
    assert tidy([(0, 8, 1), (8, 16, 1), (16, 32, 1)], distances) == [(0, 32, 1)]


def test_beats_go_on_to_both_ends_of_the_song():
    beats, downbeat = beats_over(BeatClock(np.array([5.0, 5.5, 6.0]), 4, 1), 10.0)
    np.testing.assert_allclose(beats, np.arange(0, 10.1, 0.5))
    assert downbeat == 3  # 5.5 s is the twelfth beat


@pytest.mark.parametrize("bpm", [30.0, 60.0, 90.0, 120.0, 200.0, 300.0])
def test_units_last_one_to_three_seconds(songs, bpm):
    duration = len(songs[0].waveform) / SAMPLING_RATE
    features = step_features(songs[0].waveform, SAMPLING_RATE, BeatClock.steady(bpm, duration))
    seconds = features.steps_per_unit * np.median(np.diff(features.times_seconds))
    assert 1.0 <= seconds <= 4.0 and (np.diff(features.times_seconds) > 0).all()
    assert features.pitches.shape == (len(features), 72) and np.isfinite(features.mel_db).all()


def test_the_blocks_of_the_features_leave_no_trace(songs, monkeypatch):
    song = songs[0]
    whole = step_features(song.waveform, SAMPLING_RATE, song.clock)
    monkeypatch.setattr("infinitedance.audio.step_features.BLOCK_SECONDS", 7.0)
    parts = step_features(song.waveform, SAMPLING_RATE, song.clock)
    np.testing.assert_allclose(parts.mel_db, whole.mel_db, atol=0.05)
    np.testing.assert_allclose(parts.pitches, whole.pitches, atol=0.02 * whole.pitches.max())


def club_track(seed: int, plan: list[tuple[str, int]]):
    """Play bars of F: full, B: no drums, no bass, U: a roll of the snare, Q: 7 dB quieter, S: nothing."""
    random = np.random.default_rng(seed)
    bpm = float(random.uniform(110, 140))
    full = draw_part(random, 4, 4, "A", None)
    full = replace(full, drums=full.drums | {"kick": (0, 4, 8, 12)}, bass=(0, 6, 10), chord=(0, 4, 8, 12), vocal=[])
    parts = {
        "F": full,
        "B": replace(full, drums={}, bass=()),
        "U": replace(full, drums={"snare": tuple(range(0, 16, 2))}, bass=()),
        "Q": replace(full, levels_db={voice: level - 7 for voice, level in full.levels_db.items()}),
        "S": replace(full, drums={}, bass=(), chord=()),
    }
    sounds, bar_seconds, cache = drum_sounds(random), 240 / bpm, {}
    starts = bar_seconds * np.cumsum([0, *(bars for _, bars in plan)])
    waveform = np.zeros(round((starts[-1] + 0.5) * SAMPLING_RATE), np.float32)
    for (kind, bars), start in zip(plan, starts, strict=False):
        part = replace(parts[kind], num_bars=bars)
        play_part(waveform, part, start, bar_seconds, 4, (45, SCALES["minor"]), sounds, cache, random)
    waveform /= 1.5 * np.abs(waveform).max()
    clock = BeatClock.steady(bpm, len(waveform) / SAMPLING_RATE)
    powers = hop_powers(waveform, SAMPLING_RATE)
    loudness = integrated_loudness(powers)
    features = step_features(waveform, SAMPLING_RATE, clock, loudness)
    breaks = find_breaks(features, powers)
    return starts, breaks, find_drops(features, powers, loudness, breaks), bar_seconds


@pytest.mark.parametrize("seed", range(6))
def test_a_break_and_the_drop_after_it_are_found(seed):
    starts, breaks, drops, bar_seconds = club_track(seed, [("F", 16), ("B", 8), ("F", 16), ("S", 1), ("F", 8)])
    assert len(breaks) == 2
    np.testing.assert_allclose(breaks, [starts[1:3], starts[3:5]], atol=0.76 * bar_seconds)
    assert any(abs(drop - starts[4]) < 0.3 * bar_seconds for drop in drops)
    assert all(min(abs(drop - starts[2]), abs(drop - starts[4])) < 0.3 * bar_seconds for drop in drops)


def test_a_build_up_ends_with_the_drop():
    num_found = 0
    for seed in range(6):
        starts, breaks, drops, bar_seconds = club_track(seed, [("F", 16), ("B", 4), ("U", 4), ("F", 16)])
        assert breaks[0][0] == pytest.approx(starts[1], abs=0.76 * bar_seconds)
        # A roll as loud as the song ends the break.
        assert breaks[-1][1] > starts[2] - 0.76 * bar_seconds and breaks[-1][1] < starts[3] + 0.76 * bar_seconds
        assert all(abs(drop - starts[3]) < 0.76 * bar_seconds for drop in drops)
        num_found += len(drops)
    assert num_found >= 4


@pytest.mark.parametrize("plan", [[("F", 40)], [("B", 8), ("F", 24), ("B", 8)], [("F", 16), ("Q", 16), ("F", 16)]])
@pytest.mark.parametrize("seed", range(3))
def test_steady_songs_quiet_verses_beginnings_and_ends_are_no_breaks(seed, plan):
    assert club_track(seed, plan)[1] == []


@pytest.mark.parametrize("seed", range(4))
def test_a_steady_song_has_no_drop(seed):
    assert club_track(seed, [("F", 40)])[2] == []


def test_too_little_music_has_neither_breaks_nor_drops():
    waveform = np.zeros(SAMPLING_RATE // 2, np.float32)
    powers = hop_powers(waveform, SAMPLING_RATE)
    features = step_features(waveform, SAMPLING_RATE, BeatClock.steady(120, 0.5))
    assert find_breaks(features, powers) == [] and find_drops(features, powers, -np.inf, []) == []


def test_a_section_that_is_hidden_in_a_longer_one_is_uncovered():
    units = blocks("ABABB")
    distances = (units[:, None] != units).astype(np.float32)
    assert uncover(distances, [0, 16, 24, 40]) == [0, 8, 16, 24, 32, 40]


def test_a_loop_is_not_cut_by_a_shorter_one():
    units = np.arange(32) % 4
    distances = (units[:, None] != units).astype(np.float32)
    assert uncover(distances, [0, 24, 32]) == [0, 24, 32]
