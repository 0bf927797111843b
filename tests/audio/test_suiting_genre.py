import json

import numpy as np
import pytest

from infinitedance.assets import DEFAULT_MODEL, DEMO_GENRE, DEMO_SONG
from infinitedance.audio.loading import load_audio
from infinitedance.audio.song_map import analyze_song
from infinitedance.audio.suiting_genre import liveliness, suiting_genre
from infinitedance.dataset_builder.procedural.music import synthesize_music

GENRES = ["waltz", "tango", "rumba", "cha-cha", "salsa", "hip-hop", "locking", "krumping", "pop", "contemporary"]


@pytest.mark.parametrize(
    ("song", "lively", "genre"),
    [
        ({"meter": 3, "bpm": 90}, 0.2, "waltz"),
        ({"meter": 6, "bpm": 60}, 0.9, "waltz"),
        ({"bpm": 100, "confidence": 0.1}, 0.9, "contemporary"),
        ({"bpm": 66}, 0.2, "contemporary"),
        ({"bpm": 96}, 0.05, "rumba"),
        ({"bpm": 120}, 0.6, "cha-cha"),
        ({"bpm": 100}, 0.62, "hip-hop"),
        ({"bpm": 75}, 1.0, "krumping"),
    ],
)
def test_meter_beat_tempo_and_liveliness_choose(make_song_map, song, lively, genre):
    chosen, reason = suiting_genre(GENRES, make_song_map(**song), lively)
    assert chosen == genre
    assert reason.startswith("The song has ") and f": {genre} suits it best of waltz, tango" in reason


def test_only_genres_of_the_model_are_chosen(make_song_map):
    assert suiting_genre(["waltz"], make_song_map(meter=4), 0.5)[0] == "waltz"
    assert suiting_genre(["rumba", "cha-cha"], make_song_map(meter=3), 0.0)[0] == "rumba"
    assert suiting_genre(["rumba", "Krumping"], make_song_map(confidence=0.0), 0.9)[0] == "Krumping"
    assert suiting_genre(["unheard of"], make_song_map(), 0.9)[0] == "unheard of"
    with pytest.raises(ValueError, match="at least one name"):
        suiting_genre([], make_song_map(), 0.5)


def test_a_synthesized_waltz_is_a_waltz_and_the_demo_song_suits_its_genre():
    songs = {"waltz": synthesize_music("waltz", 88, 20.0, seed=3), DEMO_GENRE: load_audio(DEMO_SONG, 24_000)}
    for genre, song in songs.items():
        genres = GENRES if genre == "waltz" else json.loads((DEFAULT_MODEL / "config.json").read_text())["genres"]
        assert suiting_genre(genres, analyze_song(song, 24_000), liveliness(song, 24_000))[0] == genre


def test_what_hits_more_often_is_livelier_at_any_level(make_drums):
    seconds = np.arange(8 * 24_000) / 24_000
    chord = (0.1 * np.sin(2 * np.pi * 220 * seconds)).astype(np.float32)
    slow, fast = make_drums(70, 8.0), make_drums(180, 8.0)
    values = [liveliness(song, 24_000) for song in (chord, slow, fast)]
    assert values == sorted(values) and values[0] < 0.1 and values[2] > values[1] + 0.1
    assert liveliness(0.1 * fast, 24_000) == pytest.approx(values[2], abs=0.02)
