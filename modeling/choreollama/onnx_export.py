"""The parts of a generator as graphs of ONNX: condition, step, levels, and the decoder of the codec."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from ...utils.atomic import atomic_path
from ...utils.extras import require_extra
from .cadence_moe import frames_to_tokens
from .code_writer import max_positions
from .configuration_choreollama import ChoreoLlamaConfig
from .step_decoder import StepDecoder, make_decoder, matrix_of

GRAPHS = ("condition", "step", "levels", "decoder")
"""Files of `export_onnx`, each with the ending `.onnx`."""


class ConditionGraph(nn.Module):
    """The condition of one stretch of songs; the bands of the references are split before it.

    Args:
        model: A `ChoreoLlamaForConditionalGeneration`.
    """

    def __init__(self, model: Any):
        super().__init__()
        self.cadence_moe = model.model.cadence_moe

    def forward(
        self,
        input_features: torch.Tensor,
        frame_mask: torch.Tensor,
        music_mask: torch.Tensor,
        genre_ids: torch.Tensor,
        bands: torch.Tensor,
        references_present: torch.Tensor,
        spectra_mask: torch.Tensor,
        side_ids: torch.Tensor,
        energy: torch.Tensor,
    ) -> torch.Tensor:
        """Return the condition, `(batch, stretch tokens, hidden_size)`; arguments as in `CadenceMoE.forward`.

        `bands` are those of `split_bands` of the averaged, normalized references, `(num_bands, batch, frames,
        motion_feature_size)`; anything where there are none.
        """
        moe = self.cadence_moe
        spectra_mask = spectra_mask & moe.config.hears_spectra
        universal = moe.encode_music(input_features, frame_mask, music_mask, genre_ids, spectra_mask, side_ids, energy)
        token_mask = frames_to_tokens(frame_mask, moe.config.frames_per_token).any(dim=-1)
        fused, _ = moe.fuse_bands(bands, token_mask, universal)
        fused = torch.where(references_present[:, None, None], fused, moe.null_references)
        return moe.mixing(torch.cat([universal, fused], dim=-1))


class StepGraph(nn.Module):
    """One step of the backbone over caches of fixed size, which it takes and returns.

    Args:
        model: A `ChoreoLlamaForConditionalGeneration` whose backbone is a LLaMA as `StepDecoder` takes it.
    """

    def __init__(self, model: Any):
        super().__init__()
        self.model = model.model

    def forward(
        self, code_ids: torch.Tensor, condition: torch.Tensor, position: torch.Tensor, caches: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Read the ids of a token and write those after it.

        Args:
            code_ids: Of the token before, `(batch, num_quantizers)`; the start id at position 0.
            condition: Of the token that is written, `(batch, hidden_size)`.
            position: In the window, `(1,)`, from 0.
            caches: Keys and values, `(layers, 2, batch, key and value heads, positions, head_dim)`.

        Returns:
            The backbone's output, `(batch, hidden_size)`, and the caches with this position filled in.
        """
        backbone = self.model.backbone
        hidden_states = (self.model.embed_codes(code_ids).sum(dim=1) + condition)[:, None]
        cosine, sine = (angle[:, None] for angle in backbone.rotary_emb(hidden_states, position[None]))
        is_here = torch.arange(caches.shape[4]) == position  # (positions,)
        visible = (torch.arange(caches.shape[4]) <= position)[None, None, None]
        new_caches = []
        for layer, cache in zip(backbone.layers, caches.unbind(), strict=True):
            attention = layer.self_attn
            normalized = layer.input_layernorm(hidden_states)
            query, key, value = (
                projection(normalized).unflatten(-1, (-1, attention.head_dim)).transpose(1, 2)
                for projection in (attention.q_proj, attention.k_proj, attention.v_proj)
            )
            query, key = (states * cosine + _turned(states) * sine for states in (query, key))
            cache = torch.where(is_here[:, None], torch.stack([key, value]), cache)
            keys, values = cache.repeat_interleave(attention.num_key_value_groups, dim=2).unbind()
            attended = F.scaled_dot_product_attention(query, keys, values, attn_mask=visible, scale=attention.scaling)
            hidden_states = hidden_states + attention.o_proj(attended.transpose(1, 2).flatten(2))
            hidden_states = hidden_states + layer.mlp(layer.post_attention_layernorm(hidden_states))
            new_caches.append(cache)
        return backbone.norm(hidden_states)[:, 0], torch.stack(new_caches)


class LevelsGraph(nn.Module):
    """The depth decoder and the heads.

    Args:
        model: A `ChoreoLlamaForConditionalGeneration` with `code_pattern="depth"`.
    """

    def __init__(self, model: Any):
        super().__init__()
        self.model, self.depth_decoder, config = model.model, model.depth_decoder, model.config
        heads = matrix_of(model.lm_head).detach().unflatten(0, (config.num_quantizers, config.codebook_size))
        self.register_buffer("heads", heads, persistent=False)

    def forward(self, hidden_states: torch.Tensor, code_ids: torch.Tensor) -> torch.Tensor:
        """Return the logits of all levels, of which each reads the codes of the levels below it.

        Args:
            hidden_states: From `StepGraph`, `(batch, hidden_size)`.
            code_ids: Of the token that is written, `(batch, num_quantizers)`; anything where they are not known yet.

        Returns:
            `(batch, num_quantizers, codebook_size)`.
        """
        embeddings = self.model.embed_codes(code_ids)[:, None]
        states = self.depth_decoder(hidden_states[:, None], embeddings)[:, 0]
        return torch.einsum("bqh,qkh->bqk", states, self.heads)


class DecoderGraph(nn.Module):
    """The decoder of the codec.

    Args:
        model: A `ChoreoLlamaForConditionalGeneration` with its codec.
    """

    def __init__(self, model: Any):
        super().__init__()
        self.codec = model.codec

    def forward(self, codes: torch.Tensor) -> torch.Tensor:
        """Decode codes `(batch, num_quantizers, num_tokens)` to features `(batch, frames, motion_feature_size)`."""
        return self.codec.decode_latents(self.codec.quantizer.lookup(codes))


class _PlainAttention(TorchFunctionMode):
    """Mode in which attention is made of products: the exporter trips over the axes that a kernel leaves behind."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function is F.scaled_dot_product_attention:
            return _attention(*args, **kwargs)
        return function(*args, **(kwargs or {}))


def _attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, attn_mask: torch.Tensor, scale: float | None = None
) -> torch.Tensor:
    """Return `F.scaled_dot_product_attention` with a mask, boolean (True = seen) or added."""
    scores = query @ key.mT * (query.shape[-1] ** -0.5 if scale is None else scale)
    if attn_mask.dtype == torch.bool:
        scores = scores.masked_fill(~attn_mask, float("-inf"))
    else:
        scores = scores + attn_mask
    return scores.softmax(dim=-1) @ value


def _turned(states: torch.Tensor) -> torch.Tensor:
    """Return the halves of each head, `(..., head_dim)`, changed over, the first one negative."""
    first, second = states.chunk(2, dim=-1)
    return torch.cat([-second, first], dim=-1)


def stretch_frames(config: ChoreoLlamaConfig) -> int:
    """Return the frames of a stretch: context, window and look-ahead."""
    num_tokens = config.context_tokens + config.max_window_tokens + config.lookahead_tokens
    return num_tokens * config.frames_per_token


def export_graphs(model: Any) -> dict[str, torch.export.ExportedProgram]:
    """Export the parts of a generator with `torch.export`, for one row, and any number of tokens in the decoder.

    Args:
        model: A `ChoreoLlamaForConditionalGeneration` in float32, with `condition_placement="aligned"`,
            `code_pattern="depth"` and a codec.

    Returns:
        The programs of `GRAPHS`, by their names.

    Raises:
        ValueError: If the model is another one.
    """
    config, batch_size = model.config, 1
    is_fast = isinstance(make_decoder(model.model.backbone, max_positions(config)), StepDecoder)
    if (config.condition_placement, config.code_pattern) != ("aligned", "depth") or not is_fast or model.codec is None:
        raise ValueError(
            'Models with `condition_placement="aligned"`, `code_pattern="depth"`, a LLaMA backbone and a codec are '
            f"exported, got {config.condition_placement!r}, {config.code_pattern!r}, "
            f"{config.backbone_config.model_type!r}, {'no codec' if model.codec is None else 'a codec'}."
        )
    backbone, frames = config.backbone_config, stretch_frames(config)
    levels = config.num_quantizers
    yes, ids = torch.ones(batch_size, dtype=torch.bool), torch.zeros(batch_size, dtype=torch.long)
    codes = torch.zeros(batch_size, levels, dtype=torch.long)
    hidden_states = torch.zeros(batch_size, config.hidden_size)
    head_dim = model.model.backbone.layers[0].self_attn.head_dim
    cache_shape = (backbone.num_key_value_heads, max_positions(config), head_dim)
    inputs: dict[str, tuple[nn.Module, dict[str, torch.Tensor]]] = {
        "condition": (
            ConditionGraph(model),
            {
                "input_features": torch.zeros(batch_size, frames, config.music_feature_size),
                "frame_mask": torch.ones(batch_size, frames, dtype=torch.bool),
                "music_mask": yes,
                "genre_ids": ids,
                "bands": torch.zeros(config.num_bands, batch_size, frames, config.motion_feature_size),
                "references_present": yes,
                "spectra_mask": yes,
                "side_ids": ids,
                "energy": torch.zeros(batch_size, frames),
            },
        ),
        "step": (
            StepGraph(model),
            {
                "code_ids": codes,
                "condition": hidden_states,
                "position": torch.zeros(1, dtype=torch.long),
                "caches": torch.zeros(backbone.num_hidden_layers, 2, batch_size, *cache_shape),
            },
        ),
        "levels": (LevelsGraph(model), {"hidden_states": hidden_states, "code_ids": codes}),
        "decoder": (DecoderGraph(model), {"codes": torch.zeros(batch_size, levels, 7, dtype=torch.long)}),
    }
    with torch.no_grad(), _PlainAttention():
        programs = {}
        for name, (graph, given) in inputs.items():
            given = {each: tensor.clone() for each, tensor in given.items()}  # of one tensor it makes one input
            shapes: dict[str, Any] = {each: {} for each in given}
            if name == "decoder":
                shapes["codes"][2] = torch.export.Dim("num_tokens", min=1)
            programs[name] = torch.export.export(graph.eval(), (), given, dynamic_shapes=shapes, strict=False)
    return programs


def export_onnx(model: Any, folder: Path) -> dict[str, Path]:
    """Write the graphs of `export_graphs` as ONNX files, and what they take and return into a README.

    Args:
        model: As `export_graphs`.
        folder: To write to; made if it is not there.

    Returns:
        The files of `GRAPHS`, by their names.

    Raises:
        ImportError: If the extra `onnx` is missing.
        ValueError: If the model cannot be exported.
    """
    for package in ("onnx", "onnxscript"):
        require_extra(package, "onnx", "Export to ONNX")
    programs = export_graphs(model)
    folder.mkdir(parents=True, exist_ok=True)
    files = {}
    for name, program in programs.items():
        with warnings.catch_warnings(), _quiet_exporter():
            warnings.simplefilter("ignore")  # about operators of the exporter itself
            exported = torch.onnx.export(program, dynamo=True, verbose=False)
        assert exported is not None
        files[name] = folder / f"{name}.onnx"
        with atomic_path(files[name]) as temporary:
            exported.save(temporary)
    with atomic_path(folder / "config.json") as temporary:
        temporary.write_text(json.dumps(model.config.to_dict(), indent=2, default=str) + "\n", encoding="utf-8")
    with atomic_path(folder / "README.md") as temporary:
        temporary.write_text(_readme(model.config, files), encoding="utf-8")
    return files


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Keep the exporter from telling which operators of absent packages it does not register."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)


def _readme(config: ChoreoLlamaConfig, files: Mapping[str, Path]) -> str:
    tokens, fpt, size = config.max_window_tokens, config.frames_per_token, config.codebook_size
    return f"""# A dance generator as ONNX

{", ".join(f"`{file.name}`" for file in files.values())}: float32, for one song (`batch` is 1).
`config.json` is that of the model. Inputs and outputs have the names of the arguments in
`infinitedance.modeling.choreollama.onnx_export`, whose docstrings give shapes and units.

A token is {fpt} frames at {config.frame_rate:g} Hz; it has {config.num_quantizers} codes of {size}. Code c of level q
has the id q * {size} + c, the start id is {config.bos_token_id}.

1. `condition`: a song in stretches of {stretch_frames(config)} frames: {config.context_tokens} tokens of context,
   the {tokens} tokens whose condition is kept, {config.lookahead_tokens} tokens of look-ahead. Frames outside the
   song are zero, and False in `frame_mask`. `energy` is NaN and `side_ids` 2 where nothing is asked. The references
   are averaged, normalized and split into {config.num_bands} bands before it; without any, `references_present` is
   False. For guidance it is called again with `music_mask` False, `genre_ids` {config.num_genres} (any) and no
   references.
2. `step`: once for each token, with the codes of the token before (the start id first), the condition of the token
   to write, its position in the window and the caches, zero at first, which it returns filled in. When the window
   of {tokens} tokens is full, its last {tokens // 2} tokens are read again as the start of the next one.
   The second condition of guidance has caches of its own.
3. `levels`: once for each level of the token, with the codes of the levels below filled in; of the logits
   `(batch, levels, codes)` those of that level count. With guidance they are
   `without + scale * (with - without)`.
4. `decoder`: codes `(batch, levels, tokens)` to motion features, {fpt} frames a token.
"""
