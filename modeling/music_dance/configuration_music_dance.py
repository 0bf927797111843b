"""Configuration of the two towers that bring music and dances into one space."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig

from ...audio.features import MUSIC_FEATURES_VERSION, check_music_features_version
from ...motion.features import NUM_FEATURES
from ...motion.motion import FRAME_RATE


@strict
class MusicDanceConfig(PreTrainedConfig):
    """Sizes of a [`MusicDanceEncoder`] (paper section "MD-Retrieval").

    The paper names two CLIP-like towers of "efficient attention" and InfoNCE; `paper` gives the sizes of its released
    code. The defaults are the small encoder that is trained on a CPU.

    Args:
        music_feature_size (`int`, *optional*, defaults to 109):
            Channels of a frame of music features.
        music_features_version (`int`, *optional*, defaults to 2):
            `version` of the `MusicFeatureExtractor` that they come from; that of this release.
        motion_feature_size (`int`, *optional*, defaults to 269):
            Channels of a frame of motion features.
        music_frame_rate (`float`, *optional*, defaults to 30.0):
            Frames per second of the music features, Hz.
        frame_rate (`float`, *optional*, defaults to 30.0):
            Frames per second of the motion features, Hz.
        window_frames (`int`, *optional*, defaults to 384):
            Frames of motion in a window (12.8 s): what one embedding stands for, and the most that a tower reads.
        stride_frames (`int`, *optional*, defaults to 192):
            Frames of motion between the starts of two windows (6.4 s).
        frames_per_token (`int`, *optional*, defaults to 8):
            Frames that are stacked to one token before the first layer; 1 in the released code.
        hidden_size (`int`, *optional*, defaults to 64):
            Width of the towers.
        num_hidden_layers (`int`, *optional*, defaults to 2):
            Layers of each tower.
        num_attention_heads (`int`, *optional*, defaults to 4):
            Heads of an attention.
        intermediate_size (`int`, *optional*, defaults to 128):
            Width of the feed-forward part.
        conv_kernel_size (`int`, *optional*, defaults to 7):
            Tokens, odd, over which each layer first convolves every channel; 1 for the paper's layers without it.
        embedding_size (`int`, *optional*, defaults to 64):
            Size of an embedding.
        dropout (`float`, *optional*, defaults to 0.1):
            Dropout of the input tokens and of the output of each part of a layer.
        logit_scale_init_value (`float`, *optional*, defaults to ln(1 / 0.07)):
            Logarithm of the inverse temperature at the start of training; it is learned, up to ln 100.
        initializer_range (`float`, *optional*, defaults to 0.02):
            Standard deviation of the initial matrices and positions.

    Example:
        ```python
        >>> from infinitedance.modeling.music_dance.configuration_music_dance import MusicDanceConfig
        >>> MusicDanceConfig(music_frame_rate=25.0).music_window_frames
        320

        ```
    """

    model_type = "music_dance"

    music_feature_size: int = 109
    music_features_version: int = MUSIC_FEATURES_VERSION
    motion_feature_size: int = NUM_FEATURES
    music_frame_rate: float = FRAME_RATE
    frame_rate: float = FRAME_RATE
    window_frames: int = 384
    stride_frames: int = 192
    frames_per_token: int = 8
    hidden_size: int = 64
    num_hidden_layers: int = 2
    num_attention_heads: int = 4
    intermediate_size: int = 128
    conv_kernel_size: int = 7
    embedding_size: int = 64
    dropout: float = 0.1
    logit_scale_init_value: float = math.log(1 / 0.07)
    initializer_range: float = 0.02

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> Any:
        """Make a configuration of its saved fields; one that names no version of the music features is refused."""
        check_music_features_version(config_dict.get("music_features_version"), "The music-dance encoder")
        return super().from_dict(config_dict, **kwargs)

    def validate_music_features_version(self) -> None:
        """Raise `ValueError` for another version than that of this release."""
        check_music_features_version(self.music_features_version, "The music-dance encoder")

    def validate_sizes(self) -> None:
        """Raise `ValueError` for sizes that build no network or no windows."""
        positive = (
            "music_feature_size",
            "motion_feature_size",
            "window_frames",
            "stride_frames",
            "frames_per_token",
            "hidden_size",
            "num_hidden_layers",
            "num_attention_heads",
            "intermediate_size",
            "conv_kernel_size",
            "embedding_size",
        )
        for name in positive:
            if getattr(self, name) < 1:
                raise ValueError(f"`{name}` must be at least 1, got {getattr(self, name)}.")
        for name in ("music_frame_rate", "frame_rate"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise ValueError(f"`{name}` must be a positive number of Hz, got {getattr(self, name)}.")
        if self.stride_frames > self.window_frames:
            raise ValueError(
                f"`stride_frames` must not exceed `window_frames`, or music between two windows would have none, got "
                f"{self.stride_frames} and {self.window_frames}."
            )
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"`hidden_size` must be a multiple of `num_attention_heads`, got {self.hidden_size} and "
                f"{self.num_attention_heads}."
            )
        if self.conv_kernel_size % 2 == 0:
            raise ValueError(f"`conv_kernel_size` must be odd, got {self.conv_kernel_size}.")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"`dropout` must lie in [0, 1), got {self.dropout}.")

    @property
    def music_window_frames(self) -> int:
        """Frames of music in a window."""
        return round(self.window_frames * Fraction(self.music_frame_rate) / Fraction(self.frame_rate))

    @classmethod
    def paper(cls, **overrides: Any) -> MusicDanceConfig:
        """Return the sizes of the released code: 4 layers of width 256, every frame a token, 256-d embeddings.

        Args:
            **overrides: Fields that differ.
        """
        fields = {
            "frames_per_token": 1,
            "hidden_size": 256,
            "num_hidden_layers": 4,
            "intermediate_size": 1024,
            "conv_kernel_size": 1,
            "embedding_size": 256,
            "dropout": 0.2,
        }
        return cls(**{**fields, **overrides})
