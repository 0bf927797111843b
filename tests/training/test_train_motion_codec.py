import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from infinitedance.dataset_builder.built import BuiltDataset
from infinitedance.tokenization.tokenization_motion import MotionTokenizer
from infinitedance.training import train_motion_codec
from infinitedance.training.data_motion_codec import WindowSampler, clip_probabilities
from infinitedance.training.train_motion_codec import CodecArguments

TINY_MODEL = {"hidden_size": 16, "codebook_dim": 8, "codebook_size": 8, "residual_dilations": [1]}


def command_line(data_dir, output_dir, *options: str) -> list[str]:
    tiny = ["--model", json.dumps(TINY_MODEL), "--window_frames", "32", "--batch_size", "4", "--max_steps", "4"]
    return ["--data_dir", str(data_dir), "--eval_split", "test", "--output_dir", str(output_dir), *tiny, *options]


def weights(folder) -> dict[str, torch.Tensor]:
    return MotionTokenizer.from_pretrained(folder).model.state_dict()


def assert_same_weights(one, other):
    first, second = weights(one), weights(other)
    assert set(first) == set(second)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_accelerate_launch_trains_two_steps_and_writes_all_that_belongs_to_a_run(built_folder, tmp_path):
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "1"]
    script = ["-m", "infinitedance.training.train_motion_codec"]
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("max_steps: 9\nlog_steps: 1\nlearning_rate: 8.0e-4\ntracker: tensorboard\n")
    options = ["--config", str(recipe), *command_line(built_folder, tmp_path / "run", "--max_steps", "2")]
    completed = subprocess.run([*launch, *script, *options], capture_output=True, text=True)
    assert completed.returncode == 0, completed.stderr

    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["arguments"]["max_steps"] == 2 and record["arguments"]["seed"] == 0
    assert {"python", "torch", "transformers", "infinitedance"} <= set(record["versions"])
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 2]
    assert all(np.isfinite(line["loss"]) for line in lines[:2])
    assert {"eval/waltz/mpjpe_mm", "eval/waltz/root_drift_cm", "eval/all/code_use_2"} <= set(lines[2])
    assert (tmp_path / "run" / "checkpoint-2" / "progress.json").is_file()
    assert list((tmp_path / "run").glob("training/*tfevents*"))
    assert weights(tmp_path / "run")["quantizer.initialized"]


def test_an_interrupted_and_resumed_run_equals_a_straight_one(built_folder, tmp_path, monkeypatch):
    every_step = ["--checkpoint_minutes", "0", "--gradient_accumulation_steps", "2"]
    train_motion_codec.main(command_line(built_folder, tmp_path / "straight", *every_step))

    make_batch = WindowSampler.__call__

    def interrupted(self, batch_index):
        if batch_index == 5:  # the second micro-batch of the third step
            raise KeyboardInterrupt
        return make_batch(self, batch_index)

    monkeypatch.setattr(WindowSampler, "__call__", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train_motion_codec.main(command_line(built_folder, tmp_path / "resumed", *every_step))
    monkeypatch.undo()
    assert [path.name for path in (tmp_path / "resumed").glob("checkpoint-*")] == ["checkpoint-2"]
    train_motion_codec.main(command_line(built_folder, tmp_path / "resumed", *every_step, "--resume"))
    assert_same_weights(tmp_path / "straight", tmp_path / "resumed")


def test_another_seed_trains_another_model(built_folder, tmp_path):
    for seed in "01":
        train_motion_codec.main(command_line(built_folder, tmp_path / seed, "--seed", seed, "--max_steps", "1"))
    with pytest.raises(AssertionError):
        assert_same_weights(tmp_path / "0", tmp_path / "1")


def test_resuming_without_a_checkpoint_is_refused(built_folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="no checkpoint to resume from"):
        train_motion_codec.main(command_line(built_folder, tmp_path, "--resume"))


def test_windows_are_frames_of_training_clips_and_depend_on_the_number_of_the_batch_only(built_folder):
    data = BuiltDataset(built_folder)
    clips = data.split("train")

    def sampler():
        return WindowSampler(data, clips, window_frames=32, batch_size=16, group_balance=0.5, seed=(3, 0))

    first, second = sampler(), sampler()
    second(0)
    assert torch.equal(first(7)["motion_features"], second(7)["motion_features"])
    assert not torch.equal(first(7)["motion_features"], first(8)["motion_features"])
    frames = np.concatenate([data.motion_features(clip) for clip in clips])
    batch = first(7)
    lengths = batch["frame_mask"].sum(1)
    assert set(lengths.tolist()) <= {5, 32}
    for window, length in zip(batch["motion_features"].numpy(), lengths, strict=True):
        assert (frames == window[0]).all(1).any() and (frames == window[length - 1]).all(1).any()
        assert (window[length:] == window[length - 1]).all()


def test_balance_makes_small_groups_heard(built_clip):
    def clip(genre, num_frames):
        return built_clip(f"{genre}{num_frames}", genre=genre, num_frames=num_frames)

    clips = [clip("waltz", 700), clip("waltz", 200), clip("tango", 100)]
    np.testing.assert_allclose(clip_probabilities(clips, 1.0), [0.7, 0.2, 0.1])
    np.testing.assert_allclose(clip_probabilities(clips, 0.0), [0.5 * 7 / 9, 0.5 * 2 / 9, 0.5])
    np.testing.assert_allclose(clip_probabilities(clips, 0.5)[2], 0.25)


def test_model_fields_come_from_json_or_a_mapping_and_are_checked():
    assert CodecArguments("data", model='{"hidden_size": 8}').build_config().hidden_size == 8
    assert CodecArguments("data", model={"hidden_size": 8}).build_config().hidden_size == 8
    with pytest.raises(ValueError, match=r"no field of MotionCodecConfig: \['hidden'\]"):
        CodecArguments("data", model='{"hidden": 8}').build_config()


def test_a_run_continues_from_a_trained_codec(built_folder, tmp_path):
    train_motion_codec.main(command_line(built_folder, tmp_path / "first"))
    options = ["--init_from", str(tmp_path / "first"), "--learning_rate", "0", "--model", '{"ema_decay": 0.9999999}']
    train_motion_codec.main([*command_line(built_folder, tmp_path / "second"), *options])
    first, second = weights(tmp_path / "first"), weights(tmp_path / "second")
    for name in first:
        if "cluster" not in name and "codebooks" not in name:  # these follow the data, not the learning rate
            assert torch.equal(first[name], second[name]), name
    assert MotionTokenizer.from_pretrained(tmp_path / "second").model.config.ema_decay == 0.9999999


def test_genres_and_terms_that_are_left_out_are_not_learned_and_other_terms_are_not_evaluated(
    tmp_path, write_built, walking_features, monkeypatch
):
    dances = {name: walking_features(64, number) for number, name in enumerate(("a", "b", "c", "d", "e"))}
    fields = {
        "a": {"license": "open"},
        "b": {"license": "open", "genre": "popping"},
        "c": {"license": "closed"},
        "d": {"license": "closed", "genre": "popping"},
        "e": {"license": "open", "split": "test"},
    }
    seen = {}
    make_sampler, evaluate = WindowSampler.__init__, train_motion_codec.evaluate_split

    def remember_training(self, data, clips, **options):
        seen["learned"] = {clip.clip_id for clip in clips}
        make_sampler(self, data, clips, **options)

    def remember_evaluation(model, data, clips, processes):
        seen["evaluated"] = {clip.clip_id for clip in clips}
        return evaluate(model, data, clips)

    monkeypatch.setattr(WindowSampler, "__init__", remember_training)
    monkeypatch.setattr(train_motion_codec, "evaluate_split", remember_evaluation)
    options = ["--licenses", "open", "--left_out_genres", "popping", "--max_steps", "1"]
    train_motion_codec.main(command_line(write_built(tmp_path, dances, fields), tmp_path / "run", *options))
    assert seen == {"learned": {"a"}, "evaluated": {"e", "b"}}
    with pytest.raises(ValueError, match="No clip of split 'train' is under one of .*'free'.*'closed', 'open'"):
        train_motion_codec.main(command_line(tmp_path, tmp_path / "run", "--licenses", "free"))


def test_a_run_gives_a_trained_codec_further_levels(built_folder, tmp_path):
    train_motion_codec.main(command_line(built_folder, tmp_path / "first"))
    options = ["--init_from", str(tmp_path / "first"), "--model", '{"num_quantizers": 5}', "--max_steps", "1"]
    train_motion_codec.main([*command_line(built_folder, tmp_path / "second"), *options, "--learning_rate", "0"])
    first, second = weights(tmp_path / "first"), weights(tmp_path / "second")
    assert second["quantizer.codebooks"].shape[0] == 5
    for name in first:
        if name.startswith(("encoder", "decoder", "feature")):
            assert torch.equal(first[name], second[name]), name
    known = first["quantizer.codebooks"].shape[0]
    moved = (second["quantizer.codebooks"][:known] - first["quantizer.codebooks"]).abs().max()
    assert moved < 0.5 * first["quantizer.codebooks"].abs().max()  # a step of the averages away


def test_a_decoder_is_trained_alone(built_folder, tmp_path):
    train_motion_codec.main(command_line(built_folder, tmp_path / "first"))
    options = ["--init_from", str(tmp_path / "first"), "--decoder_only", "True"]
    train_motion_codec.main([*command_line(built_folder, tmp_path / "second"), *options])
    first, second = weights(tmp_path / "first"), weights(tmp_path / "second")
    changed = {name.split(".")[0] for name in first if not torch.equal(first[name], second[name])}
    assert changed == {"decoder"}
    with pytest.raises(ValueError, match="needs `init_from`"):
        CodecArguments("data", decoder_only=True)


def test_recipes_of_the_repository_build_a_model(repository_root):
    recipes = sorted((repository_root / "training" / "configs").glob("motion_codec*.yaml"))
    assert len(recipes) == 2
    for recipe in recipes:
        options = ["--config", str(recipe), "--data_dir", "data", "--output_dir", "run"]
        arguments, codec_arguments = train_motion_codec.parse_arguments(
            (train_motion_codec.LoopArguments, CodecArguments), options
        )
        assert codec_arguments.build_config().codebook_size == 512 and 0 < arguments.learning_rate < 1e-2
