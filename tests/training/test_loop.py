import pytest
import torch

from infinitedance.tokenization.modeling_motion_codec import MotionCodecOutput
from infinitedance.training.arguments import LoopArguments
from infinitedance.training.loop import (
    TrainingProgress,
    build_accelerator,
    build_optimizer,
    find_checkpoints,
    learning_rate,
    output_numbers,
)

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
    with pytest.raises(RuntimeError, match="each believes that it is alone"):
        build_accelerator(LoopArguments(str(tmp_path)))


def accelerator_state(monkeypatch):
    """Let the launcher claim two processes, after accelerate has settled on one."""
    build_accelerator(LoopArguments("unused"))
    monkeypatch.setenv("WORLD_SIZE", "2")
