"""Geometry of BlazePose, and its networks where they were fetched."""

import math

import numpy as np
import pytest
import torch

from infinitedance.capture import blazepose as module
from infinitedance.capture.blazepose import (
    LANDMARK_SIZE,
    BlazePose,
    LandmarkModels,
    Region,
    anchor_centers,
    decode_boxes,
    merge_overlapping,
    overlap,
    refine_from_heat,
    stack_landmarks,
)
from infinitedance.capture.models import find_models


def box(left, top, right, bottom):
    return np.array([[left, top], [right, bottom], [0.5, 0.5], [0.5, 0.1], [0.5, 0.3], [0.5, 0.1]])


def test_the_anchors_are_the_middles_of_cells():
    anchors = anchor_centers()
    assert anchors.shape == (2254, 2)
    np.testing.assert_allclose(anchors[:2], 0.5 / 28)
    np.testing.assert_allclose(anchors[2], [1.5 / 28, 0.5 / 28])  # x runs first
    np.testing.assert_allclose(anchors[-1], 6.5 / 7)
    assert ((anchors > 0) & (anchors < 1)).all()


def test_boxes_and_points_are_decoded_around_their_anchor():
    raw = np.array([[22.4, 0, 44.8, 22.4, 0, 0, 0, -112, 0, 0, 0, 0]])
    (points,) = decode_boxes(raw, np.array([[0.5, 0.5]]))
    np.testing.assert_allclose(points[0], [0.5, 0.45])
    np.testing.assert_allclose(points[1], [0.7, 0.55])
    np.testing.assert_allclose(points[2], [0.5, 0.5])
    np.testing.assert_allclose(points[3], [0.5, 0.0])


def test_boxes_of_one_person_merge_to_their_weighted_mean():
    boxes = np.stack([box(0.1, 0.1, 0.3, 0.3), box(0.7, 0.7, 0.9, 0.9), box(0.12, 0.1, 0.32, 0.3)])
    (first, points), (second, _) = merge_overlapping(np.array([0.6, 0.7, 0.9]), boxes)
    assert (first, second) == (0.9, 0.7)
    np.testing.assert_allclose(points[0], [(0.6 * 0.1 + 0.9 * 0.12) / 1.5, 0.1])


def test_boxes_without_area_overlap_nothing():
    assert overlap(np.zeros((2, 2)), np.zeros((2, 2))) == 0
    assert overlap(np.array([[0, 0], [2, 2]]), np.array([[1, 0], [3, 2]])) == pytest.approx(1 / 3)
    assert overlap(np.array([[0, 0], [1, 1]]), np.array([[2, 2], [3, 3]])) == 0
    assert len(merge_overlapping(np.ones(3), np.zeros((3, 6, 2)))) == 3


@pytest.mark.parametrize(
    ("rim", "angle"),
    [((100, 20), 0), ((180, 100), math.pi / 2), ((100, 180), math.pi), ((20, 100), -math.pi / 2)],
)
def test_a_region_stands_as_the_person_does(rim, angle):
    region = Region.around(np.array([100.0, 100.0]), np.array(rim, dtype=float))
    assert math.remainder(region.angle - angle, 2 * math.pi) == pytest.approx(0, abs=1e-9)
    assert region.size == pytest.approx(200)
    head = region.to_picture(np.array([0.5, 0.1]))  # 80 pixels from the middle, toward the rim
    np.testing.assert_allclose(head, rim, atol=1e-9)


def test_a_turned_region_is_cut_out_upright():
    picture = np.zeros((200, 200, 3), np.uint8)
    picture[90:110, 160:180] = 255  # to the right of the middle
    crop = module._crop(picture, Region.around(np.array([100.0, 100.0]), np.array([180.0, 100.0])), 256, True)
    rows, columns = np.nonzero(crop[..., 0] > 128)
    assert rows.mean() == pytest.approx(256 * 0.15, abs=1.5)  # at the top
    assert columns.mean() == pytest.approx(127.5, abs=1.5)


def test_outside_of_the_picture_is_black_or_its_edge():
    picture = np.full((50, 50, 3), 90, np.uint8)
    region = Region(0, 0, 100, 0.0)
    assert module._crop(picture, region, 64, repeat_edge=False)[0, 0, 0] == 0
    assert module._crop(picture, region, 64, repeat_edge=True)[0, 0, 0] == 90


def test_a_sure_heat_map_moves_a_landmark_and_an_unsure_one_does_not():
    heat = np.full((64, 64, 2), -20.0)
    heat[31, 42, :] = [5.0, -1.0]
    refined = refine_from_heat(np.array([[0.64, 0.48], [0.64, 0.48]]), heat)
    np.testing.assert_allclose(refined[0], [42 / 64, 31 / 64], atol=1e-6)
    np.testing.assert_allclose(refined[1], [0.64, 0.48])


def test_a_landmark_outside_of_the_heat_map_stays():
    points = np.array([[-0.2, 0.5], [1.0, 1.3]])
    np.testing.assert_array_equal(refine_from_heat(points, np.full((64, 64, 2), 9.0)), points)


class FakeNetwork:
    """Returns the same outputs whatever it sees."""

    def __init__(self, outputs):
        self.outputs = outputs

    def run(self, _picture):
        return self.outputs


@pytest.fixture
def blind_pose(monkeypatch):
    """A `BlazePose` without networks, whose landmark network sees a person standing upright in every region."""
    pose = object.__new__(BlazePose)
    raw = np.zeros((39, 5), np.float32)
    raw[:, :2], raw[:, 3:] = 128, 8
    raw[34, 1] = 128 - 256 / 2 / 1.25
    world = np.zeros((39, 3), np.float32)
    world[0] = 0, -0.6, -0.1
    heat = np.full((64, 64, 39), -20, np.float32)
    pose._landmarks = FakeNetwork([raw.ravel(), np.array([0.9]), None, heat, world.ravel()])
    return pose


def test_world_points_lie_along_the_axes_of_the_camera_however_the_person_lies(blind_pose):
    picture = np.zeros((200, 200, 3), np.uint8)
    region = Region.around(np.array([100.0, 100.0]), np.array([180.0, 100.0]))  # the head to the right
    found = blind_pose.landmarks(picture, region)
    np.testing.assert_allclose(found.world_points[0], [0.6, 0, -0.1], atol=1e-6)
    assert found.next_region.angle == pytest.approx(region.angle)
    assert found.next_region.size == pytest.approx(region.size)
    np.testing.assert_allclose(found.confidences, (1 / (1 + math.exp(-8))) ** 2, atol=1e-6)


def test_a_region_that_shows_nobody_has_no_landmarks(blind_pose):
    blind_pose._landmarks.outputs[1] = np.array([0.3])
    assert blind_pose.landmarks(np.zeros((20, 20, 3), np.uint8), Region(10, 10, 20, 0)) is None


def test_a_region_never_shrinks_to_nothing(blind_pose):
    blind_pose._landmarks.outputs[0][:] = 128  # all landmarks in one point
    assert blind_pose.landmarks(np.zeros((20, 20, 3), np.uint8), Region(10, 10, 20, 0)) is None


def test_frames_in_which_nobody_was_found_are_0(landmarks_at):
    track = stack_landmarks([landmarks_at(0, 10, 0, 50), None], 1, 2, 3, (80, 60))
    assert (track.person, track.shot, track.first_frame, track.image_size) == (1, 2, 3, (80, 60))
    assert track.confidences[0].min() == 1
    assert not track.confidences[1].any() and not track.image_points[1].any()


def test_a_file_that_is_no_network_is_an_error_that_names_the_command(tmp_path):
    pytest.importorskip("ai_edge_litert")
    path = tmp_path / "pose_detection.tflite"
    path.write_bytes(b"no network")
    with pytest.raises(ValueError, match="pose_detection.tflite is no network.*--fetch-models"):
        BlazePose(LandmarkModels(path, path))


def test_an_empty_picture_shows_nobody(blazepose):
    assert blazepose.detect(np.full((180, 320, 3), 120, np.uint8)) == []
    with pytest.raises(ValueError, match="Nobody is in the pictures"):
        blazepose.track_single([np.zeros((90, 120, 3), np.uint8)] * 3)


def test_the_number_of_threads_changes_no_landmark(blazepose, monkeypatch, generator):
    from ai_edge_litert import interpreter

    asked, crop = [], torch.rand(LANDMARK_SIZE, LANDMARK_SIZE, 3, generator=generator).numpy()
    real = interpreter.Interpreter
    monkeypatch.setattr(interpreter, "Interpreter", lambda *a, **named: asked.append(named) or real(*a, **named))
    found = []
    for num_threads in (1, 3):
        found.append(BlazePose(find_models(network="full"), num_threads)._landmarks.run(crop))
    assert [named["num_threads"] for named in asked] == [1, 1, 3, 3]
    for one, three in zip(*found, strict=True):
        np.testing.assert_array_equal(one, three)
