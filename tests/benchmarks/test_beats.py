import csv
import json
import math
from dataclasses import replace

import numpy as np
import pytest
import soundfile

from benchmarks.beats import __main__ as report
from benchmarks.beats import trackers
from benchmarks.beats.measures import KnownBeats, TrackedBeats, median_bpm, score_beats
from benchmarks.beats.songs import (
    SAMPLING_RATE,
    SONG_SECONDS,
    background_pattern,
    beat_times,
    counted,
    play,
    synthesize,
)
from benchmarks.beats.styles import STYLES
from infinitedance.dataset_builder.procedural.music import synthesize_music

pytest.importorskip("mir_eval")

FLOOR = STYLES["four on the floor"]


def known(bpm=100.0, meter=4, seconds=30.0, first=0.3) -> KnownBeats:
    times = np.arange(first, seconds, 60 / bpm)
    return KnownBeats(times, times[2::meter], meter)


def tracked(truth: KnownBeats, shift_beats=0.0, shift_downbeats=0) -> TrackedBeats:
    period = truth.times[1] - truth.times[0]
    times = truth.times + shift_beats * period
    return TrackedBeats(times, truth.downbeats + (shift_beats + shift_downbeats) * period, truth.meter)


@pytest.mark.parametrize("name", STYLES)
def test_every_style_is_a_song_of_the_stated_length_with_its_beats(name):
    style = STYLES[name]
    song = synthesize(style, seed=1)
    assert song.waveform.shape == (SONG_SECONDS * SAMPLING_RATE,) and song.waveform.dtype == np.float32
    assert np.isfinite(song.waveform).all() and 0.2 < np.abs(song.waveform).max() < 1
    times, downbeats, meter = song.truth
    assert meter == style.meter and style.bpm[0] <= song.bpm <= style.bpm[1]
    assert (np.diff(times) > 0).all() and times[0] >= 0 and times[-1] < SONG_SECONDS
    assert times[0] < 1.5 * 60 / song.bpm and times[-1] > SONG_SECONDS - 1.5 * 60 / song.bpm
    first = int(np.flatnonzero(times == downbeats[0])[0])
    assert first < meter
    np.testing.assert_array_equal(times[first::meter], downbeats)
    if style.has_one_bpm:
        np.testing.assert_allclose(np.diff(times), 60 / song.bpm, rtol=1e-9)
    else:
        assert np.ptp(np.diff(times)) > 0.02 * 60 / song.bpm


def test_there_are_thirty_styles_and_their_patterns_fill_bars():
    assert len(STYLES) >= 30
    for name, style in STYLES.items():
        bar = style.meter * style.steps_per_beat
        for voice in style.voices:
            length = len(style.pattern(voice))
            assert bar % length == 0 or length % bar == 0, (name, voice)
            assert set(style.pattern(voice)) <= set("Xx."), (name, voice)


@pytest.mark.parametrize(
    ("name", "genre", "octave", "meter"),
    [
        ("four on the floor", None, 1, 4),
        ("drum and bass", None, 0.5, 2),
        ("drum and bass", "drum-and-bass", 1, 4),
        ("salsa, clave 2-3", "salsa", 0.5, 2),
        ("waltz 198", None, 1, 3),
        ("waltz 198", "waltz", 1, 3),
        ("5/4", None, 1, 5),
        ("6/8", None, 1, 2),
    ],
)
def test_the_octave_policy_of_the_package_says_which_beats_are_right(name, genre, octave, meter):
    song = synthesize(STYLES[name], 2)
    right = counted(song.truth, STYLES[name], song.bpm, genre)
    assert median_bpm(right.times) == pytest.approx(octave * song.bpm)
    assert right.meter == meter
    assert set(right.downbeats) <= set(right.times) <= set(song.truth.times)


def test_a_slow_beat_is_counted_in_doubles():
    style = replace(FLOOR, bpm=(50, 52))
    song = synthesize(style, 0)
    right = counted(song.truth, style, song.bpm, None)
    assert median_bpm(right.times) == pytest.approx(2 * song.bpm)
    assert set(song.truth.downbeats) <= set(right.downbeats) <= set(right.times)


def onset_seconds(waveform: np.ndarray) -> np.ndarray:
    """Return where sound begins after silence of at least 50 ms."""
    loud = np.flatnonzero(np.abs(waveform) > 0.02 * np.abs(waveform).max())
    return loud[np.concatenate([[True], np.diff(loud) > 0.05 * SAMPLING_RATE])] / SAMPLING_RATE


@pytest.mark.parametrize("seed", range(3))
def test_the_kicks_of_four_on_the_floor_begin_at_the_beats(seed, monkeypatch):
    monkeypatch.setattr("benchmarks.beats.songs.background_pattern", lambda *_: ".")
    song = synthesize(replace(FLOOR, voices={"kick": "X..."}), seed)
    np.testing.assert_allclose(onset_seconds(song.waveform), song.truth.times, atol=0.001)


def test_the_first_beat_of_a_pattern_is_the_downbeat(monkeypatch):
    monkeypatch.setattr("benchmarks.beats.songs.background_pattern", lambda *_: ".")
    waltz = synthesize(replace(STYLES["waltz 140"], voices={"clave": "X....."}), 4)
    np.testing.assert_allclose(onset_seconds(waltz.waveform), waltz.truth.downbeats, atol=0.001)


@pytest.mark.parametrize("level", [-25, -12, 0])
def test_an_off_beat_hat_is_as_loud_as_stated(level, monkeypatch):
    monkeypatch.setattr("benchmarks.beats.songs.background_pattern", lambda *_: ".")
    monkeypatch.setattr("benchmarks.beats.songs.HIT_SPREAD_DB", 0.0)
    style = STYLES[f"off-beat hat, {level} dB"]
    kick, hat = (
        np.abs(play(replace(style, voices={voice: "X..."}), np.arange(60) / 2, 120.0, np.random.default_rng(0))).max()
        for voice in ("kick", "hat")
    )
    assert 20 * math.log10(hat / kick) == pytest.approx(level)


def test_a_double_time_passage_plays_twice_as_fast_between_the_same_beats(monkeypatch):
    monkeypatch.setattr("benchmarks.beats.songs.background_pattern", lambda *_: ".")
    song = synthesize(replace(STYLES["double-time passage"], voices={"clave": "X..."}), 0)
    times, onsets = song.truth.times, onset_seconds(song.waveform)
    per_beat = np.histogram(onsets + 0.01, times)[0]
    assert set(per_beat) == {1, 2} and (np.diff(np.flatnonzero(per_beat == 2)) == 1).all()
    assert 0.2 < (per_beat == 2).mean() < 0.5


def test_a_tempo_jumps_once_at_a_bar():
    times = beat_times("jump", 100.0, 80, 4, np.random.default_rng(0))
    periods = np.diff(times)
    (change,) = np.flatnonzero(np.abs(np.diff(periods)) > 1e-9) + 1
    assert change % 4 == 0 and times[change] == pytest.approx(SONG_SECONDS / 2, abs=1.3)
    assert periods[-1] / periods[0] == pytest.approx(0.8) or periods[-1] / periods[0] == pytest.approx(1.25)


@pytest.mark.parametrize("name", ["swing", "rubato", "live drift"])
def test_a_seed_is_reproducible_and_another_seed_is_another_song(name):
    first, again, other = (synthesize(STYLES[name], seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.waveform, again.waveform)
    np.testing.assert_array_equal(first.truth.times, again.truth.times)
    assert first.bpm != other.bpm and np.abs(first.waveform - other.waveform).max() > 0.1


def test_melodies_lie_on_and_between_beats():
    pattern = background_pattern("melody", STYLES["swing"], np.random.default_rng(0))
    hits = np.flatnonzero(np.array(list(pattern)) == "X")
    assert len(pattern) == 48 and set(hits % 3) == {0, 2}


@pytest.mark.parametrize("name", ["four on the floor", "waltz 198", "7/8", "live drift", "tempo jump"])
def test_the_truth_scores_one(name):
    truth = synthesize(STYLES[name], 0).truth
    score = score_beats(truth, TrackedBeats(*truth))
    assert (score.tempo_ratio, score.octave, score.phase) == (pytest.approx(1), "same", pytest.approx(0, abs=1e-9))
    assert score.beat_f == score.downbeat_f == score.downbeat == score.taken_for_one == score.meter == 1
    assert score.are_beats_right and report.fault(score) == "right"


def test_beats_half_a_beat_late_score_zero():
    score = score_beats(known(), tracked(known(), shift_beats=0.5))
    assert score.octave == "same" and abs(score.phase) == pytest.approx(0.5, abs=1e-6)
    assert score.beat_f == score.downbeat_f == 0 and math.isnan(score.downbeat) and not score.are_beats_right
    assert report.fault(score) == "half a beat off"


@pytest.mark.parametrize("late", [-0.08, 0.05, 0.2])
def test_phase_is_how_late_beats_are(late):
    assert score_beats(known(), tracked(known(), shift_beats=late)).phase == pytest.approx(late, abs=1e-6)


@pytest.mark.parametrize(
    ("ratio", "octave", "has_phase"),
    [
        (2, "double", False),
        (0.5, "half", True),
        (1.5, "3:2", False),
        (2 / 3, "2:3", False),
        (1 / 3, "third", True),
        (1.03, "same", True),
        (1.1, "other", False),
    ],
)
def test_another_tempo_is_told_by_its_ratio(ratio, octave, has_phase):
    times = known(100 * ratio).times
    score = score_beats(known(), TrackedBeats(times, times[::4], 4))
    assert score.tempo_ratio == pytest.approx(ratio, rel=0.02) and score.octave == octave
    assert math.isnan(score.phase) != has_phase and not score.is_tempo_right(0.02)
    assert score.is_tempo_right(0.04) == (octave == "same")


@pytest.mark.parametrize("shift", [1, 2, 3])
def test_the_wrong_count_of_the_bar_is_named(shift):
    score = score_beats(known(), tracked(known(), shift_downbeats=shift))
    assert score.beat_f == 1 and score.downbeat_f == score.downbeat == 0 and score.taken_for_one == 1 + shift
    assert report.fault(score) == "wrong downbeat"


def test_bars_of_four_in_a_waltz_are_wrong():
    truth = known(meter=3)
    score = score_beats(truth, TrackedBeats(truth.times, truth.times[2::4], 4))
    assert score.meter == score.downbeat == score.taken_for_one == 0 and report.fault(score) == "wrong meter"


def test_beats_of_the_first_seconds_count():
    late = TrackedBeats(known().times[known().times > 5], None, None)
    assert score_beats(known(), late).beat_f < 0.95


def test_a_tracker_without_bars_and_one_without_beats_have_no_values_there():
    score = score_beats(known(), TrackedBeats(known().times, None, None))
    assert score.beat_f == 1 and math.isnan(score.downbeat_f + score.downbeat) and math.isnan(score.meter)
    with pytest.warns(UserWarning, match="empty"):
        score = score_beats(known(), TrackedBeats(np.empty(0), None, None))
    assert score.beat_f == 0 and score.octave == "other" and not score.is_tempo_right(0.04)
    assert math.isnan(median_bpm(np.empty(0))) and median_bpm(known(88).times) == pytest.approx(88)


def test_without_mir_eval_the_extra_is_named(monkeypatch):
    monkeypatch.setattr("infinitedance.utils.extras.is_installed", lambda package: False)
    with pytest.raises(ImportError, match=r"mir_eval.*infinitedance\[evaluation\]"):
        score_beats(known(), tracked(known()))


def test_our_tracker_keeps_a_given_tempo_and_a_genre():
    waveform = synthesize_music("waltz", 88, 20.0, seed=0)
    beats = trackers.track_infinitedance(waveform, SAMPLING_RATE, bpm=88, genre="waltz")
    score = score_beats(report.ballroom_truth({"genre": "waltz", "bpm": "88"}, 20.0), beats)
    assert score.are_beats_right and score.downbeat == score.meter == 1


@pytest.mark.parametrize("level", [-25, -12, -6, -3])
def test_off_beat_hats_do_not_displace_the_beat(level):
    for seed in (200, 201):
        song = synthesize(STYLES[f"off-beat hat, {level} dB"], seed)
        assert score_beats(song.truth, trackers.track_infinitedance(song.waveform, SAMPLING_RATE)).is_phase_right


@pytest.mark.parametrize("name", ["waltz 80", "waltz 110", "waltz 140", "waltz 170", "waltz 198", "Viennese waltz"])
@pytest.mark.parametrize("knows_genre", [False, True])
def test_a_waltz_is_never_six_to_the_bar(name, knows_genre):
    style = STYLES[name]
    song = synthesize(style, 200)
    genre = style.genre if knows_genre else None
    score = score_beats(song.truth, trackers.track_infinitedance(song.waveform, SAMPLING_RATE, genre=genre))
    assert score.are_beats_right and score.meter == 1


def test_librosa_finds_clear_beats():
    pytest.importorskip("librosa")
    song = synthesize(FLOOR, 0)
    score = score_beats(song.truth, trackers.track_librosa(song.waveform, SAMPLING_RATE, bpm=song.bpm))
    assert score.is_tempo_right(0.04) and score.beat_f > 0.8


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """Two songs that begin with a bar, one that is not aligned, and one without a dance."""
    folder = tmp_path_factory.mktemp("clips")
    (folder / "music").mkdir()
    rows = []
    for clip, genre, bpm, aligned, paired in (
        ("dance_w_1", "waltz", 88, 1, 1),
        ("dance_c_1", "cha-cha", 120, 1, 1),
        ("dance_c_2", "cha-cha", 120, 0, 1),
        ("free", "hip-hop", 95, 0, 0),
    ):
        audio = f"music/{clip}.wav"
        soundfile.write(folder / audio, synthesize_music(genre, bpm, 20.0, seed=0), SAMPLING_RATE)
        rows.append({"clip": clip, "genre": genre, "bpm": bpm, "aligned": aligned, "paired": paired, "audio": audio})
    rows.append(rows[-1] | {"clip": "absent", "audio": "music/absent.wav"})
    with open(folder / "metadata.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder


@pytest.fixture(scope="module")
def page(data_dir):
    """The whole report of two trackers, one of which has no bars and always answers 120 bpm."""

    def steady(waveform, sampling_rate, *, bpm=None, genre=None):
        return TrackedBeats(np.arange(0, len(waveform) / sampling_rate, 0.5), None, None)

    chosen = ("four on the floor, clap", "off-beat hat, -3 dB", "rubato")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "STYLES", {name: STYLES[name] for name in chosen})
        both = {trackers.OURS: trackers.track_infinitedance, "librosa": steady}
        patch.setattr(report, "TRACKERS", {name: (steady, ()) for name in (*both, "absent")})
        patch.setattr(report, "installed_trackers", lambda: both)
        output = data_dir / "beats.md"
        report.main(["--data_dir", str(data_dir), "--output", str(output), "--num_seeds", "2"])
    return json.loads(output.with_suffix(".json").read_text()), output.read_text()


def rows_of(page, title, num_keys=1):
    (table,) = [table for section in page[0].values() for table in section["tables"] if table["title"] == title]
    return {
        (*row[:num_keys],): dict(zip(table["columns"][num_keys:], row[num_keys:], strict=True))
        for row in table["rows"]
    }


def test_the_page_has_its_sections_and_no_weights(page, data_dir):
    sections, text = page
    assert list(sections) == ["styles", "ballroom", "free"]
    assert all("weights_sha256" not in section for section in sections.values()) and "weights" not in text
    assert "python -m benchmarks.beats --data_dir" in text and str(data_dir) not in text
    assert "absent is not installed" in text


def test_the_page_shows_styles_with_and_without_bpm(page):
    means = rows_of(page, "Mean over styles", 2)
    assert list(means) == [
        *(("infinitedance", given) for given in ("nothing", "bpm", "genre")),
        *(("librosa", given) for given in ("nothing", "bpm")),
    ]
    assert means["librosa", "nothing"]["meter"] is None and means["infinitedance", "nothing"]["meter"] is not None
    free, given, genre = (rows_of(page, f"infinitedance, {hint} given") for hint in ("nothing", "bpm", "genre"))
    assert list(free) == [("four on the floor, clap",), ("off-beat hat, -3 dB",), ("rubato",), ("mean",)]
    assert list(given) == [("four on the floor, clap",), ("off-beat hat, -3 dB",), ("mean",)]  # no bpm to give
    assert list(genre) == list(given) and means["infinitedance", "nothing"]["styles"] == 3
    assert given[("four on the floor, clap",)]["beat F"] > 0.95
    assert rows_of(page, "Bars: infinitedance", 2)["nothing", 4]["downbeat by chance"] == 0.25


def test_styles_whose_beats_are_mostly_wrong_are_named():
    truth = synthesize(FLOOR, 0).truth
    right, late = (score_beats(truth, tracked(truth, shift)) for shift in (0.0, 0.5))
    runs = [report.StyleRun(trackers.OURS, "nothing", {"four on the floor": [right, right], "rubato": [right, late]})]
    ((style, *cells),) = report.failure_table(runs).rows
    assert style == "rubato" and cells == [pytest.approx(0.5, abs=0.05), "right 1, half a beat off 1"]


def test_the_page_shows_aligned_songs_by_genre_beside_chance(page):
    rows = rows_of(page, "Dance with Melody: songs with a known bar", 3)
    assert {genre for _, _, genre in rows} == {"waltz", "cha-cha", "all"}
    assert rows["infinitedance", "genre", "all"]["by chance"] == pytest.approx(1 / 3 + 1 / 4, rel=1e-4)
    waltz, cha_cha = rows["infinitedance", "genre", "waltz"], rows["infinitedance", "genre", "cha-cha"]
    assert (waltz["songs"], waltz["by chance"], cha_cha["by chance"]) == (1, pytest.approx(1 / 3, rel=1e-4), 0.25)
    assert waltz["downbeats right"] == 1 and waltz["beat F"] > 0.95
    assert (
        rows["librosa", "nothing", "cha-cha"]["beat F"] == 1
        and rows["librosa", "nothing", "cha-cha"]["downbeats right"] is None
    )
    assert ("librosa", "genre", "waltz") not in rows
    assert list(rows_of(page, "Dance with Melody: every song")) == [("dance_w_1",), ("dance_c_1",)]


def test_the_page_compares_tempos_of_free_songs(page):
    ((song, row),) = rows_of(page, "Songs without a dance").items()
    assert song == ("free",) and row["bpm, infinitedance"] == pytest.approx(95, rel=0.01)
    assert row["bpm, librosa"] == pytest.approx(120) and row["infinitedance against it"] == "other"
    assert "Against librosa: other 1." in page[1]
