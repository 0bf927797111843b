"""Draw dancers as people in clothes: their skinned meshes, lit, with smooth edges."""

from __future__ import annotations

import numpy as np

from .body_mesh import BodyMesh, rest_positions
from .clothes import MATERIALS, human_body
from .rasterizer import Canvas, View, draw_mesh, lay_over, skin_with_normals
from .scene import Scene

_SAMPLES = 2
"""In a row of a pixel, and rows of them: what makes edges smooth."""
_LIGHT = np.array([-0.45, -0.6, -0.66], np.float32)
"""Toward it: right, down, away."""
_AMBIENT, _DIFFUSE, _FROM_ABOVE, _RIM = 0.5, 0.58, 0.14, 0.2
_SECOND_COLORS = {
    "skin": (0.50, 0.34, 0.26),
    "shirt": (0.80, 0.36, 0.26),
    "trousers": (0.30, 0.33, 0.40),
    "shoes": (0.25, 0.26, 0.30),
    "soles": (0.85, 0.85, 0.83),
    "hair": (0.09, 0.08, 0.08),
    "lips": (0.46, 0.26, 0.23),
}
"""Of the second dancer, sRGB."""


class Humans:
    """Draws all dancers of a scene.

    Args:
        scene: What to draw.
    """

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.bodies = [_Body(human_body(dance.skeleton), index) for index, dance in enumerate(scene.dances)]
        rest = np.stack([rest_positions(dance.skeleton) for dance in scene.dances])
        self.shifts = scene.joint_positions - np.einsum("dfjab,djb->dfja", scene.joint_rotations, rest)

    def draw(self, image: np.ndarray, frame: int) -> None:
        """Draw all bodies with one depth buffer, of more pixels than the picture, and lay them over it."""
        scene = self.scene
        posed = [
            body.posed(scene.joint_rotations[index, frame], self.shifts[index, frame])
            for index, body in enumerate(self.bodies)
        ]
        width, height = scene.size
        fine = (width * _SAMPLES, height * _SAMPLES)
        view = View(fine, scene.focal * _SAMPLES, scene.views[frame], scene.cameras[frame])
        corners = [view.project(vertices) for vertices, _ in posed]
        # Only the part of the picture that bodies cover is drawn.
        everything = np.concatenate(corners)[:, :2] / _SAMPLES
        left, top = np.clip(np.floor(everything.min(axis=0)), 0, scene.size).astype(int).tolist()
        right, bottom = np.clip(np.ceil(everything.max(axis=0)), 0, scene.size).astype(int).tolist()
        if right <= left or bottom <= top:
            return
        canvas = Canvas.blank(((right - left) * _SAMPLES, (bottom - top) * _SAMPLES))
        for body, each, (_, normals) in zip(self.bodies, corners, posed, strict=True):
            each[:, :2] -= np.array([left, top], np.float32) * _SAMPLES
            draw_mesh(canvas, each, body.triangles, body.colors * _shade(normals @ view.rotation.T.astype(np.float32)))
        lay_over(image[top:bottom, left:right], canvas)


class _Body:
    def __init__(self, mesh: BodyMesh, index: int) -> None:
        self.triangles = mesh.triangles.astype(np.int32)
        colors = [_SECOND_COLORS.get(each.name, each.color) if index else each.color for each in MATERIALS]
        assert mesh.parts is not None
        self.colors = np.array(colors, np.float32)[mesh.parts][:, ::-1] * np.float32(255)  # blue, green, red
        self._vertices, self._normals = mesh.vertices.astype(np.float32), mesh.normals().astype(np.float32)
        self._joints, self._weights = mesh.joints.astype(np.int32), mesh.weights.astype(np.float32)

    def posed(self, rotations: np.ndarray, shifts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return skin_with_normals(self._vertices, self._normals, self._joints, self._weights, rotations, shifts)


def _shade(normals: np.ndarray) -> np.ndarray:
    """Return how light surfaces are, `(vertices, 1)`, whose normals `(vertices, 3)` point right, down, away."""
    shade = _AMBIENT + _DIFFUSE * np.maximum(normals @ _LIGHT, 0) - _FROM_ABOVE * normals[:, 1]
    rim = np.maximum(1 + normals[:, 2], 0)  # 1 where a surface turns away from the viewer
    return (shade + _RIM * rim**3 * np.maximum(-normals[:, 1] + 0.3, 0))[:, None]
