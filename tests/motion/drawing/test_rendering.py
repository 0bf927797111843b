"""The video, the contact sheet and what is drawn on them."""

from dataclasses import replace

import av
import numpy as np
import pytest
import soundfile

from infinitedance.audio.loading import load_audio
from infinitedance.motion.motion import Motion
from infinitedance.motion.skeleton import CONTACT_JOINTS, JOINT_INDEX, JOINT_NAMES

cv2 = pytest.importorskip("cv2", reason="needs the extra `video`")

from infinitedance.motion.drawing.body_parts import BALLS  # noqa: E402
from infinitedance.motion.drawing.drawing import Painter  # noqa: E402
from infinitedance.motion.drawing.rendering import render_contact_sheet, render_video  # noqa: E402
from infinitedance.motion.drawing.scene import build_scene  # noqa: E402

SIZE = (320, 240)
IDENTITY = np.array([1.0, 0.0, 0.0, 0.0])


def standing(num_frames=3, **changes):
    """A body in its rest pose that looks along +Z, its toes on the floor."""
    rotations = np.tile(IDENTITY, (num_frames, 22, 1))
    root = np.tile([0.0, 0.98, 0.0], (num_frames, 1))
    return replace(Motion(30.0, root, rotations), **changes)


def turned(motion, joint, axis, degrees, frame=slice(None)):
    rotations = motion.joint_rotations.copy()
    half = np.radians(degrees) / 2
    rotations[frame, JOINT_INDEX[joint]] = [np.cos(half), *(np.sin(half) * np.array(axis))]
    return replace(motion, joint_rotations=rotations)


def pixel_of(scene, motion, joint, frame):
    pixels, _ = scene.project(motion.joint_positions()[frame, JOINT_INDEX[joint]].astype(float), frame)
    return pixels.round().astype(int)


def is_blue(color):
    return int(color[0]) > int(color[2]) + 40


def is_orange(color):
    return int(color[2]) > int(color[0]) + 40


@pytest.fixture
def tone(tmp_path):
    """Three seconds of silence with a click at 0.5 s."""
    samples = np.zeros(3 * 22050)
    samples[11025:11125] = 0.9
    soundfile.write(tmp_path / "song.wav", samples, 22050)
    return tmp_path / "song.wav"


def opened(path):
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        frames = [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]
        return video.codec_context, float(video.average_rate), frames


def sound_of(path):
    with av.open(str(path)) as container:
        blocks = [(frame.pts / frame.sample_rate, frame.to_ndarray()) for frame in container.decode(audio=0)]
    start = blocks[0][0]
    return start, np.concatenate([block for _, block in blocks], axis=1)[0], 48_000


def test_a_video_has_one_frame_for_each_frame_of_the_dance(moving, tmp_path):
    render_video(moving.cut(0, 20), tmp_path / "dance.mp4", size=SIZE)
    context, rate, frames = opened(tmp_path / "dance.mp4")
    assert (context.width, context.height) == SIZE
    assert context.codec.name == "h264" and context.pix_fmt == "yuv420p"
    assert rate == 30.0 and len(frames) == 20


def test_a_video_shows_what_was_drawn(moving, tmp_path):
    motion = moving.cut(0, 5)
    render_video(motion, tmp_path / "dance.mp4", size=SIZE)
    drawn = Painter(build_scene(motion, SIZE)).draw(4).astype(float)
    assert np.abs(opened(tmp_path / "dance.mp4")[2][4] - drawn).mean() < 4


def test_one_frame_is_a_video(moving, tmp_path):
    render_video(moving.cut(7, 8), tmp_path / "pose.mp4", size=SIZE)
    assert len(opened(tmp_path / "pose.mp4")[2]) == 1


def test_another_frame_rate_keeps_the_duration(moving, tmp_path):
    render_video(moving.cut(0, 30), tmp_path / "dance.mp4", size=SIZE, frame_rate=24)
    _, rate, frames = opened(tmp_path / "dance.mp4")
    assert rate == 24.0 and len(frames) == 24


def test_the_song_is_cut_to_the_dance_and_stays_in_time(moving, tone, tmp_path):
    render_video(moving.cut(0, 30), tmp_path / "dance.mp4", tone, size=SIZE)
    start, samples, rate = sound_of(tmp_path / "dance.mp4")
    assert abs(start) < 0.025
    assert len(samples) / rate == pytest.approx(1.0, abs=0.05)
    assert start + np.abs(samples).argmax() / rate == pytest.approx(0.5, abs=0.01)


def test_a_song_shorter_than_the_dance_just_ends(moving, tone, tmp_path):
    render_video(moving.cut(0, 105), tmp_path / "dance.mp4", tone, size=(64, 64))
    _, samples, rate = sound_of(tmp_path / "dance.mp4")
    assert len(samples) / rate == pytest.approx(3.0, abs=0.05)
    assert len(opened(tmp_path / "dance.mp4")[2]) == 105


@pytest.mark.parametrize("start", [0.0, 0.4])
@pytest.mark.parametrize(("container", "codec"), [("mp4", "aac"), ("mp3", "libmp3lame"), ("webm", "libopus")])
def test_the_sound_of_the_video_is_the_sound_of_the_dance(
    moving, write_sound, click_song, click_times, tmp_path, container, codec, start
):
    if container == "mp3" and start:
        pytest.skip("an mp3 has no time stamps")
    song = write_sound(tmp_path / "song", container, codec, click_song(48_000, 2.0), 48_000, start=start)
    danced = click_times(load_audio(song), 24_000)
    render_video(moving.cut(0, 90), tmp_path / "dance.mp4", song, size=(64, 64))
    shown = click_times(load_audio(tmp_path / "dance.mp4"), 24_000)
    np.testing.assert_allclose(shown, danced, atol=0.002)
    np.testing.assert_allclose(danced, start + np.array([0.25, 0.75, 1.25, 1.75]), atol=0.004)


def test_damage_in_the_song_leaves_no_video(moving, write_sound, click_song, tmp_path):
    song = write_sound(tmp_path / "song.m4a", "ipod", "aac", click_song(48_000), 48_000)
    content = song.read_bytes()
    song.write_bytes(content[: len(content) // 2] + bytes(400) + content[len(content) // 2 + 400 :])
    with pytest.raises(ValueError, match=r"song\.m4a is broken: at 2\.\d\d s"):
        render_video(moving.cut(0, 90), tmp_path / "dance.mp4", song, size=(64, 64))
    assert list(tmp_path.iterdir()) == [song]


def test_equal_dances_give_equal_videos(moving, make_moving, tone, tmp_path):
    render_video(moving.cut(0, 8), tmp_path / "first.mp4", tone, size=SIZE)
    render_video(make_moving().cut(0, 8), tmp_path / "second.mp4", tone, size=SIZE)
    assert (tmp_path / "first.mp4").read_bytes() == (tmp_path / "second.mp4").read_bytes()


@pytest.mark.parametrize(
    ("name", "arguments", "error", "message"),
    [
        ("dance.avi", {}, ValueError, "must end in .mp4 or"),
        ("absent/dance.mp4", {}, FileNotFoundError, "the folder .*absent does not exist"),
        ("dance.mp4", {"size": (321, 240)}, ValueError, "even numbers of at least 64"),
        ("dance.mp4", {"size": (2, 2)}, ValueError, "even numbers of at least 64"),
        ("dance.mp4", {"size": (35_556, 20_000)}, ValueError, "at most 4096"),
        ("dance.mp4", {"frame_rate": 29.97}, ValueError, "whole number"),
        ("dance.mp4", {"frame_rate": 0}, ValueError, "whole number"),
        ("dance.mp4", {"audio_path": "absent.mp3"}, FileNotFoundError, "There is no audio file"),
        ("dance.mp4", {"audio_path": "text.mp3"}, ValueError, "text.mp3 cannot be read as audio"),
        ("dance.mp4", {"audio_path": "mute.mp4"}, ValueError, "mute.mp4 cannot be read as audio: it holds no sound"),
        ("dance.mp4", {"audio_path": "empty.wav"}, ValueError, "empty.wav holds no sound"),
    ],
)
def test_a_video_that_cannot_be_made_leaves_no_file(name, arguments, error, message, moving, tmp_path):
    motion = moving.cut(0, 3)
    (tmp_path / "text.mp3").write_text("not a sound")
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), 22050)
    render_video(motion, tmp_path / "mute.mp4", size=(64, 64))
    before = sorted(tmp_path.iterdir())
    if "audio_path" in arguments:
        arguments = arguments | {"audio_path": tmp_path / arguments["audio_path"]}
    with pytest.raises(error, match=message):
        render_video(motion, tmp_path / name, **({"size": SIZE} | arguments))
    assert sorted(tmp_path.iterdir()) == before


def test_a_contact_sheet_shows_the_times_it_says(moving, tmp_path):
    render_contact_sheet(moving, tmp_path / "sheet.png", rows=2, columns=3, tile_size=(160, 120))
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    assert sheet.shape == (240, 480, 3)
    painter = Painter(build_scene(moving, (160, 120)))
    last = sheet[120:, 320:].astype(int)
    difference = np.abs(last - painter.draw(moving.num_frames - 1)).max(axis=-1) > 0
    assert difference.any()
    assert not difference[:80].any() and not difference[:, 80:].any()  # but for the stamp in the corner below left
    assert np.abs(sheet[:120, :160].astype(int) - last).max() > 50


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("sheet.jpg", {}, "must end in .png"),
        ("sheet.png", {"rows": 0}, "at least one row"),
        ("sheet.png", {"columns": -1}, "at least one row"),
        ("sheet.png", {"tile_size": (101, 100)}, "even numbers"),
    ],
)
def test_a_wrong_contact_sheet_is_refused(name, arguments, message, moving, tmp_path):
    with pytest.raises(ValueError, match=message):
        render_contact_sheet(moving, tmp_path / name, **arguments)


@pytest.mark.parametrize("size", [(320, 240), (180, 320)])
def test_the_whole_body_stays_in_the_picture_of_a_dancer_who_walks_away(size):
    motion = standing(90, root_positions=np.stack([np.linspace(0, 30, 90), np.full(90, 0.98), np.zeros(90)], axis=-1))
    scene = build_scene(motion, size)
    assert (scene.centers - scene.radii[..., None] >= 0).all()
    assert (scene.centers + scene.radii[..., None] <= np.array(size)).all()
    assert (scene.depths > 1).all()


def test_the_camera_follows_without_shaking():
    shaking = np.stack([0.02 * (-1.0) ** np.arange(300), np.full(300, 0.98), np.linspace(0, 15, 300)], axis=-1)
    cameras = build_scene(standing(300, root_positions=shaking), SIZE).cameras
    steps = np.diff(cameras[100:200], axis=0)
    assert np.abs(steps[:, 0]).max() < 1e-3
    np.testing.assert_allclose(steps[:, 2], 15 / 299, atol=1e-4)
    assert (steps[:, 1] == 0).all()


def test_the_camera_sees_the_face_of_a_dancer_wherever_he_looks():
    for degrees in (0, 90, 200):
        motion = turned(standing(), "pelvis", [0, 1, 0], degrees)
        scene = build_scene(motion, SIZE)
        left, right = (pixel_of(scene, motion, f"{side}_shoulder", 0) for side in ("left", "right"))
        assert left[0] > right[0] + 20  # as one sees another's left hand on the right


def test_left_limbs_are_blue_and_right_limbs_orange():
    motion = standing()
    image = Painter(build_scene(motion, SIZE)).draw(0)
    scene = build_scene(motion, SIZE)
    for side, has_tint in (("left", is_blue), ("right", is_orange)):
        for joint in ("elbow", "knee"):
            x, y = pixel_of(scene, motion, f"{side}_{joint}", 0)
            assert has_tint(image[y, x]), (side, joint)


def test_an_arm_before_the_body_hides_it_and_an_arm_behind_is_hidden():
    # The left forearm lies across the chest; in the last frame the dancer shows his back.
    motion = turned(standing(5), "left_elbow", [0, 1, 0], -150)
    motion = turned(motion, "left_shoulder", [0, 1, 0], -60)
    motion = turned(motion, "pelvis", [0, 1, 0], 180, frame=4)
    scene = build_scene(motion, SIZE)
    painter = Painter(scene)
    wrist = [pixel_of(scene, motion, "left_wrist", frame) for frame in (0, 4)]
    assert is_blue(painter.draw(0)[wrist[0][1], wrist[0][0]])
    assert not is_blue(painter.draw(4)[wrist[1][1], wrist[1][0]])


def test_near_limbs_are_thicker_than_far_ones():
    motion = turned(standing(5), "pelvis", [0, 1, 0], 90, frame=4)  # the left arm points away, the right one here
    scene = build_scene(motion, SIZE)
    near, far = (next(i for i, ball in enumerate(BALLS) if ball[0] == f"{side}_wrist") for side in ("right", "left"))
    assert scene.depths[4, far] > scene.depths[4, near] + 1
    assert scene.radii[4, near] > 1.2 * scene.radii[4, far]


def test_planted_feet_are_marked_on_the_floor():
    free = standing(foot_contacts=np.zeros((3, 4), dtype=bool))
    planted = standing(foot_contacts=np.tile([True, False, True, False], (3, 1)))
    images = [Painter(build_scene(motion, SIZE)).draw(1).astype(int) for motion in (free, planted)]
    rows, columns = np.nonzero(np.abs(images[1] - images[0]).max(axis=-1) > 20)
    assert len(rows) > 5
    scene = build_scene(planted, SIZE)
    feet = np.stack([pixel_of(scene, planted, JOINT_NAMES[joint], 1) for joint in CONTACT_JOINTS])
    assert np.abs(columns - feet[[0, 2], 0].mean()).max() < 25 and np.abs(rows - feet[[0, 2], 1].mean()).max() < 25


def test_a_body_casts_a_shadow_that_weakens_as_it_jumps():
    def darkness(height):
        painter = Painter(build_scene(standing(root_positions=np.tile([0.0, height, 0.0], (3, 1))), SIZE))
        image = painter.background.copy()
        painter.draw_shadow(image, 0)
        return (painter.background.astype(int) - image).max()

    assert darkness(0.98) > darkness(1.6) > 5


def test_a_bigger_body_fills_the_same_part_of_the_picture():
    small, big = standing(), standing(root_positions=np.tile([0.0, 1.96, 0.0], (3, 1)))
    big = replace(big, skeleton=big.skeleton.scaled(2.0))
    scenes = [build_scene(motion, SIZE) for motion in (small, big)]
    np.testing.assert_allclose(scenes[1].centers, scenes[0].centers, atol=0.01)
    np.testing.assert_allclose(scenes[1].radii, scenes[0].radii, atol=0.01)


def test_drawing_a_frame_does_not_depend_on_the_frames_before(moving):
    scene = build_scene(moving, SIZE)
    painter = Painter(scene)
    for frame in range(5):
        painter.draw(frame)
    np.testing.assert_array_equal(painter.draw(60), Painter(scene).draw(60))
