"""Configuration of the motion codec."""

from __future__ import annotations

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig

from ..motion.features import NUM_FEATURES
from ..motion.motion import FRAME_RATE


@strict
class MotionCodecConfig(PreTrainedConfig):
    """Sizes and loss weights of a [`MotionCodecModel`]; the shipped ones have the defaults, but six levels.

    The paper gives 3 codebooks of 512 codes and a width of 1024; its released code adds downsampling by 4, quantizer
    dropout 0.2 and EMA decay 0.99. All work is done at the token rate ("patch stem"), which is
    better than the paper's stack of strided convolutions for equal time on a CPU.

    Args:
        motion_feature_size (`int`, *optional*, defaults to 269):
            Channels of the motion features (`motion/features.py`).
        frame_rate (`float`, *optional*, defaults to 30.0):
            Frames per second of the motion features, Hz.
        frames_per_token (`int`, *optional*, defaults to 4):
            Frames that one token spans; even.
        hidden_size (`int`, *optional*, defaults to 256):
            Width of encoder and decoder; 1024 in the paper.
        residual_dilations (`list[int]`, *optional*, defaults to `[1, 3, 9, 1, 3, 9]`):
            Dilation, in tokens, of each residual block of the encoder and again of the decoder.
        codebook_dim (`int`, *optional*, defaults to 128):
            Size of a code's vector; 1024 in the paper.
        codebook_size (`int`, *optional*, defaults to 512):
            Codes in each codebook.
        num_quantizers (`int`, *optional*, defaults to 3):
            Residual levels.
        search_width (`int`, *optional*, defaults to 8):
            Combinations of codes kept from level to level when latents are quantized; 1 takes the nearest code of each
            level.
        quantizer_dropout (`float`, *optional*, defaults to 0.0):
            Probability that a training clip is quantized by its first levels only.
        ema_decay (`float`, *optional*, defaults to 0.95):
            Decay of the moving averages from which the codebooks are computed. With 0.95 to the end a code averages
            some 20 tokens, and its noise costs some 7 % of the joint error (docs/notes/codec.md): `train_motion_codec`
            raises it in the second half of a run.
        dead_code_threshold (`float`, *optional*, defaults to 0.25):
            A code used less than this share of the mean use is re-seeded.
        feature_loss_weight (`float`, *optional*, defaults to 0.8):
            Smooth L1 of the normalized features, above all of the root's.
        position_loss_weight (`float`, *optional*, defaults to 20.0):
            Distance of hip-aligned joints posed by the rotations, metres.
        velocity_loss_weight (`float`, *optional*, defaults to 0.3):
            Distance of the velocities of these joints, m/s.
        acceleration_loss_weight (`float`, *optional*, defaults to 0.002):
            Distance of the accelerations of these joints, m/s^2; keeps calm motion free of jitter.
        root_path_loss_weight (`float`, *optional*, defaults to 2.0):
            Distance of the integrated root path, metres, plus that of the integrated heading, radians.
        foot_loss_weight (`float`, *optional*, defaults to 0.15):
            Speed of feet that truly stand on the floor, m/s.
        commitment_loss_weight (`float`, *optional*, defaults to 0.15):
            Squared distance of the latents to their codes. With 0.02 (MoMask's value) the latents run away from the
            codebooks: their distance grew from 6 to 27 in 1,600 steps.

    Example:
        ```python
        >>> from infinitedance.tokenization.configuration_motion_codec import MotionCodecConfig
        >>> MotionCodecConfig(hidden_size=64).frames_per_token
        4

        ```
    """

    model_type = "motion_codec"

    motion_feature_size: int = NUM_FEATURES
    frame_rate: float = FRAME_RATE
    frames_per_token: int = 4
    hidden_size: int = 256
    residual_dilations: list[int] | tuple[int, ...] = (1, 3, 9, 1, 3, 9)
    codebook_dim: int = 128
    codebook_size: int = 512
    num_quantizers: int = 3
    search_width: int = 8
    quantizer_dropout: float = 0.0
    ema_decay: float = 0.95
    dead_code_threshold: float = 0.25
    feature_loss_weight: float = 0.8
    position_loss_weight: float = 20.0
    velocity_loss_weight: float = 0.3
    acceleration_loss_weight: float = 0.002
    root_path_loss_weight: float = 2.0
    foot_loss_weight: float = 0.15
    commitment_loss_weight: float = 0.15

    def validate_sizes(self) -> None:
        """Raise `ValueError` for sizes that build no network."""
        sizes = ("frames_per_token", "hidden_size", "codebook_dim", "codebook_size", "num_quantizers", "search_width")
        for name in sizes:
            if getattr(self, name) < 1:
                raise ValueError(f"`{name}` must be at least 1, got {getattr(self, name)}.")
        if self.motion_feature_size != NUM_FEATURES:
            raise ValueError(f"`motion_feature_size` must be {NUM_FEATURES}, got {self.motion_feature_size}.")
        if self.frames_per_token % 2:
            raise ValueError(f"`frames_per_token` must be even, got {self.frames_per_token}.")
        if not self.residual_dilations or min(self.residual_dilations) < 1:
            raise ValueError(
                f"`residual_dilations` must be a list of positive numbers, got {self.residual_dilations}."
            )
        if not 0 <= self.quantizer_dropout <= 1:
            raise ValueError(f"`quantizer_dropout` must lie in [0, 1], got {self.quantizer_dropout}.")
        if not 0 < self.ema_decay < 1:
            raise ValueError(f"`ema_decay` must lie in (0, 1), got {self.ema_decay}.")
