"""The guess of a genre."""

import numpy as np
import pytest

from infinitedance.capture.genre_guess import (
    MIN_CONFIDENCE,
    NOT_LABELED,
    GenreModel,
    fit_temperature,
    guess_genre,
)
from infinitedance.dataset_builder import genres
from infinitedance.dataset_builder.procedural.dance import synthesize_dance
from infinitedance.evaluation.metrics.genre_recognition import NUM_STATISTICS, GenreClassifier


@pytest.fixture(scope="module")
def model() -> GenreModel:
    random = np.random.default_rng(0)
    means = {"calm": 0.0, "lively": 3.0}
    dances = {genre: [mean + random.normal(size=(20, NUM_STATISTICS))] for genre, mean in means.items()}
    return GenreModel(GenreClassifier(dances), 10.0)


def test_a_dance_like_the_others_is_told_and_one_between_them_is_unsure(model):
    told = model.guess(np.full((3, NUM_STATISTICS), 3.0))
    assert (told.genre, told.confidence > 0.9) == ("lively", True)
    middle = model.classifier.center[None]
    assert model.guess(middle).confidence == pytest.approx(0.5)


def test_a_guess_that_is_not_sure_is_not_given():
    random = np.random.default_rng(0)
    dances = {f"genre {index}": [index + random.normal(size=(20, NUM_STATISTICS))] for index in range(5)}
    guess = GenreModel(GenreClassifier(dances), 1e9).guess(np.zeros((1, NUM_STATISTICS)))
    assert guess.confidence < MIN_CONFIDENCE
    assert guess.genre == NOT_LABELED


def test_a_short_dance_is_not_labeled():
    guess = guess_genre(synthesize_dance("waltz", 90, 5.0, seed=0))
    assert (guess.genre, guess.confidence) == (NOT_LABELED, 0.0)


def test_a_model_comes_back_as_it_was(model, tmp_path):
    (tmp_path / "config.json").write_text('{"genres": ["calm", "lively"], "temperature": 10.0}')
    model.save_weights(tmp_path)
    statistics = np.random.default_rng(1).normal(size=(2, NUM_STATISTICS))
    np.testing.assert_allclose(
        GenreModel.load(tmp_path).probabilities(statistics), model.probabilities(statistics), atol=1e-5
    )


def test_the_genres_of_the_guess_are_known_to_the_data_sets():
    shipped = GenreModel.load()
    assert all(genres.is_known_genre(genre) for genre in shipped.classifier.genres)
    assert NOT_LABELED == genres.NOT_LABELED


def test_the_temperature_that_fits_is_high_where_guesses_are_wrong():
    right = [({"a": 1.0, "b": 9.0}, "a")] * 9
    wrong = [({"a": 9.0, "b": 1.0}, "a")] * 9
    temperatures = [0.5, 1.0, 4.0, 16.0, 64.0]
    assert fit_temperature(right, temperatures) == 0.5
    assert fit_temperature(right + wrong, temperatures) == 64.0


def test_arrays_of_another_size_are_refused(model):
    with pytest.raises(ValueError, match="classifier of 3 genres"):
        GenreClassifier.from_arrays(["a", "b", "c"], model.classifier.to_arrays())
