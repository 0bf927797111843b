import time
import tracemalloc
import zipfile

import av
import numpy as np
import pytest
import soundfile

from infinitedance.spaces_demo.limits import SpaceLimits
from infinitedance.spaces_demo.uploaded_song import file_stem, outline_of, take_excerpt

MEGABYTE = 1_000_000


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def take(upload, folder, start_seconds=0.0, max_seconds=30.0, limits=SpaceLimits()):  # noqa: B008
    return take_excerpt(upload, folder, start_seconds=start_seconds, max_seconds=max_seconds, limits=limits)


def test_the_excerpt_is_the_song_from_its_start_on(song, folder):
    excerpt = take(song, folder, start_seconds=1.25, max_seconds=2.0)
    whole, rate = soundfile.read(song)
    part, part_rate = soundfile.read(excerpt.path)
    assert excerpt.seconds == 2.0 and rate == part_rate and excerpt.path.name == "my_song.flac"
    np.testing.assert_allclose(part, whole[round(1.25 * rate) : round(3.25 * rate)], atol=1 / 32768)


def test_where_the_song_ends_the_excerpt_ends(song, folder):
    assert take(song, folder, start_seconds=5.0).seconds == 2.0


def test_the_outline_says_how_loud_a_song_is_along_its_length(tmp_path):
    times = np.arange(24_000 * 40) / 24_000
    levels = np.select([times < 10, times < 20], [0.0, 0.25], 0.5)
    soundfile.write(tmp_path / "song.wav", levels * np.sin(2 * np.pi * 200 * times), 24_000)
    seconds, outline = outline_of(tmp_path / "song.wav", SpaceLimits())
    assert seconds == 40 and len(outline) == 600
    assert set(outline[:148]) == {0} and set(outline[153:298]) == {50} and set(outline[303:]) == {100}
    with pytest.raises(ValueError, match="songs of up to 0.5 minutes"):
        outline_of(tmp_path / "song.wav", SpaceLimits(max_song_minutes=0.5))


@pytest.mark.parametrize("kind", ["wav", "flac", "ogg", "mp3", "aiff"])
def test_every_kind_that_soundfile_reads_is_taken(kind, clicks, folder, tmp_path):
    soundfile.write(tmp_path / f"song.{kind}", clicks, 24_000)
    assert take(tmp_path / f"song.{kind}", folder, max_seconds=3).seconds == pytest.approx(3, abs=0.01)


@pytest.mark.parametrize(("ending", "codec", "layout"), [("m4a", "aac", "stereo"), ("webm", "libopus", "mono")])
def test_what_phones_and_browsers_record_is_taken_in_time(ending, codec, layout, clicks, folder, tmp_path):
    path = tmp_path / f"recording.{ending}"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=48_000, layout=layout)
        frame = av.AudioFrame.from_ndarray(np.repeat(clicks, 2)[None], format="fltp", layout="mono")
        frame.sample_rate = 48_000
        for each in av.AudioResampler(format="fltp", layout=layout, rate=48_000).resample(frame):
            container.mux(stream.encode(each))
        container.mux(stream.encode())
    excerpt = take(path, folder, start_seconds=0.4, max_seconds=3)
    sound, rate = soundfile.read(excerpt.path, always_2d=True)
    assert excerpt.seconds == pytest.approx(3, abs=0.001) and sound.shape[1] == {"mono": 1, "stereo": 2}[layout]
    loud = np.flatnonzero(np.abs(sound[:, 0]) > 0.2)[0] / rate
    assert loud == pytest.approx(0.1, abs=0.03)  # the click of the first half second


@pytest.mark.parametrize("start", [0.0, 1.0])
def test_an_excerpt_has_the_time_axis_of_the_dance(write_sound, click_song, click_times, folder, tmp_path, start):
    path = write_sound(tmp_path / "song.mp4", "mp4", "aac", click_song(48_000), 48_000, start=0.7, video=5.0)
    excerpt = take(path, folder, start_seconds=start, max_seconds=3)
    sound, rate = soundfile.read(excerpt.path)
    late = 0.95 + 0.5 * np.arange(8)
    expected = late[(late > start) & (late < start + 3)] - start
    np.testing.assert_allclose(click_times(sound[:, 0], rate), expected, atol=0.003)


def test_an_excerpt_reaches_into_the_second_of_two_joined_streams(click_song, click_times, folder, tmp_path):
    soundfile.write(tmp_path / "part.ogg", click_song(44_100).T, 44_100)
    (tmp_path / "song.ogg").write_bytes(2 * (tmp_path / "part.ogg").read_bytes())
    excerpt = take(tmp_path / "song.ogg", folder, start_seconds=3.5, max_seconds=2)
    sound, rate = soundfile.read(excerpt.path)
    np.testing.assert_allclose(click_times(sound[:, 0], rate), [0.25, 0.75, 1.25, 1.75], atol=0.003)


def no_sound(path):
    path.touch()


def zip_archive(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("song.wav", bytes(50 * MEGABYTE))


def two_hours(path):
    """MP3 of two hours: a minute, its frames again and again, without the first frame, which tells the length."""
    minute = 0.1 * np.sin(np.arange(8000 * 60) * 0.3)
    soundfile.write(path, minute, 8000, format="MP3", bitrate_mode="CONSTANT", compression_level=0.9)
    content = path.read_bytes()
    path.write_bytes(content[content.index(content[:3], 4) :] * 120)


def studio_master(path):
    with soundfile.SoundFile(path, "w", 192_000, 8) as file:
        for _ in range(10):
            file.write(np.zeros((192_000, 8), np.int16))


def high_rate(path):
    soundfile.write(path, np.ones((192_000, 1)) * 0.5, 192_000)


def large(path):
    path.write_bytes(b"RIFF")
    with path.open("r+b") as file:
        file.truncate(51 * MEGABYTE)  # a hole


def playlist(path):
    path.write_text("#EXTM3U\n#EXTINF:10,\nhttp://127.0.0.1/secret.ts\n#EXT-X-ENDLIST\n")


def broken(path):
    path.write_bytes(b"RIFF\xff\xff\xff\x7fWAVEfmt " + b"\x01" * 400)


def silent(path):
    soundfile.write(path, np.zeros(24_000 * 3), 24_000)


def short(path):
    soundfile.write(path, np.ones(24_000 // 2) * 0.5, 24_000)


def not_finite(path):
    soundfile.write(path, np.full(48_000, np.nan), 24_000, subtype="FLOAT")


@pytest.mark.parametrize(
    ("write", "name", "told"),
    [
        (no_sound, "song.wav", "song.wav is empty"),
        (zip_archive, "song.wav", "is a zip archive"),
        (two_hours, "song.mp3", "songs of up to 15 minutes are taken"),
        (studio_master, "song.wav", "has 8 channels"),
        (high_rate, "song.wav", "has 192,000 samples a second"),
        (large, "song.wav", "has 51 MB; up to 50 MB"),
        (playlist, "song.wav", "is a playlist"),
        (broken, "song.wav", "begins like wav, but is broken"),
        (silent, "song.wav", "is silent there"),
        (short, "song.wav", "holds 0.5 s of sound"),
        (not_finite, "song.wav", "samples that are no numbers"),
    ],
)
def test_a_bad_file_is_refused_in_words_before_it_costs_a_second_or_200_mb(write, name, told, tmp_path, folder):
    write(tmp_path / name)
    started = time.process_time()
    with pytest.raises(ValueError, match=told) as refusal:
        take(tmp_path / name, folder)
    assert time.process_time() - started < 1
    tracemalloc.start()  # it makes many small allocations slow
    with pytest.raises(ValueError, match=told):
        take(tmp_path / name, folder)
    assert tracemalloc.get_traced_memory()[1] < 200 * MEGABYTE
    tracemalloc.stop()
    assert str(tmp_path) not in str(refusal.value)  # no path of the server
    assert not list(folder.iterdir())


def test_a_start_behind_the_end_is_told(song, folder):
    with pytest.raises(ValueError, match="holds 0.0 s of sound from second 60 on"):
        take(song, folder, start_seconds=60)


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("../../etc/passwd.wav", "passwd"),
        ("..", "song"),
        ("-rf *.mp3", "rf"),
        ("a\x00b<script>.ogg", "a_b_script"),
        ("Für Elise.flac", "Für_Elise"),
        ("x" * 300 + ".wav", "x" * 40),
        ("***.wav", "song"),
    ],
)
def test_no_name_reaches_beyond_the_folder(name, stem):
    assert file_stem(name) == stem
