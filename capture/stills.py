"""Stills of a video with the captured skeleton over them, in one picture."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..motion.kinematics import SIDES
from ..motion.skeleton import JOINT_NAMES, PARENTS
from ..utils.extras import require_extra

NUM_STILLS, STILLS_PER_ROW = 8, 4
TILE_SIZE = (210, 280)
"""Width and height of a still, pixels."""
MARGIN = 0.25
"""Of the skeleton's size, left around it."""
COLORS = {"left": (72, 184, 232), "right": (245, 132, 84), "": (245, 245, 245)}
"""Red, green and blue of the dancer's own left and right, as in all of our pictures, and of the trunk."""
_OUTLINE, _GRAY = (20, 20, 20), 40
_JPEG_QUALITY = 85


def still_frames(num_frames: int) -> list[int]:
    """Choose frames that are spread evenly over a clip; a short one has fewer."""
    count = min(NUM_STILLS, num_frames)
    return [int((index + 0.5) * num_frames / count) for index in range(count)]


def draw_still(picture: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """Draw a skeleton over a picture and cut the picture to it.

    Args:
        picture: `(height, width, 3)` uint8, RGB.
        joints: `(22, 2)`, pixels of this picture, x to the right and y down.

    Returns:
        `(280, 210, 3)` uint8, RGB.

    Raises:
        ImportError: If OpenCV is not installed.
    """
    require_extra("cv2", "capture", "The stills of a report")
    import cv2

    width, height = TILE_SIZE
    corner, size = _frame_around(joints)
    scale = width / size[0]
    shift = np.array([[scale, 0, -corner[0] * scale], [0, scale, -corner[1] * scale]])
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    tile = cv2.warpAffine(picture, shift, TILE_SIZE, flags=interpolation, borderValue=(_GRAY,) * 3)
    points = np.clip((joints - corner) * scale * 16, -(2**20), 2**20).round().astype(int)  # 1/16 pixels
    for thickness, is_outline in ((5, True), (2, False)):
        for joint, parent in enumerate(PARENTS):
            if parent < 0:
                continue
            color = _OUTLINE if is_outline else COLORS[_side(joint)]
            cv2.line(tile, points[parent].tolist(), points[joint].tolist(), color, thickness, cv2.LINE_AA, 4)
    return tile


def join_stills(stills: Mapping[int, np.ndarray]) -> bytes:
    """Put stills in rows of four in the order of their frames; return the bytes of a JPEG."""
    import cv2

    tiles = [stills[frame] for frame in sorted(stills)]
    tiles += [np.full_like(tiles[0], _GRAY)] * (-len(tiles) % min(len(tiles), STILLS_PER_ROW))
    rows = [tiles[start : start + STILLS_PER_ROW] for start in range(0, len(tiles), STILLS_PER_ROW)]
    sheet = np.concatenate([np.concatenate(row, axis=1) for row in rows])
    is_done, content = cv2.imencode(
        ".jpg", np.ascontiguousarray(sheet[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    )
    if not is_done:
        raise ValueError(f"A sheet of {len(stills)} stills could not be written as JPEG.")
    return content.tobytes()


def _frame_around(joints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the upper left corner and the size of a rectangle around a skeleton, of the shape of a still, pixels."""
    low, high = joints.min(axis=0), joints.max(axis=0)
    aspect = TILE_SIZE[0] / TILE_SIZE[1]
    height = max(high[1] - low[1], (high[0] - low[0]) / aspect, 8.0) * (1 + 2 * MARGIN)
    size = np.array([height * aspect, height])
    return (low + high - size) / 2, size


def _side(joint: int) -> str:
    return next((side for side in SIDES if JOINT_NAMES[joint].startswith(side)), "")
