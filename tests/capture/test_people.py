"""From made video files to tracks: what is in a video, shot by shot, and what cannot be used is said."""

import numpy as np
import pytest

from infinitedance.capture.landmarks import LANDMARK_INDEX
from infinitedance.capture.people import choose, interpolate, prominence, to_track, track_people
from infinitedance.capture.tracking import Person

RED, GREEN, BLUE = (220, 40, 40), (40, 200, 40), (40, 40, 220)
NOBODY = np.zeros((2, 3))


@pytest.fixture
def video_of(tmp_path, write_pictures, picture_of):
    """Write a video of people, each `(x of the frame, color)`: `video_of(90, person, ..., rate=30)`."""

    def make(count, *people, rate=30.0, times=None, pictures=(), **options):
        times = np.arange(count) / rate if times is None else times
        made = [picture_of(*((x(time), *rest) for x, *rest in people)) for time in times]
        made += list(pictures)
        return write_pictures(
            tmp_path / "dance.mp4", made, [*times, *(times[-1] + (np.arange(len(pictures)) + 1) / rate)]
        )

    return make


def hips(track) -> np.ndarray:
    return track.image_points[:, LANDMARK_INDEX["left_hip"], 0]


def walk(time):
    return 60 + 60 * time


@pytest.mark.parametrize("rate", [10, 24, 25, 29.97, 60, 240])
def test_a_track_has_30_hz_whatever_the_rate_of_the_video(video_of, finder, rate):
    facts, (track,) = track_people(video_of(int(1.5 * rate), (walk, RED), rate=rate), finder)
    assert facts.picture_rate == pytest.approx(rate, rel=0.01)
    assert facts.seconds == pytest.approx(1.5, abs=0.07)
    assert track.num_frames == pytest.approx(1.5 * 30, abs=4)
    expected = hips(track)[0] + 60 * np.arange(track.num_frames) / 30
    np.testing.assert_allclose(hips(track), expected, atol=2.0)  # rectangles begin at whole pixels
    assert (track.confidences == 1).all()


def test_a_video_whose_rate_varies_keeps_its_time(video_of, finder):
    times = np.cumsum(np.random.default_rng(0).uniform(0.01, 0.08, 60))
    _, (track,) = track_people(video_of(60, (walk, RED), times=times - times[0]), finder)
    np.testing.assert_allclose(hips(track), hips(track)[0] + 2 * np.arange(track.num_frames), atol=2.0)


def test_nobody_is_followed_across_a_cut(video_of, finder, picture_of):
    other = [255 - picture_of((250, (35, 215, 215)))[:, ::-1].copy() for _ in range(45)]  # red again, elsewhere
    facts, tracks = track_people(video_of(45, (walk, RED), pictures=other), finder, "all")
    assert facts.shot_starts == (0, 45)
    assert [(track.shot, track.person, track.first_frame, track.num_frames) for track in tracks] == [
        (0, 0, 0, 45),
        (1, 0, 45, 45),
    ]


def test_8_seconds_of_black_between_two_dances_are_no_dance(video_of, finder, picture_of):
    pictures = [np.zeros_like(picture_of())] * 80 + [picture_of((160, RED))] * 15
    _, tracks = track_people(video_of(15, (walk, RED), pictures=pictures, rate=10), finder, "all")
    assert [(track.first_frame, track.num_frames) for track in tracks] == [(0, 43), (285, 43)]


def test_the_most_prominent_person_comes_first_and_is_the_default(video_of, finder):
    path = video_of(12, (lambda t: 40, GREEN, 60), (lambda t: 160, RED, 150), (lambda t: 290, BLUE, 60), rate=10)
    _, everybody = track_people(path, finder, "all")
    _, (first,) = track_people(path, finder)
    assert [track.person for track in everybody] == [0, 1, 2]
    assert hips(first).mean() == pytest.approx(160, abs=20)
    np.testing.assert_array_equal(first.image_points, everybody[0].image_points)
    _, (last,) = track_people(path, finder, "2")
    assert last.person == 2
    with pytest.raises(ValueError, match="dance.mp4: no shot has a person 3. .* to 2"):
        track_people(path, finder, "3")


def test_a_gap_within_a_track_is_0_and_not_invented(video_of, finder):
    def away(time):
        return -200 if 1 <= time < 1.6 else 160

    _, (track,) = track_people(video_of(90, (away, RED)), finder)
    is_found = track.confidences.max(axis=1) > 0
    assert track.num_frames == 90
    np.testing.assert_array_equal(np.flatnonzero(~is_found), np.arange(30, 48))
    assert not track.image_points[~is_found].any()


@pytest.mark.parametrize(
    ("count", "people", "message"),
    [
        (60, [], "dance.mp4: nobody is seen in its 2.0 s. Film the whole body"),
        (40, [(lambda time: 60 if time < 0.7 else -200, RED)], "nobody is seen for 1 s in one shot in its 1.3 s"),
        (20, [(walk, RED)], "dance.mp4 lasts 0.67 s. Give a video of 1 s or more"),
        (1, [(walk, RED)], "dance.mp4 lasts 0.0"),
    ],
)
def test_a_video_without_a_dance_is_an_error_that_says_why(video_of, finder, count, people, message):
    with pytest.raises(ValueError, match=message):
        track_people(video_of(count, *people), finder)


def test_landmarks_are_in_pixels_of_the_whole_video(tmp_path, write_pictures, picture_of, finder):
    picture = picture_of((2000, RED, 1000), size=(2560, 1440))
    path = write_pictures(tmp_path / "large.mp4", [picture] * 12, np.arange(12) / 10)
    _, (track,) = track_people(path, finder)
    assert track.image_size == (2560, 1440)
    assert track.image_points[0, LANDMARK_INDEX["nose"], 0] == pytest.approx(2000, abs=10)


def test_the_same_video_gives_the_same_tracks(video_of, finder):
    path = video_of(60, (walk, RED))
    (first,), (second,) = (track_people(path, finder)[1] for _ in range(2))
    np.testing.assert_array_equal(first.image_points, second.image_points)


def test_a_parabola_is_interpolated_exactly():
    times = np.array([0, 0.04, 0.08, 0.13, 0.16])
    wanted = np.linspace(0, 0.16, 9)
    found = interpolate(times, (3 * times**2 - times)[:, None], wanted)
    np.testing.assert_allclose(found[:, 0], 3 * wanted**2 - wanted, atol=1e-12)


def test_one_and_two_values_are_interpolated():
    np.testing.assert_array_equal(interpolate(np.array([0.0]), np.array([[5.0]]), np.array([0.0])), [[5.0]])
    np.testing.assert_allclose(interpolate(np.array([0, 1.0]), np.array([[0], [2.0]]), np.array([0.25])), [[0.5]])


def test_a_person_who_is_seen_in_few_frames_is_no_track(landmarks_at):
    places = [landmarks_at(0, 30, 0, 100)] * 10
    seconds = [0.9 * index for index in range(10)]
    assert to_track(Person(seconds, places, NOBODY, NOBODY), 0, (320, 180), 1.0) is None


def test_a_person_at_the_edge_is_less_prominent(landmarks_at):
    def track(left):
        seconds = [index / 30 for index in range(40)]
        return to_track(
            Person(seconds, [landmarks_at(left, left + 30, 40, 140)] * 40, NOBODY, NOBODY), 0, (320, 180), 1
        )

    assert prominence(track(145)) > prominence(track(10)) > 0


def test_a_person_that_is_no_number_is_an_error(landmarks_at):
    with pytest.raises(ValueError, match="`person` must be first, all or a number from 0, got 'left'"):
        choose([], "left", "dance.mp4")


@pytest.mark.shared_data
def test_a_real_dancer_is_followed_from_first_to_last(tmp_path, repository_root, blazepose):
    path = repository_root.parent / "shared/data/video/mgt_dancer.avi"
    if not path.exists():
        pytest.skip("the real video is absent")
    (tmp_path / "dancer.avi").write_bytes(path.read_bytes()[:300_000])  # a cut file: its first seconds
    facts, (track,) = track_people(tmp_path / "dancer.avi", blazepose)
    assert facts.has_sound and facts.shot_starts == (0,)
    assert 4 < facts.seconds < 10 and track.first_frame == 0
    assert track.num_frames == pytest.approx(facts.seconds * 30, abs=3)
    assert (track.confidences.max(axis=1) > 0).mean() > 0.99
    assert track.confidences.mean() > 0.9
