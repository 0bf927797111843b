"""Normalization of motion features: one mean a channel, one standard deviation a group of channels."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from .features import CONTACTS, NUM_FEATURES, POSITIONS, ROTATIONS, VELOCITIES, check_features

# The root's channels have different units, so each is a group of its own. Within a group the ratio of the channels
# is kept: a wrist that moves much counts more than a collar that hardly does.
_GROUPS = [slice(0, 1), slice(1, 3), slice(3, 4), POSITIONS, ROTATIONS, VELOCITIES, CONTACTS]


def fit_feature_statistics(clips: Iterable[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Measure mean and standard deviation over all frames of a data set.

    Args:
        clips: Features, each `(frames, 269)`.

    Returns:
        `mean` and `std`, each `(269,)`; `std` is the root mean square over the channels of a group.

    Raises:
        ValueError: If there is no clip, or a group never varies.
    """
    count, total, squares = 0, torch.zeros(NUM_FEATURES).double(), torch.zeros(NUM_FEATURES).double()
    for clip in clips:
        check_features(clip)
        count += len(clip)
        total += clip.double().sum(0)
        squares += clip.double().square().sum(0)
    if count == 0:
        raise ValueError("Statistics need at least one clip, got none.")
    mean = total / count
    variance = (squares / count - mean.square()).clamp_min(0)
    std = torch.empty(NUM_FEATURES).double()
    for group in _GROUPS:
        std[group] = variance[group].mean().sqrt()
    if (std < 1e-6).any():
        channel = int((std < 1e-6).nonzero()[0])
        raise ValueError(f"Channel {channel} never varies in these clips; statistics need real motion.")
    return mean.float(), std.float()
