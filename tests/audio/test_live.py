import numpy as np
import pytest

from infinitedance.audio.live import LiveBeatTracker
from infinitedance.training.beat_songs import synthesize_song

RATE = 24_000


def hear_in_blocks(song: np.ndarray, block: int) -> list:
    tracker = LiveBeatTracker()
    return [tracker.hear(song[first : first + block]) for first in range(0, len(song), block)]


@pytest.mark.parametrize("bpm", [88, 120])
def test_the_beat_is_known_within_six_seconds(make_drums, bpm):
    song = make_drums(bpm, 12, first_downbeat=0.4)
    known = [beat for beat in hear_in_blocks(song, RATE // 10) if beat is not None]
    assert known[0].heard_seconds <= 6
    for beat in known:
        if beat.heard_seconds > 6:
            assert beat.bpm == pytest.approx(bpm, rel=0.03)
            phase = (beat.next_beat_seconds - 0.4) * bpm / 60
            assert abs((phase + 0.5) % 1 - 0.5) < 0.12
            assert 0 < beat.next_beat_seconds - beat.heard_seconds <= 60 / bpm * 1.1


def test_the_length_of_the_blocks_changes_nothing(make_drums):
    song = make_drums(100, 8)
    last = [hear_in_blocks(song, block)[-1] for block in (160, 480, 5000, len(song))]
    assert last[0] is not None and all(beat == last[0] for beat in last)


def test_nothing_of_the_future_is_heard(make_drums):
    song = make_drums(100, 8)
    changed = song.copy()
    changed[6 * RATE :] = 0.5 * np.random.default_rng(0).normal(size=2 * RATE)
    before, after = hear_in_blocks(song, 2400), hear_in_blocks(changed, 2400)
    assert before[:60] == after[:60]
    assert before[-1] != after[-1]


def test_the_delay_is_bounded():
    assert LiveBeatTracker().delay_seconds <= 0.1


def test_silence_has_no_beat():
    assert all(beat is None for beat in hear_in_blocks(np.zeros(12 * RATE, np.float32), 2400))


def test_the_octave_policy_holds(make_clicks):
    beat = hear_in_blocks(make_clicks(np.arange(0, 15, 60 / 160), 15), 2400)[-1]
    assert beat.bpm == pytest.approx(80, rel=0.03)
    assert beat.next_beat_seconds - beat.heard_seconds <= 60 / 80 * 1.1


def test_a_constant_offset_changes_nothing(make_drums):
    song = make_drums(100, 12)
    plain, offset = (hear_in_blocks((0.3 * song + dc).astype(np.float32), 2400)[-1] for dc in (0.0, 0.5))
    assert offset.bpm == pytest.approx(plain.bpm, rel=0.01)
    assert offset.confidence == pytest.approx(plain.confidence, abs=0.1)


@pytest.mark.parametrize("genre", ["waltz", "Waltz", "Viennese Waltz"])
def test_the_genre_sets_the_meter(make_drums, genre):
    tracker = LiveBeatTracker(genre)
    beat = tracker.hear(make_drums(90 if genre.lower() == "waltz" else 170, 10, meter=3))
    assert beat is not None and beat.beats_per_bar == 3


def test_drums_are_surer_than_noise(make_drums):
    noise = 0.1 * np.random.default_rng(0).normal(size=10 * RATE).astype(np.float32)
    unsure = hear_in_blocks(noise, 2400)[-1]
    assert unsure is None or unsure.confidence < hear_in_blocks(make_drums(110, 10), 2400)[-1].confidence


def test_the_level_changes_little(make_drums):
    song = make_drums(100, 10)
    loud, soft = (hear_in_blocks(gain * song, 2400)[-1] for gain in (1.0, 0.05))
    assert soft.bpm == pytest.approx(loud.bpm, rel=0.01)
    assert soft.next_beat_seconds == pytest.approx(loud.next_beat_seconds, abs=0.05)


@pytest.mark.parametrize("block", [np.zeros((2, 100)), np.array([np.nan])])
def test_a_block_that_is_not_mono_or_finite_is_refused(block):
    with pytest.raises(ValueError, match="mono and finite"):
        LiveBeatTracker().hear(block)


def test_synthesized_songs_are_followed():
    errors = []
    for seed in range(7_000_000, 7_000_006):
        song = synthesize_song(seed, 20.0)
        if len(song.beat_times) < 20 or np.ptp(np.diff(song.beat_times)) > 0.05:
            continue
        beat = hear_in_blocks(song.waveform, 2400)[-1]
        interval = float(np.median(np.diff(song.beat_times)))
        errors.append(abs(np.log2(beat.bpm * interval / 60)))
    assert np.median(errors) < 0.05
