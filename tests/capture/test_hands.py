from dataclasses import replace

import numpy as np
import pytest
import roma
import torch

from infinitedance.capture.finger_fitting import fit_fingers, palm_frames
from infinitedance.capture.hand_landmarks import FIRST_LANDMARK, HandTrack
from infinitedance.capture.hands import (
    BODY_SCALE,
    HandReader,
    read_hands,
    region_of_body,
    region_of_hand,
)
from infinitedance.capture.landmarks import LANDMARK_INDEX, LandmarkTrack
from infinitedance.capture.models import find_hand_models
from infinitedance.motion.fingers import FINGERS, NUM_FINGER_JOINTS, pose_fingers
from infinitedance.motion.hand_angles import ANGLE_LIMITS, RELAXED_ANGLES, rotations_of_angles
from infinitedance.motion.skeleton import neutral_skeleton

TO_CAMERA = np.diag([1.0, -1.0, -1.0])


def random_turns(generator, count):
    return roma.random_rotmat(
        count, dtype=torch.float64, generator=torch.Generator().manual_seed(int(generator))
    ).numpy()


@pytest.fixture
def made():
    """Slow rotations of fingers, how hands are turned in a camera, and the landmarks that it would see."""
    generator = np.random.default_rng(4)
    times = np.linspace(0, 2 * np.pi, 90)[:, None, None, None]
    shares = 0.475 + 0.3 * np.sin(times + generator.uniform(0, 6, (2, 5, 4)))
    fingers = rotations_of_angles(ANGLE_LIMITS[..., 0] + shares * np.ptp(ANGLE_LIMITS, axis=-1))
    turns = np.stack([random_turns(1, 90), random_turns(2, 90)], axis=1)
    places = pose_fingers(fingers, np.zeros((90, 2, 3)), turns, neutral_skeleton())[0]
    joints, tips = np.split(places, [NUM_FINGER_JOINTS], axis=1)
    landmarks = np.zeros((90, 2, 21, 3))
    for side in range(2):
        for number, finger in enumerate(FINGERS):
            first = FIRST_LANDMARK[finger]
            start = 15 * side + 3 * number
            landmarks[:, side, first : first + 3] = joints[:, start : start + 3]
            landmarks[:, side, first + 3] = tips[:, 5 * side + number]
    landmarks = landmarks @ TO_CAMERA
    return fingers, TO_CAMERA @ turns, landmarks - landmarks.mean(axis=2, keepdims=True)


def track_of(landmarks, confidences=None):
    shape = landmarks.shape[:3]
    confidences = np.ones(shape[:2]) if confidences is None else confidences
    return HandTrack(np.zeros((*shape, 2)), landmarks, confidences)


def degrees_apart(first, second):
    cosines = np.abs((first.astype(float) * second).sum(-1))
    return np.degrees(2 * np.arccos(np.minimum(cosines, 1)))


def test_made_landmarks_give_their_rotations_back(made):
    fingers, _, landmarks = made
    assert degrees_apart(fit_fingers(track_of(landmarks)), fingers)[5:-5].max() < 5


def test_landmarks_with_noise_give_rotations_near_the_true_ones(made):
    fingers, _, landmarks = made
    noisy = landmarks + np.random.default_rng(0).normal(size=landmarks.shape) * 0.003
    assert degrees_apart(fit_fingers(track_of(noisy)), fingers)[5:-5].mean() < 8


def test_hands_of_any_size_give_the_same_rotations(made):
    _, _, landmarks = made
    small, large = (fit_fingers(track_of(landmarks * scale)) for scale in (0.7, 1.0))
    assert degrees_apart(small, large).max() < 0.1


def test_the_palm_tells_how_a_hand_is_turned(made):
    _, turns, landmarks = made
    np.testing.assert_allclose(palm_frames(landmarks), turns, atol=1e-6)


def test_a_hand_that_is_never_seen_is_relaxed_and_two_of_them_are_nothing(made):
    _, _, landmarks = made
    confidences = np.ones((90, 2))
    confidences[:, 1] = 0
    landmarks[:, 1] = 0
    fitted = fit_fingers(track_of(landmarks, confidences))
    relaxed = rotations_of_angles(np.tile(RELAXED_ANGLES, (90, 2, 1, 1)))
    np.testing.assert_allclose(fitted[:, 15:], relaxed[:, 15:], atol=1e-6)
    assert fit_fingers(track_of(landmarks, np.zeros((90, 2)))) is None


def test_tracks_of_wrong_shapes_are_refused(made):
    with pytest.raises(ValueError, match=r"`world_points` must be finite and have shape \(90, 2, 21, 3\)"):
        HandTrack(np.zeros((90, 2, 21, 2)), made[2][:, :, :20], np.ones((90, 2)))


def body_points(wrist=(100.0, 200.0), direction=(0.0, -1.0)):
    points = np.full((33, 2), 1e3)
    ahead = np.array(direction) * 20
    points[LANDMARK_INDEX["left_wrist"]] = wrist
    points[LANDMARK_INDEX["left_index"]] = points[LANDMARK_INDEX["left_pinky"]] = wrist + ahead
    return points


@pytest.mark.parametrize("direction", [(0.0, -1.0), (1.0, 0.0), (0.0, 1.0), (-0.6, 0.8)])
def test_the_fingers_of_a_region_point_upward_in_it(direction):
    region = region_of_body(body_points(direction=direction), "left")
    assert region.size == pytest.approx(2 * BODY_SCALE * 20)
    lower, upper = region.to_picture(np.array([[0.5, 1.0], [0.5, 0.0]]))
    np.testing.assert_allclose((upper - lower) / region.size, direction, atol=1e-9)
    wrist = body_points(direction=direction)[LANDMARK_INDEX["left_wrist"]]
    assert ((wrist - lower) @ np.array(direction)) > 0


def test_the_next_region_holds_the_hand_and_turns_with_it(made):
    points = made[2][0, 0, :, :2] * 1000 + 300
    region = region_of_hand(points)
    places = (points - [region.x, region.y]) @ region.axes / region.size + 0.5
    assert places.min() > -0.2 and places.max() < 1.2
    quarter = np.array([[0.0, -1.0], [1.0, 0.0]])
    turned = region_of_hand(points @ quarter.T)
    assert turned.size == pytest.approx(region.size)
    np.testing.assert_allclose([turned.x, turned.y], quarter @ [region.x, region.y], atol=1e-9)


def test_a_hand_too_small_to_see_has_no_region():
    points = body_points()
    points[LANDMARK_INDEX["left_index"]] = points[LANDMARK_INDEX["left_pinky"]] = [100.0, 198.5]
    assert region_of_body(points, "left") is None


class FixedReader(HandReader):
    """Sees one hand at a given wrist, and says where it looked."""

    def __init__(self, hand_points, hidden=()):
        self.points, self.hidden, self.refined, self.looks = hand_points, hidden, 0, 0

    def refine(self, picture, region):
        self.refined += 1
        return region

    def landmarks(self, picture, region):
        from infinitedance.capture.hands import Hand

        self.looks += 1
        if int(picture[0, 0, 0]) in self.hidden:
            return None
        return Hand(self.points, np.ones((21, 3)), 0.9, region_of_hand(self.points))


def hand_at(wrist):
    places = np.random.default_rng(1).uniform(-15, 15, (21, 2)) - [0, 20]
    places[0] = 0
    return places + wrist


def track_with_left_hand(num_frames, confidence=1.0):
    confidences = np.zeros((num_frames, 33))
    confidences[:, [LANDMARK_INDEX["left_wrist"]]] = confidence
    points = np.tile(body_points(), (num_frames, 1, 1))
    return LandmarkTrack(0, 0, 0, (640, 480), points, confidences, np.zeros((num_frames, 33, 3)))


def pictures(num_frames):
    return (np.full((480, 640, 3), frame, np.uint8) for frame in range(num_frames))


def test_a_hand_is_followed_and_looked_for_anew_after_it_was_lost():
    reader = FixedReader(hand_at([100.0, 200.0]), hidden={3, 4})
    hands = reader.follow(pictures(8), track_with_left_hand(8))
    assert hands.confidences[:, 0].tolist() == pytest.approx([0.9, 0.9, 0.9, 0, 0, 0.9, 0.9, 0.9])
    assert not hands.confidences[:, 1].any()
    assert reader.refined == 4  # at the start, twice while it is hidden, and where it comes back
    np.testing.assert_allclose(hands.image_points[0, 0], reader.points, atol=1e-4)


@pytest.mark.parametrize(("wrist", "confidence"), [((400.0, 200.0), 1.0), ((100.0, 200.0), 0.1)])
def test_a_hand_far_from_the_wrist_or_of_an_unsure_wrist_is_not_taken(wrist, confidence):
    reader = FixedReader(hand_at(wrist))
    assert not reader.follow(pictures(3), track_with_left_hand(3, confidence)).confidences.any()


def test_pictures_must_be_as_many_as_frames():
    with pytest.raises(ValueError, match="zip"):
        FixedReader(hand_at([100.0, 200.0])).follow(pictures(2), track_with_left_hand(3))


def test_the_networks_find_the_hands_of_a_real_dancer(shared_data_dir):
    from infinitedance.capture.blazepose import BlazePose
    from infinitedance.capture.models import find_models
    from infinitedance.capture.video_reading import read_pictures

    try:
        reader, body = HandReader(find_hand_models()), BlazePose(find_models(network="full"))
    except FileNotFoundError as error:
        pytest.skip(str(error))
    video = shared_data_dir / "video" / "mgt_dancer.avi"
    track = body.track_single(picture for _, picture in read_pictures(video, range(330, 360)))
    track = replace(track, first_frame=track.first_frame + 330)
    hands = read_hands(video, track, reader)
    assert (hands.confidences > 0.5).mean() > 0.5
    fitted = fit_fingers(hands)
    assert fitted.shape == (track.num_frames, 30, 4) and np.isfinite(fitted).all()
