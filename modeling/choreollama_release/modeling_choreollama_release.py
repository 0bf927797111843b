"""The released generator: a music bridge and a LLaMA that writes the codes of a dance one by one."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F
from transformers import LlamaForCausalLM, PreTrainedModel
from transformers import initialization as init
from transformers.utils import ModelOutput

from ...utils.checkpoints import CheckedWeightsMixin
from ...utils.feature_statistics import FeatureStatisticsMixin
from ..choreollama.cadence_moe import split_bands
from ..choreollama.mamba import MambaLayer
from .configuration_choreollama_release import ChoreoLlamaReleaseConfig
from .modeling_release_codec import ReleaseCodecModel


@dataclass
class MusicBridgeOutput(ModelOutput):
    """What the music bridge computes, with its parts.

    Args:
        embeddings: `(batch, music_frames, hidden_size)`, the LLaMA's inputs for the music.
        projected_inputs: `(batch, music_frames, hidden_size)`, music, style and condition after the first layer.
        bands: `(num_bands, batch, music_frames, condition_dim)`, those of the condition, the slowest first.
        universal: `(batch, music_frames, hidden_size)`, of the universal expert.
        specialized: `(num_bands, batch, music_frames, hidden_size)`, of the expert of each band.
    """

    embeddings: torch.Tensor | None = None
    projected_inputs: torch.Tensor | None = None
    bands: torch.Tensor | None = None
    universal: torch.Tensor | None = None
    specialized: torch.Tensor | None = None


@dataclass
class ChoreoLlamaReleaseOutput(ModelOutput):
    """What a [`ChoreoLlamaReleaseModel`] computes.

    Args:
        loss (`torch.FloatTensor` of shape `()`):
            `code_loss` plus the weighted `style_loss`, where labels were given.
        code_loss (`torch.FloatTensor` of shape `()`):
            Mean cross entropy of the dance tokens over the whole vocabulary, in nats.
        style_loss (`torch.FloatTensor` of shape `()`):
            Cross entropy of the style, in nats.
        logits (`torch.FloatTensor` of shape `(batch, num_dance_ids + 1, vocab_size)`):
            Position `k` predicts dance id `k`; the last one what follows the given ids.
        style_logits (`torch.FloatTensor` of shape `(batch, num_styles)`):
            Read from the mean of the LLaMA's inputs.
        music_embeddings (`torch.FloatTensor` of shape `(batch, music_frames, hidden_size)`):
            The LLaMA's inputs for the music.
        dance_embeddings (`torch.FloatTensor` of shape `(batch, num_dance_ids, hidden_size)`):
            The LLaMA's inputs for the dance.
    """

    loss: torch.Tensor | None = None
    code_loss: torch.Tensor | None = None
    style_loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    style_logits: torch.Tensor | None = None
    music_embeddings: torch.Tensor | None = None
    dance_embeddings: torch.Tensor | None = None


class ReleaseExpert(nn.Module):
    """Linear layer, attention over the whole window without residual or position, and Mamba with a residual.

    Args:
        config: The configuration.
        input_size: Channels of the input.
    """

    def __init__(self, config: ChoreoLlamaReleaseConfig, input_size: int):
        super().__init__()
        size = config.hidden_size
        self.proj = nn.Linear(input_size, size)
        self.transformer_attn = nn.MultiheadAttention(size, config.num_bridge_heads, batch_first=True)
        self.norm = nn.LayerNorm(size)
        self.mamba = MambaLayer(size, config.mamba_state_size, config.mamba_conv_size, config.mamba_expand)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Map `(batch, length, input_size)` to `(batch, length, hidden_size)`."""
        projected = self.proj(inputs)
        attended, _ = self.transformer_attn(projected, projected, projected, need_weights=False)
        return self.mamba(self.norm(attended)) + attended


class ReleaseMusicBridge(nn.Module):
    """Universal expert on music, style and condition, and an expert a band on the condition alone; no gate.

    Args:
        config: The configuration.
    """

    def __init__(self, config: ChoreoLlamaReleaseConfig):
        super().__init__()
        size, num_bands = config.hidden_size, len(config.band_edges_hz) + 1
        self.band_edges_hz, self.frame_rate = config.band_edges_hz, config.condition_rate
        self.input_proj = nn.Linear(config.music_dim + config.style_dim + config.condition_dim, size)
        self.specialized_experts = nn.ModuleList(ReleaseExpert(config, config.condition_dim) for _ in range(num_bands))
        self.universal_expert = ReleaseExpert(config, size)
        self.fusion_proj = nn.Linear((num_bands + 1) * size, size)

    def forward(self, music: torch.Tensor, style: torch.Tensor, condition: torch.Tensor) -> MusicBridgeOutput:
        """Join what a window of dance is written for.

        Args:
            music: `(batch, music_frames, music_dim)`.
            style: `(batch, style_dim)`.
            condition: `(batch, music_frames, condition_dim)`, already mapped to the frames of the music. Its rate is
                taken for that of the motion, as in the release, so that 7.5 Hz are 6.25 Hz of the dance.
        """
        style = style[:, None].expand(-1, music.shape[1], -1)
        inputs = self.input_proj(torch.cat([music, style, condition], dim=-1))
        all_frames = torch.ones(condition.shape[:2], dtype=torch.bool, device=condition.device)
        bands = split_bands(condition, all_frames, self.band_edges_hz, self.frame_rate).to(condition.dtype)
        universal = self.universal_expert(inputs)
        specialized = [expert(band) for expert, band in zip(self.specialized_experts, bands, strict=True)]
        return MusicBridgeOutput(
            embeddings=self.fusion_proj(torch.cat([universal, *specialized], dim=-1)),
            projected_inputs=inputs,
            bands=bands,
            universal=universal,
            specialized=torch.stack(specialized),
        )


class ReleaseDanceBridge(nn.Module):
    """Two layers from a codebook vector, as it is in the codec, to an input of the LLaMA."""

    def __init__(self, config: ChoreoLlamaReleaseConfig):
        super().__init__()
        self.fc1 = nn.Linear(config.codec_config.code_dim, config.dance_bridge_dim)
        self.fc2 = nn.Linear(config.dance_bridge_dim, config.hidden_size)

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """Map `(..., code_dim)` to `(..., hidden_size)`."""
        return self.fc2(F.gelu(self.fc1(vectors)))


class ChoreoLlamaReleaseModel(CheckedWeightsMixin, PreTrainedModel, FeatureStatisticsMixin):
    """The authors' released generator with its codec, which is frozen and stays in float32.

    The released weights keep their names; those of the codec have `codec.` before them. The decoders are in
    `decoding_release`. The buffers `condition_mean` and `condition_std` are those of the retrieved dances
    (`alldata_new_joint_vecs264_ft_balanced`), which are others than those of the codec; `normalize` uses them.

    Args:
        config: The configuration.
    """

    config_class = ChoreoLlamaReleaseConfig
    base_model_prefix = "choreollama_release"
    main_input_name = "music"
    mean_name, std_name = "condition_mean", "condition_std"
    supports_gradient_checkpointing = True
    _no_split_modules = ["LlamaDecoderLayer", "ReleaseExpert"]
    _keep_in_fp32_modules_strict = ["codec", "condition_mean", "condition_std"]
    _modules_not_quantized = ("lm_head", "dt_proj", "codec")
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_attention_backend = True

    def __init__(self, config: ChoreoLlamaReleaseConfig):
        super().__init__(config)
        self.llama = LlamaForCausalLM(config.text_config)
        self.music_bridge = ReleaseMusicBridge(config)
        self.dance_bridge = ReleaseDanceBridge(config)
        self.style_embedding = nn.Embedding(config.num_styles, config.style_dim)
        self.cond_projection = nn.Linear(config.condition_frames, config.music_frames)
        self.style_classifier = nn.Linear(config.hidden_size, config.num_styles)
        self.codec = ReleaseCodecModel(config.codec_config).requires_grad_(False).eval()
        self.add_feature_statistics(config.condition_dim)
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, MambaLayer):
            module.init_weights()
        elif isinstance(module, nn.MultiheadAttention):
            init.xavier_uniform_(module.in_proj_weight)
            init.zeros_(module.in_proj_bias)
        elif isinstance(module, ChoreoLlamaReleaseModel):
            module.init_feature_statistics()

    def train(self, mode: bool = True) -> ChoreoLlamaReleaseModel:
        """Set the training mode; the codec stays frozen and in evaluation mode."""
        super().train(mode)
        # Loading makes new parameters, which require gradients; `from_pretrained` ends with a call of this.
        self.codec.eval().requires_grad_(False)
        return self

    def get_input_embeddings(self) -> nn.Module:
        """Return the LLaMA's table of ids, which is its head as well and embeds nothing."""
        return self.llama.get_input_embeddings()

    def get_output_embeddings(self) -> nn.Module:
        """Return the LLaMA's head."""
        return self.llama.get_output_embeddings()

    def codes_to_ids(self, codes: torch.Tensor) -> torch.Tensor:
        """Return the ids `(batch, num_tokens * num_quantizers)` of codes `(batch, num_tokens, num_quantizers)`."""
        return (codes + self._level_starts(codes)).flatten(-2)

    def ids_to_codes(self, dance_ids: torch.Tensor) -> torch.Tensor:
        """Return the codes `(batch, num_tokens, num_quantizers)` of ids `(batch, num_tokens * num_quantizers)`.

        Raises:
            ValueError: If an id is not one of its level's, or the last token is not whole.
        """
        self._check_ids(dance_ids)
        if dance_ids.shape[-1] % self.config.num_quantizers:
            raise ValueError(
                f"`dance_ids` must be whole tokens of {self.config.num_quantizers} ids, got {dance_ids.shape[-1]} ids."
            )
        dance_ids = dance_ids.unflatten(-1, (-1, self.config.num_quantizers))
        return dance_ids - self._level_starts(dance_ids)

    def encode_condition(
        self, music: torch.Tensor, style_ids: torch.Tensor, reference_condition: torch.Tensor
    ) -> torch.Tensor:
        """Return the LLaMA's inputs for a window of music.

        Args:
            music: `(batch, music_frames, music_dim)`, at 25 Hz.
            style_ids: `(batch,)`, int64.
            reference_condition: `(batch, condition_frames, condition_dim)`, retrieved dances, normalized by
                `condition_mean` and `condition_std`; zeros where there are none.

        Returns:
            `(batch, music_frames, hidden_size)`.

        Raises:
            ValueError: If a shape is wrong.
        """
        return self.run_music_bridge(music, style_ids, reference_condition).embeddings  # type: ignore[return-value]

    def run_music_bridge(
        self, music: torch.Tensor, style_ids: torch.Tensor, reference_condition: torch.Tensor
    ) -> MusicBridgeOutput:
        """Do what `encode_condition` does and return its parts as well; the same arguments."""
        config = self.config
        self._check_shape("music", music, (config.music_frames, config.music_dim))
        self._check_shape("reference_condition", reference_condition, (config.condition_frames, config.condition_dim))
        dtype = self.cond_projection.bias.dtype
        condition = self.cond_projection(reference_condition.to(dtype).transpose(1, 2)).transpose(1, 2)
        return self.music_bridge(music.to(dtype), self.style_embedding(style_ids), condition)

    def embed_dance(self, dance_ids: torch.Tensor) -> torch.Tensor:
        """Return the LLaMA's inputs for dance ids: each its own codebook vector through the dance bridge.

        Args:
            dance_ids: `(batch, length)`, the levels in turn, level 0 first.

        Returns:
            `(batch, length, hidden_size)`.

        Raises:
            ValueError: If an id is not one of its level's.
        """
        self._check_ids(dance_ids)
        table = self.codec.codebooks.flatten(0, 1)
        vectors = table[dance_ids - self.config.dance_token_start]
        return self.dance_bridge(vectors.to(self.dance_bridge.fc1.bias.dtype))

    def forward(
        self,
        music: torch.Tensor,
        style_ids: torch.Tensor,
        reference_condition: torch.Tensor,
        dance_ids: torch.Tensor,
        labels: torch.Tensor | None = None,
    ) -> ChoreoLlamaReleaseOutput:
        """Score the dance ids of a window.

        Args:
            music: As in [`~ChoreoLlamaReleaseModel.encode_condition`].
            style_ids: As in [`~ChoreoLlamaReleaseModel.encode_condition`].
            reference_condition: As in [`~ChoreoLlamaReleaseModel.encode_condition`].
            dance_ids: `(batch, num_dance_ids)`, the levels in turn, level 0 first.
            labels: `(batch, num_dance_ids)`, the ids to be predicted; -100 = not counted.

        Raises:
            ValueError: If a shape or an id is wrong.
        """
        music_embeddings = self.encode_condition(music, style_ids, reference_condition)
        dance_embeddings = self.embed_dance(dance_ids)
        embeddings = torch.cat([music_embeddings, dance_embeddings], dim=1)
        hidden_states = self.llama.model(inputs_embeds=embeddings, use_cache=False).last_hidden_state
        logits = self.llama.lm_head(hidden_states[:, music.shape[1] - 1 :])
        style_logits = self.style_classifier(embeddings.mean(dim=1))
        output = ChoreoLlamaReleaseOutput(
            logits=logits,
            style_logits=style_logits,
            music_embeddings=music_embeddings,
            dance_embeddings=dance_embeddings,
        )
        if labels is not None:
            output.code_loss = F.cross_entropy(logits[:, :-1].flatten(0, 1).float(), labels.flatten())
            output.style_loss = F.cross_entropy(style_logits.float(), style_ids)
            output.loss = output.code_loss + self.config.style_loss_weight * output.style_loss
        return output

    def _level_starts(self, like: torch.Tensor) -> torch.Tensor:
        levels = torch.arange(self.config.num_quantizers, device=like.device)
        return self.config.dance_token_start + levels * self.config.num_codes

    def _check_ids(self, dance_ids: torch.Tensor) -> None:
        levels = torch.arange(dance_ids.shape[-1], device=dance_ids.device) % self.config.num_quantizers
        codes = dance_ids - self.config.dance_token_start - levels * self.config.num_codes
        if dance_ids.numel() and (codes.min() < 0 or codes.max() >= self.config.num_codes):
            raise ValueError(
                f"`dance_ids` must be ids of the levels in turn, {self.config.num_codes} ids each from "
                f"{self.config.dance_token_start} on, level 0 first. Codes are converted by `codes_to_ids`."
            )

    def _check_shape(self, name: str, values: torch.Tensor, shape: tuple[int, int]) -> None:
        if values.ndim != 3 or tuple(values.shape[1:]) != shape:
            raise ValueError(f"`{name}` must have shape (batch, {shape[0]}, {shape[1]}), got {tuple(values.shape)}.")
