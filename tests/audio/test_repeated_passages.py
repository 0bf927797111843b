import numpy as np
import pytest

from infinitedance.audio.repeated_passages import repeated_passages

ABA = [(0.0, 16.0, "A"), (16.0, 32.0, "B"), (32.0, 48.0, "A")]


def test_a_section_that_returns_is_danced_again_but_for_its_first_and_last_bar(make_song_map):
    song = make_song_map(bpm=120, seconds=48.2, sections=ABA)  # bars of 2 s, 15 tokens
    assert repeated_passages(song, 7.5) == [(15, 255, 90)]


def test_the_shorter_of_two_sections_says_how_much_and_short_ones_are_left_out(make_song_map):
    sections = [(0.0, 16.0, "A"), (16.0, 24.0, "A"), (24.0, 30.0, "A"), (30.0, 40.0, "B")]
    assert repeated_passages(make_song_map(bpm=120, seconds=40.0, sections=sections), 7.5) == [(15, 135, 30)]


def test_of_several_earlier_sections_the_longest_one_is_taken(make_song_map):
    sections = [(0.0, 8.0, "A"), (8.0, 24.0, "A"), (24.0, 40.0, "A"), (40.0, 44.0, "B")]
    assert repeated_passages(make_song_map(bpm=120, seconds=44.0, sections=sections), 7.5) == [
        (15, 75, 30),
        (75, 195, 90),
    ]


@pytest.mark.parametrize("bpm", [97.0, 113.0, 131.5])
def test_beats_of_any_tempo_are_less_than_a_token_off(make_song_map, bpm):
    bar = 240 / bpm
    sections = [(8 * number * bar, 8 * (number + 1) * bar, label) for number, label in enumerate("ABA")]
    song = make_song_map(bpm=bpm, seconds=24 * bar + 0.1, sections=sections)
    ((source, target, length),) = repeated_passages(song, 7.5)
    assert length >= 6 * bar * 7.5 - 2
    assert abs((target - source) / 7.5 - 16 * bar) <= 0.5 / 7.5 + 1e-9
    downbeats = np.asarray(song.beats.downbeat_times_seconds) * 7.5
    assert 0 <= target - downbeats[17] < 1 and 0 <= downbeats[23] - (target + length) < 1


def test_another_tempo_does_not_fit(make_song_map):
    song = make_song_map(bpm=120, seconds=48.2, sections=ABA, bpm_from=(32.0, 112.0))
    assert repeated_passages(song, 7.5) == []
