"""`FrdmPipeline`: root, knees and feet of a dance are drawn anew by diffusion, and planted where they touch."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from tqdm import tqdm

from ..assets import DEFAULT_RESTORER
from ..modeling.frdm.configuration_frdm import FrdmConfig
from ..modeling.frdm.losses_frdm import reconstruct
from ..modeling.frdm.modeling_frdm import FrdmModel
from ..modeling.frdm.scheduling_frdm import FrdmScheduler
from ..motion.features import ROTATIONS, facing_heading, integrate_root, motion_to_features
from ..motion.feet.fusion import FusedFeet, fuse_feet, mix
from ..motion.feet.grounding import level_floor
from ..motion.kinematics import rotation_6d_to_matrix, yaw_to_matrix
from ..motion.motion import FRAME_RATE, Motion
from ..motion.skeleton import CONTACT_JOINTS, neutral_skeleton
from ..utils.checkpoints import check_model
from .foot_lock import FOOT_LOCKS, FootLock, SamplerSettings
from .legs import TURNED_JOINTS, DancerFrame, pose_legs
from .paper_guidance import blend_geometry, damp_contact_velocities, integrate_velocities, touching_feet

SAMPLERS = ("default", "paper", "paper_corrected")
_WINDOWS_AT_ONCE = 16
_BLOCK_STRIDES, _MARGIN_STRIDES = 64, 4
"""Of a block of a long clip, and of what is restored besides on both sides of it, in strides of a window."""


@dataclass(frozen=True)
class PaperSettings:
    """How Algorithm 2 goes: neither number is in the paper.

    Args:
        num_steps: Network evaluations from T down.
        threshold_share: t_th as a share of T: the geometry guides above, contacts below.
    """

    num_steps: int = 20
    threshold_share: float = 0.2


@dataclass(frozen=True)
class RestoredMotion:
    """What a [`FrdmPipeline`] returns.

    Args:
        motion: The dance with another root path and other rotations of hips, knees and ankles; its `foot_contacts` are
            those that hold in it.
        contact_probabilities: The model's, `(frames, 4)`; `None` where it was not asked.
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
    """Put pieces of a dance, restored by the model, one after the other; what they left alone is as in `motion`."""

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


class FrdmPipeline:
    """Restore root, knees and feet of dances with a trained [`FrdmModel`] (paper section "FRDM"; docs/frdm.md).

    Trunk, arms and toes keep their rotations to the bit, bones keep their lengths, and where feet touch the floor the
    posed feet are within 1 mm of where they are held. A clip of any length is denoised in windows that overlap and are
    mixed at every step; time grows linearly with its length.

    Args:
        model: Trained by `train_frdm`.
        settings: Of the default sampler.
        paper_settings: Of the paper's.

    Example:
        ```python
        from infinitedance import FrdmPipeline, read_motion

        restored = FrdmPipeline.from_pretrained()(read_motion("dance.bvh"))
        restored.motion.foot_contacts  # (frames, 4): where feet are held
        ```
    """

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

    @classmethod
    def from_pretrained(cls, path: str | os.PathLike = DEFAULT_RESTORER) -> FrdmPipeline:
        """Load a model from a folder or the Hub; the small one that ships by default.

        Raises:
            FileNotFoundError: If `path` looks like a folder and does not exist.
            ValueError: If another kind of model lies there.
        """
        # Weights are stored as float16; a CPU computes in float32.
        return cls(FrdmModel.from_pretrained(check_model(path, FrdmConfig), dtype=torch.float32))

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
            foot_lock: `"auto"`: feet are held where the model says that they touch; `"always"`: wherever they are low;
                `"never"`: nowhere, the legs are denoised only; `"grounding"`: no diffusion, the floor's height and
                slope are corrected.
            strength: From 0, nothing is held, to 1.
            foot_contacts: `(frames, 4)` bool that take the place of the model's.
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
            foot_contacts: For each dance those that take the place of the model's, or `None`.
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
            raise ValueError(f"`strength` must lie in 0 to 1, got {strength}.")
        if len(contacts) != len(motions):
            raise ValueError(
                f"`foot_contacts` must hold one entry for each of {len(motions)} dances, got {len(contacts)}."
            )
        for motion, given in zip(motions, contacts, strict=True):
            if motion.frame_rate != FRAME_RATE or motion.skeleton != neutral_skeleton():
                raise ValueError(
                    f"Dances must be on our neutral body at {FRAME_RATE:g} Hz: `retarget(motion.resample(30))`; "
                    f"`infinitedance restore` does so, and carries the result back to the file's own skeleton."
                )
            if given is not None and np.shape(given) != (motion.num_frames, 4):
                raise ValueError(f"`foot_contacts` must have shape ({motion.num_frames}, 4), got {np.shape(given)}.")

    def _num_evaluations(self, motion: Motion, sampler: str, foot_lock: str) -> int:
        if foot_lock == "grounding":
            return 0
        if sampler != "default":
            return self.paper_settings.num_steps * len(self._window_starts(motion.num_frames))
        lengths = [end - start for start, end, _, _ in self._blocks(motion.num_frames)]
        return self.settings.num_steps * sum(len(self._window_starts(length)) for length in lengths)

    def _blocks(self, num_frames: int) -> list[tuple[int, int, int, int]]:
        """Divide a clip into blocks that are restored one after the other, so that memory does not grow with it.

        Returns:
            For each block the first and last (exclusive) frame that is restored, and of these the ones that are kept.
            The margins are as wide as anything reaches, and windows stand as in the whole clip, so that there is no
            seam.
        """
        config = self.model.config
        stride = config.window_frames - config.overlap_frames
        length, margin = _BLOCK_STRIDES * stride, _MARGIN_STRIDES * stride
        starts = range(0, max(1, num_frames - margin), length)
        ends = [*starts[1:], num_frames]
        return [
            (max(0, start - margin), min(num_frames, end + margin), start, end)
            for start, end in zip(starts, ends, strict=True)
        ]

    @torch.no_grad()
    def _restore(self, motion: Motion, sampler: str, lock: FootLock, seed: int, progress: tqdm) -> RestoredMotion:
        if lock.mode == "grounding":
            return RestoredMotion(level_floor(motion), None)
        generator = torch.Generator().manual_seed(seed)
        noise = torch.randn(motion.num_frames, self.model.config.num_restored_channels, generator=generator)
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
        features = motion_to_features(motion)
        settings, frame, skeleton = self.settings, DancerFrame(motion), motion.skeleton
        timesteps = self.scheduler.timesteps(settings.start_timestep, settings.num_steps)
        start = torch.tensor([settings.start_timestep])
        observed = self.model.normalized_legs(features)
        sample = self.scheduler.add_noise(observed[None], noise[None], start)[0]
        for timestep, next_timestep in zip(timesteps, timesteps[1:], strict=False):
            windows, logits = self._denoise(sample, timestep, features, progress, observed=True)
            clean = torch.lerp(observed, self._mix_windows(windows, len(features)), settings.trust)
            guided = self.model.merge(features, clean)
            probabilities = self._mix_windows(logits, len(features)).sigmoid().double().numpy()
            contacts = lock.guiding(probabilities if timestep <= settings.contact_timestep else 0 * probabilities)
            estimate = frame.estimate(guided, contacts)
            guided = frame.write(guided, fuse_feet(estimate, settings.weights, skeleton))
            sample = self.scheduler.step(self.model.normalized_legs(guided), sample, timestep, next_timestep)
        # The last estimate once more: with nothing held, and with feet held where they touch.
        firm = replace(settings.weights, contact=settings.held, floor=settings.held)
        loose = fuse_feet(replace(estimate, foot_contacts=0 * probabilities), firm, skeleton)
        touching = lock.held(probabilities, loose.joint_positions, skeleton, settings)
        fixed = fuse_feet(replace(estimate, foot_contacts=touching.astype(float)), firm, skeleton)
        root_rotations = motion.joint_rotations_matrix()[:, 0]
        posed = pose_legs(motion, guided, mix(loose, fixed, lock.strength), touching, root_rotations)
        return RestoredMotion(posed, probabilities)

    def _restore_by_paper(
        self,
        motion: Motion,
        noise: torch.Tensor,
        lock: FootLock,
        corrected: bool,
        progress: tqdm,
    ) -> RestoredMotion:
        """Algorithm 2, then inverse kinematics: the paper does not say how its four views become one dance."""
        features = motion_to_features(motion)
        settings, num_frames = self.paper_settings, len(features)
        observed = self._cut_windows(features)
        sample = noise
        timesteps = self.scheduler.timesteps(self.scheduler.num_train_timesteps, settings.num_steps)
        for timestep, next_timestep in zip(timesteps, timesteps[1:], strict=False):
            windows, logits = self._denoise(sample, timestep, features, progress, observed=False)
            noise_share = timestep / self.scheduler.num_train_timesteps
            estimate = self.model.merge(observed, windows)
            if noise_share >= settings.threshold_share:
                guided = blend_geometry(estimate, observed, noise_share)
            else:
                touching = self._paper_contacts(estimate, lock)
                guided = damp_contact_velocities(estimate, lock.strength * touching.float(), noise_share)
                if corrected:
                    guided = integrate_velocities(guided, guided, FRAME_RATE, touching)
                else:
                    guided = integrate_velocities(guided, estimate, FRAME_RATE)
            clean = self._mix_windows(self.model.normalized_legs(guided), num_frames)
            sample = self.scheduler.renoise(clean, noise, next_timestep)
        probabilities = self._mix_windows(logits, num_frames).sigmoid().double().numpy()
        return RestoredMotion(self._pose_by_features(motion, self.model.merge(features, clean), lock), probabilities)

    def _paper_contacts(self, estimate: torch.Tensor, lock: FootLock) -> torch.Tensor:
        """Return `(windows, frames, 4)` bool."""
        if lock.mode == "never":
            return torch.zeros(*estimate.shape[:2], 4, dtype=torch.bool)
        if lock.given is not None:
            return self._cut_windows(torch.from_numpy(lock.given.astype(bool)))
        return touching_feet(estimate, FRAME_RATE, any_speed=lock.mode == "always")

    def _pose_by_features(self, motion: Motion, features: torch.Tensor, lock: FootLock) -> Motion:
        """Pose a dance by the path, places and rotations of features `(frames, 269)`."""
        features = features.double()
        first_heading = float(facing_heading(motion.joint_positions(), FRAME_RATE)[0])
        heading, root = integrate_root(
            features, FRAME_RATE, first_heading, tuple(motion.root_positions[0, [0, 2]].tolist())
        )
        start = yaw_to_matrix(torch.tensor(first_heading, dtype=torch.float64))
        feet = reconstruct(features, list(CONTACT_JOINTS), FRAME_RATE) @ start.T
        places = (feet + root[0] * torch.tensor([1.0, 0.0, 1.0], dtype=torch.float64)).numpy()
        vectors = places[:, 2:] - places[:, :2]
        lengths = motion.skeleton.bone_lengths[list(CONTACT_JOINTS[2:])][:, None]
        vectors *= lengths / np.linalg.norm(vectors, axis=-1, keepdims=True)
        touching = self._paper_contacts(features[None], replace(lock, given=None))[0].numpy()
        touching = touching if lock.given is None else np.asarray(lock.given, bool)
        root_rotations = yaw_to_matrix(heading) @ rotation_6d_to_matrix(features[:, ROTATIONS][:, :6])
        fused = FusedFeet(root.numpy(), places[:, :2], vectors)
        return pose_legs(motion, features, fused, touching, root_rotations)

    def _denoise(
        self, sample: torch.Tensor, timestep: int, features: torch.Tensor, progress: tqdm, *, observed: bool
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return x0 and logits of contacts, `(windows, window_frames, channels)`, of all windows of a clip."""
        window_frames, num_frames = self.model.config.window_frames, len(features)
        samples, contexts = self._cut_windows(sample), self._cut_windows(features)
        frame_mask = (torch.arange(window_frames) < num_frames)[None]
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

    def _window_starts(self, num_frames: int) -> list[int]:
        """Return the first frames of windows that cover a clip; the last one ends with it."""
        config = self.model.config
        last = max(0, num_frames - config.window_frames)
        stride = config.window_frames - config.overlap_frames
        return [*range(0, last, stride), last]

    def _cut_windows(self, values: torch.Tensor) -> torch.Tensor:
        """Cut `(frames, channels)` into `(windows, window_frames, channels)`; a short clip repeats its last frame."""
        window_frames = self.model.config.window_frames
        index = torch.tensor(self._window_starts(len(values)))[:, None] + torch.arange(window_frames)
        return values[index.clamp(max=len(values) - 1)]

    def _mix_windows(self, windows: torch.Tensor, num_frames: int) -> torch.Tensor:
        """Cross-fade `(windows, window_frames, channels)` to `(num_frames, channels)`."""
        config = self.model.config
        frames = torch.arange(config.window_frames)
        nearest_end = torch.minimum(frames, frames.flip(0)) + 1
        weights = (nearest_end / config.overlap_frames).clamp(max=1)[:, None]
        mixed = windows.new_zeros(max(num_frames, config.window_frames), windows.shape[-1])
        total = windows.new_zeros(len(mixed), 1)
        for start, window in zip(self._window_starts(num_frames), windows, strict=True):
            part = slice(start, start + config.window_frames)
            mixed[part] += weights * window
            total[part] += weights
        return (mixed / total.clamp(min=1e-9))[:num_frames]
