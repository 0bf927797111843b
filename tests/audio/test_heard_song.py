"""A song that is heard once and counted in more than one way."""

import numpy as np
import pytest

from infinitedance.audio import heard_song
from infinitedance.audio.beats import hear_beats, track_beats
from infinitedance.audio.heard_song import hear

RATE = 24_000


@pytest.fixture(scope="module")
def song():
    """Ten seconds of clicks, 110 a minute, the first of each four louder."""
    samples = np.zeros(10 * RATE, np.float32)
    click = np.sin(2 * np.pi * 1000 * np.arange(1200) / RATE) * np.exp(-np.arange(1200) / 240)
    for index, time in enumerate(np.arange(0.2, 9.9, 60 / 110)):
        start = round(time * RATE)
        samples[start : start + 1200] += click[: len(samples) - start] * (1.0 if index % 4 == 0 else 0.5)
    return samples


def test_beats_from_what_was_heard_before_are_those_of_the_song(song):
    heard = hear_beats(song, RATE)
    for genre in (None, "cha-cha", "waltz"):
        again, anew = track_beats(song, RATE, genre=genre, heard=heard), track_beats(song, RATE, genre=genre)
        assert again.clock.equals(anew.clock) and again.confidence == anew.confidence
        assert len(again.alternatives) == len(anew.alternatives)


@pytest.mark.parametrize("genre", ["cha-cha", "waltz"])
def test_a_song_that_is_counted_again_is_as_one_that_is_heard_for_the_genre(genre, song):
    counted, heard = hear(song, RATE).counted_as(genre), hear(song, RATE, genre)
    assert counted.genre == genre and counted.beats.clock.equals(heard.beats.clock)
    assert counted.song_map.to_dict() == heard.song_map.to_dict()


def test_a_map_is_made_again_only_where_the_beats_are_others(song, monkeypatch):
    heard, made = hear(song, RATE), []
    analyze = heard_song.analyze_song
    monkeypatch.setattr(heard_song, "analyze_song", lambda *args: made.append(args) or analyze(*args))
    monkeypatch.setattr(heard_song, "hear_beats", lambda *_: pytest.fail("it was heard"))
    same = heard.counted_as("cha-cha")
    assert same.beats.clock.equals(heard.beats.clock) and same.song_map is heard.song_map and not made
    heard.counted_as("waltz")
    assert len(made) == 1
