"""ChoreoLLaMA: a LLaMA that writes the motion codes of a dance for a song (paper section 3.3)."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from transformers import AutoModel, PreTrainedModel
from transformers import initialization as init
from transformers.modeling_outputs import BaseModelOutputWithPast
from transformers.utils import ModelOutput

from ...utils.checkpoints import CheckedWeightsMixin
from .cadence_moe import AddedGenreEmbedding, CadenceExpert, CadenceMoE, combine_references, frames_to_tokens
from .conditions import Conditions
from .configuration_choreollama import ChoreoLlamaConfig
from .depth_decoder import DepthDecoder
from .generation_choreollama import ChoreoLlamaGenerationMixin
from .input_ids import delay_condition, delay_levels, mask_history, prefix_inputs, prepend_start
from .mamba import MambaLayer
from .step_decoder import matrix_of

_MAX_STRETCHES, _MAX_STATES = 32, 2**19
"""Of a song encoded at once: stretches, and states of an expert."""


@dataclass
class ChoreoLlamaConditionOutput(ModelOutput):
    """What `encode_condition` returns.

    Args:
        condition: `(batch, num_tokens, hidden_size)`, one vector for each motion token.
        token_mask: `(batch, num_tokens)`, True = a token with at least one real frame.
        expert_weights: The gate, `(batch, num_tokens, num_bands)`; zero in clips without references, none when no
            clip has any or the gate is off.
        load_balance_loss: Scalar, 0 when all bands are used equally; none for a song encoded in stretches.
    """

    condition: torch.Tensor = None  # type: ignore[assignment]  # `ModelOutput` wants defaults
    token_mask: torch.Tensor = None  # type: ignore[assignment]
    expert_weights: torch.Tensor | None = None
    load_balance_loss: torch.Tensor = None  # type: ignore[assignment]


@dataclass
class ChoreoLlamaOutput(ModelOutput):
    """What `ChoreoLlamaForConditionalGeneration` returns.

    Args:
        loss: Mean over levels of `loss_per_level`, plus the weighted load-balance loss.
        loss_per_level: Mean cross entropy of each level, `(num_quantizers,)`, in nats.
        load_balance_loss: Scalar, unweighted.
        logits: `(batch, num_quantizers, num_tokens, codebook_size)` for `motion_codes`; `(batch, length, vocab_size)`
            for `input_ids`.
        expert_weights: The gate, `(batch, num_tokens, num_bands)`, or none.
        past_key_values: The cache, for `input_ids` with `use_cache=True`.
        hidden_states: Of the backbone, if asked for.
        attentions: Of the backbone, if asked for.
    """

    loss: torch.Tensor | None = None
    loss_per_level: torch.Tensor | None = None
    load_balance_loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    expert_weights: torch.Tensor | None = None
    past_key_values: Any = None
    hidden_states: tuple[torch.Tensor, ...] | None = None
    attentions: tuple[torch.Tensor, ...] | None = None


class ChoreoLlamaPreTrainedModel(CheckedWeightsMixin, PreTrainedModel):
    """Base of the ChoreoLLaMA models: configuration, initialization, capabilities."""

    config: ChoreoLlamaConfig
    base_model_prefix = "model"
    main_input_name = "input_ids"
    supports_gradient_checkpointing = True
    _no_split_modules = ["LlamaDecoderLayer", "CadenceMoE"]
    _skip_keys_device_placement = ["past_key_values"]
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_attention_backend = True
    # Files that are older than the table lack it; it is zero then.
    _keys_to_ignore_on_load_missing = [r"\.added_genre_embedding\.weight$"]
    # Small ones that decide, those that need all their digits, and the codec.
    _modules_not_quantized = ("lm_head", "gate", "dt_proj", "codec")

    def get_adapter_state_dict(
        self, adapter_name: str | None = None, state_dict: dict[str, torch.Tensor] | None = None
    ) -> dict[str, torch.Tensor]:
        """Return the weights of an adapter, without the base's own embeddings and heads that PEFT would save with it.

        Args:
            adapter_name: The adapter; the active one by default.
            state_dict: Of the model; its own by default.
        """
        from peft import get_peft_model_state_dict

        name = adapter_name or self.active_adapters()[0]
        return get_peft_model_state_dict(self, state_dict, adapter_name=name, save_embedding_layers=False)

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, AddedGenreEmbedding):
            init.zeros_(module.weight)
            return
        super()._init_weights(module)
        std = self.config.initializer_range
        if isinstance(module, MambaLayer):
            module.init_weights()
        elif isinstance(module, CadenceExpert):
            init.zeros_(module.distance_bias)
        elif isinstance(module, CadenceMoE):
            init.normal_(module.null_music, std=std)
            init.normal_(module.null_references, std=std)
            module.init_feature_statistics()
        elif isinstance(module, ChoreoLlamaModel):
            init.zeros_(module.codebook_vectors)


class ChoreoLlamaModel(ChoreoLlamaPreTrainedModel):
    """Condition encoder, code embedding and backbone; no head.

    A code enters as its continuous codebook vector, projected (the paper's choice), plus a learned vector of its own
    and one of its level (both ours). The codebooks are data: they are set with `set_codebooks` and saved with the
    model.

    Args:
        config: The configuration.
    """

    codebook_vectors: torch.Tensor

    # A checkpoint of the whole generator holds this model, too.
    _keys_to_ignore_on_load_unexpected = [r"^lm_head\.", r"^depth_decoder\.", r"^codec\."]

    def __init__(self, config: ChoreoLlamaConfig):
        super().__init__(config)
        hidden_size = config.hidden_size
        self.cadence_moe = CadenceMoE(config)
        self.code_projection = nn.Linear(config.codebook_dim, hidden_size)
        self.level_embedding = nn.Embedding(config.num_quantizers, hidden_size)
        self.backbone = AutoModel.from_config(config.backbone_config)
        self.dropout = nn.Dropout(config.dropout)
        if config.dropout > 0:
            # LLaMA has no residual dropout; hooks keep its parameter names.
            for layer in self.backbone.layers:
                layer.self_attn.o_proj.register_forward_hook(self._drop_output)
                layer.mlp.register_forward_hook(self._drop_output)
        codebooks = torch.zeros(config.num_quantizers, config.codebook_size, config.codebook_dim)
        self.register_buffer("codebook_vectors", codebooks)
        self.post_init()

    def _drop_output(self, module: nn.Module, inputs: tuple, output: torch.Tensor) -> torch.Tensor:
        return self.dropout(output)

    def get_input_embeddings(self) -> nn.Module:
        """Return the learned part of the code embedding."""
        return self.backbone.embed_tokens

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the learned part of the code embedding."""
        self.backbone.embed_tokens = value

    @torch.no_grad()
    def set_codebooks(self, codebooks: torch.Tensor) -> None:
        """Store the codec's codebooks, each level scaled to unit root mean square.

        Args:
            codebooks: `(num_quantizers, codebook_size, codebook_dim)`.

        Raises:
            ValueError: If the shape is wrong or a level is all zero or not finite.
        """
        if codebooks.shape != self.codebook_vectors.shape:
            raise ValueError(
                f"`codebooks` must have shape (num_quantizers, codebook_size, codebook_dim) = "
                f"{tuple(self.codebook_vectors.shape)}, got {tuple(codebooks.shape)}."
            )
        # The residual shrinks from level to level; unscaled, the last level would hardly be seen.
        scale = codebooks.float().square().mean(dim=(1, 2), keepdim=True).sqrt()
        if not torch.isfinite(scale).all() or not (scale > 0).all():
            raise ValueError("`codebooks` must be finite and not all zero at any level: train the codec first.")
        self.codebook_vectors.copy_(codebooks / scale)

    def embed_codes(self, input_ids: torch.Tensor) -> torch.Tensor:
        """Embed code ids, the start id, mask ids and placeholders.

        Args:
            input_ids: `(batch, length)`, or of any other shape.

        Returns:
            `(batch, length, hidden_size)`.
        """
        config = self.config
        embeddings = self.backbone.embed_tokens(input_ids)
        code_ids = input_ids.clamp(max=config.num_codes - 1)
        vectors = F.embedding(code_ids, self.codebook_vectors.flatten(0, 1))
        continuous = self.code_projection(vectors) + self.level_embedding(code_ids // config.codebook_size)
        return embeddings + continuous * (input_ids < config.num_codes).unsqueeze(-1)

    def embed_inputs(
        self, input_ids: torch.Tensor, condition: torch.Tensor | None, position_ids: torch.Tensor | None
    ) -> torch.Tensor:
        """Embed ids and join them with their conditions; arguments as in `forward`.

        Returns:
            `(batch, length, hidden_size)`.
        """
        embeddings = self.embed_codes(input_ids)
        if input_ids.ndim == 3:
            embeddings = embeddings.sum(dim=2)
        return self.join_condition(embeddings, input_ids, condition, position_ids)

    def join_condition(
        self,
        embeddings: torch.Tensor,
        input_ids: torch.Tensor,
        condition: torch.Tensor | None,
        position_ids: torch.Tensor | None,
    ) -> torch.Tensor:
        """Join embedded ids, `(batch, length, hidden_size)`, with their conditions; arguments as in `forward`."""
        if self.config.condition_placement == "aligned":
            if condition is None or position_ids is None:
                raise ValueError('`condition` is needed at every call when `condition_placement` is "aligned".')
            return embeddings + condition[:, position_ids[0] // self.config.steps_per_token]
        if condition is not None:
            placeholders = (input_ids == self.config.music_token_id).view(*embeddings.shape[:2], -1)[..., :1]
            embeddings = embeddings.masked_scatter(placeholders, condition.to(embeddings.dtype))
        return embeddings

    def encode_condition(self, conditions: Conditions, *, split: bool = True) -> ChoreoLlamaConditionOutput:
        """Encode the conditions of whole songs, at a cost that is linear in their length.

        A song longer than `max_window_tokens` is encoded in stretches of that length, each with `context_tokens`
        before and `lookahead_tokens` after it. In `"aligned"` placement the condition of a token depends on no music
        more than `lookahead_seconds` after the token's end; references are retrieved as whole windows, so their
        frequency bands look at the whole stretch.

        Args:
            conditions: Of the batch.
            split: Encode a long song in stretches; off in training, where the caller cuts the window itself.

        Returns:
            A `ChoreoLlamaConditionOutput` with `num_tokens = ceil(frames / frames_per_token)`.

        Raises:
            ValueError: If shapes or ids do not fit.
        """
        parts = list(self.encode_parts(conditions, split=split))
        if len(parts) == 1:
            return parts[0]
        expert_weights = None
        if any(part.expert_weights is not None for part in parts):
            weights = [
                part.condition.new_zeros(*part.condition.shape[:2], self.config.num_bands)
                if part.expert_weights is None  # no clip has references there
                else part.expert_weights
                for part in parts
            ]
            expert_weights = torch.cat(weights, dim=1)
        condition, token_mask = (
            torch.cat([part[name] for part in parts], dim=1) for name in ("condition", "token_mask")
        )
        return ChoreoLlamaConditionOutput(condition, token_mask, expert_weights, None)

    def encode_parts(self, conditions: Conditions, *, split: bool = True) -> Iterator[ChoreoLlamaConditionOutput]:
        """Encode the conditions of whole songs part by part, in the order of time; see `encode_condition`.

        A part is as many stretches as are well encoded at once: memory does not grow with the song.

        Args:
            conditions: Of the batch.
            split: See `encode_condition`.
        """
        config = self.config
        conditions.check(config)
        given = conditions.with_defaults(config)
        batch_size, num_frames = given.input_features.shape[:2]
        references = present = None
        assert given.frame_mask is not None and given.music_mask is not None and given.genre_ids is not None
        assert given.spectra_mask is not None and given.side_ids is not None and given.energy is not None
        if given.reference_features is not None and given.reference_mask is not None:
            references = combine_references(given.reference_features, given.reference_mask)
            present = given.reference_mask.any(dim=1)

        token_mask = frames_to_tokens(given.frame_mask, config.frames_per_token).any(dim=-1)
        inputs = (
            given.input_features,
            given.frame_mask,
            given.music_mask,
            given.genre_ids,
            references,
            present,
            given.spectra_mask,
            given.side_ids,
            given.energy,
        )
        window = config.max_window_tokens
        if not split or num_frames <= window * config.frames_per_token:
            encoded = self.cadence_moe(*inputs)
            yield ChoreoLlamaConditionOutput(encoded[0], token_mask, *encoded[1:])
            return
        num_stretches = -(-token_mask.shape[1] // window)
        stretch_tokens = config.context_tokens + window + config.lookahead_tokens
        at_once = min(_MAX_STRETCHES, _MAX_STATES // (stretch_tokens * config.expert_hidden_size))
        at_once = max(1, at_once // batch_size)
        for first in range(0, num_stretches, at_once):
            count = min(at_once, num_stretches - first)
            encoded = self.cadence_moe(
                *(
                    None
                    if each is None
                    else self._to_stretches(each, first, count)
                    if each.ndim > 1
                    else each.repeat_interleave(count)
                    for each in inputs
                )
            )
            tokens = slice(first * window, (first + count) * window)
            num_tokens = token_mask[:, tokens].shape[1]
            condition, expert_weights = (
                None if each is None else self._from_stretches(each, batch_size, num_tokens) for each in encoded[:2]
            )
            yield ChoreoLlamaConditionOutput(condition, token_mask[:, tokens], expert_weights, None)

    def _to_stretches(self, features: torch.Tensor, first: int, count: int) -> torch.Tensor:
        """Cut stretches that overlap out of `(batch, frames, ...)`: `(batch * count, stretch frames, ...)`."""
        config = self.config
        before, stride, after = (
            num_tokens * config.frames_per_token
            for num_tokens in (config.context_tokens, config.max_window_tokens, config.lookahead_tokens)
        )
        batch_size, num_frames = features.shape[:2]
        start, end = first * stride - before, (first + count) * stride + after
        left = features.new_zeros(batch_size, max(0, -start), *features.shape[2:])
        right = features.new_zeros(batch_size, max(0, end - num_frames), *features.shape[2:])
        features = torch.cat([left, features[:, max(0, start) : end], right], dim=1)
        return features.unfold(1, before + stride + after, stride).movedim(-1, 2).flatten(0, 1)

    def _from_stretches(self, encoded: torch.Tensor, batch_size: int, num_tokens: int) -> torch.Tensor:
        """Put the middles of the stretches side by side, `(batch, num_tokens, ...)`."""
        start, length = self.config.context_tokens, self.config.max_window_tokens
        middles = encoded[:, start : start + length]
        return middles.reshape(batch_size, -1, encoded.shape[-1])[:, :num_tokens]

    def forward(
        self,
        input_ids: torch.Tensor,
        condition: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        past_key_values: Any = None,
        use_cache: bool | None = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPast:
        """Run the backbone over code ids and their conditions.

        Args:
            input_ids: `(batch, length)`. `"aligned"`: the start id, then codes. `"prefix"`: placeholders, the start
                id, codes. If `code_pattern` is not `"flat"`, `(batch, length, num_quantizers)`: the embeddings of the
                levels are added.
            condition: `(batch, num_tokens, hidden_size)`. `"aligned"`: of the window's tokens, first token first, at
                every call. `"prefix"`: one for each placeholder in `input_ids`, none where there is no placeholder.
            attention_mask: `(batch, length so far)`, 1 = keep; `"prefix"` only.
            position_ids: `(batch or 1, length)`, places in the window, counted from 0.
            past_key_values: The cache.
            use_cache: Whether to fill and return a cache.
            **kwargs: For the backbone.

        Returns:
            The backbone's output.
        """
        if position_ids is None and self.config.condition_placement == "aligned":
            past = past_key_values.get_seq_length() if past_key_values is not None else 0
            position_ids = torch.arange(input_ids.shape[1], device=input_ids.device).unsqueeze(0) + past
        embeddings = self.embed_inputs(input_ids, condition, position_ids)
        return self.backbone(
            inputs_embeds=self.dropout(embeddings),
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            use_cache=use_cache,
            **kwargs,
        )


class ChoreoLlamaForConditionalGeneration(ChoreoLlamaPreTrainedModel, ChoreoLlamaGenerationMixin):
    """ChoreoLLaMA with its heads and, optionally, the frozen motion codec that turns its codes into motion.

    Args:
        config: The configuration.

    Example:
        ```python
        from infinitedance import ChoreoLlamaForConditionalGeneration, ChoreoLlamaProcessor, load_audio
        from infinitedance.assets import DEFAULT_MODEL  # a folder, or a name on the Hub

        processor = ChoreoLlamaProcessor.from_pretrained(DEFAULT_MODEL)
        model = ChoreoLlamaForConditionalGeneration.from_pretrained(DEFAULT_MODEL, dtype="float32").eval()
        inputs = processor(load_audio("song.mp3"), 24_000, genre="salsa")
        codes = model.generate_codes(**inputs, seeds=[0])  # (1, 6, num_tokens)
        motion_features = model.decode_motion(codes)  # (1, 4 * num_tokens, 269)
        ```
    """

    def __init__(self, config: ChoreoLlamaConfig):
        super().__init__(config)
        self.model = ChoreoLlamaModel(config)
        # The rows of one level are that level's head; `generate` needs one table of scores.
        self.lm_head = nn.Linear(config.hidden_size, config.num_codes, bias=False)
        self.depth_decoder = DepthDecoder(config) if config.code_pattern == "depth" else None
        self.codec = None
        if config.codec_config is not None:
            self.codec = AutoModel.from_config(config.codec_config).requires_grad_(False).eval()
        self.post_init()
        self.set_generation_defaults()

    @classmethod
    def from_backbone_pretrained(
        cls, backbone_path: str | os.PathLike, config: ChoreoLlamaConfig, **kwargs: Any
    ) -> "ChoreoLlamaForConditionalGeneration":
        """Build a model around the weights of a pretrained LLaMA.

        Everything of the backbone is kept but its text embedding, whose place the code embedding takes.

        Args:
            backbone_path: Folder or name of a checkpoint that `AutoModel` can load.
            config: The configuration; its `backbone_config` is replaced by the checkpoint's.
            **kwargs: For `AutoModel.from_pretrained`.

        Returns:
            The model, in float32.
        """
        backbone = AutoModel.from_pretrained(backbone_path, **kwargs)
        fields = config.to_dict()
        fields["backbone_config"] = {**backbone.config.to_dict(), "dtype": None}
        model = cls(ChoreoLlamaConfig(**fields))
        weights = {name: weight for name, weight in backbone.state_dict().items() if name != "embed_tokens.weight"}
        result = model.model.backbone.load_state_dict(weights, strict=False)
        if result.missing_keys != ["embed_tokens.weight"] or result.unexpected_keys:
            raise ValueError(
                f"The checkpoint {os.fspath(backbone_path)!r} does not fit its own configuration: missing "
                f"{result.missing_keys}, unexpected {result.unexpected_keys}."
            )
        return model

    def set_codec(self, codec: PreTrainedModel) -> None:
        """Carry a trained codec inside the model, frozen, and take over its codebooks and feature statistics.

        Args:
            codec: A `MotionCodecModel`.
        """
        self.set_codebooks(codec.codebooks)
        self.model.cadence_moe.set_feature_statistics(codec.feature_mean, codec.feature_std)
        self.codec = codec.requires_grad_(False).eval()
        self.config.codec_config = codec.config

    def set_codebooks(self, codebooks: torch.Tensor) -> None:
        """Store the codec's codebooks; see `ChoreoLlamaModel.set_codebooks`."""
        self.model.set_codebooks(codebooks)

    def encode_condition(
        self, input_features: torch.Tensor, *, split: bool = True, **conditions: torch.Tensor | None
    ) -> ChoreoLlamaConditionOutput:
        """Encode the conditions of whole songs.

        Args:
            input_features: As in `Conditions`.
            split: See `ChoreoLlamaModel.encode_condition`.
            **conditions: The other fields of `Conditions`.
        """
        return self.model.encode_condition(Conditions(input_features, **conditions), split=split)

    def decode_motion(self, motion_codes: torch.Tensor) -> torch.Tensor:
        """Turn codes into motion features with the codec inside.

        Args:
            motion_codes: `(batch, num_quantizers, num_tokens)`.

        Returns:
            `(batch, frames_per_token * num_tokens, motion_feature_size)`.
        """
        if self.codec is None:
            raise ValueError("This model carries no codec: give it one with `set_codec`.")
        return self.codec.decode(motion_codes)

    def train(self, mode: bool = True) -> "ChoreoLlamaForConditionalGeneration":
        """Set the training mode; the codec stays frozen and in evaluation mode."""
        super().train(mode)
        if self.codec is not None:
            # Loading makes new parameters, which require gradients; `from_pretrained` ends with a call of this.
            self.codec.eval().requires_grad_(False)
        return self

    def codes_to_ids(self, motion_codes: torch.Tensor) -> torch.Tensor:
        """Interleave codes to ids: token by token, level 0 first.

        Args:
            motion_codes: `(batch, num_quantizers, num_tokens)`.

        Returns:
            `(batch, num_tokens * num_quantizers)`.

        Raises:
            ValueError: If the shape or a code is out of range.
        """
        config = self.config
        if motion_codes.ndim != 3 or motion_codes.shape[1] != config.num_quantizers:
            raise ValueError(
                f"`motion_codes` must have shape (batch, {config.num_quantizers}, num_tokens), got "
                f"{tuple(motion_codes.shape)}."
            )
        if motion_codes.numel() and (motion_codes.min() < 0 or motion_codes.max() >= config.codebook_size):
            raise ValueError(
                f"`motion_codes` must lie in [0, {config.codebook_size}), got [{motion_codes.min()}, "
                f"{motion_codes.max()}]. Padding needs a valid code too; mark it with -100 in `labels`."
            )
        offsets = torch.arange(config.num_quantizers, device=motion_codes.device) * config.codebook_size
        return (motion_codes + offsets[:, None]).transpose(1, 2).flatten(1)

    def ids_to_codes(self, ids: torch.Tensor) -> torch.Tensor:
        """Undo `codes_to_ids`.

        Args:
            ids: `(batch, num_tokens * num_quantizers)`.

        Returns:
            `(batch, num_quantizers, num_tokens)`.
        """
        codes = ids.unflatten(1, (-1, self.config.num_quantizers)).transpose(1, 2)
        return codes % self.config.codebook_size

    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        condition: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        past_key_values: Any = None,
        use_cache: bool | None = None,
        logits_to_keep: int = 0,
        input_features: torch.Tensor | None = None,
        frame_mask: torch.Tensor | None = None,
        genre_ids: torch.Tensor | None = None,
        reference_features: torch.Tensor | None = None,
        reference_mask: torch.Tensor | None = None,
        music_mask: torch.Tensor | None = None,
        spectra_mask: torch.Tensor | None = None,
        side_ids: torch.Tensor | None = None,
        energy: torch.Tensor | None = None,
        motion_codes: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        num_context_tokens: int = 0,
        inputs_embeds: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> ChoreoLlamaOutput:
        """Score codes: a whole window of `motion_codes` (training), or the next of `input_ids` (generation).

        Args:
            input_ids: As in `ChoreoLlamaModel.forward`; exclusive with `motion_codes`.
            condition: As in `ChoreoLlamaModel.forward`.
            attention_mask: As in `ChoreoLlamaModel.forward`.
            position_ids: As in `ChoreoLlamaModel.forward`.
            past_key_values: The cache.
            use_cache: Whether to fill and return a cache.
            logits_to_keep: With `input_ids`, score only that many last positions; 0 for all.
            input_features: As in `Conditions`, like the eight that follow. The music begins `num_context_tokens`
                before the first code and reaches at least to the last; frames after it serve as look-ahead.
            frame_mask: See `Conditions`.
            genre_ids: See `Conditions`.
            reference_features: See `Conditions`.
            reference_mask: See `Conditions`.
            music_mask: See `Conditions`.
            spectra_mask: See `Conditions`.
            side_ids: See `Conditions`.
            energy: See `Conditions`.
            motion_codes: `(batch, num_quantizers, num_tokens)`, at most `max_window_tokens` long.
            labels: Like `motion_codes`, -100 = not scored.
            num_context_tokens: Tokens of music before the first code.
            inputs_embeds: Not taken: codes are embedded here. PEFT passes `None`.
            **kwargs: For the backbone.

        Returns:
            A `ChoreoLlamaOutput`.

        Raises:
            ValueError: If inputs are missing or do not fit.
        """
        if inputs_embeds is not None:
            raise ValueError(
                "ChoreoLLaMA embeds codes itself: give `motion_codes` or `input_ids`, no `inputs_embeds`."
            )
        if (input_ids is None) == (motion_codes is None):
            raise ValueError("Give exactly one of `motion_codes` (training) and `input_ids` (generation).")
        if input_ids is not None:
            self._require_flat("Scoring `input_ids`")
            outputs = self.model(
                input_ids, condition, attention_mask, position_ids, past_key_values, use_cache, **kwargs
            )
            logits = self.lm_head(outputs.last_hidden_state[:, -logits_to_keep:])
            # The ids that are no codes can never be chosen.
            num_others = self.config.vocab_size - self.config.num_codes
            logits = F.pad(logits, (0, num_others), value=torch.finfo(logits.dtype).min)
            return ChoreoLlamaOutput(
                logits=logits,
                past_key_values=outputs.past_key_values,
                hidden_states=outputs.hidden_states,
                attentions=outputs.attentions,
            )
        if motion_codes is None or input_features is None:
            raise ValueError("`motion_codes` need the `input_features` of their music.")
        conditions = Conditions(
            input_features,
            frame_mask,
            genre_ids,
            reference_features,
            reference_mask,
            music_mask,
            spectra_mask,
            side_ids,
            energy,
        )
        return self._forward_window(motion_codes, labels, num_context_tokens, conditions, **kwargs)

    def _forward_window(
        self,
        motion_codes: torch.Tensor,
        labels: torch.Tensor | None,
        num_context_tokens: int,
        conditions: Conditions,
        **kwargs: Any,
    ) -> ChoreoLlamaOutput:
        config = self.config
        code_ids = self.codes_to_ids(motion_codes)
        batch_size, num_tokens = motion_codes.shape[0], motion_codes.shape[2]
        self._require_codebooks()
        if num_tokens > config.max_window_tokens:
            raise ValueError(f"A window has at most {config.max_window_tokens} tokens, got {num_tokens}.")
        past_ids = self._past_ids(code_ids)
        if self.training:
            conditions, past_ids = conditions.dropped_at_random(config), mask_history(config, past_ids)
        encoded = self.model.encode_condition(conditions, split=False)
        num_music_tokens = num_context_tokens + num_tokens
        window = slice(num_context_tokens, num_music_tokens)
        condition, token_mask = encoded.condition[:, window], encoded.token_mask[:, window]
        if condition.shape[:2] != (batch_size, num_tokens):
            raise ValueError(
                f"`input_features` must hold {(num_music_tokens - 1) * config.frames_per_token + 1} frames or more of "
                f"{batch_size} clips for {num_tokens} tokens after {num_context_tokens} of context, got shape "
                f"{tuple(conditions.input_features.shape)}."
            )
        outputs, logits = self._score(code_ids, past_ids, condition, token_mask, **kwargs)
        loss = loss_per_level = None
        if labels is not None:
            loss_per_level = self._loss_per_level(logits, labels)
            loss = loss_per_level.mean() + config.load_balance_weight * encoded.load_balance_loss
        return ChoreoLlamaOutput(
            loss=loss,
            loss_per_level=loss_per_level,
            load_balance_loss=encoded.load_balance_loss,
            logits=logits,
            expert_weights=None if encoded.expert_weights is None else encoded.expert_weights[:, window],
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )

    def score_codes(
        self, motion_codes: torch.Tensor, condition: torch.Tensor, token_mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Score the codes of one window, each from those written before it.

        Args:
            motion_codes: `(batch, num_quantizers, num_tokens)`.
            condition: Of these tokens, `(batch, num_tokens, hidden_size)`; see `encode_condition`.
            token_mask: `(batch, num_tokens)`, True = the condition is real; all, if not given.

        Returns:
            Logits, `(batch, num_quantizers, num_tokens, codebook_size)`.
        """
        code_ids = self.codes_to_ids(motion_codes)
        if token_mask is None:
            token_mask = torch.ones(condition.shape[:2], dtype=torch.bool, device=condition.device)
        return self._score(code_ids, self._past_ids(code_ids), condition, token_mask)[1]

    def _past_ids(self, code_ids: torch.Tensor) -> torch.Tensor:
        """Return what the backbone reads of the ids of a window, `(batch, num_tokens * num_quantizers)`.

        Returns:
            `"flat"`: all but the last, `(batch, codes)`; otherwise `(batch, num_tokens, num_quantizers)`.
        """
        if self.config.code_pattern == "flat":
            return code_ids[:, :-1]
        return code_ids.unflatten(1, (-1, self.config.num_quantizers))

    def _score(
        self,
        code_ids: torch.Tensor,
        past_ids: torch.Tensor,
        condition: torch.Tensor,
        token_mask: torch.Tensor,
        **kwargs: Any,
    ) -> tuple[BaseModelOutputWithPast, torch.Tensor]:
        """Run the backbone and the heads over a window.

        Args:
            code_ids: Of all codes, `(batch, num_tokens * num_quantizers)`.
            past_ids: From `_past_ids`, some perhaps masked.
            condition: `(batch, num_tokens, hidden_size)`.
            token_mask: `(batch, num_tokens)`.
            **kwargs: For the backbone.

        Returns:
            The backbone's output, and logits `(batch, num_quantizers, num_tokens, codebook_size)`.
        """
        config, num_tokens = self.config, condition.shape[1]
        if config.code_pattern == "delay":
            past_ids = delay_levels(config, past_ids, token_mask)
            condition = delay_condition(config, condition, token_mask)
        if config.code_pattern != "flat":
            past_ids = past_ids[:, :-1]
        input_ids = prepend_start(config, past_ids, num_tokens)
        outputs = self.model(
            input_ids,
            condition,
            **prefix_inputs(config, token_mask, input_ids.shape[1]),
            use_cache=False,
            **kwargs,
        )
        hidden_states = outputs.last_hidden_state[:, -past_ids.shape[1] - 1 :]
        if config.code_pattern == "delay":
            levels = [hidden_states[:, level : level + num_tokens] for level in range(config.num_quantizers)]
            hidden_states = torch.stack(levels, dim=2)
        elif self.depth_decoder is not None:
            embeddings = self.model.embed_codes(code_ids.unflatten(1, (num_tokens, config.num_quantizers)))
            hidden_states = self.depth_decoder(hidden_states, embeddings)
        else:
            hidden_states = hidden_states.unflatten(1, (num_tokens, config.num_quantizers))
        heads = matrix_of(self.lm_head).unflatten(0, (config.num_quantizers, config.codebook_size))
        return outputs, torch.einsum("bnqh,qkh->bqnk", hidden_states, heads)

    def _loss_per_level(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        if labels.shape != logits.shape[:3]:
            raise ValueError(f"`labels` must have shape {tuple(logits.shape[:3])}, got {tuple(labels.shape)}.")
        losses = F.cross_entropy(logits.float().flatten(0, 2), labels.flatten(), ignore_index=-100, reduction="none")
        scored = (labels != -100).sum(dim=(0, 2)).clamp(min=1)
        return losses.view(labels.shape).sum(dim=(0, 2)) / scored
