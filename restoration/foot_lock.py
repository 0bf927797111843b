"""When feet are held while a dance is restored: by the model, by height, by given contacts, or never."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from scipy.ndimage import binary_closing, binary_opening, gaussian_filter1d

from ..motion.feet.fusion import FusionWeights
from ..motion.motion import FRAME_RATE
from ..motion.skeleton import CONTACT_HEIGHT_METRES, Skeleton

FOOT_LOCKS = ("auto", "always", "never", "grounding")
_SHORTEST_CONTACT_FRAMES = 3
_SPEED_SMOOTHING_FRAMES = 2


@dataclass(frozen=True)
class SamplerSettings:
    """How the default sampler goes; chosen on the validation split (docs/frdm.md).

    Args:
        start_timestep: Timestep t, of the model's T, at which the noised observation enters.
        num_steps: Network evaluations from there.
        trust: Share of the way that is gone from the observed legs to those of the model, which misjudges dancers
            unlike those that it was trained on.
        contact_timestep: The paper's t_th: from here on down contacts guide too, above it only the geometry does.
        contact_threshold: Probability from which on a joint of a foot is held.
        contact_height: Metres over its rest height; a foot that is higher without being held is in the air.
        contact_speed: Metres per second; a foot that is faster without being held glides. It is not held either.
        weights: Of the guidance, while contacts are probabilities.
        held: Weight of contacts and floor at the end, when feet are held.
    """

    start_timestep: int = 300
    num_steps: int = 4
    trust: float = 0.4
    contact_timestep: int = 300
    contact_threshold: float = 0.5
    contact_height: float = 0.05
    contact_speed: float = 0.3
    weights: FusionWeights = field(default_factory=FusionWeights)
    held: float = 1e6


@dataclass(frozen=True)
class FootLock:
    """Where feet are held, and how firmly.

    Args:
        mode: One of `FOOT_LOCKS`, see `FrdmPipeline`.
        strength: From 0, nothing is held, to 1.
        given: Contacts in the place of the model's, `(frames, 4)` bool; `None` for the model's.
    """

    mode: str
    strength: float
    given: np.ndarray | None

    def cut(self, start_frame: int, end_frame: int) -> FootLock:
        """Return the lock of frames `start_frame` to `end_frame` (exclusive)."""
        return replace(self, given=None if self.given is None else self.given[start_frame:end_frame])

    def guiding(self, probabilities: np.ndarray) -> np.ndarray:
        """Return the contacts, `(frames, 4)`, 0 to 1, that guide the sampler."""
        if self.mode == "never":
            return np.zeros_like(probabilities)
        return self.strength * (probabilities if self.given is None else self.given.astype(float))

    def held(
        self, probabilities: np.ndarray, feet: np.ndarray, skeleton: Skeleton, settings: SamplerSettings
    ) -> np.ndarray:
        """Return the contacts, `(frames, 4)` bool, that hold at the end; `feet` `(frames, 4, 3)` are not held yet."""
        if self.mode == "never" or self.strength == 0:
            return np.zeros(probabilities.shape, bool)
        if self.given is not None:
            return np.asarray(self.given, bool)
        if self.mode == "always":
            return feet[..., 1] < skeleton.contact_rest_heights + CONTACT_HEIGHT_METRES
        shape = np.ones((_SHORTEST_CONTACT_FRAMES, 1), bool)
        touching = (probabilities > settings.contact_threshold) & (_floor_speed(feet) < settings.contact_speed)
        touching &= feet[..., 1] < skeleton.contact_rest_heights + settings.contact_height
        touching = np.pad(touching, ((_SHORTEST_CONTACT_FRAMES,) * 2, (0, 0)), mode="edge")
        touching = binary_opening(binary_closing(touching, shape), shape)
        return touching[_SHORTEST_CONTACT_FRAMES:-_SHORTEST_CONTACT_FRAMES]


def _floor_speed(feet: np.ndarray) -> np.ndarray:
    """Return how fast feet `(frames, 4, 3)` move over the floor, shaking apart, `(frames, 4)`, m/s."""
    if len(feet) == 1:
        return np.zeros(feet.shape[:2])
    smooth = gaussian_filter1d(feet[..., [0, 2]], _SPEED_SMOOTHING_FRAMES, axis=0, mode="nearest")
    return np.linalg.norm(np.gradient(smooth, axis=0), axis=-1) * FRAME_RATE
