"""Mean and standard deviation of features, as buffers of the module that normalizes them."""

from __future__ import annotations

from typing import Any

import torch
from transformers import initialization as init


class FeatureStatisticsMixin:
    """Mixin of a `torch.nn.Module` that takes features as they are and normalizes them inside.

    The statistics are persistent buffers, so they are saved with the weights. A class sets the names of its buffers.
    """

    mean_name, std_name = "feature_mean", "feature_std"
    feature_mean: torch.Tensor
    feature_std: torch.Tensor

    def add_feature_statistics(self: Any, num_channels: int) -> None:
        """Register the buffers, so that nothing is changed until statistics are set; called in `__init__`."""
        self.register_buffer(self.mean_name, torch.zeros(num_channels))
        self.register_buffer(self.std_name, torch.ones(num_channels))

    def init_feature_statistics(self) -> None:
        """Fill the buffers where no checkpoint has filled them; called in `_init_weights`."""
        init.zeros_(getattr(self, self.mean_name))
        init.ones_(getattr(self, self.std_name))

    @torch.no_grad()
    def set_feature_statistics(self, mean: torch.Tensor, std: torch.Tensor) -> None:
        """Store the statistics by which features are normalized.

        Args:
            mean: `(channels,)`.
            std: `(channels,)`, positive.

        Raises:
            ValueError: If a shape is wrong, a number is not finite, or `std` is not positive.
        """
        own_mean, own_std = getattr(self, self.mean_name), getattr(self, self.std_name)
        if mean.shape != own_mean.shape or std.shape != own_std.shape:
            raise ValueError(
                f"`mean` and `std` must have shape {tuple(own_mean.shape)}, got {tuple(mean.shape)} and "
                f"{tuple(std.shape)}."
            )
        if not (torch.isfinite(mean).all() and torch.isfinite(std).all() and (std > 0).all()):
            raise ValueError("`mean` must be finite and `std` finite and positive in every channel.")
        own_mean.copy_(mean)
        own_std.copy_(std)

    def normalize(self, features: torch.Tensor) -> torch.Tensor:
        """Return features `(..., channels)` in standard deviations from the mean."""
        return (features - getattr(self, self.mean_name)) / getattr(self, self.std_name)
