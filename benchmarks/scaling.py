"""Work out memory, time and data of a training of the paper's model: `python -m benchmarks.scaling`.

Nothing is measured on a GPU: parameters, saved activations and operations are counted from the shapes of the
model. The numbers go to `docs/scaling.json`, from which `benchmarks.figures` fills docs/scaling.md.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch._subclasses import FakeTensorMode

from infinitedance.evaluation.report.tables import Table
from infinitedance.modeling.choreollama.cadence_moe import CadenceExpert
from infinitedance.modeling.choreollama.configuration_choreollama import ChoreoLlamaConfig
from infinitedance.modeling.choreollama.modeling_choreollama import ChoreoLlamaForConditionalGeneration
from infinitedance.motion.motion import FRAME_RATE
from infinitedance.utils.atomic import atomic_path

from .parameter_count import count_parameters
from .writer import section_record

GPUS, GPU_GIGABYTES = 4, 80
PEAK_FLOPS = 312e12
"""Dense bf16 operations in a second of an A100, its data sheet."""
USED_SHARES = (0.1, 0.2, 0.4)
"""Shares of the peak that a training may use."""
PAPER_BATCH, PAPER_WINDOWS, PAPER_EPOCHS, PAPER_HOURS = 16, 36_000, 62, 18.0
"""Windows a GPU, windows an epoch and epochs of the released code; hours on four A100 of the paper."""
RELEASE_STRIDE_TOKENS = 48
"""Between the windows of the released code: 144 codes."""
DATA_HOURS, NUM_REFERENCES = 100, 10
FLOAT, HALF = 4, 2
"""Bytes of a number in float32 and bfloat16."""
BILLION = 1e9


def config_1b() -> ChoreoLlamaConfig:
    """Return the paper's model with the music features of this package."""
    return ChoreoLlamaConfig.paper_1b(music_feature_size=109)


def saved_bytes(module: torch.nn.Module, *inputs: torch.Tensor, **keywords: Any) -> int:
    """Return the bytes that a forward pass keeps for the backward pass, besides the weights."""
    owned = {parameter.untyped_storage()._cdata for parameter in module.parameters()}
    kept: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in owned:
            kept[storage._cdata] = storage  # held, so that its address is not given to another
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = module(*inputs, **keywords)
    del output
    return sum(storage.nbytes() for storage in kept.values())


def activation_bytes(config: ChoreoLlamaConfig) -> dict[str, int]:
    """Return what one window keeps for the backward pass in bfloat16: `plain` and `checkpointed`.

    Checkpointed, a layer keeps its input, and one layer or expert at a time is computed anew.
    """
    tokens, encoded = config.max_window_tokens, encoded_tokens(config)
    positions = tokens + tokens * config.steps_per_token
    model = ChoreoLlamaForConditionalGeneration._from_config(config, dtype=torch.bfloat16)
    inputs = torch.empty(1, positions, config.hidden_size, dtype=torch.bfloat16, requires_grad=True)
    mask = torch.ones(1, encoded, dtype=torch.bool)
    backbone = model.model.backbone
    layers, places = len(backbone.layers), torch.arange(positions)[None]
    rotary = backbone.rotary_emb(inputs, places)
    one_layer = saved_bytes(backbone.layers[0], inputs, position_embeddings=rotary, attention_mask=None)
    num_logits = tokens * config.num_quantizers * config.codebook_size
    # The last norm, and logits in bf16, in float32 and as log-probabilities.
    rest = saved_bytes(backbone.norm, inputs) + num_logits * (HALF + 2 * FLOAT)
    experts = []
    for expert in (model.model.cadence_moe.universal_expert, *model.model.cadence_moe.band_experts):
        assert isinstance(expert, CadenceExpert)
        size = expert.input_projection.in_features
        given = torch.empty(1, encoded, size, dtype=torch.bfloat16)
        experts.append(saved_bytes(expert, given, mask))
    layer_input = positions * config.hidden_size * HALF
    expert_inputs = sum(
        encoded * expert.input_projection.in_features * HALF
        for expert in (model.model.cadence_moe.universal_expert, *model.model.cadence_moe.band_experts)
    )
    return {
        "plain": rest + layers * one_layer + sum(experts),
        "checkpointed": rest + layers * layer_input + expert_inputs + max(one_layer, *experts),
    }


def encoded_tokens(config: ChoreoLlamaConfig) -> int:
    """Return the tokens of music that the experts hear for one window."""
    return config.context_tokens + config.max_window_tokens + config.lookahead_tokens


def operations(config: ChoreoLlamaConfig) -> float:
    """Return the operations of a window forward and backward: six a weight and position, and those of attention."""
    counts = count_parameters(config)
    positions = config.max_window_tokens * (1 + config.steps_per_token)
    backbone: Any = config.backbone_config
    # Queries with keys, and weights with values, half of them masked; each two operations, thrice for the gradients.
    attention = 6 * backbone.num_hidden_layers * positions**2 * config.hidden_size
    embedding = config.vocab_size * config.hidden_size
    experts = counts["cadence_moe"] * encoded_tokens(config)
    return 6 * ((counts["backbone"] - embedding) * positions + experts) + attention


def memory_table(config: ChoreoLlamaConfig) -> Table:
    """Return the memory of a GPU, in GB."""
    parameters = count_parameters(config)["total"]
    with FakeTensorMode():  # shapes without numbers
        activations = activation_bytes(config)
    layer = parameters_of_largest_unit(config)
    rows: list[list[Any]] = []
    for name, held, passing in (
        # DDP: weights, gradients and their buckets, two moments; the bf16 copies that autocast keeps for a step.
        ("DDP", parameters * (FLOAT * 5), parameters * HALF),
        # FSDP2: a share of weights, gradients and moments; two units put together in bf16, one gradient in float32.
        (f"FSDP2 on {GPUS}", parameters * (FLOAT * 4) / GPUS, layer * (2 * HALF + FLOAT)),
    ):
        for kind in ("plain", "checkpointed"):
            window = activations[kind] / BILLION
            parts = [held / BILLION, passing / BILLION]
            total = sum(parts) + PAPER_BATCH * window
            most = int((GPU_GIGABYTES - sum(parts)) / window)
            rows.append([name, kind, *parts, window, PAPER_BATCH * window, total, most])
    columns = [
        "processes",
        "activations",
        "weights, gradients, optimizer",
        "copies in use",
        "activations of a window",
        f"of {PAPER_BATCH} windows",
        "sum",
        f"most windows in {GPU_GIGABYTES} GB",
    ]
    return Table("Memory of a GPU, GB", columns, rows)


def parameters_of_largest_unit(config: ChoreoLlamaConfig) -> int:
    """Return the parameters of the largest module that FSDP puts together at a time: a layer, or the experts."""
    with torch.device("meta"):
        model = ChoreoLlamaForConditionalGeneration(config)
    units = (model.model.backbone.layers[0], model.model.cadence_moe)
    return max(sum(parameter.numel() for parameter in unit.parameters()) for unit in units)


def time_table(config: ChoreoLlamaConfig) -> Table:
    """Return the time of the paper's run on four GPUs at several shares of their peak, and the share of the paper."""
    steps_per_epoch = PAPER_WINDOWS // (GPUS * PAPER_BATCH)
    windows = PAPER_EPOCHS * steps_per_epoch * GPUS * PAPER_BATCH
    seconds_at_peak = operations(config) * windows / (GPUS * PEAK_FLOPS)
    paper_share = seconds_at_peak / (PAPER_HOURS * 3600)
    rows: list[list[Any]] = []
    for name, share in (*((f"{share:.0%}", share) for share in USED_SHARES), ("that of the paper", paper_share)):
        seconds = seconds_at_peak / share
        steps = PAPER_EPOCHS * steps_per_epoch
        rows.append([name, 100 * share, seconds / steps, windows / seconds, seconds / 3600, seconds * 4 / 3 / 3600])
    columns = ["share of the peak", "%", "seconds a step", "windows a second", "hours", "hours, checkpointed"]
    return Table("Time of the paper's run on four A100", columns, rows)


def size_table(config: ChoreoLlamaConfig) -> Table:
    """Return the sizes from which the other tables follow."""
    counts = count_parameters(config)
    steps = PAPER_WINDOWS // (GPUS * PAPER_BATCH)
    data_windows = DATA_HOURS * 3600 * FRAME_RATE / config.frames_per_token / RELEASE_STRIDE_TOKENS
    rows: list[list[Any]] = [
        ["parameters, millions", counts["total"] / 1e6],
        ["of these the experts", counts["cadence_moe"] / 1e6],
        ["operations of a window, forward and backward, 10^12", operations(config) / 1e12],
        [f"steps an epoch: {PAPER_WINDOWS} windows by {GPUS} x {PAPER_BATCH}", steps],
        [f"steps of {PAPER_EPOCHS} epochs", PAPER_EPOCHS * steps],
        [f"windows in {DATA_HOURS} hours, one in {RELEASE_STRIDE_TOKENS} tokens", data_windows],
        ["checkpoint (float32 weights and two moments), GB", counts["total"] * 3 * FLOAT / BILLION],
        ["saved model (float32), GB", counts["total"] * FLOAT / BILLION],
        ["sent and received by each GPU in a step, DDP, GB", ring_bytes(counts["total"]) / BILLION],
    ]
    return Table("Sizes", ["", "number"], rows)


def ring_bytes(parameters: int) -> float:
    """Return the bytes that each GPU sends to average float32 gradients over a ring."""
    return 2 * (GPUS - 1) / GPUS * parameters * FLOAT


def data_table(config: ChoreoLlamaConfig) -> Table:
    """Return what the data need on the disk and what of them is read."""
    frames = DATA_HOURS * 3600 * FRAME_RATE
    window_frames = encoded_tokens(config) * config.frames_per_token
    music, codes = FLOAT * (config.music_feature_size + 1), HALF * config.num_quantizers
    motion = FLOAT * config.motion_feature_size
    references = NUM_REFERENCES * motion
    rows: list[list[Any]] = [
        [f"takes of {DATA_HOURS} hours: {music} bytes of music and speed, {codes} of codes a frame, GB",
         frames * (music + codes) / BILLION],
        ["the same mirrored and at five speeds, GB", 2 * 5 * frames * (music + codes) / BILLION],
        [f"motion features of the data set, {motion} bytes a frame, from which references are read, GB",
         frames * motion / BILLION],
        [f"read for a window of {window_frames} frames with {NUM_REFERENCES} references, MB",
         window_frames * (music + references) / 1e6],
        [f"read for a step of {GPUS} x {PAPER_BATCH} windows, MB",
         GPUS * PAPER_BATCH * window_frames * (music + references) / 1e6],
    ]  # fmt: skip
    return Table(f"Data of {DATA_HOURS} hours", ["", "number"], rows)


def tables() -> list[Table]:
    """Return the tables of docs/scaling.md that follow from arithmetic."""
    config = config_1b()
    return [size_table(config), memory_table(config), time_table(config), data_table(config)]


def write_section(output: Path, name: str, title: str, command: str, found: Sequence[Table]) -> None:
    """Put a section into a JSON file of docs/, beside those that it has."""
    sections = json.loads(output.read_text(encoding="utf-8")) if output.is_file() else {}
    sections[name] = section_record(title, command, None, found)
    with atomic_path(output) as partial:
        partial.write_text(json.dumps(sections, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """Write the section."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("docs/scaling.json"), help="default: docs/scaling.json")
    output = parser.parse_args().output
    write_section(output, "arithmetic", "By arithmetic", "python -m benchmarks.scaling", tables())


if __name__ == "__main__":
    main()
