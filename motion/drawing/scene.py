"""Dancers before a camera: where they stand, what the camera sees, and all that is drawn, projected at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import gaussian_filter1d

from ..motion import Motion
from ..skeleton import CONTACT_JOINTS, JOINT_INDEX, neutral_skeleton
from .body_parts import BALLS

CAMERAS = ("follow", "front", "side", "orbit")
MAX_DANCERS = 2

_FIELD_OF_VIEW_DEGREES = 30.0  # vertical
_CAMERA_PITCH_DEGREES = 11.0
_CAMERA_YAW_DEGREES = 14.0  # a little from the side: limbs that point at the viewer show their length
_ORBIT_SECONDS = 24.0
_CAMERA_SMOOTHING_SECONDS = 0.7
_MARGIN = 0.88  # of the half picture that the body may fill
_FOCUS_HEIGHT_METRES = 0.95
_NEAREST_METRES = 2.5
_TOUCHING_METRES, _TOGETHER_METRES = 0.35, 8.0
"""Two dancers whose hips come nearer than the one, or are further apart on average than the other, stand anew."""
_SIDE_BY_SIDE_METRES = 1.5


@dataclass(frozen=True)
class Scene:
    """Dancers seen by a camera: everything that is drawn, projected once for all frames.

    Args:
        dances: The dancers, each in its place, all of one length and frame rate.
        joint_positions: `(dancers, frames, 22, 3)`, metres.
        joint_rotations: `(dancers, frames, 22, 3, 3)`, of the world.
        centers: `(frames, balls, 2)`, pixels; the balls of one dancer after those of the other.
        depths: `(frames, balls)`, metres from the camera.
        radii: `(frames, balls)`, pixels.
        heights: `(frames, balls)`, metres above the floor.
        floor_points: `(frames, balls, 3)`, world position of each ball's foot on the floor.
        ball_radii: `(balls,)`, metres.
        contact_points: `(frames, 4 * dancers, 3)`, world positions on the floor below `CONTACT_JOINTS`.
        contact_strengths: `(frames, 4 * dancers)`, 0 to 1.
        cameras: `(frames, 3)`, world positions of the camera.
        views: `(frames, 3, 3)`, rows: right, down, away.
        focal: Focal length in pixels.
        size: Width and height in pixels.
        distance: Metres from the camera to the point it looks at.
    """

    dances: tuple[Motion, ...]
    joint_positions: np.ndarray
    joint_rotations: np.ndarray
    centers: np.ndarray
    depths: np.ndarray
    radii: np.ndarray
    heights: np.ndarray
    floor_points: np.ndarray
    ball_radii: np.ndarray
    contact_points: np.ndarray
    contact_strengths: np.ndarray
    cameras: np.ndarray
    views: np.ndarray
    focal: float
    size: tuple[int, int]
    distance: float

    @property
    def num_frames(self) -> int:
        """Number of frames."""
        return len(self.cameras)

    def project(self, points: np.ndarray, frame: int) -> tuple[np.ndarray, np.ndarray]:
        """Project world points `(..., 3)` of a frame: pixels `(..., 2)` and depths `(...)` in metres."""
        seen = (points - self.cameras[frame]) @ self.views[frame].T
        return self.focal * seen[..., :2] / seen[..., 2:] + np.array(self.size) / 2, seen[..., 2]


def build_scene(dances: Motion | Sequence[Motion], size: tuple[int, int], camera: str = "follow") -> Scene:
    """Pose one dancer or two, place a camera that keeps them in the picture, and project.

    The camera looks at the side to which the dancers look on average, from a fixed height and distance. `follow` goes
    with their path on the floor, smoothed without delay, and stands a little to the side; `orbit` goes around them in
    24 s, too; `front` and `side`, at their left, stand still where they see the whole dance.

    Two dancers keep their places unless they would stand in each other or out of sight of each other: then the second
    dances beside the first. The one whose dance is shorter keeps its last pose.

    Args:
        dances: Of one frame rate.
        size: Width and height of the picture, pixels.
        camera: One of `CAMERAS`.

    Raises:
        ValueError: If there are no dances, too many, or of several frame rates, or there is no such camera.
    """
    dances = [dances] if isinstance(dances, Motion) else list(dances)
    if not 1 <= len(dances) <= MAX_DANCERS or len({dance.frame_rate for dance in dances}) > 1:
        rates = ", ".join(f"{dance.frame_rate:g} Hz" for dance in dances)
        raise ValueError(f"A scene needs one dancer or two, of one frame rate; got {len(dances)}: {rates or 'none'}.")
    if camera not in CAMERAS:
        raise ValueError(f"`camera` must be one of {', '.join(CAMERAS)}, got {camera!r}.")
    dances = _side_by_side(_of_one_length(dances))
    frame_rate = dances[0].frame_rate
    positions, rotations = map(np.stack, zip(*(dance.joint_frames() for dance in dances), strict=True))
    scales = [dance.skeleton.leg_length / neutral_skeleton().leg_length for dance in dances]
    joints = [JOINT_INDEX[joint] for joint, _, _ in BALLS]
    offsets = np.stack([scale * np.array([offset for _, offset, _ in BALLS]) for scale in scales])
    ball_radii = np.concatenate([scale * np.array([radius for _, _, radius in BALLS]) for scale in scales])
    points = positions[:, :, joints] + np.einsum("dfbij,dbj->dfbi", rotations[:, :, joints], offsets)
    points = np.concatenate(list(points), axis=1)

    views = _views(_facing(rotations), camera, len(points), frame_rate)
    focus = np.full((len(points), 3), _FOCUS_HEIGHT_METRES * max(scales))
    if camera in ("follow", "orbit"):
        path = positions[:, :, 0].mean(axis=0)[:, [0, 2]]
        focus[:, [0, 2]] = _smooth(path, _CAMERA_SMOOTHING_SECONDS * frame_rate)
    else:
        across = points @ views[0].T  # of a camera that stands still
        middle = (across.min(axis=(0, 1)) + across.max(axis=(0, 1))) / 2 @ views[0]
        focus[:, [0, 2]] = middle[[0, 2]]

    width, height = size
    focal = min(width, height) / 2 / np.tan(np.radians(_FIELD_OF_VIEW_DEGREES / 2))
    # The least distance d at which |x| * focal / (d + z) stays inside the picture for every ball of every frame.
    seen = np.einsum("fbj,fij->fbi", points - focus[:, None], views)
    reach = (np.abs(seen[..., :2]) + ball_radii[:, None]) * focal / (_MARGIN * np.array(size) / 2)
    distance = max(_NEAREST_METRES * max(scales), float((reach.max(axis=-1) - seen[..., 2]).max()))

    depths = seen[..., 2] + distance
    contacts = [
        np.zeros((len(points), 4)) if dance.foot_contacts is None else dance.foot_contacts.astype(float)
        for dance in dances
    ]
    on_floor = np.array([1.0, 0.0, 1.0])
    return Scene(
        dances=tuple(dances),
        joint_positions=positions,
        joint_rotations=rotations,
        centers=focal * seen[..., :2] / depths[..., None] + np.array(size) / 2,
        depths=depths,
        radii=focal * ball_radii / depths,
        heights=points[..., 1],
        floor_points=points * on_floor,
        ball_radii=ball_radii,
        contact_points=np.concatenate(list(positions[:, :, list(CONTACT_JOINTS)]), axis=1) * on_floor,
        contact_strengths=_smooth(np.concatenate(contacts, axis=1), 0.05 * frame_rate),
        cameras=focus - distance * views[:, 2],
        views=views,
        focal=float(focal),
        size=size,
        distance=distance,
    )


def _facing(rotations: np.ndarray) -> float:
    """Return the angle about the vertical to which dancers look on average, radians; 0 is along +Z."""
    forward = rotations[:, :, 0, :, 2].mean(axis=(0, 1))
    return float(np.arctan2(forward[0], forward[2]))


def _views(facing: float, camera: str, num_frames: int, frame_rate: float) -> np.ndarray:
    """Return the axes of a camera in every frame, `(frames, 3, 3)`, rows: right, down, away."""
    yaw = np.full(num_frames, facing)
    yaw += np.radians({"front": 0.0, "side": 90.0}.get(camera, _CAMERA_YAW_DEGREES))
    if camera == "orbit":
        yaw += 2 * np.pi * np.arange(num_frames) / (_ORBIT_SECONDS * frame_rate)
    pitch = np.radians(_CAMERA_PITCH_DEGREES)
    up = np.full(num_frames, np.sin(pitch))
    away = -np.stack([np.sin(yaw) * np.cos(pitch), up, np.cos(yaw) * np.cos(pitch)], axis=-1)
    right = np.stack([np.cos(yaw), np.zeros(num_frames), -np.sin(yaw)], axis=-1)
    return np.stack([right, np.cross(away, right), away], axis=1)


def _of_one_length(dances: list[Motion]) -> list[Motion]:
    """Let each dancer keep its last pose until the last one ends."""
    num_frames = max(dance.num_frames for dance in dances)
    return [_longer(dance, num_frames) for dance in dances]


def _longer(dance: Motion, num_frames: int) -> Motion:
    if dance.num_frames == num_frames:
        return dance
    frames = np.minimum(np.arange(num_frames), dance.num_frames - 1)
    return replace(
        dance,
        root_positions=dance.root_positions[frames],
        joint_rotations=dance.joint_rotations[frames],
        foot_contacts=None if dance.foot_contacts is None else dance.foot_contacts[frames],
        finger_rotations=None if dance.finger_rotations is None else dance.finger_rotations[frames],
    )


def _side_by_side(dances: list[Motion]) -> list[Motion]:
    """Move the second of two dancers to the right of the first, as the camera sees them, if they need room."""
    if len(dances) == 1:
        return dances
    first, second = dances
    apart = (second.root_positions - first.root_positions)[:, [0, 2]]
    distances = np.linalg.norm(apart, axis=1)
    if distances.min() >= _TOUCHING_METRES and distances.mean() <= _TOGETHER_METRES:
        return dances
    facing = _facing(np.stack([dance.joint_frames()[1] for dance in dances]))
    right = np.array([np.cos(facing), -np.sin(facing)])
    shift = -apart.mean(axis=0) if distances.mean() > _TOGETHER_METRES else np.zeros(2)
    apart = apart + shift
    across = apart @ right
    along_squared = (apart**2).sum(axis=1) - across**2
    # The least step to the right after which the hips are never nearer to each other than that.
    step = (np.sqrt(np.maximum(_SIDE_BY_SIDE_METRES**2 - along_squared, 0)) - across).max()
    moved = second.root_positions.copy()
    moved[:, [0, 2]] += shift + step * right
    return [first, replace(second, root_positions=moved)]


def _smooth(values: np.ndarray, sigma_frames: float) -> np.ndarray:
    """Filter `(frames, channels)` with a Gaussian; the ends continue at rest."""
    return gaussian_filter1d(values, sigma_frames, axis=0, mode="nearest")
