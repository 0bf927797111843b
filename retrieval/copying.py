"""How near a dance comes to its references."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from ..evaluation.metrics.memory import (
    COPY_MILLIMETRES,
    WINDOW_SECONDS,
    CodeLibrary,
    hip_aligned_poses,
    nearest_windows,
)
from ..motion.features import features_to_motion
from ..motion.motion import Motion
from ..motion.skeleton import JOINT_INDEX
from ..tokenization.modeling_motion_codec import MotionCodecModel
from .library import ReferenceLibrary
from .windows import RetrievedWindow


@dataclass(frozen=True)
class CopyReport:
    """How near a dance comes to its references.

    Args:
        nearest_clip_id: The reference with the most similar piece.
        nearest_millimetres: Mean distance of the joints over the most similar two seconds, hips and heading aligned.
        copied_share: Share of the dance's two-second windows that are nearer than 20 mm to a piece of a reference.
        longest_run_tokens: Most tokens in a row whose codes agree at all levels with a piece of a reference.
    """

    nearest_clip_id: str
    nearest_millimetres: float
    copied_share: float
    longest_run_tokens: int

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON can hold it."""
        return asdict(self)


def copy_report(
    library: ReferenceLibrary,
    motion: Motion,
    motion_codes: torch.Tensor,
    windows: Sequence[RetrievedWindow],
    codec: MotionCodecModel,
) -> CopyReport | None:
    """Measure how near a dance comes to the references that it was given.

    Args:
        library: Holds the references.
        motion: The dance, 30 frames per second.
        motion_codes: Its codes, `(num_quantizers, num_tokens)`.
        windows: Its references.
        codec: Whose codes they are.

    Returns:
        The report; `None` if the dance or all of its references last less than two seconds.
    """
    clip_ids = sorted({hit.clip_id for window in windows for hit in window.hits})
    features = {clip_id: torch.from_numpy(library.features(clip_id)) for clip_id in clip_ids}
    dances = {clip_id: features_to_motion(of_clip) for clip_id, of_clip in features.items()}
    if min(motion.duration_seconds, max(dance.duration_seconds for dance in dances.values())) < WINDOW_SECONDS:
        return None
    poses = {clip_id: _poses(dance) for clip_id, dance in dances.items()}
    found = nearest_windows(_poses(motion), poses, motion.frame_rate)
    nearest = int(np.argmin(found.distances_mm))
    return CopyReport(
        nearest_clip_id=found.clip_ids[nearest],
        nearest_millimetres=float(found.distances_mm[nearest]),
        copied_share=float((found.distances_mm < COPY_MILLIMETRES).mean()),
        longest_run_tokens=_code_library(features, codec).shared_runs(motion_codes.cpu().numpy()).longest,
    )


@torch.inference_mode()
def _code_library(features: Mapping[str, torch.Tensor], codec: MotionCodecModel) -> CodeLibrary:
    """Encode dances from each of the frames that a token may begin with: a copy need not keep to their tokens."""
    return CodeLibrary(
        {
            f"{clip_id}/{offset}": codec.encode(of_clip[None, offset:].to(codec.device))[0].cpu().numpy()
            for clip_id, of_clip in features.items()
            for offset in range(min(codec.config.frames_per_token, len(of_clip)))
        }
    )


def _poses(motion: Motion) -> np.ndarray:
    positions = motion.joint_positions().astype(np.float64)
    return hip_aligned_poses(positions, JOINT_INDEX["left_hip"], JOINT_INDEX["right_hip"])
