from pathlib import Path

import pytest

from infinitedance.spaces_demo.studio import DanceRequest, DanceSet, Variant
from infinitedance.spaces_demo.visit import MAX_DANCES, Visit


def dances(key: str, num_variants: int = 1, part: str = "part") -> DanceSet:
    variants = tuple(Variant(f"{key}_{seed}", seed, "waltz", {}, {}) for seed in range(num_variants))
    return DanceSet(Path(f"/dances/{key}/song.flac"), 3.0, part, DanceRequest(), variants)


def test_new_dances_are_shown_and_all_stay_in_the_gallery():
    visit = Visit().with_dances(dances("a")).with_dances(dances("b", 3))
    assert [kept.link for kept in visit.kept] == ["a.0", "b.0", "b.1", "b.2"]
    assert [kept.link for kept in visit.on_stage()] == ["b.0"]
    assert [kept.link for kept in visit.pick(0).on_stage()] == ["a.0"]
    assert Visit().on_stage() == []


def test_a_dance_beside_the_one_shown_is_to_the_same_part_of_the_song():
    visit = Visit().with_dances(dances("a")).with_dances(dances("b", part="other")).with_dances(dances("c"))
    both = visit.compare(0)
    assert [kept.link for kept in both.on_stage()] == ["c.0", "a.0"]
    assert both.compare(0).beside is None and both.pick(0).beside is None
    assert [visit.can_compare(index) for index in range(3)] == [True, False, False]
    for index in (1, 2):
        with pytest.raises(ValueError, match="same part"):
            visit.compare(index)
    for index in (-1, 3):
        with pytest.raises(ValueError, match="Make a dance first"):
            visit.pick(index)


def test_the_oldest_dances_leave_a_full_gallery():
    visit = Visit()
    for number in range(MAX_DANCES + 2):
        visit = visit.with_dances(dances(str(number), 2))
    assert len(visit.kept) == MAX_DANCES and visit.kept[-1].link == f"{MAX_DANCES + 1}.1"
    assert visit.on_stage()[0].link == f"{MAX_DANCES + 1}.0"
