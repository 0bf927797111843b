"""Draw triangles with a depth buffer: skinned bodies and boxes as a pinhole camera sees them, on one core of a CPU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

NEAREST_METRES = 0.05
"""Triangles with a corner nearer than this, or behind the camera, are left out."""


@dataclass(frozen=True, eq=False)
class Canvas:
    """A picture and how near each of its pixels is.

    Args:
        colors: `(height, width, 3)` float32.
        nearness: `(height, width)` float32, 1 / depth in metres; 0 where nothing was drawn.
    """

    colors: np.ndarray
    nearness: np.ndarray

    @classmethod
    def blank(cls, image_size: tuple[int, int]) -> Canvas:
        """Return a black canvas of a width and a height in pixels."""
        width, height = image_size
        return cls(np.zeros((height, width, 3), np.float32), np.zeros((height, width), np.float32))

    def copy(self) -> Canvas:
        """Return a canvas that may be drawn on without changing this one."""
        return Canvas(self.colors.copy(), self.nearness.copy())


@dataclass(frozen=True)
class View:
    """What one picture of a camera needs: its size, focal length, turn and place.

    Args:
        image_size: Width and height, pixels.
        focal_length: Pixels.
        rotation: World to camera, `(3, 3)`; the camera's axes are x right, y down, z ahead.
        position: `(3,)`, metres.
    """

    image_size: tuple[int, int]
    focal_length: float
    rotation: np.ndarray
    position: np.ndarray

    def project(self, points: np.ndarray) -> np.ndarray:
        """Project world points `(points, 3)` to x, y in pixels and 1 / depth, 0 if behind; `(points, 3)` float32."""
        points = np.asarray(points, np.float32) - self.position.astype(np.float32)
        seen = points @ self.rotation.T.astype(np.float32)
        depth = np.maximum(seen[:, 2], np.float32(NEAREST_METRES))
        corners = seen * (np.float32(self.focal_length) / depth)[:, None]
        corners[:, :2] += np.array(self.image_size, np.float32) / 2
        corners[:, 2] = (seen[:, 2] >= depth) / depth
        return corners


def draw_mesh(canvas: Canvas, corners: np.ndarray, triangles: np.ndarray, colors: np.ndarray) -> None:
    """Draw triangles that face the viewer onto a canvas, hidden by what is nearer; colors blend between the corners.

    Args:
        canvas: Is changed.
        corners: `(vertices, 3)` float32 from `View.project`.
        triangles: `(triangles, 3)` indices, counter-clockwise from outside.
        colors: `(vertices, 3)` float32.
    """
    _draw_triangles()(
        canvas.colors,
        canvas.nearness,
        corners,
        np.ascontiguousarray(triangles, dtype=np.int32),
        np.ascontiguousarray(colors, dtype=np.float32),
    )


def lay_over(picture: np.ndarray, canvas: Canvas) -> None:
    """Lay what was drawn over a picture with smooth edges: each pixel is the mean of two rows of two samples.

    Args:
        picture: `(height, width, 3)` uint8; is changed.
        canvas: Twice as high and as wide, with colors from 0 to 255.
    """
    _lay_over()(picture, canvas.colors, canvas.nearness)


def skin_with_normals(
    vertices: np.ndarray,
    normals: np.ndarray,
    joints: np.ndarray,
    weights: np.ndarray,
    rotations: np.ndarray,
    shifts: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Move vertices as `body_mesh.skin` does, and turn their normals with them; all float32.

    Args:
        vertices: `(vertices, 3)`, metres.
        normals: `(vertices, 3)`, of unit length.
        joints: `(vertices, influences)` int32.
        weights: `(vertices, influences)`, rows sum to 1.
        rotations: `(22, 3, 3)`, of each joint's map.
        shifts: `(22, 3)`, metres.

    Returns:
        Both `(vertices, 3)` float32, the normals of unit length.
    """
    return _skin()(vertices, normals, joints, weights, rotations.astype(np.float32), shifts.astype(np.float32))


@lru_cache(maxsize=1)
def _draw_triangles() -> Callable[..., None]:
    """Compile the drawing; numba, which comes with librosa, keeps the result on disk."""
    import numba

    return numba.njit(cache=True, nogil=True)(_draw_triangles_loop)


@lru_cache(maxsize=1)
def _lay_over() -> Callable[..., None]:
    import numba

    return numba.njit(cache=True, nogil=True)(_lay_over_loop)


@lru_cache(maxsize=1)
def _skin() -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    import numba

    return numba.njit(cache=True, nogil=True)(_skin_loop)


def _draw_triangles_loop(
    colors: np.ndarray, nearness: np.ndarray, corners: np.ndarray, triangles: np.ndarray, paints: np.ndarray
) -> None:
    height, width = nearness.shape
    half = np.float32(0.5)
    for index in range(len(triangles)):
        a, b, c = triangles[index, 0], triangles[index, 1], triangles[index, 2]
        ax, ay, az = corners[a, 0], corners[a, 1], corners[a, 2]
        bx, by, bz = corners[b, 0], corners[b, 1], corners[b, 2]
        cx, cy, cz = corners[c, 0], corners[c, 1], corners[c, 2]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if area >= 0 or az <= 0 or bz <= 0 or cz <= 0:  # y points down: counter-clockwise is negative
            continue
        left, right = max(int(np.ceil(min(ax, bx, cx) - half)), 0), min(int(max(ax, bx, cx) - half), width - 1)
        top, bottom = max(int(np.ceil(min(ay, by, cy) - half)), 0), min(int(max(ay, by, cy) - half), height - 1)
        scale = np.float32(1) / area
        # The shares of the corners change by so much from a pixel to the next one in the row.
        u_step, v_step = (by - cy) * scale, (cy - ay) * scale
        for row in range(top, bottom + 1):
            y = np.float32(row) + half
            x = np.float32(left) + half
            u = ((bx - x) * (cy - y) - (by - y) * (cx - x)) * scale
            v = ((cx - x) * (ay - y) - (cy - y) * (ax - x)) * scale
            for column in range(left, right + 1):
                w = np.float32(1) - u - v
                if u >= 0 and v >= 0 and w >= 0:
                    near = u * az + v * bz + w * cz
                    if near > nearness[row, column]:
                        nearness[row, column] = near
                        for channel in range(3):
                            colors[row, column, channel] = (
                                u * paints[a, channel] + v * paints[b, channel] + w * paints[c, channel]
                            )
                u += u_step
                v += v_step


def _lay_over_loop(picture: np.ndarray, colors: np.ndarray, nearness: np.ndarray) -> None:
    quarter = np.float32(0.25)
    for row in range(picture.shape[0]):
        for column in range(picture.shape[1]):
            y, x = 2 * row, 2 * column
            count = 0
            for sample in range(4):
                count += nearness[y + sample // 2, x + sample % 2] > 0
            if count == 0:
                continue
            for channel in range(3):
                total = np.float32((4 - count) * picture[row, column, channel])  # blank samples are black
                for sample in range(4):
                    total += colors[y + sample // 2, x + sample % 2, channel]
                picture[row, column, channel] = min(total * quarter + np.float32(0.5), np.float32(255))


def _skin_loop(
    vertices: np.ndarray,
    normals: np.ndarray,
    joints: np.ndarray,
    weights: np.ndarray,
    rotations: np.ndarray,
    shifts: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    moved, turned = np.empty_like(vertices), np.empty_like(normals)
    blend = np.empty((3, 4), np.float32)
    for index in range(len(vertices)):
        blend[:] = 0
        for influence in range(joints.shape[1]):
            weight, joint = weights[index, influence], joints[index, influence]
            if weight > 0:
                for row in range(3):
                    for column in range(3):
                        blend[row, column] += weight * rotations[joint, row, column]
                    blend[row, 3] += weight * shifts[joint, row]
        x, y, z = vertices[index]
        nx, ny, nz = normals[index]
        length = np.float32(1e-12)
        for row in range(3):
            moved[index, row] = blend[row, 0] * x + blend[row, 1] * y + blend[row, 2] * z + blend[row, 3]
            turned[index, row] = blend[row, 0] * nx + blend[row, 1] * ny + blend[row, 2] * nz
            length += turned[index, row] ** 2
        turned[index] /= np.sqrt(length)
    return moved, turned
