import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from infinitedance.audio.features import MusicFeatureLayout
from infinitedance.dataset_builder.built import BuiltDataset
from infinitedance.dataset_builder.manifest import read_manifest, write_manifest
from infinitedance.modeling.music_dance.configuration_music_dance import MusicDanceConfig
from infinitedance.modeling.music_dance.modeling_music_dance import MusicDanceEncoder
from infinitedance.training import train_retrieval
from infinitedance.training.data_retrieval import PairedTake, PairSampler, load_paired_takes, share_of_songs
from infinitedance.training.evaluation_retrieval import (
    EncodedWindows,
    encode_takes,
    evaluate_retrieval,
    genre_table,
    partner_ranks,
    recall_table,
)
from infinitedance.training.train_retrieval import RetrievalArguments

TINY_MODEL = {
    "window_frames": 48,
    "stride_frames": 24,
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 8,
    "embedding_size": 8,
}


@pytest.fixture(scope="module")
def paired_folder(tmp_path_factory, write_built):
    """Five songs with a dance and its mirrored copy, two of them held out; a sixth clip has no music."""
    folder = tmp_path_factory.mktemp("paired")
    generator = np.random.default_rng(0)
    dances, fields = {}, {}
    for number in range(6):
        music = generator.standard_normal((90, 109)).astype(np.float32)
        np.save(folder / f"song_{number}.npy", music)
        for suffix in ("", "_mirror"):
            clip_id = f"clip_{number}{suffix}"
            dances[clip_id] = generator.standard_normal((90 - 10 * number, 269)).astype(np.float32)
            fields[clip_id] = {
                "genre": ("waltz", "rumba")[number % 2],
                "split": "test" if number in (3, 4) else "train",
                "song_id": f"song_{number}",
                "music_file": f"song_{number}.npy" if number < 5 else None,
            }
    return write_built(folder, dances, fields)


def command_line(data_dir, output_dir, *options: str) -> list[str]:
    tiny = ["--model", json.dumps(TINY_MODEL), "--batch_size", "4", "--max_steps", "4"]
    return ["--data_dir", str(data_dir), "--eval_split", "test", "--output_dir", str(output_dir), *tiny, *options]


def weights(folder) -> dict[str, torch.Tensor]:
    return MusicDanceEncoder.from_pretrained(folder).state_dict()


def test_accelerate_launch_trains_two_steps_from_the_recipe(paired_folder, repository_root, tmp_path):
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "1"]
    recipe = repository_root / "training" / "configs" / "retrieval_tiny_cpu.yaml"
    script = ["-m", "infinitedance.training.train_retrieval", "--config", str(recipe)]
    options = command_line(paired_folder, tmp_path / "run", "--max_steps", "2", "--log_steps", "1")
    completed = subprocess.run([*launch, *script, *options], capture_output=True, text=True)
    assert completed.returncode == 0, completed.stderr
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 2]
    assert np.isfinite(lines[0]["loss"]) and {"eval/loss", "eval/recall_1", "eval/right_genre_10"} <= set(lines[2])
    assert json.loads((tmp_path / "run" / "run.json").read_text())["arguments"]["song_share"] == 1.0
    assert MusicDanceConfig.from_pretrained(tmp_path / "run").music_features_version == 2
    std = weights(tmp_path / "run")["feature_std"]
    assert std.shape == (269,) and torch.allclose(std, torch.ones(269), atol=0.2)


def test_an_interrupted_and_resumed_run_equals_a_straight_one(paired_folder, tmp_path, monkeypatch):
    every_step = ["--checkpoint_minutes", "0"]
    train_retrieval.main(command_line(paired_folder, tmp_path / "straight", *every_step))
    make_batch = PairSampler.__call__

    def interrupted(self, batch_index):
        if batch_index == 2:
            raise KeyboardInterrupt
        return make_batch(self, batch_index)

    monkeypatch.setattr(PairSampler, "__call__", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train_retrieval.main(command_line(paired_folder, tmp_path / "resumed", *every_step))
    monkeypatch.undo()
    train_retrieval.main(command_line(paired_folder, tmp_path / "resumed", *every_step, "--resume"))
    straight, resumed = weights(tmp_path / "straight"), weights(tmp_path / "resumed")
    assert all(torch.equal(straight[name], resumed[name]) for name in straight)


def make_takes(num_songs: int = 5, takes_of_each: int = 2, num_frames: int = 100) -> list[PairedTake]:
    """Takes whose every channel names song, take and frame."""
    takes = []
    for song in range(num_songs):
        for take in range(takes_of_each):
            values = (1000 * song + np.arange(num_frames, dtype=np.float32))[:, None] + take / 4
            genre = ("waltz", "rumba")[song % 2]
            takes.append(PairedTake(f"song_{song}", genre, np.tile(values, 109), np.tile(values, 269)))
    return takes


def make_sampler(takes, batch_size: int = 8, spectra_dropout: float = 0.0, seed: int = 0) -> PairSampler:
    config = MusicDanceConfig(**TINY_MODEL)
    return PairSampler(takes, config, batch_size=batch_size, spectra_dropout=spectra_dropout, seed=(seed,))


def test_music_and_motion_of_a_row_are_the_same_frames_of_the_same_take():
    sampler = make_sampler(make_takes())
    lengths = []
    for number in range(20):
        batch = sampler(number)
        assert torch.equal(batch["input_features"][..., 0], batch["motion_features"][..., 0])
        assert torch.equal(batch["music_frame_mask"], batch["motion_frame_mask"])
        songs = (batch["motion_features"][:, 0, 0] // 1000).long()
        assert torch.equal(songs, batch["song_ids"])
        lengths += batch["motion_frame_mask"].sum(1).tolist()
    assert 24 <= min(lengths) < 48 and lengths.count(48) > len(lengths) / 2


def test_a_song_comes_twice_only_when_all_have_come():
    for number in range(20):
        song_ids = make_sampler(make_takes())(number)["song_ids"]
        assert sorted(song_ids[:5].tolist()) == [0, 1, 2, 3, 4]
        assert len(set(song_ids[5:].tolist())) == 3


def test_a_batch_depends_on_its_number_and_the_seed_only():
    takes = make_takes()
    one, other = make_sampler(takes), make_sampler(takes)
    other(0)
    assert all(torch.equal(value, other(3)[name]) for name, value in one(3).items())
    assert not torch.equal(one(3)["motion_features"], one(4)["motion_features"])
    assert not torch.equal(one(3)["motion_features"], make_sampler(takes, seed=1)(3)["motion_features"])


def test_dropped_spectra_leave_the_beat_clock():
    takes = [PairedTake(take.song_id, take.genre, take.music + 1, take.motion) for take in make_takes(num_frames=48)]
    batch = make_sampler(takes, batch_size=200, spectra_dropout=0.3)(0)
    start = MusicFeatureLayout.beat_clock.start
    silent = (batch["input_features"][..., :start] == 0).flatten(1).all(dim=1)
    assert 30 < silent.sum() < 90
    assert (batch["input_features"][:, 0, start:] != 0).all()


def test_takes_are_paired_stretched_and_without_clips_that_have_no_music(paired_folder):
    data = BuiltDataset(paired_folder)
    takes = load_paired_takes(data, data.split("train"), [1.0, 1.25])
    assert {take.song_id for take in takes} == {"song_0", "song_1", "song_2"}
    assert [len(take.motion) for take in takes[:2]] == [90, 72]
    assert all(len(take.music) == len(take.motion) for take in takes)


def test_a_share_of_the_songs_is_within_a_larger_share_and_keeps_all_genres(built_clip):
    clips = [
        built_clip(f"{genre}_{number}_{take}", genre=genre, song_id=f"{genre}_{number}")
        for genre, count in (("waltz", 20), ("rumba", 8), ("tango", 2))
        for number in range(count)
        for take in "ab"
    ]
    kept = {share: {clip.clip_id for clip in share_of_songs(clips, share)} for share in (0.25, 0.5, 1.0)}
    assert kept[0.25] < kept[0.5] < kept[1.0] == {clip.clip_id for clip in clips}
    assert {share: len(names) // 2 for share, names in kept.items()} == {0.25: 5 + 2 + 2, 0.5: 10 + 4 + 2, 1.0: 30}
    assert all(clip_id[:-1] + "a" in kept[0.25] for clip_id in kept[0.25])


def make_windows(music, motion, songs, genres=None) -> EncodedWindows:
    genres = np.array(["waltz"] * len(songs)) if genres is None else np.array(genres)
    return EncodedWindows(np.asarray(music, float), np.asarray(motion, float), np.array(songs), genres)


def test_a_perfect_encoder_has_recall_one_and_a_blind_one_has_chance():
    songs = np.repeat(["a", "b", "c", "d"], 5)
    vectors = np.eye(20)
    perfect = recall_table(make_windows(vectors, vectors, songs))
    assert [perfect[k]["mean"] for k in (1, 5, 10)] == [1, 1, 1]
    assert perfect[1]["chance"] == pytest.approx(1 / 16) and perfect[10]["chance"] == pytest.approx(10 / 16)
    generator = np.random.default_rng(0)
    blind = [
        recall_table(make_windows(generator.standard_normal((20, 8)), generator.standard_normal((20, 8)), songs))
        for _ in range(200)
    ]
    for k in (1, 5, 10):
        assert np.mean([table[k]["mean"] for table in blind]) == pytest.approx(perfect[k]["chance"], abs=0.03)


def test_an_encoder_that_gives_the_same_to_all_ranks_in_the_middle():
    ranks, num_others = partner_ranks(make_windows(np.ones((6, 2)), np.ones((6, 2)), list("aabbcc")))
    assert ranks.tolist() == [2.0] * 6 and num_others.tolist() == [4] * 6


def test_windows_of_the_own_song_do_not_count():
    music = np.array([[1.0, 0.0]] * 2 + [[0.0, 1.0]])
    motion = np.array([[0.5, 0.0], [1.0, 0.0], [0.0, 1.0]])  # the second window of song a looks better to the first
    ranks, _ = partner_ranks(make_windows(music, motion, list("aab")))
    assert ranks.tolist() == [0, 0, 0]


def test_within_its_genre_a_song_is_told_from_that_genre_only():
    vectors = np.eye(4)
    motion = vectors[[1, 0, 2, 3]]  # the two waltzes find each other's dances, the rumba and the tango their own
    windows = make_windows(vectors, motion, list("abcd"), ["waltz", "waltz", "rumba", "tango"])
    assert recall_table(windows)[1]["mean"] == 0.5 and recall_table(windows)[1]["chance"] == 0.25
    assert recall_table(windows, within_genre=True)[1] == {"mean": 0.0, "low": 0.0, "high": 0.0, "chance": 0.5}


def test_recall_is_the_mean_over_songs_not_over_windows():
    vectors = np.eye(4)
    motion = vectors[[0, 1, 3, 2]]  # the last two windows find each other's dances
    table = recall_table(make_windows(vectors, motion, list("aabc")))
    assert table[1]["mean"] == pytest.approx(1 / 3)


def test_the_share_of_the_right_genre_and_its_chance():
    library = make_windows(np.eye(4), np.eye(4), list("abcd"), ["waltz", "rumba", "rumba", "rumba"])
    queries = make_windows(np.eye(4)[:2], np.eye(4)[:2], list("xy"), ["waltz", "rumba"])
    table = genre_table(queries, library)
    assert table[1]["mean"] == 1.0 and table[1]["chance"] == pytest.approx(0.5)


def test_an_evaluation_covers_whole_dances_at_the_same_frames():
    torch.manual_seed(0)
    encoder = MusicDanceEncoder(MusicDanceConfig(**TINY_MODEL)).eval()
    takes = make_takes(3, 1)
    windows = encode_takes(encoder, takes)
    assert windows.songs.tolist() == ["song_0"] * 4 + ["song_1"] * 4 + ["song_2"] * 4  # frames 0, 24, 48 and 52
    with torch.no_grad():
        last = encoder.encode_motion(torch.from_numpy(takes[0].motion[None, 52:]))
    np.testing.assert_allclose(windows.motion[3], last[0], atol=1e-5)
    numbers = evaluate_retrieval(encoder, takes, library=windows)
    assert (
        set(numbers) >= {"loss", "recall_1", "recall_rank_share", "right_genre_10"}
        and np.isfinite(list(numbers.values())).all()
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"song_share": 0.0}, "must lie in"),
        ({"stretches": []}, "positive speeds"),
        ({"spectra_dropout": 1.5}, "must lie in"),
    ],
)
def test_wrong_arguments_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        RetrievalArguments(data_dir="x", **options)


def test_wrong_data_are_refused(paired_folder, tmp_path):
    write_manifest([clip for clip in read_manifest(paired_folder) if "4" not in clip.clip_id], tmp_path)
    for path in paired_folder.glob("*.npy"):
        (tmp_path / path.name).symlink_to(path)
    with pytest.raises(ValueError, match="`test` must have paired dances to at least two songs, got 1"):
        train_retrieval.main(command_line(tmp_path, tmp_path / "run"))
    with pytest.raises(ValueError, match="at least two songs"):
        make_sampler(make_takes(num_songs=1))
    config = MusicDanceConfig(music_frame_rate=25.0)
    with pytest.raises(ValueError, match="at one rate"):
        PairSampler(make_takes(), config, batch_size=2, spectra_dropout=0.0, seed=(0,))
