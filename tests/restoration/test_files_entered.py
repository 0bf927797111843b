"""How much of the package a reader has to open to follow a dance through foot restoration."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

import infinitedance
from infinitedance.restoration.pipeline_frdm import SAMPLERS, FrdmPipeline

PACKAGE = Path(infinitedance.__file__).resolve().parent
FROM_THE_TOP = [
    "restoration/pipeline_frdm.py",
    "restoration/foot_placer.py",
    "restoration/paper_guidance.py",
    "modeling/frdm/modeling_frdm.py",
    "motion/feet/fusion.py",
    "motion/features.py",
    "motion/motion.py",
    "motion/kinematics.py",
    "motion/skeleton.py",
]


def calls_between_files(function) -> set[tuple[str, str]]:
    """Run a function; return caller and called file of each call of the package, also through other libraries."""
    names: dict[str, str | None] = {}
    calls = set()

    def file_of(frame) -> str | None:
        path = frame.f_code.co_filename
        if path not in names:
            inside = Path(path).is_file() and Path(path).resolve().is_relative_to(PACKAGE)
            name = Path(path).resolve().relative_to(PACKAGE).as_posix() if inside else None
            names[path] = None if name is None or name.startswith((".venv/", "tests/")) else name
        return names[path]

    def note(frame, event, _):
        if event == "call" and (called := file_of(frame)) is not None:
            caller = frame.f_back
            while caller is not None and file_of(caller) is None:
                caller = caller.f_back
            calls.add((called if caller is None else file_of(caller), called))

    sys.setprofile(note)
    try:
        function()
    finally:
        sys.setprofile(None)
    return calls


@pytest.mark.parametrize("has_contacts", [True, False])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_dance_enters_at_most_eight_files_and_calls_only_lead_down(make_frdm, dance, sampler, has_contacts):
    pipeline, motion = FrdmPipeline(make_frdm()), dance.cut(0, 40)
    if not has_contacts:
        motion = replace(motion, foot_contacts=None)
    calls = calls_between_files(lambda: pipeline(motion, sampler=sampler))
    entered = {called for _, called in calls}
    assert "restoration/pipeline_frdm.py" in entered and entered <= set(FROM_THE_TOP)
    assert len(entered) <= 8
    climbs = [pair for pair in calls if FROM_THE_TOP.index(pair[0]) > FROM_THE_TOP.index(pair[1])]
    assert not climbs
