"""Run a LLaMA backbone one position at a time, without what makes transformers' layers slow on small models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

MAX_COPIED_WEIGHTS = 2**20
"""Matrices with more weights than this are not copied."""


class StepDecoder:
    """The layers of a `LlamaModel` over a cache of fixed size, for inference.

    It gives the numbers of the backbone itself, up to rounding. A step of a small model on a CPU is mostly overhead,
    of which this has less (`benchmarks/generation.py`). Its weights are those of the backbone when it is made.

    Args:
        backbone: A `LlamaModel` in evaluation mode.
        max_length: Positions that the cache holds; position ids lie below it.
    """

    def __init__(self, backbone: Any, max_length: int):
        self.backbone = backbone
        self.max_length = max_length
        self.length = 0
        self.caches: list[tuple[torch.Tensor, torch.Tensor]] = []
        self.layers = [_StepLayer(layer) for layer in backbone.layers]
        config, attention = backbone.config, backbone.layers[0].self_attn
        self.num_heads, self.num_key_value_heads = config.num_attention_heads, config.num_key_value_heads
        self.head_dim, self.scaling = attention.head_dim, attention.scaling
        self.final_norm = _norm(backbone.norm)
        positions = torch.arange(max_length, device=backbone.norm.weight.device)[None]
        cosine, sine = (table[0] for table in backbone.rotary_emb(backbone.norm.weight, positions))
        half = self.head_dim // 2
        self.cosine, self.sine = cosine, torch.cat([-sine[:, :half], sine[:, half:]], dim=-1)

    def clear(self) -> None:
        """Forget all positions: the next ones begin another window."""
        self.length = 0

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
        num_heads, num_key_value_heads, head_dim = self.num_heads, self.num_key_value_heads, self.head_dim
        if not self.caches:
            shape = (batch_size, num_key_value_heads, self.max_length, head_dim)
            self.caches = [(embeddings.new_zeros(shape), embeddings.new_zeros(shape)) for _ in self.backbone.layers]
        start, self.length = self.length, self.length + num_new
        visible = self._visible(num_new, embeddings.device, attention_mask)
        cosine, sine = (F.embedding(position_ids, table).unsqueeze(1) for table in (self.cosine, self.sine))

        hidden_states = embeddings
        for layer, (keys, values) in zip(self.layers, self.caches, strict=True):
            projected = layer.query_key_value(layer.input_norm(hidden_states))
            projected = projected.view(batch_size, num_new, -1, head_dim).transpose(1, 2)
            query_key, value = projected.split([num_heads + num_key_value_heads, num_key_value_heads], dim=1)
            query_key = torch.addcmul(query_key * cosine, query_key.roll(head_dim // 2, dims=-1), sine)
            query, key = query_key.split([num_heads, num_key_value_heads], dim=1)
            keys[:, :, start : self.length] = key
            values[:, :, start : self.length] = value
            attended = F.scaled_dot_product_attention(
                query,
                keys[:, :, : self.length],
                values[:, :, : self.length],
                attn_mask=visible,
                scale=self.scaling,
                enable_gqa=num_heads != num_key_value_heads,
            )
            attended = attended.transpose(1, 2).reshape(batch_size, num_new, -1)
            hidden_states = hidden_states + layer.output(attended)
            gate, up = layer.gate_up(layer.mlp_norm(hidden_states)).chunk(2, dim=-1)
            hidden_states = hidden_states + layer.down(layer.activation(gate) * up)
        return self.final_norm(hidden_states)

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


class _StepLayer:
    """What a step needs of one layer of the backbone."""

    def __init__(self, layer: Any):
        attention, mlp = layer.self_attn, layer.mlp
        self.input_norm, self.mlp_norm = _norm(layer.input_layernorm), _norm(layer.post_attention_layernorm)
        self.query_key_value = projection(attention.q_proj, attention.k_proj, attention.v_proj)
        self.output = projection(attention.o_proj)
        self.gate_up, self.down = projection(mlp.gate_proj, mlp.up_proj), projection(mlp.down_proj)
        self.activation = mlp.act_fn


def projection(*modules: Any) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return a function that joins what several linear modules make of one input along the last dimension.

    For small plain matrices it is one product with a transposed copy, which on one or two rows takes less than half of
    the time of the modules; large ones are not copied, and modules that are more than a matrix (adapters) are called.
    """
    is_plain = all(type(module) is nn.Linear and module.bias is None for module in modules)
    if is_plain and sum(module.weight.numel() for module in modules) <= MAX_COPIED_WEIGHTS:
        matrix = torch.cat([module.weight.detach() for module in modules]).t().contiguous()
        return lambda hidden_states: torch.matmul(hidden_states, matrix)
    if len(modules) == 1:
        return modules[0]
    return lambda hidden_states: torch.cat([module(hidden_states) for module in modules], dim=-1)


def _norm(module: Any) -> Callable[[torch.Tensor], torch.Tensor]:
    weight, epsilon = module.weight.detach(), module.variance_epsilon
    return lambda hidden_states: F.rms_norm(hidden_states, weight.shape, weight, epsilon)
