from dataclasses import replace

import numpy as np
import pytest

from infinitedance.dataset_builder.procedural.dance import synthesize_dance
from infinitedance.evaluation.metrics.foot_contact import floor_penetration_mm, foot_slide_mm
from infinitedance.motion.feet.planting import plant_feet
from infinitedance.motion.motion import Motion
from infinitedance.motion.retargeting.retargeting import put_on_floor
from infinitedance.motion.skeleton import CONTACT_JOINTS, JOINT_INDEX

LEGS = [JOINT_INDEX[f"{side}_{joint}"] for side in ("left", "right") for joint in ("hip", "knee", "ankle", "foot")]


@pytest.fixture(scope="module")
def wobbling_dance() -> Motion:
    """A dance with true contacts whose root wobbles, so that planted feet slide and dip into the floor."""
    dance = synthesize_dance("rumba", 96, 8.0, seed=0)
    seconds = np.arange(dance.num_frames) / dance.frame_rate
    wobble = np.stack([0.010 * np.sin(9 * seconds), 0.015 * np.sin(5 * seconds), 0.012 * np.cos(8 * seconds)], -1)
    wobbling = put_on_floor(replace(dance, root_positions=dance.root_positions + wobble))
    return replace(wobbling, root_positions=wobbling.root_positions - np.array([0, 0.01, 0], dtype=np.float32))


def slide(motion: Motion, contacts: np.ndarray) -> float:
    return foot_slide_mm(motion.joint_positions()[:, list(CONTACT_JOINTS)], contacts)


def penetration(motion: Motion) -> float:
    feet = motion.joint_positions()[:, list(CONTACT_JOINTS)]
    return floor_penetration_mm(feet, motion.skeleton.contact_rest_heights)


def test_feet_in_contact_stand_and_nothing_is_below_the_floor(wobbling_dance):
    planted = plant_feet(wobbling_dance)
    contacts = wobbling_dance.foot_contacts
    assert slide(planted, contacts) < 0.4 * slide(wobbling_dance, contacts)
    assert penetration(wobbling_dance) > 0.2 and penetration(planted) < 0.01


def test_only_hips_and_knees_and_what_compensates_them_change(wobbling_dance):
    planted = plant_feet(wobbling_dance)
    np.testing.assert_array_equal(planted.root_positions, wobbling_dance.root_positions)
    before, after = wobbling_dance.joint_positions(), planted.joint_positions()
    others = [joint for joint in range(22) if joint not in LEGS]
    np.testing.assert_allclose(after[:, others], before[:, others], atol=1e-5)
    for side in ("left", "right"):
        ankle, toe = JOINT_INDEX[f"{side}_ankle"], JOINT_INDEX[f"{side}_foot"]
        # The foot keeps its direction.
        np.testing.assert_allclose(after[:, toe] - after[:, ankle], before[:, toe] - before[:, ankle], atol=1e-4)


def test_the_change_is_smooth(wobbling_dance):
    before, after = wobbling_dance.joint_positions(), plant_feet(wobbling_dance).joint_positions()
    jumps = np.linalg.norm(np.diff(after - before, 2, axis=0)[:, LEGS], axis=-1)
    assert 1000 * jumps.max() < 4


def test_a_dance_that_touches_nothing_stays_as_it_is():
    dance = put_on_floor(synthesize_dance("waltz", 90, 2.0, seed=0))
    flying = replace(
        dance,
        root_positions=dance.root_positions + np.array([0, 0.5, 0], dtype=np.float32),
        foot_contacts=np.zeros_like(dance.foot_contacts),
    )
    np.testing.assert_allclose(plant_feet(flying).joint_positions(), flying.joint_positions(), atol=1e-4)


@pytest.mark.parametrize("num_frames", [1, 2, 3])
def test_the_shortest_dances_are_planted_too(wobbling_dance, num_frames):
    assert plant_feet(wobbling_dance.cut(0, num_frames)).num_frames == num_frames


def test_contacts_are_needed(wobbling_dance):
    with pytest.raises(ValueError, match="must have `foot_contacts`"):
        plant_feet(replace(wobbling_dance, foot_contacts=None))
