from types import SimpleNamespace

import numpy as np
import pytest
import torch

from benchmarks.dances import guides
from benchmarks.dances.bench import Song
from benchmarks.dances.measures import Performance, References
from infinitedance.audio.beats import BeatClock
from infinitedance.dataset_builder.procedural.dance import synthesize_dance
from infinitedance.motion.features import features_to_motion, motion_to_features

SECONDS, BPM = 12.0, 90.0
CLIPS = {"calm": ("rumba", 1), "wild": ("cha-cha", 2), "other": ("waltz", 7)}
GENRES = {"calm": "waltz", "wild": "rumba", "other": "cha-cha"}  # as the library says; "other" is never pinned


def dance_features(style: str, seed: int) -> np.ndarray:
    return motion_to_features(synthesize_dance(style, BPM, SECONDS, seed=seed)).numpy()


class Follower:
    """A model that dances the pinned dance, and without references another."""

    def __init__(self, follows: bool):
        names = {"clip_id": list(CLIPS), "genre": [GENRES[clip] for clip in CLIPS]}
        self.dances = {name: dance_features(*style) for name, style in CLIPS.items()}
        index = type("Index", (), {"columns": names, "__len__": lambda _: len(CLIPS)})()
        self.retriever = SimpleNamespace(dances=self.dances, index=index)
        self.follows = follows
        self.asked: list[tuple] = []

    def __call__(self, waveform, *, genre, seed, num_references=None, pinned_references=()):
        self.asked.append((genre, num_references, tuple(pinned_references)))
        pinned = pinned_references[0] if pinned_references and self.follows else None
        features = dance_features("waltz", 5) if pinned is None else self.dances[pinned]
        return SimpleNamespace(motion=features_to_motion(torch.from_numpy(features)))


@pytest.fixture
def make_bench(monkeypatch):
    monkeypatch.setattr(Song, "clock", lambda song, genre: BeatClock.steady(BPM, SECONDS, meter=3))
    clock = BeatClock.steady(BPM, SECONDS, meter=3)
    dances = [
        Performance(f"{genre}_{seed}", genre, synthesize_dance(genre, BPM, SECONDS, seed=seed), clock)
        for genre in ("waltz", "rumba")
        for seed in range(4)
    ]

    def build(follows: bool) -> SimpleNamespace:
        songs = [Song(f"song_{number}", np.zeros(round(SECONDS * 24_000), np.float32)) for number in range(4)]
        return SimpleNamespace(
            pipeline=Follower(follows),
            references=References(dances),
            genres=["waltz", "rumba"],
            asked={},
            model_dir="model",
            free_requests=lambda per_song=3: [(song, "waltz") for song in songs] + [(songs[0], "rumba")],
        )

    return build


def test_whoever_dances_the_pinned_dance_is_pulled_and_whoever_does_not_is_not(make_bench):
    ratios = {}
    for follows in (True, False):
        bench = make_bench(follows)
        table = guides.references_section(bench)[0]
        genre, num_clips, num_dances, (ratio, low, high) = table.rows[0]
        assert (genre, num_clips, num_dances) == ("waltz", 2, 2 * guides.SONGS_PER_GENRE)
        assert low <= ratio <= high and [row[0] for row in table.rows] == ["waltz", "rumba", "all"]
        ratios[follows] = ratio
        pins = [pins for _, number, pins in bench.pipeline.asked if pins]
        assert set(pins) == {("calm",), ("wild",)}
    assert ratios[True] < 1e-3 and ratios[False] == pytest.approx(1)


def test_every_free_song_is_danced_to_with_and_without_references(make_bench):
    bench = make_bench(follows=True)
    table = guides.references_section(bench)[1]
    assert [row[1] for row in table.rows] == [5, 5]
    assert [number for _, number, pins in bench.pipeline.asked if not pins] == [None] * 5 + [0] * 5


def test_a_model_without_a_library_is_told(make_bench):
    bench = make_bench(follows=True)
    bench.pipeline.retriever = None
    with pytest.raises(ValueError, match="model must have reference dances"):
        guides.references_section(bench)
