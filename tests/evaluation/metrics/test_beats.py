import numpy as np
import pytest

from infinitedance.evaluation.metrics import beats
from infinitedance.evaluation.metrics.pulse import slow_times_seconds, speed_curve

FRAME_RATE = 30.0
CLICKS = np.arange(1, 119) * 0.5  # 120 bpm


@pytest.mark.shared_data
@pytest.mark.parametrize("clip", ["synthetic", "random_walk", "static_then_move"])
def test_published_beats_and_alignment_are_reproduced(golden, clip):
    joints, music = golden[f"{clip}_joints"], golden[f"{clip}_music_beats"]
    motion_beats = golden[f"{clip}_dance_beats"]
    np.testing.assert_array_equal(beats.published_motion_beats(joints), motion_beats)
    assert beats.published_beat_alignment(joints, music) == pytest.approx(float(golden[f"{clip}_ba"]), rel=1e-12)
    over_motion = [np.exp(-(np.abs(music - beat).min() ** 2) / 18) for beat in motion_beats]
    assert beats.published_beat_alignment(joints, music, over="motion") == pytest.approx(np.mean(over_motion))


def test_published_alignment_leaves_out_beats_beyond_the_last_step(bouncing):
    positions = bouncing(1.0, 10.0)
    inside = np.arange(15, 290, 30)
    beyond = np.append(inside, [299, 330])
    assert beats.published_beat_alignment(positions, beyond) == beats.published_beat_alignment(positions, inside)


def test_a_dancer_on_every_second_beat_scores_half_over_music_and_full_over_motion():
    every_second = CLICKS[::2]
    assert beats.alignment(every_second, CLICKS) == pytest.approx(0.5, abs=1e-4)
    assert beats.alignment(every_second, CLICKS, over="motion") == 1
    assert beats.alignment(np.array([]), CLICKS) == beats.alignment(np.array([]), CLICKS, over="motion") == 0


def test_a_distance_of_sigma_counts_as_the_gaussian_says():
    assert beats.alignment(CLICKS + 0.05, CLICKS, 0.05, "motion") == pytest.approx(np.exp(-0.5))


def test_chance_over_music_is_the_density_of_motion_beats():
    """A Gaussian of sigma seconds has the area sigma sqrt(2 pi), which chance sees if beats are far apart."""
    motion = np.arange(30) * 2.0
    chance = np.mean([beats.alignment(motion, other) for other in beats.unrelated_beats(CLICKS, 60.0, num_shifts=300)])
    assert chance == pytest.approx(0.1 * np.sqrt(2 * np.pi) / 2, rel=0.05)


@pytest.mark.parametrize("over", ["music", "motion"])
def test_a_dance_on_the_beat_is_above_chance_and_one_at_another_tempo_is_not(over):
    others = [np.arange(1, 90) * 0.71, np.arange(1, 60) * 1.03]
    unrelated = beats.unrelated_beats(CLICKS, 60.0, others, num_shifts=60)
    assert beats.alignment_excess(CLICKS, CLICKS, unrelated, over=over) > 0.4
    assert abs(beats.alignment_excess(np.arange(1, 100) * 0.593, CLICKS, unrelated, over=over)) < 0.04


def test_noise_has_no_excess_even_where_the_other_songs_are_faster():
    random = np.random.default_rng(0)
    excesses = []
    for trial in range(40):
        motion = np.sort(random.uniform(0, 60, 45))
        unrelated = beats.unrelated_beats(np.arange(1, 84) * 0.714, 60.0, [np.arange(1, 200) * 0.3], seed=trial)
        excesses.append([beats.alignment_excess(motion, np.arange(1, 84) * 0.714, unrelated, over="motion")])
    assert np.mean(excesses) == pytest.approx(0, abs=0.02)  # without the stretching it is -0.29


def test_unrelated_beats_are_as_many_as_the_songs_inside_the_dance_and_reproducible():
    others = [np.arange(3) * 0.9, np.arange(200) * 0.31]
    made = beats.unrelated_beats(CLICKS, 60.0, others, num_shifts=5, seed=3)
    assert [len(each) for each in made] == [len(CLICKS)] * 5
    assert all((each >= 0).all() and (each < 60).all() and (np.diff(each) > 0).all() for each in made)
    for first, again in zip(made, beats.unrelated_beats(CLICKS, 60.0, others, num_shifts=5, seed=3), strict=True):
        np.testing.assert_array_equal(first, again)
    assert not np.allclose(made[0], beats.unrelated_beats(CLICKS, 60.0, others, num_shifts=5, seed=4)[0])


def test_beats_are_matched_one_to_one_within_the_tolerance():
    pytest.importorskip("mir_eval")
    music = np.array([1.0, 2.0, 3.0, 4.0])
    motion = np.array([0.95, 1.02, 2.06, 3.2])  # two for the first beat, one for the second, one too late
    assert beats.beat_matches(motion, music) == {"precision": 0.5, "recall": 0.5, "f1": 0.5}
    assert beats.beat_matches(motion, music, 0.25)["recall"] == 0.75
    assert beats.beat_matches(motion[:1], music) == {"precision": 1.0, "recall": 0.25, "f1": 0.4}
    assert beats.beat_matches(np.array([]), music) == {"precision": 0.0, "recall": 0.0, "f1": 0.0}


def test_without_mir_eval_the_extra_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"mir_eval.*infinitedance\[evaluation\]"):
        beats.beat_matches(CLICKS, CLICKS)


def test_offsets_are_in_beats_and_signed():
    music = np.array([0.0, 1.0, 3.0])
    offsets = beats.nearest_beat_offsets(np.array([-0.4, 0.1, 0.9, 1.5, 2.5, 3.2]), music)
    np.testing.assert_allclose(offsets, [0.1, -0.1, 0.25, -0.25])


@pytest.mark.parametrize(
    ("ratio", "name"), [(1, "same"), (2, "double"), (1 / 2, "half"), (1 / 3, "third"), (1.4, None)]
)
@pytest.mark.parametrize("frame_rate", [24.0, 60.0])
def test_the_tempo_of_a_bounce_is_found_and_related_to_the_song(bouncing, ratio, name, frame_rate):
    speed = speed_curve(bouncing(ratio * 84 / 60, frame_rate=frame_rate), frame_rate)
    tempo = beats.dance_tempo_bpm(speed, frame_rate)
    assert tempo == pytest.approx(84 * ratio, rel=0.01)
    assert beats.tempo_relation(tempo, 84.0) == name


def test_a_drift_of_the_speed_is_no_tempo(bouncing):
    speed = speed_curve(bouncing(1.4), FRAME_RATE) + np.linspace(0, 20, 1800)
    assert beats.dance_tempo_bpm(speed, FRAME_RATE) == pytest.approx(84, rel=0.01)


def test_who_never_moves_has_no_tempo_and_agrees_with_none():
    tempo = beats.dance_tempo_bpm(np.zeros(600), FRAME_RATE)
    assert np.isnan(tempo) and beats.tempo_relation(tempo, 120.0) is None


def test_motion_beats_of_both_kinds_agree_on_a_bounce(bouncing):
    positions = bouncing(0.93, 20.0)
    in_seconds = (beats.published_motion_beats(positions) + 0.5) / FRAME_RATE  # the middle of the step
    np.testing.assert_allclose(in_seconds, slow_times_seconds(positions, FRAME_RATE), atol=1 / FRAME_RATE)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: beats.alignment(CLICKS, CLICKS, over="sound"), "must be 'music' or 'motion', got 'sound'"),
        (lambda: beats.published_beat_alignment(np.zeros((9, 2, 3)), CLICKS, over="both"), "got 'both'"),
        (lambda: beats.dance_tempo_bpm(np.zeros(100), 30.0), "at least 6 s"),
        (lambda: beats.dance_tempo_bpm(np.zeros((900, 2)), 30.0), r"must have shape \(frames,\)"),
        (lambda: beats.tempo_relation(100.0, 0.0), "must be positive, got 0"),
    ],
)
def test_wrong_inputs_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
