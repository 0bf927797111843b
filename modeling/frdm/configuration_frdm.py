"""Configuration of the foot restoration diffusion model (FRDM)."""

from __future__ import annotations

import math
from typing import Any

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig

from ...motion.features import ROOT, joint_channels
from ...motion.motion import FRAME_RATE
from ...motion.skeleton import JOINT_INDEX

LEG_JOINTS = tuple(f"{side}_{part}" for part in ("hip", "knee", "ankle", "foot") for side in ("left", "right"))
LOSS_WEIGHTS = {
    "reconstruction": 1.0,
    "root": 0.3,
    "velocity": 0.3,
    "foot_contact": 0.5,
    "velocity_position": 0.3,
    "rotation_position": 0.3,
    "foot_height": 0.3,
    "bone_length": 0.3,
    "contact": 0.2,
}


@strict
class FrdmConfig(PreTrainedConfig):
    """Configuration of a [`FrdmModel`]: its sizes and how it is trained (paper section "FRDM").

    The paper gives the representation, the masked joints and the five losses; the denoiser "follows EDGE", whose sizes
    `paper` returns. Window, diffusion steps, schedule and loss weights are not in the paper; these
    defaults come from a prototype on a CPU.

    Args:
        hidden_size (`int`, *optional*, defaults to 128):
            Width of the transformer.
        num_hidden_layers (`int`, *optional*, defaults to 3):
            Layers.
        num_attention_heads (`int`, *optional*, defaults to 4):
            Heads of an attention.
        intermediate_size (`int`, *optional*, defaults to 384):
            Width of the feed-forward part.
        dropout (`float`, *optional*, defaults to 0.0):
            Dropout of the output of each part of a layer.
        window_frames (`int`, *optional*, defaults to 96):
            Frames that the model sees at once (3.2 s).
        overlap_frames (`int`, *optional*, defaults to 32):
            Frames that two windows of a long clip share and are cross-faded over.
        frame_rate (`float`, *optional*, defaults to 30.0):
            Frames per second, Hz.
        num_train_timesteps (`int`, *optional*, defaults to 1000):
            Steps T of the diffusion.
        rotation_position_epsilon (`float`, *optional*, defaults to 0.02):
            How far posed and predicted joints may be apart without a loss, metres. The paper has 0.1.
        loss_weights (`dict[str, float]`, *optional*):
            Weight of each loss of `losses_frdm`; a name left out has its default.
        initializer_range (`float`, *optional*, defaults to 0.02):
            Standard deviation of the initial matrices.

    Example:
        ```python
        >>> from infinitedance.modeling.frdm.configuration_frdm import FrdmConfig
        >>> FrdmConfig().num_restored_channels
        79

        ```
    """

    model_type = "frdm"

    hidden_size: int = 128
    num_hidden_layers: int = 3
    num_attention_heads: int = 4
    intermediate_size: int = 384
    dropout: float = 0.0
    window_frames: int = 96
    overlap_frames: int = 32
    frame_rate: float = FRAME_RATE
    num_train_timesteps: int = 1000
    rotation_position_epsilon: float = 0.02
    loss_weights: dict[str, float] | None = None
    initializer_range: float = 0.02

    def validate_sizes(self) -> None:
        """Raise `ValueError` for sizes that build no network or no windows, and for unknown losses."""
        for name in ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"`{name}` must be at least 1, got {getattr(self, name)}.")
        if self.hidden_size % (2 * self.num_attention_heads) or self.hidden_size % 8:
            raise ValueError(
                f"`hidden_size` must be a multiple of 8 and of twice `num_attention_heads`, got {self.hidden_size} "
                f"and {self.num_attention_heads}."
            )
        if not 0 < 2 * self.overlap_frames <= self.window_frames:
            raise ValueError(
                f"`overlap_frames` must be at least 1 and at most half of `window_frames`, got {self.overlap_frames} "
                f"and {self.window_frames}."
            )
        if not (math.isfinite(self.frame_rate) and self.frame_rate > 0):
            raise ValueError(f"`frame_rate` must be a positive number of Hz, got {self.frame_rate}.")
        if self.num_train_timesteps < 2:
            raise ValueError(f"`num_train_timesteps` must be at least 2, got {self.num_train_timesteps}.")
        unknown = set(self.loss_weights or {}) - set(LOSS_WEIGHTS)
        if unknown:
            raise ValueError(f"`loss_weights` must name some of {', '.join(LOSS_WEIGHTS)}, got {sorted(unknown)}.")

    @property
    def all_loss_weights(self) -> dict[str, float]:
        """Weight of every loss."""
        return LOSS_WEIGHTS | (self.loss_weights or {})

    @property
    def restored_channels(self) -> list[int]:
        """Channels of the motion features that are masked and predicted: root, knees and feet (paper, `Merge`).

        Deviation: the rotations are those of hips, knees and ankles, which in our convention carry knees, ankles and
        toes; and the velocities are those of root, knees, ankles and toes.
        """
        knees_and_feet = [JOINT_INDEX[name] for name in LEG_JOINTS if not name.endswith("hip")]
        carriers = [JOINT_INDEX[name] for name in LEG_JOINTS if not name.endswith("foot")]
        moving = joint_channels([0, *knees_and_feet])
        root = list(range(ROOT.start, ROOT.stop))
        return root + moving["positions"] + joint_channels(carriers)["rotations"] + moving["velocities"]

    @property
    def num_restored_channels(self) -> int:
        """Number of `restored_channels`."""
        return len(self.restored_channels)

    @classmethod
    def paper(cls, **overrides: Any) -> FrdmConfig:
        """Return EDGE's sizes: 8 layers of width 512, windows of 150 frames.

        Args:
            **overrides: Fields that differ.
        """
        fields = {
            "hidden_size": 512,
            "num_hidden_layers": 8,
            "num_attention_heads": 8,
            "intermediate_size": 1024,
            "dropout": 0.1,
            "window_frames": 150,
            "rotation_position_epsilon": 0.1,
        }
        return cls(**{**fields, **overrides})
