import csv

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from infinitedance.dataset_builder.procedural.dance import synthesize_dance
from infinitedance.evaluation.metrics.genre_recognition import (
    NUM_STATISTICS,
    GenreClassifier,
    describe_windows,
    leave_one_out,
    recognize,
)
from infinitedance.evaluation.metrics.sides import mirror_positions
from infinitedance.motion.skeleton import neutral_skeleton

FRAME_RATE = 30.0
GENRES = {"waltz": (84, 90, 96), "rumba": (90, 96, 102), "hip-hop": (88, 94, 100)}


@pytest.fixture(scope="module")
def statistics():
    """Three procedural dances of 20 s for each of three genres."""
    return {
        genre: [
            describe_windows(synthesize_dance(genre, bpm, 20.0, seed=seed).joint_positions(), FRAME_RATE)
            for seed, bpm in enumerate(tempos)
        ]
        for genre, tempos in GENRES.items()
    }


def test_statistics_do_not_change_with_side_place_and_heading_and_count_whole_windows(make_moving):
    positions = make_moving(640).joint_positions()
    described = describe_windows(positions, FRAME_RATE)
    assert described.shape == (2, NUM_STATISTICS) and np.isfinite(described).all()
    turn = Rotation.from_euler("y", 70, degrees=True).as_matrix()
    for same in (mirror_positions(positions), positions @ turn.T + [4, 0, -2]):
        np.testing.assert_allclose(describe_windows(same, FRAME_RATE), described, atol=1e-4)
    assert describe_windows(positions[:299], FRAME_RATE).shape == (0, NUM_STATISTICS)


def test_a_still_dancer_has_finite_statistics_without_speed():
    standing = np.tile(neutral_skeleton().offsets + [0, 1, 0], (300, 1, 1))
    described = describe_windows(standing, FRAME_RATE)
    assert np.isfinite(described).all() and (described[0, :22] == 0).all()


def test_genres_are_told_apart_whichever_has_more_dances(statistics):
    found = leave_one_out({**statistics, "waltz": statistics["waltz"][:2]})
    assert found.dance_shares == {genre: 1.0 for genre in GENRES}
    assert found.windows.sum() == 16 and np.trace(found.dances) == 8


def test_what_is_told_stands_in_the_confusion_matrix_beside_what_was_asked(statistics):
    classifier = GenreClassifier(statistics)
    asked = [("waltz", rows) for rows in statistics["rumba"]] + [("rumba", statistics["rumba"][0])]
    found = recognize(classifier, [*asked, ("waltz", np.empty((0, NUM_STATISTICS)))])
    assert found.genres == list(GENRES)
    np.testing.assert_array_equal(found.dances, [[0, 3, 0], [0, 1, 0], [0, 0, 0]])
    np.testing.assert_array_equal(found.windows, 2 * found.dances)
    assert found.window_shares == {"waltz": 0.0, "rumba": 1.0} == found.dance_shares


def test_statistics_are_standardized_within_genres():
    random = np.random.default_rng(0)
    dances = {name: [random.normal(size=(500, 3)) * [1, 10, 0.1] + 9 * place] for place, name in enumerate("abc")}
    classifier = GenreClassifier(dances)
    standardized = classifier.standardize(dances["b"][0])
    np.testing.assert_allclose(np.cov(standardized.T), np.eye(3), atol=0.15)
    np.testing.assert_allclose(standardized.mean(axis=0), classifier.centroids[1], atol=1e-6)


def test_a_difference_that_contradicts_a_correlation_tells_genres_apart():
    random = np.random.default_rng(0)
    first = random.normal(size=(400, 1)) + 0.1 * random.normal(size=(400, 2))  # two statistics, nearly equal
    second = first[::-1] + [0.8, 0.0]
    classifier = GenreClassifier({"first": [first], "second": [second]})
    assert np.mean([told == "first" for told in classifier.tell_windows(first)]) > 0.95
    assert (first[:, 0] < np.mean([first[:, 0].mean(), second[:, 0].mean()])).mean() < 0.75  # by means alone


@pytest.mark.parametrize("dances", [{"waltz": [np.ones((2, 3))]}, {"waltz": [np.ones((2, 3))], "rumba": []}])
def test_genres_without_a_window_are_refused(dances):
    with pytest.raises(ValueError, match="two genres or more, each with a window of 10 s"):
        GenreClassifier(dances)


def test_an_unknown_genre_and_a_dance_without_a_window_are_refused(statistics):
    classifier = GenreClassifier(statistics)
    with pytest.raises(ValueError, match="one of the genres .*, got 'jive'"):
        recognize(classifier, [("jive", statistics["waltz"][0])])
    with pytest.raises(ValueError, match="at least one window"):
        classifier.tell_dance(np.empty((0, NUM_STATISTICS)))


@pytest.mark.shared_data
def test_real_dances_are_told_as_their_genres(shared_data_dir):
    dances: dict[str, list[np.ndarray]] = {}
    with open(shared_data_dir / "metadata.csv", newline="") as file:
        for row in csv.DictReader(file):
            if row["clip"].startswith(("dance_w_", "choreonet_")) or row["genre"] == "salsa":
                with np.load(shared_data_dir / row["file"]) as motion:
                    described = describe_windows(motion["joints22"], float(motion["fps"]))
                dances.setdefault(row["genre"], []).append(described)
    found = leave_one_out(dances)
    assert set(found.dance_shares) == {"waltz", "cha-cha", "rumba", "tango", "salsa"}
    assert min(found.dance_shares.values()) > 0.9 and min(found.window_shares.values()) > 0.85
