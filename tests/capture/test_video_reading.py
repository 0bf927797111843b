"""Pictures out of made video files: their times, their sides up, and files that are none."""

from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest

from infinitedance.capture.video_reading import open_video, read_ahead, read_pictures, thin_out

WHITE, SIZE = 255, (64, 48)


def numbered(count: int, size=SIZE) -> list[np.ndarray]:
    """Make pictures whose brightness is their number, times 4."""
    return [np.full((size[1], size[0], 3), 4 * index, np.uint8) for index in range(count)]


def read(path) -> tuple[list[float], list[int], object]:
    with open_video(path) as video:
        pictures = list(video.pictures())
        return [each.seconds for each in pictures], [round(each.pixels.mean() / 4) for each in pictures], video


def test_all_pictures_of_a_slow_video_are_read_at_their_times(tmp_path, write_pictures):
    seconds, numbers, video = read(write_pictures(tmp_path / "a.mp4", numbered(20), np.arange(20) / 10))
    np.testing.assert_allclose(seconds, np.arange(20) / 10, atol=1e-3)
    assert numbers == list(range(20))
    assert video.seconds == pytest.approx(2.0, abs=1e-3)
    assert "10.0 pictures a second" in video.notes[0]


@pytest.mark.parametrize("rate", [60, 120, 240])
def test_a_fast_video_is_read_at_30_hz(tmp_path, write_pictures, rate):
    step = rate // 30
    seconds, numbers, video = read(write_pictures(tmp_path / "a.mp4", numbered(60), np.arange(60) / rate))
    expected = list(range(0, 60, step))
    assert numbers[: len(expected)] == expected
    assert len(numbers) <= len(expected) + 1  # and perhaps the last one
    np.testing.assert_allclose(seconds, np.array(numbers) / rate, atol=1e-3)
    assert video.notes == []


def test_of_pictures_at_any_times_the_nearest_to_30_hz_are_read(tmp_path, write_pictures):
    times = np.cumsum(np.random.default_rng(0).uniform(0.004, 0.07, 60))
    seconds, numbers, _ = read(write_pictures(tmp_path / "a.mkv", numbered(60), times))
    times = np.round(times - times[0], 3)
    grid = np.arange(0, times[-1], 1 / 30)
    nearest = {int(np.abs(times - time).argmin()) for time in grid}
    assert set(numbers) >= {number for number in nearest if abs(times[number] * 30 % 1 - 0.5) > 0.1}
    np.testing.assert_allclose(seconds, times[numbers], atol=2e-3)


def test_thinning_keeps_the_first_and_never_repeats():
    kept = list(thin_out([(index / 50, index) for index in range(50)], 30))
    indices = [index for _, index in kept]
    assert indices[0] == 0 and len(set(indices)) == len(indices)
    grid = np.arange(30) / 30
    assert all(np.abs(np.array(indices) / 50 - time).min() <= 0.01 + 1e-9 for time in grid)


def test_the_start_of_the_pictures_is_time_0(tmp_path, write_pictures):
    seconds, _, _ = read(write_pictures(tmp_path / "a.mkv", numbered(10), 5 + np.arange(10) / 30))
    np.testing.assert_allclose(seconds, np.arange(10) / 30, atol=1e-3)


def corner(picture: np.ndarray) -> str:
    """Return which corner of a picture is bright."""
    height, width = picture.shape[:2]
    bright = {
        f"{vertical} {horizontal}": picture[rows, columns].mean()
        for vertical, rows in (("upper", slice(0, height // 4)), ("lower", slice(-height // 4, None)))
        for horizontal, columns in (("left", slice(0, width // 4)), ("right", slice(-width // 4, None)))
    }
    return max(bright, key=bright.__getitem__)


@pytest.mark.parametrize(
    ("rotation", "where", "size"),
    [
        (0, "upper left", (64, 48)),
        (90, "lower left", (48, 64)),
        (180, "lower right", (64, 48)),
        (-90, "upper right", (48, 64)),
    ],
)
def test_a_turned_video_is_read_upright(tmp_path, write_pictures, rotation, where, size):
    picture = np.zeros((48, 64, 3), np.uint8)
    picture[:12, :16] = WHITE
    path = write_pictures(tmp_path / "a.mp4", [picture] * 5, np.arange(5) / 30, rotation=rotation)
    with open_video(path) as video:
        first = next(video.pictures()).pixels
        assert video.image_size == size == (first.shape[1], first.shape[0])
        assert corner(first) == where


def test_pixels_that_are_not_square_are_made_square(tmp_path, write_pictures):
    path = write_pictures(tmp_path / "a.mp4", numbered(5, (48, 48)), np.arange(5) / 30, aspect=Fraction(4, 3))
    with open_video(path) as video:
        assert video.image_size == (64, 48)
        assert next(video.pictures()).pixels.shape == (48, 64, 3)


def test_a_large_video_is_scaled_down_but_its_size_is_told_in_full(tmp_path, write_pictures):
    path = write_pictures(tmp_path / "a.mp4", numbered(2, (3840, 2160)), [0, 1 / 30])
    with open_video(path) as video:
        assert video.image_size == (3840, 2160)
        assert next(video.pictures()).pixels.shape == (1080, 1920, 3)
    ((number, full),) = read_pictures(path, [1])
    assert (number, full.shape) == (1, (2160, 3840, 3))


def test_odd_sizes_are_read(tmp_path, write_pictures):
    path = write_pictures(
        tmp_path / "a.mkv", numbered(3, (63, 47)), np.arange(3) / 30, codec="ffv1", pixel_format="yuv444p"
    )
    with open_video(path) as video:
        assert next(video.pictures()).pixels.shape == (47, 63, 3)


def test_interlaced_rows_of_another_moment_are_left_out(tmp_path, write_pictures):
    comb = np.zeros((48, 64, 3), np.uint8)
    comb[1::2] = WHITE
    path = write_pictures(tmp_path / "a.mkv", [comb] * 5, np.arange(5) / 30, codec="ffv1", pixel_format="yuv444p")
    with open_video(path) as video:
        frame = video._first
        assert np.ptp(video._layout.pixels(frame)) > 200
        interlaced = SimpleNamespace(interlaced_frame=True, to_ndarray=frame.to_ndarray)
        assert np.ptp(video._layout.pixels(interlaced)) < 10


def test_pictures_are_found_by_their_frames(tmp_path, write_pictures):
    path = write_pictures(tmp_path / "a.mp4", numbered(20), np.arange(20) / 15)
    found = {number: round(picture.mean() / 4) for number, picture in read_pictures(path, [0, 10, 11, 22, 500])}
    assert found == {0: 0, 10: 5, 11: 5, 22: 11, 500: 19}


def test_the_sound_of_a_video_says_when_its_first_picture_is_shown(tmp_path, write_sound):
    song = np.zeros((2, 24_000), np.float32)
    path = write_sound(tmp_path / "a.mp4", "mp4", "aac", song, 24_000, video=2.0)
    with open_video(path) as video:
        assert video.has_sound
        assert video.sound_offset_seconds == pytest.approx(0, abs=0.03)


@pytest.fixture
def made(tmp_path, write_pictures):
    return write_pictures(tmp_path / "made.avi", numbered(60), np.arange(60) / 30)


def test_a_cut_file_is_read_to_its_end_and_that_is_said(tmp_path, write_pictures):
    content = write_pictures(tmp_path / "made.mkv", numbered(60), np.arange(60) / 30).read_bytes()
    path = tmp_path / "cut.mkv"
    path.write_bytes(content[: len(content) // 2])
    seconds, numbers, video = read(path)
    assert 5 < len(numbers) < 60
    assert numbers == list(range(len(numbers)))
    assert any("promises 2.0 s" in note and "What is there is used." in note for note in video.notes)


def test_damage_is_told(tmp_path, made):
    content = bytearray(made.read_bytes())
    places = np.random.default_rng(0).integers(len(content) // 4, len(content) * 3 // 4, 200)
    for place in places:
        content[place] ^= 0xFF
    path = tmp_path / "damaged.avi"
    path.write_bytes(content)
    _, numbers, video = read(path)
    assert numbers
    assert any("damaged" in note or "may be cut" in note for note in video.notes)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.mp4", b"", "is empty"),
        ("noise.mp4", bytes(range(256)) * 40, "cannot be read as a video"),
        ("text.mp4", b"no video at all\n" * 20, "cannot be read as a video"),
    ],
)
def test_what_is_no_video_is_an_error_that_names_it(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"{name}.* {message}"), open_video(tmp_path / name):
        pass


def test_a_folder_and_a_missing_file_are_errors(tmp_path):
    with pytest.raises(ValueError, match="is not a file"), open_video(tmp_path):
        pass
    with pytest.raises(FileNotFoundError, match="nothing.mp4 does not exist"), open_video(tmp_path / "nothing.mp4"):
        pass


def test_a_picture_is_no_video(tmp_path):
    import cv2

    for suffix in (".png", ".jpg"):
        path = tmp_path / f"photo{suffix}"
        path.write_bytes(cv2.imencode(suffix, np.zeros((40, 40, 3), np.uint8))[1].tobytes())
        with pytest.raises(ValueError, match="is a picture. Give a video"), open_video(path):
            pass


def test_sound_alone_is_no_video(tmp_path, write_sound):
    path = write_sound(tmp_path / "song.mp3", "mp3", "mp3", np.zeros((2, 24_000), np.float32), 24_000)
    with pytest.raises(ValueError, match="holds only sound"), open_video(path):
        pass


def test_a_file_that_names_other_files_opens_none(tmp_path, made):
    path = tmp_path / "list.mp4"
    path.write_text(f"ffconcat version 1.0\nfile {made.name}\n")
    with pytest.raises(ValueError), open_video(path):
        pass


def test_an_error_of_the_second_thread_is_raised_in_the_first():
    def broken():
        yield 1
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        list(read_ahead(broken()))


def test_a_reader_that_is_left_early_ends_its_thread(made):
    import threading

    before = threading.active_count()
    with open_video(made) as video:
        pictures = video.pictures()
        next(pictures)
        pictures.close()
    assert threading.active_count() == before


def test_a_closed_file_is_let_go(made):
    with open_video(made):
        pass
    assert made.unlink() is None
