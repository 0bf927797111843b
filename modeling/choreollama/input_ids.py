"""What stands before the codes of a window: the start id and, for `"prefix"`, the placeholders of the condition."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional as F

from .configuration_choreollama import ChoreoLlamaConfig


def prepend_start(config: ChoreoLlamaConfig, code_ids: torch.Tensor, num_tokens: int) -> torch.Tensor:
    """Put the start id and, for `"prefix"`, the placeholders of a window before its code ids.

    Args:
        config: Of the model.
        code_ids: `(batch, codes so far)`, or `(batch, steps so far, num_quantizers)` if `code_pattern` is not
            `"flat"`.
        num_tokens: Tokens of the whole window.

    Returns:
        `(batch, length)` or `(batch, length, num_quantizers)`.
    """
    batch_size, _, *levels = code_ids.shape
    start = code_ids.new_full((batch_size, 1, *levels), config.bos_token_id)
    if config.condition_placement == "aligned":
        return torch.cat([start, code_ids], dim=1)
    placeholders = code_ids.new_full((batch_size, num_tokens, *levels), config.music_token_id)
    return torch.cat([placeholders, start, code_ids], dim=1)


def delay_levels(config: ChoreoLlamaConfig, code_ids: torch.Tensor, token_mask: torch.Tensor) -> torch.Tensor:
    """Shift level `q` by `q` steps; the start id stands where no code of the clip is.

    Args:
        config: Of the model.
        code_ids: `(batch, num_tokens, num_quantizers)`.
        token_mask: `(batch, num_tokens)`, True = a token of the clip.

    Returns:
        `(batch, num_tokens + num_quantizers - 1, num_quantizers)`.
    """
    batch_size, num_tokens, num_quantizers = code_ids.shape
    code_ids = code_ids.masked_fill(~token_mask.unsqueeze(-1), config.bos_token_id)
    delayed = code_ids.new_full((batch_size, num_tokens + num_quantizers - 1, num_quantizers), config.bos_token_id)
    for level in range(num_quantizers):
        delayed[:, level : level + num_tokens, level] = code_ids[..., level]
    return delayed


def delay_condition(config: ChoreoLlamaConfig, condition: torch.Tensor, token_mask: torch.Tensor) -> torch.Tensor:
    """Give a zero condition to the steps after the end of a clip, in which its last codes are written.

    Args:
        config: Of the model.
        condition: `(batch, num_tokens, hidden_size)`.
        token_mask: `(batch, num_tokens)`, True = a token of the clip.

    Returns:
        `(batch, num_tokens + num_quantizers - 1, hidden_size)`; for `"prefix"` as given.
    """
    if config.condition_placement == "prefix":
        return condition
    return F.pad(condition * token_mask.unsqueeze(-1), (0, 0, 0, config.num_quantizers - 1))


def prefix_inputs(config: ChoreoLlamaConfig, token_mask: torch.Tensor, length: int) -> dict[str, Any]:
    """Return the attention mask and positions of a window with padded conditions; empty where none is needed.

    Args:
        config: Of the model.
        token_mask: `(batch, num_tokens)`, True = the condition is real.
        length: Length of the input ids.
    """
    if config.condition_placement == "aligned" or token_mask.all():
        return {}
    rest = token_mask.new_ones(token_mask.shape[0], length - token_mask.shape[1])
    attention_mask = torch.cat([token_mask, rest], dim=1).long()
    return {"attention_mask": attention_mask, "position_ids": (attention_mask.cumsum(1) - 1).clamp(min=0)}


def mask_history(config: ChoreoLlamaConfig, code_ids: torch.Tensor) -> torch.Tensor:
    """Replace a random share of the past codes of each clip by the mask id of their level, as training does.

    Args:
        config: Of the model; the share is drawn from U(0, 2 * `history_mask_prob`).
        code_ids: `(batch, codes)`, or `(batch, num_tokens, num_quantizers)`.

    Returns:
        Ids of the same shape.
    """
    if config.history_mask_prob == 0:
        return code_ids
    share = (
        torch.rand(code_ids.shape[0], *[1] * (code_ids.ndim - 1), device=code_ids.device)
        * 2
        * config.history_mask_prob
    )
    is_masked = torch.rand(code_ids.shape, device=code_ids.device) < share
    return torch.where(is_masked, config.mask_token_id + code_ids // config.codebook_size, code_ids)
