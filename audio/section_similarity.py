"""How alike any two bars of a song are: as pieces of a repeat, and as parts of one section."""

from __future__ import annotations

import numpy as np

from .step_features import StepFeatures

PITCH_GAIN = 30.0
LOW_PITCHES = 30  # up to F4, where accompaniment is: another vocal line does not change it
TIMBRE_DB, SECTION_TIMBRE_DB, SECTION_HITS_DB, SECTION_LEVEL_DB, SECTION_HARMONY = 4.0, 4.0, 1.5, 4.0, 1.5
WEIGHTS = (0.3, 0.3, 0.2, 0.2)  # harmony, low harmony, hits, timbre
USUAL_SPREAD, LEAST_WEIGHT = 0.3, 0.1
UNLIKE, ALIKE = 0.36, 0.75
NUM_MFCC = 14
HARMONY_UNITS = 4
LEAST_HARMONY, LEAST_CHORDS, LEAST_HITS_DB = 0.12, 0.06, 1.5  # noise has less; what noise has is not compared
MOST_ROWS = 600  # rows of a matrix that percentiles are taken of


def unit_features(features: StepFeatures, phase: int) -> dict[str, np.ndarray]:
    """Return features of units, the bars in which repeats are looked for.

    Args:
        features: Of the song.
        phase: Step with which the first unit begins.

    Returns:
        `harmony` and `low_harmony` `(units, steps * 12)` and `hits` `(units, steps * 12)`, unit vectors without their
        mean; `mel` `(units, 40)`, dB without their mean; `mfcc` `(units, 13)`, dB; `level` `(units,)`, dB;
        `mean_hits` `(units, 12)`, dB; `chords` `(units, 12)`, unit vectors over four units.
    """
    import librosa
    from scipy.ndimage import uniform_filter1d

    length = features.steps_per_unit
    num_units = (len(features) - phase) // length
    steps = slice(phase, phase + num_units * length)
    pitches = np.log1p(PITCH_GAIN * features.pitches[steps])
    mel_db, hits = features.mel_db[steps], features.hits[steps]
    octaves = pitches.reshape(len(pitches), -1, 12)
    chroma = octaves.sum(axis=1)
    low_chroma = np.stack([pitches[:, tone:LOW_PITCHES:12].mean(axis=1) for tone in range(12)], axis=1)
    shape = mel_db - mel_db.mean(axis=1, keepdims=True)
    chords = uniform_filter1d(
        chroma.reshape(num_units, length, 12).mean(axis=1), HARMONY_UNITS, axis=0, mode="nearest"
    )
    units_of_hits = hits.reshape(num_units, -1)
    return {
        "harmony": _contrasts(chroma, num_units, LEAST_HARMONY),
        "low_harmony": _contrasts(low_chroma, num_units, LEAST_HARMONY),
        "hits": _directions(_centered(units_of_hits), LEAST_HITS_DB * np.sqrt(units_of_hits.shape[1])),
        "mel": shape.reshape(num_units, length, -1).mean(axis=1),
        "mfcc": librosa.feature.mfcc(S=shape.reshape(num_units, length, -1).mean(axis=1).T, n_mfcc=NUM_MFCC).T[:, 1:],
        "level": (10 * np.log10((10 ** (mel_db / 10)).sum(axis=1))).reshape(num_units, length).mean(axis=1),
        "mean_hits": hits.reshape(num_units, length, -1).mean(axis=1),
        "chords": _contrasts(chords, num_units, LEAST_CHORDS),
    }


def unlikeness(units: dict[str, np.ndarray]) -> np.ndarray:
    """Return how different units are as repeats of each other.

    Harmony in all and in low registers beat by beat, hits quarter by quarter, and timbre are compared; what tells
    the units of this song apart weighs more.

    Args:
        units: Of `unit_features`.

    Returns:
        `(units, units)` float32, 0 for a repeat, 1 for other music.
    """
    total = np.zeros((len(units["mel"]),) * 2, np.float32)
    sum_of_weights = 0.0
    stride = max(1, len(total) // MOST_ROWS)
    for name, weight in zip(("harmony", "low_harmony", "hits", "mel"), WEIGHTS, strict=True):
        rows = units[name].astype(np.float32)
        if name == "mel":
            alike = np.exp(-_squared_distances(rows) / rows.shape[1] / TIMBRE_DB**2)
        else:
            alike = np.maximum(1 - 0.5 * _squared_distances(rows), 0)
        spread = float(np.percentile(alike[::stride, ::stride], 95) - np.median(alike[::stride, ::stride]))
        weight *= min(1.0, spread / USUAL_SPREAD) + LEAST_WEIGHT
        alike *= np.float32(weight)
        total += alike
        sum_of_weights += weight
    total /= np.float32(sum_of_weights)
    np.subtract(np.float32(ALIKE), total, out=total)
    total /= np.float32(ALIKE - UNLIKE)
    return np.clip(total, 0, 1, out=total)


def kinship(units: dict[str, np.ndarray]) -> np.ndarray:
    """Return how well units go together in one section: by timbre, hits, level and the chords of four units.

    Args:
        units: Of `unit_features`.

    Returns:
        `(units, units)` float32, 1 for units of one sound, 0 for a change of band.
    """
    exponent = _squared_distances(units["mfcc"]) / (units["mel"].shape[1] * SECTION_TIMBRE_DB**2)
    exponent += _squared_distances(units["mean_hits"]) / (units["mean_hits"].shape[1] * SECTION_HITS_DB**2)
    exponent += _squared_distances(units["level"][:, None]) / SECTION_LEVEL_DB**2
    exponent += (0.5 * _squared_distances(units["chords"]) / SECTION_HARMONY) ** 2
    np.negative(exponent, out=exponent)
    return np.exp(exponent, out=exponent)


def _squared_distances(rows: np.ndarray) -> np.ndarray:
    """Return squared Euclidean distances of rows, `(rows, rows)` float32."""
    rows = (rows - rows.mean(axis=0)).astype(np.float32)
    squares = (rows**2).sum(axis=1)
    distances = rows @ rows.T
    distances *= -2
    distances += squares[:, None]
    distances += squares
    return np.maximum(distances, 0, out=distances)


def _centered(rows: np.ndarray) -> np.ndarray:
    return rows - rows.mean(axis=-1, keepdims=True)


def _contrasts(chroma: np.ndarray, num_units: int, least_share: float) -> np.ndarray:
    """Return the direction in which the pitch classes of units differ from their mean, `(units, ...)`."""
    whole = np.linalg.norm(chroma.reshape(num_units, -1), axis=1, keepdims=True)
    return _directions(_centered(chroma).reshape(num_units, -1), least_share * whole)


def _directions(rows: np.ndarray, least_norm: np.ndarray | float) -> np.ndarray:
    """Return unit vectors; what is shorter than `least_norm` is no direction and stays short."""
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), np.maximum(least_norm, 1e-6))
