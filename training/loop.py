"""The training loop that all scripts share: schedule, checkpoints, exact resume, logs and the record of a run."""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import platform
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from statistics import fmean
from typing import Any, TypeVar

import numpy as np
import torch
from tqdm import tqdm
from transformers.utils import ModelOutput

from ..utils.atomic import atomic_path
from ..utils.errors import reading, writing
from .arguments import LoopArguments

PROCESS_TIMEOUT = timedelta(hours=12)
"""How long processes wait for the first one, which alone encodes the takes."""
_CHECKPOINT_PREFIX = "checkpoint-"
_PARTIAL_PREFIX = "partial-"
_PROGRESS_FILE = "progress.json"
_METRICS_FILE = "metrics.jsonl"
WINDOWS_PER_SECOND, TOKENS_PER_SECOND = "windows_per_second", "tokens_per_second"
"""Entries of the log that differ from run to run."""
Item = TypeVar("Item")
Key = TypeVar("Key")


@dataclass
class TrainingProgress:
    """How far a run has come, over all its resumes."""

    step: int = 0
    elapsed_seconds: float = 0.0

    def fraction(self, arguments: LoopArguments) -> float:
        """Return the share of the run that is done, by steps or by time, whichever is further."""
        share = self.step / arguments.max_steps
        if arguments.max_minutes is not None:
            share = max(share, self.elapsed_seconds / 60 / arguments.max_minutes)
        return min(share, 1.0)


def learning_rate(progress: TrainingProgress, arguments: LoopArguments) -> float:
    """Rise linearly over the warm-up, then fall as a cosine of the share of the run that is done."""
    warmup = min(1.0, (progress.step + 1) / max(1, arguments.warmup_steps))
    cosine = 0.5 * (1 + math.cos(math.pi * progress.fraction(arguments)))
    low = arguments.final_learning_rate_share
    return arguments.learning_rate * warmup * (low + (1 - low) * cosine)


def build_accelerator(arguments: LoopArguments, *, find_unused_parameters: bool = False) -> Any:
    """Return the `Accelerator` of a run, seeded.

    Args:
        arguments: The run.
        find_unused_parameters: Whether a batch may leave parameters without a gradient. Processes that train together
            must look for them, at some cost, or they would wait for those gradients.

    Raises:
        RuntimeError: If several processes were asked for, and this one is alone; or if the weights were to be shared
            out among the processes (FSDP), and each has all of them.
    """
    from accelerate import Accelerator
    from accelerate.utils import DistributedDataParallelKwargs, InitProcessGroupKwargs, set_seed

    several = _several_processes_were_asked_for()
    accelerator = Accelerator(
        # Without this torchrun's processes would not find each other on a machine without GPUs.
        cpu=several and not torch.accelerator.is_available(),
        gradient_accumulation_steps=arguments.gradient_accumulation_steps,
        mixed_precision=arguments.mixed_precision,
        log_with=None if arguments.tracker == "none" else arguments.tracker,
        project_dir=arguments.output_dir,
        kwargs_handlers=[
            DistributedDataParallelKwargs(find_unused_parameters=find_unused_parameters),
            InitProcessGroupKwargs(timeout=PROCESS_TIMEOUT),
        ],
    )
    if accelerator.num_processes == 1 and several:
        raise RuntimeError(
            "The launcher was asked for several processes, but this one is alone. `accelerate launch --cpu "
            "--num_processes 2` starts one only: use `accelerate launch --config_file "
            "training/configs/launch_two_cpu_processes.yaml`, any configuration with `distributed_type: MULTI_GPU` "
            "(and `use_cpu: true` on CPUs), or `torchrun --nproc_per_node 2`. For one process, `unset MASTER_ADDR`."
        )
    if os.environ.get("ACCELERATE_USE_FSDP", "false") == "true" and not accelerator.is_fsdp2:
        raise RuntimeError(
            "The configuration asks for FSDP, but accelerate does not shard the weights here: on CPUs it would copy "
            "them to each process in silence, and version 1 is not supported. Use GPUs and `fsdp_version: 2` as in "
            "training/configs/launch_eight_gpus_fsdp.yaml, or training/configs/launch_two_cpu_processes.yaml."
        )
    set_seed(arguments.seed)
    return accelerator


def _several_processes_were_asked_for() -> bool:
    """Return whether the launcher set the environment for several processes."""
    if "WORLD_SIZE" in os.environ:
        return int(os.environ["WORLD_SIZE"]) > 1
    # `accelerate launch` without torchrun gives an address for several processes, though it starts one.
    return "ACCELERATE_MIXED_PRECISION" in os.environ and "MASTER_ADDR" in os.environ


def build_optimizer(
    model: torch.nn.Module,
    arguments: LoopArguments,
    decays: Callable[[str, torch.nn.Parameter], bool] = lambda name, parameter: True,
) -> torch.optim.AdamW:
    """Return AdamW over the parameters of a model that learn.

    Args:
        model: Frozen parameters are left out.
        arguments: The run.
        decays: Says of a parameter's name and values whether its weights decay.
    """
    groups: dict[bool, list[torch.nn.Parameter]] = {True: [], False: []}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups[decays(name, parameter)].append(parameter)
    return torch.optim.AdamW(
        [
            {"params": parameters, "weight_decay": arguments.weight_decay if is_decayed else 0.0}
            for is_decayed, parameters in groups.items()
            if parameters
        ],
        lr=arguments.learning_rate,
        betas=(arguments.adam_beta1, arguments.adam_beta2),
        fused=True,
    )


def output_numbers(output: ModelOutput) -> dict[str, float]:
    """Name the numbers of a model's output: scalars, those of a mapping, and those of a vector as `name_index`."""
    numbers: dict[str, torch.Tensor] = {}
    for name, value in output.items():
        if isinstance(value, dict):
            numbers |= value
        elif value.ndim == 0:
            numbers[name] = value
        elif value.ndim == 1:
            numbers |= {f"{name}_{index}": item for index, item in enumerate(value)}
    return {name: float(value.detach()) for name, value in numbers.items()}


def mean_over_processes(accelerator: Any, numbers: dict[str, float]) -> dict[str, float]:
    """Average each number over the processes that have it; every process must call this."""
    if accelerator.num_processes == 1:
        return numbers
    from accelerate.utils import gather_object

    everyone = gather_object([numbers])
    names = dict.fromkeys(name for own in everyone for name in own)
    return {name: fmean(own[name] for own in everyone if name in own) for name in names}


@dataclass(frozen=True)
class Processes:
    """Which of several processes this one is, for work that they share out.

    Args:
        index: Of this process.
        count: Of processes.
    """

    index: int = 0
    count: int = 1

    @classmethod
    def of(cls, accelerator: Any) -> Processes:
        """Return those of a run."""
        return cls(accelerator.process_index, accelerator.num_processes)

    def share(self, items: Sequence[Item]) -> list[Item]:
        """Return every `count`-th item, beginning with that of this process."""
        return list(items[self.index :: self.count])

    def add_up(self, values: dict[Key, np.ndarray]) -> dict[Key, np.ndarray]:
        """Return the sums of the processes' values of each name, for which some may have none; each must call this."""
        if self.count == 1:
            return values
        from accelerate.utils import gather_object

        everyone = gather_object([values])
        names = dict.fromkeys(name for own in everyone for name in own)
        return {name: np.sum([own[name] for own in everyone if name in own], axis=0) for name in names}


def train(
    accelerator: Any,
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    arguments: LoopArguments,
    *,
    make_batch: Callable[[int], dict[str, Any]],
    before_step: Callable[[float], None],
    evaluate: Callable[[Any], dict[str, float]],
    describe: Callable[[Any], dict[str, float]] = output_numbers,
    splits_evaluation: bool = False,
    tokens_per_window: int = 0,
) -> TrainingProgress:
    """Train until `max_steps` or `max_minutes`; continue from the last checkpoint if `resume` is set.

    The model as of the last evaluation lies in `output_dir`; `metrics.jsonl` there has a line for each log entry, with
    the numbers of the last micro-batch, averaged over the processes, and the windows that all of them trained on in a
    second since the last entry.

    Several processes are equal in expectation to one with their batches joined: gradients are averaged, codebooks
    learn from all of them. Only averages whose weights differ from process to process (masked losses, the balance of
    the gate) and contrasts within a batch (`train_retrieval`) are those of each process's own batch.

    Args:
        accelerator: As `build_accelerator` returns it.
        model: Takes a batch as keyword arguments and returns an output with a `loss`.
        optimizer: Of the model's parameters.
        arguments: The run.
        make_batch: Returns the micro-batch with a given number, always the same for the same number: that makes a
            resumed run equal an uninterrupted one.
        before_step: Called with the share of the run that is done, before each optimizer step.
        evaluate: Returns the numbers of a model in evaluation mode.
        describe: Returns the numbers of a training step from the model's output.
        splits_evaluation: Whether `evaluate` shares its work out among the processes, with `Processes`, and must be
            called by each; otherwise the first one evaluates alone.
        tokens_per_window: Motion tokens of a window, for the logged `tokens_per_second`; 0 for no such entry.

    Returns:
        Steps and time of the whole run.

    Raises:
        FileExistsError: If `output_dir` holds a run, and this one does not go on with it.
        FileNotFoundError: If it is to go on, and there is none.
    """
    output_dir = Path(arguments.output_dir)
    if not arguments.resume and find_checkpoints(output_dir):
        raise FileExistsError(
            f"{output_dir} holds a run already: go on with it by `--resume`, or give another `--output_dir`."
        )
    accelerator.wait_for_everyone()  # before the first checkpoint of the fastest process
    if accelerator.is_main_process:
        for folder in output_dir.glob(f"{_PARTIAL_PREFIX}*"):
            shutil.rmtree(folder)
    model, optimizer = _prepare(accelerator, model, optimizer)
    if accelerator.process_index > 0:
        from accelerate.utils import set_seed

        set_seed(arguments.seed, device_specific=True)  # dropout of its own; the first process draws as one alone does
    progress = load_checkpoint(accelerator, output_dir) if arguments.resume else TrainingProgress()
    if arguments.tracker != "none":
        hidden = {"tensorboard": {"purge_step": progress.step + 1}} if arguments.resume else {}
        accelerator.init_trackers("training", init_kwargs=hidden)
    batches = iter(_numbered_batches(make_batch, progress.step, arguments))
    bar = tqdm(
        total=arguments.max_steps, initial=progress.step, disable=not accelerator.is_main_process, mininterval=5
    )
    last_time = last_checkpoint = time.monotonic()
    windows_per_step = arguments.batch_size * arguments.gradient_accumulation_steps * accelerator.num_processes
    logged = TrainingProgress(**asdict(progress))
    done = progress.fraction(arguments) >= 1
    while not done:
        before_step(progress.fraction(arguments))
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(progress, arguments)
        output = train_step(accelerator, model, optimizer, batches, arguments)
        progress.step += 1
        now = time.monotonic()
        progress.elapsed_seconds, last_time = progress.elapsed_seconds + now - last_time, now
        bar.update()
        done = _agree(accelerator, progress.fraction(arguments) >= 1)
        if progress.step % arguments.log_steps == 0 or done:
            numbers = mean_over_processes(accelerator, describe(output))
            numbers |= {"learning_rate": optimizer.param_groups[0]["lr"]}
            seconds = max(progress.elapsed_seconds - logged.elapsed_seconds, 1e-9)
            windows_per_second = windows_per_step * (progress.step - logged.step) / seconds
            numbers |= {WINDOWS_PER_SECOND: windows_per_second}
            if tokens_per_window:
                numbers |= {TOKENS_PER_SECOND: windows_per_second * tokens_per_window}
            _log(accelerator, output_dir, progress, numbers)
            bar.set_postfix(loss=f"{numbers['loss']:.4f}")
            logged = TrainingProgress(**asdict(progress))
        if progress.step % arguments.eval_steps == 0 or done:
            _evaluate_and_save(accelerator, model, output_dir, progress, evaluate, splits_evaluation)
        if done or _agree(accelerator, now - last_checkpoint > arguments.checkpoint_minutes * 60):
            save_checkpoint(accelerator, output_dir, progress)
            last_checkpoint = now
    bar.close()
    accelerator.end_training()
    return progress


def train_step(
    accelerator: Any,
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Iterator[dict[str, Any]],
    arguments: LoopArguments,
) -> Any:
    """Run the micro-batches of one optimizer step and that step; return the last output."""
    from accelerate.utils import send_to_device

    model.train()
    for _ in range(arguments.gradient_accumulation_steps):
        batch = next(batches)
        with accelerator.accumulate(model):
            output = model(**send_to_device(batch, accelerator.device))
            accelerator.backward(output.loss)
            if accelerator.sync_gradients:
                accelerator.clip_grad_norm_(model.parameters(), arguments.max_grad_norm)
            optimizer.step()
            optimizer.zero_grad()
    return output


class _NumberedBatches(torch.utils.data.Dataset):
    """Data set whose items are the batches of a run, made when they are asked for."""

    def __init__(self, make_batch: Callable[[int], dict[str, Any]]):
        self.make_batch = make_batch

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.make_batch(index)


def _numbered_batches(
    make_batch: Callable[[int], dict[str, Any]], first_step: int, arguments: LoopArguments
) -> torch.utils.data.DataLoader:
    """Return the batches from a step on, in their order, made by worker processes if there are any."""
    numbers = range(
        first_step * arguments.gradient_accumulation_steps,
        arguments.max_steps * arguments.gradient_accumulation_steps,
    )
    # Workers that are forked need no copy of the takes, and `make_batch` need not be pickled.
    can_fork = arguments.data_workers > 0 and "fork" in multiprocessing.get_all_start_methods()
    # The loader draws a seed for its workers: from the run's own random state, it would set a resumed run apart.
    return torch.utils.data.DataLoader(
        _NumberedBatches(make_batch),
        batch_size=None,
        sampler=numbers,
        num_workers=arguments.data_workers,
        multiprocessing_context="fork" if can_fork else None,
        generator=torch.Generator(),
    )


def _agree(accelerator: Any, decision: bool) -> bool:
    """Let the first process decide for all: clocks differ, and a lone process would wait for ever."""
    if accelerator.num_processes == 1:
        return decision
    from accelerate.utils import broadcast_object_list

    return broadcast_object_list([decision])[0]


def checkpoint_activations(model: Any) -> None:
    """Let a model compute layers and experts anew in the backward pass."""
    # Older versions of transformers have the second name only.
    enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
    enable()


def _prepare(accelerator: Any, model: Any, optimizer: Any) -> tuple[Any, Any]:
    """Spread model and optimizer over the processes.

    Raises:
        RuntimeError: If torch cannot reduce sharded gradients that a process lacks.
    """
    if not accelerator.is_fsdp2:
        return accelerator.prepare(model, optimizer)
    # The heads are read level by level, not called: as a unit of their own they would never be put together.
    model.get_output_embeddings = lambda: None
    model, optimizer = accelerator.prepare(model, optimizer)
    del model.get_output_embeddings
    if not hasattr(model, "set_reduce_scatter_unused_params"):
        raise RuntimeError(
            f"FSDP with parts that not all processes use needs torch 2.13 or newer, got {torch.__version__}."
        )
    model.set_reduce_scatter_unused_params(True)
    _make_optimizer_state(optimizer.optimizer)
    return model, optimizer


def _make_optimizer_state(optimizer: torch.optim.Optimizer) -> None:
    """Let AdamW make its state of all weights, at rest: a sharded checkpoint without that of frozen ones is no use."""
    rates = [group["lr"] for group in optimizer.param_groups]
    for group in optimizer.param_groups:
        group["lr"] = 0.0
        for parameter in group["params"]:
            parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    optimizer.zero_grad()
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = rate
        for parameter in group["params"]:
            optimizer.state[parameter]["step"].zero_()


def _evaluate_and_save(
    accelerator: Any,
    model: torch.nn.Module,
    output_dir: Path,
    progress: TrainingProgress,
    evaluate: Callable[[Any], dict[str, float]],
    splits_evaluation: bool,
) -> None:
    is_main, is_sharded = accelerator.is_main_process, accelerator.is_fsdp2
    unwrapped: Any = accelerator.unwrap_model(model)
    unwrapped.eval()
    numbers: dict[str, float] = {}
    if is_main or splits_evaluation or is_sharded:  # sharded weights are put together by all processes
        with torch.no_grad():  # what FSDP puts together in inference mode could not be trained afterwards
            numbers = evaluate(unwrapped)
    weights = accelerator.get_state_dict(model) if is_sharded else None
    if is_main:
        unwrapped.save_pretrained(output_dir, **({} if weights is None else {"state_dict": weights}))
        _log(accelerator, output_dir, progress, {f"eval/{name}": value for name, value in numbers.items()})
        tqdm.write(f"step {progress.step}: " + ", ".join(f"{name} {value:.4g}" for name, value in numbers.items()))
    accelerator.wait_for_everyone()


def _log(accelerator: Any, output_dir: Path, progress: TrainingProgress, numbers: dict[str, float]) -> None:
    accelerator.log(numbers, step=progress.step)
    if accelerator.is_main_process:
        with (output_dir / _METRICS_FILE).open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(progress) | numbers) + "\n")


def save_checkpoint(accelerator: Any, output_dir: Path, progress: TrainingProgress) -> None:
    """Write `checkpoint-STEP` under another name, then rename it, so that it is either whole or absent; drop older."""
    target = output_dir / f"{_CHECKPOINT_PREFIX}{progress.step}"
    if target.exists():
        return
    partial = output_dir / f"{_PARTIAL_PREFIX}{progress.step}"
    with writing(partial):
        accelerator.save_state(str(partial))
    accelerator.wait_for_everyone()  # each process writes its own random state
    if accelerator.is_main_process:
        (partial / _PROGRESS_FILE).write_text(json.dumps(asdict(progress)), encoding="utf-8")
        older = find_checkpoints(output_dir)
        partial.rename(target)
        for folder in older:
            shutil.rmtree(folder)
    accelerator.wait_for_everyone()


def find_checkpoints(output_dir: Path) -> list[Path]:
    """Return the complete checkpoints of a run, oldest first."""
    found = [path for path in output_dir.glob(f"{_CHECKPOINT_PREFIX}*") if path.name.split("-", 1)[1].isdecimal()]
    return sorted(found, key=lambda path: int(path.name.split("-")[1]))


def load_checkpoint(accelerator: Any, output_dir: Path) -> TrainingProgress:
    """Restore model, optimizer and random states from the last checkpoint; forget what was done and logged after it.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If a file of it is damaged.
    """
    checkpoints = find_checkpoints(output_dir)
    if not checkpoints:
        raise FileNotFoundError(f"{output_dir} has no checkpoint to resume from: start without `--resume`.")
    with reading(checkpoints[-1]):
        accelerator.load_state(str(checkpoints[-1]))
        progress = TrainingProgress(**json.loads((checkpoints[-1] / _PROGRESS_FILE).read_text(encoding="utf-8")))
    if accelerator.is_main_process:
        truncate_metrics(output_dir, progress.step)
    accelerator.wait_for_everyone()
    return progress


def truncate_metrics(output_dir: Path, last_step: int) -> None:
    """Drop the lines of `metrics.jsonl` after a step, and one that was cut off: a resumed run logs them again."""
    path = output_dir / _METRICS_FILE
    if not path.is_file():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            is_earlier = json.loads(line)["step"] <= last_step
        except json.JSONDecodeError:
            is_earlier = False
        if is_earlier:
            kept.append(line + "\n")
    with atomic_path(path) as partial:
        partial.write_text("".join(kept), encoding="utf-8")


def write_run_record(output_dir: str | Path, arguments: dict[str, Any]) -> None:
    """Write arguments, package versions and git commit to `run.json` in `output_dir`."""
    folder = Path(output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    packages = ("infinitedance", "torch", "transformers", "accelerate", "numpy")
    record = {
        "arguments": arguments,
        "versions": {"python": platform.python_version()} | {name: version(name) for name in packages},
        "git_commit": _git_commit(),
    }
    with atomic_path(folder / "run.json") as partial:
        partial.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def _git_commit() -> str | None:
    """Return the commit of the package's checkout; an installed wheel has none."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
