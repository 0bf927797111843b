"""Find where on our body the estimator's landmarks lie, from rendered dances: the table of `capture/landmark_body.py`.

```bash
python -m infinitedance.training.release.fit_landmark_places pairs
```

The places are those that bring the projected landmarks nearest to what the estimator found, by least squares in which
distances beyond 5 cm count less; left and right are mirror images.
"""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path

import torch

from ...capture.landmark_body import LANDMARK_JOINTS, LANDMARK_OFFSETS, body_scale, place_landmarks
from ...capture.landmarks import LANDMARK_NAMES, NUM_LANDMARKS
from ...modeling.lifter.losses_lifter import pose_offsets
from ...motion.skeleton import JOINT_NAMES, Skeleton
from ..data_lifter import RenderedPair
from ..train_lifter import read_pairs

_OUTLIER_METRES = 0.05
_MIN_CONFIDENCE = 0.6
_ITERATIONS = 10
_MIRROR = torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64)


def fit_places(pairs: Sequence[RenderedPair]) -> torch.Tensor:
    """Return the places of the landmarks in the frames of their joints, `(33, 3)`, metres on a body of 1.70 m."""
    maps, errors, seen = (torch.cat(parts) for parts in zip(*(_linearized(pair) for pair in pairs), strict=True))
    places = torch.from_numpy(LANDMARK_OFFSETS).clone()
    for left, right in _sides():
        both = [left] if left == right else [left, right]
        flips = [torch.ones(3).double(), _MIRROR][: len(both)]
        turn = torch.cat([maps[seen[:, index], index] * flip for index, flip in zip(both, flips, strict=True)])
        error = torch.cat([errors[seen[:, index], index] for index in both])
        change = torch.zeros(3).double()
        for _ in range(_ITERATIONS):
            rest = error - (turn @ change)
            weights = 1 / (1 + rest.norm(dim=-1) / _OUTLIER_METRES) ** 2
            system = torch.einsum("n,nij,nik->jk", weights, turn, turn) + 1e-6 * torch.eye(3).double()
            change = torch.linalg.solve(system, torch.einsum("n,nij,ni->j", weights, turn, error))
        places[left] += change
        if left == right:
            places[left, 0] = 0.0
        else:
            places[right] = places[left] * _MIRROR
    return places


def _sides() -> list[tuple[int, int]]:
    """Return the indices of each left landmark and its right one; the nose is its own."""
    index = {name: number for number, name in enumerate(LANDMARK_NAMES)}
    return [(0, 0)] + [(index[name], index[name.replace("left", "right")]) for name in LANDMARK_NAMES if "left" in name]


def _linearized(pair: RenderedPair) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return how a place moves a landmark in the picture, `(frames, 33, 2, 3)`, how far off it is, and what counts."""
    scale = body_scale(Skeleton(pair.skeleton_offsets.numpy()))
    offsets = pose_offsets(pair.rotations[None], pair.skeleton_offsets[None])[0]
    joints = torch.cat([pair.root_positions[:, None], pair.root_positions[:, None] + offsets], dim=1)
    landmarks = place_landmarks(joints, pair.rotations, scale)
    seen = (landmarks - pair.camera_position) @ pair.camera_rotations.transpose(-1, -2)
    metres = seen[..., 2:] / pair.focal_length
    middle = torch.tensor(pair.image_size) / 2
    error = (torch.from_numpy(pair.image_points) - middle) * metres - seen[..., :2]
    turn = pair.camera_rotations[:, None] @ pair.rotations[:, list(LANDMARK_JOINTS)] * scale
    counts = torch.from_numpy(pair.confidences) > _MIN_CONFIDENCE
    return turn[..., :2, :].double(), error.double(), counts


def main(command_line: list[str] | None = None) -> None:
    """Print the places."""
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pairs", type=Path, help="folder of benchmarks/capture/pairs.py")
    arguments = parser.parse_args(command_line)
    places = fit_places(read_pairs(str(arguments.pairs)))
    for landmark in range(NUM_LANDMARKS):
        x, y, z = places[landmark].tolist()
        joint = JOINT_NAMES[LANDMARK_JOINTS[landmark]]
        print(f"{LANDMARK_NAMES[landmark]:17} {joint:15} ({x:.3f}, {y:.3f}, {z:.3f})")


if __name__ == "__main__":
    main()
