"""Every link of a text leads to a file of the repository, and a model card leads to nothing outside its folder."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CARDS = [*ROOT.glob("assets/*/README.md"), ROOT / "spaces_demo/README.md"]
TEXTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("assets/*.md"), *CARDS]
LINK = re.compile(r"\]\((?!https?:)([^)#\s]+)")


@pytest.mark.parametrize("text", TEXTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_leads_to_a_file(text):
    links = LINK.findall(text.read_text(encoding="utf-8"))
    assert not [link for link in links if not (text.parent / link).exists()]


@pytest.mark.parametrize("card", CARDS, ids=lambda path: path.parent.name)
def test_a_card_is_whole_on_the_hub(card):
    """On the Hub the folder of a card stands alone."""
    assert not [link for link in LINK.findall(card.read_text(encoding="utf-8")) if ".." in link]


def test_user_guides_are_reached_from_the_readme():
    named = LINK.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    assert {path.relative_to(ROOT).as_posix() for path in ROOT.glob("docs/*.md")} <= set(named)
