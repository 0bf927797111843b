"""Draw dancers as figures of round shaded limbs: left ones in one color, right ones in another."""

from __future__ import annotations

import numpy as np

from .body_parts import BODY_PARTS, mean_of_parts, of_balls, part_slices
from .scene import Scene

# Colors are blue, green, red, as OpenCV wants them.
TINTS = (
    {"left": (232, 184, 72), "right": (84, 132, 245), "trunk": (205, 198, 190), "visor": (62, 48, 40)},
    {"left": (124, 198, 110), "right": (214, 120, 206), "trunk": (148, 188, 214), "visor": (40, 48, 62)},
)
"""Of the first dancer and of the second."""
SUBPIXEL_BITS = 4
CIRCLE_POINTS = 24
_LIGHT = np.array([-0.45, -0.8, -0.4]) / np.linalg.norm([-0.45, -0.8, -0.4])  # toward it: right, down, away
_NUM_SHADES = 8
_PIXELS_PER_SHADE = 3


class Mannequins:
    """Draws all dancers of a scene.

    Args:
        scene: What to draw.
    """

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        angles = np.linspace(0, 2 * np.pi, CIRCLE_POINTS, endpoint=False)
        self.circle = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
        self.parts = part_slices(len(scene.dances))
        # The outline, then as many shades as a part's thickness can show.
        pixels = [float(np.median(scene.radii[:, part].max(axis=1))) for part in self.parts]
        counts = [int(np.clip(np.ceil(radius / _PIXELS_PER_SHADE), 3, _NUM_SHADES)) for radius in pixels]
        self.layers = [[0, *np.linspace(1, _NUM_SHADES, count).round().astype(int).tolist()] for count in counts]
        self.shades = np.array([_shades(TINTS[i][tint]) for i in range(len(scene.dances)) for tint, _ in BODY_PARTS])

    def draw(self, image: np.ndarray, frame: int) -> None:
        """Draw the parts from far to near, each as a stack of hulls that grow lighter toward the light."""
        import cv2

        centers, radii, depths = self.scene.centers[frame], self.scene.radii[frame], self.scene.depths[frame]
        part_depths = mean_of_parts(depths)
        # Far parts fade a little into the dark.
        nearness = np.clip(1.0 - 0.22 * (part_depths - self.scene.distance), 0.7, 1.15)
        colors = np.clip(self.shades * nearness[:, None, None], 0, 255).tolist()

        middles = of_balls(mean_of_parts(centers))
        layers = np.arange(_NUM_SHADES + 1)  # the outline, then the shades
        inner = np.maximum(layers - 1, 0) / _NUM_SHADES  # 0 for the outline and the first shade
        outline = np.where(layers == 0, max(1.0, self.scene.size[1] / 500), 0.0)
        layer_radii = radii * (1 - 0.9 * inner)[:, None] + outline[:, None]
        layer_centers = centers + (middles - centers) * (0.35 * inner)[:, None, None]
        layer_centers = layer_centers + (radii * (0.55 * inner)[:, None])[..., None] * _LIGHT[:2]
        points = fixed_point(layer_centers[:, :, None] + layer_radii[..., None, None] * self.circle)
        for index in np.argsort(-part_depths):
            for layer in self.layers[index]:
                hull = cv2.convexHull(points[layer, self.parts[index]].reshape(-1, 2))
                cv2.fillConvexPoly(image, hull, colors[index][layer], cv2.LINE_AA, SUBPIXEL_BITS)


def fixed_point(pixels: np.ndarray) -> np.ndarray:
    """Round pixels to the fractions that OpenCV takes; points far outside are kept where its integers hold."""
    return np.clip(np.round(pixels * 2**SUBPIXEL_BITS), -(2**19), 2**19).astype(np.int32)


def _shades(tint: tuple[int, int, int]) -> np.ndarray:
    """Return the colors of outline and shades from the shadow side to the lit side, `(_NUM_SHADES + 1, 3)`."""
    steps = np.linspace(0, 1, _NUM_SHADES)[:, None]
    shades = np.array(tint) * (0.42 + 0.63 * steps) + 22 * steps**3
    return np.concatenate([np.array(tint)[None] * 0.16, shades])
