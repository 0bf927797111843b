"""Landmarks that the estimator finds in rendered videos, beside the truth: what the lifter is trained on.

Each piece of a dance is drawn on a new body, in new clothes, in a new room, by a new camera, for as long as it runs:

    python -m benchmarks.capture.pairs --data_dir built-dances --output outputs/pairs --seed 1 --process 0/1

Piece `K` depends on the seed and `K` alone; process `I` of `N` makes every `N`th. What is there is kept, so that the
same command goes on where it was stopped.
"""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from infinitedance.capture.blazepose import BlazePose
from infinitedance.capture.camera import Camera
from infinitedance.capture.landmarks import LANDMARK_INDEX, NUM_LANDMARKS, LandmarkTrack
from infinitedance.capture.models import find_models
from infinitedance.dataset_builder.built import BuiltDataset
from infinitedance.dataset_builder.manifest import BuiltClip
from infinitedance.motion.features import features_to_motion
from infinitedance.motion.kinematics import matrix_to_quaternion
from infinitedance.motion.motion import FRAME_RATE, Motion
from infinitedance.motion.retargeting.retargeting import retarget
from infinitedance.training.varied_dances import vary_dances
from infinitedance.utils.atomic import atomic_path

from .cameras import random_camera
from .clothes import random_skeleton
from .scenes import Look, render_pictures

PIECE_FRAMES, MIN_PIECE_FRAMES = 144, 128
_CAPSULES_SHARE, _VARIED_SHARE = 0.03, 0.6
_FAR_HEIGHTS, _MIN_FOLLOWED_SHARE = 0.4, 0.8
"""Hips that were found farther from the true ones, in heights of the dancer, are somebody else's."""
_HELD_OUT_PREFIXES = ("cmu_05_", "jesse_dance")


def is_held_out(clip: BuiltClip) -> bool:
    """Return whether a clip is of a performer, or a split, on which nothing of the capture may be trained."""
    return (
        clip.split == "test"
        or clip.source == "MoCapToolbox"
        or (clip.source.startswith("Motorica") and clip.performer_id.endswith("d01"))
        or clip.clip_id.split("/")[-1].startswith(_HELD_OUT_PREFIXES)
    )


def pad_track(track: LandmarkTrack, num_frames: int) -> dict[str, np.ndarray]:
    """Return the arrays of a track for all frames of a video; 0 before the first in which the person is seen."""
    arrays = {
        "image_points": np.zeros((num_frames, NUM_LANDMARKS, 2), np.float32),
        "confidences": np.zeros((num_frames, NUM_LANDMARKS), np.float32),
        "world_points": np.zeros((num_frames, NUM_LANDMARKS, 3), np.float32),
    }
    part = slice(track.first_frame, track.first_frame + track.num_frames)
    for name, array in arrays.items():
        array[part] = getattr(track, name)
    return arrays


def check_follows(arrays: dict[str, np.ndarray], motion: Motion, camera: Camera) -> None:
    """Raise `ValueError` where the estimator followed a poster instead of the dancer, or hardly saw anybody."""
    pixels = camera.project(motion.joint_positions())
    height = np.ptp(pixels[..., 1], axis=1).mean()
    found = arrays["confidences"].max(axis=1) > 0
    middles = arrays["image_points"][:, [LANDMARK_INDEX["left_hip"], LANDMARK_INDEX["right_hip"]]].mean(axis=1)
    far = np.linalg.norm(middles - pixels[:, 0], axis=-1) > _FAR_HEIGHTS * height
    if (found & ~far).mean() < _MIN_FOLLOWED_SHARE:
        raise ValueError(f"The dancer was followed in {(found & ~far).mean():.0%} of the frames only.")


def truth_arrays(motion: Motion, camera: Camera) -> dict[str, np.ndarray]:
    """Return a dance and the camera that sees it, as a file of pairs holds them."""
    contacts = motion.skeleton.detect_foot_contacts(motion.joint_positions(), motion.frame_rate)
    return {
        "joint_rotations": motion.joint_rotations,
        "root_positions": motion.root_positions,
        "foot_contacts": contacts,
        "offsets": motion.skeleton.offsets.astype(np.float32),
        "toe_rest_height": np.array(motion.skeleton.toe_rest_height, np.float32),
        "camera_rotations": camera.rotations.astype(np.float32),
        "camera_position": np.asarray(camera.position, np.float32),
        "focal_length": np.array(camera.focal_length, np.float32),
        "image_size": np.array(camera.image_size, np.int32),
    }


class PieceMaker:
    """Draws piece after piece.

    Args:
        data: The dances.
        pose: The estimator.
        seed: Of all that is drawn by chance.
    """

    def __init__(self, data: BuiltDataset, pose: BlazePose, seed: int) -> None:
        self._data, self._pose, self._seed = data, pose, seed
        self._clips = [
            clip
            for clip in data.clips
            if not clip.is_mirrored and not is_held_out(clip) and clip.num_frames >= MIN_PIECE_FRAMES
        ]
        frames = np.array([clip.num_frames for clip in self._clips], dtype=np.float64)
        # Less than in proportion to their length: short clips are of more kinds.
        self._shares = frames**0.75 / (frames**0.75).sum()

    def draw(self, index: int) -> tuple[BuiltClip, Motion, Camera, Look, bool]:
        """Draw the clip, the dance on its body, the camera, the look of piece `index`, and whether it is mirrored."""
        rng = np.random.default_rng([self._seed, index])
        clip = self._clips[rng.choice(len(self._clips), p=self._shares)]
        start = int(rng.integers(0, max(clip.num_frames - PIECE_FRAMES, 0) + 1))
        motion = self._dance(clip, start)
        if rng.uniform() < _VARIED_SHARE:
            motion = self._vary(motion, rng)
        mirrored = bool(rng.uniform() < 0.5)
        motion = motion.mirror() if mirrored else motion
        motion = retarget(replace(motion, provenance={}), random_skeleton(rng))
        look = Look.random(rng, "capsules" if rng.uniform() < _CAPSULES_SHARE else "human")
        return clip, motion, random_camera(motion, rng), look, mirrored

    def _dance(self, clip: BuiltClip, start: int) -> Motion:
        features = np.array(self._data.motion_features(clip)[start : start + PIECE_FRAMES])
        return features_to_motion(torch.from_numpy(features), frame_rate=FRAME_RATE)

    def _vary(self, motion: Motion, rng: np.random.Generator) -> Motion:
        clip = self._clips[rng.choice(len(self._clips), p=self._shares)]
        start = int(rng.integers(0, clip.num_frames - MIN_PIECE_FRAMES + 1))
        other = self._dance(clip, start).joint_rotations_matrix()
        frames = torch.arange(motion.num_frames).clamp(max=len(other) - 1)
        varied = vary_dances(
            motion.joint_rotations_matrix()[None],
            other[frames][None],
            motion.frame_rate,
            torch.Generator().manual_seed(int(rng.integers(2**62))),
        )
        return replace(motion, joint_rotations=matrix_to_quaternion(varied[0].double()).numpy())

    def make(self, index: int) -> dict[str, Any]:
        """Return all arrays of piece `index`.

        Raises:
            ValueError: If no camera sees the dance, or the dancer was hardly found in the pictures.
        """
        clip, motion, camera, look, mirrored = self.draw(index)
        track = self._pose.track_single(render_pictures(motion, camera, look))
        note = {
            "clip": clip.clip_id,
            "source": clip.source,
            "license": clip.license,
            "performer": clip.performer_id,
            "split": clip.split,
            "mirrored": mirrored,
            "frame_rate": FRAME_RATE,
            "seed": [self._seed, index],
            "figure": "human" if look.clothes else "capsules",
        }
        arrays = pad_track(track, motion.num_frames)
        check_follows(arrays, motion, camera)
        return arrays | truth_arrays(motion, camera) | {"note": np.array(json.dumps(note))}


def read_options(arguments: Sequence[str] | None = None) -> Namespace:
    """Parse the command line."""
    parser = ArgumentParser(prog="python -m benchmarks.capture.pairs", description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", type=Path, required=True, help="dances that `infinitedance build` wrote")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument(
        "--models", type=Path, help="folder of the landmark models (default: that of `--fetch-models`)"
    )
    parser.add_argument("--network", default="heavy", help="landmark network: heavy or full (default: heavy)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--process", default="0/1", help="I/N: this one of so many processes")
    parser.add_argument("--pieces", type=int, default=1_000_000, help="stop before this one")
    return parser.parse_args(arguments)


def main() -> None:
    """Make pieces until it is stopped."""
    import cv2

    options = read_options()
    cv2.setNumThreads(1)
    first, step = map(int, options.process.split("/"))
    models = find_models(options.models, options.network)
    maker = PieceMaker(BuiltDataset(options.data_dir), BlazePose(models), options.seed)
    options.output.mkdir(parents=True, exist_ok=True)
    for index in range(first, options.pieces, step):
        path = options.output / f"{options.seed:03d}-{index:06d}.npz"
        if path.exists():
            continue
        try:
            arrays = maker.make(index)
        except ValueError as error:
            print(f"{path.name}: {error}", flush=True)
            continue
        with atomic_path(path) as partial, partial.open("wb") as file:
            np.savez_compressed(file, **arrays)


if __name__ == "__main__":
    main()
