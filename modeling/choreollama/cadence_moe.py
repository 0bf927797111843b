"""Cadence-MoE: turns music, genre and retrieved dances into one condition vector for every motion token."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F
from transformers.modeling_layers import GradientCheckpointingLayer

from ...utils.feature_statistics import FeatureStatisticsMixin
from .configuration_choreollama import MAX_ADDED_GENRES, ChoreoLlamaConfig
from .mamba import MambaLayer


def frames_to_tokens(features: torch.Tensor, frames_per_token: int) -> torch.Tensor:
    """Stack the frames of each token; the last token is filled up with zeros (False for a mask).

    Args:
        features: `(batch, frames, ...)`.
        frames_per_token: Frames in a token.

    Returns:
        `(batch, num_tokens, frames_per_token * ...)`.
    """
    batch_size, num_frames = features.shape[:2]
    missing = -num_frames % frames_per_token
    if missing:
        features = torch.cat([features, features.new_zeros(batch_size, missing, *features.shape[2:])], dim=1)
    return features.reshape(batch_size, (num_frames + missing) // frames_per_token, -1)


def rank_weights(num_references: int) -> torch.Tensor:
    """Return the paper's weights of `num_references` dances, best match first.

    The i-th best of k has weight (k - i + 1) / (1 + ... + k): 10/55 ... 1/55 for k = 10 (paper section 3.3).

    Args:
        num_references: Number k of retrieved dances.

    Returns:
        `(num_references,)`, sums to 1.
    """
    ranks = torch.arange(num_references, 0, -1, dtype=torch.float32)
    return ranks / ranks.sum()


def combine_references(reference_features: torch.Tensor, reference_mask: torch.Tensor) -> torch.Tensor:
    """Average retrieved dances with their rank weights.

    Args:
        reference_features: `(batch, num_references, frames, motion_feature_size)`, best match first.
        reference_mask: `(batch, num_references)`, True = present. Weights of absent ones go to the present ones.

    Returns:
        `(batch, frames, motion_feature_size)`; zeros where no reference is present.
    """
    weights = rank_weights(reference_mask.shape[1]).to(reference_features) * reference_mask
    weights = weights / weights.sum(dim=1, keepdim=True).clamp(min=1e-9)
    features = reference_features.masked_fill(~reference_mask[:, :, None, None], 0.0)
    return torch.einsum("bk,bktf->btf", weights, features)


def split_bands(
    features: torch.Tensor, frame_mask: torch.Tensor, cutoff_hz: Sequence[float], frame_rate: float
) -> torch.Tensor:
    """Split a motion into frequency bands that add up to it (paper section 3.3).

    The spectrum of each clip is taken over its real frames only, so padding cannot change it, and the band edges are
    frequencies of the motion, whatever the clip's length.

    Args:
        features: `(batch, frames, channels)`.
        frame_mask: `(batch, frames)`, True = real frame; one run of frames in each clip.
        cutoff_hz: Inner band edges, rising, in Hz.
        frame_rate: Frames per second.

    Returns:
        `(num_bands, batch, frames, channels)`, slowest band first, zero outside the real frames.
    """
    edges = [0.0, *cutoff_hz, float("inf")]
    bands = features.new_zeros(len(edges) - 1, *features.shape, dtype=torch.float32)
    # Clips with the same mask share one transform.
    masks, mask_index = torch.unique(frame_mask, dim=0, return_inverse=True)
    for index, mask in enumerate(masks):
        num_frames = int(mask.sum())
        if num_frames == 0:
            continue
        rows, frames = (mask_index == index).nonzero(), mask.nonzero().squeeze(1)  # (rows, 1), (num_frames,)
        spectrum = torch.fft.rfft(features[rows, frames].float(), dim=1)
        frequencies = torch.fft.rfftfreq(num_frames, 1.0 / frame_rate, device=features.device)
        for band, (low, high) in enumerate(pairwise(edges)):
            inside = (frequencies >= low) & (frequencies < high)
            bands[band, rows, frames] = torch.fft.irfft(spectrum * inside[:, None], n=num_frames, dim=1)
    return bands


class CadenceExpert(GradientCheckpointingLayer):
    """Linear, multi-head attention, Mamba (paper section 3.3), as pre-normalized residual blocks.

    Attention reaches `expert_attention_tokens` back and `lookahead_tokens` ahead, with a learned bias for each
    distance; Mamba is causal. So a token hears at most `lookahead_tokens` beyond itself.

    Args:
        config: The model's configuration.
        input_size: Channels of the input.
    """

    def __init__(self, config: ChoreoLlamaConfig, input_size: int):
        super().__init__()
        hidden_size = config.expert_hidden_size
        self.num_heads = config.expert_num_heads
        self.reach_back, self.reach_ahead = config.expert_attention_tokens, config.lookahead_tokens
        self.input_projection = nn.Linear(input_size, hidden_size)
        self.attention_norm = nn.LayerNorm(hidden_size)
        self.query_key_value = nn.Linear(hidden_size, 3 * hidden_size)
        self.distance_bias = nn.Parameter(torch.zeros(self.num_heads, self.reach_back + 1 + self.reach_ahead))
        self.attention_output = nn.Linear(hidden_size, hidden_size)
        self.mamba_norm = nn.LayerNorm(hidden_size)
        self.mamba = MambaLayer(hidden_size, config.mamba_state_size, config.mamba_conv_size, config.mamba_expand)
        self.output_norm = nn.LayerNorm(hidden_size)

    def forward(self, inputs: torch.Tensor, token_mask: torch.Tensor) -> torch.Tensor:
        """Encode a sequence.

        Args:
            inputs: `(batch, num_tokens, input_size)`.
            token_mask: `(batch, num_tokens)`, True = real.

        Returns:
            `(batch, num_tokens, expert_hidden_size)`.
        """
        hidden_states = self.input_projection(inputs.to(self.distance_bias.dtype))
        hidden_states = hidden_states + self._attend(self.attention_norm(hidden_states), token_mask)
        hidden_states = hidden_states + self.mamba(self.mamba_norm(hidden_states), token_mask)
        return self.output_norm(hidden_states)

    def _attend(self, hidden_states: torch.Tensor, token_mask: torch.Tensor) -> torch.Tensor:
        batch_size, num_tokens, hidden_size = hidden_states.shape
        query, key, value = (
            states.view(batch_size, num_tokens, self.num_heads, -1).transpose(1, 2)
            for states in self.query_key_value(hidden_states).chunk(3, dim=-1)
        )
        positions = torch.arange(num_tokens, device=hidden_states.device)
        distance = positions[None, :] - positions[:, None]  # (queries, keys), positive = ahead
        near = (distance >= -self.reach_back) & (distance <= self.reach_ahead)
        # A token always sees itself: a row with no key at all would be NaN.
        visible = (near & token_mask[:, None, :]) | (distance == 0)
        bias = self.distance_bias[:, (distance + self.reach_back).clamp(0, self.distance_bias.shape[1] - 1)]
        bias = bias.to(query.dtype).masked_fill(~visible[:, None], float("-inf"))
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        return self.attention_output(attended.transpose(1, 2).reshape(batch_size, num_tokens, hidden_size))


class AddedGenreEmbedding(nn.Embedding):
    """What genres that are added by adapters differ in from any genre: nothing, until an adapter fills a row."""

    def reset_parameters(self) -> None:
        """Set all rows to zero."""
        nn.init.zeros_(self.weight)


class CadenceMoE(nn.Module, FeatureStatisticsMixin):
    """The condition encoder: a universal expert, one expert a frequency band, and a gate.

    The universal expert reads music, genre, side and energy; the band experts read the bands of the averaged
    references; the gate, a softmax read from the universal expert, weights the bands at every token. A learned vector
    stands for music or references that are absent.

    Args:
        config: The model's configuration.
    """

    mean_name, std_name = "reference_mean", "reference_std"

    def __init__(self, config: ChoreoLlamaConfig):
        super().__init__()
        self.config = config
        music_size = config.frames_per_token * config.music_feature_size
        reference_size = config.frames_per_token * config.motion_feature_size
        hidden_size, is_gated = config.expert_hidden_size, config.gate == "softmax"
        self.genre_embedding = nn.Embedding(config.num_genres + 1, config.genre_embedding_size)
        self.added_genre_embedding = AddedGenreEmbedding(MAX_ADDED_GENRES, config.genre_embedding_size)
        self.null_music = nn.Parameter(torch.zeros(music_size))
        self.side_embedding = nn.Embedding(3, config.genre_embedding_size) if config.controls_side else None
        energy_size = 2 * config.frames_per_token if config.controls_energy else 0
        self.universal_expert = CadenceExpert(config, music_size + config.genre_embedding_size + energy_size)
        self.band_experts = nn.ModuleList(CadenceExpert(config, reference_size) for _ in range(config.num_bands))
        self.gate = nn.Linear(hidden_size, config.num_bands) if is_gated else None
        fused_size = hidden_size if is_gated else hidden_size * config.num_bands
        self.null_references = nn.Parameter(torch.zeros(fused_size))
        self.add_feature_statistics(config.motion_feature_size)
        self.mixing = nn.Linear(hidden_size + fused_size, config.hidden_size)

    def forward(
        self,
        input_features: torch.Tensor,
        frame_mask: torch.Tensor,
        music_mask: torch.Tensor,
        genre_ids: torch.Tensor,
        references: torch.Tensor | None,
        references_present: torch.Tensor | None,
        spectra_mask: torch.Tensor,
        side_ids: torch.Tensor,
        energy: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor]:
        """Encode the conditions of a stretch of a song.

        Args:
            input_features: Music features, `(batch, frames, music_feature_size)`.
            frame_mask: `(batch, frames)`, True = real frame.
            music_mask: `(batch,)`, False = as if there were no music.
            genre_ids: `(batch,)`; `num_genres` = any, and from there on the added genres.
            references: Averaged references, not normalized, `(batch, frames, motion_feature_size)`, or none.
            references_present: `(batch,)`, False = as if there were none.
            spectra_mask: `(batch,)`, False = only the beat clock of the music is known.
            side_ids: `(batch,)`; 0 = natural, 1 = mirrored, 2 = any.
            energy: `(batch, frames)`, NaN = any.

        Returns:
            The condition `(batch, num_tokens, config.hidden_size)`; the gate's weights `(batch, num_tokens,
            num_bands)`, none without gate or references; the load-balance loss, 0 for a gate that uses all bands
            equally and `num_bands - 1` for one that uses a single band.
        """
        token_mask = frames_to_tokens(frame_mask, self.config.frames_per_token).any(dim=-1)
        universal = self.encode_music(
            input_features, frame_mask, music_mask, genre_ids, spectra_mask, side_ids, energy
        )
        fused = self.null_references.to(universal.dtype).expand(*universal.shape[:2], -1)
        expert_weights, load_balance_loss = None, universal.new_zeros(())
        if references is not None and references_present is not None and references_present.any():
            rows = references_present.nonzero().squeeze(1)
            bands, expert_weights, load_balance_loss = self._encode_references(
                references[rows], frame_mask[rows], token_mask[rows], universal[rows]
            )
            fused = fused.index_copy(0, rows, bands.to(fused.dtype))
            if expert_weights is not None:
                all_weights = expert_weights.new_zeros(*universal.shape[:2], expert_weights.shape[-1])
                expert_weights = all_weights.index_copy(0, rows, expert_weights)
        condition = self.mixing(torch.cat([universal, fused], dim=-1))
        return condition, expert_weights, load_balance_loss

    def encode_music(
        self,
        input_features: torch.Tensor,
        frame_mask: torch.Tensor,
        music_mask: torch.Tensor,
        genre_ids: torch.Tensor,
        spectra_mask: torch.Tensor,
        side_ids: torch.Tensor,
        energy: torch.Tensor,
    ) -> torch.Tensor:
        """Run the universal expert; arguments as in `forward`.

        Returns:
            `(batch, num_tokens, expert_hidden_size)`.
        """
        token_mask = frames_to_tokens(frame_mask, self.config.frames_per_token).any(dim=-1)
        music = torch.where(frame_mask.unsqueeze(-1), input_features, 0.0)
        music = frames_to_tokens(music, self.config.frames_per_token)
        is_known = music_mask[:, None] & (spectra_mask[:, None] | self._is_clock(music.device))
        music = torch.where(is_known[:, None], music, self.null_music.to(music.dtype))
        genre = self._embed_genres(genre_ids)
        if self.side_embedding is not None:
            genre = genre + self.side_embedding(side_ids)
        inputs = [music, genre.unsqueeze(1).expand(-1, music.shape[1], -1).to(music.dtype)]
        if self.config.controls_energy:
            is_asked = energy.isfinite() & frame_mask
            curve = torch.stack([torch.where(is_asked, energy, 0.0), is_asked.to(energy.dtype)], dim=-1)
            inputs.append(frames_to_tokens(curve, self.config.frames_per_token).to(music.dtype))
        return self.universal_expert(torch.cat(inputs, dim=-1), token_mask)

    def _embed_genres(self, genre_ids: torch.Tensor) -> torch.Tensor:
        any_genre = self.config.num_genres
        added = self.added_genre_embedding((genre_ids - any_genre - 1).clamp(min=0))
        return self.genre_embedding(genre_ids.clamp(max=any_genre)) + added * (genre_ids > any_genre).unsqueeze(-1)

    def _is_clock(self, device: torch.device) -> torch.Tensor:
        """Return which channels of a token's music are the beat clock, `(music_size,)`."""
        config = self.config
        channels = torch.arange(config.music_feature_size, device=device)
        is_clock = channels >= config.music_feature_size - config.clock_feature_size
        return is_clock.repeat(config.frames_per_token)

    def _encode_references(
        self,
        references: torch.Tensor,
        frame_mask: torch.Tensor,
        token_mask: torch.Tensor,
        universal: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor]:
        bands = split_bands(self.normalize(references), frame_mask, self.config.cutoff_hz, self.config.frame_rate)
        fused, weights = self.fuse_bands(bands, token_mask, universal)
        if weights is None:
            return fused, None, universal.new_zeros(())
        usage = weights[token_mask].mean(dim=0)
        return fused, weights, self.config.num_bands * usage.square().sum() - 1.0

    def fuse_bands(
        self, bands: torch.Tensor, token_mask: torch.Tensor, universal: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Run the band experts and weight what they say.

        Args:
            bands: From `split_bands`, `(num_bands, batch, frames, motion_feature_size)`.
            token_mask: `(batch, num_tokens)`, True = real.
            universal: From `encode_music`.

        Returns:
            The fused bands, `(batch, num_tokens, hidden size)`, and the gate's weights, none without a gate.
        """
        encoded = [
            expert(frames_to_tokens(band, self.config.frames_per_token), token_mask)
            for expert, band in zip(self.band_experts, bands, strict=True)
        ]
        if self.gate is None:
            return torch.cat(encoded, dim=-1), None
        weights = self.gate(universal).float().softmax(dim=-1)
        fused = torch.einsum("btn,nbth->bth", weights.to(encoded[0].dtype), torch.stack(encoded))
        return fused, weights
