"""`FrdmPipeline`: root, knees and feet of a dance are sampled anew by diffusion, and held where they touch."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from tqdm import tqdm

from ..assets import DEFAULT_RESTORER
from ..modeling.frdm.modeling_frdm import FrdmModel, FrdmScheduler
from ..motion.features import motion_to_features
from ..motion.feet.grounding import level_floor
from ..motion.motion import FRAME_RATE, Motion
from ..motion.skeleton import CONTACT_JOINTS, neutral_skeleton
from ..publishing.push_to_hub import PushToHubMixin
from ..utils.checkpoints import load_model
from .foot_placer import FOOT_LOCKS, TURNED_JOINTS, FootLock, FootPlacer, SamplerSettings
from .paper_guidance import PaperSettings, blend_geometry, damp_contact_velocities, integrate_velocities, touching_feet

SAMPLERS = ("default", "paper", "paper_corrected")
_WINDOWS_AT_ONCE = 16
BLOCK_STRIDES, MARGIN_STRIDES = 64, 4
"""Length of a block of a long clip, and of the margins that are restored with it, in strides of a window."""


@dataclass(frozen=True)
class RestoredMotion:
    """Restored dance, and what the model predicts of its feet.

    Args:
        motion: The dance with another root path and other rotations of hips, knees and ankles; its `foot_contacts` are
            those that hold in it.
        contact_probabilities: Of each joint of the feet on the floor, `(frames, 4)`; `None` where no model was used.
    """

    motion: Motion
    contact_probabilities: np.ndarray | None

    def cut(self, start_frame: int, end_frame: int) -> RestoredMotion:
        """Return frames `start_frame` to `end_frame` (exclusive)."""
        probabilities = self.contact_probabilities
        return RestoredMotion(
            self.motion.cut(start_frame, end_frame),
            None if probabilities is None else probabilities[start_frame:end_frame],
        )


def join(motion: Motion, parts: Sequence[RestoredMotion]) -> RestoredMotion:
    """Put restored pieces of a dance one after the other; everything that is not restored is as in `motion`."""

    def along(name: str) -> np.ndarray:
        return np.concatenate([getattr(part.motion, name) for part in parts])

    rotations = motion.joint_rotations.copy()
    rotations[:, TURNED_JOINTS] = along("joint_rotations")[:, TURNED_JOINTS]
    joined = replace(
        motion,
        root_positions=along("root_positions"),
        joint_rotations=rotations,
        foot_contacts=along("foot_contacts"),
    )
    probabilities = [part.contact_probabilities for part in parts if part.contact_probabilities is not None]
    return RestoredMotion(joined, np.concatenate(probabilities))


@dataclass(frozen=True)
class ClipWindows:
    """Overlapping windows that cover a clip; the last one ends with it.

    Args:
        num_frames: Of the clip.
        window_frames: Of a window.
        overlap_frames: That two neighboring windows share.
    """

    num_frames: int
    window_frames: int
    overlap_frames: int

    @property
    def starts(self) -> list[int]:
        """First frame of each window."""
        last = max(0, self.num_frames - self.window_frames)
        return [*range(0, last, self.window_frames - self.overlap_frames), last]

    def cut(self, values: torch.Tensor) -> torch.Tensor:
        """Cut `(num_frames, channels)` into `(windows, window_frames, channels)`; a short clip repeats its end."""
        index = torch.tensor(self.starts)[:, None] + torch.arange(self.window_frames)
        return values[index.clamp(max=self.num_frames - 1)]

    def mix(self, windows: torch.Tensor) -> torch.Tensor:
        """Cross-fade `(windows, window_frames, channels)` to `(num_frames, channels)`."""
        frames = torch.arange(self.window_frames)
        nearest_end = torch.minimum(frames, frames.flip(0)) + 1
        weights = (nearest_end / self.overlap_frames).clamp(max=1)[:, None]
        mixed = windows.new_zeros(max(self.num_frames, self.window_frames), windows.shape[-1])
        total = windows.new_zeros(len(mixed), 1)
        for start, window in zip(self.starts, windows, strict=True):
            part = slice(start, start + self.window_frames)
            mixed[part] += weights * window
            total[part] += weights
        return (mixed / total.clamp(min=1e-9))[: self.num_frames]


def divide_clip(num_frames: int, stride_frames: int) -> list[tuple[int, int, int, int]]:
    """Divide a clip into blocks that are restored one after the other, so that memory does not grow with it.

    The margins are wider than anything reaches, and windows are where they are in the whole clip: there is no seam.

    Args:
        num_frames: Of the clip.
        stride_frames: From one window to the next.

    Returns:
        For each block the first and last (exclusive) frame that is restored, and of these the ones that are kept.
    """
    length, margin = BLOCK_STRIDES * stride_frames, MARGIN_STRIDES * stride_frames
    starts = range(0, max(1, num_frames - margin), length)
    ends = [*starts[1:], num_frames]
    return [
        (max(0, start - margin), min(num_frames, end + margin), start, end)
        for start, end in zip(starts, ends, strict=True)
    ]


class FrdmPipeline(PushToHubMixin):
    """Foot restoration with a trained [`FrdmModel`] (paper section "FRDM"; docs/frdm.md).

    Trunk, arms and toes keep their rotations to the bit, bones keep their lengths, and where feet touch the floor the
    posed feet are within 1 mm of where they are held. A clip of any length is denoised in windows that overlap and are
    mixed at every step; time grows linearly with its length.

    Args:
        model: Trained by `train_frdm`.
        settings: Of the sampler `"default"`.
        paper_settings: Of the samplers `"paper"` and `"paper_corrected"`.

    Example:
        ```python
        from infinitedance import FrdmPipeline, read_motion

        restored = FrdmPipeline.from_pretrained()(read_motion("dance.bvh").resample(30))
        restored.motion.foot_contacts  # (frames, 4): where feet are held
        ```
    """

    kind = "restorer"

    def __init__(
        self,
        model: FrdmModel,
        settings: SamplerSettings | None = None,
        paper_settings: PaperSettings | None = None,
    ):
        self.model = model.eval()
        self.scheduler = FrdmScheduler(model.config.num_train_timesteps)
        self.settings = settings or SamplerSettings()
        self.paper_settings = paper_settings or PaperSettings()
        self.skeleton = neutral_skeleton()

    @classmethod
    def from_pretrained(
        cls,
        path: str | os.PathLike = DEFAULT_RESTORER,
        *,
        revision: str | None = None,
        token: str | bool | None = None,
    ) -> FrdmPipeline:
        """Load a model from a folder or the Hub; the small one that ships by default.

        Args:
            path: The folder, or a name on the Hub.
            revision: Branch, tag or commit on the Hub.
            token: Of the Hub; by default `HF_TOKEN` or that of `hf auth login`.

        Raises:
            FileNotFoundError: If `path` looks like a folder and does not exist, or the Hub has no such repository.
            OSError: If the Hub cannot be reached or read.
            ValueError: If another kind of model lies there.
        """
        return cls(load_model(path, FrdmModel, revision=revision, token=token))

    def save_pretrained(self, path: str | os.PathLike) -> None:
        """Write the model to a folder."""
        self.model.save_pretrained(path)

    def __call__(
        self,
        motion: Motion,
        *,
        sampler: str = "default",
        foot_lock: str = "auto",
        strength: float = 1.0,
        foot_contacts: np.ndarray | None = None,
        seed: int = 0,
        show_progress: bool = False,
    ) -> RestoredMotion:
        """Restore a dance.

        Args:
            motion: A dance on our neutral body at 30 Hz, the floor near y = 0, as `retarget` and `Motion.resample`
                give it.
            sampler: `"default"`: the observed legs are corrected; `"paper"`: Algorithm 2 as printed, which never sees
                them; `"paper_corrected"`: the same with guided velocities that reach the positions.
            foot_lock: `"auto"`: feet are held where the model predicts contact; `"always"`: wherever they are low;
                `"never"`: nowhere, the legs are denoised only; `"grounding"`: no diffusion, the floor's height and
                slope are corrected.
            strength: From 0, nothing is held, to 1.
            foot_contacts: `(frames, 4)` bool that replace those of the model.
            seed: Of the noise.
            show_progress: Show a progress bar over network evaluations.

        Raises:
            ValueError: If an option is unknown or out of range, or the dance is on another body or at another rate.
        """
        return self.restore_all(
            [motion],
            sampler=sampler,
            foot_lock=foot_lock,
            strength=strength,
            foot_contacts=[foot_contacts],
            seed=seed,
            show_progress=show_progress,
        )[0]

    def restore_all(
        self,
        motions: Sequence[Motion],
        *,
        sampler: str = "default",
        foot_lock: str = "auto",
        strength: float = 1.0,
        foot_contacts: Sequence[np.ndarray | None] | None = None,
        seed: int = 0,
        show_progress: bool = False,
    ) -> list[RestoredMotion]:
        """Restore several dances; each equals, to the bit, the one that is restored alone.

        Args:
            motions: As in `__call__`, like all that follows.
            sampler: See `__call__`.
            foot_lock: See `__call__`.
            strength: See `__call__`.
            foot_contacts: For each dance those that replace the model's, or `None`.
            seed: See `__call__`.
            show_progress: See `__call__`.
        """
        contacts = [None] * len(motions) if foot_contacts is None else list(foot_contacts)
        self._check(motions, contacts, sampler, foot_lock, strength)
        total = sum(self._num_evaluations(motion, sampler, foot_lock) for motion in motions)
        with tqdm(total=total, desc="restoring", unit="window", disable=not (show_progress and total)) as progress:
            return [
                self._restore(motion, sampler, FootLock(foot_lock, strength, given), seed, progress)
                for motion, given in zip(motions, contacts, strict=True)
            ]

    def _check(self, motions, contacts, sampler: str, foot_lock: str, strength: float) -> None:
        for name, value, known in (("sampler", sampler, SAMPLERS), ("foot_lock", foot_lock, FOOT_LOCKS)):
            if value not in known:
                raise ValueError(f"`{name}` must be one of {', '.join(known)}, got {value!r}.")
        if not 0 <= strength <= 1:
            raise ValueError(f"`strength` must be between 0 and 1, got {strength}.")
        if len(contacts) != len(motions):
            raise ValueError(
                f"`foot_contacts` must have one entry for each of the {len(motions)} dances, got {len(contacts)}."
            )
        for motion, given in zip(motions, contacts, strict=True):
            if motion.frame_rate != FRAME_RATE:
                raise ValueError(
                    f"`motion` must have {FRAME_RATE:g} frames per second, got {motion.frame_rate:g}. Convert it with "
                    f"`motion.resample({FRAME_RATE:g})`."
                )
            if motion.skeleton != self.skeleton:
                raise ValueError(
                    "`motion` must be on the neutral body of this package, got other bone lengths. Convert it with "
                    "`retarget(motion)`; `infinitedance restore` does so and writes the result on the file's own body."
                )
            if given is not None and np.shape(given) != (motion.num_frames, 4):
                raise ValueError(f"`foot_contacts` must have shape ({motion.num_frames}, 4), got {np.shape(given)}.")

    def _windows(self, num_frames: int) -> ClipWindows:
        return ClipWindows(num_frames, self.model.config.window_frames, self.model.config.overlap_frames)

    def _blocks(self, num_frames: int) -> list[tuple[int, int, int, int]]:
        return divide_clip(num_frames, self.model.config.window_frames - self.model.config.overlap_frames)

    def _num_evaluations(self, motion: Motion, sampler: str, foot_lock: str) -> int:
        if foot_lock == "grounding":
            return 0
        if sampler != "default":
            return self.paper_settings.num_steps * len(self._windows(motion.num_frames).starts)
        lengths = [end - start for start, end, _, _ in self._blocks(motion.num_frames)]
        return self.settings.num_steps * sum(len(self._windows(length).starts) for length in lengths)

    @torch.no_grad()
    def _restore(self, motion: Motion, sampler: str, lock: FootLock, seed: int, progress: tqdm) -> RestoredMotion:
        if lock.mode == "grounding":
            return RestoredMotion(level_floor(motion), None)
        generator = torch.Generator().manual_seed(seed)
        noise = torch.randn(motion.num_frames, len(self.model.restored_channels), generator=generator)
        if sampler != "default":
            return self._restore_by_paper(motion, noise, lock, sampler == "paper_corrected", progress)
        blocks = self._blocks(motion.num_frames)
        if len(blocks) == 1:
            return self._restore_by_default(motion, noise, lock, progress)
        parts = []
        for start, end, first, last in blocks:
            piece = self._restore_by_default(motion.cut(start, end), noise[start:end], lock.cut(start, end), progress)
            parts.append(piece.cut(first - start, last - start))
        return join(motion, parts)

    def _restore_by_default(
        self, motion: Motion, noise: torch.Tensor, lock: FootLock, progress: tqdm
    ) -> RestoredMotion:
        """DDIM from the noised observation; root and feet are fused with the input and the contacts at every step."""
        features, windows = motion_to_features(motion), self._windows(motion.num_frames)
        settings, placer = self.settings, FootPlacer(motion, lock, self.settings)
        timesteps = self.scheduler.timesteps(settings.start_timestep, settings.num_steps)
        start = torch.tensor([settings.start_timestep])
        observed = self.model.normalized_legs(features)
        sample = self.scheduler.add_noise(observed[None], noise[None], start)[0]
        for timestep, next_timestep in zip(timesteps, timesteps[1:], strict=False):
            predicted, logits = self._denoise(sample, timestep, features, windows, progress, observed=True)
            estimate = self.model.merge(features, torch.lerp(observed, windows.mix(predicted), settings.trust))
            probabilities = windows.mix(logits).sigmoid().double().numpy()
            guided = placer.guide(estimate, probabilities)
            sample = self.scheduler.step(self.model.normalized_legs(guided), sample, timestep, next_timestep)
        return RestoredMotion(placer.plant(estimate, probabilities), probabilities)

    def _restore_by_paper(
        self, motion: Motion, noise: torch.Tensor, lock: FootLock, corrected: bool, progress: tqdm
    ) -> RestoredMotion:
        """Algorithm 2, then inverse kinematics: the paper does not say how its four views become one dance."""
        features, probabilities = self.sample_by_paper(
            motion_to_features(motion), noise, lock, corrected=corrected, progress=progress
        )
        contacts = _paper_contacts(features.double(), lock, lock.given)
        return RestoredMotion(FootPlacer(motion, lock).place_by_features(features, contacts.numpy()), probabilities)

    @torch.no_grad()
    def sample_by_paper(
        self, features: torch.Tensor, noise: torch.Tensor, lock: FootLock, *, corrected: bool, progress: tqdm
    ) -> tuple[torch.Tensor, np.ndarray]:
        """Run Algorithm 2 of the paper.

        Args:
            features: Of the observed dance, `(frames, 269)`.
            noise: x_T, `(frames, restored channels)`.
            lock: When feet are slowed down.
            corrected: Guided velocities reach the positions.
            progress: Counts windows.

        Returns:
            Features with restored legs, and the probabilities of contact, `(frames, 4)`.
        """
        settings, windows = self.paper_settings, self._windows(len(features))
        observed = windows.cut(features)
        given = None if lock.given is None else windows.cut(torch.from_numpy(np.asarray(lock.given, bool))).numpy()
        sample = noise
        timesteps = self.scheduler.timesteps(self.scheduler.num_train_timesteps, settings.num_steps)
        for timestep, next_timestep in zip(timesteps, timesteps[1:], strict=False):
            predicted, logits = self._denoise(sample, timestep, features, windows, progress, observed=False)
            noise_share = timestep / self.scheduler.num_train_timesteps
            estimate = self.model.merge(observed, predicted)
            if noise_share >= settings.threshold_share:
                guided = blend_geometry(estimate, observed, noise_share)
            else:
                touching = _paper_contacts(estimate, lock, given)
                guided = damp_contact_velocities(estimate, lock.strength * touching.float(), noise_share)
                if corrected:
                    guided = integrate_velocities(guided, guided, FRAME_RATE, touching)
                else:
                    guided = integrate_velocities(guided, estimate, FRAME_RATE)
            clean = windows.mix(self.model.normalized_legs(guided))
            sample = self.scheduler.renoise(clean, noise, next_timestep)
        return self.model.merge(features, clean), windows.mix(logits).sigmoid().double().numpy()

    def _denoise(
        self,
        sample: torch.Tensor,
        timestep: int,
        features: torch.Tensor,
        windows: ClipWindows,
        progress: tqdm,
        *,
        observed: bool,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return x0 and logits of contacts, `(windows, window_frames, channels)`, of all windows of a clip."""
        samples, contexts = windows.cut(sample), windows.cut(features)
        frame_mask = (torch.arange(windows.window_frames) < windows.num_frames)[None]
        cleans, logits = [], []
        for first in range(0, len(samples), _WINDOWS_AT_ONCE):
            chunk = slice(first, first + _WINDOWS_AT_ONCE)
            size = len(samples[chunk])
            output = self.model(
                samples[chunk],
                torch.full((size,), timestep),
                contexts[chunk],
                torch.full((size,), observed),
                frame_mask.expand(size, -1),
            )
            cleans.append(output.clean_sample)
            logits.append(output.contact_logits)
            progress.update(size)
        return torch.cat(cleans), torch.cat(logits)


def _paper_contacts(features: torch.Tensor, lock: FootLock, given: np.ndarray | None) -> torch.Tensor:
    """Return where Algorithm 2 holds feet, `(..., frames, 4)` bool, for features `(..., frames, 269)`."""
    if lock.mode == "never":
        return torch.zeros(*features.shape[:-1], len(CONTACT_JOINTS), dtype=torch.bool)
    if given is not None:
        return torch.from_numpy(np.asarray(given, bool))
    return touching_feet(features, FRAME_RATE, any_speed=lock.mode == "always")
