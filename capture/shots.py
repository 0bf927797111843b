"""Hard cuts of a video: where one picture has nothing of the one before, and none of the next few has."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

import numpy as np

from .video_reading import Picture

WIDTH, HEIGHT = 32, 18
"""Cells that a picture is compared by."""
COLOR_STEPS = 6
"""Of each of red, green and blue, for the histogram."""
MIN_DIFFERENCE = 0.4
"""Of two pictures on the two sides of a cut; see `difference`."""
MIN_RATIO = 2.0
"""So many times more than the largest difference between neighbors around the cut: fast motion is no cut."""
NUM_AFTER = 5
"""Pictures after a cut that all differ from the one before it: a flash or a light that blinks is shorter."""
FLAT = 4.0
"""Standard deviation of brightness, of 255, up to which a picture shows nothing."""


def split_shots(pictures: Iterable[Picture]) -> Iterator[tuple[Picture, bool]]:
    """Yield each picture with whether a new shot begins with it; `NUM_AFTER` pictures are looked ahead."""
    window: deque[tuple[Picture, Sketch, float]] = deque()
    past: deque[float] = deque([0.0], maxlen=NUM_AFTER)
    before: Sketch | None = None
    last: Sketch | None = None
    for picture in pictures:
        sketch = Sketch(picture.pixels)
        step = 0.0 if last is None else difference(last, sketch)
        last = sketch
        window.append((picture, sketch, step))
        if len(window) >= NUM_AFTER:
            yield window[0][0], _is_cut(before, window, past)
            before = window[0][1]
            past.append(window.popleft()[2])
    while window:
        yield window[0][0], _is_cut(before, window, past)
        before = window[0][1]
        past.append(window.popleft()[2])


class Sketch:
    """What is compared of a picture: how often its colors are, and where it is bright.

    Args:
        pixels: `(height, width, 3)` uint8.
    """

    def __init__(self, pixels: np.ndarray):
        cells = _shrink(pixels)
        codes = (cells.astype(int) * COLOR_STEPS // 256) @ np.array([COLOR_STEPS**2, COLOR_STEPS, 1])
        self.colors = np.bincount(codes.ravel(), minlength=COLOR_STEPS**3) / codes.size
        gray = cells.mean(axis=-1)
        spread = gray.std()
        self.is_flat = bool(spread < FLAT)
        self.structure = np.zeros_like(gray) if self.is_flat else (gray - gray.mean()) / spread


def difference(first: Sketch, second: Sketch) -> float:
    """Return how little two pictures have in common, 0 to 1: half from colors, half from where they are bright."""
    colors = np.abs(first.colors - second.colors).sum() / 2
    if first.is_flat and second.is_flat:
        return float(colors / 2)
    likeness = max(0.0, float((first.structure * second.structure).mean()))
    return float((colors + 1 - likeness) / 2)


def _is_cut(before: Sketch | None, window: deque[tuple[Picture, Sketch, float]], past: deque[float]) -> bool:
    if before is None:
        return False
    step = window[0][2]
    around = max(*past, *(entry[2] for entry in list(window)[1:]), 0.0)
    if step < MIN_DIFFERENCE or step < MIN_RATIO * around:
        return False
    return all(difference(before, sketch) >= MIN_DIFFERENCE for _, sketch, _ in window)


def _shrink(pixels: np.ndarray) -> np.ndarray:
    """Return the mean colors `(HEIGHT, WIDTH, 3)` of cells of a picture, by some of their pixels."""
    rows = np.linspace(0, len(pixels), HEIGHT * 4, endpoint=False).astype(int)
    columns = np.linspace(0, pixels.shape[1], WIDTH * 4, endpoint=False).astype(int)
    sampled = pixels[np.ix_(rows, columns)].astype(np.float32)
    return sampled.reshape(HEIGHT, 4, WIDTH, 4, 3).mean(axis=(1, 3))
