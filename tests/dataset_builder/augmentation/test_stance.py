"""Other clean dances from one: the steps stay, standing feet keep standing."""

from dataclasses import fields, replace

import numpy as np
import pytest

from infinitedance.dataset_builder.augmentation.stance import StanceVariation, vary_stance
from infinitedance.dataset_builder.procedural.dance import synthesize_dance
from infinitedance.evaluation.metrics.foot_contact import foot_slide_mm
from infinitedance.motion.motion import Motion
from infinitedance.motion.retargeting.retargeting import put_on_floor
from infinitedance.motion.skeleton import CONTACT_JOINTS, JOINT_INDEX

NONE = StanceVariation(**{item.name: 0.0 for item in fields(StanceVariation)})
ANKLES = [JOINT_INDEX["left_ankle"], JOINT_INDEX["right_ankle"]]


@pytest.fixture(scope="module")
def dance() -> Motion:
    return put_on_floor(synthesize_dance("rumba", 96, 6.0, seed=0))


def vary(dance: Motion, seed: int = 0, **sizes: float) -> Motion:
    return vary_stance(dance, replace(NONE, **sizes), np.random.default_rng(seed))


def test_no_variation_gives_the_dance_itself(dance):
    np.testing.assert_allclose(vary(dance).joint_positions(), dance.joint_positions(), atol=1e-2)


def test_the_same_seed_gives_the_same_dance_and_another_seed_another(dance):
    first, again, other = (vary_stance(dance, StanceVariation(), np.random.default_rng(seed)) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.joint_rotations, again.joint_rotations)
    assert first.num_frames != other.num_frames


@pytest.mark.parametrize("seed", range(4))
def test_feet_that_stand_in_the_dance_stand_in_the_other(dance, seed):
    varied = vary_stance(dance, replace(StanceVariation(), speed=0.0), np.random.default_rng(seed))
    feet = [motion.joint_positions()[:, [CONTACT_JOINTS[2], CONTACT_JOINTS[3]]] for motion in (dance, varied)]
    both = dance.foot_contacts[:, 2:]
    before, after = (foot_slide_mm(np.concatenate([toes, toes], axis=1), np.tile(both, 2)) for toes in feet)
    assert after < before + 0.3
    heights = feet[1][..., 1][both] - varied.skeleton.toe_rest_height
    assert np.abs(np.median(heights)) < 0.01


def test_a_lower_dancer_bends_the_knees_and_keeps_the_feet(dance):
    varied = vary(dance, seed=2, drop=0.2)
    lowered = dance.root_positions[:, 1] - varied.root_positions[:, 1]
    assert 0.01 < lowered.min() and lowered.max() < 0.25 and np.ptp(lowered) < 1e-5
    apart = varied.joint_positions()[:, ANKLES] - dance.joint_positions()[:, ANKLES]
    assert np.abs(apart).max() < 1e-2


def test_raised_heels_leave_the_toes_where_they_are(dance):
    for seed in range(8):
        varied = vary(dance, seed=seed, heel=30.0)
        toes = [JOINT_INDEX["left_foot"], JOINT_INDEX["right_foot"]]
        raised = (varied.joint_positions() - dance.joint_positions())[:, ANKLES, 1]
        moved = np.linalg.norm((varied.joint_positions() - dance.joint_positions())[:, toes], axis=-1)
        assert np.quantile(moved, 0.9) < 0.02 and np.median(raised) > -0.01
        if raised.max() > 0.03:
            return
    raise AssertionError("no heel was raised")


def test_a_faster_dance_is_shorter(dance):
    lengths = {seed: vary(dance, seed=seed, speed=0.3).num_frames for seed in range(6)}
    assert min(lengths.values()) < dance.num_frames < max(lengths.values())
    assert vary(dance, seed=0, speed=0.3).frame_rate == dance.frame_rate
