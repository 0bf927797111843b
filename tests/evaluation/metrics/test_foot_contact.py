import numpy as np
import pytest

from infinitedance.evaluation.metrics.foot_contact import (
    detect_contacts,
    fit_rest_heights,
    floor_float_mm,
    floor_penetration_mm,
    foot_skating_ratio,
    foot_slide_mm,
    gmd_skating_ratio,
    heel_skating_ratio,
    physical_foot_contact,
)

FRAME_RATE = 30.0
REST = np.array([0.07, 0.07, 0.02, 0.02])
TOUCHING = np.ones((10, 1), bool)


def sliding(step: tuple[float, float, float]) -> np.ndarray:
    """One foot that moves by the same step in each of 10 frames."""
    return np.arange(10)[:, None, None] * np.array(step)


def standing(num_frames: int = 40, step: tuple[float, float, float] = (0, 0, 0), height: float = 0.0) -> np.ndarray:
    """Two flat feet that move by the same step in each frame, as ankles and toes."""
    feet = np.zeros((num_frames, 4, 3))
    feet[..., 1] = REST + height
    return feet + np.arange(num_frames)[:, None, None] * np.array(step)


def stepping(seconds: float = 20.0) -> np.ndarray:
    """A dancer in place who lifts the feet by turns, 10 cm high, and stands on each for half of the time."""
    times = np.arange(round(seconds * FRAME_RATE)) / FRAME_RATE
    feet = standing(len(times))
    lift = 0.1 * np.maximum(0, np.sin(2 * np.pi * times[:, None] + [0, np.pi])) ** 2
    feet[..., 1] += np.tile(lift, 2)
    return feet


def all_measures(feet: np.ndarray) -> dict[str, float]:
    rest = fit_rest_heights(feet)
    return {
        "slide": foot_slide_mm(feet, detect_contacts(feet, FRAME_RATE, rest)),
        "compat": foot_skating_ratio(feet, FRAME_RATE, "compat"),
        "corrected": foot_skating_ratio(feet, FRAME_RATE),
        "fitted": foot_skating_ratio(feet, FRAME_RATE, rest_heights=rest),
        "gmd": gmd_skating_ratio(feet[:, 2:], FRAME_RATE),
        "heel": heel_skating_ratio(feet[:, :2], FRAME_RATE, rest[:2]),
        "pfc": physical_foot_contact(feet[:, 0] * 0 + np.sin(np.arange(len(feet)))[:, None], feet, FRAME_RATE),
        "penetration": floor_penetration_mm(feet, rest),
        "float": floor_float_mm(feet, rest, detect_contacts(feet, FRAME_RATE, rest)),
    }


def test_a_planted_foot_is_0_in_every_measure():
    assert all_measures(standing()) == {name: pytest.approx(0, abs=1e-9) for name in all_measures(standing())}


def test_a_diagonal_slide_of_7_cm_a_frame_is_0_as_lodge_is_published_and_1_over_the_floor():
    diagonal = 0.07 / np.sqrt(2)
    feet = standing(step=(diagonal, 0, -diagonal))
    assert foot_skating_ratio(feet, FRAME_RATE, "compat") == 0
    assert foot_skating_ratio(feet, FRAME_RATE, "corrected") == 1
    same_signs = standing(step=(diagonal, 0, diagonal))
    assert foot_skating_ratio(same_signs, FRAME_RATE, "compat") == 1
    assert gmd_skating_ratio(feet[:, 2:], FRAME_RATE) == 1
    assert heel_skating_ratio(feet[:, :2], FRAME_RATE, REST[:2]) == 1
    assert foot_slide_mm(feet, np.ones((40, 4), bool)) == pytest.approx(70)


@pytest.mark.parametrize(("step", "compat", "corrected"), [(0.009, 0, 0), (0.011, 0, 1), (0.019, 0, 1), (0.021, 1, 1)])
def test_lodge_slides_begin_at_1_cm_a_frame_over_the_floor_but_at_2_cm_along_an_axis_as_published(
    step, compat, corrected
):
    feet = standing(step=(step, 0, 0))
    assert foot_skating_ratio(feet, FRAME_RATE, "compat") == compat
    assert foot_skating_ratio(feet, FRAME_RATE, "corrected") == corrected


def test_the_skating_ratio_is_a_mean_over_feet_of_shares_of_their_contacts():
    feet = standing(41)
    feet[11:, [0, 2], 0] += 0.1 * np.arange(1, 31)[:, None]  # the left foot slides in the last 30 of 40 steps
    assert foot_skating_ratio(feet, FRAME_RATE) == pytest.approx((0.75 + 0) / 2)
    feet[:, 3, 1] += 0.3  # the right toe is in the air, its foot counts no more
    assert foot_skating_ratio(feet, FRAME_RATE) == pytest.approx(0.75)


@pytest.mark.parametrize("joint", [0, 2])
def test_a_foot_slides_if_its_ankle_or_its_toe_does(joint):
    feet = standing()
    feet[:, joint, 0] = 0.02 * np.arange(40)
    assert foot_skating_ratio(feet, FRAME_RATE) == 0.5


def test_the_norm_does_not_depend_on_the_frame_rate():
    assert foot_skating_ratio(standing(step=(0.004, 0, 0)), 60.0) == 0
    assert foot_skating_ratio(standing(step=(0.006, 0, 0)), 60.0) == 1


def test_the_floor_of_lodge_is_the_lower_toe_of_the_first_frame_and_the_mean_of_both_on_level_feet():
    feet = standing(step=(0.1, 0, 0))
    feet[:, [0, 1, 3], 1] = [0.09, 0.09, 0.065]  # floor at 2 cm: the right toe is 4.5, the ankles are 7 cm over it
    assert foot_skating_ratio(feet, FRAME_RATE) == 1
    feet[:, [0, 1], 1] = 0.105  # 8.5 cm over the lower toe
    assert np.isnan(foot_skating_ratio(feet, FRAME_RATE))
    feet[:, 3, 1] = 0.039  # 1.9 cm over the other: the floor is their mean, and the ankles 7.55 cm over it
    assert foot_skating_ratio(feet, FRAME_RATE) == 1


def test_an_ankle_that_rests_at_12_cm_is_in_contact_only_with_fitted_rest_heights():
    feet = standing(step=(0.02, 0, 0))
    feet[:, :2, 1] = 0.12
    assert np.isnan(foot_skating_ratio(feet, FRAME_RATE))
    assert foot_skating_ratio(feet, FRAME_RATE, rest_heights=fit_rest_heights(feet)) == 1


def test_gmd_skating_ignores_slow_slides_high_toes_and_single_fast_steps():
    assert gmd_skating_ratio(standing(step=(0.016, 0, 0))[:, 2:], FRAME_RATE) == 0
    assert gmd_skating_ratio(standing(step=(0.1, 0, 0), height=0.04)[:, 2:], FRAME_RATE) == 0
    # 0.6 m/s; at both ends two means of five hold steps beyond the clip, which are 0.
    assert gmd_skating_ratio(standing(step=(0.02, 0, 0))[:, 2:], FRAME_RATE) == pytest.approx(35 / 39)
    landing = standing(step=(0.1, 0, 0))
    landing[::2, :, 1] += 0.1  # low in every second frame only
    assert gmd_skating_ratio(landing[:, 2:], FRAME_RATE) == 0
    jump = standing()
    jump[20:, :, 0] += 0.05  # 1.5 m/s in one step is 0.3 m/s in the mean of five
    assert gmd_skating_ratio(jump[:, 2:], FRAME_RATE) == 0


@pytest.mark.parametrize(("speed", "expected"), [(0.070, 0.0), (0.080, 0.5)])
def test_a_heel_skates_above_75_mm_a_second(speed, expected):
    feet = standing()
    feet[:, 0, 2] = np.arange(40) * speed / FRAME_RATE  # one of two heels
    assert heel_skating_ratio(feet[:, :2], FRAME_RATE, REST[:2]) == expected


def test_pfc_equals_its_formula_at_any_frame_rate():
    random = np.random.default_rng(0)
    root, feet = random.normal(size=(30, 3)), random.normal(size=(30, 4, 3))
    terms, pushes = [], []
    for frame in range(28):
        acceleration = root[frame] - 2 * root[frame + 1] + root[frame + 2]
        pushes.append(np.hypot(np.hypot(acceleration[0], acceleration[2]), max(acceleration[1], 0)))
        step = feet[frame + 2] - feet[frame + 1]
        left_ankle, right_ankle, left_toe, right_toe = np.hypot(step[:, 0], step[:, 2])
        terms.append(min(left_ankle, left_toe) * min(right_ankle, right_toe))
    expected = np.mean(np.array(terms) * np.array(pushes) / max(pushes)) * 1e4
    assert physical_foot_contact(root, feet, 30.0) == pytest.approx(expected)
    assert physical_foot_contact(root, feet, 60.0) == pytest.approx(4 * expected)  # twice the speed of both feet


def test_pfc_is_0_if_one_foot_stands_if_the_root_only_falls_and_if_nothing_moves():
    feet, root = standing(step=(0.03, 0, 0)), np.zeros((40, 3))
    root[:, 1] = -(np.arange(40) ** 2)  # accelerates downwards
    assert physical_foot_contact(root, feet, FRAME_RATE) == 0
    assert physical_foot_contact(-root, feet, FRAME_RATE) == pytest.approx(0.03**2 * 1e4)
    feet[:, 3] = feet[0, 3]
    assert physical_foot_contact(-root, feet, FRAME_RATE) == 0
    assert physical_foot_contact(np.zeros((40, 3)), feet, FRAME_RATE) == 0


def test_the_fit_finds_the_rest_heights_of_a_stepping_dancer_with_noise_and_bad_frames():
    feet = stepping() + np.random.default_rng(0).normal(0, 0.002, (600, 4, 3))
    feet[::60, :, 1] -= 0.5
    np.testing.assert_allclose(fit_rest_heights(feet), REST, atol=0.005)


def test_a_foot_held_still_in_the_air_now_and_then_rests_on_the_floor():
    feet = stepping()
    feet[:90, [0, 2], 1] = REST[[0, 2]] + 0.4
    np.testing.assert_allclose(fit_rest_heights(feet), REST, atol=0.002)


def test_fast_moments_below_the_floor_are_no_rest():
    feet = stepping()
    feet[::10, :, 1] -= 0.3
    feet[1::10, :, 1] -= 0.3
    np.testing.assert_allclose(fit_rest_heights(feet), REST, atol=0.002)


@pytest.mark.parametrize("lift", [0.03, -0.03])
def test_a_clip_lifted_or_sunk_by_3_cm_has_the_same_fitted_penetration_and_float(lift):
    feet = stepping() + np.random.default_rng(0).normal(0, 0.004, (600, 4, 3))
    lifted = feet + [0, lift, 0]
    rest, lifted_rest = fit_rest_heights(feet), fit_rest_heights(lifted)
    np.testing.assert_allclose(lifted_rest, rest + lift)
    expected = floor_penetration_mm(feet, rest)
    assert expected > 0
    assert floor_penetration_mm(lifted, lifted_rest) == pytest.approx(expected)
    contacts = detect_contacts(feet, FRAME_RATE, rest)
    assert (detect_contacts(lifted, FRAME_RATE, lifted_rest) == contacts).all()
    assert floor_float_mm(lifted, lifted_rest, contacts) == pytest.approx(floor_float_mm(feet, rest, contacts))
    assert floor_penetration_mm(feet - [0, 0.03, 0], REST) == pytest.approx(30, abs=10)


def test_contacts_are_low_and_slow():
    contacts = detect_contacts(stepping(), FRAME_RATE, REST)
    assert 0.4 < contacts.mean() < 0.75
    assert not detect_contacts(standing(step=(0.0125, 0, 0)), FRAME_RATE, REST).any()  # 0.375 m/s
    assert detect_contacts(standing(step=(0.011, 0, 0)), FRAME_RATE, REST).all()
    assert not detect_contacts(standing(height=0.051), FRAME_RATE, REST).any()
    assert detect_contacts(standing(height=0.049), FRAME_RATE, REST).all()


def test_a_foot_on_the_floor_neither_sinks_nor_floats():
    feet = np.full((10, 1, 3), 0.02)
    assert floor_penetration_mm(feet, np.array([0.02])) == 0
    assert floor_float_mm(feet, np.array([0.02]), TOUCHING) == 0


def test_penetration_is_of_the_lower_foot_and_a_mean_over_all_frames():
    feet = np.zeros((10, 2, 3))
    feet[:, 0, 1] = 0.5
    feet[:5, 1, 1] = -0.008
    assert floor_penetration_mm(feet, np.zeros(2)) == pytest.approx(4.0)


def test_a_dancer_who_claims_contact_in_the_air_floats_and_one_who_jumps_does_not():
    feet = np.full((10, 1, 3), 0.05)
    assert floor_float_mm(feet, np.array([0.02]), TOUCHING) == pytest.approx(30.0)
    assert floor_float_mm(feet, np.array([0.02]), ~TOUCHING) == 0


def test_a_planted_foot_has_no_slide():
    assert foot_slide_mm(sliding((0, 0, 0)), TOUCHING) == 0


@pytest.mark.parametrize("signs", [(1, 1), (1, -1), (-1, 1)])
def test_a_diagonal_slide_counts_in_full(signs):
    diagonal = 0.07 / np.sqrt(2)
    slide = foot_slide_mm(sliding((signs[0] * diagonal, 0, signs[1] * diagonal)), TOUCHING)
    assert slide == pytest.approx(70.0)


def test_a_foot_that_rises_or_flies_does_not_slide():
    assert foot_slide_mm(sliding((0, 0.07, 0)), TOUCHING) == 0
    lands = TOUCHING.copy()
    lands[:5] = False
    steps = np.concatenate([sliding((0.07, 0, 0))[:6], np.repeat(sliding((0.07, 0, 0))[5:6], 4, axis=0)])
    assert foot_slide_mm(steps, lands) == 0
    assert np.isnan(foot_slide_mm(steps, ~TOUCHING))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: foot_slide_mm(np.zeros((10, 2, 3)), TOUCHING), r"shape \(10, 2\) for these feet, got \(10, 1\)"),
        (lambda: foot_skating_ratio(standing(), 30.0, "mean"), "'corrected' or 'compat', got 'mean'"),
        (lambda: foot_skating_ratio(standing()[:, :2], 30.0), r"`feet_positions` .* 4, 3\), got \(40, 2, 3\)"),
        (lambda: foot_skating_ratio(standing(), 30.0, rest_heights=REST[:2]), r"shape \(4,\) for these feet"),
        (lambda: gmd_skating_ratio(standing(), 30.0), r"`toe_positions` .* 2, 3\), got \(40, 4, 3\)"),
        (lambda: heel_skating_ratio(standing()[:1, :2], 30.0, REST[:2]), "frames >= 2"),
        (lambda: detect_contacts(standing(), 0.0, REST), "`frame_rate` must be positive, in Hz, got 0.0"),
        (lambda: fit_rest_heights(standing(1)), "frames >= 2"),
        (lambda: detect_contacts(np.full((9, 4, 3), np.nan), 30.0, REST), "in 9 frames, first in frame 0"),
        (lambda: floor_penetration_mm(standing(), REST[:3]), r"shape \(4,\) for these feet, got \(3,\)"),
        (lambda: physical_foot_contact(np.zeros((9, 3)), standing(), 30.0), "equally many frames, got 9 and 40"),
        (
            lambda: physical_foot_contact(np.zeros((9, 1, 3)), standing(9), 30.0),
            r"`root_positions` .*frames >= 3, 3",
        ),
    ],
)
def test_wrong_inputs_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
