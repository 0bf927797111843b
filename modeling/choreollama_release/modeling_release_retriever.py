"""The released two towers that bring windows of music and of dance into one space."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.utils import ModelOutput

from ...utils.checkpoints import CheckedWeightsMixin
from ..music_dance.modeling_music_dance import info_nce
from .configuration_choreollama_release import ReleaseRetrieverConfig

_MASKED = -1e6  # what the release adds to the keys of a frame that is not real


@dataclass
class ReleaseRetrieverOutput(ModelOutput):
    """What a [`ReleaseRetriever`] computes.

    Args:
        loss (`torch.FloatTensor` of shape `()`):
            Mean cross entropy of picking each row's and each column's partner, in nats.
        logits (`torch.FloatTensor` of shape `(batch, batch)`):
            Cosine of each motion (rows) and each music (columns), times the learned scale.
        motion_embeddings (`torch.FloatTensor` of shape `(batch, hidden)`):
            Of length 1.
        music_embeddings (`torch.FloatTensor` of shape `(batch, hidden)`):
            Of length 1.
    """

    loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    motion_embeddings: torch.Tensor | None = None
    music_embeddings: torch.Tensor | None = None


class ReleaseEfficientAttention(nn.Module):
    """Attention with softmax of the queries over channels and of the keys over time, without a last projection."""

    def __init__(self, config: ReleaseRetrieverConfig):
        super().__init__()
        size = config.hidden
        self.num_heads = config.heads
        self.norm = nn.LayerNorm(size)
        self.query = nn.Linear(size, size)
        self.key = nn.Linear(size, size)
        self.value = nn.Linear(size, size)

    def forward(self, hidden_states: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """Add to `(batch, length, hidden)` what it finds where `mask` `(batch, length, 1)`, if any, is 1."""
        normed = self.norm(hidden_states)
        key, value = self.key(normed), self.value(normed)
        if mask is not None:
            key = key + (1 - mask) * _MASKED
        query, key, value = (
            states.unflatten(-1, (self.num_heads, -1)) for states in (self.query(normed), key, value)
        )  # each (batch, length, heads, channels)
        context = torch.einsum("bthc,bthd->bhcd", key.softmax(dim=1), value)
        return hidden_states + torch.einsum("bthc,bhcd->bthd", query.softmax(dim=-1), context).flatten(2)


class ReleaseFeedForward(nn.Module):
    """Feed-forward part, pre-normalized and added to its input."""

    def __init__(self, config: ReleaseRetrieverConfig):
        super().__init__()
        self.norm = nn.LayerNorm(config.hidden)
        self.linear1 = nn.Linear(config.hidden, config.feed_forward)
        self.linear2 = nn.Linear(config.feed_forward, config.hidden)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """Map `(batch, length, hidden)` to the same shape."""
        return hidden_states + self.linear2(self.dropout(F.gelu(self.linear1(self.norm(hidden_states)))))


class ReleaseRetrieverLayer(nn.Module):
    """Attention and feed-forward."""

    def __init__(self, config: ReleaseRetrieverConfig):
        super().__init__()
        self.sa_block = ReleaseEfficientAttention(config)
        self.ffn = ReleaseFeedForward(config)

    def forward(self, hidden_states: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """Map `(batch, length, hidden)` to the same shape."""
        return self.ffn(self.sa_block(hidden_states, mask))


class ReleaseTower(nn.Module):
    """Frames with learned positions, behind a class token without one, whose output is the embedding.

    Args:
        config: The configuration.
        feature_size: Channels of a frame.
    """

    def __init__(self, config: ReleaseRetrieverConfig, feature_size: int):
        super().__init__()
        self.proj_in = nn.Linear(feature_size, config.hidden)
        self.embedding = nn.Parameter(torch.zeros(config.max_frames, config.hidden))
        self.cls_token = nn.Parameter(torch.zeros(config.hidden))
        self.blocks = nn.ModuleList(ReleaseRetrieverLayer(config) for _ in range(config.layers))
        self.proj_out = nn.Linear(config.hidden, config.hidden)

    def forward(self, features: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """Map `(batch, frames, feature_size)` with `mask` `(batch, frames)` to `(batch, hidden)`, of any length."""
        hidden_states = self.proj_in(features) + self.embedding[: features.shape[1]]
        class_tokens = self.cls_token.expand(len(features), 1, -1)
        hidden_states = torch.cat([class_tokens, hidden_states], dim=1)
        if mask is not None:
            mask = F.pad(mask.to(hidden_states.dtype), (1, 0), value=1.0).unsqueeze(-1)
        for block in self.blocks:
            hidden_states = block(hidden_states, mask)
        return self.proj_out(hidden_states[:, 0])


class ReleaseRetriever(CheckedWeightsMixin, PreTrainedModel):
    """The authors' released retrieval network: one tower for music and one for motion.

    Neither kind of features is normalized, as in the release.
    """

    config_class = ReleaseRetrieverConfig
    base_model_prefix = "release_retriever"
    main_input_name = "music"
    _supports_sdpa = True

    def __init__(self, config: ReleaseRetrieverConfig):
        super().__init__(config)
        self.motion_encoder = ReleaseTower(config, config.motion_dim)
        self.cond_encoder = ReleaseTower(config, config.music_dim)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear):
            init.kaiming_uniform_(module.weight, a=math.sqrt(5))
            init.zeros_(module.bias)
        elif isinstance(module, nn.LayerNorm):
            init.ones_(module.weight)
            init.zeros_(module.bias)
        elif isinstance(module, ReleaseTower):
            init.normal_(module.embedding)
            init.normal_(module.cls_token)
        elif isinstance(module, ReleaseRetriever):
            init.constant_(module.logit_scale, math.log(1 / 0.07))

    def embed_music(self, features: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Embed windows of music.

        Args:
            features: `(batch, frames, music_dim)`, not normalized.
            mask: `(batch, frames)`, 1 or True = real frame; all by default.

        Returns:
            `(batch, hidden)`, of length 1.

        Raises:
            ValueError: If a shape is wrong.
        """
        return self._embed(self.cond_encoder, features, mask, self.config.music_dim)

    def embed_motion(self, features: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Embed windows of motion.

        Args:
            features: `(batch, frames, motion_dim)`, not normalized.
            mask: `(batch, frames)`, 1 or True = real frame; all by default.

        Returns:
            `(batch, hidden)`, of length 1.

        Raises:
            ValueError: If a shape is wrong.
        """
        return self._embed(self.motion_encoder, features, mask, self.config.motion_dim)

    def forward(
        self,
        music: torch.Tensor,
        motion: torch.Tensor,
        music_mask: torch.Tensor | None = None,
        motion_mask: torch.Tensor | None = None,
    ) -> ReleaseRetrieverOutput:
        """Compare each window of motion with each window of music; row k of both belong together.

        Args:
            music: `(batch, frames, music_dim)`.
            motion: `(batch, frames, motion_dim)`.
            music_mask: `(batch, frames)`, 1 or True = real frame; all by default.
            motion_mask: `(batch, frames)`, 1 or True = real frame; all by default.

        Raises:
            ValueError: If a shape is wrong.
        """
        motion_embeddings = self.embed_motion(motion, motion_mask)
        music_embeddings = self.embed_music(music, music_mask)
        logits = self.logit_scale.exp() * motion_embeddings @ music_embeddings.T
        return ReleaseRetrieverOutput(info_nce(logits), logits, motion_embeddings, music_embeddings)

    def _embed(
        self, tower: ReleaseTower, features: torch.Tensor, mask: torch.Tensor | None, feature_size: int
    ) -> torch.Tensor:
        window = self.config.max_frames
        if features.ndim != 3 or features.shape[2] != feature_size or not 1 <= features.shape[1] <= window:
            raise ValueError(
                f"A batch of windows must have shape (batch, 1 to {window} frames, {feature_size}), got "
                f"{tuple(features.shape)}."
            )
        if mask is not None and mask.shape != features.shape[:2]:
            raise ValueError(f"A mask must have shape {tuple(features.shape[:2])}, got {tuple(mask.shape)}.")
        return F.normalize(tower(features.to(self.dtype), mask), dim=-1)
