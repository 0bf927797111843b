from dataclasses import replace

import numpy as np
import pytest

from infinitedance import MusicToDancePipeline
from infinitedance.assets import MODELS
from infinitedance.dataset_builder.procedural.music import synthesize_music
from infinitedance.evaluation.metrics.foot_contact import foot_slide_mm
from infinitedance.motion.feet.planting import plant_feet
from infinitedance.motion.finishing.finishing import finish
from infinitedance.motion.finishing.gaze import gaze_elevation
from infinitedance.motion.finishing.resting import joint_speeds
from infinitedance.motion.finishing.toes import bend_toes
from infinitedance.motion.skeleton import CONTACT_JOINTS


@pytest.fixture(scope="module")
def generated():
    """A dance of a shipped model whose feet are not planted yet."""
    pipeline = MusicToDancePipeline.from_pretrained(MODELS["research"])
    dance = pipeline(synthesize_music("waltz", 88, 15.0, seed=3), genre="waltz", seed=0, num_references=0)
    return pipeline.decode(dance.motion_codes, dance.motion.num_frames, plants_feet=False)


def test_without_options_only_the_toes_bend(waltz):
    np.testing.assert_array_equal(finish(waltz).joint_rotations, bend_toes(waltz).joint_rotations)


def test_a_generated_dance_rests_ends_stays_looks_ahead_and_does_not_slide_more(generated):
    finished = finish(
        generated,
        silences_seconds=[(5.0, 8.0)],
        end_seconds=13.0,
        radius_metres=1.0,
        phrase_starts_seconds=[0.0, 4.0, 8.5],
        gaze_elevation_degrees=8.0,
    )
    positions = finished.joint_positions()
    speeds = joint_speeds(positions, 30.0)
    mean = joint_speeds(generated.joint_positions(), 30.0).mean()
    assert finished.num_frames == generated.num_frames
    assert max(speeds[180:225].max(), speeds[391:].max()) < mean / 5
    assert np.linalg.norm(positions[:, 0, [0, 2]] - positions[0, 0, [0, 2]], axis=-1).max() <= 1.0
    assert np.median(gaze_elevation(finished)) == pytest.approx(8, abs=1e-2)
    slides = []
    for motion in (generated, finished):
        planted = plant_feet(motion)
        slides.append(foot_slide_mm(planted.joint_positions()[:, list(CONTACT_JOINTS)], motion.foot_contacts))
    assert slides[1] < 1.05 * slides[0]


def test_the_same_dance_is_finished_to_the_same_bit(generated):
    options = {"silences_seconds": [(2.0, 4.0)], "end_seconds": 12.0, "radius_metres": 1.0}
    first, second = (finish(generated, **options) for _ in range(2))
    np.testing.assert_array_equal(first.joint_rotations, second.joint_rotations)
    np.testing.assert_array_equal(first.root_positions, second.root_positions)


def test_a_fade_out_takes_the_place_of_the_end(waltz):
    faded = finish(waltz, end_seconds=20.0, fade_out_seconds=(8.0, 12.0))
    assert joint_speeds(faded.joint_positions(), 30.0)[361:].max() < 0.02


def test_ten_minutes_are_finished(walker):
    times = 4
    frames = np.tile(np.arange(4500), times)
    way = np.arange(times).repeat(4500)[:, None] * (walker.root_positions[4500] - walker.root_positions[0])
    long = replace(
        walker,
        root_positions=walker.root_positions[frames] + way,
        joint_rotations=walker.joint_rotations[frames],
        foot_contacts=walker.foot_contacts[frames],
    )
    spans = [(second, second + 5.0) for second in range(10, 590, 30)]
    finished = finish(long, silences_seconds=spans, end_seconds=590.0, radius_metres=2.0, gaze_elevation_degrees=0)
    assert finished.num_frames == 18_000
    path = finished.root_positions[:, [0, 2]]
    assert np.linalg.norm(path - path[0], axis=-1).max() <= 2.0
