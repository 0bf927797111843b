"""Run a LLaMA backbone one position at a time, without what makes transformers' layers slow on small models."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from transformers import DynamicCache
from transformers.models.llama.modeling_llama import (
    LlamaAttention,
    LlamaDecoderLayer,
    LlamaMLP,
    LlamaModel,
    LlamaRMSNorm,
)

from ...utils.quantization import Int8Linear, int8_products

MAX_COPIED_WEIGHTS = 2**20
"""Matrices with more weights than this are not copied."""

_MAX_FEW_ROWS = 4
_PLAIN_DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
_FIXED_ROPE_TYPES = ("default", "linear", "llama3", "yarn")  # those whose angles do not change with the length so far


def make_decoder(backbone: Any, max_length: int) -> StepDecoder | CachedDecoder:
    """Return the fast decoder of a backbone if it is a LLaMA, layer by layer, else one that calls its own layers.

    Args:
        backbone: A decoder-only model in evaluation mode.
        max_length: Positions of the longest window.
    """
    is_llama = type(backbone) is LlamaModel and backbone.rotary_emb.rope_type in _FIXED_ROPE_TYPES
    is_llama = is_llama and not any(_is_elsewhere(module) for module in backbone.modules())
    for layer in backbone.layers if is_llama else ():
        kinds = (
            (layer, LlamaDecoderLayer),
            (layer.self_attn, LlamaAttention),
            (layer.mlp, LlamaMLP),
            (layer.input_layernorm, LlamaRMSNorm),
            (layer.post_attention_layernorm, LlamaRMSNorm),
        )
        is_llama = is_llama and all(type(module) is kind for module, kind in kinds)
    if is_llama:
        angles = backbone.rotary_emb(
            backbone.norm.weight, torch.zeros(1, 1, device=backbone.norm.weight.device).long()
        )
        is_llama = angles[0].shape[-1] == backbone.layers[0].self_attn.head_dim  # else parts of a head are not turned
    return StepDecoder(backbone, max_length) if is_llama else CachedDecoder(backbone)


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
        self.attention_mask: torch.Tensor | None = None
        self.position_ids: torch.Tensor | None = None
        self.caches: list[torch.Tensor] = []
        self.layers = [_StepLayer(layer) for layer in backbone.layers]
        config, attention = backbone.config, backbone.layers[0].self_attn
        self.num_heads, self.num_key_value_heads = config.num_attention_heads, config.num_key_value_heads
        self.head_dim, self.scaling = attention.head_dim, attention.scaling
        self.final_norm = root_mean_square_norm(backbone.norm.weight, backbone.norm.variance_epsilon)
        positions = torch.arange(max_length, device=backbone.norm.weight.device)[None]
        cosine, sine = (table[0] for table in backbone.rotary_emb(backbone.norm.weight, positions))
        half = self.head_dim // 2
        self.cosine, self.sine = cosine, torch.cat([-sine[:, :half], sine[:, half:]], dim=-1)
        # The same for all heads of a position at once; values are not turned.
        num_turned = self.num_heads + self.num_key_value_heads
        padding = (0, 0, 0, self.num_key_value_heads)
        self.head_cosine = F.pad(self.cosine[:, None].expand(-1, num_turned, -1), padding, value=1.0)
        self.head_sine = F.pad(self.sine[:, None].expand(-1, num_turned, -1), padding)

    def clear(self) -> None:
        """Forget all positions: the next ones begin another window."""
        self.length = 0
        self.attention_mask = self.position_ids = None

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
        self._make_caches(embeddings)
        start, self.length = self.length, self.length + num_new
        self.attention_mask, self.position_ids = attention_mask, position_ids[:, -1:]
        visible = self._visible(num_new, embeddings.device, attention_mask)
        cosine, sine = (F.embedding(position_ids, table).unsqueeze(1) for table in (self.cosine, self.sine))

        hidden_states = embeddings
        for layer, cache in zip(self.layers, self.caches, strict=True):
            projected = layer.query_key_value(layer.input_norm(hidden_states))
            projected = projected.view(batch_size, num_new, -1, head_dim).transpose(1, 2)
            query_key, value = projected.split([num_heads + num_key_value_heads, num_key_value_heads], dim=1)
            query_key = torch.addcmul(query_key * cosine, query_key.roll(head_dim // 2, dims=-1), sine)
            query, key = query_key.split([num_heads, num_key_value_heads], dim=1)
            cache[:, :num_key_value_heads, start : self.length] = key
            cache[:, num_key_value_heads:, start : self.length] = value
            attended = F.scaled_dot_product_attention(
                query,
                cache[:, :num_key_value_heads, : self.length],
                cache[:, num_key_value_heads:, : self.length],
                attn_mask=visible,
                scale=self.scaling,
                enable_gqa=num_heads != num_key_value_heads,
            )
            attended = attended.transpose(1, 2).reshape(batch_size, num_new, -1)
            hidden_states = hidden_states + layer.output(attended)
            gate, up = layer.gate_up(layer.mlp_norm(hidden_states)).chunk(2, dim=-1)
            hidden_states = hidden_states + layer.down(layer.activation(gate) * up)
        return self.final_norm(hidden_states)

    def step(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Append the next position, which sees all that were kept before it.

        Args:
            embeddings: Inputs, `(batch, hidden_size)`.

        Returns:
            The backbone's output, `(batch, hidden_size)`.
        """
        if self.attention_mask is not None and self.position_ids is not None:
            attention_mask = F.pad(self.attention_mask, (0, 1), value=1)
            return self(embeddings[:, None], self.position_ids + 1, attention_mask)[:, 0]
        batch_size, position = embeddings.shape[0], self.length
        num_heads, num_key_value_heads, head_dim = self.num_heads, self.num_key_value_heads, self.head_dim
        self._make_caches(embeddings)
        self.length = length = position + 1
        cosine, sine = self.head_cosine[position], self.head_sine[position]

        hidden_states = embeddings
        for layer, cache in zip(self.layers, self.caches, strict=True):
            heads = layer.query_key_value(layer.input_norm(hidden_states)).view(batch_size, -1, head_dim)
            heads = torch.addcmul(heads * cosine, heads.roll(head_dim // 2, dims=-1), sine)
            cache[:, :, position] = heads[:, num_heads:]
            # The heads of one group share their keys, like positions that see the same.
            query = heads[:, :num_heads].view(batch_size, num_key_value_heads, -1, head_dim)
            attended = F.scaled_dot_product_attention(
                query,
                cache[:, :num_key_value_heads, :length],
                cache[:, num_key_value_heads:, :length],
                scale=self.scaling,
            )
            hidden_states = hidden_states + layer.output(attended.reshape(batch_size, -1))
            gate, up = layer.gate_up(layer.mlp_norm(hidden_states)).chunk(2, dim=-1)
            hidden_states = hidden_states + layer.down(layer.activation(gate) * up)
        return self.final_norm(hidden_states)

    def _make_caches(self, embeddings: torch.Tensor) -> None:
        """Make the caches of keys and values, each `(batch, 2 * key and value heads, max_length, head_dim)`."""
        if not self.caches:
            shape = (embeddings.shape[0], 2 * self.num_key_value_heads, self.max_length, self.head_dim)
            self.caches = [embeddings.new_zeros(shape) for _ in self.layers]

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


class CachedDecoder:
    """The backbone's own layers over transformers' cache, for backbones of any kind; used like `StepDecoder`.

    Args:
        backbone: A decoder-only model in evaluation mode.
    """

    def __init__(self, backbone: Any):
        self.backbone = backbone
        self.clear()

    def clear(self) -> None:
        """Forget all positions: the next ones begin another window."""
        self.cache = DynamicCache(config=self.backbone.config)
        self.length = 0
        self.attention_mask: torch.Tensor | None = None
        self.position_ids: torch.Tensor | None = None

    def __call__(
        self, embeddings: torch.Tensor, position_ids: torch.Tensor, attention_mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Append positions; as `StepDecoder.__call__`."""
        self.length += embeddings.shape[1]
        self.attention_mask, self.position_ids = attention_mask, position_ids[:, -1:]
        return self.backbone(
            inputs_embeds=embeddings,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=self.cache,
            use_cache=True,
        ).last_hidden_state

    def step(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Append the next position; as `StepDecoder.step`."""
        position_ids, attention_mask = self.position_ids, self.attention_mask
        assert position_ids is not None  # a window begins with a call
        if attention_mask is not None:
            attention_mask = F.pad(attention_mask, (0, 1), value=1)
        return self(embeddings[:, None], position_ids + 1, attention_mask)[:, 0]


class _StepLayer:
    """What a step needs of one layer of the backbone."""

    def __init__(self, layer: Any):
        attention, mlp = layer.self_attn, layer.mlp
        self.input_norm, self.mlp_norm = (
            root_mean_square_norm(norm.weight, norm.variance_epsilon)
            for norm in (layer.input_layernorm, layer.post_attention_layernorm)
        )
        self.query_key_value = Projection(attention.q_proj, attention.k_proj, attention.v_proj)
        self.output = Projection(attention.o_proj)
        self.gate_up, self.down = Projection(mlp.gate_proj, mlp.up_proj), Projection(mlp.down_proj)
        self.activation = mlp.act_fn


class Projection:
    """What several linear modules make of one input, joined along the last dimension.

    Small plain matrices, and those that adapters of PEFT change, are one product; layers of `utils.quantization` round
    their input once. Other modules that are more than a matrix (biases, weights that others have quantized, weights on
    another device) are called. Of large matrices there are no copies.

    Args:
        *modules: Linear modules of the same input size.
    """

    def __init__(self, *modules: Any):
        self.product: Callable[[torch.Tensor], torch.Tensor] | None = None
        if all(type(module) is Int8Linear for module in modules):
            self.product = partial(int8_products, modules)
        elif all(is_plain_matrix(plain_base(module)) for module in modules):
            if sum(plain_base(module).weight.numel() for module in modules) <= MAX_COPIED_WEIGHTS:
                self.product = product_with(torch.cat([matrix_of(module).detach() for module in modules]))
        self.products = []
        if self.product is None:
            self.products = [
                partial(large_product, module.weight) if is_plain_matrix(module) else module for module in modules
            ]

    def __call__(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """Project `(..., input size)`."""
        if self.product is not None:
            return self.product(hidden_states)
        outputs = [product(hidden_states) for product in self.products]
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=-1)


def product_with(weight: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return `F.linear` with a weight, `(output size, input size)`, for inputs of a few rows.

    Such a product takes as long as reading the weight. The checkpoints that ship are stored in float16: a float32
    matrix whose numbers all are float16 is kept as such, and the product is still one in float32. Any other small one
    is a transposed copy, which on one or two rows takes less than half of the time.
    """
    if weight.numel() > MAX_COPIED_WEIGHTS:
        return partial(large_product, weight)
    if weight.device.type == "cpu" and weight.dtype == torch.float32 and torch.equal(weight.half().float(), weight):
        try:
            packed = torch.ops.quantized.linear_prepack_fp16(weight.contiguous(), None)
        except (AttributeError, RuntimeError):  # a build or a processor without FBGEMM
            packed = None
        if packed is not None:
            multiply = torch.ops.quantized.linear_dynamic_fp16.default
            return lambda hidden_states: multiply(hidden_states, packed)
    matrix = weight.t().contiguous()
    return lambda hidden_states: torch.matmul(hidden_states, matrix)


def large_product(weight: torch.Tensor, hidden_states: torch.Tensor) -> torch.Tensor:
    """Return `F.linear` with a weight that is not copied, of which two to four rows take hardly longer than one.

    `F.linear` on a CPU reads a float32 weight once for each row; the transposed product reads it once for all.
    """
    is_few = hidden_states.ndim == 2 and 1 < hidden_states.shape[0] <= _MAX_FEW_ROWS
    if is_few and weight.dtype == torch.float32 and weight.device.type == "cpu":
        return torch.mm(weight, hidden_states.t()).t().contiguous()
    return F.linear(hidden_states, weight)


def is_plain_matrix(module: Any) -> bool:
    """Return whether a module is nothing but a product with a matrix of floating-point numbers."""
    if type(module) is not nn.Linear or module.bias is not None or _is_elsewhere(module):
        return False
    # Quantized weights are other kinds of tensors in the same module.
    return type(module.weight) is nn.Parameter and module.weight.dtype in _PLAIN_DTYPES


def plain_base(module: Any) -> Any:
    """Return the module that an adapter of PEFT has wrapped, or the module itself."""
    return getattr(module, "base_layer", module)


def matrix_of(module: Any) -> torch.Tensor:
    """Return the matrix of a linear module without bias, `(output size, input size)`, with what adapters add to it."""
    if type(module) is nn.Linear:
        return module.weight
    base = plain_base(module)
    weight = base.weight if isinstance(getattr(base, "weight", None), torch.Tensor) else torch.zeros(0)
    return module(torch.eye(base.in_features, dtype=weight.dtype, device=weight.device)).t()


def _is_elsewhere(module: nn.Module) -> bool:
    """Return whether accelerate brings the weights of a module for each call."""
    return hasattr(module, "_hf_hook") or any(weight.is_meta for weight in module.parameters(recurse=False))


def root_mean_square_norm(weight: torch.Tensor, epsilon: float) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return `F.rms_norm` over the last dimension, computed the fast way.

    On a CPU torch puts it together from seven operators. Layer normalization is one, and of a vector followed by its
    negative, whose mean is 0 and whose variance is the mean square, it is the same.

    Args:
        weight: `(hidden_size,)`.
        epsilon: Added to the mean square.
    """
    weight = weight.detach()
    if weight.device.type != "cpu":
        return lambda hidden_states: F.rms_norm(hidden_states, weight.shape, weight, epsilon)
    signs = weight.new_tensor([[1.0], [-1.0]])
    weights = weight.expand(2, -1).contiguous()

    def normalize(hidden_states: torch.Tensor) -> torch.Tensor:
        both = hidden_states.unsqueeze(-2) * signs
        return torch.layer_norm(both, weights.shape, weights, None, epsilon).select(-2, 0)

    return normalize
