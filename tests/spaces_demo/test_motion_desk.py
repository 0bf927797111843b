import numpy as np
import pytest
import soundfile

from infinitedance.motion.files import read_motion, save_motion, write_bvh
from infinitedance.motion.motion import Motion
from infinitedance.spaces_demo.limits import SpaceLimits
from infinitedance.spaces_demo.motion_desk import MotionDesk
from infinitedance.spaces_demo.visitor_files import VisitorFiles


@pytest.fixture
def desk(tmp_path):
    return MotionDesk(VisitorFiles(tmp_path / "files", 3600), SpaceLimits(max_motion_seconds=10))


@pytest.fixture
def gliding(tmp_path):
    """A body that stands and glides along x at 0.3 m/s for four seconds."""
    rotations = np.zeros((120, 22, 4))
    rotations[..., 0] = 1
    root = np.stack([0.01 * np.arange(120), np.full(120, 0.93), np.zeros(120)], axis=1)
    path = tmp_path / "my dance.npz"
    save_motion(Motion(30.0, root, rotations), path)
    return path


def test_a_motion_is_written_in_another_format(desk, gliding):
    (output,), about = desk.convert(gliding, ".bvh", names="mixamo", frame_rate=60, stays=True)
    assert output.name == "my_dance.bvh" and "mixamorig" in output.read_text()
    motion = read_motion(output)
    assert motion.frame_rate == about["frame_rate"] == 60 and motion.num_frames == about["frames"]
    assert about["seconds"] == pytest.approx(4) and np.ptp(motion.root_positions[:, 0]) < 0.05


def test_sliding_feet_are_measured_and_told_in_words(desk, gliding):
    measured = desk.measure(gliding, None)
    assert measured["slide_mm_per_frame"] == pytest.approx(10, abs=0.5)
    assert measured["not_so_good"] == ["its feet slide"] and measured["pulse_lock"] is None


def test_a_song_beside_the_motion_gives_the_beat(desk, gliding, tmp_path, clicks):
    soundfile.write(tmp_path / "song.wav", clicks, 24_000)
    measured = desk.measure(gliding, tmp_path / "song.wav")
    assert measured["tempo_bpm"] is not None


def test_what_cannot_be_used_is_told_without_a_path_of_the_server(desk, gliding, tmp_path):
    rotations = np.zeros((330, 22, 4))
    rotations[..., 0] = 1
    long = tmp_path / "long.bvh"
    write_bvh(Motion(30.0, np.tile([0, 0.93, 0.0], (330, 1)), rotations), long)
    broken = tmp_path / "broken.bvh"
    broken.write_text("HIERARCHY\nno more")
    huge = tmp_path / "huge.npz"
    huge.write_bytes(bytes(51_000_000))
    pickle = tmp_path / "some.pkl"
    pickle.write_bytes(b"\x80\x04N.")
    cases = [(long, "lasts 11 s"), (broken, "broken.bvh"), (huge, "too large"), (pickle, "some.pkl")]
    for path, told in cases:
        with pytest.raises(ValueError, match=told) as caught:
            desk.convert(path, ".npz", names=None, frame_rate=None, stays=False)
        assert str(tmp_path) not in str(caught.value)
    for suffix, rate, told in ((None, None, "`output_format` must be one of"), (".vmd", 60, "A VMD has 30 frames")):
        with pytest.raises(ValueError, match=told):
            desk.convert(gliding, suffix, names=None, frame_rate=rate, stays=False)
    with pytest.raises(ValueError, match="`strength` must lie between 0 and 1, got None"):
        desk.restore(gliding, None)
    for rate in (1e9, 0, float("nan")):
        with pytest.raises(ValueError, match="between 1 and 240"):
            desk.convert(gliding, ".npz", names=None, frame_rate=rate, stays=False)
    with pytest.raises(ValueError, match="`names`"):
        desk.convert(gliding, ".npz", names="vrm", frame_rate=None, stays=False)
