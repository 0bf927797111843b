"""Two towers that bring windows of music and of dance into one space, for retrieval."""

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
from ...utils.feature_statistics import FeatureStatisticsMixin
from .configuration_music_dance import MusicDanceConfig

MAX_LOGIT_SCALE = math.log(100.0)
"""CLIP's bound: a sharper temperature makes the training unstable."""


@dataclass
class MusicDanceOutput(ModelOutput):
    """What a [`MusicDanceEncoder`] computes.

    Args:
        loss (`torch.FloatTensor` of shape `()`):
            InfoNCE, the mean of both directions, in nats.
        logits_per_music (`torch.FloatTensor` of shape `(batch, batch)`):
            Cosine of each window of music (rows) and each window of motion, times the inverse temperature.
        music_embeddings (`torch.FloatTensor` of shape `(batch, embedding_size)`):
            Of length 1.
        motion_embeddings (`torch.FloatTensor` of shape `(batch, embedding_size)`):
            Of length 1.
    """

    loss: torch.Tensor | None = None
    logits_per_music: torch.Tensor | None = None
    music_embeddings: torch.Tensor | None = None
    motion_embeddings: torch.Tensor | None = None


class MusicDanceAttention(nn.Module):
    """Efficient attention: softmax of the queries over channels, of the keys over time (Shen et al., 2021).

    The keys sum the values up to one matrix a head, so that the cost is linear in the length.
    """

    def __init__(self, config: MusicDanceConfig):
        super().__init__()
        self.num_heads = config.num_attention_heads
        self.query_key_value = nn.Linear(config.hidden_size, 3 * config.hidden_size)
        self.output = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, hidden_states: torch.Tensor, token_mask: torch.Tensor) -> torch.Tensor:
        """Mix `(batch, num_tokens, hidden_size)` over the tokens where `token_mask` `(batch, num_tokens)` is True."""
        query, key, value = (
            states.unflatten(-1, (self.num_heads, -1)) for states in self.query_key_value(hidden_states).chunk(3, -1)
        )  # each (batch, num_tokens, heads, channels)
        key = key.masked_fill(~token_mask[:, :, None, None], torch.finfo(key.dtype).min).softmax(dim=1)
        context = torch.einsum("bthc,bthd->bhcd", key, value)
        mixed = torch.einsum("bthc,bhcd->bthd", query.softmax(dim=-1), context)
        return self.output(mixed.flatten(2))


class MusicDanceLayer(nn.Module):
    """Convolution over time, efficient attention and feed-forward, each pre-normalized and added to its input.

    The convolution of single channels is ours: it lets a layer see rhythm before the attention sums over time.
    """

    def __init__(self, config: MusicDanceConfig):
        super().__init__()
        size, kernel = config.hidden_size, config.conv_kernel_size
        self.conv_norm = nn.LayerNorm(size) if kernel > 1 else None
        self.conv = nn.Conv1d(size, size, kernel, padding=kernel // 2, groups=size) if kernel > 1 else None
        self.attention_norm = nn.LayerNorm(size)
        self.attention = MusicDanceAttention(config)
        self.feed_forward_norm = nn.LayerNorm(size)
        self.feed_forward = nn.Sequential(
            nn.Linear(size, config.intermediate_size), nn.GELU(), nn.Linear(config.intermediate_size, size)
        )
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, hidden_states: torch.Tensor, token_mask: torch.Tensor) -> torch.Tensor:
        """Return `(batch, num_tokens, hidden_size)`; padded tokens reach no real one."""
        if self.conv is not None and self.conv_norm is not None:
            real = self.conv_norm(hidden_states) * token_mask.unsqueeze(-1)
            hidden_states = hidden_states + self.dropout(self.conv(real.transpose(1, 2)).transpose(1, 2))
        hidden_states = hidden_states + self.dropout(self.attention(self.attention_norm(hidden_states), token_mask))
        return hidden_states + self.dropout(self.feed_forward(self.feed_forward_norm(hidden_states)))


class MusicDanceTower(nn.Module):
    """Encoder of windows of one kind of features to embeddings of length 1.

    Tokens have learned positions; the real ones are averaged (the release reads a class token).

    Args:
        config: The configuration.
        feature_size: Channels of a frame.
        window_frames: The longest window.
    """

    def __init__(self, config: MusicDanceConfig, feature_size: int, window_frames: int):
        super().__init__()
        self.frames_per_token = config.frames_per_token
        self.window_frames = window_frames
        self.patch = nn.Linear(config.frames_per_token * feature_size, config.hidden_size)
        max_tokens = -(-window_frames // config.frames_per_token)
        self.positions = nn.Parameter(torch.zeros(max_tokens, config.hidden_size))
        self.dropout = nn.Dropout(config.dropout)
        self.layers = nn.ModuleList(MusicDanceLayer(config) for _ in range(config.num_hidden_layers))
        self.norm = nn.LayerNorm(config.hidden_size)
        self.projection = nn.Linear(config.hidden_size, config.embedding_size, bias=False)

    def forward(self, features: torch.Tensor, frame_mask: torch.Tensor) -> torch.Tensor:
        """Map `(batch, frames, feature_size)` with `frame_mask` `(batch, frames)` to `(batch, embedding_size)`."""
        missing = -features.shape[1] % self.frames_per_token
        features = F.pad(features.masked_fill(~frame_mask.unsqueeze(-1), 0.0), (0, 0, 0, missing))
        frame_mask = F.pad(frame_mask, (0, missing))
        token_mask = frame_mask.unflatten(1, (-1, self.frames_per_token)).any(dim=-1)
        hidden_states = self.patch(features.unflatten(1, (-1, self.frames_per_token)).flatten(2))
        hidden_states = self.dropout(hidden_states + self.positions[: hidden_states.shape[1]])
        for layer in self.layers:
            hidden_states = layer(hidden_states, token_mask)
        weights = token_mask / token_mask.sum(dim=1, keepdim=True)
        pooled = torch.einsum("bt,bth->bh", weights.to(hidden_states.dtype), self.norm(hidden_states))
        return F.normalize(self.projection(pooled).float(), dim=-1)


class MusicDanceEncoder(CheckedWeightsMixin, PreTrainedModel, FeatureStatisticsMixin):
    """Two CLIP-like towers for music and dance, trained with InfoNCE (paper section "MD-Retrieval").

    The features are those of `MusicFeatureExtractor` and `motion_to_features`, not normalized: mean and standard
    deviation of the motion are part of the model ([`~MusicDanceEncoder.set_feature_statistics`]).
    """

    config_class = MusicDanceConfig
    base_model_prefix = "music_dance"
    main_input_name = "input_features"
    _supports_sdpa = True

    def __init__(self, config: MusicDanceConfig):
        super().__init__(config)
        self.music_tower = MusicDanceTower(config, config.music_feature_size, config.music_window_frames)
        self.motion_tower = MusicDanceTower(config, config.motion_feature_size, config.window_frames)
        self.logit_scale = nn.Parameter(torch.tensor(float(config.logit_scale_init_value)))
        self.add_feature_statistics(config.motion_feature_size)
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear | nn.Conv1d):
            init.kaiming_uniform_(module.weight, a=math.sqrt(5))
            if module.bias is not None:
                init.zeros_(module.bias)
        elif isinstance(module, nn.LayerNorm):
            init.ones_(module.weight)
            init.zeros_(module.bias)
        elif isinstance(module, MusicDanceTower):
            init.copy_(module.positions, sinusoidal_positions(*module.positions.shape))
        elif isinstance(module, MusicDanceEncoder):
            init.constant_(module.logit_scale, self.config.logit_scale_init_value)
            module.init_feature_statistics()

    def encode_music(self, input_features: torch.Tensor, frame_mask: torch.Tensor | None = None) -> torch.Tensor:
        """Encode windows of music.

        Args:
            input_features: `(batch, frames, music_feature_size)` at `config.music_frame_rate`, one window at most.
            frame_mask: `(batch, frames)`, True = real frame; all by default.

        Returns:
            `(batch, embedding_size)` float32, of length 1.

        Raises:
            ValueError: If a shape is wrong, or a window has no real frame.
        """
        frame_mask = self._check(input_features, frame_mask, "input_features", self.config.music_feature_size)
        return self.music_tower(input_features.to(self.dtype), frame_mask)

    def encode_motion(self, motion_features: torch.Tensor, frame_mask: torch.Tensor | None = None) -> torch.Tensor:
        """Encode windows of dance.

        Args:
            motion_features: `(batch, frames, motion_feature_size)` at `config.frame_rate`, not normalized, one window
                at most.
            frame_mask: `(batch, frames)`, True = real frame; all by default.

        Returns:
            `(batch, embedding_size)` float32, of length 1.

        Raises:
            ValueError: If a shape is wrong, or a window has no real frame.
        """
        frame_mask = self._check(motion_features, frame_mask, "motion_features", self.config.motion_feature_size)
        return self.motion_tower(self.normalize(motion_features.to(self.dtype)), frame_mask)

    def forward(
        self,
        input_features: torch.Tensor,
        motion_features: torch.Tensor,
        music_frame_mask: torch.Tensor | None = None,
        motion_frame_mask: torch.Tensor | None = None,
        song_ids: torch.Tensor | None = None,
    ) -> MusicDanceOutput:
        """Compare each window of music with each window of dance; row k of both belong together.

        Args:
            input_features: `(batch, frames, music_feature_size)`.
            motion_features: `(batch, frames, motion_feature_size)`.
            music_frame_mask: `(batch, frames)`, True = real frame; all by default.
            motion_frame_mask: `(batch, frames)`, True = real frame; all by default.
            song_ids: `(batch,)` int64. Two windows of one song are no negatives: such pairs do not enter the loss.

        Returns:
            Loss, logits and embeddings.

        Raises:
            ValueError: If a shape is wrong, or a window has no real frame.
        """
        music_embeddings = self.encode_music(input_features, music_frame_mask)
        motion_embeddings = self.encode_motion(motion_features, motion_frame_mask)
        if len(music_embeddings) != len(motion_embeddings):
            raise ValueError(
                f"`input_features` and `motion_features` must be of one batch, got {len(music_embeddings)} and "
                f"{len(motion_embeddings)} windows."
            )
        scale = self.logit_scale.float().clamp(max=MAX_LOGIT_SCALE).exp()
        logits = scale * music_embeddings @ motion_embeddings.T
        return MusicDanceOutput(info_nce(logits, song_ids), logits, music_embeddings, motion_embeddings)

    def _check(
        self, features: torch.Tensor, frame_mask: torch.Tensor | None, name: str, feature_size: int
    ) -> torch.Tensor:
        config = self.config
        window = config.music_window_frames if name == "input_features" else config.window_frames
        if features.ndim != 3 or features.shape[-1] != feature_size or not 1 <= features.shape[1] <= window:
            raise ValueError(
                f"`{name}` must have shape (batch, 1 to {window} frames, {feature_size}), got "
                f"{tuple(features.shape)}. A longer song or dance is cut into windows (`DanceRetrievalIndex`)."
            )
        if frame_mask is None:
            return torch.ones(features.shape[:2], dtype=torch.bool, device=features.device)
        if frame_mask.shape != features.shape[:2] or not frame_mask.any(dim=1).all():
            raise ValueError(
                f"The frame mask of `{name}` must have shape {tuple(features.shape[:2])} and a real frame in every "
                f"window, got shape {tuple(frame_mask.shape)}."
            )
        return frame_mask.bool()


def sinusoidal_positions(num_tokens: int, size: int) -> torch.Tensor:
    """Return sines and cosines of periods from 2 to `2 * num_tokens` tokens, `(num_tokens, size)`.

    Positions that start so are learned sooner than random ones: rhythm is what music and dance share.
    """
    periods = 2.0 * num_tokens ** torch.linspace(0, 1, (size + 1) // 2)
    angles = 2 * math.pi * torch.arange(num_tokens)[:, None] / periods
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)[:, :size]


def info_nce(logits: torch.Tensor, song_ids: torch.Tensor | None = None) -> torch.Tensor:
    """Return the symmetric cross entropy of picking each row's and each column's partner, in nats.

    Args:
        logits: `(batch, batch)`; the partners stand on the diagonal.
        song_ids: `(batch,)`; other windows of the same song are left out of the choice.
    """
    if song_ids is not None:
        same_song = song_ids[:, None] == song_ids[None, :]
        same_song.fill_diagonal_(False)
        logits = logits.masked_fill(same_song, float("-inf"))
    target = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
