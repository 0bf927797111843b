"""Run a LLaMA backbone one position at a time, without what makes transformers' layers slow on small models."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional as F


class StepDecoder:
    """The layers of a `LlamaModel` over a cache of fixed size, for inference.

    It gives the numbers of the backbone itself, up to rounding. A step of a small model on a CPU is mostly overhead,
    of which this has less (`benchmarks/generation.py`). Projections are called as modules, so that adapters work.

    Args:
        backbone: A `LlamaModel` in evaluation mode.
        max_length: Positions that the cache holds.
    """

    def __init__(self, backbone: Any, max_length: int):
        self.backbone = backbone
        self.max_length = max_length
        self.length = 0
        self.caches: list[tuple[torch.Tensor, torch.Tensor]] = []

    def __call__(
        self, embeddings: torch.Tensor, position_ids: torch.Tensor, attention_mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Append positions.

        Args:
            embeddings: Inputs, `(batch, length, hidden_size)`.
            position_ids: `(batch or 1, length)`.
            attention_mask: `(batch, length so far)`, 1 = keep; all, if not given.

        Returns:
            The backbone's output at these positions, `(batch, length, hidden_size)`.
        """
        batch_size, num_new, _ = embeddings.shape
        config, attention = self.backbone.config, self.backbone.layers[0].self_attn
        num_heads, num_key_value_heads = config.num_attention_heads, config.num_key_value_heads
        head_dim = attention.head_dim
        if not self.caches:
            shape = (batch_size, num_key_value_heads, self.max_length, head_dim)
            self.caches = [(embeddings.new_zeros(shape), embeddings.new_zeros(shape)) for _ in self.backbone.layers]
        start, self.length = self.length, self.length + num_new
        visible = self._visible(num_new, embeddings.device, attention_mask)
        cosine, sine = (table.unsqueeze(1) for table in self.backbone.rotary_emb(embeddings, position_ids))
        sine = torch.cat([-sine[..., : head_dim // 2], sine[..., head_dim // 2 :]], dim=-1)

        hidden_states = embeddings
        for layer, (keys, values) in zip(self.backbone.layers, self.caches, strict=True):
            attention = layer.self_attn
            normed = _normalize(hidden_states, layer.input_layernorm)
            query_key = torch.cat([attention.q_proj(normed), attention.k_proj(normed)], dim=-1)
            query_key = query_key.view(batch_size, num_new, -1, head_dim).transpose(1, 2)
            query_key = torch.addcmul(query_key * cosine, query_key.roll(head_dim // 2, dims=-1), sine)
            query, key = query_key.split([num_heads, num_key_value_heads], dim=1)
            keys[:, :, start : self.length] = key
            values[:, :, start : self.length] = (
                attention.v_proj(normed).view(batch_size, num_new, num_key_value_heads, head_dim).transpose(1, 2)
            )
            attended = F.scaled_dot_product_attention(
                query,
                keys[:, :, : self.length],
                values[:, :, : self.length],
                attn_mask=visible,
                scale=attention.scaling,
                enable_gqa=num_heads != num_key_value_heads,
            )
            attended = attended.transpose(1, 2).reshape(batch_size, num_new, -1)
            hidden_states = hidden_states + attention.o_proj(attended)
            hidden_states = hidden_states + layer.mlp(_normalize(hidden_states, layer.post_attention_layernorm))
        return _normalize(hidden_states, self.backbone.norm)

    def _visible(self, num_new: int, device: torch.device, attention_mask: torch.Tensor | None) -> torch.Tensor | None:
        """Return which of all positions each new one sees, `(batch or 1, 1, num_new, length)`; none = all."""
        if attention_mask is None and num_new == 1:
            return None
        positions = torch.arange(self.length, device=device)
        new = positions[-num_new:, None]
        visible = (positions <= new)[None, None]
        if attention_mask is not None:
            # A padded position sees itself: a row with no key at all would be NaN.
            visible = (visible & attention_mask.bool()[:, None, None, :]) | (positions == new)
        return visible


def _normalize(hidden_states: torch.Tensor, norm: Any) -> torch.Tensor:
    # `F.rms_norm` takes twice the time of these on a single position.
    variance = hidden_states.float().square().mean(dim=-1, keepdim=True)
    return norm.weight * (hidden_states * torch.rsqrt(variance + norm.variance_epsilon)).to(hidden_states.dtype)
