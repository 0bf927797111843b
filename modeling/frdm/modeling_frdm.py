"""The diffusion model of foot restoration: a denoiser of root and legs, and its noise schedule."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.utils import ModelOutput

from ...motion.features import NUM_FEATURES
from ...utils.checkpoints import CheckedWeightsMixin
from ...utils.feature_statistics import FeatureStatisticsMixin
from .configuration_frdm import FrdmConfig
from .losses_frdm import frdm_losses

NUM_CONTACTS = 4
_TIME_FREQUENCY_BASE = 10_000.0
_SCHEDULE_OFFSET = 0.008
_MAX_BETA = 0.999


@dataclass
class FrdmOutput(ModelOutput):
    """Output of a [`FrdmModel`].

    Args:
        loss (`torch.FloatTensor` of shape `()`):
            Weighted sum of `loss_terms`, where labels were given.
        loss_terms (`dict[str, torch.FloatTensor]`):
            The losses of `losses_frdm`, unweighted.
        clean_sample (`torch.FloatTensor` of shape `(batch, frames, num_restored_channels)`):
            The estimate of x0, normalized.
        contact_logits (`torch.FloatTensor` of shape `(batch, frames, 4)`):
            Of left ankle, right ankle, left foot, right foot on the floor.
    """

    loss: torch.Tensor | None = None
    loss_terms: dict[str, torch.Tensor] | None = None
    clean_sample: torch.Tensor | None = None
    contact_logits: torch.Tensor | None = None


class FrdmLayer(nn.Module):
    """Attention and feed-forward, pre-normalized, modulated by the timestep (adaLN).

    A quarter of the channels is first shifted by a frame, half of these forwards and half backwards: a convolution in
    time at no cost, from which the attention learns velocities.
    """

    def __init__(self, config: FrdmConfig):
        super().__init__()
        size = config.hidden_size
        self.num_heads = config.num_attention_heads
        self.modulation = nn.Linear(size, 6 * size)
        self.attention_norm = nn.LayerNorm(size, elementwise_affine=False)
        self.query_key_value = nn.Linear(size, 3 * size)
        self.output = nn.Linear(size, size)
        self.feed_forward_norm = nn.LayerNorm(size, elementwise_affine=False)
        self.feed_forward = nn.Sequential(
            nn.Linear(size, config.intermediate_size), nn.GELU(), nn.Linear(config.intermediate_size, size)
        )
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self, hidden_states: torch.Tensor, time_embedding: torch.Tensor, frame_mask: torch.Tensor
    ) -> torch.Tensor:
        """Map `(batch, frames, hidden_size)`, with `frame_mask` `(batch, frames)`, to the same shape."""
        is_real = frame_mask.unsqueeze(-1)
        modulation = self.modulation(F.silu(time_embedding)).unsqueeze(1).chunk(6, dim=-1)
        shift, scale, gate, shift_forward, scale_forward, gate_forward = modulation
        mixed = shift_frames((self.attention_norm(hidden_states) * (1 + scale) + shift) * is_real)
        query, key, value = (
            states.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for states in self.query_key_value(mixed).chunk(3, dim=-1)
        )
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=frame_mask[:, None, None, :])
        hidden_states = hidden_states + gate * self.dropout(self.output(attended.transpose(1, 2).flatten(2)))
        mixed = shift_frames((self.feed_forward_norm(hidden_states) * (1 + scale_forward) + shift_forward) * is_real)
        return hidden_states + gate_forward * self.dropout(self.feed_forward(mixed))


def shift_frames(hidden_states: torch.Tensor) -> torch.Tensor:
    """Move an eighth of the channels one frame later and an eighth one frame earlier; zeros enter at the ends."""
    eighth = hidden_states.shape[-1] // 8
    later, earlier, rest = hidden_states.split([eighth, eighth, hidden_states.shape[-1] - 2 * eighth], dim=-1)
    return torch.cat([F.pad(later[:, :-1], (0, 0, 1, 0)), F.pad(earlier[:, 1:], (0, 0, 0, 1)), rest], dim=-1)


def frame_embedding(num_frames: int, size: int) -> torch.Tensor:
    """Return sines and cosines of periods from 2 to `2 * num_frames` frames, `(num_frames, size)`; `size` is even."""
    periods = 2.0 * num_frames ** torch.linspace(0, 1, size // 2)
    angles = 2 * math.pi * torch.arange(num_frames)[:, None] / periods
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)


class FrdmModel(CheckedWeightsMixin, PreTrainedModel, FeatureStatisticsMixin):
    """Denoiser that predicts clean root, knees and feet (x0) of a window of dance (paper section "FRDM").

    As in the paper, the features of root, knees and feet are replaced by noisy ones (`Merge`) and predicted from the
    rest of the body. Beyond the paper, a window may also come with its observed legs; then the model corrects what was
    observed, and one network serves both samplers. It also predicts which parts of the feet touch the floor.

    Features are those of `motion_to_features`, not normalized; mean and standard deviation are part of the model.
    """

    config_class = FrdmConfig
    base_model_prefix = "frdm"
    main_input_name = "noisy_sample"
    _supports_sdpa = True

    def __init__(self, config: FrdmConfig):
        super().__init__(config)
        self.restored_channels = config.restored_channels
        size, restored = config.hidden_size, len(self.restored_channels)
        self.input = nn.Linear(NUM_FEATURES - NUM_CONTACTS + restored, size)
        self.time_embedding = nn.Sequential(nn.Linear(size, size), nn.SiLU(), nn.Linear(size, size))
        self.observed_embedding = nn.Embedding(2, size)
        self.layers = nn.ModuleList(FrdmLayer(config) for _ in range(config.num_hidden_layers))
        self.norm = nn.LayerNorm(size)
        self.head = nn.Linear(size, restored + NUM_CONTACTS)
        self.add_feature_statistics(NUM_FEATURES)
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        std = self.config.initializer_range
        if isinstance(module, nn.Linear):
            init.xavier_uniform_(module.weight)
            if module.bias is not None:
                init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            init.normal_(module.weight, std=std)
        elif isinstance(module, FrdmLayer):
            init.normal_(module.modulation.weight, std=std)
            init.constant_(module.modulation.bias, 0.0)
            size = self.config.hidden_size
            for gate in (2, 5):  # layers start as a half of themselves
                init.constant_(module.modulation.bias[gate * size : (gate + 1) * size], 0.5)
        elif isinstance(module, nn.LayerNorm) and module.elementwise_affine:
            init.ones_(module.weight)
            init.zeros_(module.bias)
        elif isinstance(module, FrdmModel):
            init.normal_(module.head.weight, std=std)
            module.init_feature_statistics()

    def normalized_legs(self, features: torch.Tensor) -> torch.Tensor:
        """Pick the restored channels of `(..., 269)` features and normalize them."""
        channels = self.restored_channels
        return (features[..., channels] - self.feature_mean[channels]) / self.feature_std[channels]

    def merge(self, features: torch.Tensor, clean_sample: torch.Tensor) -> torch.Tensor:
        """Return `(..., 269)` features whose restored channels are those of a normalized sample."""
        channels = self.restored_channels
        merged = features.clone()
        merged[..., channels] = clean_sample * self.feature_std[channels] + self.feature_mean[channels]
        return merged

    def forward(
        self,
        noisy_sample: torch.Tensor,
        timesteps: torch.Tensor,
        context_features: torch.Tensor,
        observed: torch.Tensor,
        frame_mask: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
    ) -> FrdmOutput:
        """Estimate the clean legs.

        Args:
            noisy_sample: x_t, `(batch, frames, num_restored_channels)`, normalized.
            timesteps: t, `(batch,)`.
            context_features: `(batch, frames, 269)`, not normalized: the rest of the body, and, in rows that are
                `observed`, legs and root as they were captured.
            observed: `(batch,)` bool; False is the paper's model, which never sees the captured legs.
            frame_mask: `(batch, frames)`, True = real frame; all by default.
            labels: Clean features with contacts, `(batch, frames, 269)`, for the losses.

        Returns:
            The estimate, and the losses where there are labels.

        Raises:
            ValueError: If shapes do not fit.
        """
        self._check(noisy_sample, timesteps, context_features)
        config = self.config
        if frame_mask is None:
            frame_mask = torch.ones(noisy_sample.shape[:2], dtype=torch.bool, device=noisy_sample.device)
        body = (context_features - self.feature_mean) / self.feature_std
        legs = body[..., self.restored_channels] * observed[:, None, None].to(body.dtype)
        body = body[..., : NUM_FEATURES - NUM_CONTACTS].clone()
        body[..., self.restored_channels] = noisy_sample
        hidden_states = self.input(torch.cat([body, legs], dim=-1) * frame_mask.unsqueeze(-1))
        positions = frame_embedding(config.window_frames, config.hidden_size).to(hidden_states)
        hidden_states = hidden_states + positions[: hidden_states.shape[1]]
        time_embedding = self.time_embedding(self._embed_timesteps(timesteps).to(hidden_states))
        time_embedding = time_embedding + self.observed_embedding(observed.long())
        for layer in self.layers:
            hidden_states = layer(hidden_states, time_embedding, frame_mask)
        change, contact_logits = self.head(self.norm(hidden_states)).split(
            [len(self.restored_channels), NUM_CONTACTS], dim=-1
        )
        clean_sample = legs + change
        if labels is None:
            return FrdmOutput(clean_sample=clean_sample, contact_logits=contact_logits)
        terms = frdm_losses(
            config, self.feature_mean, self.feature_std, clean_sample, contact_logits, labels, frame_mask
        )
        loss = sum(config.all_loss_weights[name] * term for name, term in terms.items())
        return FrdmOutput(loss, terms, clean_sample, contact_logits)

    def _embed_timesteps(self, timesteps: torch.Tensor) -> torch.Tensor:
        half = self.config.hidden_size // 2
        exponents = -math.log(_TIME_FREQUENCY_BASE) * torch.arange(half, device=timesteps.device) / half
        scaled = timesteps[:, None] * (1000 / self.config.num_train_timesteps)
        angles = scaled * exponents.exp()
        return torch.cat([angles.sin(), angles.cos()], dim=-1)

    def _check(self, noisy_sample: torch.Tensor, timesteps: torch.Tensor, context_features: torch.Tensor) -> None:
        config = self.config
        batch, frames = noisy_sample.shape[:2]
        if noisy_sample.ndim != 3 or noisy_sample.shape[2] != len(self.restored_channels):
            raise ValueError(
                f"`noisy_sample` must have shape (batch, frames, {len(self.restored_channels)}), got "
                f"{tuple(noisy_sample.shape)}."
            )
        if not 1 <= frames <= config.window_frames:
            raise ValueError(
                f"A window must have 1 to {config.window_frames} frames, got {frames}. `FrdmPipeline` cuts longer "
                "clips into windows."
            )
        if tuple(context_features.shape) != (batch, frames, NUM_FEATURES) or tuple(timesteps.shape) != (batch,):
            raise ValueError(
                f"`context_features` must have shape ({batch}, {frames}, {NUM_FEATURES}) and `timesteps` ({batch},), "
                f"got {tuple(context_features.shape)} and {tuple(timesteps.shape)}."
            )


class FrdmScheduler:
    """Cosine noise schedule (Nichol and Dhariwal, 2021) with x0-prediction.

    Timesteps count 1 to `num_train_timesteps` as in the paper; at 0 a sample is clean.

    Args:
        num_train_timesteps: T.
    """

    def __init__(self, num_train_timesteps: int = 1000):
        self.num_train_timesteps = num_train_timesteps
        times = torch.arange(num_train_timesteps + 1, dtype=torch.float64) / num_train_timesteps
        curve = torch.cos((times + _SCHEDULE_OFFSET) / (1 + _SCHEDULE_OFFSET) * math.pi / 2).square()
        betas = (1 - curve[1:] / curve[:-1]).clamp(max=_MAX_BETA)
        self.alphas_cumprod = torch.cat([torch.ones(1).double(), (1 - betas).cumprod(0)])  # (T + 1,)

    def add_noise(self, clean_sample: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        """Return `x_t = sqrt(abar_t) x0 + sqrt(1 - abar_t) noise`.

        Args:
            clean_sample: `(batch, frames, channels)`.
            noise: Like `clean_sample`.
            timesteps: `(batch,)`, 0 to T.
        """
        alpha = self.alphas_cumprod.to(timesteps.device)[timesteps].to(clean_sample.dtype)[:, None, None]
        return alpha.sqrt() * clean_sample + (1 - alpha).sqrt() * noise

    def step(
        self, clean_sample: torch.Tensor, noisy_sample: torch.Tensor, timestep: int, next_timestep: int
    ) -> torch.Tensor:
        """Go from `timestep` to `next_timestep` by DDIM (Song et al., 2021, eta = 0).

        Args:
            clean_sample: The model's x0, guided.
            noisy_sample: x_t.
            timestep: t, at least 1.
            next_timestep: Less than t.
        """
        alpha, next_alpha = (float(self.alphas_cumprod[time]) for time in (timestep, next_timestep))
        noise = (noisy_sample - math.sqrt(alpha) * clean_sample) / math.sqrt(1 - alpha)
        return math.sqrt(next_alpha) * clean_sample + math.sqrt(1 - next_alpha) * noise

    def renoise(self, clean_sample: torch.Tensor, initial_noise: torch.Tensor, next_timestep: int) -> torch.Tensor:
        """Go to `next_timestep` as the paper's Algorithm 2: always the first `x_T` is added again, no fresh noise."""
        next_alpha = float(self.alphas_cumprod[next_timestep])
        return math.sqrt(next_alpha) * clean_sample + math.sqrt(1 - next_alpha) * initial_noise

    def timesteps(self, start_timestep: int, num_steps: int) -> list[int]:
        """Return `num_steps` timesteps from `start_timestep` downwards, evenly spaced, followed by 0.

        Raises:
            ValueError: If there are more steps than timesteps, or `start_timestep` is out of range.
        """
        if not 1 <= num_steps <= start_timestep <= self.num_train_timesteps:
            raise ValueError(
                f"Steps must satisfy 1 <= num_steps <= start_timestep <= {self.num_train_timesteps}, got {num_steps} "
                f"steps from {start_timestep}."
            )
        return [round(start_timestep * (num_steps - index) / num_steps) for index in range(num_steps + 1)]
