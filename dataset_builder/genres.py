"""Coarse genres of all sources: the six of the InfiniteDance release, and what they do not cover."""

from __future__ import annotations

OTHER = "other"
COARSE_GENRES = ("ballet", "popular", "latin", "modern", "folk", "classic", "ballroom", "swing", OTHER)
"""The first six in the order of the release, then ballroom, swing (charleston, tap, vernacular jazz), and `other`."""
NOT_LABELED = "not labeled"
"""Fine genre of a clip whose source has no label for it."""

# Fine genres, as the sources spell them. The first six rows are those of the paper's table 6.
_FINE_GENRES: dict[str, tuple[str, ...]] = {
    "ballet": ("ballet",),
    "popular": (
        "popular", "popular mix", "pop", "locking", "k-pop", "home dance", "jazz", "hip-hop", "choreography",
        "popping", "breaking", "middle hip-hop", "LA-style hip-hop", "house", "waacking", "krumping", "street jazz",
        "ballet jazz", "urban", "street",
    ),
    "latin": ("latin", "latin mix", "cha-cha", "rumba", "samba", "paso doble", "jive", "salsa"),
    "modern": ("modern", "modern/ballet", "contemporary"),
    "folk": (
        "folk", "folk mix", "Dai", "Uygur", "Uygurs", "Uighur", "Mongol", "Mongolian", "Korea", "Korean", "Zang",
        "Tibetan", "Hehai Yangge", "Northeastern Yangge", "Jiaozhou Yangge", "Chinese", "Miao", "Hmong",
    ),
    "classic": ("classic", "classic mix", "Dunhuang", "Shenyun", "Han-Tang", "Kun"),
    "ballroom": ("ballroom", "waltz", "tango", "foxtrot", "quickstep"),
    "swing": ("swing", "charleston", "tap", "vernacular jazz", "lindy hop"),
    OTHER: (OTHER, NOT_LABELED, "free dance", "freestyle", "dance", "general", "casual"),
}  # fmt: skip


def genre_key(fine_genre: str) -> str:
    """Return a label without case, blanks and hyphens: `Hip-Hop`, `hiphop` and `hip hop` are one genre."""
    return "".join(character for character in fine_genre.casefold() if character not in " -_")


_COARSE_BY_KEY = {genre_key(fine): coarse for coarse, labels in _FINE_GENRES.items() for fine in labels}


def is_known_genre(fine_genre: str) -> bool:
    """Tell whether `coarse_genre` knows a fine label."""
    return genre_key(fine_genre) in _COARSE_BY_KEY


def coarse_genre(fine_genre: str, *, unknown: str | None = None) -> str:
    """Return the coarse genre of a fine label.

    Only labels that say nothing (`not labeled`, `free dance` ...) are `other` of themselves: an unknown one is an
    error unless the caller says what it counts as.

    Args:
        fine_genre: A label of any source; case, blanks and hyphens do not matter.
        unknown: Coarse genre of labels that are not known, for example `"other"`; `None` to raise.

    Returns:
        One of `COARSE_GENRES`.

    Raises:
        ValueError: If the label is not known and `unknown` is `None`, or `unknown` is no coarse genre.
    """
    if unknown is not None and unknown not in COARSE_GENRES:
        raise ValueError(f"`unknown` must be one of {', '.join(COARSE_GENRES)} or None, got {unknown!r}.")
    coarse = _COARSE_BY_KEY.get(genre_key(fine_genre), unknown)
    if coarse is None:
        raise ValueError(
            f"The genre {fine_genre!r} is not known; pass `unknown='other'` to count it as other. Known are "
            f"{', '.join(fine for labels in _FINE_GENRES.values() for fine in labels)}."
        )
    return coarse
