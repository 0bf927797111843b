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
_FAINTEST = 0.002
_BLUR_PIXELS, _MARGIN_PIXELS = 7, 8
"""Outside the margin, the blur of the lens does not see the dancer."""
_NOISE_BANK = 1 << 16
_Part = tuple[slice, slice]
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
    room = Room.around(_occupied(motion, camera), np.array(look.light), np.random.default_rng(look.seed))
    stage: _Stage | None = None
    for frame in range(motion.num_frames):
        turns = len(camera.rotations) > 1
        if turns or stage is None:
            rotation = camera.rotations[frame if turns else 0]
            view = View(camera.image_size, camera.focal_length, rotation, np.asarray(camera.position))
            stage = _Stage(room, view, look)
            empty = film.expose(stage.canvas.colors)
        light, part = stage.draw(body, frame)
        yield film.develop(empty, light, part)


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


class _Stage:
    """The room as a camera sees it, in which the dancer is drawn: only the part of the picture around is touched."""

    def __init__(self, room: Room, view: View, look: Look) -> None:
        self._view, self._look = view, look
        self._room, self._floor = room.draw(view)
        self.canvas = self._room.copy()

    def draw(self, body: _PosedBody, frame: int) -> tuple[np.ndarray, _Part]:
        """Return light from 0 to 1, `(rows, columns, 3)` float32, and the part of the picture that it belongs to."""
        look, view = self._look, self._view
        vertices, normals = body.pose(frame)
        shade = look.ambient + (1 - look.ambient) * 1.3 * np.maximum(normals @ np.array(look.light, np.float32), 0)
        shade += 0.12 * np.maximum(normals @ np.asarray(-view.rotation[2], np.float32), 0)  # what the room throws back
        colors = body.colors * shade[:, None]
        shots = [view.project(vertices)]
        if look.shutter and body.num_frames > 1:
            following = body.pose(min(frame + 1, body.num_frames - 1))[0]
            shots += [
                view.project(vertices + np.float32(share * look.shutter) * (following - vertices))
                for share in (0.5, 1)
            ]
        shadow, shadow_part = self._shadow(vertices, body)
        part = _around([*shots, shadow_part], view.image_size)
        self.canvas.colors[shadow_part[0, 1] : shadow_part[1, 1], shadow_part[0, 0] : shadow_part[1, 0]] *= shadow
        total = self._expose(shots, body.triangles, colors, part)
        for restored, empty in zip(vars(self.canvas).values(), vars(self._room).values(), strict=True):
            restored[part] = empty[part]
        return total, part

    def _expose(self, shots: list[np.ndarray], triangles: np.ndarray, colors: np.ndarray, part: _Part) -> np.ndarray:
        """Return the mean of several moments."""
        canvas = self.canvas
        shadowed = canvas.colors[part].copy()
        total = np.zeros_like(shadowed)
        for corners in shots:
            canvas.colors[part] = shadowed
            canvas.nearness[part] = self._room.nearness[part]
            draw_mesh(canvas, corners, triangles, colors)
            total += canvas.colors[part]
        return total / np.float32(len(shots))

    def _shadow(self, vertices: np.ndarray, body: _PosedBody) -> tuple[np.ndarray, np.ndarray]:
        """Return by how much the dancer darkens the floor, and where: left, top and right, bottom in pixels."""
        import cv2

        look, view = self._look, self._view
        light = np.array(look.light, np.float32)
        flat = vertices - light * (np.maximum(vertices[:, 1:2], 0) / light[1])
        width, height = view.image_size
        small = (-(-width // _SHADOW_PIXELS), -(-height // _SHADOW_PIXELS))
        coarse = replace(view, image_size=small, focal_length=view.focal_length / _SHADOW_PIXELS)
        mask = Canvas.blank(small)
        draw_mesh(mask, coarse.project(flat), body.triangles, np.ones_like(flat))
        distance = max(float(np.linalg.norm(vertices.mean(axis=0) - view.position)), 0.5)
        sigma = max(look.softness * coarse.focal_length / distance, 0.6)
        soft = cv2.GaussianBlur(np.ascontiguousarray(mask.colors[..., 0]), (0, 0), sigma)
        rows, columns = (np.flatnonzero(soft.max(axis=axis) > _FAINTEST) for axis in (1, 0))
        if not len(rows):
            middle = np.array(view.image_size) // 2
            return np.ones((0, 0, 1), np.float32), np.array([middle, middle])
        low, high = np.array([columns[0], rows[0]]), np.array([columns[-1] + 1, rows[-1] + 1])
        soft = soft[low[1] : high[1], low[0] : high[0]]
        soft = cv2.resize(soft, (0, 0), fx=_SHADOW_PIXELS, fy=_SHADOW_PIXELS, interpolation=cv2.INTER_LINEAR)
        low, high = low * _SHADOW_PIXELS, np.minimum(high * _SHADOW_PIXELS, view.image_size)
        soft = soft[: high[1] - low[1], : high[0] - low[0]]
        floor = self._floor[low[1] : high[1], low[0] : high[0]]
        return (1 - np.float32(look.shadow) * soft * floor)[..., None], np.array([low, high])


def _around(points: list[np.ndarray], image_size: tuple[int, int]) -> _Part:
    """Return the part of a picture that holds points `(points, 2)` in pixels, with a margin."""
    low = [min(each[:, axis].min() for each in points) - _MARGIN_PIXELS for axis in (0, 1)]
    high = [max(each[:, axis].max() for each in points) + _MARGIN_PIXELS for axis in (0, 1)]
    left, top = np.clip(low, 0, np.array(image_size) - 1).astype(int)
    right, bottom = np.clip(high, 1, image_size).astype(int)
    return slice(top, max(bottom, top + 1)), slice(left, max(right, left + 1))


class _Film:
    """Turns light into pictures: tint, gamma, blur of the lens, noise and compression."""

    def __init__(self, look: Look, image_size: tuple[int, int]) -> None:
        self._look = look
        self._rng = np.random.default_rng(look.seed + 1)
        self._size = image_size[0] * image_size[1] * 3
        self._noise = self._rng.normal(0, look.noise, self._size + _NOISE_BANK).astype(np.int16)
        levels = np.linspace(0, 1, 256)[:, None] ** look.gamma * np.array(look.tint) * 255
        self._curve = np.clip(levels, 0, 255).astype(np.uint8)[:, None]

    def expose(self, light: np.ndarray) -> np.ndarray:
        """Return what light from 0 to 1, `(rows, columns, 3)` float32, leaves behind a lens, uint8."""
        import cv2

        picture = cv2.LUT(cv2.convertScaleAbs(light, alpha=255), self._curve)
        return np.asarray(cv2.GaussianBlur(picture, (_BLUR_PIXELS, _BLUR_PIXELS), self._look.blur))

    def develop(self, empty: np.ndarray, light: np.ndarray, part: _Part) -> np.ndarray:
        """Return an exposed picture, `(height, width, 3)` uint8, with other light in a part, as a video has it."""
        import cv2

        picture = empty.copy()
        picture[part] = self.expose(light)
        start = int(self._rng.integers(_NOISE_BANK))
        noise = self._noise[start : start + self._size].reshape(picture.shape)
        picture = cv2.add(picture, noise, dst=picture, dtype=cv2.CV_8U)
        done, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, self._look.quality])
        assert done
        return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))
