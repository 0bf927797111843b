import numpy as np
import pytest

from infinitedance.evaluation.metrics.geometric_features import geometric_features
from infinitedance.motion.skeleton import JOINT_INDEX, MIRROR_ORDER, NUM_JOINTS

FRAME_RATE = 30.0
MODES = ("compat", "compat_world", "corrected")
HUMERUS = 0.28  # of the standing figure, metres
GOLDEN_CLIPS = ("synthetic", "random_walk", "static_then_move")
# Numbers of the relations, from 1 as printed; the first is of the right side.
HAND_FORWARDS, HAND_ABOVE_NECK, HAND_UPWARDS, ELBOW_BENT = (1, 2), (3, 4), (5, 6), (7, 8)
HANDS_APART, HANDS_APPROACH, HAND_LEAVES_ROOT, HAND_FAST = 9, 10, (11, 12), (13, 14)
FOOT_BEHIND, FOOT_RAISED, FEET_APART, KNEE_BENT, FOOT_FAST = (15, 16), (17, 18), 19, (20, 21), (22, 23)
ARM_ABDUCTED, LEG_ABDUCTED, ROOT_BEHIND, SPINE_HORIZONTAL = (24, 25), (26, 27), 28, 29
HAND_LOW, ROOT_FAST = (30, 31), 32
SIDES = (
    *(HAND_FORWARDS, HAND_ABOVE_NECK, HAND_UPWARDS, ELBOW_BENT, HAND_LEAVES_ROOT, HAND_FAST, FOOT_BEHIND),
    *(FOOT_RAISED, KNEE_BENT, FOOT_FAST, ARM_ABDUCTED, LEG_ABDUCTED, HAND_LOW),
)
HEIGHTS = {
    **{"pelvis": 0.95, "hip": 0.88, "spine1": 1.05, "knee": 0.48, "spine2": 1.15, "ankle": 0.08, "spine3": 1.25},
    **{"foot": 0.02, "neck": 1.45, "collar": 1.40, "head": 1.55, "shoulder": 1.40, "elbow": 1.12, "wrist": 0.87},
}
WIDTHS = {"hip": 0.09, "knee": 0.09, "ankle": 0.09, "foot": 0.09, "collar": 0.08, "shoulder": 0.18, "elbow": 0.18}
WIDTHS["wrist"] = 0.18


def standing(num_frames: int = 31) -> np.ndarray:
    """A still figure of 1.6 m that looks along z, the left along x, its arms hanging."""
    figure = np.zeros((NUM_JOINTS, 3))
    for name, index in JOINT_INDEX.items():
        part = name.removeprefix("left_").removeprefix("right_")
        figure[index, 0] = WIDTHS.get(part, 0.0) * (1 if name.startswith("left_") else -1)
        figure[index, 1] = HEIGHTS[part]
        figure[index, 2] = 0.08 if part == "foot" else 0.0
    return np.tile(figure, (num_frames, 1, 1))


def moving(joint: str, metres_per_second: tuple[float, float, float], start=(0.0, 0.0, 0.0)) -> np.ndarray:
    """A standing figure of which one joint moves on from where it is, plus `start`."""
    positions = standing()
    seconds = np.arange(len(positions))[:, None] / FRAME_RATE
    positions[:, JOINT_INDEX[joint]] += np.array(start) + seconds * metres_per_second
    return positions


def posing(**places: tuple[float, float, float]) -> np.ndarray:
    """A still standing figure with some joints elsewhere."""
    positions = standing()
    for joint, place in places.items():
        positions[:, JOINT_INDEX[joint]] = place
    return positions


def true_relations(positions: np.ndarray, mode: str = "corrected") -> set[int]:
    """Return the numbers of the relations that hold, from 1; each holds in all frames or in none."""
    features = geometric_features(positions, FRAME_RATE, mode=mode)
    assert np.isin(features, (0, 1)).all()
    return set((np.flatnonzero(features) + 1).tolist())


def dancing(frame_rate: float = FRAME_RATE, seconds: float = 20.0) -> np.ndarray:
    """A figure that turns and travels while all its joints sway about, up to 1.5 Hz."""
    random = np.random.default_rng(5)
    times = np.arange(round(seconds * frame_rate))[:, None, None] / frame_rate
    hertz, start = random.uniform(0.2, 1.5, (NUM_JOINTS, 3)), random.uniform(0, 6, (NUM_JOINTS, 3))
    sway = random.uniform(0, 0.4, (NUM_JOINTS, 3)) * np.sin(2 * np.pi * hertz * times + start)
    return turned(standing(len(times)) + sway, np.sin(times[:, 0, 0])) + [2.0, 0.0, 1.0] * np.sin(0.5 * times)


def turned(positions: np.ndarray, angle: float | np.ndarray) -> np.ndarray:
    """Turn about the vertical axis, by one angle or by one for each frame."""
    cos, sin = np.cos(angle)[..., None], np.sin(angle)[..., None]
    x, y, z = np.moveaxis(positions, -1, 0)
    return np.stack([cos * x + sin * z, y, cos * z - sin * x], axis=-1)


@pytest.mark.shared_data
@pytest.mark.parametrize("clip", GOLDEN_CLIPS)
@pytest.mark.parametrize(("mode", "suffix"), [("compat", ""), ("compat_world", "_on_world_joints")])
def test_compat_equals_the_published_values(golden, clip, mode, suffix):
    features = geometric_features(golden[f"{clip}_joints"], FRAME_RATE, mode=mode)
    np.testing.assert_allclose(features, golden[f"{clip}_manual{suffix}"], rtol=1e-6)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("num_frames", [3, 200])
def test_the_vectorized_features_equal_the_loop_on_a_dance(loops, mode, num_frames):
    clip = dancing()[:num_frames]
    features = geometric_features(clip, FRAME_RATE, mode=mode)
    np.testing.assert_allclose(features, loops["geometric_by_loop"](clip, mode), atol=1e-12)


@pytest.mark.parametrize("mode", MODES)
def test_the_vectorized_features_equal_the_loop_where_each_relation_holds_at_times(loops, mode):
    random = np.random.default_rng(0)
    poses = random.normal(size=(60, NUM_JOINTS, 3)) * 10 ** random.uniform(-2, 0.3, (60, 1, 1))
    poses[:, [index for name, index in JOINT_INDEX.items() if name.endswith(("hip", "shoulder"))]] *= 0.3
    clip = np.repeat(poses, 4, axis=0)
    features = geometric_features(clip, FRAME_RATE, mode=mode)
    assert ((features > 0) & (features < 1)).all()
    np.testing.assert_allclose(features, loops["geometric_by_loop"](clip, mode), atol=1e-12)


def test_a_planted_figure_that_stands_still_shows_no_relation_and_one_that_crouches_has_its_hands_low():
    assert true_relations(standing()) == set()
    crouching = standing()
    lowered = [index for name, index in JOINT_INDEX.items() if not name.endswith(("knee", "ankle", "foot"))]
    crouching[:, lowered, 1] -= 0.6
    crouching[:, [JOINT_INDEX["left_knee"], JOINT_INDEX["right_knee"]], 2] = 0.3
    assert true_relations(crouching) == {*HAND_LOW, *KNEE_BENT, *LEG_ABDUCTED}


@pytest.mark.parametrize(
    ("positions", "expected"),
    [
        (posing(right_wrist=(-0.3, 1.7, 0.1), right_elbow=(-0.4, 1.4, 0)), {3, 24, 7}),
        (posing(left_wrist=(0.42, 1.13, 0.1)), {8}),
        (posing(left_wrist=(0.7, 1.4, 0), left_elbow=(0.45, 1.4, 0)), {25}),
        (
            posing(
                **{"left_wrist": (0.7, 1.4, 0), "left_elbow": (0.45, 1.4, 0)},
                **{"right_wrist": (-0.7, 1.4, 0), "right_elbow": (-0.45, 1.4, 0)},
            ),
            {24, 25, HANDS_APART},
        ),
        (posing(right_ankle=(-0.09, 0.2, -0.4), right_foot=(-0.09, 0.1, -0.4)), {FOOT_BEHIND[0]}),
        (posing(left_ankle=(0.09, 0.2, -0.4), left_foot=(0.09, 0.1, -0.4)), {FOOT_BEHIND[1]}),
        (
            posing(right_knee=(-0.09, 0.88, 0.4), right_ankle=(-0.09, 0.46, 0.4), right_foot=(-0.09, 0.4, 0.48)),
            {FOOT_RAISED[0], KNEE_BENT[0], LEG_ABDUCTED[0], FOOT_BEHIND[1]},
        ),
        (posing(left_ankle=(0.3, 0.08, 0.0)), {FEET_APART}),
        (posing(left_knee=(0.49, 0.88, 0.0), left_ankle=(0.89, 0.88, 0.0)), {LEG_ABDUCTED[1], 18, FEET_APART}),
    ],
)
def test_a_pose_has_the_relations_it_shows(positions, expected):
    assert true_relations(positions) == expected


@pytest.mark.parametrize(("lean", "is_behind"), [(1, True), (-1, False)])
def test_who_bows_has_a_horizontal_spine_and_the_root_behind_and_who_bends_back_only_the_spine(lean, is_behind):
    bow = standing()
    upper = [index for name, index in JOINT_INDEX.items() if not name.endswith(("hip", "knee", "ankle", "foot"))]
    bow[:, upper, 2] += lean * (bow[:, upper, 1] - 0.95)
    bow[:, upper, 1] = 0.95
    relations = true_relations(bow)
    assert SPINE_HORIZONTAL in relations
    assert (ROOT_BEHIND in relations) == is_behind
    # The printed relation looks to the other side.
    assert (ROOT_BEHIND in true_relations(bow, "compat_world")) == (not is_behind)


@pytest.mark.parametrize(
    ("relation", "joint", "direction", "start", "threshold"),
    [
        (HAND_FORWARDS[0], "right_wrist", (0, 0, 1), (0, 0, 0), 1.8),
        (HAND_FORWARDS[1], "left_wrist", (0, 0, 1), (0, 0, 0), 1.8),
        (HAND_UPWARDS[0], "right_wrist", (0, 1, 0), (0, 0, 0), 1.8),
        (HAND_UPWARDS[1], "left_wrist", (0, 1, 0), (0, 0, 0), 1.8),
        (HANDS_APPROACH, "left_wrist", (-1, 0, 0), (2, 0, 0), 1.4),
        (HANDS_APPROACH, "right_wrist", (1, 0, 0), (-2, 0, 0), 1.4),
        (HAND_LEAVES_ROOT[0], "right_wrist", (-1, 0, 0), (0, 0.08, 0), 1.4),
        (HAND_LEAVES_ROOT[1], "left_wrist", (1, 0, 0), (0, 0.08, 0), 1.4),
        (HAND_FAST[0], "right_wrist", (0, 0.6, -0.8), (0, 0, 0), 2.5),
        (HAND_FAST[1], "left_wrist", (0, 0.6, -0.8), (0, 0, 0), 2.5),
        (FOOT_FAST[0], "right_ankle", (0, 0.6, -0.8), (0, 0, 0), 2.5),
        (FOOT_FAST[1], "left_ankle", (0, 0.6, -0.8), (0, 0, 0), 2.5),
        (ROOT_FAST, "pelvis", (0.6, 0, 0.8), (0, 0, 0), 2.3),
    ],
)
def test_a_movement_holds_above_its_speed_in_its_own_direction_and_not_below(
    relation, joint, direction, start, threshold
):
    def share(speed: float, step: int = 1) -> float:
        positions = moving(joint, tuple(speed * HUMERUS * part for part in direction), start)
        return geometric_features(positions[::step], FRAME_RATE, mode="corrected")[relation - 1]

    is_speed = relation in (*HAND_FAST, *FOOT_FAST, ROOT_FAST)
    assert share(1.01 * threshold) == 1
    assert share(0.99 * threshold) == 0
    assert share(1.01 * threshold, step=-1) == is_speed  # played backwards


def test_the_published_hands_never_rise_and_the_two_features_of_them_are_one():
    rising = moving("right_wrist", (0.0, 3.0, 0.0))
    published, corrected = (geometric_features(rising, FRAME_RATE, mode=mode) for mode in ("compat", "corrected"))
    assert published[4] == published[5] == 0
    assert corrected[4] == 1 and corrected[5] == 0
    random = geometric_features(dancing(), FRAME_RATE)
    assert random[4] == random[5]


@pytest.mark.parametrize(("mode", "is_symmetric"), [("compat_world", False), ("corrected", True)])
def test_only_the_corrected_features_of_a_mirrored_dance_are_those_of_the_other_side(mode, is_symmetric):
    dance = dancing()
    mirrored = dance[:, MIRROR_ORDER] * [-1, 1, 1]
    order = np.arange(32)
    for right, left in SIDES:
        order[[right - 1, left - 1]] = left - 1, right - 1
    expected = geometric_features(dance, FRAME_RATE, mode=mode)[order]
    assert np.allclose(geometric_features(mirrored, FRAME_RATE, mode=mode), expected) == is_symmetric


@pytest.mark.parametrize(("mode", "is_invariant"), [("compat_world", False), ("corrected", True)])
def test_only_the_corrected_features_do_not_depend_on_the_size_of_the_body(mode, is_invariant):
    dance = dancing()
    features, of_child = (geometric_features(clip, FRAME_RATE, mode=mode) for clip in (dance, 0.6 * dance))
    assert np.allclose(features, of_child) == is_invariant


def test_the_corrected_features_are_the_same_everywhere_on_the_stage_and_the_published_ones_are_not():
    dance = dancing()
    elsewhere = turned(dance, np.array(0.7)) + [3.0, 0.5, -2.0]
    features, there = (geometric_features(clip, FRAME_RATE, mode="corrected") for clip in (dance, elsewhere))
    np.testing.assert_allclose(features, there)
    travelling = standing() + np.arange(31)[:, None, None] * [0.1, 0.0, 0.0]
    published = geometric_features(travelling, FRAME_RATE), geometric_features(standing(), FRAME_RATE)
    # The root walks away from its own hips.
    assert not np.array_equal(published[0][: ROOT_FAST - 1], published[1][: ROOT_FAST - 1])


@pytest.mark.parametrize(("mode", "is_invariant"), [("compat_world", False), ("corrected", True)])
@pytest.mark.parametrize("frame_rate", [60.0, 120.0])
def test_only_the_corrected_features_are_the_same_at_each_frame_rate(mode, is_invariant, frame_rate):
    slow, fast = (geometric_features(dancing(rate), rate, mode=mode) for rate in (FRAME_RATE, frame_rate))
    assert (np.abs(slow - fast).max() < 0.01) == is_invariant


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("mode", MODES)
def test_joints_that_coincide_divide_by_nothing(mode):
    features = geometric_features(np.zeros((10, NUM_JOINTS, 3)), FRAME_RATE, mode=mode)
    assert set((np.flatnonzero(features) + 1).tolist()) <= set(HAND_LOW)


@pytest.mark.parametrize(("mode", "is_cut"), [("compat", True), ("compat_world", True), ("corrected", False)])
def test_the_published_features_end_after_1024_frames(mode, is_cut):
    longer = dancing(seconds=40)
    features, of_longer = (geometric_features(clip, FRAME_RATE, mode=mode) for clip in (longer[:1024], longer))
    assert np.array_equal(features, of_longer) == is_cut


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"joint_positions": np.zeros((30, 24, 3))}, r"frames >= 3, 22, 3\), got \(30, 24, 3\)"),
        ({"joint_positions": np.zeros((2, 22, 3))}, "frames >= 3"),
        ({"joint_positions": np.full((30, 22, 3), np.inf)}, "must be finite"),
        ({"frame_rate": -30.0}, "`frame_rate` must be positive"),
        ({"mode": "right"}, "`mode` must be one of"),
    ],
)
def test_wrong_inputs_are_refused(arguments, message):
    arguments = {"joint_positions": np.zeros((30, 22, 3)), "frame_rate": FRAME_RATE} | arguments
    with pytest.raises(ValueError, match=message):
        geometric_features(**arguments)
