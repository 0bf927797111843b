"""Measure the paper's model at full size, with random weights, on the CPU that is here.

```bash
python -m benchmarks.one_billion --work_dir outputs/one_billion --output docs/one_billion.md
```

It takes some minutes, about 10 GB of memory and 5 GB of disk. Absolute times are of one machine and its load; all ways
are run in turns, so that their ratios hold.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch.nn import functional as F
from transformers.generation import BaseStreamer

from infinitedance.assets import MODELS
from infinitedance.evaluation.report.tables import Table
from infinitedance.modeling.choreollama.conditions import Conditions
from infinitedance.modeling.choreollama.configuration_choreollama import ChoreoLlamaConfig
from infinitedance.modeling.choreollama.modeling_choreollama import ChoreoLlamaForConditionalGeneration
from infinitedance.utils.checkpoints import load_model
from infinitedance.utils.quantization import build_empty

from .writer import Section, add_sections_option, chosen_sections, shown_options, write_report

INTRODUCTION = """# One billion parameters on a CPU

`ChoreoLlamaConfig.paper_1b`, the sizes of the paper, with random weights: a song of noise, ten references, windows of
96 tokens with the condition as a prefix. `flat` is one step of the backbone a code, as in the paper; `depth` one a
token. The speed is that of the median token within a window; the first one, before which the condition is encoded and
the prompt is read, is stated apart, for songs of 32 tokens and of five minutes. Real time is 7.5 tokens a second.
"""
NUM_REFERENCES = 10
SONG_TOKENS, LONG_SONG_TOKENS = 32, 2250
NUM_TOKENS = {"flat": 8, "depth": 16}
"""That are written in a turn."""
WAYS = {
    "fp32 flat": ("flat", None, torch.float32),
    "bf16 flat": ("flat", None, torch.bfloat16),
    "int8 flat": ("flat", "int8", torch.float32),
    "int8 depth": ("depth", "int8", torch.float32),
}
"""Order of the codes, quantization, type."""


class Clock(BaseStreamer):
    """The time of each code that is written.

    Args:
        num_quantizers: Codes of a token.
    """

    def __init__(self, num_quantizers: int):
        self.num_quantizers = num_quantizers
        self.start = time.perf_counter()
        self.times: list[float] = []

    def put(self, value: torch.Tensor) -> None:
        """Note the time."""
        self.times.append(time.perf_counter())

    def end(self) -> None:
        """Do nothing."""

    @property
    def first_seconds(self) -> float:
        """From the call to the first whole token."""
        return self.times[self.num_quantizers - 1] - self.start

    @property
    def token_seconds(self) -> list[float]:
        """Of each token but the first."""
        ends = self.times[self.num_quantizers - 1 :: self.num_quantizers]
        return [end - start for start, end in zip(ends, ends[1:], strict=False)]


def write_random_model(folder: Path, pattern: str) -> Path:
    """Write a checkpoint in bfloat16 with random weights, one weight at a time; one that is there is kept."""
    if (folder / "model.safetensors").is_file():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    config = ChoreoLlamaConfig.paper_1b(genres=["ballet", "folk"], code_pattern=pattern)
    model = build_empty(lambda: ChoreoLlamaForConditionalGeneration(config))
    generator = torch.Generator().manual_seed(0)
    weights = {}
    for name, weight in model.state_dict().items():
        if not weight.is_meta and not name.endswith("codebook_vectors"):
            weights[name] = weight.bfloat16() if weight.is_floating_point() else weight
        elif name.endswith("norm.weight"):
            weights[name] = torch.ones(weight.shape, dtype=torch.bfloat16)
        else:
            drawn = torch.empty(weight.shape, dtype=torch.bfloat16).normal_(generator=generator)
            weights[name] = drawn if name.endswith("codebook_vectors") else drawn * config.initializer_range
    config.save_pretrained(folder)
    model.generation_config.save_pretrained(folder)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def load(folder: Path, quantization: str | None, dtype: torch.dtype) -> Any:
    """Load a model in one of the `WAYS`."""
    if quantization is None:
        return ChoreoLlamaForConditionalGeneration.from_pretrained(folder, dtype=dtype).eval()
    return load_model(folder, ChoreoLlamaForConditionalGeneration, quantization=quantization)


def song(num_tokens: int, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """Return a song of noise with its references."""
    config = ChoreoLlamaConfig.paper_1b()
    generator = torch.Generator().manual_seed(1)
    frames = num_tokens * config.frames_per_token
    music = torch.randn(1, frames, config.music_feature_size, generator=generator)
    references = torch.randn(1, NUM_REFERENCES, frames, config.motion_feature_size, generator=generator)
    return {"input_features": music.to(dtype), "reference_features": references.to(dtype)}


def write_tokens(model: Any, inputs: dict[str, torch.Tensor], num_tokens: int, guidance_scale: float) -> Clock:
    """Write the first tokens of a song."""
    clock = Clock(model.config.num_quantizers)
    model.generate_codes(**inputs, seeds=[0], num_tokens=num_tokens, guidance_scale=guidance_scale, streamer=clock)
    return clock


def measure_speed(work_dir: Path, repeats: int) -> list[Table]:
    """Time all ways in turns, with and without guidance."""
    models = {
        name: load(write_random_model(work_dir / pattern, pattern), quantization, dtype)
        for name, (pattern, quantization, dtype) in WAYS.items()
    }
    clocks: dict[tuple[str, float], list[Clock]] = {(name, scale): [] for name in models for scale in (1.0, 2.0)}
    for repeat in range(1 + repeats):
        for (name, scale), measured in clocks.items():
            pattern, _, dtype = WAYS[name]
            num_tokens = NUM_TOKENS[pattern] if repeat else 2
            clock = write_tokens(models[name], song(SONG_TOKENS, dtype), num_tokens, scale)
            if repeat:  # the first one reads the weights into memory
                measured.append(clock)
    seconds = {
        way: statistics.median(one for clock in measured for one in clock.token_seconds)
        for way, measured in clocks.items()
    }
    rate = models["fp32 flat"].config.frame_rate / models["fp32 flat"].config.frames_per_token
    rows: list[list] = []
    for (name, scale), value in seconds.items():
        first = statistics.median(clock.first_seconds for clock in clocks[name, scale])
        rows.append([name, scale, 1000 * value, 1 / value / rate, seconds["fp32 flat", scale] / value, first])
    columns = ["way", "guidance", "ms a token", "times real time", "times fp32 flat", "s to the first token"]
    long_song = song(LONG_SONG_TOKENS, torch.float32)
    firsts: list[list] = []
    for name in ("int8 flat", "int8 depth"):
        for scale in (1.0, 2.0):
            runs = [write_tokens(models[name], long_song, 1, scale).first_seconds for _ in range(repeats)]
            firsts.append([name, scale, statistics.median(runs)])
    return [
        Table("Speed", columns, rows),
        Table("From the call to the first token of a song of 5 min", ["way", "guidance", "s"], firsts),
    ]


def measure_memory(work_dir: Path) -> list[Table]:
    """Load the int8 model in a process of its own and dance to a song of five minutes there."""
    folder = write_random_model(work_dir / "depth", "depth")
    command = [sys.executable, "-m", "benchmarks.one_billion", "--work_dir", str(folder), "--child"]
    measured = json.loads(
        subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1]
    )
    return [Table("Memory of the int8 model in a new process", ["after", "peak, GB"], [[*row] for row in measured])]


def print_memory(folder: Path) -> None:
    """Print the peak of this process, in GB, after each stage, as JSON."""

    def peak() -> float:
        # `ru_maxrss` has that of the process before it became this program as well.
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024 / 1e9

    torch.set_num_threads(1)  # many small operators, which wait for each other on a loaded machine
    stages: list[tuple[str, float]] = [("imports", peak())]
    model = load(folder, "int8", torch.float32)
    stages.append(("loading", peak()))
    for minutes in (1, 5):
        inputs = song(minutes * 450, torch.float32)
        write_tokens(model, inputs, 2, 2.0)
        stages.append((f"the first tokens of a song of {minutes} min", peak()))
        with torch.no_grad():
            for _ in model.model.encode_parts(Conditions(**inputs)):
                pass
        stages.append((f"the condition of a song of {minutes} min", peak()))
    print(json.dumps(stages))


def measure_logits() -> list[Table]:
    """Compare the logits of the shipped models with and without int8, on codes that they write themselves."""
    rows: list[list] = []
    for name, folder in MODELS.items():
        plain, quantized = (
            load_model(folder, ChoreoLlamaForConditionalGeneration, quantization=kind) for kind in (None, "int8")
        )
        config = plain.config
        generator = torch.Generator().manual_seed(0)
        frames = 8 * config.max_window_tokens * config.frames_per_token
        music = torch.randn(1, frames, config.music_feature_size, generator=generator)
        with torch.no_grad():
            codes = plain.generate_codes(music, seeds=[0], genre_ids=torch.tensor([0]))
            scores = [logits_of(model, music, codes).log_softmax(dim=-1) for model in (plain, quantized)]
        for level in range(config.num_quantizers):
            before, after = (score[:, level] for score in scores)
            divergence = F.kl_div(after, before, log_target=True, reduction="none").sum(dim=-1).mean()
            entropy = -(before.exp() * before).sum(dim=-1).mean()
            same = (before.argmax(dim=-1) == after.argmax(dim=-1)).float().mean()
            rows.append([name, level, float(divergence), float(entropy), float(same)])
    columns = ["model", "level", "KL, nats", "entropy, nats", "same best code"]
    return [Table("What int8 changes in the shipped models", columns, rows)]


def logits_of(model: Any, music: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
    """Score codes window by window, `(1, num_quantizers, num_tokens, codebook_size)`."""
    window = model.config.max_window_tokens
    condition = model.encode_condition(music, genre_ids=torch.tensor([0])).condition
    parts = [
        model.score_codes(codes[..., start : start + window], condition[:, start : start + window])
        for start in range(0, codes.shape[2], window)
    ]
    return torch.cat(parts, dim=2)


def main() -> None:
    """Write the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work_dir", type=Path, required=True, help="keeps the random models, 5 GB")
    parser.add_argument("--output", type=Path, default=Path("docs/one_billion.md"))
    parser.add_argument("--repeats", type=int, default=3, help="turns of each way (default: 3)")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    sections: dict[str, tuple[str, Callable[[argparse.Namespace], list[Table]]]] = {
        "speed": ("Speed", lambda arguments: measure_speed(arguments.work_dir, arguments.repeats)),
        "memory": ("Memory", lambda arguments: measure_memory(arguments.work_dir)),
        "logits": ("Logits", lambda arguments: measure_logits()),
    }
    add_sections_option(parser, sections)
    arguments = parser.parse_args()
    if arguments.child:
        print_memory(arguments.work_dir)
        return
    command = f"python -m benchmarks.one_billion {shown_options(arguments, ('work_dir', 'output'))}"
    write_report(
        arguments.output,
        INTRODUCTION,
        {
            name: Section(title, f"{command} --sections {name}", None, partial(measure, arguments))
            for name, (title, measure) in sections.items()
        },
        chosen_sections(parser, arguments, sections),
    )


if __name__ == "__main__":
    main()
