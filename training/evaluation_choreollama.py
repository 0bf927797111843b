"""Held-out loss of ChoreoLLaMA: with the right music, without any, and with a wrong song."""

from __future__ import annotations

import numpy as np
import torch

from ..modeling.choreollama.modeling_choreollama import ChoreoLlamaForConditionalGeneration
from .data_choreollama import ChoreoWindows

EVALUATION_BATCH_SIZE = 16


@torch.inference_mode()
def evaluate_choreollama(model: ChoreoLlamaForConditionalGeneration, windows: ChoreoWindows) -> dict[str, np.ndarray]:
    """Score whole clips window by window.

    Args:
        model: In evaluation mode.
        windows: Held-out takes; the wrong song of a take is the song of the next take whose tempo differs most from
            its own among all.

    Returns:
        For `right`, `none` and `wrong` music: mean cross entropy in nats of each take and level,
        `(takes, num_quantizers)`; no `wrong` where there is one take only.
    """
    config = model.config
    rows = [
        (index, 0, start)
        for index, take in enumerate(windows.takes)
        for start in range(0, take.codes[0].shape[1], config.max_window_tokens)
    ]
    wrong = wrong_songs(windows)
    results = {}
    for music in ("right", "none", "wrong") if len(windows.takes) > 1 else ("right", "none"):
        sums = np.zeros((len(windows.takes), config.num_quantizers))
        counts = np.zeros(len(windows.takes))
        for first in range(0, len(rows), EVALUATION_BATCH_SIZE):
            part = rows[first : first + EVALUATION_BATCH_SIZE]
            heard = [windows.takes[wrong[row[0]]] for row in part] if music == "wrong" else None
            batch = {name: tensor.to(model.device) for name, tensor in windows.cut(part, heard).items()}
            if music == "none":
                batch["music_mask"] = torch.zeros(len(part), dtype=torch.bool, device=model.device)
            output = model(**batch, num_context_tokens=config.context_tokens)
            losses = torch.nn.functional.cross_entropy(
                output.logits.permute(0, 3, 1, 2).float(), batch["labels"], ignore_index=-100, reduction="none"
            )
            for row, loss, labels in zip(part, losses.cpu().numpy(), batch["labels"].cpu().numpy(), strict=True):
                sums[row[0]] += loss.sum(1)
                counts[row[0]] += (labels[0] != -100).sum()
        results[music] = sums / counts[:, None]
    return results


def wrong_songs(windows: ChoreoWindows) -> list[int]:
    """Return, for each take, the index of the take whose tempo is farthest from its own, octaves apart or not."""
    tempos = np.array([take.music[:, -1].mean() for take in windows.takes])  # log2 of the tempo
    return [int(np.abs(tempos - tempo).argmax()) for tempo in tempos]


def summarize_losses(results: dict[str, np.ndarray]) -> dict[str, float]:
    """Average over takes and name the numbers: `right_0` is the loss of level 0 with the right music."""
    return {
        f"{music}_{level}": float(value)
        for music, losses in results.items()
        for level, value in enumerate(losses.mean(0))
    }
