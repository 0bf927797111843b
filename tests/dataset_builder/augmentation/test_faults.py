"""Synthetic faults: each has its stated size, and touches only what it says."""

from dataclasses import fields, replace

import numpy as np
import pytest

from infinitedance.dataset_builder.augmentation.faults import Corruption, corrupt
from infinitedance.dataset_builder.procedural.dance import synthesize_dance
from infinitedance.evaluation.metrics.foot_contact import foot_slide_mm
from infinitedance.motion.motion import Motion
from infinitedance.motion.retargeting.retargeting import put_on_floor
from infinitedance.motion.skeleton import CONTACT_JOINTS, JOINT_INDEX, JOINT_NAMES

NONE = Corruption(**{item.name: 0.0 for item in fields(Corruption)})
FAULTS = {item.name: item.default for item in fields(Corruption)}
LEGS = [joint for joint, name in enumerate(JOINT_NAMES) if name.endswith(("hip", "knee", "ankle", "foot"))]
TURNED = [joint for joint, name in enumerate(JOINT_NAMES) if name.endswith(("hip", "knee", "ankle"))]
ANKLES = [JOINT_INDEX["left_ankle"], JOINT_INDEX["right_ankle"]]


@pytest.fixture(scope="module")
def dance() -> Motion:
    """A rumba on knees bent so far that every leg reaches a few centimetres further."""
    dance = put_on_floor(synthesize_dance("rumba", 96, 10.0, seed=0))
    lower = replace(dance, root_positions=dance.root_positions - np.array([0, 0.12, 0], dtype=np.float32))
    return put_on_floor(lower)


def only(name: str, size: float | None = None) -> Corruption:
    return replace(NONE, **{name: FAULTS[name] if size is None else size})


def change(dance: Motion, corruption: Corruption, seed: int = 0) -> np.ndarray:
    """Return by how much all joints moved, `(frames, 22, 3)`, metres."""
    corrupted = corrupt(dance, corruption, np.random.default_rng(seed))
    return corrupted.joint_positions().astype(float) - dance.joint_positions()


def many(dance: Motion, corruption: Corruption, num_seeds: int = 8) -> np.ndarray:
    return np.concatenate([change(dance, corruption, seed) for seed in range(num_seeds)])


def test_nothing_leaves_all_as_it_is(dance):
    corrupted = corrupt(dance, NONE, np.random.default_rng(0))
    np.testing.assert_allclose(corrupted.joint_positions(), dance.joint_positions(), atol=2e-4)
    np.testing.assert_array_equal(corrupted.root_positions, dance.root_positions)
    assert corrupted.foot_contacts is None and corrupted.skeleton == dance.skeleton


def test_the_same_seed_gives_the_same_faults_and_another_seed_others(dance):
    first, again, other = (corrupt(dance, Corruption(), np.random.default_rng(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.joint_rotations, again.joint_rotations)
    np.testing.assert_array_equal(first.root_positions, again.root_positions)
    assert np.abs(first.root_positions - other.root_positions).max() > 0.01


@pytest.mark.parametrize("name", FAULTS)
def test_trunk_arms_and_the_rotation_of_the_root_stay(dance, name):
    corrupted = corrupt(dance, only(name, min(1.0, 3 * FAULTS[name])), np.random.default_rng(0))
    others = [joint for joint in range(22) if joint not in TURNED]
    same = np.abs((corrupted.joint_rotations * dance.joint_rotations).sum(-1))[:, others]
    np.testing.assert_allclose(same, 1.0, atol=1e-6)
    moved = corrupted.joint_positions() - dance.joint_positions()
    upper = [joint for joint in range(22) if joint not in LEGS]
    np.testing.assert_allclose(moved[:, upper], moved[:, :1].repeat(len(upper), axis=1), atol=1e-5)


@pytest.mark.parametrize(
    ("name", "axes", "carries_feet"),
    [
        ("root_drift", (0, 2), True),
        ("depth_wobble", (0, 2), True),
        ("height_drift", (1,), True),
        ("height_offset", (1,), True),
    ],
)
def test_the_root_wanders_with_its_feet_by_the_stated_size(dance, name, axes, carries_feet):
    moved = many(dance.cut(0, 60), only(name), 32)
    size = FAULTS[name]
    others = [axis for axis in range(3) if axis not in axes]
    assert np.abs(moved[:, 0, others]).max() < 1e-6
    measured = np.sqrt(np.square(moved[:, 0]).sum(-1).mean())
    expected = size * (np.sqrt(2) if name == "root_drift" else 1.0)
    assert measured == pytest.approx(expected, rel=0.3)
    np.testing.assert_allclose(moved[:, ANKLES], moved[:, :1].repeat(2, axis=1), atol=1e-3)


def test_an_offset_is_the_same_in_all_frames_and_a_wobble_keeps_to_one_direction(dance):
    offset = change(dance, only("height_offset"))[:, 0]
    assert np.ptp(offset, axis=0).max() < 1e-6 and abs(offset[0, 1]) > 1e-4
    wobble = change(dance, only("depth_wobble"))[:, 0][:, [0, 2]]
    strengths = np.linalg.svd(wobble, compute_uv=False)
    assert strengths[1] < 1e-4 * strengths[0]


@pytest.mark.parametrize(("name", "axes"), [("slide", (0, 2)), ("foot_height", (1,)), ("foot_jitter", (0, 1, 2))])
def test_feet_leave_their_places_by_the_stated_size(dance, name, axes):
    moved = many(dance, only(name))
    assert np.abs(moved[:, 0]).max() == 0
    others = [axis for axis in range(3) if axis not in axes]
    ankles = moved[:, ANKLES]
    assert np.sqrt(np.square(ankles[..., others]).mean()) < 0.02 * FAULTS[name] if others else True
    measured = ankles[..., list(axes)].std()
    assert measured == pytest.approx(FAULTS[name], rel=0.25)


def test_jitter_is_fast_and_slide_is_not(dance):
    def share_above(name: str, hertz: float) -> float:
        moved = change(dance, only(name))[:, ANKLES[0], 0]
        power = np.square(np.abs(np.fft.rfft(moved)))
        frequencies = np.fft.rfftfreq(len(moved), 1 / 30)
        return float(power[frequencies > hertz].sum() / power.sum())

    assert share_above("foot_jitter", 4.0) > 0.8
    assert share_above("slide", 4.0) < 0.02 and share_above("slide", 0.3) > 0.5


@pytest.mark.parametrize(
    ("name", "parts"),
    [("leg_rotation", ("hip", "knee")), ("foot_rotation", ("ankle",)), ("fast_rotation", ("hip", "knee", "ankle"))],
)
def test_joints_of_the_legs_turn_by_the_stated_angle(dance, name, parts):
    angles: dict[str, list[np.ndarray]] = {part: [] for part in ("hip", "knee", "ankle")}
    for seed in range(8):
        corrupted = corrupt(dance, only(name), np.random.default_rng(seed))
        cosine = np.abs((corrupted.joint_rotations * dance.joint_rotations).sum(-1)).clip(max=1)
        for part in angles:
            joints = [JOINT_INDEX[f"{side}_{part}"] for side in ("left", "right")]
            angles[part].append(np.degrees(2 * np.arccos(cosine[:, joints])))
    for part, values in angles.items():
        measured = np.sqrt(np.square(np.concatenate(values)).mean() / 3)  # of each of three axes
        # Reaching for the ankle's own place costs nothing, float32 quaternions a little.
        assert measured == pytest.approx(FAULTS[name] if part in parts else 0, rel=0.25, abs=0.1)


def test_a_stuck_foot_lags_for_some_frames_after_it_should_leave(dance):
    stuck = corrupt(dance, only("stuck_probability", 1.0), np.random.default_rng(0))
    moved = np.linalg.norm(stuck.joint_positions() - dance.joint_positions(), axis=-1)[:, ANKLES[0]]
    standing = dance.foot_contacts[:, 0] | dance.foot_contacts[:, 2]
    take_offs = np.flatnonzero(standing[:-1] & ~standing[1:])
    assert len(take_offs) > 3 and moved.max() > 0.03
    late = np.zeros(len(moved), bool)
    for frame in take_offs:
        late[frame + 1 : frame + 1 + 13] = True  # stuck for at most 9 frames, catching up for 3
    assert moved[~late].max() < 2e-4
    feet = stuck.joint_positions()[:, ANKLES[0]]
    for frame in take_offs[:-1]:
        np.testing.assert_allclose(feet[frame + 1 : frame + 4], feet[frame : frame + 1].repeat(3, axis=0), atol=5e-3)
    never = corrupt(dance, only("stuck_probability", 0.0), np.random.default_rng(0))
    assert np.abs(never.joint_positions() - dance.joint_positions()).max() < 2e-4


def test_all_faults_together_are_as_large_as_is_said(dance):
    contacts = dance.foot_contacts
    apart, slides = [], []
    for seed in range(6):
        corrupted = corrupt(dance, Corruption(), np.random.default_rng(seed))
        gap = np.linalg.norm(corrupted.joint_positions() - dance.joint_positions(), axis=-1)
        apart.append(1000 * gap.mean())
        slides.append(foot_slide_mm(corrupted.joint_positions()[:, list(CONTACT_JOINTS)], contacts))
    assert 30 < np.mean(apart) < 80
    assert 6 < np.mean(slides) < 16


def test_faults_grow_with_the_factor(dance):
    scaled = Corruption().scaled(2.0)
    assert scaled.slide == 2 * Corruption().slide and scaled.stuck_probability == 2 * Corruption().stuck_probability
    assert Corruption().scaled(20.0).stuck_probability == 1
    moved = [np.abs(change(dance, Corruption().scaled(factor))[:, 0]).mean() for factor in (0.0, 0.5, 1.5)]
    assert moved[0] == 0 and moved[2] == pytest.approx(3 * moved[1], rel=0.01)


@pytest.mark.parametrize("num_frames", [1, 2, 7])
def test_the_shortest_dances_can_be_corrupted(dance, num_frames):
    assert corrupt(dance.cut(0, num_frames), Corruption(), np.random.default_rng(0)).num_frames == num_frames


def test_contacts_are_detected_where_there_are_none(dance):
    without = corrupt(replace(dance, foot_contacts=None), only("stuck_probability", 1.0), np.random.default_rng(0))
    assert np.abs(without.joint_positions() - dance.joint_positions()).max() > 0.03


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"slide": -0.01}, "`slide` must be at least 0"),
        ({"foot_jitter": float("nan")}, "`foot_jitter` must be at least 0, got nan"),
        ({"stuck_probability": 1.5}, "at most 1"),
    ],
)
def test_sizes_that_mean_nothing_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        Corruption(**values)
