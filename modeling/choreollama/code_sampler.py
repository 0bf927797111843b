"""Choose codes from their scores with few operators, as transformers' chain of logits processors would."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import LogitsProcessor, TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper
from transformers.generation import (
    EpsilonLogitsWarper,
    EtaLogitsWarper,
    LogitNormalization,
    MinPLogitsWarper,
    TypicalLogitsWarper,
)

from .logits_processors import (
    AntiCollapseLogitsProcessor,
    CodeSlotLogitsProcessor,
    ConditionGuidanceLogitsProcessor,
    SeededGumbelLogitsProcessor,
)

_WITHOUT_HISTORY = (
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
    MinPLogitsWarper,
    TypicalLogitsWarper,
    EpsilonLogitsWarper,
    EtaLogitsWarper,
    LogitNormalization,
)


class CodeSampler:
    """Choice of codes among those of one level.

    It chooses what the processors choose: scores of other levels need not be set to minus infinity where they are not
    computed, and what shifts all scores by the same amount changes no choice.

    Args:
        processors: As `ChoreoLlamaGenerationMixin` and transformers put them together.

    Raises:
        ValueError: If there are `unknown` processors.
    """

    def __init__(self, processors: Sequence[LogitsProcessor]):
        if names := self.unknown(processors):
            raise ValueError(f"The processors {names} look at more than the scores of one level.")
        kinds = {type(processor): processor for processor in processors}
        guidance = kinds.get(ConditionGuidanceLogitsProcessor)
        self.guidance = None if guidance is None else guidance.guidance
        anti_collapse = kinds.get(AntiCollapseLogitsProcessor)
        self.max_code_repeats = None if anti_collapse is None else anti_collapse.max_code_repeats
        gumbel = kinds.get(SeededGumbelLogitsProcessor)
        self.generators = None if gumbel is None else gumbel.generators
        self.warpers = [processor for processor in processors if type(processor) in _WITHOUT_HISTORY]
        self.top_p: float | None = None
        if self.warpers and type(last := self.warpers[-1]) is TopPLogitsWarper:
            if last.min_tokens_to_keep == 1 and last.filter_value == -float("inf"):
                self.top_p = self.warpers.pop().top_p

    @staticmethod
    def unknown(processors: Sequence[LogitsProcessor]) -> list[str]:
        """Return the names of the processors that need ids or scores that a `CodeSampler` does not have."""
        own = (
            ConditionGuidanceLogitsProcessor,
            CodeSlotLogitsProcessor,
            AntiCollapseLogitsProcessor,
            SeededGumbelLogitsProcessor,
        )
        return [
            type(processor).__name__ for processor in processors if type(processor) not in (*own, *_WITHOUT_HISTORY)
        ]

    def draw_noise(self, num_tokens: int, num_quantizers: int, codebook_size: int, width: int) -> torch.Tensor | None:
        """Draw the Gumbel noise of the next tokens, from the generator of each row; none for greedy choice.

        Args:
            num_tokens: Tokens.
            num_quantizers: Levels.
            codebook_size: Codes of a level.
            width: Numbers that are drawn for one code: `codebook_size`, or more if all ids have one, of which those
                of the level are used.

        Returns:
            `(batch, num_tokens, num_quantizers, codebook_size)`, on the CPU.
        """
        if self.generators is None:
            return None
        rows = []
        for generator in self.generators:
            uniform = torch.rand(num_tokens, num_quantizers, width, generator=generator)
            if width > codebook_size:
                levels = [
                    uniform[:, level, level * codebook_size : (level + 1) * codebook_size]
                    for level in range(num_quantizers)
                ]
                uniform = torch.stack(levels, dim=1)
            rows.append(uniform)
        return -torch.log(-torch.log(torch.stack(rows)))

    def guided(self, scores: torch.Tensor) -> torch.Tensor:
        """Join the scores of the rows with and without conditions: `(copies * batch, ...)` to `(batch, ...)`."""
        scores = scores.float()
        return scores if self.guidance is None else self.guidance.join(scores)

    def choose(self, scores: torch.Tensor, noise: torch.Tensor | None) -> torch.Tensor:
        """Choose a code in each row.

        Args:
            scores: `(rows, codebook_size)`.
            noise: From `draw_noise`, like `scores`; none for the best code.

        Returns:
            `(rows,)`.
        """
        for warper in self.warpers:
            scores = warper(None, scores)
        if noise is None:
            return scores.argmax(dim=-1)
        if self.top_p is None:
            return (scores + noise).argmax(dim=-1)
        # In ascending order from here on, as in `TopPLogitsWarper`.
        scores, order = scores.sort(dim=-1)
        is_removed = scores.softmax(dim=-1).cumsum(dim=-1) <= 1 - self.top_p
        is_removed[:, -1] = False
        place = (scores.masked_fill_(is_removed, -torch.inf) + noise.gather(1, order)).argmax(dim=-1, keepdim=True)
        return order.gather(1, place)[:, 0]


class RunGuard:
    """Ban of level-0 codes that have just filled `max_code_repeats` tokens of a window in a row.

    Args:
        max_code_repeats: Longest run, in tokens.
        given: The level-0 codes that the window begins with, a list for each row.
    """

    def __init__(self, max_code_repeats: int, given: Sequence[Sequence[int]]):
        self.max_code_repeats = max_code_repeats
        self.codes, self.lengths = [-1] * len(given), [0] * len(given)
        for token in zip(*given, strict=True):
            self.observe(token)

    def observe(self, codes: Sequence[int]) -> None:
        """Note the level-0 code of the next token of each row."""
        for row, code in enumerate(codes):
            self.lengths[row] = self.lengths[row] + 1 if code == self.codes[row] else 1
            self.codes[row] = code

    def ban(self, scores: torch.Tensor) -> None:
        """Set the scores of codes that would prolong a run to minus infinity, in place; scores `(batch, codes)`."""
        for row, length in enumerate(self.lengths):
            if length >= self.max_code_repeats:
                scores[row, self.codes[row]] = -torch.inf
