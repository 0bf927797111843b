"""`infinitedance video`: what a person types, what is written, what is said when it cannot be."""

from dataclasses import replace

import av
import numpy as np
import pytest
import soundfile

from infinitedance.cli import main, video
from infinitedance.motion.files import save_motion, write_bvh
from infinitedance.motion.motion import Motion

cv2 = pytest.importorskip("cv2", reason="needs the extra `video`")

from infinitedance.motion.drawing import drawing, scene  # noqa: E402

SMALL = ["--height", "128", "--width", "128"]


def standing(num_frames=60, **changes):
    rotations = np.zeros((num_frames, 22, 4))
    rotations[..., 0] = 1
    return replace(Motion(30.0, np.tile([0.0, 0.98, 0.0], (num_frames, 1)), rotations), **changes)


@pytest.fixture
def dance(tmp_path):
    save_motion(standing(12, provenance={"model": "open", "genre": "salsa", "seed": 3}), tmp_path / "dance.npz")
    return tmp_path / "dance.npz"


def frames_of(path):
    """Times in seconds and pictures; of VP9 with its opacity, which only libvpx decodes."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        decoder = stream.codec_context
        if stream.codec_context.name == "vp9":
            decoder = av.CodecContext.create("libvpx-vp9", "r")
        frames = [
            frame for packet in container.demux(stream) for frame in decoder.decode(packet if packet.size else None)
        ]
        return [float(frame.pts * stream.time_base) for frame in frames], [
            frame.to_ndarray(format="bgra") for frame in frames
        ]


def test_the_options_are_those_of_the_drawing():
    assert video.CAMERAS == scene.CAMERAS and video.BODIES == drawing.BODIES


def test_a_video_of_two_files_of_any_kind_shows_two_dancers(dance, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_bvh(standing(20), tmp_path / "other.bvh")
    assert (
        main(["video", "dance.npz", "other.bvh", "--height", "120", "--frame-rate", "15", "--body", "openpose"]) == 0
    )
    assert capsys.readouterr().out == "video.mp4: 214x120, 11 pictures, 15 per second\n"
    times, frames = frames_of("video.mp4")
    assert len(frames) == 11 and frames[0].shape == (120, 214, 4)
    np.testing.assert_allclose(np.diff(times), 1 / 15, atol=1e-4)
    lit = np.flatnonzero(frames[5][80:, :, :3].max(axis=(0, 2)) > 60)
    assert (np.diff(lit) > 30).sum() == 1  # legs of two people


def test_a_folder_gets_pictures(dance, tmp_path):
    assert main(["video", str(dance), "--output", str(tmp_path / "poses"), "--body", "openpose", *SMALL]) == 0
    names = sorted(path.name for path in (tmp_path / "poses").iterdir())
    assert names == [f"{index:06d}.png" for index in range(12)]
    picture = cv2.imread(str(tmp_path / "poses" / "000003.png"), cv2.IMREAD_UNCHANGED)
    assert picture.shape == (128, 128, 3) and not picture[:8].any() and picture.max() == 255


@pytest.mark.parametrize(("name", "codec"), [("video.webm", "vp9"), ("video.mov", "prores"), ("pictures", None)])
def test_a_transparent_video_holds_the_dancer_alone(name, codec, dance, tmp_path):
    output = tmp_path / name
    assert main(["video", str(dance), "--output", str(output), "--transparent", *SMALL]) == 0
    if codec is None:
        picture = cv2.imread(str(output / "000004.png"), cv2.IMREAD_UNCHANGED)
    else:
        with av.open(str(output)) as container:
            assert container.streams.video[0].codec_context.name == codec
        picture = frames_of(output)[1][4]
    opacity = picture[..., 3]
    assert picture.shape == (128, 128, 4) and not opacity[:6].any() and (opacity > 250).sum() > 400
    assert (opacity > 128).mean() < 0.2


@pytest.mark.parametrize("name", ["video.mp4", "video.webm", "video.mov"])
def test_sound_and_pictures_are_in_step_to_a_frame(name, tmp_path, click_song, click_times):
    """The dancer jumps from place to place with each click: both are decoded and compared."""
    rate, clicks = 48_000, np.array([0.25, 0.75, 1.25, 1.75])
    soundfile.write(tmp_path / "clicks.wav", click_song(rate, 2.0).T, rate)
    places = np.searchsorted(clicks, np.arange(60) / 30, side="right") % 2
    root = np.stack([1.2 * places, np.full(60, 0.98), np.zeros(60)], axis=-1)
    save_motion(standing(root_positions=root), tmp_path / "jumps.npz")
    command = ["video", str(tmp_path / "jumps.npz"), "--song", str(tmp_path / "clicks.wav"), "--camera", "front"]
    assert main([*command, "--output", str(tmp_path / name), "--body", "openpose", *SMALL]) == 0
    times, frames = frames_of(tmp_path / name)
    changes = [np.abs(after.astype(int) - before).mean() for before, after in zip(frames, frames[1:], strict=False)]
    jumps = np.array(times[1:])[np.array(changes) > 0.5 * max(changes)]
    with av.open(str(tmp_path / name)) as container:
        blocks = [(frame.pts * frame.time_base, frame) for frame in container.decode(audio=0)]
        samples = np.concatenate([frame.to_ndarray().reshape(-1) for _, frame in blocks])
        if blocks[0][1].format.is_planar:
            samples = np.concatenate([frame.to_ndarray()[0] for _, frame in blocks])
        else:
            samples = samples[::2]
        samples = samples / (32768 if samples.dtype == np.int16 else 1)
        heard = float(blocks[0][0]) + click_times(samples, blocks[0][1].sample_rate)
    assert len(jumps) == len(heard) == 4
    np.testing.assert_allclose(heard, clicks, atol=0.004)
    assert (jumps - heard >= -0.004).all() and (jumps - heard < 1 / 30).all()


@pytest.mark.parametrize("name", ["video.mp4", "video.webm", "video.mov"])
def test_a_video_says_that_the_dance_is_generated(name, dance, tmp_path):
    assert main(["video", str(dance), "--output", str(tmp_path / name), "--body", "openpose", *SMALL]) == 0
    with av.open(str(tmp_path / name)) as container:
        notes = {key.lower(): value for key, value in container.metadata.items()}
    assert notes["comment"].startswith(
        "AI-generated dance (trainedAlgorithmicMedia): model open, genre salsa, seed 3; made with infinitedance"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--output", "a.avi"], "A video must end in .mp4 or .mov or .webm, got a.avi."),
        (["--output", "a.mp4", "--transparent"], "A transparent video must end in .webm or .mov, got a.mp4."),
        (["--height", "721"], "Width and height must be even numbers"),
        (["--height", "4320"], "`--height` must lie in 64 to 2160 pixels, got 4320."),
        (["--width", "5000"], "at most 4096, got (5000, 720)"),
        (["--frame-rate", "0"], "`--frame-rate` must lie in 1 to 240 pictures per second, got 0."),
        (["--song", "absent.mp3"], "There is no audio file absent.mp3."),
        (["--song", "dance.npz", "--output", "pictures"], "Pictures have no sound"),
        (["--song", "song.mp4", "--output", "song.mp4"], "must be another file than its song"),
        (["--output", "."], "must be new or empty"),
        (["absent.npz"], "absent.npz"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence_and_nothing_is_written(
    arguments, message, dance, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "song.mp4").write_bytes(b"song")
    before = sorted(tmp_path.iterdir())
    assert main(["video", "dance.npz", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before


def test_a_third_file_is_refused(dance, capsys):
    with pytest.raises(SystemExit) as end:
        main(["video", str(dance), str(dance), str(dance)])
    assert end.value.code == 2 and "unrecognized arguments" in capsys.readouterr().err
