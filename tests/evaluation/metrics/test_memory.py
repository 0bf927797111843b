import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from infinitedance.evaluation.metrics.memory import (
    CodeLibrary,
    code_ngrams,
    copied_ngram_share,
    distinct_ngram_share,
    hip_aligned_poses,
    known_ngrams,
    nearest_windows,
)

FRAME_RATE = 30.0


def dance(seed: int, num_frames: int = 300) -> np.ndarray:
    """Five joints of a walking, turning body: left and right hip, and three that wander; no symmetry."""
    random = np.random.default_rng(seed)
    times = np.arange(num_frames)[:, None, None] / FRAME_RATE
    rates, phases = random.uniform(1, 6, (1, 5, 3)), random.uniform(0, 6, (1, 5, 3))
    body = random.normal(0, 0.4, (1, 5, 3)) + 0.3 * np.sin(rates * times + phases)
    body[:, :2] = [[0.1, 0, 0], [-0.1, 0, 0]]
    turn = Rotation.from_euler("y", 2 * np.sin(times[:, 0])).as_matrix()
    return body @ np.swapaxes(turn, 1, 2) + times * [0.5, 0, 0.3] + [0, 0.9, 0]


def poses(seed: int, num_frames: int = 300) -> np.ndarray:
    return hip_aligned_poses(dance(seed, num_frames), 0, 1)


def test_poses_do_not_depend_on_place_and_heading_but_on_side():
    turned = dance(0) @ Rotation.from_euler("y", 130, degrees=True).as_matrix().T + [3, 0.2, -1]
    aligned = hip_aligned_poses(turned, 0, 1)
    np.testing.assert_allclose(aligned, poses(0), atol=1e-9)
    np.testing.assert_allclose(aligned[:, 0], np.tile([0.1, 0, 0], (300, 1)), atol=1e-9)
    mirrored = hip_aligned_poses(dance(0)[:, [1, 0, 2, 3, 4]] * [-1, 1, 1], 0, 1)
    assert np.abs(mirrored - aligned).mean() > 0.1


def test_a_copied_piece_is_found_with_its_offset_and_a_mirrored_one_is_not():
    library = {name: poses(seed, 400) for seed, name in enumerate(["first", "second", "third"])}
    copied = poses(9)
    copied[120:240] = library["second"][217:337]
    found = nearest_windows(copied, library, FRAME_RATE)
    np.testing.assert_array_equal(found.starts, np.arange(0, 241, 15))
    inside = (found.starts >= 120) & (found.starts <= 180)
    assert [found.clip_ids[index] for index in np.flatnonzero(inside)] == ["second"] * 5
    np.testing.assert_array_equal(found.clip_starts[inside], found.starts[inside] + 97)
    np.testing.assert_array_equal(found.distances_mm[inside], 0)
    assert found.distances_mm[found.starts < 60].min() > 100
    mirrored = copied * [-1, 1, 1]
    assert nearest_windows(mirrored, library, FRAME_RATE).distances_mm.min() > 100


def test_the_distance_of_a_noisy_copy_is_its_mean_distance():
    library = {"one": poses(0)}
    found = nearest_windows(library["one"] + [0.003, 0, 0.004], library, FRAME_RATE)
    np.testing.assert_array_equal(found.clip_starts, found.starts)
    np.testing.assert_allclose(found.distances_mm, 5)


def test_the_nearest_piece_is_the_one_of_a_plain_search():
    ours, theirs = poses(1, 90), poses(2, 200)
    found = nearest_windows(ours, {"short": theirs[:10], "long": theirs}, FRAME_RATE, window_seconds=1, hop_seconds=1)
    for index, start in enumerate((0, 30, 60)):
        squared = [((ours[start : start + 30] - theirs[place : place + 30]) ** 2).mean() for place in range(171)]
        assert found.clip_starts[index] == np.argmin(squared)
        piece = theirs[found.clip_starts[index] :][:30]
        expected = np.linalg.norm(ours[start : start + 30] - piece, axis=-1).mean()
        assert found.distances_mm[index] == pytest.approx(1000 * expected)


@pytest.fixture
def training() -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    return {name: random.integers(512, size=(3, 200)) for name in ("first", "second")}


def test_the_longest_shared_run_is_found_with_its_place(training):
    codes = np.random.default_rng(1).integers(512, 600, size=(3, 100))
    codes[:, 20:50] = training["second"][:, 70:100]
    codes[:, 80:85] = training["first"][:, 10:15]
    runs = CodeLibrary(training).shared_runs(codes)
    assert runs.longest == 30
    expected = np.zeros(100, int)
    expected[20:50], expected[80:85] = 30, 5
    np.testing.assert_array_equal(runs.run_lengths, expected)
    assert [runs.copied_share(tokens) for tokens in (1, 5, 6, 30, 31)] == [0.35, 0.35, 0.30, 0.30, 0.0]


def test_a_change_of_detail_hides_a_copy_from_all_levels_and_not_from_the_first(training):
    codes = training["first"][:, 50:90].copy()
    codes[2, ::8] += 1000
    assert CodeLibrary(training).shared_runs(codes).longest == 7
    assert CodeLibrary(training, num_levels=1).shared_runs(codes).longest == 40


def test_no_run_crosses_from_one_training_dance_to_the_next(training):
    joined = np.concatenate([training["first"][:, -10:], training["second"][:, :12]], axis=1)
    runs = CodeLibrary(training).shared_runs(joined)
    assert runs.longest == 12
    np.testing.assert_array_equal(runs.run_lengths, [10] * 10 + [12] * 12)


def test_shared_runs_equal_a_plain_search():
    random = np.random.default_rng(3)
    library = {str(index): random.integers(3, size=(2, 60)) for index in range(3)}
    codes = random.integers(3, size=(2, 50))
    expected = np.zeros(50, int)
    for length in range(1, 20):
        known = known_ngrams(library.values(), length)
        for start, run in enumerate(code_ngrams(codes, length)):
            if run.tobytes() in known:
                expected[start : start + length] = length
    runs = CodeLibrary(library).shared_runs(codes)
    np.testing.assert_array_equal(runs.run_lengths, expected)


def test_a_dance_of_unknown_codes_shares_nothing(training):
    runs = CodeLibrary(training).shared_runs(np.full((3, 10), 600))
    assert (runs.longest, runs.copied_share(1)) == (0, 0.0)


def test_a_loop_has_few_distinct_runs_and_a_count_none_twice():
    loop = np.tile(np.arange(5), 21)[None, :103]
    assert distinct_ngram_share(loop, 4) == 5 / 100
    assert distinct_ngram_share(np.arange(50)[None], 4) == 1
    assert distinct_ngram_share(np.zeros((3, 23), int), 4) == 1 / 20


def test_runs_hold_all_levels():
    codes = np.array([[1, 2, 3], [4, 5, 6]])
    assert code_ngrams(codes, 2).tolist() == [[1, 2, 4, 5], [2, 3, 5, 6]]


@pytest.mark.parametrize("length", [8, 16])
def test_an_exact_repeat_is_copied_and_a_change_at_one_level_is_not(length):
    random = np.random.default_rng(0)
    training = [random.integers(512, size=(3, 200)) for _ in range(2)]
    known = known_ngrams(training, length)
    assert copied_ngram_share(training[1][:, 50:100], known, length) == 1
    changed = training[1][:, 50:100].copy()
    changed[2, ::8] += 1
    assert copied_ngram_share(changed, known, length) == 0
    half = np.concatenate([training[0][:, :50], random.integers(512, size=(3, 50))], axis=1)
    assert copied_ngram_share(half, known, length) == (51 - length) / (101 - length)


SHORT = np.zeros((30, 5, 3))
CODES = np.zeros((2, 9), int)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: hip_aligned_poses(np.zeros((5, 6)), 0, 1), r"frames >= 1, joints, 3\), got \(5, 6\)"),
        (lambda: nearest_windows(SHORT, {"one": poses(0)}, 30.0), "one window of 60 >= 1 frames, got 30"),
        (lambda: nearest_windows(poses(0), {"one": SHORT}, 30.0), "a clip of at least 60 frames, got 1 shorter"),
        (lambda: nearest_windows(poses(0), {}, 30.0), "a clip of at least 60 frames, got 0"),
        (lambda: nearest_windows(poses(0), {"one": poses(0)[:, :4]}, 30.0), r"`library\['one'\]` .* 5, 3\)"),
        (lambda: nearest_windows(poses(0), {"one": poses(0)}, 0.0), "`frame_rate` must be positive"),
        (lambda: CodeLibrary({}), "at least one training dance"),
        (lambda: CodeLibrary({"one": CODES, "two": CODES[:1]}), r"`codes\['two'\]` must have shape \(levels >= 2"),
        (lambda: CodeLibrary({"one": CODES}, num_levels=0), "levels >= 0 >= 1"),
        (lambda: CodeLibrary({"one": CODES - 1}), "integers from 0, got int64 from -1"),
        (lambda: CodeLibrary({"one": CODES}).shared_runs(CODES[:1]), r"got \(1, 9\)"),
        (lambda: CodeLibrary({"one": CODES}).shared_runs(CODES * 1.0), "integers from 0, got float64"),
        (lambda: CodeLibrary({"one": CODES}).shared_runs(CODES).copied_share(0), "at least 1, got 0"),
        (lambda: code_ngrams(np.zeros(5, int), 2), r"shape \(levels, tokens\), got \(5,\)"),
        (lambda: distinct_ngram_share(np.zeros((1, 3), int), 4), "at least 4 tokens, got 3"),
        (lambda: copied_ngram_share(np.zeros((3, 7), int), set(), 8), "at least 8 tokens, got 7"),
    ],
)
def test_wrong_inputs_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
