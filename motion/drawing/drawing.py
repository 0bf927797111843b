"""Draw dancers on a lit floor with OpenCV: shadow, contact marks and a camera that follows.

No GPU, no 3D library: all points of a clip are projected at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from ...utils.extras import require_extra
from ..skeleton import CONTACT_JOINTS
from .body_parts import mean_of_parts, part_slices
from .humans import Humans
from .mannequin import CIRCLE_POINTS, SUBPIXEL_BITS, TINTS, Mannequins, fixed_point
from .openpose import OpenPoses
from .scene import Scene

# Colors are blue, green, red, as OpenCV wants them.
_BACKGROUND_TOP, _BACKGROUND_BOTTOM = (46, 36, 30), (26, 20, 17)
_FLOOR_LIGHT = (104, 86, 74)
_GRID_BRIGHTNESS = 70
_SHADOW_SCALE = 4
_GRID_METRES = 0.5
_GRID_REACH_METRES = 6.0
_GRID_REACH, _NEAREST_GRID = 1.5, 0.25
"""Of the distance to the camera: how far the grid reaches where that is more, and nearer than what none is seen."""


class Figures(Protocol):
    """Draws all dancers of a scene."""

    def draw(self, image: np.ndarray, frame: int) -> None:
        """Draw onto `image`, `(height, width, 3)` uint8, blue, green, red."""


_FIGURES: dict[str, Callable[[Scene], Figures]] = {"human": Humans, "capsules": Mannequins, "openpose": OpenPoses}
BODIES = tuple(_FIGURES)


class Painter:
    """Draws the frames of a `Scene`.

    Args:
        scene: What to draw.
        body: One of `BODIES`. `openpose` is drawn as that program draws what it finds: on black, without a floor.

    Raises:
        ValueError: If there is no such body.
        ImportError: If the extra `video` is not installed.
    """

    def __init__(self, scene: Scene, body: str = "capsules") -> None:
        require_extra("cv2", "video", "Drawing a dance")
        if body not in BODIES:
            raise ValueError(f"`body` must be one of {', '.join(BODIES)}, got {body!r}.")
        self.scene = scene
        self.body = body
        self.figures = _FIGURES[body](scene)
        self.has_floor = body != "openpose"
        angles = np.linspace(0, 2 * np.pi, CIRCLE_POINTS, endpoint=False)
        self.floor_circle = np.stack([np.cos(angles), 0 * angles, np.sin(angles)], axis=-1)
        self.parts = part_slices(len(scene.dances))
        if self.has_floor:
            self._paint_background()
        else:
            self.background = np.zeros((scene.size[1], scene.size[0], 3), np.uint8)

    def _paint_background(self) -> None:
        """Paint what never changes on the screen: the backdrop, the pool of light, and how far the grid reaches."""
        width, height = self.scene.size
        camera = self.scene.cameras[0]
        columns, rows = np.meshgrid(np.arange(width) - width / 2, np.arange(height) - height / 2)
        rays = np.stack([columns, rows, np.full_like(columns, self.scene.focal)], axis=-1) @ self.scene.views[0]
        below = rays[..., 1] < -1e-6
        reach = np.where(below, -camera[1] / np.where(below, rays[..., 1], -1), 1e6)
        center = camera + self.scene.distance * self.scene.views[0, 2]
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
        if self.has_floor:
            self._draw_grid(image, frame)
            self.draw_shadow(image, frame)
            if self.body == "capsules":
                self._draw_contacts(image, frame)
        self.figures.draw(image, frame)
        return image

    def draw_alone(self, frame: int) -> np.ndarray:
        """Return the dancers alone, `(height, width, 4)` uint8: blue, green, red, opacity.

        The colors are not multiplied by the opacity.
        """
        import cv2

        black = np.zeros_like(self.background)
        white = np.full_like(self.background, 255)
        self.figures.draw(black, frame)
        self.figures.draw(white, frame)
        seen_through = cv2.split(cv2.subtract(white, black))  # what neither covers is black here and white there
        opacity = 255 - cv2.max(cv2.max(seen_through[0], seen_through[1]), seen_through[2])
        edges = (opacity > 0) & (opacity < 255)
        black[edges] = np.minimum(np.round(255.0 * black[edges] / opacity[edges][:, None]), 255)
        return np.asarray(cv2.merge([*cv2.split(black), opacity]))

    def _draw_grid(self, image: np.ndarray, frame: int) -> None:
        import cv2

        scene, camera = self.scene, self.scene.cameras[frame]
        center = camera + scene.distance * scene.views[frame, 2]
        reach = np.ceil(max(_GRID_REACH_METRES, _GRID_REACH * scene.distance))
        steps = np.arange(-reach, reach + 1e-6, _GRID_METRES)
        pairs = []
        for across, along in ((0, 2), (2, 0)):
            ends = np.zeros((len(steps), 2, 3))
            ends[:, :, across] = (np.round(center[across] / _GRID_METRES) * _GRID_METRES + steps)[:, None]
            ends[:, :, along] = center[along] + np.array([-reach, reach])
            pairs.append(ends)
        lines = _cut_behind(np.concatenate(pairs), camera, scene.views[frame, 2], _NEAREST_GRID * scene.distance)
        pixels, _ = scene.project(lines, frame)
        pixels[..., 1] -= self.floor_rows.start
        drawn = np.zeros(self.grid_mask.shape, np.uint8)
        for start, end in fixed_point(pixels).tolist():
            cv2.line(drawn, start, end, _GRID_BRIGHTNESS, 1, cv2.LINE_AA, SUBPIXEL_BITS)
        cv2.multiply(drawn, self.grid_mask, dst=drawn, scale=1 / 255)
        floor = image[self.floor_rows]
        cv2.add(floor, cv2.cvtColor(drawn, cv2.COLOR_GRAY2BGR), dst=floor)

    def draw_shadow(self, image: np.ndarray, frame: int) -> None:
        """Darken the floor below each part: the lower the part, the darker; drawn small and blurred."""
        import cv2

        scene = self.scene
        edge = scene.floor_points[frame][:, None] + scene.ball_radii[:, None, None] * self.floor_circle
        pixels, _ = scene.project(edge, frame)
        width, height = scene.size
        small = np.zeros((height // _SHADOW_SCALE, width // _SHADOW_SCALE), np.uint8)
        darkness = 170 * np.exp(-np.maximum(mean_of_parts(scene.heights[frame]), 0) / 0.9)
        points = fixed_point(pixels / _SHADOW_SCALE)
        for index in np.argsort(darkness):
            hull = cv2.convexHull(points[self.parts[index]].reshape(-1, 2))
            cv2.fillConvexPoly(small, hull, float(darkness[index]), cv2.LINE_AA, SUBPIXEL_BITS)
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
        radii = np.repeat(scene.ball_radii[:: len(scene.ball_radii) // len(scene.dances)], len(CONTACT_JOINTS))
        rings = scene.contact_points[frame][:, None] + radii[:, None, None] * self.floor_circle
        points = fixed_point(scene.project(rings, frame)[0])
        feet = [(0, "left", [0, 2]), (0, "right", [1, 3]), (1, "left", [4, 6]), (1, "right", [5, 7])]
        for dancer, side, joints in feet[: 2 * len(scene.dances)]:
            strengths = scene.contact_strengths[frame, joints]
            planted = [joint for joint, strength in zip(joints, strengths, strict=True) if strength > 0.3]
            if planted:
                hull = cv2.convexHull(points[planted].reshape(-1, 2))
                color = np.array(TINTS[dancer][side]) * (0.3 + 0.6 * strengths.max())
                cv2.polylines(image, [hull], True, color.tolist(), 2, cv2.LINE_AA, SUBPIXEL_BITS)


def _cut_behind(lines: np.ndarray, camera: np.ndarray, away: np.ndarray, near: float) -> np.ndarray:
    """Shorten lines `(lines, 2, 3)` to what lies at least `near` metres before the camera; drop the others."""
    depths = (lines - camera) @ away
    lines = lines[(depths > near).any(axis=1)].copy()
    depths = (lines - camera) @ away
    for end, other in ((0, 1), (1, 0)):
        share = np.clip((near - depths[:, end]) / (depths[:, other] - depths[:, end] + 1e-9), 0, 1)
        share = np.where(depths[:, end] < near, share, 0.0)
        lines[:, end] += share[:, None] * (lines[:, other] - lines[:, end])
    return lines
