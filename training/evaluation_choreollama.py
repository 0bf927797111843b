"""Held-out loss of ChoreoLLaMA: with the right music, without any, with a wrong song, with other references."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from ..modeling.choreollama.modeling_choreollama import ChoreoLlamaForConditionalGeneration, ChoreoLlamaOutput
from .data_choreollama import ChoreoWindows
from .loop import Processes, output_numbers
from .references_choreollama import References
from .takes import DanceTake

EVALUATION_BATCH_SIZE = 16
EXPERT_WEIGHTS = "expert_weights"
_REFERENCES_PREFIX = "references_"
ALONE = Processes()


@torch.no_grad()
def evaluate_choreollama(
    model: ChoreoLlamaForConditionalGeneration,
    windows: ChoreoWindows,
    references: Mapping[str, References | None] | None = None,
    processes: Processes = ALONE,
) -> dict[str, np.ndarray]:
    """Score whole clips window by window.

    Args:
        model: In evaluation mode.
        windows: Held-out takes; the wrong song of a take is the song of the next take whose tempo differs most from
            its own among all.
        references: By name, references to be given with the right music in the place of those of `windows`; `None`
            for none.
        processes: Among which the windows are shared out; each must call this, and each gets the results.

    Returns:
        For `right`, `none` and `wrong` music, and `references_NAME` for other references: mean cross entropy in nats
        of each take and level, `(takes, num_quantizers)`; no `wrong` where there is one take only. If the gate was
        used with the references of `windows`, `expert_weights`: its mean in each take, `(takes, num_bands)`, slowest
        band first.
    """
    wrong = [windows.takes[index] for index in wrong_songs(windows)]
    losses, expert_weights = score_takes(model, windows, processes=processes)
    results = {"right": losses, "none": score_takes(model, windows, without_music=True, processes=processes)[0]}
    if len(windows.takes) > 1:
        results["wrong"] = score_takes(model, windows, heard=wrong, processes=processes)[0]
    for name, others in (references or {}).items():
        is_given = others is windows.references
        changed = ChoreoWindows(windows.takes, windows.config, others, windows.speeds)
        losses = results["right"] if is_given else score_takes(model, changed, processes=processes)[0]
        results[_REFERENCES_PREFIX + name] = losses
    return results if expert_weights is None else results | {EXPERT_WEIGHTS: expert_weights}


@torch.no_grad()
def score_takes(
    model: ChoreoLlamaForConditionalGeneration,
    windows: ChoreoWindows,
    *,
    heard: Sequence[DanceTake] | None = None,
    without_music: bool = False,
    processes: Processes = ALONE,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the mean loss of each take and level, `(takes, num_quantizers)`, and the mean gate, `(takes, num_bands)`.

    Args:
        model: In evaluation mode.
        windows: Of whole takes.
        heard: For each take, the one whose music is heard; itself by default.
        without_music: As if there were no music.
        processes: Among which the windows are shared out.
    """
    config = model.config
    rows = [
        (index, 0, start)
        for index, take in enumerate(windows.takes)
        for start in range(0, take.codes[0].shape[1], config.max_window_tokens)
    ]
    sums = np.zeros((len(windows.takes), config.num_quantizers))
    gate_sums = np.zeros((len(windows.takes), config.num_bands))
    counts = np.zeros(len(windows.takes))
    num_batches = -(-len(rows) // EVALUATION_BATCH_SIZE)
    # All processes run the model equally often, as sharded weights need: the last round may repeat a batch.
    for number in range(processes.index, -(-num_batches // processes.count) * processes.count, processes.count):
        first = number % num_batches * EVALUATION_BATCH_SIZE
        part = rows[first : first + EVALUATION_BATCH_SIZE]
        music_takes = None if heard is None else [heard[row[0]] for row in part]
        batch = {name: tensor.to(model.device) for name, tensor in windows.cut(part, music_takes).items()}
        if without_music:
            batch["music_mask"] = torch.zeros(len(part), dtype=torch.bool, device=model.device)
        output = model(**batch, num_context_tokens=config.context_tokens)
        if number >= num_batches:
            continue
        losses = torch.nn.functional.cross_entropy(
            output.logits.permute(0, 3, 1, 2).float(), batch["labels"], ignore_index=-100, reduction="none"
        )
        is_scored = batch["labels"][:, 0] != -100  # (batch, num_tokens)
        for row, loss, scored in zip(part, losses.cpu().numpy(), is_scored.cpu().numpy(), strict=True):
            sums[row[0]] += loss.sum(1)
            counts[row[0]] += scored.sum()
        if output.expert_weights is not None:
            weights = (output.expert_weights * is_scored.unsqueeze(-1)).sum(1).cpu().numpy()
            for row, weight in zip(part, weights, strict=True):
                gate_sums[row[0]] += weight
    total = processes.add_up({"losses": sums, "gate": gate_sums, "counts": counts})
    sums, gate_sums, counts = total["losses"], total["gate"], total["counts"]
    return sums / counts[:, None], gate_sums / counts[:, None] if gate_sums.any() else None


def wrong_songs(windows: ChoreoWindows) -> list[int]:
    """Return, for each take, the index of the take whose tempo is farthest from its own, octaves apart or not."""
    tempos = np.array([take.music[:, -1].mean() for take in windows.takes])  # log2 of the tempo
    return [int(np.abs(tempos - tempo).argmax()) for tempo in tempos]


def summarize_evaluation(results: dict[str, np.ndarray], takes: Sequence[DanceTake]) -> dict[str, float]:
    """Average over takes and name the numbers.

    Args:
        results: From `evaluate_choreollama`.
        takes: Those that were scored.

    Returns:
        `right_0`, the loss of level 0 with the right music, and so on; `expert_weights_0`, the weight of the slowest
        band, and so on; and that weight, the slow share, for the slowest and the fastest third of the takes.
    """
    numbers = {
        f"{name}_{column}": float(value)
        for name, values in results.items()
        for column, value in enumerate(values.mean(0))
    }
    speeds = np.array([np.nan if take.speed is None else take.speed.mean() for take in takes])
    if EXPERT_WEIGHTS in results and len(takes) > 1 and np.isfinite(speeds).all():
        slow_shares = results[EXPERT_WEIGHTS][np.argsort(speeds, kind="stable"), 0]
        third = max(1, len(takes) // 3)
        numbers["slow_share_of_slowest_third"] = float(slow_shares[:third].mean())
        numbers["slow_share_of_fastest_third"] = float(slow_shares[-third:].mean())
    return numbers


def describe_step(output: ChoreoLlamaOutput) -> dict[str, float]:
    """Return the numbers of a training step: those of the output, and the mean gate over clips with references."""
    numbers = output_numbers(output)
    if output.expert_weights is not None:
        weights = output.expert_weights.detach().flatten(0, 1)
        means = weights[weights.sum(dim=-1) > 0].mean(dim=0)
        numbers |= {f"{EXPERT_WEIGHTS}_{band}": float(mean) for band, mean in enumerate(means)}
    return numbers
