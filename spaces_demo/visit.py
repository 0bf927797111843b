"""The dances of one visit: which there are, which one is shown, and which one beside it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from .studio import DanceSet, Variant

MAX_DANCES = 24
"""In a gallery; the oldest leave it first."""


@dataclass(frozen=True)
class Kept:
    """One dance in the gallery.

    Args:
        dances: Of the request that it was made for.
        index: Of the variant.
    """

    dances: DanceSet
    index: int = 0

    @property
    def variant(self) -> Variant:
        """The dance."""
        return self.dances.variants[self.index]

    @property
    def link(self) -> str:
        """Names the dance in the address of the page."""
        return f"{self.dances.key}.{self.index}"


@dataclass(frozen=True)
class Visit:
    """What a visitor has made.

    Args:
        kept: The dances, the newest last.
        shown: Which one is played.
        beside: Which one dances with it; none if `None`.
    """

    kept: tuple[Kept, ...] = ()
    shown: int = 0
    beside: int | None = None

    def with_dances(self, dances: DanceSet) -> Visit:
        """Return the visit with new dances, of which the first one is shown."""
        kept = (*self.kept, *(Kept(dances, index) for index in range(len(dances.variants))))
        shown = len(kept) - len(dances.variants)
        dropped = max(0, len(kept) - MAX_DANCES)
        return Visit(kept[dropped:], shown - dropped)

    def pick(self, index: int) -> Visit:
        """Return the visit with another dance shown."""
        self._check(index)
        return replace(self, shown=index, beside=None)

    def compare(self, index: int) -> Visit:
        """Return the visit with a dance beside the one shown, or no longer beside it."""
        self._check(index)
        if not self.can_compare(index):
            raise ValueError("Only dances to the same part of the same song can be compared.")
        return replace(self, beside=None if self.beside == index else index)

    def can_compare(self, index: int) -> bool:
        """Return whether a dance is another one to the same part of the same song."""
        return index != self.shown and self.kept[index].dances.part == self.kept[self.shown].dances.part

    def on_stage(self) -> list[Kept]:
        """Return what the viewer plays: nothing, one dance, or two."""
        indices = [self.shown] if self.beside is None else [self.shown, self.beside]
        return [self.kept[index] for index in indices] if self.kept else []

    def _check(self, index: int) -> None:
        if not 0 <= index < len(self.kept):
            raise ValueError("Make a dance first.")
