"""Draw a posed body on a lit floor with OpenCV: round shaded limbs, shadow, contact marks and a camera that follows.

No GPU, no 3D library: all points of a clip are projected at once, and each frame is a painter's list of convex shapes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d

from ...utils.extras import require_extra
from ..kinematics import forward_kinematics
from ..motion import Motion
from ..skeleton import CONTACT_JOINTS, JOINT_INDEX, neutral_skeleton

# Colors are blue, green, red, as OpenCV wants them.
_TINTS = {
    "left": (232, 184, 72),
    "right": (84, 132, 245),
    "trunk": (205, 198, 190),
    "visor": (62, 48, 40),
}
_BACKGROUND_TOP, _BACKGROUND_BOTTOM = (46, 36, 30), (26, 20, 17)
_FLOOR_LIGHT = (104, 86, 74)
_GRID_BRIGHTNESS = 70

_FIELD_OF_VIEW_DEGREES = 30.0  # vertical
_CAMERA_PITCH_DEGREES = 11.0
_CAMERA_YAW_DEGREES = 14.0  # a little from the side: limbs that point at the viewer show their length
_CAMERA_SMOOTHING_SECONDS = 0.7
_MARGIN = 0.88  # of the half picture that the body may fill
_FOCUS_HEIGHT_METRES = 0.95
_NEAREST_METRES = 2.5
_LIGHT = np.array([-0.45, -0.8, -0.4]) / np.linalg.norm([-0.45, -0.8, -0.4])  # toward it: right, down, away

_NUM_SHADES = 8
_PIXELS_PER_SHADE = 3
_CIRCLE_POINTS = 24
_SUBPIXEL_BITS = 4
_SHADOW_SCALE = 4
_GRID_METRES = 0.5
_GRID_REACH_METRES = 6.0


# The body is made of convex pieces: hulls of balls, each given by joint, position in the joint's frame and radius, in
# metres for a body of our neutral size.
_Ball = tuple[str, tuple[float, float, float], float]
_TRUNK: tuple[tuple[str, tuple[_Ball, ...]], ...] = (
    (
        "trunk",  # pelvis
        (
            ("left_hip", (-0.005, 0.01, 0.0), 0.088),
            ("right_hip", (0.005, 0.01, 0.0), 0.088),
            ("spine1", (0.05, 0.0, 0.0), 0.078),
            ("spine1", (-0.05, 0.0, 0.0), 0.078),
        ),
    ),
    (
        "trunk",  # belly
        (
            ("spine1", (0.045, 0.02, 0.0), 0.078),
            ("spine1", (-0.045, 0.02, 0.0), 0.078),
            ("spine2", (0.05, 0.05, 0.0), 0.085),
            ("spine2", (-0.05, 0.05, 0.0), 0.085),
        ),
    ),
    (
        "trunk",  # chest
        (
            ("spine2", (0.055, 0.0, 0.01), 0.085),
            ("spine2", (-0.055, 0.0, 0.01), 0.085),
            ("left_collar", (0.06, -0.025, 0.0), 0.07),
            ("right_collar", (-0.06, -0.025, 0.0), 0.07),
        ),
    ),
    ("trunk", (("neck", (0.0, -0.03, 0.0), 0.054), ("head", (0.0, 0.02, 0.0), 0.05))),
    ("trunk", (("head", (0.0, 0.06, 0.012), 0.084), ("head", (0.0, 0.105, -0.004), 0.1))),
    # The visor shows where the head looks.
    ("visor", (("head", (0.05, 0.095, 0.08), 0.025), ("head", (-0.05, 0.095, 0.08), 0.025))),
)
_LEFT_LIMBS: tuple[tuple[_Ball, ...], ...] = (
    (("left_hip", (0.0, 0.0, 0.0), 0.082), ("left_knee", (0.0, 0.02, 0.0), 0.058)),
    (
        ("left_knee", (0.0, -0.01, 0.0), 0.057),
        ("left_knee", (0.0, -0.14, -0.012), 0.055),
        ("left_ankle", (0.0, 0.02, 0.0), 0.036),
    ),
    (
        ("left_ankle", (0.0, -0.005, 0.0), 0.037),
        ("left_ankle", (0.0, -0.045, -0.05), 0.03),
        ("left_foot", (0.0, 0.012, 0.0), 0.037),
        ("left_foot", (0.0, 0.0, 0.06), 0.024),
    ),
    (("left_shoulder", (0.0, 0.0, 0.0), 0.059), ("left_elbow", (0.0, 0.0, 0.0), 0.042)),
    (
        ("left_elbow", (0.0, 0.0, 0.0), 0.042),
        ("left_elbow", (0.07, 0.0, 0.0), 0.042),
        ("left_wrist", (-0.01, 0.0, 0.0), 0.028),
    ),
    (
        ("left_wrist", (0.02, 0.0, 0.0), 0.027),
        ("left_wrist", (0.075, 0.0, 0.0), 0.036),
        ("left_wrist", (0.15, 0.0, 0.0), 0.02),
    ),
)
BODY_PARTS = (
    *_TRUNK,
    *(("left", limb) for limb in _LEFT_LIMBS),
    *(
        ("right", tuple((joint.replace("left", "right"), (-x, y, z), radius) for joint, (x, y, z), radius in limb))
        for limb in _LEFT_LIMBS
    ),
)
BALLS = [ball for _, balls in BODY_PARTS for ball in balls]
_ENDS = np.cumsum([len(balls) for _, balls in BODY_PARTS]).tolist()
_PART_SLICES = [slice(end - len(balls), end) for end, (_, balls) in zip(_ENDS, BODY_PARTS, strict=True)]
_PART_OF_BALL = np.repeat(np.arange(len(BODY_PARTS)), [len(balls) for _, balls in BODY_PARTS])


@dataclass(frozen=True)
class Scene:
    """A clip seen by a camera: everything that is drawn, projected once for all frames.

    Args:
        centers: `(frames, balls, 2)`, pixels.
        depths: `(frames, balls)`, metres from the camera.
        radii: `(frames, balls)`, pixels.
        heights: `(frames, balls)`, metres above the floor.
        floor_points: `(frames, balls, 3)`, world position of each ball's foot on the floor.
        ball_radii: `(balls,)`, metres.
        contact_points: `(frames, 4, 3)`, world positions on the floor below `CONTACT_JOINTS`.
        contact_strengths: `(frames, 4)`, 0 to 1.
        cameras: `(frames, 3)`, world positions of the camera.
        view: `(3, 3)`, rows: right, down, away.
        focal: Focal length in pixels.
        size: Width and height in pixels.
        distance: Metres from the camera to the point it looks at.
    """

    centers: np.ndarray
    depths: np.ndarray
    radii: np.ndarray
    heights: np.ndarray
    floor_points: np.ndarray
    ball_radii: np.ndarray
    contact_points: np.ndarray
    contact_strengths: np.ndarray
    cameras: np.ndarray
    view: np.ndarray
    focal: float
    size: tuple[int, int]
    distance: float

    def project(self, points: np.ndarray, camera: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Project world points `(..., 3)`: pixels `(..., 2)` and depths `(...)` in metres."""
        seen = (points - camera) @ self.view.T
        return self.focal * seen[..., :2] / seen[..., 2:] + np.array(self.size) / 2, seen[..., 2]


def build_scene(motion: Motion, size: tuple[int, int]) -> Scene:
    """Pose the body of a clip, place a camera that keeps it in the picture, and project.

    The camera looks at the dancer from the side to which the dancer looks on average, from a fixed direction and
    distance; it follows the root's path on the floor, smoothed without delay.

    Args:
        motion: The dance.
        size: Width and height of the picture, pixels.
    """
    positions, rotations = (
        tensor.numpy()
        for tensor in forward_kinematics(
            motion.joint_rotations_matrix(),
            torch.from_numpy(motion.root_positions).double(),
            torch.from_numpy(motion.skeleton.offsets),
            motion.skeleton.parents,
        )
    )
    scale = motion.skeleton.leg_length / neutral_skeleton().leg_length
    joints = [JOINT_INDEX[joint] for joint, _, _ in BALLS]
    offsets = np.array([offset for _, offset, _ in BALLS]) * scale
    ball_radii = np.array([radius for _, _, radius in BALLS]) * scale
    points = positions[:, joints] + (rotations[:, joints] @ offsets[:, :, None])[..., 0]

    facing = rotations[:, 0, :, 2].mean(axis=0)
    yaw = np.arctan2(facing[0], facing[2]) + np.radians(_CAMERA_YAW_DEGREES)
    pitch = np.radians(_CAMERA_PITCH_DEGREES)
    away = -np.array([np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)])
    right = np.array([np.cos(yaw), 0.0, -np.sin(yaw)])
    view = np.stack([right, np.cross(away, right), away])
    focus = np.full_like(positions[:, 0], _FOCUS_HEIGHT_METRES * scale)
    focus[:, [0, 2]] = _smooth(positions[:, 0][:, [0, 2]], _CAMERA_SMOOTHING_SECONDS * motion.frame_rate)

    width, height = size
    focal = min(width, height) / 2 / np.tan(np.radians(_FIELD_OF_VIEW_DEGREES / 2))
    # The least distance d at which |x| * focal / (d + z) stays inside the picture for every ball of every frame.
    seen = (points - focus[:, None]) @ view.T
    reach = (np.abs(seen[..., :2]) + ball_radii[:, None]) * focal / (_MARGIN * np.array(size) / 2)
    distance = max(_NEAREST_METRES * scale, float((reach.max(axis=-1) - seen[..., 2]).max()))
    cameras = focus - distance * away

    depths = seen[..., 2] + distance
    floor_points = points * np.array([1.0, 0.0, 1.0])
    contacts = np.zeros((motion.num_frames, 4)) if motion.foot_contacts is None else motion.foot_contacts.astype(float)
    return Scene(
        centers=focal * seen[..., :2] / depths[..., None] + np.array(size) / 2,
        depths=depths,
        radii=focal * ball_radii / depths,
        heights=points[..., 1],
        floor_points=floor_points,
        ball_radii=ball_radii,
        contact_points=positions[:, list(CONTACT_JOINTS)] * np.array([1.0, 0.0, 1.0]),
        contact_strengths=_smooth(contacts, 0.05 * motion.frame_rate),
        cameras=cameras,
        view=view,
        focal=float(focal),
        size=size,
        distance=distance,
    )


def _smooth(values: np.ndarray, sigma_frames: float) -> np.ndarray:
    """Filter `(frames, channels)` with a Gaussian; the ends continue at rest."""
    return gaussian_filter1d(values, sigma_frames, axis=0, mode="nearest")


class Painter:
    """Draws the frames of a `Scene`.

    Args:
        scene: What to draw.
    """

    def __init__(self, scene: Scene) -> None:
        require_extra("cv2", "video", "Drawing a dance")
        self.scene = scene
        angles = np.linspace(0, 2 * np.pi, _CIRCLE_POINTS, endpoint=False)
        self.circle = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
        self.floor_circle = np.stack([np.cos(angles), 0 * angles, np.sin(angles)], axis=-1)
        # The outline, then as many shades as a part's thickness can show.
        pixels = [float(np.median(scene.radii[:, part].max(axis=1))) for part in _PART_SLICES]
        counts = [int(np.clip(np.ceil(radius / _PIXELS_PER_SHADE), 3, _NUM_SHADES)) for radius in pixels]
        self.layers = [[0, *np.linspace(1, _NUM_SHADES, count).round().astype(int).tolist()] for count in counts]
        self.shades = np.array([_shades(_TINTS[tint]) for tint, _ in BODY_PARTS])
        self._paint_background()

    def _paint_background(self) -> None:
        """Paint what never changes on the screen: the backdrop, the pool of light, and how far the grid reaches."""
        width, height = self.scene.size
        camera = self.scene.cameras[0]
        columns, rows = np.meshgrid(np.arange(width) - width / 2, np.arange(height) - height / 2)
        rays = np.stack([columns, rows, np.full_like(columns, self.scene.focal)], axis=-1) @ self.scene.view
        below = rays[..., 1] < -1e-6
        reach = np.where(below, -camera[1] / np.where(below, rays[..., 1], -1), 1e6)
        center = camera + self.scene.distance * self.scene.view[2]
        away = np.hypot(*(camera + reach[..., None] * rays - center)[..., [0, 2]].transpose(2, 0, 1))
        light = np.exp(-((away / (0.55 * self.scene.distance)) ** 2))
        fall = np.linspace(0, 1, height)[:, None, None]
        backdrop = (1 - fall) * np.array(_BACKGROUND_TOP) + fall * np.array(_BACKGROUND_BOTTOM)
        color = backdrop + light[..., None] * (np.array(_FLOOR_LIGHT) - backdrop)
        # Noise of one step hides the bands of dark gradients in 8 bits.
        noise = np.random.default_rng(0).random((height, width, 1))
        self.background = (color + noise).astype(np.uint8)
        self.grid_mask = (255 * np.exp(-((away / (0.7 * self.scene.distance)) ** 2))).astype(np.uint8)
        visible = np.flatnonzero(self.grid_mask.max(axis=1) > 2)
        self.floor_rows = slice(int(visible[0]), height) if len(visible) else slice(height - 1, height)
        self.grid_mask = self.grid_mask[self.floor_rows]

    def draw(self, frame: int) -> np.ndarray:
        """Return frame number `frame` as `(height, width, 3)` uint8, blue, green, red."""
        image = self.background.copy()
        self._draw_grid(image, frame)
        self.draw_shadow(image, frame)
        self._draw_contacts(image, frame)
        self._draw_body(image, frame)
        return image

    def _draw_grid(self, image: np.ndarray, frame: int) -> None:
        import cv2

        scene, camera = self.scene, self.scene.cameras[frame]
        center = camera + scene.distance * scene.view[2]
        steps = np.arange(-_GRID_REACH_METRES, _GRID_REACH_METRES + 1e-6, _GRID_METRES)
        pairs = []
        for across, along in ((0, 2), (2, 0)):
            ends = np.zeros((len(steps), 2, 3))
            ends[:, :, across] = (np.round(center[across] / _GRID_METRES) * _GRID_METRES + steps)[:, None]
            ends[:, :, along] = center[along] + np.array([-_GRID_REACH_METRES, _GRID_REACH_METRES])
            pairs.append(ends)
        lines = _cut_behind(np.concatenate(pairs), camera, scene.view[2])
        pixels, _ = scene.project(lines, camera)
        pixels[..., 1] -= self.floor_rows.start
        drawn = np.zeros(self.grid_mask.shape, np.uint8)
        for start, end in _fixed_point(pixels).tolist():
            cv2.line(drawn, start, end, _GRID_BRIGHTNESS, 1, cv2.LINE_AA, _SUBPIXEL_BITS)
        cv2.multiply(drawn, self.grid_mask, dst=drawn, scale=1 / 255)
        floor = image[self.floor_rows]
        cv2.add(floor, cv2.cvtColor(drawn, cv2.COLOR_GRAY2BGR), dst=floor)

    def draw_shadow(self, image: np.ndarray, frame: int) -> None:
        """Darken the floor below each part: the lower the part, the darker; drawn small and blurred."""
        import cv2

        scene = self.scene
        edge = scene.floor_points[frame][:, None] + scene.ball_radii[:, None, None] * self.floor_circle
        pixels, _ = scene.project(edge, scene.cameras[frame])
        width, height = scene.size
        small = np.zeros((height // _SHADOW_SCALE, width // _SHADOW_SCALE), np.uint8)
        darkness = 170 * np.exp(-np.maximum(_mean_of_parts(scene.heights[frame]), 0) / 0.9)
        points = _fixed_point(pixels / _SHADOW_SCALE)
        for index in np.argsort(darkness):
            hull = cv2.convexHull(points[_PART_SLICES[index]].reshape(-1, 2))
            cv2.fillConvexPoly(small, hull, float(darkness[index]), cv2.LINE_AA, _SUBPIXEL_BITS)
        cv2.GaussianBlur(small, (0, 0), 2.0, dst=small)
        rows, columns = np.flatnonzero(small.any(axis=1)), np.flatnonzero(small.any(axis=0))
        if len(rows) == 0:
            return
        part = small[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        top, left = rows[0] * _SHADOW_SCALE, columns[0] * _SHADOW_SCALE
        area = image[top : top + part.shape[0] * _SHADOW_SCALE, left : left + part.shape[1] * _SHADOW_SCALE]
        light = 255 - cv2.resize(part, (area.shape[1], area.shape[0]), interpolation=cv2.INTER_LINEAR)
        cv2.multiply(area, cv2.cvtColor(light, cv2.COLOR_GRAY2BGR), dst=area, scale=1 / 255)

    def _draw_contacts(self, image: np.ndarray, frame: int) -> None:
        """Draw a line on the floor around the planted parts of each foot, in the tint of its side."""
        import cv2

        scene = self.scene
        rings = scene.contact_points[frame][:, None] + scene.ball_radii[0] * self.floor_circle
        points = _fixed_point(scene.project(rings, scene.cameras[frame])[0])
        for side, joints in (("left", [0, 2]), ("right", [1, 3])):
            strengths = scene.contact_strengths[frame, joints]
            planted = [joint for joint, strength in zip(joints, strengths, strict=True) if strength > 0.3]
            if planted:
                hull = cv2.convexHull(points[planted].reshape(-1, 2))
                color = np.array(_TINTS[side]) * (0.3 + 0.6 * strengths.max())
                cv2.polylines(image, [hull], True, color.tolist(), 2, cv2.LINE_AA, _SUBPIXEL_BITS)

    def _draw_body(self, image: np.ndarray, frame: int) -> None:
        """Draw the parts from far to near, each as a stack of hulls that grow lighter toward the light."""
        import cv2

        centers, radii, depths = self.scene.centers[frame], self.scene.radii[frame], self.scene.depths[frame]
        part_depths = _mean_of_parts(depths)
        # Far parts fade a little into the dark.
        nearness = np.clip(1.0 - 0.22 * (part_depths - self.scene.distance), 0.7, 1.15)
        colors = np.clip(self.shades * nearness[:, None, None], 0, 255).tolist()

        middles = _mean_of_parts(centers)[_PART_OF_BALL]
        layers = np.arange(_NUM_SHADES + 1)  # the outline, then the shades
        inner = np.maximum(layers - 1, 0) / _NUM_SHADES  # 0 for the outline and the first shade
        outline = np.where(layers == 0, max(1.0, self.scene.size[1] / 500), 0.0)
        layer_radii = radii * (1 - 0.9 * inner)[:, None] + outline[:, None]
        layer_centers = centers + (middles - centers) * (0.35 * inner)[:, None, None]
        layer_centers = layer_centers + (radii * (0.55 * inner)[:, None])[..., None] * _LIGHT[:2]
        points = _fixed_point(layer_centers[:, :, None] + layer_radii[..., None, None] * self.circle)
        for index in np.argsort(-part_depths):
            for layer in self.layers[index]:
                hull = cv2.convexHull(points[layer, _PART_SLICES[index]].reshape(-1, 2))
                cv2.fillConvexPoly(image, hull, colors[index][layer], cv2.LINE_AA, _SUBPIXEL_BITS)


def _mean_of_parts(values: np.ndarray) -> np.ndarray:
    """Average `(balls, ...)` over the balls of each part, `(parts, ...)`."""
    counts = np.bincount(_PART_OF_BALL).reshape(-1, *[1] * (values.ndim - 1))
    return np.add.reduceat(values, [part.start for part in _PART_SLICES]) / counts


def _shades(tint: tuple[int, int, int]) -> np.ndarray:
    """Return the colors of outline and shades from the shadow side to the lit side, `(_NUM_SHADES + 1, 3)`."""
    steps = np.linspace(0, 1, _NUM_SHADES)[:, None]
    shades = np.array(tint) * (0.42 + 0.63 * steps) + 22 * steps**3
    return np.concatenate([np.array(tint)[None] * 0.16, shades])


def _cut_behind(lines: np.ndarray, camera: np.ndarray, away: np.ndarray, near: float = 0.2) -> np.ndarray:
    """Shorten lines `(lines, 2, 3)` to what lies at least `near` metres before the camera; drop the others."""
    depths = (lines - camera) @ away
    lines = lines[(depths > near).any(axis=1)].copy()
    depths = (lines - camera) @ away
    for end, other in ((0, 1), (1, 0)):
        share = np.clip((near - depths[:, end]) / (depths[:, other] - depths[:, end] + 1e-9), 0, 1)
        share = np.where(depths[:, end] < near, share, 0.0)
        lines[:, end] += share[:, None] * (lines[:, other] - lines[:, end])
    return lines


def _fixed_point(pixels: np.ndarray) -> np.ndarray:
    """Round pixels to the fractions that OpenCV takes; points far outside are kept where its integers hold."""
    return np.clip(np.round(pixels * 2**_SUBPIXEL_BITS), -(2**19), 2**19).astype(np.int32)
