import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from infinitedance.tokenization.modeling_motion_codec import MotionCodecOutput
from infinitedance.training.arguments import LoopArguments
from infinitedance.training.loop import (
    WINDOWS_PER_SECOND,
    TrainingProgress,
    build_accelerator,
    build_optimizer,
    find_checkpoints,
    learning_rate,
    mean_over_processes,
    output_numbers,
    train,
    truncate_metrics,
)

TIMES = {"elapsed_seconds", WINDOWS_PER_SECOND}


class NoisyModel(torch.nn.Module):
    """Two layers with dropout, of which the first may be frozen."""

    def __init__(self):
        super().__init__()
        self.first, self.second = torch.nn.Linear(4, 16), torch.nn.Linear(16, 1)
        self.dropout = torch.nn.Dropout(0.5)

    def forward(self, inputs, targets):
        hidden_states = self.dropout(self.first(inputs))
        return MotionCodecOutput(loss=(self.second(hidden_states).squeeze(-1) - targets).square().mean())

    def save_pretrained(self, folder):
        torch.save(self.state_dict(), folder / "model.pt")


def noisy_batch(index: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(index)
    inputs = torch.randn(8, 4, generator=generator)
    return {"inputs": inputs, "targets": inputs.sum(1)}


class Interruption(Exception):
    """Ends a run as a crash would."""


def run_noisy_model(arguments: LoopArguments, *, stop_at: float = 2.0, frozen_share: float = 0.0) -> NoisyModel:
    """Train, and stop before the step at which a share of the run is done."""

    def before_step(fraction: float) -> None:
        if fraction >= stop_at:
            raise Interruption
        model.first.requires_grad_(fraction >= frozen_share)

    Path(arguments.output_dir).mkdir(exist_ok=True)
    accelerator = build_accelerator(arguments)
    model = NoisyModel()
    train(
        accelerator,
        model,
        build_optimizer(model, arguments),
        arguments,
        make_batch=noisy_batch,
        before_step=before_step,
        evaluate=lambda trained: {"mean": float(trained.second.weight.mean())},
    )
    return model


ARGUMENTS = LoopArguments("run", max_steps=1000, warmup_steps=10, learning_rate=1.0, final_learning_rate_share=0.1)


@pytest.mark.parametrize(("step", "expected"), [(0, 0.1), (4, 0.5), (500, 0.55), (1000, 0.1)])
def test_the_learning_rate_rises_linearly_and_falls_as_a_cosine(step, expected):
    assert learning_rate(TrainingProgress(step), ARGUMENTS) == pytest.approx(expected, abs=1e-3)


def test_a_time_limit_shortens_the_schedule():
    timed = LoopArguments("run", max_steps=1000, max_minutes=10.0)
    assert TrainingProgress(100, 300.0).fraction(timed) == pytest.approx(0.5)
    assert TrainingProgress(900, 300.0).fraction(timed) == pytest.approx(0.9)
    assert TrainingProgress(100, 601.0).fraction(timed) == 1


def test_the_optimizer_has_the_learning_parameters_and_decays_those_that_are_chosen():
    model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Linear(3, 4))
    model[1].requires_grad_(False)
    arguments = LoopArguments("run", weight_decay=0.3, learning_rate=0.5, adam_beta1=0.8, adam_beta2=0.95)
    optimizer = build_optimizer(model, arguments, lambda name, parameter: parameter.ndim > 1)
    groups = [(group["weight_decay"], *map(id, group["params"])) for group in optimizer.param_groups]
    assert groups == [(0.3, id(model[0].weight)), (0.0, id(model[0].bias))]
    assert all((group["lr"], group["betas"]) == (0.5, (0.8, 0.95)) for group in optimizer.param_groups)


def test_the_numbers_of_an_output_are_its_scalars_vectors_and_mappings_but_no_tensors():
    output = MotionCodecOutput(
        loss=torch.tensor(2.0, requires_grad=True),
        codes=torch.zeros(1, 2, 3),
        perplexity=torch.tensor([4.0, 5.0]),
        loss_terms={"foot": torch.tensor(1.0)},
    )
    assert output_numbers(output) == {"loss": 2.0, "perplexity_0": 4.0, "perplexity_1": 5.0, "foot": 1.0}


def test_the_last_checkpoint_is_that_of_the_highest_step_and_partial_ones_are_none(tmp_path):
    for name in ("checkpoint-9", "checkpoint-10", "partial-11"):
        (tmp_path / name).mkdir()
    assert [path.name for path in find_checkpoints(tmp_path)] == ["checkpoint-9", "checkpoint-10"]


def test_processes_that_do_not_know_each_other_are_refused(tmp_path, monkeypatch):
    accelerator_state(monkeypatch)
    with pytest.raises(RuntimeError, match="this one is alone"):
        build_accelerator(LoopArguments(str(tmp_path)))


def accelerator_state(monkeypatch):
    """Let the launcher claim two processes, after accelerate has settled on one."""
    build_accelerator(LoopArguments("unused"))
    monkeypatch.setenv("WORLD_SIZE", "2")


def test_a_launcher_that_starts_one_process_of_several_is_refused(tmp_path, monkeypatch):
    build_accelerator(LoopArguments("unused"))
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")
    build_accelerator(LoopArguments(str(tmp_path)))
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")  # as `accelerate launch --cpu --num_processes 2` does
    with pytest.raises(RuntimeError, match=r"launch_two_cpu_processes\.yaml"):
        build_accelerator(LoopArguments(str(tmp_path)))


def test_weights_that_accelerate_would_copy_instead_of_sharding_are_refused(tmp_path, monkeypatch):
    build_accelerator(LoopArguments("unused"))
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    monkeypatch.setenv("FSDP_VERSION", "2")
    with pytest.raises(RuntimeError, match="asks for FSDP, but accelerate does not shard"):
        build_accelerator(LoopArguments(str(tmp_path)))


@pytest.mark.parametrize("data_workers", [0, 2])
def test_a_resumed_run_equals_a_straight_one_bit_for_bit(tmp_path, data_workers):
    settings = {
        "max_steps": 8,
        "mixed_precision": "bf16",
        "gradient_accumulation_steps": 2,
        "data_workers": data_workers,
        "weight_decay": 0.1,
        "log_steps": 1,
        "eval_steps": 2,
    }
    straight = run_noisy_model(LoopArguments(str(tmp_path / "straight"), checkpoint_minutes=0, **settings))
    folder = str(tmp_path / "resumed")
    with pytest.raises(Interruption):  # after step 3, whose checkpoint is the last
        run_noisy_model(LoopArguments(folder, checkpoint_minutes=0, **settings), stop_at=3 / 8)
    with pytest.raises(Interruption):  # after step 5, which has no checkpoint
        run_noisy_model(LoopArguments(folder, resume=True, **settings), stop_at=5 / 8)
    (tmp_path / "resumed" / "partial-6").mkdir()
    resumed = run_noisy_model(LoopArguments(folder, resume=True, checkpoint_minutes=0, **settings))

    first, second = straight.state_dict(), resumed.state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    logs = [read_metrics(tmp_path / name) for name in ("straight", "resumed")]
    assert logs[0] == logs[1] and len(logs[0]) == 8 + 4
    assert not (tmp_path / "resumed" / "partial-6").exists()


def test_a_run_does_not_begin_in_the_folder_of_another(tmp_path):
    arguments = LoopArguments(str(tmp_path), max_steps=1)
    (tmp_path / "partial-1").mkdir()
    run_noisy_model(arguments)
    assert not (tmp_path / "partial-1").exists()
    before = read_metrics(tmp_path)
    with pytest.raises(FileExistsError, match="holds a run already: go on with it by `--resume`"):
        run_noisy_model(arguments)
    assert read_metrics(tmp_path) == before
    (tmp_path / "checkpoint-1" / "progress.json").write_text("{")
    with pytest.raises(ValueError, match="checkpoint-1 cannot be read"):
        run_noisy_model(LoopArguments(str(tmp_path), max_steps=2, resume=True))


def read_metrics(folder) -> list[dict]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name not in TIMES} for line in lines]


def test_metrics_after_the_checkpoint_and_a_torn_line_are_dropped(tmp_path):
    truncate_metrics(tmp_path, 3)  # nothing was logged yet
    (tmp_path / "metrics.jsonl").write_text('{"step": 2}\n{"step": 3}\n{"step": 3, "a": 1}\n{"step": 4}\n{"step"')
    truncate_metrics(tmp_path, 3)
    assert (tmp_path / "metrics.jsonl").read_text() == '{"step": 2}\n{"step": 3}\n{"step": 3, "a": 1}\n'


def test_what_is_frozen_does_not_decay(tmp_path):
    torch.manual_seed(0)
    arguments = LoopArguments(str(tmp_path), max_steps=4, weight_decay=0.5, checkpoint_minutes=0)
    build_accelerator(arguments)
    first = NoisyModel().first.weight  # with the weights that the run begins with
    with pytest.raises(Interruption):
        run_noisy_model(arguments, stop_at=0.75, frozen_share=0.5)
    frozen = run_noisy_model(LoopArguments(str(tmp_path / "all"), max_steps=4, weight_decay=0.5), frozen_share=0.99)
    assert torch.equal(frozen.first.weight, first)
    assert not torch.equal(load_weight(tmp_path), first)


def load_weight(folder) -> torch.Tensor:
    from safetensors.torch import load_file

    return load_file(find_checkpoints(folder)[-1] / "model.safetensors")["first.weight"]


def test_numbers_of_one_process_are_their_mean():
    assert mean_over_processes(SimpleNamespace(num_processes=1), {"loss": 2.0}) == {"loss": 2.0}
