import numpy as np
import pytest

from infinitedance.evaluation.metrics.music_response import (
    end_speed_share,
    energy_correlation,
    silence_response,
)

FRAME_RATE = 30.0
SILENCES = [(10.0, 20.0), (30.0, 40.0)]


def test_a_dancer_who_fades_to_rest_takes_the_known_time():
    seconds = np.arange(1500) / FRAME_RATE
    speed = np.ones(1500)
    for start, end in SILENCES:
        inside = (seconds >= start) & (seconds < end)
        speed[inside] = np.maximum(1 - (seconds[inside] - start) / 5, 0)  # under a fifth after 4 s
    response = silence_response(speed, FRAME_RATE, SILENCES)
    np.testing.assert_allclose(response.fall_seconds, 4.0, atol=0.1)
    assert response.speed_share == pytest.approx(0.25, abs=0.01)


def test_a_dancer_who_does_not_hear_silence_never_falls():
    pulsing = 1 + np.cos(
        np.arange(1500) / FRAME_RATE * 2 * np.pi * 1.5
    )  # stands still for a moment 1.5 times a second
    response = silence_response(pulsing, FRAME_RATE, SILENCES)
    assert np.isinf(response.fall_seconds).all() and response.speed_share == pytest.approx(1, abs=0.01)


def test_a_pause_after_which_the_dance_goes_on_is_no_rest():
    speed = np.ones(900)
    speed[330:390] = 0  # from 11 to 13 s
    assert np.isinf(silence_response(speed, FRAME_RATE, [(10.0, 20.0)]).fall_seconds[0])
    assert silence_response(speed, FRAME_RATE, [(10.0, 13.0)]).fall_seconds[0] == pytest.approx(1.2, abs=0.1)


def test_only_silences_within_the_dance_count():
    speed = np.concatenate([np.ones(300), np.zeros(150)])
    response = silence_response(speed, FRAME_RATE, [(10.0, 60.0), (70.0, 80.0)])
    assert len(response.fall_seconds) == 1 and response.speed_share == 0
    for silences in ([], [(70.0, 80.0)], [(0.0, 60.0)]):
        with pytest.raises(ValueError, match="must be silent"):
            silence_response(speed, FRAME_RATE, silences)


def test_an_end_pose_has_no_speed_and_a_cut_in_mid_step_has_all_of_it():
    posed = np.concatenate([np.ones(900), np.zeros(60)])
    assert end_speed_share(posed, FRAME_RATE, 2.0) == 0
    assert end_speed_share(np.ones(960), FRAME_RATE, 2.0) == 1
    assert np.isnan(end_speed_share(np.zeros(960), FRAME_RATE, 2.0))
    with pytest.raises(ValueError, match="shorter than the dance of 32.00 s"):
        end_speed_share(posed, FRAME_RATE, 40.0)


def test_energy_is_followed_beyond_the_pulse():
    seconds = np.arange(3000) / FRAME_RATE
    energy = -20 + 10 * np.sin(2 * np.pi * seconds / 40)
    pulse = 0.5 * np.sin(2 * np.pi * seconds * 2)
    assert energy_correlation(2 + np.sin(2 * np.pi * seconds / 40) + pulse, energy, FRAME_RATE) > 0.999
    assert energy_correlation(2 - np.sin(2 * np.pi * seconds / 40) + pulse, energy, FRAME_RATE) < -0.999
    assert abs(energy_correlation(2 + np.cos(2 * np.pi * seconds / 40) + pulse, energy, FRAME_RATE)) < 0.3
    assert np.isnan(energy_correlation(np.ones(3000), energy, FRAME_RATE))
    with pytest.raises(ValueError, match="both be of shape"):
        energy_correlation(energy, energy[1:], FRAME_RATE)
