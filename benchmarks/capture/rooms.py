"""Rooms with floors, walls, posters and boxes, all drawn by chance: what stands behind a dancer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from infinitedance.motion.drawing.rasterizer import Canvas, View, draw_mesh

_FLOOR_PIXELS, _WALL_PIXELS = 512, (256, 768)
_FLOOR_METRES = 4.0
"""Size of the picture that repeats on the floor."""
_CUBE = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (0, 1) for z in (-0.5, 0.5)])
_CUBE_FACES = ((4, 6, 7, 5), (0, 1, 3, 2), (2, 3, 7, 6), (1, 5, 7, 3), (0, 2, 6, 4))  # all but the bottom
_FACE_NORMALS = np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, -1.0]])


@dataclass(frozen=True, eq=False)
class Room:
    """A box seen from inside, with boxes in it; colors from 0 to 1.

    Args:
        low: Lowest corner, `(3,)`, metres; the floor is y = 0.
        high: Highest corner.
        floor: `(pixels, pixels, 3)` float32, repeats.
        walls: Four pictures, `(rows, columns, 3)` float32, toward -x, +x, -z, +z.
        ceiling: Color, `(3,)`.
        box_corners: `(vertices, 3)` float32, metres.
        box_triangles: `(triangles, 3)`.
        box_colors: `(vertices, 3)` float32.
    """

    low: np.ndarray
    high: np.ndarray
    floor: np.ndarray
    walls: np.ndarray
    ceiling: np.ndarray
    box_corners: np.ndarray
    box_triangles: np.ndarray
    box_colors: np.ndarray

    @classmethod
    def around(cls, points: np.ndarray, light: np.ndarray, rng: np.random.Generator) -> Room:
        """Draw a room by chance.

        Args:
            points: `(points, 3)`, metres: where the dancer goes and the camera stands.
            light: `(3,)`, toward the light.
            rng: Source of chance.
        """
        outdoors = rng.uniform() < 0.15
        margin = rng.uniform(8, 25, 3) if outdoors else rng.uniform(0.8, 4, 3)
        low, high = points.min(axis=0) - margin, points.max(axis=0) + rng.permutation(margin)
        low[1], high[1] = 0.0, max(rng.uniform(2.3, 4.5), points[:, 1].max() + 0.3) if not outdoors else 25.0
        walls = np.stack([_wall(rng, plain=outdoors) for _ in range(4)])
        if rng.uniform() < 0.6:  # mostly one paint, with other pictures on it
            walls = 0.25 * walls + 0.75 * np.array([_wall_paint(rng)] * 4)[:, None, None] * (0.7 + 0.5 * walls)
        corners, triangles, colors = _boxes(points, low, high, light, rng)
        return cls(
            low.astype(np.float32),
            high.astype(np.float32),
            _floor(rng),
            np.clip(walls, 0, 1).astype(np.float32),
            rng.uniform(0.4, 0.95, 3).astype(np.float32),
            corners,
            triangles,
            colors,
        )

    def draw(self, view: View) -> tuple[Canvas, np.ndarray]:
        """Return the picture of the empty room, and which pixels show its floor, `(height, width)` bool."""
        canvas = Canvas.blank(view.image_size)
        floor = np.zeros(canvas.nearness.shape, dtype=np.bool_)
        _cast()(
            canvas.colors,
            canvas.nearness,
            floor,
            np.float32(view.focal_length),
            view.rotation.astype(np.float32),
            view.position.astype(np.float32),
            self.low,
            self.high,
            self.floor,
            self.walls,
            self.ceiling,
        )
        before = canvas.nearness.copy()
        draw_mesh(canvas, view.project(self.box_corners), self.box_triangles, self.box_colors)
        return canvas, floor & (canvas.nearness == before)


def _noise(rng: np.random.Generator, size: tuple[int, int], octaves: tuple[int, ...]) -> np.ndarray:
    """Return smooth noise of mean 0 and variance 1, `size`."""
    import cv2

    total = np.zeros(size)
    for cell in octaves:
        coarse = rng.normal(size=(max(size[0] // cell, 2), max(size[1] // cell, 2)))
        total += cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC)
    return (total - total.mean()) / total.std()


def _floor(rng: np.random.Generator) -> np.ndarray:
    size = _FLOOR_PIXELS
    first, second = rng.uniform(0.1, 0.9, 3), rng.uniform(0.1, 0.9, 3)
    if rng.uniform() < 0.5:
        first = np.full(3, rng.uniform(0.15, 0.85)) + rng.normal(0, 0.04, 3)
    kind = rng.choice(["plain", "checker", "wood", "tiles"])
    row, column = np.mgrid[0:size, 0:size] / size
    if kind == "checker":
        tiles = int(rng.integers(2, 9))
        share = ((row * tiles).astype(int) + (column * tiles).astype(int)) % 2 * rng.uniform(0.2, 1)
    elif kind == "wood":
        boards = int(rng.integers(12, 40))
        first = np.array([0.62, 0.42, 0.25]) * rng.uniform(0.5, 1.4)
        second = first * rng.uniform(0.4, 0.8)
        board = (row * boards).astype(int)
        share = rng.uniform(size=boards + 1)[board] * 0.5 + 0.15 * _noise(rng, (size, size), (2, 8))
        share = np.where(row * boards % 1 < 0.06, 1.0, share)
    elif kind == "tiles":
        tiles = int(rng.integers(4, 14))
        share = ((row * tiles % 1 < 0.05) | (column * tiles % 1 < 0.05)) * rng.uniform(0.2, 0.8)
    else:
        share = np.zeros((size, size))
    color = first + (second - first) * share[..., None]
    color = color * (1 + rng.uniform(0.01, 0.08) * _noise(rng, (size, size), (1, 4, 32))[..., None])
    return np.clip(color, 0, 1).astype(np.float32)


def _wall_paint(rng: np.random.Generator) -> np.ndarray:
    if rng.uniform() < 0.5:
        return np.full(3, rng.uniform(0.3, 0.95)) + rng.normal(0, 0.03, 3)
    return rng.uniform(0.15, 0.9, 3)


def _wall(rng: np.random.Generator, *, plain: bool) -> np.ndarray:
    rows, columns = _WALL_PIXELS
    top, bottom = _wall_paint(rng), _wall_paint(rng)
    down = np.linspace(0, 1, rows)[:, None, None]
    wall = top + (bottom - top) * down * rng.uniform(0, 1) + np.zeros((rows, columns, 1))
    wall = wall * (1 + rng.uniform(0.01, 0.06) * _noise(rng, (rows, columns), (2, 16, 64))[..., None])
    if plain:
        return np.clip(wall * (1 + 0.15 * _noise(rng, (rows, columns), (8, 32, 128))[..., None]), 0, 1)
    for _ in range(rng.integers(0, 9)):  # posters, windows, doors
        height, width = int(rows * rng.uniform(0.1, 0.6)), int(columns * rng.uniform(0.03, 0.2))
        y, x = int(rng.integers(0, rows - height)), int(rng.integers(0, columns - width))
        inside = _noise(rng, (height, width), (4, 12, 40))[..., None] * rng.uniform(0, 0.4, 3) + rng.uniform(0, 1, 3)
        wall[y : y + height, x : x + width] = np.round(inside * 5) / 5 if rng.uniform() < 0.5 else inside
    return np.clip(wall, 0, 1)


def _boxes(
    points: np.ndarray, low: np.ndarray, high: np.ndarray, light: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return corners, triangles and colors of boxes that stand away from all of `points`."""
    corners: list[np.ndarray] = [np.zeros((0, 3))]
    triangles: list[np.ndarray] = [np.zeros((0, 3), dtype=np.int32)]
    colors: list[np.ndarray] = [np.zeros((0, 3))]
    shades = 0.4 + 0.6 * np.clip(_FACE_NORMALS @ light, 0, 1)
    for _ in range(rng.integers(0, 10)):
        place, size = rng.uniform(low, high) * [1, 0, 1], rng.uniform(0.15, 1.3, 3) * [1, rng.uniform(0.4, 1.6), 1]
        if np.hypot(*(points - place)[:, [0, 2]].T).min() < 0.9 + size[[0, 2]].max() / 2:
            continue
        paint = _wall_paint(rng)
        for face, shade in zip(_CUBE_FACES, shades, strict=True):
            start = sum(map(len, corners))
            corners.append(_CUBE[list(face)] * size + place)
            triangles.append(np.array([[0, 1, 2], [0, 2, 3], [2, 1, 0], [3, 2, 0]], dtype=np.int32) + start)
            colors.append(np.clip(paint * shade * rng.uniform(0.85, 1.15, (4, 1)), 0, 1))
    return (
        np.concatenate(corners).astype(np.float32),
        np.concatenate(triangles),
        np.concatenate(colors).astype(np.float32),
    )


@lru_cache(maxsize=1)
def _cast() -> Callable[..., None]:
    import numba

    return numba.njit(cache=True)(_cast_loop)


def _cast_loop(
    colors: np.ndarray,
    nearness: np.ndarray,
    on_floor: np.ndarray,
    focal_length: float,
    rotation: np.ndarray,
    position: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    floor: np.ndarray,
    walls: np.ndarray,
    ceiling: np.ndarray,
) -> None:
    height, width = nearness.shape
    rows, columns = walls.shape[1:3]
    size = floor.shape[0]
    ray = np.empty(3, np.float32)
    hit = np.empty(3, np.float32)
    for row in range(height):
        for column in range(width):
            x = (column + np.float32(0.5) - width / 2) / focal_length
            y = (row + np.float32(0.5) - height / 2) / focal_length
            distance, side = np.float32(1e9), 0
            for axis in range(3):
                ray[axis] = rotation[0, axis] * x + rotation[1, axis] * y + rotation[2, axis]
                if abs(ray[axis]) > 1e-7:
                    bound = high[axis] if ray[axis] > 0 else low[axis]
                    reach = (bound - position[axis]) / ray[axis]
                    if reach < distance:
                        distance, side = reach, 2 * axis + (1 if ray[axis] > 0 else 0)
            for axis in range(3):
                hit[axis] = position[axis] + distance * ray[axis]
            nearness[row, column] = 1 / max(distance, np.float32(1e-6))
            if side == 3:
                for channel in range(3):
                    colors[row, column, channel] = ceiling[channel]
                continue
            if side == 2:
                on_floor[row, column] = True
                u = hit[0] / np.float32(_FLOOR_METRES) * size
                v = hit[2] / np.float32(_FLOOR_METRES) * size
                texture, tall, wide = floor, size, size
            else:
                axis = 2 if side < 2 else 0
                u = (hit[axis] - low[axis]) / (high[axis] - low[axis]) * (columns - 1)
                v = (high[1] - hit[1]) / (high[1] - low[1]) * (rows - 1)
                texture, tall, wide = walls[side if side < 2 else side - 2], rows, columns
            left, top = int(np.floor(u)), int(np.floor(v))
            du, dv = u - left, v - top
            for channel in range(3):
                upper = (1 - du) * texture[top % tall, left % wide, channel] + du * texture[
                    top % tall, (left + 1) % wide, channel
                ]
                lower = (1 - du) * texture[(top + 1) % tall, left % wide, channel] + du * texture[
                    (top + 1) % tall, (left + 1) % wide, channel
                ]
                colors[row, column, channel] = (1 - dv) * upper + dv * lower
