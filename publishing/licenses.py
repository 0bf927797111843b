"""Terms as the front matter of a card states them: by the Hub's own identifier where it has one."""

from __future__ import annotations

import re
from collections.abc import Iterable

HUB_LICENSES = frozenset(
    "apache-2.0 mit cc0-1.0 cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 "
    "cc-by-nd-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 bsd bsd-2-clause "
    "bsd-3-clause isc gpl-2.0 gpl-3.0 lgpl-3.0 agpl-3.0 mpl-2.0 odc-by odbl pddl openrail unlicense".split()
)
"""Identifiers of https://huggingface.co/docs/hub/repositories-licenses that dances and models come under."""
MIXED, NOT_STATED = "mixed", "not-stated"


def hub_license(text: str) -> str | None:
    """Return the Hub's identifier of a license, as "CC BY 4.0" or "cc0-1.0" name it; `None` where it has none."""
    name = re.sub(r"[\s_-]+", "-", text.strip().lower())
    name = re.sub(r"^cc0(-universal)?$", "cc0-1.0", name)
    return name if name in HUB_LICENSES else None


def license_fields(terms: Iterable[str], link: str) -> dict[str, str]:
    """Return the fields of the front matter for what a repository holds.

    Args:
        terms: The license of each part; an empty text where none is stated.
        link: Where terms that the Hub does not know are written.

    Returns:
        `license`, and with `other` its name and link; nothing if there are no parts.
    """
    distinct = sorted(set(terms))
    if not distinct:
        return {}
    known = {hub_license(text) for text in distinct}
    if len(known) == 1 and None not in known:
        return {"license": next(iter(known)) or ""}
    name = MIXED if len(distinct) > 1 else _slug(distinct[0]) or NOT_STATED
    return {"license": "other", "license_name": name, "license_link": link}


def _slug(text: str) -> str:
    """Return a name as the Hub takes it: small letters, digits, dots and dashes."""
    return re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-")[:60]
