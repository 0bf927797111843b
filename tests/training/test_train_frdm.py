import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from infinitedance.dataset_builder.augmentation.faults import Corruption
from infinitedance.dataset_builder.built import BuiltDataset
from infinitedance.modeling.frdm.configuration_frdm import FrdmConfig
from infinitedance.modeling.frdm.modeling_frdm import FrdmModel
from infinitedance.motion.features import CONTACTS, NUM_FEATURES
from infinitedance.motion.normalization import fit_feature_statistics
from infinitedance.restoration.pipeline_frdm import FrdmPipeline
from infinitedance.training import data_frdm as frdm_data
from infinitedance.training import train_frdm
from infinitedance.training.data_frdm import (
    RestorationSampler,
    cut_random_windows,
    evaluation_windows,
    select_clips,
)
from infinitedance.training.train_frdm import FrdmArguments, evaluate_windows

TINY_MODEL = {
    "window_frames": 16,
    "overlap_frames": 8,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
}
CLIPS = {
    "cmu_05_01": ("CMU", 40),
    "cmu_05_02": ("CMU", 50),
    "cmu_06_01": ("CMU", 45),
    "cmu_60_01": ("CMU", 12),
    "kpop_sFM_d03_x": ("Motorica/LDA", 60),
    "street_01": ("BandaiNamco-1", 40),
    "waltz_01": ("DanceWithMelody", 40),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory, write_built, walking_features):
    """Seven dances of three sources with clean feet and one without, each with a mirrored copy."""
    copies = [
        (name + suffix, source, walking_features(num_frames, number + len(suffix)))
        for number, (name, (source, num_frames)) in enumerate(CLIPS.items())
        for suffix in ("", "_mirror")
    ]
    return write_built(
        tmp_path_factory.mktemp("frdm"),
        {clip_id: features for clip_id, _, features in copies},
        {clip_id: {"source": source} for clip_id, source, _ in copies},
    )


@pytest.fixture
def few_segments(monkeypatch):
    monkeypatch.setattr(frdm_data, "BLOCK_SEGMENTS", 6)


def command_line(data_dir, output_dir, *options: str) -> list[str]:
    who = ["--sources", "CMU", "Motorica/LDA", "--validation_clips", "cmu_05_", "--test_clips", "cmu_06_"]
    tiny = ["--model", json.dumps(TINY_MODEL), "--batch_size", "4", "--max_steps", "4"]
    return ["--data_dir", str(data_dir), "--output_dir", str(output_dir), *who, *tiny, *options]


def tiny_model(folder) -> FrdmModel:
    torch.manual_seed(0)
    model = FrdmModel(FrdmConfig(**TINY_MODEL)).eval()
    data = BuiltDataset(folder)
    clips = [torch.from_numpy(np.array(data.motion_features(clip))) for clip in data.clips]
    model.set_feature_statistics(*fit_feature_statistics(clips))
    return model


def weights(folder) -> dict[str, torch.Tensor]:
    return FrdmModel.from_pretrained(folder).state_dict()


def test_accelerate_launch_trains_two_steps_and_writes_a_pipeline(folder, tmp_path):
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "1"]
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("max_steps: 9\nlog_steps: 1\nlearning_rate: 8.0e-4\n")
    options = ["--config", str(recipe), *command_line(folder, tmp_path / "run", "--max_steps", "2")]
    script = ["-m", "infinitedance.training.train_frdm"]
    completed = subprocess.run([*launch, *script, *options], capture_output=True, text=True)
    assert completed.returncode == 0, completed.stderr

    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["arguments"]["max_steps"] == 2 and record["arguments"]["test_clips"] == "cmu_06_"
    assert record["arguments"]["corruption"]["slide"] == Corruption().slide
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 2]
    assert all(np.isfinite(line["loss"]) and np.isfinite(line["foot_contact"]) for line in lines[:2])
    assert {"eval/observed/loss", "eval/masked/loss", "eval/observed/contact_f1"} <= set(lines[2])
    model = FrdmPipeline.from_pretrained(tmp_path / "run").model
    assert model.config.window_frames == 16 and (model.feature_std != 1).all()


def test_an_interrupted_and_resumed_run_equals_a_straight_one(folder, tmp_path, monkeypatch, few_segments):
    every_step = ["--checkpoint_minutes", "0"]
    train_frdm.main(command_line(folder, tmp_path / "straight", *every_step))
    make_batch = RestorationSampler.__call__

    def interrupted(self, batch_index):
        if batch_index == 2:
            raise KeyboardInterrupt
        return make_batch(self, batch_index)

    monkeypatch.setattr(RestorationSampler, "__call__", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train_frdm.main(command_line(folder, tmp_path / "resumed", *every_step))
    monkeypatch.setattr(RestorationSampler, "__call__", make_batch)
    train_frdm.main(command_line(folder, tmp_path / "resumed", *every_step, "--resume"))
    straight, resumed = weights(tmp_path / "straight"), weights(tmp_path / "resumed")
    assert straight.keys() == resumed.keys()
    assert all(torch.equal(straight[name], resumed[name]) for name in straight)


def test_patterns_hold_clips_out_and_other_sources_are_left_out(folder):
    splits = select_clips(BuiltDataset(folder), ["CMU", "Motorica/LDA"], "cmu_05_", "cmu_06_")
    names = {split: sorted(clip.clip_id for clip in clips) for split, clips in splits.items()}
    assert names["validation"] == ["cmu_05_01", "cmu_05_02"] and names["test"] == ["cmu_06_01"]
    assert names["train"] == ["cmu_60_01", "cmu_60_01_mirror", "kpop_sFM_d03_x", "kpop_sFM_d03_x_mirror"]


def test_without_patterns_the_splits_are_those_of_the_data_set(tmp_path, write_built, walking_features):
    dances = {name: walking_features(20, 0) for name in ("a", "a_mirror", "b", "b_mirror")}
    data = BuiltDataset(write_built(tmp_path, dances, {name: {"split": "validation"} for name in ("b", "b_mirror")}))
    names = {split: [clip.clip_id for clip in clips] for split, clips in select_clips(data).items()}
    assert names == {"train": ["a", "a_mirror"], "validation": ["b"], "test": []}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((["AMASS"],), r"`sources` must be some of .*'CMU'.*got unknown \['AMASS'\]"),
        ((["CMU"], "cmu_05_", "_01"), r"must not match the same clip, got \['cmu_05_01'"),
        ((["CMU"], "cmu_", "nobody"), "no clip of train left"),
        ((["CMU"], "nobody", "cmu_06"), "no clip of validation left"),
        ((["CMU"], "cmu_05_", None), "given together"),
        ((["CMU"], "cmu_(", "x"), "must be a regular expression of clip ids"),
        ((), "no clip of validation left"),
    ],
)
def test_splits_that_hold_nobody_or_someone_twice_are_refused(folder, arguments, message):
    with pytest.raises(ValueError, match=message):
        select_clips(BuiltDataset(folder), *arguments)


def sampler_of(folder, model, seed=(3, 0)) -> RestorationSampler:
    data = BuiltDataset(folder)
    clips = [clip for clip in data.clips if clip.source == "CMU"]
    return RestorationSampler(data, clips, model, batch_size=32, corruption=Corruption(), seed=seed)


def test_a_batch_depends_on_its_number_and_the_seed_only(folder, few_segments):
    model = tiny_model(folder)
    first, second, other = (sampler_of(folder, model, seed) for seed in ((3, 0), (3, 0), (3, 1)))
    second(0)
    batch, again = first(7), second(7)
    assert all(torch.equal(batch[name], again[name]) for name in batch)
    assert not torch.equal(batch["labels"], first(8)["labels"])
    assert not torch.equal(batch["labels"], other(7)["labels"])


def test_half_of_the_windows_show_faulty_legs_and_half_clean_bodies(folder, few_segments):
    model = tiny_model(folder)
    batch = sampler_of(folder, model)(0)
    assert batch["labels"].shape == batch["context_features"].shape == (32, 16, NUM_FEATURES)
    observed, mask = batch["observed"], batch["frame_mask"]
    assert 8 < observed.sum() < 24
    same = (batch["context_features"] == batch["labels"]).flatten(1).all(1)
    assert torch.equal(same, ~observed)
    assert ((batch["timesteps"] >= 1) & (batch["timesteps"] <= 1000)).all()
    assert mask[:, 0].all()
    assert (batch["labels"][~mask] == 0).all()
    contacts = batch["labels"][..., CONTACTS][mask]
    assert set(contacts.unique().tolist()) <= {0.0, 1.0}
    assert torch.isfinite(model(**batch).loss)


def test_windows_are_the_same_frames_of_both_copies():
    clean = np.arange(50, dtype=np.float32)[:, None].repeat(NUM_FEATURES, 1)
    pairs = [(clean, clean + 100), (clean[:5], clean[:5] + 100)]
    windows, corrupted, mask = cut_random_windows(pairs, 16, np.random.default_rng(0))
    assert torch.equal(corrupted[mask], windows[mask] + 100)
    assert mask.sum(1).tolist() == [16, 5]
    assert (windows[0, :, 0].diff() == 1).all() and (windows[1, 5:] == 0).all()


def test_windows_for_evaluation_are_always_the_same_and_cover_their_clips(folder):
    data = BuiltDataset(folder)
    clips = [clip for clip in data.clips if clip.clip_id in ("cmu_05_01", "cmu_60_01")]
    first, again = (evaluation_windows(data, clips, 16, Corruption()) for _ in range(2))
    assert [len(clean) for clean, _ in first] == [16, 16, 12]  # what is left of a long clip is dropped
    for (clean, corrupted), (clean_again, corrupted_again) in zip(first, again, strict=True):
        np.testing.assert_array_equal(clean, clean_again)
        np.testing.assert_array_equal(corrupted, corrupted_again)
        assert np.abs(clean - corrupted).max() > 1e-3


def test_evaluation_averages_over_windows_and_counts_contacts(folder):
    model = tiny_model(folder)
    data = BuiltDataset(folder)
    clips = [clip for clip in data.clips if clip.clip_id in ("cmu_05_01", "cmu_06_01")]
    windows = evaluation_windows(data, clips, 16, Corruption())
    with torch.no_grad():
        model.head.weight.zero_()
        model.head.bias[-4:] = 5.0  # everything touches
        numbers = evaluate_windows(model, windows, 3)
    share = np.mean([clean[:, CONTACTS] for clean, _ in windows])
    assert numbers["observed/contact_f1"] == pytest.approx(2 * share / (1 + share), abs=1e-3)
    # A model that repeats what it sees is right about clean legs and wrong about faulty ones.
    with torch.no_grad():
        clean_pairs = [(clean, clean) for clean, _ in windows]
        assert evaluate_windows(model, clean_pairs, 3)["observed/reconstruction"] < 1e-6
    assert numbers["observed/reconstruction"] > 1e-3
    assert numbers["masked/reconstruction"] > numbers["observed/reconstruction"]


def test_model_fields_are_checked():
    def arguments(model: str) -> FrdmArguments:
        return FrdmArguments(data_dir="data", sources=["CMU"], model=model)

    assert arguments('{"hidden_size": 8, "num_attention_heads": 2}').build_model().config.hidden_size == 8
    with pytest.raises(ValueError, match=r"no field of FrdmConfig: \['hidden'\]"):
        arguments('{"hidden": 8}').build_model()


def test_the_recipe_of_the_repository_builds_a_model(repository_root):
    recipe = repository_root / "training" / "configs" / "frdm_tiny_cpu.yaml"
    options = ["--config", str(recipe), "--data_dir", "data", "--output_dir", "run"]
    loop, arguments = train_frdm.parse_arguments((train_frdm.LoopArguments, FrdmArguments), options)
    assert arguments.build_model().config.window_frames == 96 and 0 < loop.learning_rate < 1e-2
    assert (arguments.validation_clips, arguments.test_clips) == ("cmu_05_", "_d01_")
