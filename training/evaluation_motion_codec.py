"""How well a motion codec gives back motion that it has not seen."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import numpy as np
import torch

from ..motion.features import integrate_root
from ..motion.kinematics import yaw_to_matrix
from ..tokenization.losses_motion_codec import hip_aligned_joint_positions
from ..tokenization.modeling_motion_codec import MotionCodecModel
from ..tokenization.refinement_motion_codec import refine_codes
from .loop import Processes

DRIFT_SECONDS = 2.0
ALONE = Processes()


@torch.inference_mode()
def evaluate_codec(
    model: MotionCodecModel,
    clips: Iterable[tuple[str, torch.Tensor]],
    refinement_steps: int = 0,
    processes: Processes = ALONE,
) -> dict[str, dict[str, float | list[float]]]:
    """Encode and decode whole clips and measure what is lost, pooled over the frames of each source.

    Args:
        model: In evaluation mode.
        clips: Pairs of source and features `(frames, 269)`.
        refinement_steps: Steps of `refine_codes` after the encoder.
        processes: Whose clips are taken together; each must call this with its share, and each gets the results.

    Returns:
        For each source, and for all clips under `"all"`: `mpjpe_mm`, the mean distance of joints posed by the decoded
        rotations, hip- and heading-aligned; `root_drift_cm`, the root's position error 2 seconds after any frame at
        which both paths are laid on each other (absent where no clip is so long); `speed_ratio`, the mean joint speed
        relative to the hips, decoded over real; for each level `code_use`, the share of codes that occur, and
        `perplexity`, the effective number of codes.
    """
    sums: dict[tuple[str, str], np.ndarray] = defaultdict(lambda: np.zeros(()))
    for source, features in clips:
        features = features.to(model.device)
        codes = model.encode(features[None])
        if refinement_steps:
            codes = refine_codes(model, features, codes[0], refinement_steps)[None]
        decoded = model.decode(codes)[0, : len(features)]
        measured = _clip_sums(decoded, features, model.config.frame_rate)
        usage = torch.nn.functional.one_hot(codes[0], model.config.codebook_size).sum(1).double()
        for group in (source, "all"):
            for name, value in {**measured, "usage": usage.cpu().numpy()}.items():
                sums[group, name] = sums[group, name] + value
    summed = processes.add_up(dict(sums))
    groups: dict[str, dict[str, np.ndarray]] = defaultdict(dict)
    for (group, name), value in summed.items():
        groups[group][name] = value
    return {group: _summary(values) for group, values in groups.items()}


def _clip_sums(decoded: torch.Tensor, features: torch.Tensor, frame_rate: float) -> dict[str, float]:
    joints, true_joints = hip_aligned_joint_positions(decoded), hip_aligned_joint_positions(features)
    drift = root_drift(decoded, features, frame_rate)
    return {
        "distance": float((joints - true_joints).norm(dim=-1).sum()),
        "num_distances": joints[..., 0].numel(),
        "path": float(joints.diff(dim=0).norm(dim=-1).sum()),
        "true_path": float(true_joints.diff(dim=0).norm(dim=-1).sum()),
        "drift": float(drift.sum()),
        "num_drifts": len(drift),
    }


def root_drift(decoded: torch.Tensor, features: torch.Tensor, frame_rate: float) -> torch.Tensor:
    """Return the horizontal error of the root 2 seconds after each frame, in metres, `(frames - 2 seconds,)`.

    Position and heading of both paths, of features `(frames, 269)`, are laid on each other at each frame in turn.
    """
    horizon = round(DRIFT_SECONDS * frame_rate)

    def displacements(values: torch.Tensor) -> torch.Tensor:
        heading, positions = integrate_root(values.double(), frame_rate)
        moved = positions[horizon:] - positions[:-horizon]
        return torch.einsum("tij,tj->ti", yaw_to_matrix(-heading[:-horizon]), moved)[:, [0, 2]]

    if len(features) <= horizon:
        return features.new_zeros(0)
    return (displacements(decoded) - displacements(features)).norm(dim=-1)


def _summary(values: dict[str, np.ndarray]) -> dict[str, float | list[float]]:
    counts = torch.from_numpy(values["usage"])
    sums = {name: float(value) for name, value in values.items() if name != "usage"}
    shares = counts / counts.sum(1, keepdim=True)
    summary: dict[str, float | list[float]] = {
        "mpjpe_mm": 1000 * sums["distance"] / sums["num_distances"],
        "speed_ratio": sums["path"] / sums["true_path"],
        "code_use": (counts > 0).double().mean(1).tolist(),
        "perplexity": torch.exp(torch.special.entr(shares).sum(1)).tolist(),
    }
    if sums["num_drifts"]:
        summary["root_drift_cm"] = 100 * sums["drift"] / sums["num_drifts"]
    return summary
