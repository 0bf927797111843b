import pytest

from infinitedance.training.arguments import LoopArguments
from infinitedance.training.loop import TrainingProgress, build_accelerator, find_checkpoints, learning_rate

ARGUMENTS = LoopArguments("run", max_steps=1000, warmup_steps=10, learning_rate=1.0, final_learning_rate_share=0.1)


@pytest.mark.parametrize(("step", "expected"), [(0, 0.1), (4, 0.5), (500, 0.55), (1000, 0.1)])
def test_the_learning_rate_rises_linearly_and_falls_as_a_cosine(step, expected):
    assert learning_rate(TrainingProgress(step), ARGUMENTS) == pytest.approx(expected, abs=1e-3)


def test_a_time_limit_shortens_the_schedule():
    timed = LoopArguments("run", max_steps=1000, max_minutes=10.0)
    assert TrainingProgress(100, 300.0).fraction(timed) == pytest.approx(0.5)
    assert TrainingProgress(900, 300.0).fraction(timed) == pytest.approx(0.9)
    assert TrainingProgress(100, 601.0).fraction(timed) == 1


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
