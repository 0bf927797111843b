"""Draw dancers as OpenPose draws the people that it finds: the pictures that video generators are driven by."""

from __future__ import annotations

import numpy as np

from ..skeleton import JOINT_INDEX, neutral_skeleton
from .mannequin import SUBPIXEL_BITS, fixed_point
from .scene import Scene

KEYPOINTS = (
    *("nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist"),
    *("right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle"),
    *("right_eye", "left_eye", "right_ear", "left_ear"),
)
"""Of the model of 18 points, in its order."""
COLORS = (
    *((255, 0, 0), (255, 85, 0), (255, 170, 0), (255, 255, 0), (170, 255, 0), (85, 255, 0), (0, 255, 0)),
    *((0, 255, 85), (0, 255, 170), (0, 255, 255), (0, 170, 255), (0, 85, 255), (0, 0, 255), (85, 0, 255)),
    *((170, 0, 255), (255, 0, 255), (255, 0, 170), (255, 0, 85)),
)
"""Red, green, blue: of the points, and of the limbs, each with the color of its number."""
LIMBS = (
    *((1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10), (1, 11), (11, 12), (12, 13)),
    *((1, 0), (0, 14), (14, 16), (0, 15), (15, 17)),
)
_LIMB_BRIGHTNESS = 0.6
_WIDTH = 4 / 512
"""Half of the width of a limb and the radius of a point, of the shorter side of the picture; at least 2 pixels."""
# Points of the face in the frame of the head, metres for the neutral body, and where each looks.
_FACE = {
    "nose": ((0.0, 0.015, 0.115), (0.0, 0.0, 1.0)),
    "left_eye": ((0.031, 0.049, 0.1), (0.35, 0.0, 0.94)),
    "right_eye": ((-0.031, 0.049, 0.1), (-0.35, 0.0, 0.94)),
    "left_ear": ((0.078, 0.035, -0.005), (1.0, 0.0, 0.0)),
    "right_ear": ((-0.078, 0.035, -0.005), (-1.0, 0.0, 0.0)),
}
_HIDDEN = -0.15
"""Cosine of the angle between where a point of the face looks and the camera below which it is not seen."""


class OpenPoses:
    """Draws all dancers of a scene.

    Args:
        scene: What to draw.
    """

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.scales = [dance.skeleton.leg_length / neutral_skeleton().leg_length for dance in scene.dances]
        self.half_width = max(2.0, _WIDTH * min(scene.size))

    def keypoints(self, dancer: int, frame: int) -> tuple[np.ndarray, np.ndarray]:
        """Return where the points are, `(18, 2)` pixels, and which are seen, `(18,)`."""
        scene = self.scene
        joints, rotations = scene.joint_positions[dancer, frame], scene.joint_rotations[dancer, frame]
        head = JOINT_INDEX["head"]
        points, seen = np.empty((len(KEYPOINTS), 3)), np.ones(len(KEYPOINTS), dtype=bool)
        for index, name in enumerate(KEYPOINTS):
            if name in _FACE:
                place, looks = (np.array(each) for each in _FACE[name])
                points[index] = joints[head] + rotations[head] @ place * self.scales[dancer]
                toward = scene.cameras[frame] - points[index]
                seen[index] = rotations[head] @ looks @ toward / np.linalg.norm(toward) > _HIDDEN
            elif name == "neck":  # between the shoulders
                points[index] = joints[[JOINT_INDEX["left_shoulder"], JOINT_INDEX["right_shoulder"]]].mean(axis=0)
            else:
                points[index] = joints[JOINT_INDEX[name]]
        return scene.project(points, frame)[0], seen

    def draw(self, image: np.ndarray, frame: int) -> None:
        """Draw limbs as darker ellipses and points as circles over them, the far dancer first."""
        import cv2

        dancers = sorted(range(len(self.scene.dances)), key=lambda each: -self._depth(each, frame))
        for dancer in dancers:
            points, seen = self.keypoints(dancer, frame)
            for (start, end), color in zip(LIMBS, COLORS, strict=False):
                if seen[start] and seen[end]:
                    ellipse = fixed_point(_ellipse(points[start], points[end], self.half_width))
                    dark = [_LIMB_BRIGHTNESS * value for value in color[::-1]]
                    cv2.fillConvexPoly(image, ellipse, dark, cv2.LINE_AA, SUBPIXEL_BITS)
            radius = round(self.half_width * 2**SUBPIXEL_BITS)
            for point, color in zip(fixed_point(points[seen]).tolist(), np.array(COLORS)[seen].tolist(), strict=True):
                cv2.circle(image, point, radius, color[::-1], cv2.FILLED, cv2.LINE_AA, SUBPIXEL_BITS)

    def _depth(self, dancer: int, frame: int) -> float:
        return float(self.scene.project(self.scene.joint_positions[dancer, frame, 0], frame)[1])


def _ellipse(start: np.ndarray, end: np.ndarray, half_width: float) -> np.ndarray:
    """Return points of the ellipse from one point to another, `(points, 2)`."""
    angles = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    along = (end - start) / 2
    across = np.array([-along[1], along[0]]) / max(np.linalg.norm(along), 1e-9) * half_width
    return (start + end) / 2 + np.cos(angles)[:, None] * along + np.sin(angles)[:, None] * across
