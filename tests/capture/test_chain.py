"""Floor, physics and feet of a lifted dance, and the numbers of each stage."""

from dataclasses import replace

import numpy as np
import pytest

from infinitedance.capture import chain
from infinitedance.capture.chain import MEASURES, clean_motion, reprojection_percent
from infinitedance.dataset_builder.procedural.dance import synthesize_dance
from infinitedance.motion.feet.grounding import Floor
from infinitedance.motion.motion import Motion
from infinitedance.motion.physics.imitation import PhysicsReport, PhysicsResult
from infinitedance.restoration.pipeline_frdm import RestoredMotion

SECONDS = 4.0


@pytest.fixture(scope="module")
def dance() -> Motion:
    return synthesize_dance("waltz", 90, SECONDS, seed=1)


def shifted(motion: Motion, shift) -> Motion:
    return replace(motion, root_positions=motion.root_positions + np.array(shift, dtype=np.float32))


def untouched(motion: Motion) -> RestoredMotion:
    return RestoredMotion(motion, None)


def test_a_perfectly_seen_dance_lies_on_its_landmarks(dance, see_dance):
    lifted, track = see_dance(dance)
    assert reprojection_percent(dance, lifted.camera, track) < 0.1


def test_a_dance_that_is_moved_aside_is_off_its_landmarks_by_that_share_of_its_height(dance, see_dance):
    lifted, track = see_dance(dance)
    moved = reprojection_percent(shifted(dance, [0.17, 0, 0]), lifted.camera, track)
    assert moved == pytest.approx(10, rel=0.1)  # 17 cm of 1.70 m


def test_landmarks_that_nobody_saw_are_not_compared(dance, see_dance):
    lifted, track = see_dance(dance)
    blind = replace(track, confidences=np.zeros_like(track.confidences))
    assert np.isnan(reprojection_percent(dance, lifted.camera, blind))


def test_the_floor_and_the_camera_move_together(dance, see_dance):
    lifted, track = see_dance(shifted(dance, [0, 0.2, 0]))
    cleaned = clean_motion(lifted, track, None)
    assert cleaned.motion.joint_positions()[..., 1].min() < 0.05
    assert reprojection_percent(cleaned.motion, cleaned.camera, track) < 0.1
    assert cleaned.stages[1].numbers["moved_mm"] == pytest.approx(200, abs=10)


def test_a_tilted_room_is_levelled_with_its_camera(dance, see_dance, monkeypatch):
    normal = np.array([np.sin(0.07), np.cos(0.07), 0.0])
    monkeypatch.setattr(chain, "find_floor", lambda motion: Floor(np.array([0.1, 0.05, -0.2]), normal))
    lifted, track = see_dance(dance)
    cleaned = clean_motion(lifted, track, None)
    assert cleaned.stages[1].note == "Moved by -50 mm and turned level by 4.0 degrees."
    assert reprojection_percent(cleaned.motion, cleaned.camera, track) < 0.1
    assert reprojection_percent(cleaned.motion, lifted.camera, track) > 1


def test_every_stage_has_every_number(dance, see_dance):
    lifted, track = see_dance(dance)
    stages = clean_motion(lifted, track, untouched).stages
    assert [stage.name for stage in stages] == ["lifted", "floor", "feet"]
    assert all(stage.numbers.keys() == MEASURES.keys() for stage in stages)
    assert stages[0].numbers["moved_mm"] is None
    assert stages[2].numbers["moved_mm"] == 0


def test_a_planted_dance_has_no_slide(dance, see_dance):
    lifted, track = see_dance(dance)
    assert clean_motion(lifted, track, None).stages[0].numbers["slide_mm"] < 1


def test_the_restorer_that_ships_takes_the_dance(dance, see_dance):
    from infinitedance import FrdmPipeline

    lifted, track = see_dance(dance)
    result = clean_motion(lifted, track, FrdmPipeline.from_pretrained())
    assert result.motion.foot_contacts is not None
    assert result.motion is result.stages[-1].motion


@pytest.mark.parametrize(("fell", "error"), [(True, 0.1), (False, 0.4)])
def test_physics_that_does_harm_is_shown_and_not_used(dance, see_dance, monkeypatch, fell, error):
    wrong = shifted(dance, [3, 0, 0])
    report = PhysicsReport(9.0, error, (0.1, 0.2, 0.1), fell, 0.0)
    monkeypatch.setattr(chain, "imitate", lambda motion: PhysicsResult(wrong, report))
    lifted, track = see_dance(dance)
    cleaned = clean_motion(lifted, track, untouched, physics=True)
    stage = cleaned.stages[2]
    assert (stage.name, stage.is_used) == ("physics", False)
    assert stage.note.startswith("Not used: ")
    assert stage.numbers["moved_mm"] > 1000
    np.testing.assert_array_equal(cleaned.motion.root_positions, cleaned.stages[1].motion.root_positions)


def test_physics_without_its_package_names_the_extra(dance, see_dance, monkeypatch):
    monkeypatch.setattr("infinitedance.utils.extras.is_installed", lambda package: package != "mujoco")
    with pytest.raises(ImportError, match=r"infinitedance\[physics\]"):
        clean_motion(*see_dance(dance), untouched, physics=True)


def test_a_taller_dancer_keeps_their_size_and_their_way(dance, see_dance):
    body, way = dance.skeleton.scaled(1.1), dance.root_positions * np.float32(1.1)
    lifted, track = see_dance(replace(dance, skeleton=body, root_positions=way))
    seen = []
    cleaned = clean_motion(lifted, track, lambda motion: seen.append(motion) or untouched(motion))
    assert seen[0].skeleton == dance.skeleton  # as the restorer wants it
    assert cleaned.motion.skeleton == body
    np.testing.assert_allclose(np.ptp(cleaned.motion.root_positions, axis=0), np.ptp(way, axis=0), rtol=1e-3)
    assert reprojection_percent(cleaned.motion, cleaned.camera, track) < 0.1


def test_a_body_of_other_proportions_is_refused(dance, see_dance):
    offsets = dance.skeleton.offsets.copy()
    offsets[4] *= 1.2
    lifted, track = see_dance(replace(dance, skeleton=replace(dance.skeleton, offsets=offsets)))
    with pytest.raises(ValueError, match="must be on our neutral body"):
        clean_motion(lifted, track, untouched)


@pytest.mark.parametrize("frames", [3, 50])
def test_a_dance_must_have_the_frames_of_its_landmarks(dance, see_dance, frames):
    lifted, track = see_dance(dance)
    with pytest.raises(ValueError, match="as many as its landmarks"):
        clean_motion(replace(lifted, motion=dance.cut(0, frames)), track, untouched)
