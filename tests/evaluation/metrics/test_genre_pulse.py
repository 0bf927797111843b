import numpy as np
import pytest

from infinitedance.evaluation.metrics.genre_pulse import (
    PulseSpectrum,
    genre_pulse,
    pulse_multiples,
    pulse_spectrum,
    tempo_change_locks,
)
from infinitedance.evaluation.metrics.pulse import speed_curve, steady_beat_phase

FRAME_RATE = 30.0
MULTIPLES = pulse_multiples(4)


def swinging(cycles_per_beat: float, phase: float, bpm: float = 90.0, seconds: float = 60.0, seed: int = 0):
    """A speed that is greatest `phase` beats after the start of each cycle, with noise, and the beats."""
    beats = steady_beat_phase(round(seconds * FRAME_RATE), FRAME_RATE, bpm)
    noise = np.random.default_rng(seed).normal(0, 0.05, len(beats))
    return 1 + 0.5 * np.cos(2 * np.pi * cycles_per_beat * (beats - phase)) + noise, beats


@pytest.mark.parametrize("multiple", MULTIPLES)
def test_a_dancer_who_swings_at_a_multiple_locks_there_with_its_phase(multiple):
    spectrum = pulse_spectrum(*swinging(multiple, 0.3), MULTIPLES)
    lock, phase = spectrum.at(multiple)
    assert lock > 50 and phase == pytest.approx(0.3, abs=0.03)
    assert all(spectrum.at(other)[0] < 8 for other in MULTIPLES if other != multiple)


def test_a_still_dancer_has_no_lock_and_a_short_one_no_value():
    beats = steady_beat_phase(600, FRAME_RATE, 90.0)  # 30 beats
    still = pulse_spectrum(np.zeros(600), beats, MULTIPLES)
    np.testing.assert_array_equal(still.locks, 0)
    short = pulse_spectrum(*swinging(1.0, 0.0, seconds=20.0), MULTIPLES)
    np.testing.assert_array_equal(np.isnan(short.locks), [True, False, False, False])
    assert np.isnan(still.phases).all()


def test_a_genre_pulses_where_its_dances_do_and_agree():
    spectra = [pulse_spectrum(*swinging(1 / 2, 0.5, bpm=80 + 10 * seed, seed=seed), MULTIPLES) for seed in range(4)]
    pulse = genre_pulse(spectra)
    assert (pulse.cycles_per_beat, pulse.num_dances) == (0.5, 4)
    assert pulse.phase == pytest.approx(0.5, abs=0.03) and pulse.coherence > 0.99 and pulse.lock > 50


def test_a_strong_lock_with_phases_by_chance_is_no_pulse_of_a_genre():
    multiples = np.array([1 / 2, 1.0])
    spectra = [PulseSpectrum(multiples, np.array([30.0, 10.0]), np.array([0.5 * turn, 0.2])) for turn in range(4)]
    pulse = genre_pulse(spectra)
    assert (pulse.cycles_per_beat, pulse.lock, pulse.num_dances) == (1.0, 10.0, 4)
    assert pulse.phase == pytest.approx(0.2) and pulse.coherence == pytest.approx(1)


def test_a_multiple_that_few_dances_are_long_enough_for_is_not_chosen():
    multiples = np.array([1 / 4, 1.0])
    long = PulseSpectrum(multiples, np.array([99.0, 5.0]), np.array([0.0, 0.2]))
    short = PulseSpectrum(multiples, np.array([np.nan, 5.0]), np.array([np.nan, 0.2]))
    assert genre_pulse([long, long, short]).cycles_per_beat == 1.0
    assert genre_pulse([long, short]).cycles_per_beat == 1.0
    assert genre_pulse([long, long, long]).cycles_per_beat == 1 / 4


def test_dances_that_are_all_too_short_have_no_pulse():
    short = pulse_spectrum(*swinging(1.0, 0.0, seconds=4.0), (1 / 4, 1.0))
    with pytest.raises(ValueError, match="one real dance must last 8 cycles"):
        genre_pulse([short])


def test_bars_of_three_have_their_own_multiples():
    assert pulse_multiples(3) == (1 / 3, 2 / 3, 1.0, 2.0)
    assert pulse_multiples(2) == pulse_multiples(4) == (1 / 4, 1 / 2, 1.0, 2.0)


@pytest.mark.parametrize("follows", [True, False])
def test_only_a_dancer_who_follows_a_jump_of_the_tempo_locks_after_it(follows):
    seconds = np.arange(round(80 * FRAME_RATE)) / FRAME_RATE
    beats = np.where(seconds < 40, seconds * 90 / 60, 60 + (seconds - 40) * 120 / 60)
    heard = beats if follows else seconds * 90 / 60
    speed = 1 + 0.5 * np.cos(np.pi * heard) + np.random.default_rng(0).normal(0, 0.1, len(beats))
    locks = tempo_change_locks(speed, beats, round(40 * FRAME_RATE), 1 / 2)
    right, wrong = ("after", "after_other") if follows else ("after_other", "after")
    assert locks["before"] > 50 and locks[right] > 50
    assert locks["before_other"] < 2 and locks[wrong] < 2


def test_a_bouncing_body_pulses_once_a_beat(bouncing):
    positions = bouncing(pulses_per_second=1.5)
    beats = steady_beat_phase(len(positions), FRAME_RATE, 90.0)
    spectrum = pulse_spectrum(speed_curve(positions, FRAME_RATE), beats, MULTIPLES)
    assert spectrum.at(1.0)[0] > 1000 and spectrum.at(1 / 2)[0] < 2
    assert spectrum.at(1.0)[1] == pytest.approx(0.5, abs=0.02)  # fastest between two standstills
