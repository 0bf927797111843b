"""Configuration of the lifter."""

from __future__ import annotations

import math

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig

from ...motion.motion import FRAME_RATE

LOSS_WEIGHTS = {
    "position": 1.0,
    "posed_position": 0.5,
    "rotation": 0.5,
    "velocity": 5.0,
    "root_offset": 0.3,
    "root_depth": 0.5,
    "root_velocity": 1.0,
    "contact": 0.1,
    "camera": 0.3,
}
FRAMES_PER_TOKEN = 2


@strict
class LifterConfig(PreTrainedConfig):
    """Sizes of a [`LifterModel`] and how it is trained. Not in the paper, which takes GVHMR for this step.

    Args:
        hidden_size (`int`, *optional*, defaults to 160):
            Width of the transformer.
        num_hidden_layers (`int`, *optional*, defaults to 6):
            Layers.
        num_attention_heads (`int`, *optional*, defaults to 5):
            Heads of an attention.
        intermediate_size (`int`, *optional*, defaults to 640):
            Width of the feed-forward part.
        dropout (`float`, *optional*, defaults to 0.05):
            Dropout of the layers.
        window_frames (`int`, *optional*, defaults to 128):
            Frames that the model sees at once (4.3 s); a token is two of them.
        overlap_frames (`int`, *optional*, defaults to 48):
            Frames that two windows of a long track share and are cross-faded over.
        frame_rate (`float`, *optional*, defaults to 30.0):
            Frames per second, Hz.
        loss_weights (`dict[str, float]`, *optional*):
            Weight of each loss of `losses_lifter`; a name left out has its default.

    Example:
        ```python
        >>> from infinitedance.modeling.lifter.configuration_lifter import LifterConfig
        >>> LifterConfig().num_tokens
        64

        ```
    """

    model_type = "motion_lifter"

    hidden_size: int = 160
    num_hidden_layers: int = 6
    num_attention_heads: int = 5
    intermediate_size: int = 640
    dropout: float = 0.05
    window_frames: int = 128
    overlap_frames: int = 48
    frame_rate: float = FRAME_RATE
    loss_weights: dict[str, float] | None = None

    def validate_sizes(self) -> None:
        """Raise `ValueError` for sizes that build no network or no windows, and for unknown losses."""
        for name in ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"`{name}` must be at least 1, got {getattr(self, name)}.")
        if self.hidden_size % self.num_attention_heads or self.hidden_size % 2:
            raise ValueError(
                f"`hidden_size` must be even and a multiple of `num_attention_heads`, got {self.hidden_size} and "
                f"{self.num_attention_heads}."
            )
        if self.window_frames < 2 * FRAMES_PER_TOKEN or self.window_frames % FRAMES_PER_TOKEN:
            raise ValueError(
                f"`window_frames` must be a multiple of {FRAMES_PER_TOKEN} and at least {2 * FRAMES_PER_TOKEN}, got "
                f"{self.window_frames}."
            )
        if not 0 < 2 * self.overlap_frames <= self.window_frames:
            raise ValueError(
                f"`overlap_frames` must be at least 1 and at most half of `window_frames`, got {self.overlap_frames} "
                f"and {self.window_frames}."
            )
        if not (math.isfinite(self.frame_rate) and self.frame_rate > 0):
            raise ValueError(f"`frame_rate` must be a positive number of Hz, got {self.frame_rate}.")
        unknown = set(self.loss_weights or {}) - set(LOSS_WEIGHTS)
        if unknown:
            raise ValueError(f"`loss_weights` must name some of {', '.join(LOSS_WEIGHTS)}, got {sorted(unknown)}.")

    @property
    def num_tokens(self) -> int:
        """Tokens of a window."""
        return self.window_frames // FRAMES_PER_TOKEN

    @property
    def all_loss_weights(self) -> dict[str, float]:
        """Weight of every loss."""
        return LOSS_WEIGHTS | (self.loss_weights or {})
