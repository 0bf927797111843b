import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.capture.cameras import ANY_CAMERA, random_camera
from benchmarks.capture.clothes import Clothes, random_skeleton, stature_metres
from benchmarks.capture.measures import (
    LIMB_JOINTS,
    contact_f1,
    estimator_joints,
    facing_share,
    measure_capture,
    seen_from,
)
from benchmarks.capture.pairs import PieceMaker, is_held_out, pad_track
from benchmarks.capture.scenes import Look, render_pictures
from benchmarks.capture.videos import CAMERAS, CASES, NEW, write_video
from infinitedance.capture.camera import Camera
from infinitedance.capture.landmarks import LANDMARK_INDEX, NUM_LANDMARKS, LandmarkTrack
from infinitedance.dataset_builder.built import BuiltDataset
from infinitedance.motion.motion import Motion
from infinitedance.motion.retargeting.retargeting import retarget
from infinitedance.motion.skeleton import JOINT_INDEX, JOINT_NAMES, MIRROR_ORDER, neutral_skeleton

KINDS = [ANY_CAMERA, *CAMERAS]


@pytest.fixture
def truth(dance) -> Motion:
    return retarget(dance.cut(0, 40), random_skeleton(np.random.default_rng(3)))


@pytest.fixture
def camera(truth) -> Camera:
    return random_camera(truth, np.random.default_rng(0), CAMERAS[0], 240)


@pytest.fixture
def plain_look() -> Look:
    look = Look.random(np.random.default_rng(1))
    return replace(look, noise=0.0, blur=0.3, quality=95, shutter=0.0, tint=(1.0, 1.0, 1.0), shadow=0.0)


def _perfect_track(motion: Motion, camera: Camera) -> LandmarkTrack:
    """An estimator without errors; landmarks that are no joints of ours lie at the nearest one."""
    places = {"heel": "ankle", "foot_index": "foot", "pinky": "wrist", "index": "wrist", "thumb": "wrist"}
    joints = []
    for name in sorted(LANDMARK_INDEX, key=LANDMARK_INDEX.__getitem__):
        side, _, part = name.partition("_")
        joints.append(JOINT_INDEX.get(f"{side}_{places.get(part, part)}", JOINT_INDEX["head"]))
    positions = motion.joint_positions().astype(np.float64)[:, joints]
    space = camera.to_camera(positions)
    hips = space[:, [LANDMARK_INDEX["left_hip"], LANDMARK_INDEX["right_hip"]]].mean(axis=1, keepdims=True)
    sure = np.ones((motion.num_frames, NUM_LANDMARKS))
    return LandmarkTrack(0, 0, 0, camera.image_size, camera.project(positions), sure, space - hips)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_kind_of_camera_sees_the_whole_dance_upright(truth, kind):
    for seed in range(4):
        camera = random_camera(truth, np.random.default_rng(seed), kind, 240)
        pixels = camera.project(truth.joint_positions())
        inside = ((pixels > 0) & (pixels < np.array(camera.image_size))).all(axis=-1)
        assert inside.mean() > 0.97
        assert (pixels[:, JOINT_INDEX["neck"], 1] < pixels[:, JOINT_INDEX["left_foot"], 1]).mean() > 0.9
        products = camera.rotations @ camera.rotations.transpose(0, 2, 1)
        np.testing.assert_allclose(products, np.broadcast_to(np.eye(3), products.shape), atol=1e-9)
        assert (np.linalg.det(camera.rotations) > 0).all()
        assert len(camera.rotations) == (truth.num_frames if kind.pan_share == 1 else len(camera.rotations))


def test_bodies_are_symmetric_and_of_human_heights():
    neutral = neutral_skeleton()
    assert stature_metres(neutral) == pytest.approx(1.70)
    heights = []
    for seed in range(20):
        skeleton = random_skeleton(np.random.default_rng(seed))
        mirrored = skeleton.offsets[list(MIRROR_ORDER)] * np.array([-1, 1, 1])
        np.testing.assert_allclose(skeleton.offsets, mirrored, atol=1e-12)
        heights.append(stature_metres(skeleton))
    assert 1.5 <= min(heights) < 1.6 and 1.85 < max(heights) <= 1.95


def test_the_body_is_drawn_where_its_joints_are(truth, camera, plain_look):
    other_clothes = {name: (1.0, 0.0, 1.0) for name in ("skin", "hair", "shirt", "pattern", "trousers", "shoes")}
    assert plain_look.clothes is not None
    looks = plain_look, replace(plain_look, clothes=replace(plain_look.clothes, **other_clothes))
    motion = truth.cut(10, 12)
    first, second = (next(render_pictures(motion, camera, look)).astype(int) for look in looks)
    body = np.abs(first - second).max(axis=-1) > 24
    pixels = camera.project(motion.joint_positions())[0]
    hit = [body[int(y), int(x)] for x, y in pixels]
    assert np.mean(hit) > 0.9, [name for name, is_hit in zip(JOINT_NAMES, hit, strict=True) if not is_hit]
    rows, columns = np.nonzero(body)
    reach = 0.2 * np.ptp(pixels[:, 1])
    assert pixels[:, 1].min() - reach < rows.min() and rows.max() < pixels[:, 1].max() + reach
    assert pixels[:, 0].min() - reach < columns.min() and columns.max() < pixels[:, 0].max() + reach


@pytest.mark.parametrize("figure", ["human", "capsules"])
def test_the_same_look_gives_the_same_pictures(truth, camera, figure):
    look = replace(Look.random(np.random.default_rng(5), figure), shutter=0.5)
    motion = truth.cut(0, 3)
    first, second = (list(render_pictures(motion, camera, look)) for _ in range(2))
    assert len(first) == 3 and first[0].shape == (camera.image_size[1], camera.image_size[0], 3)
    np.testing.assert_array_equal(first, second)
    assert (first[0] != first[2]).any()


def test_a_turning_camera_draws_what_standing_ones_would(truth, camera, plain_look):
    motion = truth.cut(0, 2)
    aside = camera.rotations[0] @ np.array([[0.995, 0, 0.0998], [0, 1, 0], [-0.0998, 0, 0.995]])
    turns = np.stack([camera.rotations[0], aside])
    turning = list(render_pictures(motion, replace(camera, rotations=turns), plain_look))
    standing = [
        list(render_pictures(motion, replace(camera, rotations=turn[None]), plain_look))[frame]
        for frame, turn in enumerate(turns)
    ]
    np.testing.assert_array_equal(turning, standing)


def test_a_skirt_and_every_pattern_can_be_drawn(truth, camera, plain_look):
    assert plain_look.clothes is not None
    for pattern in ("plain", "stripes", "rings", "print", "noise"):
        clothes = replace(Clothes.random(np.random.default_rng(0)), shirt_pattern=pattern, skirt_hem=-0.4)
        picture = next(render_pictures(truth.cut(0, 1), camera, replace(plain_look, clothes=clothes)))
        assert picture.std() > 1


def test_a_dance_seen_from_a_camera_keeps_its_floor_and_its_distances(truth, camera):
    seen = seen_from(truth, camera)
    before, after = truth.joint_positions(), seen.joint_positions()
    np.testing.assert_allclose(after[..., 1], before[..., 1], atol=1e-5)
    ahead = camera.rotations[0, 2] * [1, 0, 1]
    away = (before - camera.position) @ (ahead / np.linalg.norm(ahead))
    np.testing.assert_allclose(-(after[..., 2] - after[0, 0, 2]), away - away[0, 0], atol=1e-4)


def test_a_perfect_capture_has_no_error_and_a_turned_one_faces_wrong(truth, camera):
    seen = seen_from(truth, camera)
    positions = seen.joint_positions().astype(np.float64)
    contacts = seen.skeleton.detect_foot_contacts(positions, 30.0)
    perfect = measure_capture(positions, contacts, seen)
    assert perfect["mpjpe"] == 0 and perfect["facing"] == 1 and perfect["contact_f1"] == 1
    assert perfect["root"] == pytest.approx(0, abs=1e-6)
    aside = positions @ np.array([[0.0, 0, -1], [0, 1, 0], [1, 0, 0]])
    assert facing_share(aside, positions, 30.0) == 0
    turned = measure_capture(aside, contacts, seen)
    assert turned["pa_mpjpe"] == pytest.approx(0, abs=1e-3) and turned["mpjpe"] > 100
    moved = measure_capture(positions + [0.5, 0, 0], None, seen)
    assert moved["mpjpe"] == pytest.approx(0, abs=1e-6) and math.isnan(moved["contact_f1"])


def test_a_perfect_estimator_has_no_error_at_the_limbs_whatever_the_tilt_of_the_camera(truth):
    for seed in range(3):
        camera = random_camera(truth, np.random.default_rng(seed), ANY_CAMERA, 240)
        camera = replace(camera, rotations=camera.rotations[:1])
        seen = seen_from(truth, camera).joint_positions().astype(np.float64)
        found = estimator_joints(_perfect_track(truth, camera), camera)
        hips = [JOINT_INDEX["left_hip"], JOINT_INDEX["right_hip"]]
        seen -= seen[:, hips].mean(axis=1, keepdims=True)
        np.testing.assert_allclose(found[:, LIMB_JOINTS], seen[:, LIMB_JOINTS], atol=1e-5)


def test_contacts_are_compared_by_f1():
    truth = np.zeros((4, 4), dtype=bool)
    assert contact_f1(truth, truth) == 1
    truth[:2] = True
    found = np.zeros((4, 4), dtype=bool)
    found[1:3] = True
    assert contact_f1(found, truth) == 0.5


def test_frames_before_the_person_is_seen_are_zero(truth, camera):
    track = replace(_perfect_track(truth, camera), first_frame=5)
    arrays = pad_track(track.cut(0, 10), 20)
    found = arrays["confidences"].max(axis=1)
    np.testing.assert_array_equal(found, [0] * 5 + [1] * 10 + [0] * 5)
    np.testing.assert_array_equal(arrays["image_points"][5:15], track.image_points[:10])


def test_no_pair_is_made_of_what_is_held_out(built_clip):
    held_out = [
        built_clip("cmu_05_02~65", source="CMU"),
        built_clip("jesse_dance", source="AnimatedDrawings/Rokoko"),
        built_clip("dance1", source="MoCapToolbox"),
        built_clip("kthstreet", source="Motorica/LDA", performer_id="clip_folder/d01"),
        built_clip("any", split="test"),
    ]
    assert all(map(is_held_out, held_out))
    assert not is_held_out(built_clip("kthstreet", source="Motorica/LDA", performer_id="clip_folder/d02"))


def test_pieces_follow_from_their_number_alone(tmp_path, build_procedural):
    data = BuiltDataset(build_procedural(tmp_path, 4, 4.5, test=[3]))

    class PerfectPose:
        def track_single(self, pictures):
            assert len(list(pictures)) == 135
            return self.seen

    first, second = (PieceMaker(data, PerfectPose(), 1) for _ in range(2))
    second.draw(0)
    _, motion, camera, look, _ = first.draw(7)
    _, again, same_camera, same_look, _ = second.draw(7)
    np.testing.assert_array_equal(motion.joint_rotations, again.joint_rotations)
    np.testing.assert_array_equal(camera.rotations, same_camera.rotations)
    assert look == same_look
    PerfectPose.seen = _perfect_track(motion, camera)
    arrays = first.make(7)
    np.testing.assert_array_equal(arrays["joint_rotations"], motion.joint_rotations)
    PerfectPose.seen = replace(PerfectPose.seen, image_points=PerfectPose.seen.image_points * 0)
    with pytest.raises(ValueError, match="followed in 0% of the frames"):
        first.make(7)
    assert json.loads(str(arrays["note"]))["split"] != "test"


def test_a_video_has_every_picture_at_30_hz(tmp_path, truth, camera, plain_look):
    import av

    path = tmp_path / "videos" / "dance.mp4"
    write_video(path, render_pictures(truth.cut(0, 9), camera, plain_look), camera.image_size)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
        assert len(pictures) == 9 and stream.average_rate == 30
    drawn = next(render_pictures(truth.cut(0, 9), camera, plain_look)).astype(int)
    assert np.abs(pictures[0].astype(int) - drawn).mean() < 12
    assert [file.name for file in path.parent.iterdir()] == ["dance.mp4"]


def test_at_least_sixteen_videos_are_of_new_performers_and_all_kinds_of_cameras():
    new = [case for case in CASES if case.dancer == NEW]
    assert len(new) >= 16 and {case.camera for case in new} == set(CAMERAS)


def test_a_capture_that_tells_the_truth_has_no_error_in_any_stage_before_physics(tmp_path, truth, camera):
    pytest.importorskip("infinitedance.capture.chain")
    pytest.importorskip("mujoco")
    from benchmarks.capture import stages
    from benchmarks.capture.videos import Recording
    from infinitedance.capture.lifting import LiftedMotion

    truth = retarget(truth.cut(0, 40))
    recording = Recording(CASES[0], Path(tmp_path / "dance.mp4"), truth, camera, Look.random(np.random.default_rng(0)))

    class TruthTeller:
        def capture(self, video, height_metres):
            track = _perfect_track(truth, camera).cut(3, 40)
            return stages.Captured(track, retarget(seen_from(truth, camera)).cut(3, 40))

        def lift(self, track, height_metres, settings):
            seen = seen_from(truth.cut(3, 40), camera)
            contacts = seen.skeleton.detect_foot_contacts(seen.joint_positions(), 30.0)
            seen = replace(seen, foot_contacts=contacts)
            return LiftedMotion(seen, camera, contacts.astype(float), np.zeros(len(contacts)))

        def restore(self, motion):
            return motion

    measured = stages.measure_recording(recording, TruthTeller())
    assert measured.keys() == set(stages.ROWS) and measured[stages.FRDM]["covered"] == 37 / 40
    assert measured[stages.FIT]["mpjpe"] == pytest.approx(0, abs=1e-3)
    assert measured[stages.LIFTER]["contact_f1"] == 1
    assert measured[stages.ESTIMATOR]["limbs_mpjpe"] == pytest.approx(0, abs=0.01)
    for row in (stages.FLOOR, stages.FRDM):
        assert measured[row]["pa_mpjpe"] < 1 and measured[row]["facing"] == 1
