import json
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.sections import SAMPLING_RATE, make_song
from infinitedance.audio.beats import BeatAlternative, BeatClock, BeatEstimate
from infinitedance.audio.song_map import SongMap, analyze_song
from infinitedance.audio.song_plot import check_plot_path, draw_song_map


def estimate(clock: BeatClock) -> BeatEstimate:
    half = BeatClock.steady(30 / np.diff(clock.beat_times_seconds)[0], clock.beat_times_seconds[-1])
    return BeatEstimate(clock, 0.91234, (BeatAlternative("half", half, 0.2),))


@pytest.fixture(scope="module")
def song():
    return make_song(3, "ABABCB")


@pytest.fixture(scope="module")
def song_map(song) -> SongMap:
    return analyze_song(song.waveform, SAMPLING_RATE, estimate(song.clock))


def test_the_map_says_what_the_song_is_made_of(song, song_map):
    duration = len(song.waveform) / SAMPLING_RATE
    bpm = 60 / np.diff(song.clock.beat_times_seconds)[0]
    assert song_map.duration_seconds == pytest.approx(duration, abs=1e-3)
    assert song_map.beats.bpm == pytest.approx(bpm, abs=0.01)
    assert song_map.beats.beats_per_bar == song.clock.beats_per_bar
    assert set(song_map.beats.downbeat_times_seconds) <= set(song_map.beats.times_seconds)
    assert song_map.confidence == 0.912
    assert [(other.kind, other.confidence) for other in song_map.alternatives] == [("half", 0.2)]
    assert song_map.alternatives[0].bpm == pytest.approx(bpm / 2, abs=0.01)
    assert -40 < song_map.integrated_loudness_lufs < 0
    assert len(song_map.energy.values_lu) == pytest.approx(2 * duration, abs=1)
    assert "".join(section.label for section in song_map.sections) == "ABABCB"


def test_every_span_lies_in_the_song(song_map):
    spans = [*song_map.silences, *song_map.breaks]
    spans += [(part.start_seconds, part.end_seconds) for part in (*song_map.sections, *song_map.fades)]
    assert spans and all(0 <= start < end <= song_map.duration_seconds for start, end in spans)


def test_a_map_survives_json(song_map):
    text = json.dumps(song_map.to_dict())
    assert SongMap.from_dict(json.loads(text)) == song_map
    assert len(text) < 40 * song_map.duration_seconds + 2000  # it goes into every dance


def test_a_map_of_a_later_version_is_read(song_map):
    assert SongMap.from_dict(song_map.to_dict() | {"new": 1}) == song_map


def test_a_map_with_a_missing_key_is_refused(song_map):
    values = song_map.to_dict()
    del values["energy"], values["drops"]
    with pytest.raises(ValueError, match="energy, drops is missing"):
        SongMap.from_dict(values)


def test_silence_has_a_map():
    silence = np.zeros(5 * SAMPLING_RATE, np.float32)
    song_map = analyze_song(silence, SAMPLING_RATE, estimate(BeatClock.steady(120, 5)))
    assert song_map.integrated_loudness_lufs is None and song_map.silences == ((0.0, 5.0),)
    assert song_map.sections == song_map.breaks == song_map.drops == song_map.fades == ()
    assert SongMap.from_dict(json.loads(json.dumps(song_map.to_dict()))) == song_map


@pytest.mark.parametrize("seconds", [0.5, 1.0, 3.0])
def test_a_very_short_song_has_a_map(song, seconds):
    piece = song.waveform[5 * SAMPLING_RATE :][: round(seconds * SAMPLING_RATE)]
    song_map = analyze_song(piece, SAMPLING_RATE, estimate(BeatClock.steady(60, seconds)))
    assert [section.label for section in song_map.sections] == ["A"]


def test_the_map_of_a_song_twice_is_the_same(song, song_map):
    assert analyze_song(song.waveform, SAMPLING_RATE, estimate(song.clock)) == song_map


def test_another_rate_is_refused(song):
    with pytest.raises(ValueError, match="must be 24000 Hz"):
        analyze_song(song.waveform, 44_100, estimate(song.clock))


def read_size(path) -> tuple[int, int]:
    header = path.read_bytes()[:24]
    assert header.startswith(b"\x89PNG")
    return int.from_bytes(header[16:20], "big"), int.from_bytes(header[20:24], "big")


def test_a_long_song_has_more_rows_than_a_short_one(song, tmp_path):
    twice = np.tile(song.waveform, 2)
    long = analyze_song(twice, SAMPLING_RATE, estimate(BeatClock.steady(120, len(twice) / SAMPLING_RATE)))
    draw_song_map(long, twice, SAMPLING_RATE, tmp_path / "long.png", title="a $song_$ with signs")
    piece = song.waveform[: 10 * SAMPLING_RATE]
    short = analyze_song(piece, SAMPLING_RATE, estimate(BeatClock.steady(120, 10)))
    draw_song_map(short, piece, SAMPLING_RATE, tmp_path / "short.png")
    assert read_size(tmp_path / "long.png")[1] > read_size(tmp_path / "short.png")[1] > 200
    assert sorted(path.name for path in tmp_path.iterdir()) == ["long.png", "short.png"]


def test_silence_can_be_drawn(tmp_path):
    silence = np.zeros(3 * SAMPLING_RATE, np.float32)
    song_map = analyze_song(silence, SAMPLING_RATE, estimate(BeatClock.steady(120, 3)))
    draw_song_map(song_map, silence, SAMPLING_RATE, tmp_path / "silence.png")
    assert read_size(tmp_path / "silence.png")[0] > 1000


def test_an_hour_is_drawn_in_six_rows(song_map, tmp_path):
    beats = replace(
        song_map.beats,
        times_seconds=tuple(np.arange(0, 3600, 0.5)),
        downbeat_times_seconds=tuple(np.arange(0, 3600, 2.0)),
    )
    hour = replace(song_map, duration_seconds=3600.0, beats=beats)
    draw_song_map(hour, np.zeros(3600 * 100, np.float32), 100, tmp_path / "hour.png")
    assert 1000 < read_size(tmp_path / "hour.png")[1] < 2000


def test_a_picture_that_cannot_be_written_is_refused(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="ends in .png"):
        check_plot_path(tmp_path / "song.pdf")
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        check_plot_path(tmp_path / "none" / "song.png")
    monkeypatch.setattr("infinitedance.utils.extras.is_installed", lambda package: False)
    with pytest.raises(ImportError, match="matplotlib"):
        check_plot_path(tmp_path / "song.png")
    assert not list(tmp_path.iterdir())
