"""What the report on loops measures."""

from dataclasses import replace

import numpy as np
import pytest
import soundfile

from benchmarks.loops import kinks, measure_loop
from infinitedance.dataset_builder.procedural.dance import synthesize_dance


def test_a_kink_is_the_change_of_velocity_in_a_frame_and_a_smooth_motion_has_next_to_none():
    times = np.arange(60) / 30
    bent = np.zeros((60, 2, 3))
    bent[:, 1, 0] = np.abs(times - 1)  # from -1 to 1 m/s
    assert kinks(bent, 30)[27] == pytest.approx(2)  # frame 30
    assert np.delete(kinks(bent, 30), range(24, 31)).max() < 1e-9
    smooth = np.sin(2 * np.pi * times)[:, None, None] * np.ones((1, 2, 3))
    assert kinks(smooth, 30).max() < 0.05 * 2 * np.pi


def test_a_loop_is_measured_beside_its_dance_and_its_song(tmp_path):
    beats = {"downbeat_times_seconds": (np.arange(6) * 2.0).tolist()}
    dance = replace(synthesize_dance("waltz", 90, 12.0, seed=0), provenance=beats)
    tone = np.sin(2 * np.pi * 3.3 * np.arange(12 * 8000) / 8000)  # no bar of two seconds ends as it began
    soundfile.write(tmp_path / "tone.wav", tone, 8000)
    found = measure_loop(tmp_path / "tone.wav", dance, 3)
    assert found.name == "tone" and found.seam.num_bars == 3
    assert found.seam_kink < 2 * found.dance_kink
    assert 0 < found.slide[0] < 0.05 and found.slide[2] < 0.1
    assert found.sound_step < 1
