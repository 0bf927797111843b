"""Videos to a clip folder."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from infinitedance.capture.hand_landmarks import HandTrack
from infinitedance.capture.landmark_files import load_landmarks
from infinitedance.capture.tools import CaptureTools
from infinitedance.dataset_builder import capture_entries, entry_files
from infinitedance.dataset_builder.clip_folder import read_clip_folder
from infinitedance.dataset_builder.pulse_clock import read_beats
from infinitedance.dataset_builder.video_clips import capture_videos
from infinitedance.dataset_builder.video_files import find_videos
from infinitedance.dataset_builder.video_jobs import CaptureOptions
from infinitedance.motion.files import load_motion


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "metadata.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def video(tmp_path, write_video) -> Path:
    return write_video(tmp_path / "videos" / "solo.mkv")


def test_a_video_becomes_a_clip_folder(video, tmp_path, seeing_tools):
    options = CaptureOptions(genre="waltz", license="CC BY 4.0", performer="dancer one")
    record = capture_videos([video], tmp_path / "out", options, seeing_tools)
    assert [clip["clip"] for clip in record["clips"]] == ["solo"]
    (clip,) = read_clip_folder(tmp_path / "out")
    assert (clip.genre, clip.license, clip.performer_id) == ("waltz", "CC BY 4.0", "dancer one")
    assert (clip.song_id, clip.source, clip.aligned, clip.duration_seconds) == ("solo", "video", True, 2.0)
    motion = load_motion(clip.motion_path)
    assert (motion.num_frames, motion.frame_rate) == (60, 30)
    assert motion.provenance["video"] == "solo.mkv"
    assert motion.provenance["focal_length"] == "guessed"
    assert motion.provenance["model_licenses"] == {"lifter": "cc-by-4.0"}


def test_the_first_sample_is_heard_with_the_first_frame(video, tmp_path, seeing_tools, click_times):
    capture_videos([video], tmp_path / "out", None, seeing_tools)
    sound, rate = soundfile.read(tmp_path / "out/sound/solo.flac", dtype="float32")
    assert len(sound) == 2 * rate
    np.testing.assert_allclose(click_times(sound, rate), [0.25, 0.75, 1.25, 1.75], atol=0.005)  # it begins at 0.5 s


def test_the_beats_are_those_of_the_sound(video, tmp_path, seeing_tools):
    capture_videos([video], tmp_path / "out", None, seeing_tools)
    clock = read_beats(tmp_path / "out/beats/solo.txt", "waltz")
    inside = clock.beat_times_seconds[(clock.beat_times_seconds > 0) & (clock.beat_times_seconds < 2)]
    assert all(min(abs((time - 0.25) % 0.5), 0.5 - (time - 0.25) % 0.5) < 0.05 for time in inside)
    assert clock.beat_times_seconds[0] < 0
    assert clock.beat_times_seconds[-1] > 2


def test_landmarks_lie_beside_the_dance(video, tmp_path, seeing_tools):
    capture_videos([video], tmp_path / "out", None, seeing_tools)
    track, camera = load_landmarks(tmp_path / "out/landmarks/solo.npz")
    assert (track.first_frame, track.num_frames) == (15, 60)
    assert camera.image_size == (640, 480)


def test_every_person_of_every_shot_is_a_clip_and_they_share_the_song(tmp_path, write_video, seeing_tools):
    capture_videos([write_video(tmp_path / "pair.mkv")], tmp_path / "out", None, seeing_tools)
    rows = rows_of(tmp_path / "out")
    assert [row["clip"] for row in rows] == ["pair~s0p0", "pair~s0p1", "pair~s1p0"]
    assert {row["song_id"] for row in rows} == {"pair"}
    assert [row["video_start_seconds"] for row in rows] == ["0.5", "0.0", "3.0"]


def test_a_genre_that_nobody_gave_is_marked_as_guessed(video, tmp_path, seeing_tools):
    capture_videos([video], tmp_path / "out", None, seeing_tools)
    (row,) = rows_of(tmp_path / "out")
    assert (row["genre"], row["genre_source"], row["genre_confidence"]) == ("not labeled", "guessed", "0.0")
    assert "no guess is sure enough" in (tmp_path / "out/report.html").read_text()


def test_two_videos_of_one_name_are_two_clips(tmp_path, write_video, seeing_tools):
    videos = [write_video(tmp_path / folder / "take.mkv", seed) for seed, folder in enumerate(("a", "b"))]
    record = capture_videos(videos, tmp_path / "out", None, seeing_tools)
    names = [clip["clip"] for clip in record["clips"]]
    assert len(set(names)) == 2
    assert all(name.startswith("take~") for name in names)
    backwards = capture_videos(videos[::-1], tmp_path / "other", None, seeing_tools)
    assert [clip["clip"] for clip in backwards["clips"]] == names[::-1]


def test_a_video_that_is_given_twice_is_captured_once(video, tmp_path, seeing_tools):
    copy = Path(shutil.copy(video, tmp_path / "copy.mkv"))
    record = capture_videos([video, copy], tmp_path / "out", None, seeing_tools)
    assert [clip["clip"] for clip in record["clips"]] == ["solo"]


def test_the_same_command_again_keeps_what_is_there(video, tmp_path, seeing_tools):
    capture_videos([video], tmp_path / "out", None, seeing_tools)
    before = files_of(tmp_path / "out")
    record = capture_videos([video], tmp_path / "out", None, seeing_tools)
    assert record["kept"] == ["solo"]
    assert seeing_tools.tracked == ["solo.mkv"]
    assert files_of(tmp_path / "out") == before


class Killed(BaseException):
    pass


@pytest.mark.parametrize("num_written", range(0, 16, 2))
def test_a_kill_at_any_write_ends_in_the_same_bytes(tmp_path, write_video, seeing_tools, monkeypatch, num_written):
    videos = [write_video(tmp_path / name, seed) for seed, name in enumerate(("one.mkv", "nobody.mkv", "two.mkv"))]
    capture_videos(videos, tmp_path / "whole", None, seeing_tools)
    write, left = entry_files.write_content, [num_written]

    def write_or_die(path: Path, content: bytes) -> None:
        if not left[0]:
            raise Killed
        left[0] -= 1
        write(path, content)

    with monkeypatch.context() as patch:
        for module in (capture_entries, entry_files):
            patch.setattr(module, "write_content", write_or_die)
        with pytest.raises(Killed):
            capture_videos(videos, tmp_path / "killed", None, seeing_tools)
    capture_videos(videos, tmp_path / "killed", None, seeing_tools)
    assert files_of(tmp_path / "killed") == files_of(tmp_path / "whole")


def test_a_clip_that_was_damaged_is_made_again(video, tmp_path, seeing_tools):
    capture_videos([video], tmp_path / "out", None, seeing_tools)
    before = files_of(tmp_path / "out")
    (tmp_path / "out/sound/solo.flac").write_bytes(b"damaged")
    assert capture_videos([video], tmp_path / "out", None, seeing_tools)["kept"] == []
    assert files_of(tmp_path / "out") == before


def test_later_videos_join_the_folder(video, tmp_path, write_video, seeing_tools):
    capture_videos([video], tmp_path / "out", None, seeing_tools)
    other = write_video(tmp_path / "other.mkv", 7)
    capture_videos([other], tmp_path / "out", CaptureOptions(height_metres=1.6), seeing_tools)
    assert [row["clip"] for row in rows_of(tmp_path / "out")] == ["other", "solo"]


@pytest.mark.parametrize(
    ("options", "version", "name"),
    [
        (CaptureOptions(height_metres=1.6), "1", "height metres"),
        (CaptureOptions(genre="waltz"), "1", "genre"),
        (CaptureOptions(), "2", "lifter"),
    ],
)
def test_clips_that_were_made_from_something_else_are_an_error(video, tmp_path, seeing_tools, options, version, name):
    capture_videos([video], tmp_path / "out", None, seeing_tools)
    before = files_of(tmp_path / "out")
    seeing_tools.version = version
    with pytest.raises(FileExistsError, match=f"made from another {name}"):
        capture_videos([video], tmp_path / "out", options, seeing_tools)
    assert files_of(tmp_path / "out") == before


@pytest.mark.parametrize("name", ["metadata.csv", "report.html", "motion/solo.npz"])
def test_files_of_others_are_never_touched(video, tmp_path, seeing_tools, name):
    path = tmp_path / "out" / name
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    with pytest.raises(FileExistsError, match="exists already"):
        capture_videos([video], tmp_path / "out", None, seeing_tools)
    assert path.read_text() == "mine"


def test_a_video_that_cannot_be_captured_is_named_and_the_others_are_captured(video, write_video, seeing_tools):
    folder = video.parent
    wrong = [write_video(folder / f"{name}.mkv", seed) for seed, name in enumerate(("nobody", "broken", "short"), 1)]
    record = capture_videos([*wrong, folder / "absent.mkv", folder, video], folder / "out", None, seeing_tools)
    assert [clip["clip"] for clip in record["clips"]] == ["solo"]
    reasons = {item["video"]: item["reason"] for item in record["left_out"]}
    assert reasons["nobody.mkv"] == "nobody.mkv: nobody dances in it. Film a person from head to feet."
    assert reasons["broken.mkv"] == "broken.mkv: ZeroDivisionError: of a defect"
    assert "at least 4 frames" in reasons["short.mkv"]
    assert "does not exist" in reasons["absent.mkv"]
    assert "is a folder" in reasons["videos"]
    assert "nobody dances in it" in (folder / "out/report.html").read_text()


def test_no_video_at_all_is_an_error_that_writes_nothing(tmp_path, seeing_tools):
    with pytest.raises(FileNotFoundError, match="absent.mkv does not exist"):
        capture_videos([tmp_path / "absent.mkv"], tmp_path / "out", None, seeing_tools)
    assert not (tmp_path / "out").exists()


def test_an_output_that_is_a_file_is_refused(video, tmp_path, seeing_tools):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(FileExistsError, match="must be a folder"):
        capture_videos([video], tmp_path / "out", None, seeing_tools)


def test_a_failed_video_is_tried_again(tmp_path, write_video, seeing_tools, monkeypatch):
    video = write_video(tmp_path / "solo.mkv")
    with monkeypatch.context() as patch:
        patch.setattr(seeing_tools, "track", lambda *_: 1 / 0)
        assert capture_videos([video], tmp_path / "out", None, seeing_tools)["left_out"]
    assert capture_videos([video], tmp_path / "out", None, seeing_tools)["clips"]


def test_a_video_without_sound_is_a_clip_without_sound(tmp_path, seeing_tools):
    (tmp_path / "mute.mkv").write_bytes(b"no sound can be read from this")
    record = capture_videos([tmp_path / "mute.mkv"], tmp_path / "out", None, seeing_tools)
    (row,) = rows_of(tmp_path / "out")
    assert (row["audio"], row["aligned"], row["bpm"], row["beats"]) == ("", "0", "", "")
    assert len(record["clips"]) == 1
    assert "The dances have no sound: mute.mkv" in (tmp_path / "out/report.html").read_text()


def test_the_report_shows_stills_numbers_and_the_gates(video, tmp_path, seeing_tools):
    capture_videos([video], tmp_path / "out", CaptureOptions(license="<mine>"), seeing_tools)
    page = (tmp_path / "out/report.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 1
    assert "&lt;mine&gt;" in page
    assert "The quality gates pass this clip." in page
    assert "feet restored" in page
    assert "http" not in page


def test_entries_tell_what_a_clip_was_made_from(video, tmp_path, seeing_tools):
    capture_videos([video], tmp_path / "out", None, seeing_tools)
    made_from = json.loads((tmp_path / "out/captures/solo.json").read_text())["made_from"]
    assert {"video_sha256", "height_metres", "lifter_sha256", "version"} <= made_from.keys()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"person": "last"}, "`person` must be first, all or a number"),
        ({"height_metres": 17.0}, "`height_metres` must be from 0.5 to 2.5"),
        ({"focal_length_pixels": 0.0}, "`focal_length_pixels` must be a positive number"),
    ],
)
def test_options_out_of_range_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        CaptureOptions(**values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"colour": "red"}, "takes the options genre, license, performer, person, height, focal_length, physics"),
        ({"height": "tall"}, "`height` must be a number"),
        ({"physics": "yes"}, "`physics` must be 0 or 1"),
        ({"hands": "both"}, "`hands` must be 0 or 1"),
    ],
)
def test_options_of_a_source_are_read_or_refused(values, message):
    assert CaptureOptions.parse({"hands": "1"}) == CaptureOptions(hands=True)
    assert CaptureOptions.parse({"height": "1.6", "physics": "1"}) == CaptureOptions(height_metres=1.6, physics=True)
    with pytest.raises(ValueError, match=message):
        CaptureOptions.parse(values)


def seen_hands(track, is_seen):
    """Hands whose landmarks lie anywhere, in every frame or in none."""
    points = np.random.default_rng(0).normal(size=(track.num_frames, 2, 21, 3)) * 0.05
    return HandTrack(np.zeros((track.num_frames, 2, 21, 2)), points, np.full((track.num_frames, 2), float(is_seen)))


@pytest.mark.parametrize("is_seen", [True, False])
def test_hands_give_a_clip_fingers_where_they_are_seen(video, tmp_path, seeing_tools, is_seen):
    seeing_tools.check_hands = lambda: None
    seeing_tools.hands = lambda _, track: seen_hands(track, is_seen)
    record = capture_videos([video], tmp_path / "out", CaptureOptions(hands=True), seeing_tools)
    motion = load_motion(tmp_path / "out" / "motion" / "solo.npz")
    capture_videos([video], tmp_path / "plain", None, seeing_tools)
    plain = load_motion(next((tmp_path / "plain" / "motion").glob("*.npz")))
    assert plain.finger_rotations is None
    np.testing.assert_array_equal(motion.joint_rotations, plain.joint_rotations)
    assert record["clips"][0]["hands_seen_share"] == is_seen
    assert (motion.finger_rotations is not None) == is_seen
    assert ("No hand was found: the dance has no fingers." in record["clips"][0]["notes"]) != is_seen


def test_absent_models_of_hands_are_told_before_anything_is_captured(video, tmp_path, seeing_tools):
    seeing_tools.check_hands = CaptureTools(models=str(tmp_path)).check_hands
    with pytest.raises(FileNotFoundError, match="hand_landmark_full.tflite is absent.*--fetch-models --hands"):
        capture_videos([video], tmp_path / "out", CaptureOptions(hands=True), seeing_tools)
    assert seeing_tools.tracked == []


def test_videos_are_found_at_any_depth(tmp_path):
    for name in ("b.MP4", "a/c.mov", "notes.txt", ".hidden.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert [path.name for path in find_videos(tmp_path)] == ["c.mov", "b.MP4"]
    with pytest.raises(FileNotFoundError, match="must be a folder"):
        next(find_videos(tmp_path / "absent"))
