"""Pictures of a dancer in a room, as a telephone would take them: clothes, light, shadow, blur, noise, compression."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from infinitedance.capture.camera import Camera
from infinitedance.motion.drawing.body_mesh import capsule_body, rest_positions
from infinitedance.motion.drawing.rasterizer import Canvas, View, draw_mesh, skin_with_normals
from infinitedance.motion.motion import Motion

from .clothes import Clothes, dressed_body
from .rooms import Room

_SHADOW_PIXELS = 4
"""One pixel of the shadow is so many of the picture."""
_BLUR_PIXELS = 7
_NOISE_BANK = 1 << 16
_FIGURE_TINTS = {"left": (0.28, 0.72, 0.91), "right": (0.96, 0.52, 0.33), "trunk": (0.75, 0.78, 0.8)}


@dataclass(frozen=True)
class Look:
    """How a video looks, beside what happens in it.

    Args:
        clothes: Of the dancer; `None` draws our figure of capsules.
        light: Toward the light, of unit length.
        ambient: Share of the light that comes from everywhere.
        shadow: How dark the shadow on the floor is, from 0 to 1.
        softness: Of the edge of the shadow, metres.
        tint: Of the light, `(red, green, blue)`.
        gamma: Exponent of the brightness.
        shutter: Share of the time of a picture for which the shutter is open: what blurs fast limbs.
        blur: Standard deviation of the lens' blur, pixels.
        noise: Standard deviation of the noise, of 255.
        quality: Of JPEG; what video compression leaves behind is drawn with it.
        seed: Of the room and the noise.
    """

    clothes: Clothes | None
    light: tuple[float, float, float]
    ambient: float
    shadow: float
    softness: float
    tint: tuple[float, float, float]
    gamma: float
    shutter: float
    blur: float
    noise: float
    quality: int
    seed: int

    @classmethod
    def random(cls, rng: np.random.Generator, figure: str = "human") -> Look:
        """Draw a look by chance; `figure` is `human` or `capsules`."""
        elevation, azimuth = rng.uniform(0.7, 1.45), rng.uniform(0, 2 * np.pi)
        light = (np.cos(elevation) * np.sin(azimuth), np.sin(elevation), np.cos(elevation) * np.cos(azimuth))
        brightness = rng.uniform(0.7, 1.15)
        tint = brightness * (1 + rng.normal(0, 0.05, 3))
        return cls(
            clothes=Clothes.random(rng) if figure == "human" else None,
            light=(float(light[0]), float(light[1]), float(light[2])),
            ambient=rng.uniform(0.3, 0.75),
            shadow=rng.uniform(0.1, 0.7),
            softness=rng.uniform(0.01, 0.04),
            tint=(float(tint[0]), float(tint[1]), float(tint[2])),
            gamma=rng.uniform(0.8, 1.3),
            shutter=rng.uniform(0.2, 0.9) if rng.uniform() < 0.4 else 0.0,
            blur=rng.uniform(0.3, 1.3),
            noise=rng.uniform(0, 8),
            quality=int(rng.integers(30, 96)),
            seed=int(rng.integers(2**31)),
        )


def render_pictures(motion: Motion, camera: Camera, look: Look) -> Iterator[np.ndarray]:
    """Draw every frame of a dance.

    Args:
        motion: On the skeleton of the performer, the floor at y = 0.
        camera: One turn for each frame, or one for all.
        look: How it looks; the same look and the same dance give the same pictures.

    Yields:
        `(height, width, 3)` uint8, red, green, blue.
    """
    film = _Film(look, camera.image_size)
    body = _PosedBody(motion, look)
    light = np.array(look.light)
    room = Room.around(_occupied(motion, camera), light, np.random.default_rng(look.seed))
    background: tuple[Canvas, np.ndarray] | None = None
    for frame in range(motion.num_frames):
        turns = len(camera.rotations) > 1
        rotation = camera.rotations[frame if turns else 0]
        view = View(camera.image_size, camera.focal_length, rotation, np.asarray(camera.position))
        if turns or background is None:
            background = room.draw(view)
        yield film.develop(_draw_dancer(background, body, frame, view, look))


def _occupied(motion: Motion, camera: Camera) -> np.ndarray:
    """Return where the dancer goes and the camera stands, and some of the way between, `(points, 3)`."""
    joints = motion.joint_positions()[::3].reshape(-1, 3)
    position = np.asarray(camera.position)
    near = position + (joints.mean(axis=0) - position) * np.array([[0.25], [0.5], [0.75]])
    return np.concatenate([joints, position[None], near])


class _PosedBody:
    """Vertices, normals and colors of a dancer in each frame."""

    def __init__(self, motion: Motion, look: Look) -> None:
        if look.clothes is None:
            mesh = capsule_body(motion.skeleton)
            names = [motion.skeleton.joint_names[joint].split("_")[0] for joint in mesh.joints[:, 0]]
            colors = np.array([_FIGURE_TINTS.get(name, _FIGURE_TINTS["trunk"]) for name in names])
        else:
            mesh, colors = dressed_body(look.clothes, motion.skeleton)
        self.triangles = mesh.triangles.astype(np.int32)
        self.colors = colors.astype(np.float32)
        self._vertices, self._normals = mesh.vertices.astype(np.float32), mesh.normals().astype(np.float32)
        self._joints, self._weights = mesh.joints.astype(np.int32), mesh.weights.astype(np.float32)
        positions, self._rotations = motion.joint_frames()
        self._shifts = positions - np.einsum("fjab,jb->fja", self._rotations, rest_positions(motion.skeleton))
        self.num_frames = motion.num_frames

    def pose(self, frame: int) -> tuple[np.ndarray, np.ndarray]:
        """Return vertices and normals in the world, `(vertices, 3)` float32."""
        rotations, shifts = self._rotations[frame], self._shifts[frame]
        return skin_with_normals(self._vertices, self._normals, self._joints, self._weights, rotations, shifts)


def _draw_dancer(
    background: tuple[Canvas, np.ndarray], body: _PosedBody, frame: int, view: View, look: Look
) -> np.ndarray:
    """Return a picture of one frame, `(height, width, 3)` float32 from 0 to 1."""
    vertices, normals = body.pose(frame)
    shade = look.ambient + (1 - look.ambient) * 1.3 * np.maximum(normals @ np.array(look.light, np.float32), 0)
    shade += 0.12 * np.maximum(normals @ np.asarray(-view.rotation[2], np.float32), 0)  # what the room throws back
    colors = body.colors * shade[:, None]
    room, floor = background
    canvas = room.copy()
    _darken(canvas, vertices, body, view, look, floor)
    moments = [0.0]
    if look.shutter and body.num_frames > 1:
        following = body.pose(min(frame + 1, body.num_frames - 1))[0]
        moments = [0.0, look.shutter / 2, look.shutter]
    total = None
    for moment in moments:
        shot = canvas.copy() if len(moments) > 1 else canvas
        moved = vertices if moment == 0 else vertices + np.float32(moment) * (following - vertices)
        draw_mesh(shot, view.project(moved), body.triangles, colors)
        total = shot.colors if total is None else total + shot.colors
    assert total is not None
    return total / np.float32(len(moments))


def _darken(canvas: Canvas, vertices: np.ndarray, body: _PosedBody, view: View, look: Look, floor: np.ndarray) -> None:
    """Draw the dancer's shadow on what is floor, `(height, width)` bool; the canvas is changed."""
    import cv2

    light = np.array(look.light, np.float32)
    flat = vertices - light * (np.maximum(vertices[:, 1:2], 0) / light[1])
    width, height = view.image_size
    small = (max(width // _SHADOW_PIXELS, 1), max(height // _SHADOW_PIXELS, 1))
    coarse = replace(view, image_size=small, focal_length=view.focal_length * small[0] / width)
    mask = Canvas.blank(small)
    draw_mesh(mask, coarse.project(flat), body.triangles, np.ones_like(flat))
    distance = max(float(np.linalg.norm(vertices.mean(axis=0) - view.position)), 0.5)
    sigma = max(look.softness * coarse.focal_length / distance, 0.6)
    soft = cv2.GaussianBlur(np.ascontiguousarray(mask.colors[..., 0]), (0, 0), sigma)
    rows, columns = np.flatnonzero(soft.max(axis=1) > 0.002), np.flatnonzero(soft.max(axis=0) > 0.002)
    if not len(rows):
        return
    soft = cv2.resize(soft, (width, height), interpolation=cv2.INTER_LINEAR)
    top, left = max(rows[0] - 1, 0) * height // small[1], max(columns[0] - 1, 0) * width // small[0]
    part = np.s_[top : (rows[-1] + 2) * height // small[1], left : (columns[-1] + 2) * width // small[0]]
    canvas.colors[part] *= (1 - np.float32(look.shadow) * soft[part] * floor[part])[..., None]


class _Film:
    """Turns light into pictures: tint, gamma, blur of the lens, noise and compression."""

    def __init__(self, look: Look, image_size: tuple[int, int]) -> None:
        self._look = look
        self._rng = np.random.default_rng(look.seed + 1)
        self._size = image_size[0] * image_size[1] * 3
        self._noise = self._rng.normal(0, look.noise, self._size + _NOISE_BANK).astype(np.int16)
        levels = np.linspace(0, 1, 256)[:, None] ** look.gamma * np.array(look.tint) * 255
        self._curve = np.clip(levels, 0, 255).astype(np.uint8)[:, None]

    def develop(self, light: np.ndarray) -> np.ndarray:
        """Return the picture, `(height, width, 3)` uint8, of light `(height, width, 3)` from 0 to 1."""
        import cv2

        picture = cv2.LUT(cv2.convertScaleAbs(light, alpha=255), self._curve)
        picture = cv2.GaussianBlur(picture, (_BLUR_PIXELS, _BLUR_PIXELS), self._look.blur)
        start = int(self._rng.integers(_NOISE_BANK))
        noise = self._noise[start : start + self._size].reshape(picture.shape)
        picture = cv2.add(picture, noise, dtype=cv2.CV_8U)
        done, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, self._look.quality])
        assert done
        return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))
