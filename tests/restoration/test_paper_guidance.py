"""Noise schedule, DDIM, and the guidance of the paper's Algorithm 2."""

import math

import pytest
import torch

from infinitedance.modeling.frdm.modeling_frdm import FrdmScheduler
from infinitedance.motion.features import (
    CONTACTS,
    POSITIONS,
    ROOT,
    ROTATIONS,
    VELOCITIES,
    motion_to_features,
    reconstruct,
)
from infinitedance.motion.skeleton import CONTACT_JOINTS, JOINT_INDEX
from infinitedance.restoration.paper_guidance import (
    blend_geometry,
    damp_contact_velocities,
    integrate_velocities,
    touching_feet,
)

FRAME_RATE = 30.0


@pytest.fixture(scope="module")
def features(dance) -> torch.Tensor:
    return motion_to_features(dance)[:80].double()


def test_noise_follows_the_cosine_schedule():
    scheduler = FrdmScheduler(1000)

    def curve(time: float) -> float:
        return math.cos((time + 0.008) / 1.008 * math.pi / 2) ** 2

    assert scheduler.alphas_cumprod[0] == 1 and len(scheduler.alphas_cumprod) == 1001
    for timestep in (1, 250, 500, 990):
        expected = curve(timestep / 1000) / curve(0)
        assert scheduler.alphas_cumprod[timestep].item() == pytest.approx(expected, rel=1e-6)
    assert (scheduler.alphas_cumprod.diff() < 0).all() and 0 < scheduler.alphas_cumprod[-1] < 1e-4


def test_noise_is_added_by_its_equation(generator):
    scheduler = FrdmScheduler(100)
    clean, noise = torch.randn(2, 3, 4, 5, generator=generator).unbind(0)
    noisy = scheduler.add_noise(clean, noise, torch.tensor([0, 40, 100]))
    for row, timestep in enumerate((0, 40, 100)):
        alpha = scheduler.alphas_cumprod[timestep].item()
        expected = math.sqrt(alpha) * clean[row] + math.sqrt(1 - alpha) * noise[row]
        torch.testing.assert_close(noisy[row], expected)
    assert torch.equal(noisy[0], clean[0])


def test_a_step_with_the_true_clean_sample_stays_on_its_path(generator):
    scheduler = FrdmScheduler(100)
    clean, noise = torch.randn(2, 1, 4, 5, generator=generator).unbind(0)

    def at(timestep: int) -> torch.Tensor:
        return scheduler.add_noise(clean, noise, torch.tensor([timestep]))

    torch.testing.assert_close(scheduler.step(clean, at(80), 80, 30), at(30), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(scheduler.step(clean, at(30), 30, 0), clean)


def test_a_ddim_step_is_its_equation(generator):
    scheduler = FrdmScheduler(100)
    estimate, noisy = torch.randn(2, 1, 4, 5, generator=generator).unbind(0)
    alpha, next_alpha = scheduler.alphas_cumprod[60].item(), scheduler.alphas_cumprod[20].item()
    # Song et al. (2021), equation 12 with sigma = 0, written by the predicted noise.
    predicted_noise = (noisy - alpha**0.5 * estimate) / (1 - alpha) ** 0.5
    expected = next_alpha**0.5 * estimate + (1 - next_alpha) ** 0.5 * predicted_noise
    torch.testing.assert_close(scheduler.step(estimate, noisy, 60, 20), expected)


def test_the_paper_adds_its_first_noise_again(generator):
    scheduler = FrdmScheduler(100)
    estimate, noise = torch.randn(2, 1, 4, 5, generator=generator).unbind(0)
    expected = scheduler.add_noise(estimate, noise, torch.tensor([20]))
    torch.testing.assert_close(scheduler.renoise(estimate, noise, 20), expected)
    assert torch.equal(scheduler.renoise(estimate, noise, 0), estimate)


def test_timesteps_fall_evenly_to_zero():
    scheduler = FrdmScheduler(1000)
    assert scheduler.timesteps(1000, 4) == [1000, 750, 500, 250, 0]
    assert scheduler.timesteps(300, 6) == [300, 250, 200, 150, 100, 50, 0]
    assert scheduler.timesteps(3, 3) == [3, 2, 1, 0]


@pytest.mark.parametrize(("start", "steps"), [(0, 1), (1001, 5), (3, 4), (10, 0)])
def test_timesteps_that_do_not_exist_are_refused(start, steps):
    with pytest.raises(ValueError, match="1 <= num_steps <= start_timestep <= 1000"):
        FrdmScheduler(1000).timesteps(start, steps)


def test_geometry_is_mixed_and_root_and_velocities_stay(features, generator):
    clean = features + torch.randn(features.shape, generator=generator).double()
    mixed = blend_geometry(clean, features, 0.3)
    for block in (POSITIONS, ROTATIONS):
        torch.testing.assert_close(mixed[:, block], 0.7 * features[:, block] + 0.3 * clean[:, block])
    for block in (ROOT, VELOCITIES, CONTACTS):
        assert torch.equal(mixed[:, block], clean[:, block])
    assert torch.equal(blend_geometry(clean, features, 1.0), clean)


def test_velocities_of_feet_in_contact_shrink_with_the_time_left(features):
    contacts = torch.zeros(len(features), 4)
    contacts[10:20, 1], contacts[10:20, 3] = 1.0, 0.5
    damped = damp_contact_velocities(features, contacts, 0.2)
    before, after = (values[:, VELOCITIES].unflatten(-1, (22, 3)) for values in (features.clone(), damped.clone()))
    ankle, toe = CONTACT_JOINTS[1], CONTACT_JOINTS[3]
    torch.testing.assert_close(after[10:20, ankle], 0.2 * before[10:20, ankle])
    torch.testing.assert_close(after[10:20, toe], 0.6 * before[10:20, toe])
    before[10:20, [ankle, toe]] = after[10:20, [ankle, toe]]
    assert torch.equal(after, before)
    assert torch.equal(damped[:, : VELOCITIES.start], features[:, : VELOCITIES.start])


def test_the_integral_of_a_clean_dance_gives_back_its_positions(features):
    forgotten = features.clone()
    legs = [JOINT_INDEX[f"{side}_{part}"] - 1 for side in ("left", "right") for part in ("knee", "ankle", "foot")]
    forgotten[1:, POSITIONS].unflatten(-1, (21, 3))[:, legs] = 9.0
    torch.testing.assert_close(integrate_velocities(forgotten, features, FRAME_RATE), features, atol=1e-4, rtol=0)
    contacts = features[:, CONTACTS] > 0.5
    restarted = integrate_velocities(features, features, FRAME_RATE, contacts)
    torch.testing.assert_close(restarted, features, atol=1e-4, rtol=0)


def test_a_foot_that_is_integrated_anew_at_each_contact_stays_where_a_plain_integral_drifts(features):
    velocities = features.clone()
    velocities[:, VELOCITIES] += 0.05  # a small error of each step
    contacts = features[:, CONTACTS] > 0.5
    damped = damp_contact_velocities(velocities, contacts.double(), 0.0)

    def apart(integrated: torch.Tensor) -> torch.Tensor:
        gap = (integrated - features)[:, POSITIONS].unflatten(-1, (21, 3))
        return gap[:, [joint - 1 for joint in CONTACT_JOINTS]].norm(dim=-1)

    restarted = apart(integrate_velocities(features, damped, FRAME_RATE, contacts))
    plain = apart(integrate_velocities(features, damped, FRAME_RATE))
    assert restarted.max() < 0.02 and restarted[~contacts].max() == pytest.approx(0, abs=1e-9)
    assert plain.max() > 3 * restarted.max()


def test_a_new_contact_begins_where_its_foot_is(features):
    contacts = torch.zeros(len(features), 4, dtype=torch.bool)
    contacts[[5, 6, 7, 30, 31, 32, 33], 2] = True
    moving = features.clone()
    moving[:, VELOCITIES] = 0.0
    integrated = integrate_velocities(features, moving, FRAME_RATE, contacts)
    foot = reconstruct(integrated, [CONTACT_JOINTS[2]], FRAME_RATE)[:, 0]
    before = reconstruct(features, [CONTACT_JOINTS[2]], FRAME_RATE)[:, 0]
    for start, end in ((5, 8), (30, 34)):
        torch.testing.assert_close(foot[start:end], before[start].expand(end - start, 3))
    others = ~contacts[:, 2]
    torch.testing.assert_close(foot[others], before[others])


def test_low_and_slow_feet_touch_and_for_any_speed_low_ones(features):
    touching = touching_feet(features, FRAME_RATE)
    assert 0.2 < touching.float().mean() < 1
    fast = features.clone()
    fast[:, VELOCITIES] += 5.0
    assert not touching_feet(fast, FRAME_RATE).any()
    assert (touching_feet(fast, FRAME_RATE, any_speed=True) >= touching).all()
    high = features.clone()
    high[:, POSITIONS].unflatten(-1, (21, 3))[..., 1] += 0.5
    assert not touching_feet(high, FRAME_RATE, any_speed=True).any()
