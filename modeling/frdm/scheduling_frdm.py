"""Noise schedule and steps of the foot restoration diffusion model."""

from __future__ import annotations

import math

import torch

_OFFSET = 0.008
_MAX_BETA = 0.999


class FrdmScheduler:
    """The cosine schedule (Nichol and Dhariwal, 2021) with x0-prediction: forty lines instead of a dependency.

    Timesteps count 1 to `num_train_timesteps` as in the paper; at 0 a sample is clean.

    Args:
        num_train_timesteps: T.
    """

    def __init__(self, num_train_timesteps: int = 1000):
        self.num_train_timesteps = num_train_timesteps
        times = torch.arange(num_train_timesteps + 1, dtype=torch.float64) / num_train_timesteps
        curve = torch.cos((times + _OFFSET) / (1 + _OFFSET) * math.pi / 2).square()
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
