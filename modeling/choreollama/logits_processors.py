"""Logits processors of ChoreoLLaMA: guidance, the order of the levels, runs of a code, and seeded sampling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import LogitsProcessor

MAX_SCALE = 10.0
"""Of guidance; what lies beyond is a slip: from 3 on dances begin to suffer (docs/dances.md)."""


@dataclass(frozen=True)
class Guidance:
    """Scales of classifier-free guidance: scores are moved away from those of rows that know less.

    Args:
        scale: Of all conditions together: 0 = without conditions, 1 = no guidance, more = stronger.
        reference_scale: Of the reference dances, if it is another one.
    """

    scale: float = 1.0
    reference_scale: float | None = None

    @classmethod
    def of(cls, scale: float | None, reference_scale: float | None, *, has_references: bool = True) -> Guidance:
        """Return the guidance of two scales, each none where it was not given.

        Raises:
            ValueError: If a scale is not a number from 0 to `MAX_SCALE`.
        """
        for value in (scale, reference_scale):
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if value is not None and not (is_number and 0 <= value <= MAX_SCALE):
                raise ValueError(f"A guidance scale must be a number from 0 to {MAX_SCALE:g}, got {value!r}.")
        scale = 1.0 if scale is None else scale
        return cls(scale, None if not has_references or reference_scale == scale else reference_scale)

    @property
    def num_copies(self) -> int:
        """Rows for each song: with all conditions; without references, where these have a scale; without any."""
        return 3 if self.reference_scale is not None else 1 if self.scale == 1 else 2

    def join(self, scores: torch.Tensor) -> torch.Tensor:
        """Join scores of two or three copies, `(copies * batch, ...)`, to `(batch, ...)`."""
        if self.reference_scale is None:
            with_all, without_any = scores.chunk(2)
            return torch.lerp(without_any, with_all, self.scale)
        with_all, without_references, without_any = scores.chunk(3)
        guided = torch.lerp(without_any, without_references, self.scale)
        return guided + self.reference_scale * (with_all - without_references)


class ConditionGuidanceLogitsProcessor(LogitsProcessor):
    """Classifier-free guidance: scores moved away from those without any condition.

    The model runs on twice the rows, first with and then without conditions; this joins the two halves:
    `without + guidance_scale * (with - without)`. With a scale of their own for the references there are rows without
    these between the two, and what the references add is scaled on its own. It must come first.

    Args:
        guidance_scale: 0 = without conditions, 1 = no guidance, more = stronger.
        reference_guidance_scale: Likewise for what the references add to the other conditions; `guidance_scale`, if
            not given.
    """

    def __init__(self, guidance_scale: float, reference_guidance_scale: float | None = None):
        self.guidance = Guidance.of(guidance_scale, reference_guidance_scale)

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Join scores `(copies * batch, ids)` to `(batch, ids)`."""
        num_rows = max(2, self.guidance.num_copies) * input_ids.shape[0]
        if scores.shape[0] != num_rows:
            raise ValueError(
                f"Guidance needs scores of {num_rows} rows, with and without conditions, got {scores.shape[0]}. Make "
                "the condition with the same guidance scales."
            )
        return self.guidance.join(scores)


class CodeSlotLogitsProcessor(LogitsProcessor):
    """Rule that only codes of the level whose turn it is may follow, normalized over these.

    Beam search compares sums of log probabilities, so what other levels would have had must not count.

    Args:
        num_quantizers: Levels.
        codebook_size: Codes of a level.
    """

    def __init__(self, num_quantizers: int, codebook_size: int):
        self.num_quantizers, self.codebook_size = num_quantizers, codebook_size

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Turn scores `(batch, ids)` into log probabilities of that level; minus infinity for all other ids."""
        # The start id lies one past the last code, so that it counts as level `num_quantizers`; next is level 0.
        previous_level = input_ids[:, -1:] // self.codebook_size
        level = torch.where(previous_level >= self.num_quantizers - 1, 0, previous_level + 1)
        levels = torch.arange(scores.shape[1], device=scores.device) // self.codebook_size
        return scores.masked_fill(levels != level, float("-inf")).log_softmax(dim=-1)


class AntiCollapseLogitsProcessor(LogitsProcessor):
    """Rule against a level-0 code that has just filled `max_code_repeats` tokens in a row.

    Standing still is dancing too, so runs are allowed, but a small model can fall into one and never leave it.

    Args:
        max_code_repeats: Longest run, in tokens.
        num_quantizers: Levels.
        codebook_size: Codes of a level.
    """

    def __init__(self, max_code_repeats: int, num_quantizers: int, codebook_size: int):
        self.max_code_repeats = max_code_repeats
        self.num_quantizers, self.codebook_size = num_quantizers, codebook_size

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Set the score of a code that would prolong a run to minus infinity; scores `(batch, ids)`."""
        # When a level-0 code is next, these are the level-0 codes of the last tokens; else they are of a higher level.
        recent = input_ids[:, -self.max_code_repeats * self.num_quantizers :: self.num_quantizers]
        if recent.shape[1] < self.max_code_repeats:
            return scores
        repeated = recent[:, :1]
        is_run = (recent == repeated).all(dim=1, keepdim=True) & (repeated < self.codebook_size)
        repeated = repeated.clamp(max=scores.shape[1] - 1)
        banned = scores.gather(1, repeated).masked_fill(is_run, float("-inf"))
        return scores.scatter(1, repeated, banned)


class SeededGumbelLogitsProcessor(LogitsProcessor):
    """Sampler with a random generator for each row: a dance depends on its seed and not on its batch.

    The largest of `scores + Gumbel noise` is a sample of `softmax(scores)`; only it keeps a finite score, so that
    greedy search and sampling both take it. It must come last. Keep one instance over consecutive windows.

    Args:
        seeds: One seed for each row.
    """

    def __init__(self, seeds: Sequence[int]):
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Choose a code for each row of the scores `(batch, ids)`."""
        if len(self.generators) != scores.shape[0]:
            raise ValueError(f"There must be one seed a row, got {len(self.generators)} for {scores.shape[0]} rows.")
        uniform = torch.stack([torch.rand(scores.shape[1], generator=generator) for generator in self.generators])
        noise = -torch.log(-torch.log(uniform.to(scores.device)))
        chosen = (scores + noise).argmax(dim=-1, keepdim=True)
        return torch.full_like(scores, float("-inf")).scatter(1, chosen, 0.0)
