import numpy as np
import pytest
from scipy.signal import sosfreqz

from infinitedance.audio.loudness import (
    energy_curve,
    find_fades,
    find_silences,
    hop_powers,
    integrated_loudness,
    k_weighting,
    mean_powers,
    to_lufs,
)

RATE = 24_000
STANDARD_48_KHZ = (
    (1.53512485958697, -2.69169618940638, 1.19839281085285, 1.0, -1.69065929318241, 0.73248077421585),
    (1.0, -2.0, 1.0, 1.0, -1.99004745483398, 0.99007225036621),
)
"""The coefficients that BS.1770-4 prints, tables 1 and 2."""


def sine(seconds: float, amplitude: float = 1.0, hertz: float = 997.0) -> np.ndarray:
    return (amplitude * np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE)).astype(np.float32)


def noise(seconds: float, amplitude: float, seed: int = 0) -> np.ndarray:
    return (amplitude * np.random.default_rng(seed).normal(size=round(seconds * RATE))).astype(np.float32)


def drums(seconds: float, seed: int = 0) -> np.ndarray:
    """Return a hit each half second over soft noise."""
    random = np.random.default_rng(seed)
    waveform = 0.02 * random.normal(size=round(seconds * RATE))
    for begin in range(0, len(waveform), RATE // 2):
        hit = waveform[begin : begin + RATE // 6]
        hit += 0.5 * np.exp(-np.arange(len(hit)) / 800) * random.normal(size=len(hit))
    return waveform.astype(np.float32)


def loudness(waveform: np.ndarray) -> float:
    return integrated_loudness(hop_powers(waveform, RATE))


@pytest.mark.parametrize("amplitude", [1.0, 0.5, 0.01])
def test_a_sine_has_the_loudness_of_the_closed_form(amplitude):
    # The gain of the K-weighting at 997 Hz, 0.691 dB, is what the constant of the standard takes away.
    assert loudness(sine(5, amplitude)) == pytest.approx(10 * np.log10(amplitude**2 / 2), abs=0.01)


def test_the_weighting_is_the_one_that_the_standard_prints():
    hertz = np.geomspace(20, 6000, 200)
    ours = 20 * np.log10(np.abs(sosfreqz(k_weighting(RATE), hertz, fs=RATE)[1]))
    printed = 20 * np.log10(np.abs(sosfreqz(np.array(STANDARD_48_KHZ), hertz, fs=48_000)[1]))
    assert np.abs(ours - printed).max() < 0.25
    again = 20 * np.log10(np.abs(sosfreqz(k_weighting(48_000), hertz, fs=48_000)[1]))
    assert np.abs(again - printed).max() < 0.02


def test_silence_between_two_halves_does_not_change_the_loudness():
    half = sine(10, 0.2)
    with_pause = np.concatenate([half, np.zeros(30 * RATE, np.float32), half])
    assert loudness(with_pause) == pytest.approx(loudness(half), abs=0.1)


def test_a_passage_20_lu_quieter_is_gated():
    assert loudness(np.concatenate([sine(10, 0.5), sine(60, 0.05)])) == pytest.approx(loudness(sine(10, 0.5)), abs=0.1)


def test_nothing_louder_than_the_absolute_gate_has_no_loudness():
    assert loudness(np.zeros(RATE, np.float32)) == -np.inf
    assert loudness(sine(2, 1e-4)) == -np.inf


def test_a_sound_shorter_than_a_gating_block_has_a_loudness():
    assert loudness(sine(0.2, 1.0)) == pytest.approx(-3.01, abs=0.1)


def test_the_blocks_of_the_filter_leave_no_trace(monkeypatch):
    waveform = noise(5, 0.1)
    whole = hop_powers(waveform, RATE)
    monkeypatch.setattr("infinitedance.audio.loudness.BLOCK_HOPS", 7)
    np.testing.assert_allclose(hop_powers(waveform, RATE), whole, rtol=1e-9)


def test_the_mean_power_of_a_span_is_that_of_its_hops():
    powers = np.arange(1.0, 11.0)
    np.testing.assert_allclose(mean_powers(powers, [0.0, 0.1, 5.0], [0.1, 0.5, 6.0]), [1.5, 6.5, 10.0])
    assert to_lufs(np.array([0.0]))[0] == -np.inf


def test_energy_is_zero_where_the_song_is_as_loud_as_the_whole():
    powers = hop_powers(np.concatenate([sine(20, 0.2), sine(20, 0.02), np.zeros(20 * RATE, np.float32)]), RATE)
    energy = energy_curve(powers, integrated_loudness(powers))
    assert len(energy) == 120  # 2 a second
    assert energy[4] == pytest.approx(0, abs=0.1) and energy[60] == pytest.approx(-20, abs=0.1) and energy[100] == -60
    assert set(energy_curve(np.zeros(40), -np.inf)) == {-60.0}


@pytest.mark.parametrize(
    ("level", "floor"), [(1.0, 0.0), (1.0, 1e-3), (0.3, 3e-4), (0.1, 1e-4), (0.02, 0.0), (0.02, 2e-5)]
)
def test_silences_are_found_at_the_start_inside_and_at_the_end(level, floor):
    lengths = [2.0, 10.0, 3.0, 10.0, 1.2, 10.0, 4.0]
    pieces = [
        noise(seconds, floor, k) if k % 2 == 0 else level * drums(seconds, k) for k, seconds in enumerate(lengths)
    ]
    edges = np.cumsum([0, *lengths])
    powers = hop_powers(np.concatenate(pieces), RATE)
    found = find_silences(powers, integrated_loudness(powers), edges[-1])
    assert len(found) == 4
    np.testing.assert_allclose(found, np.stack([edges[0::2], edges[1::2]], axis=1), atol=0.3)


def test_the_pauses_of_slow_clicks_are_no_silences():
    waveform = np.zeros(round(39.5 * RATE), np.float32)
    for begin in np.arange(0.1, 39.5, 1.4):
        waveform[round(begin * RATE) :][:480] += sine(0.02, 0.5)
    powers = hop_powers(waveform, RATE)
    assert find_silences(powers, integrated_loudness(powers), 39.5, beat_seconds=1.4) == []


def test_a_quiet_passage_is_no_silence():
    powers = hop_powers(np.concatenate([drums(20), 0.05 * drums(10), drums(20)]), RATE)
    assert find_silences(powers, integrated_loudness(powers), 50.0) == []


def test_a_silent_song_is_one_silence():
    assert find_silences(np.zeros(100), -np.inf, 5.0) == [(0.0, 5.0)]


SHAPES = {
    "linear": lambda share: share,
    "even in dB": lambda share: 10 ** (2 * (share - 1)),
    "cosine": lambda share: 0.5 - 0.5 * np.cos(np.pi * share),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("seconds", [5.0, 10.0, 20.0])
def test_fades_are_found_where_they_are(shape, seconds):
    waveform = drums(90, seed=3)
    curve = SHAPES[shape](np.linspace(0, 1, round(seconds * RATE))).astype(np.float32)
    waveform[: len(curve)] *= curve
    waveform[-len(curve) :] *= curve[::-1]
    pause = np.zeros(2 * RATE, np.float32)
    powers = hop_powers(np.concatenate([pause, waveform, pause]), RATE)
    silences = find_silences(powers, integrated_loudness(powers), 94.0)
    fades = find_fades(powers, silences, 94.0)
    assert [fade.kind for fade in fades] == ["in", "out"]
    reach = 0.2 * seconds + 1
    assert fades[0].start_seconds == pytest.approx(2, abs=reach)
    assert fades[0].end_seconds == pytest.approx(2 + seconds, abs=reach)
    assert fades[1].start_seconds == pytest.approx(92 - seconds, abs=reach)
    assert fades[1].end_seconds == pytest.approx(92, abs=reach)


def test_a_fade_may_begin_at_the_edge_of_the_song():
    waveform = drums(60, seed=1)
    waveform[-8 * RATE :] *= np.linspace(1, 0, 8 * RATE, dtype=np.float32)
    powers = hop_powers(waveform, RATE)
    fades = find_fades(powers, find_silences(powers, integrated_loudness(powers), 60.0), 60.0)
    assert [fade.kind for fade in fades] == ["out"] and fades[0].start_seconds == pytest.approx(52, abs=1)


@pytest.mark.parametrize(
    "make",
    [
        lambda: drums(40),
        lambda: np.concatenate([0.25 * drums(10), drums(30)]),
        lambda: np.concatenate([0.1 * drums(8), 0.4 * drums(8), drums(30)]),
        lambda: np.zeros(40 * RATE, np.float32),
        lambda: sine(0.5),
    ],
    ids=["steady", "quiet introduction", "steps", "silence", "short"],
)
def test_what_is_no_fade_is_not_taken_for_one(make):
    powers = hop_powers(make(), RATE)
    duration = len(powers) * 0.05
    assert find_fades(powers, find_silences(powers, integrated_loudness(powers), duration), duration) == []


@pytest.mark.parametrize(
    ("waveform", "rate", "fragment"),
    [
        (np.zeros(RATE), 44_100, "must be 24000 Hz"),
        (np.zeros((2, RATE)), RATE, "must be mono"),
        (np.full(RATE, np.nan), RATE, "must be finite"),
        (np.zeros(100), RATE, "at least 0.1 s"),
    ],
)
def test_a_wrong_waveform_is_refused(waveform, rate, fragment):
    with pytest.raises(ValueError, match=fragment):
        hop_powers(waveform, rate)
