"""Batches that worker processes make ahead of time."""

import json

import pytest
import torch

from infinitedance.dataset_builder.built import BuiltDataset
from infinitedance.tokenization.modeling_motion_codec import MotionCodecModel
from infinitedance.training import train_motion_codec
from infinitedance.training.arguments import LoopArguments
from infinitedance.training.data_motion_codec import WindowSampler
from infinitedance.training.loop import _numbered_batches

TINY_MODEL = {"hidden_size": 16, "codebook_dim": 8, "codebook_size": 8, "residual_dilations": [1]}


@pytest.fixture
def sampler(built_folder) -> WindowSampler:
    data = BuiltDataset(built_folder)
    settings = {"window_frames": 32, "batch_size": 4, "group_balance": 0.5, "seed": (0, 0)}
    return WindowSampler(data, data.split("train"), num_augmented=1, **settings)


@pytest.mark.parametrize("num_workers", [1, 2])
@pytest.mark.parametrize("first_step", [0, 2])
def test_workers_make_the_batches_that_are_made_without(sampler, num_workers, first_step):
    """From the first step on and after a resume, in their order."""
    made = []
    for workers in (0, num_workers):
        arguments = LoopArguments("run", max_steps=5, gradient_accumulation_steps=2, data_workers=workers)
        made.append(list(_numbered_batches(sampler, first_step, arguments)))
    assert len(made[0]) == len(made[1]) == 2 * (5 - first_step)
    for number, batches in enumerate(zip(*made, strict=True), start=2 * first_step):
        for name, values in sampler(number).items():
            assert all(torch.equal(batch[name], values) for batch in batches), (number, name)


def test_neither_workers_nor_a_resume_draw_from_the_random_state_of_the_run(sampler):
    for workers in (0, 1):
        torch.manual_seed(0)
        before = torch.get_rng_state()
        next(iter(_numbered_batches(sampler, 1, LoopArguments("run", max_steps=3, data_workers=workers))))
        assert torch.equal(torch.get_rng_state(), before)


def test_a_run_with_workers_equals_one_without_also_when_it_is_resumed(built_folder, tmp_path, monkeypatch):
    def run(name: str, *options: str) -> dict[str, torch.Tensor]:
        line = ["--data_dir", str(built_folder), "--eval_split", "test", "--output_dir", str(tmp_path / name)]
        line += ["--model", json.dumps(TINY_MODEL), "--window_frames", "32", "--batch_size", "4", "--max_steps", "4"]
        train_motion_codec.main([*line, "--num_augmented", "1", "--checkpoint_minutes", "0", *options])
        return MotionCodecModel.from_pretrained(tmp_path / name).state_dict()

    alone = run("alone")
    with_workers = run("workers", "--data_workers", "2")

    make_batch = WindowSampler.__call__

    def interrupted(self, batch_index):
        if batch_index == 2:
            raise RuntimeError("interrupted")
        return make_batch(self, batch_index)

    monkeypatch.setattr(WindowSampler, "__call__", interrupted)
    with pytest.raises(RuntimeError, match="interrupted"):
        run("resumed", "--data_workers", "2")
    monkeypatch.undo()
    assert [path.name for path in (tmp_path / "resumed").glob("checkpoint-*")] == ["checkpoint-2"]
    resumed = run("resumed", "--data_workers", "2", "--resume")
    for name, values in alone.items():
        assert torch.equal(with_workers[name], values) and torch.equal(resumed[name], values), name
