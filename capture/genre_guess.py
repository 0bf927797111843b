"""Which genre a captured dance looks like, where nobody said: a guess, and how sure it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from ..assets import GENRE_GUESS
from ..evaluation.metrics.genre_recognition import GenreClassifier, describe_windows
from ..motion.motion import Motion
from ..utils.checkpoints import check_checksums, read_json_object, read_weights, write_checksums

NOT_LABELED = "not labeled"
"""Genre of a dance that is too short to tell, or looks like nothing that is known."""
MIN_CONFIDENCE = 0.3
"""Guesses that are less sure are not given."""
_WEIGHTS, _CONFIG = "model.safetensors", "config.json"


@dataclass(frozen=True)
class GenreGuess:
    """What a dance looks like.

    Args:
        genre: Its name, or `"not labeled"`.
        confidence: 0 to 1: how often such a guess is right, measured on dances of data sets that it was not fitted on;
            0 for a dance of less than 10 s.
    """

    genre: str
    confidence: float


@dataclass(frozen=True, eq=False)
class GenreModel:
    """Classifier with a temperature that makes its probabilities honest.

    Args:
        classifier: By the statistics of 10 s of movement.
        temperature: Of the squared distances to the genres.
    """

    classifier: GenreClassifier
    temperature: float

    @classmethod
    def load(cls, folder: Path = GENRE_GUESS) -> GenreModel:
        """Read what `save` wrote."""
        check_checksums(folder)
        config = read_json_object(folder / _CONFIG)
        arrays = {name: tensor.double().numpy() for name, tensor in read_weights(folder / _WEIGHTS).items()}
        return cls(GenreClassifier.from_arrays(config["genres"], arrays), float(config["temperature"]))

    def save_weights(self, folder: Path) -> None:
        """Write the weights and their checksums to a folder that has the `config.json`."""
        tensors = {name: torch.from_numpy(array.copy()).float() for name, array in self.classifier.to_arrays().items()}
        save_file(tensors, folder / _WEIGHTS)
        write_checksums(folder)

    def probabilities(self, statistics: np.ndarray) -> np.ndarray:
        """Return how likely each genre is for a dance, `(genres,)`.

        Args:
            statistics: Of its windows, `(windows >= 1, 48)`.
        """
        squares = (self.classifier.distances(statistics) ** 2).mean(axis=0)
        shares = np.exp((squares.min() - squares) / (2 * self.temperature))
        return shares / shares.sum()

    def guess(self, statistics: np.ndarray) -> GenreGuess:
        """Guess the genre of a dance from the statistics of its windows, `(windows, 48)`."""
        if len(statistics) == 0:
            return GenreGuess(NOT_LABELED, 0.0)
        shares = self.probabilities(statistics)
        confidence = float(shares.max())
        genre = self.classifier.genres[int(shares.argmax())]
        return GenreGuess(genre if confidence >= MIN_CONFIDENCE else NOT_LABELED, confidence)


def fit_temperature(dances: Sequence[tuple[Mapping[str, float], str]], temperatures: Sequence[float]) -> float:
    """Choose the temperature under which the true genres of held-out dances are likeliest.

    Args:
        dances: For each the mean squared distances from the genres, and the true one, which is among them.
        temperatures: To choose from.
    """

    def loss(temperature: float) -> float:
        logs = []
        for squares, genre in dances:
            values = -np.array(list(squares.values())) / (2 * temperature)
            logs.append(-squares[genre] / (2 * temperature) - np.logaddexp.reduce(values))
        return -float(np.mean(logs))

    return min(temperatures, key=loss)


def guess_genre(motion: Motion) -> GenreGuess:
    """Guess the genre of a dance with the classifier that ships.

    Args:
        motion: The dance, the floor at y = 0.
    """
    return _shipped_model().guess(describe_windows(motion.joint_positions(), motion.frame_rate))


@lru_cache(maxsize=1)
def _shipped_model() -> GenreModel:
    return GenreModel.load()
