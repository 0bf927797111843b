"""How far a motion is from the true one: positions, paths, accelerations and rotations.

Positions are `(frames, joints, 3)` in metres, `predicted` first, `true` second, frame by frame. Definitions are those
of the evaluation code of WHAM (Shin et al., 2024) and GVHMR (Shen et al., 2024), applied to joints.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .checks import check_point_path, check_positions, check_positive_rate, check_same_shape

CHUNK_FRAMES = 100
START_FRAMES = 2


@dataclass(frozen=True)
class Similarity:
    """Scale, rotation and translation, one or a batch: `scale * rotation @ point + translation`.

    Args:
        scale: `(...)`.
        rotation: `(..., 3, 3)`, proper rotations.
        translation: `(..., 3)`, metres.
    """

    scale: np.ndarray
    rotation: np.ndarray
    translation: np.ndarray

    def apply(self, points: np.ndarray) -> np.ndarray:
        """Move points `(..., points, 3)` of the same batch."""
        turned = points @ np.swapaxes(self.rotation, -1, -2)
        return self.scale[..., None, None] * turned + self.translation[..., None, :]


def fit_similarity(source: np.ndarray, target: np.ndarray, with_scale: bool = True) -> Similarity:
    """Find the similarity that brings points closest to others in the least-squares sense (Umeyama, 1991).

    A reflection is never returned, not for points in a plane either. Points that all coincide keep their scale; where
    points lie on a line, the turn around it is arbitrary.

    Args:
        source: `(..., points, 3)`.
        target: `(..., points, 3)`, point for point.
        with_scale: Fit the scale too; otherwise it is 1.

    Returns:
        For each element of the batch, what to `apply` to `source`.
    """
    source_mean, target_mean = source.mean(axis=-2), target.mean(axis=-2)
    centered = source - source_mean[..., None, :]
    covariance = np.swapaxes(target - target_mean[..., None, :], -1, -2) @ centered
    left, strengths, right = np.linalg.svd(covariance)
    signs = np.ones_like(strengths)
    signs[..., 2] = np.where(np.linalg.det(left @ right) < 0, -1.0, 1.0)
    rotation = (left * signs[..., None, :]) @ right
    scale = np.ones(strengths.shape[:-1])
    if with_scale:
        spread = (centered**2).sum(axis=(-2, -1))
        scale = np.divide((strengths * signs).sum(axis=-1), spread, out=scale, where=spread > 0)
    translation = target_mean - scale[..., None] * (rotation @ source_mean[..., None])[..., 0]
    return Similarity(scale, rotation, translation)


def mpjpe_mm(predicted: np.ndarray, true: np.ndarray, align_joints: Sequence[int] | None = (0,)) -> float:
    """Return the mean distance of the joints (MPJPE) after moving the root of each frame onto the true one, in mm.

    Args:
        predicted: `(frames, joints, 3)`, metres.
        true: Like `predicted`.
        align_joints: Joints whose mean is the root: `(0,)` for the pelvis, both hips for WHAM's and GVHMR's reading,
            None for the error in the world.
    """
    _check_clips(predicted, true)
    if align_joints is not None:
        joints = list(align_joints)
        if not joints or min(joints) < 0 or max(joints) >= predicted.shape[1]:
            raise ValueError(f"`align_joints` must name some of the {predicted.shape[1]} joints, got {align_joints}.")
        predicted = predicted - predicted[:, joints].mean(axis=1, keepdims=True)
        true = true - true[:, joints].mean(axis=1, keepdims=True)
    return _mean_distance_mm(predicted, true)


def pa_mpjpe_mm(predicted: np.ndarray, true: np.ndarray) -> float:
    """Return the mean distance of the joints after aligning each frame by a similarity (PA-MPJPE), in mm.

    Scale, rotation and translation are fitted frame by frame over all joints: what is left is the shape of the pose.

    Args:
        predicted: `(frames, joints, 3)`, metres.
        true: Like `predicted`.
    """
    _check_clips(predicted, true)
    return _mean_distance_mm(fit_similarity(predicted, true).apply(predicted), true)


def wa_mpjpe_mm(predicted: np.ndarray, true: np.ndarray, chunk_frames: int = CHUNK_FRAMES) -> float:
    """Return the mean distance of the joints after aligning each chunk of frames as a whole (WA-MPJPE), in mm.

    One similarity for each chunk, fitted over all its frames; the last chunk may be shorter. The mean is over frames.

    Args:
        predicted: `(frames, joints, 3)`, metres, in the world.
        true: Like `predicted`.
        chunk_frames: Frames in a chunk; 100 in WHAM and GVHMR.
    """
    return _chunk_mpjpe_mm(predicted, true, chunk_frames, fitted_frames=chunk_frames)


def w_mpjpe_mm(predicted: np.ndarray, true: np.ndarray, chunk_frames: int = CHUNK_FRAMES) -> float:
    """Return the mean distance of the joints after aligning the first two frames of each chunk (W-MPJPE), in mm.

    As `wa_mpjpe_mm`, but drift within a chunk counts in full.

    Args:
        predicted: `(frames, joints, 3)`, metres, in the world.
        true: Like `predicted`.
        chunk_frames: As in `wa_mpjpe_mm`.
    """
    return _chunk_mpjpe_mm(predicted, true, chunk_frames, fitted_frames=START_FRAMES)


def rte_percent(predicted_root: np.ndarray, true_root: np.ndarray) -> float:
    """Return the root trajectory error (RTE) in %: mean distance of the aligned paths over the length of the true one.

    The whole path is aligned by rotation and translation, without scale. A dance on the spot has a long path and
    small distances: compare only dances of one kind.

    Args:
        predicted_root: `(frames >= 2, 3)`, metres.
        true_root: Like `predicted_root`.

    Returns:
        Per cent; NaN if the true root never moves.
    """
    check_point_path(predicted_root, "predicted_root", min_frames=2)
    check_point_path(true_root, "true_root", min_frames=2)
    check_same_shape(predicted_root, true_root)
    length = np.linalg.norm(np.diff(true_root, axis=0), axis=-1).sum()
    if length == 0:
        return float("nan")
    aligned = fit_similarity(predicted_root, true_root, with_scale=False).apply(predicted_root)
    return float(100 * np.linalg.norm(aligned - true_root, axis=-1).mean() / length)


def acceleration_error(predicted: np.ndarray, true: np.ndarray, frame_rate: float) -> float:
    """Return the mean length of the difference of the accelerations of all joints, in m/s^2.

    From second differences times `frame_rate^2`, as GVHMR; WHAM's function leaves out the frame rate and prints
    metres per frame squared.

    Args:
        predicted: `(frames >= 3, joints, 3)`, metres.
        true: Like `predicted`.
        frame_rate: Hz.
    """
    _check_clips(predicted, true, min_frames=3)
    check_positive_rate(frame_rate)
    difference = np.diff(predicted - true, n=2, axis=0)
    return float(np.linalg.norm(difference, axis=-1).mean() * frame_rate**2)


def rotation_error_degrees(predicted: np.ndarray, true: np.ndarray) -> float:
    """Return the mean angle between rotations (the geodesic distance), in degrees.

    Of local rotations, it is the error of each joint by itself.

    Args:
        predicted: `(..., 3, 3)`, rotation matrices, such as `(frames, joints, 3, 3)`.
        true: Like `predicted`.

    Returns:
        From 0 to 180.

    Raises:
        ValueError: If shapes differ or are not of matrices, or if a matrix is no rotation.
    """
    check_same_shape(predicted, true)
    for rotations in (predicted, true):
        _check_rotations(rotations)
    relative = np.swapaxes(predicted, -1, -2) @ true
    # The angle by sine and cosine: the arc cosine of the trace alone loses all angles below 0.02 degrees to rounding.
    axis = (relative - np.swapaxes(relative, -1, -2))[..., [2, 0, 1], [1, 2, 0]]
    sine = np.linalg.norm(axis, axis=-1) / 2
    cosine = (np.trace(relative, axis1=-2, axis2=-1) - 1) / 2
    return float(np.degrees(np.arctan2(sine, cosine)).mean())


def _chunk_mpjpe_mm(predicted: np.ndarray, true: np.ndarray, chunk_frames: int, fitted_frames: int) -> float:
    _check_clips(predicted, true)
    if chunk_frames < START_FRAMES:
        raise ValueError(f"`chunk_frames` must be at least {START_FRAMES}, got {chunk_frames}.")
    aligned = []
    for start in range(0, len(predicted), chunk_frames):
        fitted = slice(start, start + fitted_frames)
        similarity = fit_similarity(predicted[fitted].reshape(-1, 3), true[fitted].reshape(-1, 3))
        aligned.append(similarity.apply(predicted[start : start + chunk_frames]))
    return _mean_distance_mm(np.concatenate(aligned), true)


def _check_clips(predicted: np.ndarray, true: np.ndarray, min_frames: int = 1) -> None:
    check_positions(predicted, "predicted", min_frames)
    check_positions(true, "true", min_frames)
    check_same_shape(predicted, true)


def _check_rotations(rotations: np.ndarray) -> None:
    if rotations.ndim < 2 or rotations.shape[-2:] != (3, 3) or rotations.size == 0:
        raise ValueError(f"Rotations must be matrices of shape (..., 3, 3), got {rotations.shape}.")
    products = rotations @ np.swapaxes(rotations, -1, -2)
    if not (np.abs(products - np.eye(3)).max() < 1e-3 and (np.linalg.det(rotations) > 0).all()):
        raise ValueError("Rotations must be proper rotation matrices; normalize them, e.g. from 6D or quaternions.")


def _mean_distance_mm(predicted: np.ndarray, true: np.ndarray) -> float:
    return float(1000 * np.linalg.norm(predicted - true, axis=-1).mean())
