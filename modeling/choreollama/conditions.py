"""What a dance is conditioned on: music, genre, side, energy and reference dances, for one batch."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from .configuration_choreollama import MAX_ADDED_GENRES, ChoreoLlamaConfig

ANY_SIDE = 2
"""Id of a side that is not known; 0 is natural, 1 mirrored."""


@dataclass(frozen=True, eq=False)
class Conditions:
    """The conditions of a batch; only music has no default.

    Args:
        input_features: Music features, `(batch, frames, music_feature_size)`.
        frame_mask: `(batch, frames)` bool, True = real frame; all, if not given.
        genre_ids: `(batch,)`; `num_genres` = any genre, and from there on those that an adapter added; any, if not
            given.
        reference_features: Motion features of reference dances on the song's time axis, best match first, not
            normalized, `(batch, num_references, frames, motion_feature_size)`; none, if not given.
        reference_mask: `(batch, num_references)` bool, True = present; all, if not given.
        music_mask: `(batch,)` bool, False = as if there were no music; all True, if not given.
        spectra_mask: `(batch,)` bool, False = of the music only the beat clock is known; all True, if not given. A
            model that does not hear the spectra (`hears_spectra`) passes over it.
        side_ids: `(batch,)`; 0 = natural, 1 = mirrored, 2 = any; any, if not given.
        energy: Wanted energy of the dance, `(batch, frames)`: its speed as dances of the genre have it is 0, rest is
            -1 (`motion_energy`); NaN = any; any, if not given.
    """

    input_features: torch.Tensor
    frame_mask: torch.Tensor | None = None
    genre_ids: torch.Tensor | None = None
    reference_features: torch.Tensor | None = None
    reference_mask: torch.Tensor | None = None
    music_mask: torch.Tensor | None = None
    spectra_mask: torch.Tensor | None = None
    side_ids: torch.Tensor | None = None
    energy: torch.Tensor | None = None

    def check(self, config: ChoreoLlamaConfig) -> None:
        """Check the tensors against each other and against the model.

        Raises:
            TypeError: If a mask is not boolean.
            ValueError: If a shape or an id does not fit.
        """
        music = self.input_features
        if music.ndim != 3 or music.shape[2] != config.music_feature_size:
            raise ValueError(
                f"`input_features` must have shape (batch, frames, {config.music_feature_size}), got "
                f"{tuple(music.shape)}. The processor makes them from audio."
            )
        batch_size, num_frames = music.shape[:2]
        if batch_size == 0 or num_frames == 0:
            raise ValueError(f"`input_features` must not be empty, got shape {tuple(music.shape)}.")
        references = None if self.reference_features is None else self.reference_features.shape[1]
        for name, shape in (
            ("frame_mask", (batch_size, num_frames)),
            ("genre_ids", (batch_size,)),
            ("music_mask", (batch_size,)),
            ("spectra_mask", (batch_size,)),
            ("side_ids", (batch_size,)),
            ("energy", (batch_size, num_frames)),
            ("reference_features", (batch_size, references, num_frames, config.motion_feature_size)),
            ("reference_mask", (batch_size, references)),
        ):
            tensor = getattr(self, name)
            if tensor is not None and tuple(tensor.shape) != shape:
                raise ValueError(f"`{name}` must have shape {shape}, got {tuple(tensor.shape)}.")
            if tensor is not None and name.endswith("_mask") and tensor.dtype != torch.bool:
                raise TypeError(f"`{name}` must be a bool tensor, True = keep, got {tensor.dtype}.")
        if references is not None and not 1 <= references <= config.max_references:
            raise ValueError(
                f"There must be 1 to {config.max_references} (`max_references`) references, got {references}."
            )
        genres = self.genre_ids
        last_id = config.num_genres + MAX_ADDED_GENRES
        if genres is not None and not ((genres >= 0) & (genres <= last_id)).all():
            raise ValueError(
                f"`genre_ids` must lie in [0, {last_id}] ({config.num_genres} = any, those above it are of adapters), "
                f"got {genres.tolist()}. Genres: {config.genres}."
            )
        sides = self.side_ids
        if sides is not None and not ((sides >= 0) & (sides <= ANY_SIDE)).all():
            raise ValueError(f"`side_ids` must lie in [0, {ANY_SIDE}] ({ANY_SIDE} = any), got {sides.tolist()}.")
        for name, controls in (("side_ids", config.controls_side), ("energy", config.controls_energy)):
            if getattr(self, name) is not None and not controls:
                raise ValueError(f"`{name}` cannot be asked of this model: it was trained without.")

    def with_defaults(self, config: ChoreoLlamaConfig) -> Conditions:
        """Return the conditions with masks and genres that were not given; references may stay absent."""
        (batch_size, num_frames), device = self.input_features.shape[:2], self.input_features.device

        def keep(*shape: int) -> torch.Tensor:
            return torch.ones(shape, dtype=torch.bool, device=device)

        reference_mask = self.reference_mask
        if self.reference_features is not None and reference_mask is None:
            reference_mask = keep(*self.reference_features.shape[:2])
        spectra_mask = keep(batch_size) if self.spectra_mask is None else self.spectra_mask
        return replace(
            self,
            frame_mask=keep(batch_size, num_frames) if self.frame_mask is None else self.frame_mask,
            genre_ids=torch.full((batch_size,), config.num_genres, device=device)
            if self.genre_ids is None
            else self.genre_ids,
            reference_mask=reference_mask,
            music_mask=keep(batch_size) if self.music_mask is None else self.music_mask,
            spectra_mask=spectra_mask if config.hears_spectra else torch.zeros_like(spectra_mask),
            side_ids=torch.full((batch_size,), ANY_SIDE, device=device) if self.side_ids is None else self.side_ids,
            energy=torch.full((batch_size, num_frames), torch.nan, device=device)
            if self.energy is None
            else self.energy,
        )

    def without_all(self) -> Conditions:
        """Return the same clips as if nothing were known of them."""
        no_music = torch.zeros(len(self.input_features), dtype=torch.bool, device=self.input_features.device)
        return Conditions(self.input_features, self.frame_mask, music_mask=no_music)

    def dropped_at_random(self, config: ChoreoLlamaConfig) -> Conditions:
        """Drop all conditions of a clip together, and each on its own, with the configured probabilities."""
        given = self.with_defaults(config)
        batch_size, device = len(self.input_features), self.input_features.device
        keep_all, keep_music, keep_spectra, keep_genre, keep_references, keep_side, keep_energy = (
            torch.rand(batch_size, device=device) >= probability
            for probability in (
                config.condition_dropout,
                config.music_dropout,
                config.spectra_dropout,
                config.genre_dropout,
                config.reference_dropout,
                config.side_dropout,
                config.energy_dropout,
            )
        )
        assert given.music_mask is not None and given.spectra_mask is not None and given.genre_ids is not None
        assert given.side_ids is not None and given.energy is not None  # all by `with_defaults`
        reference_mask = given.reference_mask
        if reference_mask is not None:
            reference_mask = reference_mask & (keep_references & keep_all)[:, None]
        return replace(
            given,
            genre_ids=torch.where(keep_genre & keep_all, given.genre_ids, config.num_genres),
            reference_mask=reference_mask,
            music_mask=given.music_mask & keep_music & keep_all,
            spectra_mask=given.spectra_mask & keep_spectra,
            side_ids=torch.where(keep_side & keep_all, given.side_ids, ANY_SIDE) if config.controls_side else None,
            energy=given.energy.masked_fill(~(keep_energy & keep_all)[:, None], torch.nan)
            if config.controls_energy
            else None,
        )
