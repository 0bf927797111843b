"""Coarse genres of the sources' fine labels."""

import pytest

from infinitedance.dataset_builder.genres import COARSE_GENRES, OTHER, coarse_genre


def test_every_fine_genre_has_one_coarse_genre_whatever_its_spelling():
    assert {coarse_genre(genre) for genre in ("Hip-Hop", "hiphop", "hip hop", "HIP_HOP")} == {"popular"}
    assert coarse_genre("PasoDoble") == "latin"
    assert coarse_genre("ballet") == "ballet"
    assert all(coarse_genre(genre) == genre for genre in COARSE_GENRES)


def test_an_unknown_genre_is_never_other_in_silence():
    with pytest.raises(ValueError, match="'juggling' is not known; pass `unknown='other'`"):
        coarse_genre("juggling")
    assert coarse_genre("juggling", unknown=OTHER) == OTHER
    with pytest.raises(ValueError, match="`unknown` must be one of"):
        coarse_genre("juggling", unknown="misc")
