"""Check in a few minutes that a GPU computes what the CPU computes, and how fast: `python -m benchmarks.gpu_check`.

The default model and one of the paper's size with random weights: logits and greedy codes against those of the CPU,
our selective scan against the kernel of `mamba-ssm` where that is installed, a training step in bf16 with and without
gradient checkpointing, and the speed of generation. The numbers go to `docs/gpu_check.json`.

Without a GPU, or with `--tiny`, only the paths of the program are run, with tiny models, and nothing is written. The
exit status is 1 if a comparison fails.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from infinitedance.assets import DEFAULT_MODEL
from infinitedance.evaluation.report.tables import Table, table_markdown
from infinitedance.modeling.choreollama import mamba
from infinitedance.modeling.choreollama.configuration_choreollama import ChoreoLlamaConfig
from infinitedance.modeling.choreollama.modeling_choreollama import ChoreoLlamaForConditionalGeneration
from infinitedance.training.loop import checkpoint_activations

from .scaling import config_1b, encoded_tokens, operations, write_section

LOGITS_TOLERANCE, SCAN_TOLERANCE = 2e-3, 1e-3
"""Largest difference of logits in float32, and of a scan relative to its largest value."""
MAX_SECONDS = 450
"""After which nothing more is begun."""
TINY_BACKBONE = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2}


@dataclass(frozen=True)
class Sizes:
    """How much is run.

    Args:
        equality_tokens: Tokens that are written and compared.
        song_tokens: Tokens of the song whose generation is timed.
        steps: Training steps that are timed.
        batch_sizes: Windows of a step, by model.
        scan_shape: Batch, length, channels and states of the compared scan.
    """

    equality_tokens: int = 64
    song_tokens: int = 150
    steps: int = 5
    batch_sizes: tuple[int, int] = (32, 16)
    scan_shape: tuple[int, int, int, int] = (4, 288, 4096, 16)


TINY = Sizes(equality_tokens=8, song_tokens=8, steps=1, batch_sizes=(2, 1), scan_shape=(2, 8, 8, 4))


def tiny_config(placement: str) -> ChoreoLlamaConfig:
    """Return a configuration that any machine runs in an instant."""
    return ChoreoLlamaConfig(
        backbone_config={"model_type": "llama", **TINY_BACKBONE, "intermediate_size": 16},
        expert_hidden_size=8,
        expert_num_heads=2,
        expert_attention_tokens=4,
        max_window_tokens=8,
        codebook_size=8,
        codebook_dim=8,
        condition_placement=placement,
    )


def build_models(is_tiny: bool, device: torch.device) -> dict[str, Callable[[], ChoreoLlamaForConditionalGeneration]]:
    """Return by name what builds the model on the device, in float32; weights are random but for the default model."""

    def new(config: ChoreoLlamaConfig) -> ChoreoLlamaForConditionalGeneration:
        torch.manual_seed(0)
        with device:
            model = ChoreoLlamaForConditionalGeneration(config)
            model.set_codebooks(torch.randn(config.num_quantizers, config.codebook_size, config.codebook_dim))
        return model

    if is_tiny:
        return {"small": lambda: new(tiny_config("aligned")), "1 B": lambda: new(tiny_config("prefix"))}

    def shipped() -> ChoreoLlamaForConditionalGeneration:
        return ChoreoLlamaForConditionalGeneration.from_pretrained(DEFAULT_MODEL, dtype="float32").to(device)

    return {"small": shipped, "1 B": lambda: new(config_1b())}


def make_batch(config: ChoreoLlamaConfig, batch_size: int, device: torch.device) -> dict[str, Any]:
    """Return a training batch of random numbers, the same on every device."""
    generator = torch.Generator().manual_seed(0)
    frames, tokens = encoded_tokens(config) * config.frames_per_token, config.max_window_tokens
    references = (batch_size, config.max_references, frames, config.motion_feature_size)
    codes = torch.randint(config.codebook_size, (batch_size, config.num_quantizers, tokens), generator=generator)
    tensors = {
        "input_features": torch.randn(batch_size, frames, config.music_feature_size, generator=generator),
        "reference_features": torch.randn(references, generator=generator),
        "motion_codes": codes,
        "labels": codes,
    }
    batch: dict[str, Any] = {name: tensor.to(device) for name, tensor in tensors.items()}
    return batch | {"num_context_tokens": config.context_tokens}


def _build_on(is_tiny: bool, name: str, device: torch.device) -> ChoreoLlamaForConditionalGeneration:
    return build_models(is_tiny, device)[name]()


def wait_for(device: torch.device) -> None:
    """Wait until a GPU has done what it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@torch.no_grad()
def compare_model(
    name: str, build: Callable[[torch.device], ChoreoLlamaForConditionalGeneration], device: torch.device, sizes: Sizes
) -> list[Any]:
    """Return a row: how far logits are from the CPU's in float32, and the share of greedy codes that are the same."""
    results = []
    for place in (torch.device("cpu"), device):
        model = build(place).eval()
        logits = model(**make_batch(model.config, 1, place)).logits.cpu()
        frames = sizes.equality_tokens * model.config.frames_per_token
        song = torch.randn(1, frames, model.config.music_feature_size, generator=torch.Generator().manual_seed(1))
        codes = model.generate_codes(song.to(place), seeds=[0], do_sample=False, guidance_scale=1.0).cpu()
        results.append((logits, codes))
    (logits, codes), (found_logits, found_codes) = results
    difference = float((logits - found_logits).abs().max())
    same = float((codes == found_codes).double().mean())
    return [name, difference, LOGITS_TOLERANCE, 100 * same, difference < LOGITS_TOLERANCE and same == 1]


def compare_scan(device: torch.device, sizes: Sizes) -> list[Any]:
    """Return a row: how far the kernel of `mamba-ssm` is from our scan, and the times of both in ms."""
    batch_size, length, channels, states = sizes.scan_shape
    generator = torch.Generator().manual_seed(0)
    inputs, time_steps = torch.randn(2, batch_size, length, channels, generator=generator).to(device)
    weights = torch.randn(2, batch_size, length, states, generator=generator).to(device)
    decay = -torch.rand(channels, states, generator=generator).to(device)
    given = (inputs, torch.nn.functional.softplus(time_steps), decay, *weights)
    kernel = mamba.selective_scan_fn
    has_kernel = kernel is not None and device.type == "cuda"
    seconds, outputs = {}, {}
    try:
        for name in ("ours", "kernel") if has_kernel else ("ours",):
            mamba.selective_scan_fn = kernel if name == "kernel" else None
            outputs[name] = mamba.selective_scan(*given)  # compiles
            seconds[name] = median_seconds(lambda: mamba.selective_scan(*given), device, sizes.steps)
    finally:
        mamba.selective_scan_fn = kernel
    if not has_kernel:
        return ["not installed" if device.type == "cuda" else "needs a GPU", None, 1e3 * seconds["ours"], None, None]
    difference = float((outputs["kernel"] - outputs["ours"]).abs().max() / outputs["ours"].abs().max())
    return ["", difference, 1e3 * seconds["ours"], 1e3 * seconds["kernel"], difference < SCAN_TOLERANCE]


def median_seconds(work: Callable[[], Any], device: torch.device, repeats: int) -> float:
    """Return the median time of some work."""
    times = []
    for _ in range(repeats):
        wait_for(device)
        start = time.perf_counter()
        work()
        wait_for(device)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def time_training(
    name: str, model: ChoreoLlamaForConditionalGeneration, device: torch.device, sizes: Sizes, batch_size: int
) -> list[list[Any]]:
    """Return rows: seconds of a step in bf16, windows and 10^12 operations a second, most memory in GB."""
    config, rows = model.config, []
    optimizer = torch.optim.AdamW((each for each in model.parameters() if each.requires_grad), lr=1e-5, fused=True)
    batch = make_batch(config, batch_size, device)
    model.train()

    def step() -> None:
        with torch.autocast(device.type, torch.bfloat16):
            loss = model(**batch).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    for is_checkpointed in (False, True):
        if is_checkpointed:
            checkpoint_activations(model)
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        step()  # the optimizer makes its state
        seconds = median_seconds(step, device, sizes.steps)
        memory = torch.cuda.max_memory_allocated(device) / 1e9 if device.type == "cuda" else None
        kind = "checkpointed" if is_checkpointed else "plain"
        teraflops = operations(config) * batch_size / seconds / 1e12
        rows.append([name, kind, batch_size, seconds, batch_size / seconds, teraflops, memory])
    return rows


@torch.no_grad()
def time_generation(
    name: str, model: ChoreoLlamaForConditionalGeneration, device: torch.device, sizes: Sizes
) -> list[list[Any]]:
    """Return rows: how much faster than real time a dance is written in bf16, with guidance 1 and 2."""
    config, rows = model.config, []
    frames = sizes.song_tokens * config.frames_per_token
    song = torch.randn(1, frames, config.music_feature_size, device=device)
    model = model.eval().to(torch.bfloat16)
    for guidance in (1.0, 2.0):

        def write(scale: float = guidance) -> torch.Tensor:
            return model.generate_codes(song.to(model.dtype), seeds=[0], guidance_scale=scale)

        write()  # warm
        seconds = median_seconds(write, device, min(3, sizes.steps))
        song_seconds = frames / config.frame_rate
        rows.append([name, guidance, song_seconds, seconds, song_seconds / seconds])
    return rows


def check(device: torch.device, is_tiny: bool) -> tuple[list[Table], list[str]]:
    """Run everything; return the tables and what failed or was left out for lack of time."""
    sizes, start, problems = TINY if is_tiny else Sizes(), time.monotonic(), []
    equality, training, generation = [], [], []
    scan = compare_scan(device, sizes)
    if scan[-1] is False:
        problems.append("the kernel of mamba-ssm differs from our scan")
    names = list(build_models(is_tiny, device))
    for name, batch_size in zip(names, sizes.batch_sizes, strict=True):
        if time.monotonic() - start > MAX_SECONDS:
            problems.append(f"no time was left for the model {name}")
            continue
        if is_tiny or name == "small":  # the large one would take the CPU minutes, and has the same code
            equality.append(compare_model(name, partial(_build_on, is_tiny, name), device, sizes))
            if not equality[-1][-1]:
                problems.append(f"the model {name} differs from the CPU's: {equality[-1]}")
        model = build_models(is_tiny, device)[name]()
        training += time_training(name, model, device, sizes, batch_size)
        generation += time_generation(name, model, device, sizes)
        del model
        if device.type == "cuda":
            torch.cuda.empty_cache()
    tables = [
        Table(
            "Against the CPU, float32",
            ["model", "largest difference of logits", "allowed", "greedy codes that are the same, %", "passed"],
            equality,
        ),
        Table("Selective scan", ["mamba-ssm", "relative difference", "ours, ms", "kernel, ms", "passed"], [scan]),
        Table(
            "A training step, bf16",
            ["model", "activations", "windows", "seconds", "windows a second", "10^12 operations a second", "GB"],
            training,
        ),
        Table("Writing codes, bf16", ["model", "guidance", "song, s", "seconds", "x real time"], generation),
    ]
    return tables, problems


def main(command_line: list[str] | None = None) -> int:
    """Print the tables, write them where there is a GPU, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="tiny models, on any device; nothing is written")
    parser.add_argument("--output", type=Path, default=Path("docs/gpu_check.json"), help="default: %(default)s")
    arguments = parser.parse_args(command_line)
    has_gpu = torch.cuda.is_available()
    device = torch.device("cuda" if has_gpu else "cpu")
    is_tiny = arguments.tiny or not has_gpu
    if not has_gpu:
        print("No GPU is at hand: tiny models are compared on the CPU with themselves, and nothing is written.")
    torch.backends.cuda.matmul.allow_tf32 = False
    tables, problems = check(device, is_tiny)
    for table in tables:
        print(table_markdown(asdict(table)))
    for problem in problems:
        print(f"Not passed: {problem}.", file=sys.stderr)
    if not is_tiny:
        title = f"On one {torch.cuda.get_device_name(device)}"
        write_section(arguments.output, "gpu", title, "python -m benchmarks.gpu_check", tables)
    return 1 if problems else 0


if __name__ == "__main__":
    raise SystemExit(main())
