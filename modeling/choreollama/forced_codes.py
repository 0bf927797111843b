"""Codes that are written in the place of chosen ones: given ones, and those of an earlier passage of the dance."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from .configuration_choreollama import ChoreoLlamaConfig

FREE = -1
"""Code of a place in which the model chooses."""


class ForcedCodes:
    """Codes of a batch of songs that are known, or will be when they are reached.

    Args:
        config: Of the model.
        batch_size: Songs.
        num_tokens: Tokens of the dances.
        codes: Known codes, `(batch, num_quantizers, num_tokens)`, -1 = free; none, if not given.
        repeats: Passages, each as the token at which an earlier one starts, the token at which it returns, and its
            number of tokens: the codes of the first are those of the second, too. Codes that are known go before.

    Raises:
        ValueError: If a shape, a code or a passage does not fit.
    """

    def __init__(
        self,
        config: ChoreoLlamaConfig,
        batch_size: int,
        num_tokens: int,
        codes: torch.Tensor | None = None,
        repeats: Sequence[tuple[int, int, int]] = (),
    ):
        shape = (batch_size, config.num_quantizers, num_tokens)
        if codes is None:
            codes = torch.full(shape, FREE)
        if tuple(codes.shape) != shape:
            raise ValueError(f"`forced_codes` must have shape {shape}, got {tuple(codes.shape)}.")
        if codes.min() < FREE or codes.max() >= config.codebook_size:
            raise ValueError(
                f"`forced_codes` must lie in [0, {config.codebook_size}), or be {FREE} where the model chooses, got "
                f"[{codes.min()}, {codes.max()}]."
            )
        self.codes = codes.clone()
        self.is_forced = (codes != FREE).any(dim=0).T.tolist()  # by token and level
        self.targets: dict[int, list[int]] = {}
        self.first_token = 0
        taken: set[int] = set()
        for source, target, length in repeats:
            if not (0 <= source < target and 0 < length <= num_tokens - target):
                raise ValueError(
                    "`repeats` must be passages that return later within the dance: (source start, target start, "
                    f"tokens) with 0 <= source < target and target + tokens <= {num_tokens}, got "
                    f"{(source, target, length)}."
                )
            if taken & set(range(target, target + length)):
                raise ValueError(f"`repeats` must return to places that do not overlap, got {list(repeats)}.")
            taken |= set(range(target, target + length))
            for offset in range(length):
                self.targets.setdefault(source + offset, []).append(target + offset)
                self.is_forced[target + offset] = [True] * config.num_quantizers

    def begin_window(self, first_token: int) -> None:
        """Say which token of the dance the first one of the next window is."""
        self.first_token = first_token

    def write(self, token: int, level: int, codes: torch.Tensor) -> torch.Tensor:
        """Return the codes that are written.

        Args:
            token: In the window.
            level: Of the residual quantizer.
            codes: That the model chose, `(batch,)`.
        """
        token += self.first_token
        if self.is_forced[token][level]:
            forced = self.codes[:, level, token].to(codes.device)
            codes = torch.where(forced == FREE, codes, forced)
        self.note(token, level, codes)
        return codes

    def note(self, token: int, level: int, codes: torch.Tensor) -> None:
        """Remember the codes of a token of the dance, `(batch,)`, for the passages that repeat it."""
        for target in self.targets.get(token, ()):
            place = self.codes[:, level, target]
            place.copy_(torch.where(place == FREE, codes.to(place.device), place))
