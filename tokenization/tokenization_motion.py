"""`MotionTokenizer`: dances to codes and back, over a trained [`MotionCodecModel`]."""

from __future__ import annotations

from pathlib import Path

import torch

from ..motion.features import NUM_FEATURES, features_to_motion, motion_to_features
from ..motion.motion import Motion
from ..motion.skeleton import neutral_skeleton
from ..publishing.push_to_hub import PushToHubMixin
from ..utils.checkpoints import load_model
from .configuration_motion_codec import MotionCodecConfig
from .modeling_motion_codec import MotionCodecModel
from .refinement_motion_codec import CHUNK_TOKENS, refine_codes


class MotionTokenizer(PushToHubMixin):
    """Tokenizer that turns a `Motion` into codes and codes into a `Motion`.

    Args:
        model: A trained codec; it is put in evaluation mode.

    Example:
        ```python
        from infinitedance import MusicToDancePipeline, read_motion

        tokenizer = MusicToDancePipeline.from_pretrained().tokenizer  # or MotionTokenizer.from_pretrained(folder)
        motion = read_motion("dance.bvh").resample(30)
        codes = tokenizer.encode(motion)  # (num_quantizers, num_tokens)
        again = tokenizer.decode(codes, num_frames=motion.num_frames)
        ```
    """

    kind = "tokenizer"

    def __init__(self, model: MotionCodecModel):
        self.model = model.eval()

    @property
    def config(self) -> MotionCodecConfig:
        """The codec's configuration."""
        return self.model.config

    @torch.inference_mode()
    def encode(self, motion: Motion, refinement_steps: int = 0) -> torch.Tensor:
        """Encode a dance of any length.

        Args:
            motion: On our neutral body, at the codec's frame rate.
            refinement_steps: Steps of `refine_codes`: 60 take a seventh off the joint error and a quarter off the
                drift, in about a hundred times the time. 0 gives the encoder's own codes, those that generators are
                trained with.

        Returns:
            Codes `(num_quantizers, num_tokens)`, int64, with `num_tokens` = ceil(frames / frames_per_token).

        Raises:
            ValueError: If frame rate or skeleton are not the codec's, or `refinement_steps` is negative.
        """
        if refinement_steps < 0:
            raise ValueError(f"`refinement_steps` must be at least 0, got {refinement_steps}.")
        if motion.frame_rate != self.config.frame_rate:
            raise ValueError(
                f"The codec takes motion at {self.config.frame_rate} frames per second, got {motion.frame_rate}: call "
                f"`motion.resample({self.config.frame_rate})` first."
            )
        if motion.skeleton != neutral_skeleton():
            raise ValueError("The codec takes motion on our neutral body: call `retarget(motion)` first.")
        features = motion_to_features(motion).to(self.model.device)
        codes = self.model.encode(features[None])[0]
        if refinement_steps:
            codes = refine_codes(self.model, features, codes, refinement_steps)
        return codes.cpu()

    @torch.inference_mode()
    def decode(self, codes: torch.Tensor, num_frames: int | None = None) -> Motion:
        """Decode codes to a dance that starts at the origin and looks along +Z.

        Args:
            codes: `(num_quantizers, num_tokens)`, in `[0, codebook_size)`.
            num_frames: Frames to keep, as the last token may reach beyond the end; all by default.

        Returns:
            The dance on our neutral body.

        Raises:
            ValueError: If shape or range of the codes is wrong, or there are fewer frames than asked for.
        """
        features = self.decode_features(codes)
        if num_frames is None:
            num_frames = len(features)
        if not 1 <= num_frames <= len(features):
            raise ValueError(
                f"`num_frames` must lie in [1, {len(features)}] for {codes.shape[-1]} tokens, got {num_frames}."
            )
        return features_to_motion(features[:num_frames], self.config.frame_rate)

    @torch.inference_mode()
    def decode_features(self, codes: torch.Tensor, chunk_tokens: int = CHUNK_TOKENS) -> torch.Tensor:
        """Decode codes of any length, a chunk at a time with the context that makes it equal to the whole.

        Args:
            codes: `(num_quantizers, num_tokens)`.
            chunk_tokens: Tokens to decode at once; bounds the memory.

        Returns:
            Features `(num_tokens * frames_per_token, 269)`.
        """
        if codes.ndim != 2:
            raise ValueError(
                f"`codes` must have shape ({self.config.num_quantizers}, num_tokens), got {tuple(codes.shape)}."
            )
        before, after = self.model.decoder_receptive_field
        stride, num_tokens = self.config.frames_per_token, codes.shape[1]
        chunks = [torch.zeros(0, NUM_FEATURES)]
        for start in range(0, num_tokens, chunk_tokens):
            end = min(start + chunk_tokens, num_tokens)
            first, last = max(0, start - before), min(num_tokens, end + after)
            decoded = self.model.decode(codes[None, :, first:last].to(self.model.device))[0]
            chunks.append(decoded[(start - first) * stride : (end - first) * stride].cpu())
        return torch.cat(chunks)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the codec, with its statistics, to a folder."""
        self.model.save_pretrained(folder)

    @classmethod
    def from_pretrained(
        cls, folder: str | Path, *, revision: str | None = None, token: str | bool | None = None
    ) -> MotionTokenizer:
        """Read a codec from a folder or the Hub.

        Args:
            folder: The folder, or a name on the Hub.
            revision: Branch, tag or commit on the Hub.
            token: Of the Hub; by default `HF_TOKEN` or that of `hf auth login`.

        Raises:
            ValueError: If another kind of model lies there, or none.
            OSError: If `folder` is neither a folder nor a model on the Hub that can be read.
        """
        return cls(load_model(folder, MotionCodecModel, revision=revision, token=token))
