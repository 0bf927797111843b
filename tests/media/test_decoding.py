"""Sound out of files: to the true end, at its time, or refused by name."""

import logging
import os
import struct

import numpy as np
import pytest
import soundfile

from infinitedance.media import mpeg_frames
from infinitedance.media.decoding import open_sound

RATE = 44_100
CLICKS = 0.25 + 0.5 * np.arange(8)


def decode(path):
    """Return `(samples, channels)` and the rate."""
    with open_sound(path) as sound:
        return np.concatenate(list(sound.blocks())), sound.sampling_rate


@pytest.fixture
def heard(click_times):
    def listen(path):
        samples, rate = decode(path)
        return click_times(samples[:, 0], rate), len(samples) / rate

    return listen


@pytest.fixture(scope="module")
def sound_bytes(tmp_path_factory, click_song):
    """The song of clicks as libsndfile writes it: `sound_bytes("mp3", rate=44_100, channels=2)`."""

    def make(extension, rate=RATE, channels=2, **options):
        path = tmp_path_factory.mktemp("songs") / f"song.{extension}"
        soundfile.write(path, click_song(rate, channels=channels).T, rate, **options)
        return path.read_bytes()

    return make


def frames_of(content):
    """Return the frames of an mp3; the first holds the table of contents."""
    frames, place = [], 0
    while place < len(content):
        header = mpeg_frames.parse_header(content[place : place + 4])
        if header is None:
            place += 1
            continue
        frames.append(content[place : place + header.length])
        place += header.length
    return frames


def picture_tag():
    """Return an ID3v2 tag with a cover picture whose bytes hold what looks like headers of frames."""
    picture = b"\xff\xd8\xff\xe0" + np.random.default_rng(1).bytes(60_000)
    body = b"\x00image/jpeg\x00\x03\x00" + picture
    frame = b"APIC" + struct.pack(">I", len(body)) + b"\0\0" + body + bytes(100)
    length = bytes(len(frame) >> shift & 127 for shift in (21, 14, 7, 0))
    return b"ID3\x03\0\0" + length + frame


def riff(data, *, stated=None, name=b"RIFF", before=b"", channels=2, rate=RATE, bits=16, style=1):
    """Return a wav file by hand; `stated` is the length of the samples that its header states."""
    block = channels * bits // 8
    layout = struct.pack(
        "<4sIHHIIHH", b"fmt ", 16, style, channels, rate, rate * block & 0xFFFFFFFF, block & 0xFFFF, bits
    )
    stated = len(data) if stated is None else stated
    chunks = b"WAVE" + before + layout + b"data" + struct.pack("<I", stated) + data
    return name + struct.pack("<I", min(0xFFFFFFFF, len(chunks) - len(data) + stated)) + chunks


@pytest.fixture(scope="module")
def samples_16(click_song):
    return (click_song(RATE).T * 32767).astype("<i2").tobytes()


@pytest.mark.parametrize(
    ("extension", "container", "codec", "rate", "layout"),
    [
        ("mp3", "mp3", "libmp3lame", 44_100, "stereo"),
        ("m4a", "ipod", "aac", 44_100, "stereo"),
        ("mp4", "mp4", "aac", 48_000, "mono"),
        ("m4a", "ipod", "alac", 44_100, "stereo"),
        ("mov", "mov", "pcm_s16le", 44_100, "stereo"),
        ("opus", "ogg", "libopus", 48_000, "stereo"),
        ("oga", "ogg", "flac", 44_100, "stereo"),
        ("webm", "webm", "libopus", 48_000, "mono"),
        ("mka", "matroska", "aac", 44_100, "stereo"),
        ("mka", "matroska", "libmp3lame", 44_100, "stereo"),
        ("flac", "flac", "flac", 44_100, "stereo"),
        ("wv", "wv", "wavpack", 44_100, "stereo"),
        ("tta", "tta", "tta", 44_100, "stereo"),
        ("caf", "caf", "pcm_s16be", 44_100, "stereo"),
        ("au", "au", "pcm_s16be", 44_100, "stereo"),
        ("aiff", "aiff", "pcm_s16be", 44_100, "stereo"),
        ("w64", "w64", "pcm_s16le", 44_100, "stereo"),
        ("wav", "wav", "pcm_u8", 44_100, "stereo"),
        ("wav", "wav", "pcm_s24le", 44_100, "stereo"),
        ("wav", "wav", "pcm_s32le", 96_000, "stereo"),
        ("wav", "wav", "pcm_f32le", 44_100, "stereo"),
        ("wav", "wav", "pcm_f64le", 44_100, "stereo"),
        ("wav", "wav", "pcm_alaw", 8_000, "mono"),
        ("wav", "wav", "pcm_mulaw", 8_000, "mono"),
        ("wav", "wav", "pcm_s16le", 48_000, "5.1"),
    ],
)
def test_every_kind_is_read_to_the_sample_whatever_its_name(
    tmp_path, write_sound, click_song, heard, extension, container, codec, rate, layout
):
    channels = {"mono": 1, "stereo": 2, "5.1": 6}[layout]
    path = tmp_path / f"song.{extension}"
    write_sound(path, container, codec, click_song(rate, channels=channels), rate, layout=layout)
    path = path.rename(tmp_path / "song.ogg.txt")
    clicks, seconds = heard(path)
    np.testing.assert_allclose(clicks, CLICKS, atol=0.001)
    assert seconds == pytest.approx(4.0, abs=0.02)
    assert decode(path)[0].shape[1] == channels


@pytest.mark.parametrize(
    ("container", "codec"), [("adts", "aac"), ("mpegts", "aac"), ("mpegts", "mp2"), ("mpeg", "mp2"), ("flv", "aac")]
)
def test_where_nothing_states_the_delay_of_the_encoder_it_is_heard_as_players_play_it(
    tmp_path, write_sound, click_song, heard, container, codec
):
    clicks, _ = heard(write_sound(tmp_path / "song", container, codec, click_song(RATE), RATE))
    assert 0 <= (clicks - CLICKS).min() and (clicks - CLICKS).max() < 0.03


@pytest.mark.parametrize(
    ("container", "codec", "video"),
    [
        ("mp4", "aac", 5.0),
        ("mp4", "aac", 0.0),
        ("mov", "pcm_s16le", 5.0),
        ("matroska", "aac", 5.0),
        ("matroska", "libopus", 0.0),
        ("webm", "libopus", 5.0),
        ("mpegts", "aac", 5.0),
        ("mpeg", "mp2", 5.0),
        ("flv", "aac", 0.0),
    ],
)
def test_sound_that_starts_late_starts_late(tmp_path, write_sound, click_song, heard, container, codec, video):
    path = write_sound(tmp_path / "song", container, codec, click_song(48_000), 48_000, start=0.7, video=video)
    if container == "flv":
        path = write_sound(tmp_path / "song", container, codec, click_song(RATE), RATE, start=0.7)
    np.testing.assert_allclose(heard(path)[0], CLICKS + 0.7, atol=0.003)


@pytest.mark.parametrize("container", ["mp4", "matroska"])
def test_a_piece_of_a_longer_recording_begins_at_its_start(tmp_path, write_sound, click_song, heard, container):
    path = write_sound(tmp_path / "song", container, "aac", click_song(RATE), RATE, start=100_000.0, video=0.0)
    clicks, seconds = heard(path)
    np.testing.assert_allclose(clicks, CLICKS, atol=0.03)
    assert seconds < 4.1


@pytest.mark.parametrize(
    ("container", "codec", "rate"),
    [
        ("mp4", "aac", 44_100),
        ("matroska", "pcm_s16le", 44_100),
        ("matroska", "libopus", 48_000),
        ("ogg", "libopus", 48_000),
        ("mpegts", "aac", 48_000),
    ],
)
def test_a_gap_in_the_time_stamps_stays_a_gap(tmp_path, write_sound, click_song, heard, container, codec, rate):
    path = write_sound(tmp_path / "song", container, codec, click_song(rate), rate, gaps=[(2.0, 1.5)])
    clicks, seconds = heard(path)
    delays = clicks - CLICKS - 1.5 * (CLICKS > 2)
    assert np.ptp(delays) < 0.03 and abs(delays).max() < 0.03
    assert seconds == pytest.approx(5.5, abs=0.05)


@pytest.mark.parametrize("jump", [1e4, 1e6, 1e9])
def test_a_time_stamp_far_away_is_refused_and_no_silence_is_made_for_it(tmp_path, write_sound, click_song, jump):
    path = write_sound(tmp_path / "song", "matroska", "libopus", click_song(48_000), 48_000, gaps=[(2.0, jump)])
    with pytest.raises(ValueError, match=r"song is broken: at 2\.\d+ s it is damaged or cut \(a time stamp of \d+ s"):
        decode(path)


def test_an_mp3_of_variable_rate_without_a_table_is_read_whole(tmp_path, sound_bytes, heard):
    (tmp_path / "song.mp3").write_bytes(b"".join(frames_of(sound_bytes("mp3"))[1:]))
    clicks, seconds = heard(tmp_path / "song.mp3")
    assert len(clicks) == 8 and 4.0 <= seconds < 4.06


@pytest.mark.parametrize("between", [b"", b"TAG" + b"x" * 125, picture_tag()], ids=["nothing", "ID3v1", "ID3v2"])
@pytest.mark.parametrize("rate", [44_100, 22_050])
def test_joined_mp3_files_are_read_one_after_the_other(tmp_path, sound_bytes, heard, between, rate):
    content = sound_bytes("mp3") + between + sound_bytes("mp3", rate=rate)
    (tmp_path / "song.mp3").write_bytes(content)
    clicks, seconds = heard(tmp_path / "song.mp3")
    np.testing.assert_allclose(clicks, [*CLICKS, *(4 + CLICKS)], atol=0.002)
    assert seconds == pytest.approx(8.0, abs=0.001)


@pytest.mark.parametrize(
    ("before", "behind"),
    [
        (np.random.default_rng(2).bytes(5000), b""),
        (bytes(5000), b""),
        (picture_tag(), b"TAG" + bytes(125)),
        (picture_tag() + picture_tag(), np.random.default_rng(2).bytes(3000)),
        (b"", b"APETAGEX" + struct.pack("<IIII", 2000, 64, 1, 0xA0000000) + bytes(8) + bytes(64)),
    ],
    ids=["junk", "zeros", "tags", "two tags", "APE tag"],
)
def test_what_is_no_sound_around_an_mp3_is_left_out(tmp_path, sound_bytes, heard, before, behind):
    (tmp_path / "song.mp3").write_bytes(before + sound_bytes("mp3") + behind)
    clicks, seconds = heard(tmp_path / "song.mp3")
    np.testing.assert_allclose(clicks, CLICKS, atol=0.002)
    assert seconds == pytest.approx(4.0, abs=0.001)


def test_an_mp3_of_free_format_is_read(tmp_path, sound_bytes, heard):
    frames = frames_of(sound_bytes("mp3", bitrate_mode="CONSTANT", compression_level=0.4))[1:]
    free = b"".join(frame[:2] + bytes([frame[2] & 0x0F]) + frame[3:] for frame in frames)
    (tmp_path / "song.mp3").write_bytes(free)
    clicks, seconds = heard(tmp_path / "song.mp3")
    assert len(clicks) == 8 and seconds == pytest.approx(len(frames) * 1152 / RATE, abs=0.001)


def test_an_mp3_cut_out_of_a_longer_one_is_read(tmp_path, sound_bytes, heard):
    frames = frames_of(sound_bytes("mp3", bitrate_mode="CONSTANT", compression_level=0.4))
    (tmp_path / "song.mp3").write_bytes(b"".join(frames[20:]))
    clicks, seconds = heard(tmp_path / "song.mp3")
    assert len(clicks) == 7 and seconds == pytest.approx((len(frames) - 20) * 1152 / RATE, abs=0.001)


def test_chained_ogg_streams_are_read_one_after_the_other(tmp_path, sound_bytes, write_sound, click_song, heard):
    opus = write_sound(tmp_path / "song.opus", "ogg", "libopus", click_song(48_000), 48_000).read_bytes()
    first, second = sound_bytes("ogg"), sound_bytes("ogg", rate=22_050, channels=1)
    (tmp_path / "song.ogg").write_bytes(first + second + opus + first + b"TAG" + bytes(125))
    clicks, seconds = heard(tmp_path / "song.ogg")
    np.testing.assert_allclose(clicks, np.concatenate([4 * k + CLICKS for k in range(4)]), atol=0.002)
    assert seconds == pytest.approx(16.0, abs=0.001)


@pytest.mark.parametrize("rate", [8_000, 16_000, 24_000, 44_100])
@pytest.mark.parametrize("seconds", [2.0, 1.2345])
def test_vorbis_is_read_to_the_sample(tmp_path, click_song, rate, seconds):
    song = click_song(rate, seconds).T
    soundfile.write(tmp_path / "song.ogg", song, rate)
    assert len(decode(tmp_path / "song.ogg")[0]) == len(song)


def test_a_streamed_flac_of_unknown_length_is_read_whole(tmp_path, sound_bytes, heard):
    content = bytearray(sound_bytes("flac"))
    content[21] &= 0xF0
    content[22:26] = bytes(4)  # the number of samples
    content[26:42] = bytes(16)  # their checksum
    (tmp_path / "song.flac").write_bytes(content)
    clicks, seconds = heard(tmp_path / "song.flac")
    np.testing.assert_allclose(clicks, CLICKS, atol=0.001)
    assert seconds == 4.0


@pytest.mark.parametrize("stated", [0, 0xFFFFFFFF, 0x7FFFF000, 0x7FFFFFFF, 0x80000000])
def test_a_streamed_wav_of_unknown_length_is_read_whole(tmp_path, samples_16, heard, stated):
    (tmp_path / "song.wav").write_bytes(riff(samples_16, stated=stated))
    clicks, seconds = heard(tmp_path / "song.wav")
    np.testing.assert_allclose(clicks, CLICKS, atol=0.001)
    assert seconds == 4.0


def test_joined_wav_files_are_read_one_after_the_other(tmp_path, samples_16, heard):
    (tmp_path / "song.wav").write_bytes(2 * riff(samples_16))
    clicks, seconds = heard(tmp_path / "song.wav")
    np.testing.assert_allclose(clicks, [*CLICKS, *(4 + CLICKS)], atol=0.001)
    assert seconds == 8.0


def test_a_wav_header_that_counts_itself_is_forgiven(tmp_path, samples_16, heard):
    (tmp_path / "song.wav").write_bytes(riff(samples_16, stated=len(samples_16) + 44))
    assert heard(tmp_path / "song.wav")[1] == 4.0


def test_an_unknown_element_of_matroska_is_passed_over(tmp_path, write_sound, click_song, heard):
    path = write_sound(tmp_path / "song.webm", "webm", "libopus", click_song(48_000), 48_000, options={"live": "1"})
    content = path.read_bytes()
    place = content.index(b"\x1f\x43\xb6\x75")  # the first cluster
    path.write_bytes(content[:place] + b"\x4a\xbc\x83new" + content[place:])
    np.testing.assert_allclose(heard(path)[0], CLICKS, atol=0.001)


def long_riff(samples):
    sizes = b"ds64" + struct.pack("<IQQQI", 28, len(samples) + 72, len(samples), 0, 0)
    return riff(samples, stated=0xFFFFFFFF, name=b"RF64", before=sizes)


def test_rf64_is_read_and_its_cut_is_noticed(tmp_path, samples_16, heard):
    content = long_riff(samples_16)
    (tmp_path / "song.wav").write_bytes(content)
    assert heard(tmp_path / "song.wav")[1] == 4.0
    (tmp_path / "song.wav").write_bytes(content[:-100_000])
    with pytest.raises(ValueError, match=r"song\.wav is cut: the samples should reach to byte 705,\d+, but the file"):
        decode(tmp_path / "song.wav")


def test_a_change_of_channels_or_rate_keeps_the_first(tmp_path, sound_bytes):
    (tmp_path / "song.mp3").write_bytes(sound_bytes("mp3", channels=1) + sound_bytes("mp3", rate=32_000))
    samples, rate = decode(tmp_path / "song.mp3")
    assert samples.shape == (8 * RATE, 1) and rate == RATE


CONTAINERS = {
    "mp3": ("mp3", "libmp3lame", 44_100),
    "m4a": ("ipod", "aac", 44_100),
    "opus": ("ogg", "libopus", 48_000),
    "webm": ("webm", "libopus", 48_000),
    "mka": ("matroska", "libmp3lame", 44_100),
    "flac": ("flac", "flac", 44_100),
    "oga": ("ogg", "flac", 44_100),
    "wv": ("wv", "wavpack", 44_100),
}
WITHOUT_CHECKS = {
    "wav": ("wav", "pcm_s24le", 44_100),
    "w64": ("w64", "pcm_s16le", 44_100),
    "aiff": ("aiff", "pcm_s16be", 44_100),
    "au": ("au", "pcm_s16be", 44_100),
    "caf": ("caf", "pcm_s16be", 44_100),
    "mov": ("mov", "pcm_s16le", 44_100),
    "tta": ("tta", "tta", 44_100),
    "avi": ("avi", "libmp3lame", 44_100),
}


@pytest.mark.parametrize("share", [0.3, 0.93])
@pytest.mark.parametrize("extension", [*CONTAINERS, *WITHOUT_CHECKS, "ogg"])
def test_a_cut_file_is_noticed(tmp_path, write_sound, click_song, sound_bytes, extension, share):
    path = tmp_path / f"song.{extension}"
    if extension == "ogg":
        content = sound_bytes("ogg")
    else:
        container, codec, rate = (CONTAINERS | WITHOUT_CHECKS)[extension]
        content = write_sound(path, container, codec, click_song(rate), rate).read_bytes()
    path.write_bytes(content[: round(share * len(content))])
    with pytest.raises(ValueError, match=rf"song\.{extension} (is cut: .* should|is cut: .* missing|is broken: )"):
        decode(path)


@pytest.mark.parametrize("movflags", ["", "faststart", "frag_keyframe+empty_moov+default_base_moof"])
def test_a_cut_mp4_is_noticed_wherever_its_index_is(tmp_path, write_sound, click_song, heard, movflags):
    options = {"movflags": movflags, "frag_duration": "500000"} if movflags else {}
    path = write_sound(tmp_path / "song.mp4", "mp4", "aac", click_song(RATE), RATE, options=options)
    assert len(heard(path)[0]) == 8
    content = path.read_bytes()
    path.write_bytes(content[: round(0.6 * len(content))])
    with pytest.raises(ValueError, match=r"song\.mp4 is (cut: its box `mdat` should|broken: it has no index)"):
        decode(path)


@pytest.mark.parametrize("case", ["mp3", "aac", "webm"])
def test_where_no_length_is_promised_a_cut_file_is_read_whole_with_a_word(
    tmp_path, write_sound, click_song, sound_bytes, heard, caplog, case
):
    path = tmp_path / f"song.{case}"
    if case == "mp3":
        frames = frames_of(sound_bytes("mp3", bitrate_mode="CONSTANT", compression_level=0.4))[1:]
        path.write_bytes(b"".join(frames[:80]) + frames[80][:100])
    elif case == "aac":
        content = write_sound(path, "adts", "aac", click_song(RATE), RATE).read_bytes()
        path.write_bytes(content[: len(content) // 2])
    else:
        content = write_sound(path, "webm", "libopus", click_song(48_000), 48_000, options={"live": "1"}).read_bytes()
        path.write_bytes(content[: len(content) // 2])
    with caplog.at_level(logging.WARNING):
        clicks, seconds = heard(path)
    assert len(clicks) == 4 and 1.9 < seconds < 2.12
    assert f"song.{case} ends in the middle of a" in caplog.text


@pytest.mark.parametrize("noise", [np.random.default_rng(3).bytes(400), bytes(400)], ids=["noise", "zeros"])
@pytest.mark.parametrize("extension", [*CONTAINERS, "ogg", "aac", "ts", "avi"])
def test_damage_in_the_middle_is_told_with_its_time(tmp_path, write_sound, click_song, sound_bytes, extension, noise):
    path = tmp_path / f"song.{extension}"
    if extension == "ogg":
        content = sound_bytes("ogg")
    else:
        others = {"aac": ("adts", "aac", 44_100), "ts": ("mpegts", "aac", 44_100)} | WITHOUT_CHECKS
        container, codec, rate = (CONTAINERS | others)[extension]
        content = write_sound(path, container, codec, click_song(rate), rate).read_bytes()
    middle = len(content) // 2
    path.write_bytes(content[:middle] + noise + content[middle + len(noise) :])
    told = r"no packet begins at byte" if extension in ("ts", "avi") else r"at \d\.\d\d s it is damaged or cut"
    with pytest.raises(ValueError, match=rf"song\.{extension} is broken: {told}"):
        decode(path)


@pytest.mark.parametrize("extension", ["mp3", "flac", "ogg"])
def test_sound_missing_in_the_middle_is_no_silence(tmp_path, sound_bytes, extension):
    content = sound_bytes(extension)
    middle = len(content) // 2
    (tmp_path / f"song.{extension}").write_bytes(content[:middle] + content[middle + 900 :])
    with pytest.raises(ValueError, match=rf"song\.{extension} is broken: at \d\.\d\d s it is damaged"):
        decode(tmp_path / f"song.{extension}")


PACKETS = {
    "flv": ("flv", "libmp3lame", 44_100),
    "voc": ("voc", "pcm_s16le", 44_100),
    "mpg": ("mpeg", "mp2", 44_100),
    "ts": ("mpegts", "mp2", 44_100),
    "wma": ("asf", "libmp3lame", 44_100),
}
FRAMES = {"ac3": ("ac3", "ac3", 44_100), "eac3": ("eac3", "eac3", 44_100)}


@pytest.mark.parametrize("extension", PACKETS)
def test_what_is_missing_between_packets_is_told(tmp_path, write_sound, click_song, extension):
    path = tmp_path / f"song.{extension}"
    container, codec, rate = PACKETS[extension]
    content = write_sound(path, container, codec, click_song(rate), rate).read_bytes()
    middle = len(content) // 2
    path.write_bytes(content[:middle] + content[middle + 9_973 :])
    with pytest.raises(ValueError, match=rf"song\.{extension} is (broken: no packet begins at byte|cut: )"):
        decode(path)


@pytest.mark.parametrize("extension", ["flv", "ts", *FRAMES])
def test_where_no_length_is_stated_a_cut_packet_is_told(tmp_path, write_sound, click_song, heard, caplog, extension):
    path = tmp_path / f"song.{extension}"
    container, codec, rate = (PACKETS | FRAMES)[extension]
    content = write_sound(path, container, codec, click_song(rate), rate).read_bytes()
    path.write_bytes(content[: round(0.6 * len(content)) // 188 * 188 + 101])
    with caplog.at_level(logging.WARNING):
        clicks, seconds = heard(path)
    assert len(clicks) in (4, 5) and 2.0 < seconds < 2.6
    assert f"song.{extension} ends in the middle of a" in caplog.text


@pytest.mark.parametrize("extension", ["m4a", "aiff", "flv", "w64", "caf", "tta", "wma"])
def test_a_second_file_behind_the_first_is_not_left_out_in_silence(tmp_path, write_sound, click_song, extension):
    path = tmp_path / f"song.{extension}"
    container, codec, rate = (CONTAINERS | WITHOUT_CHECKS | PACKETS)[extension]
    content = write_sound(path, container, codec, click_song(rate), rate).read_bytes()
    path.write_bytes(content + content)
    with pytest.raises(ValueError, match=rf"song\.{extension} is broken: .*(joined|no packet begins at byte)"):
        decode(path)


def test_a_block_of_absurd_length_is_damage(tmp_path, write_sound, click_song):
    path = write_sound(tmp_path / "song.webm", "webm", "libopus", click_song(48_000), 48_000, options={"live": "1"})
    path.write_bytes(path.read_bytes() + b"\x42\x42\x01" + b"\xff" * 6 + b"\xfe")
    with pytest.raises(ValueError, match=r"song\.webm is broken: at \d\.\d\d s it is damaged"):
        decode(path)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"channels": 0}, "has 0 channels; 1 to 32 are read"),
        ({"channels": 40}, "has 40 channels; 1 to 32 are read"),
        ({"channels": 65_535}, "channels; 1 to 32 are read|is broken"),
        ({"rate": 0}, "is broken"),
        ({"rate": 1}, "has 1 samples a second; 2,000 to 768,000 are read"),
        ({"rate": 0xFFFFFFF0}, "is broken"),
        ({"bits": 0}, "nothing here decodes"),
        ({"style": 0x1234}, "nothing here decodes"),
    ],
)
def test_a_header_out_of_range_is_refused(tmp_path, samples_16, changes, told):
    (tmp_path / "song.wav").write_bytes(riff(samples_16, **changes))
    with pytest.raises(ValueError, match=rf"song\.wav.*({told})"):
        decode(tmp_path / "song.wav")


NO_SOUND = {
    "song.m3u8": (b"#EXTM3U\n#EXTINF:10,\nother.m4a\n#EXT-X-ENDLIST\n", "it is a playlist"),
    "song.m3u": (b"other.m4a\n", "it is a text, perhaps a playlist"),
    "song.pls": (b"[playlist]\nFile1=other.m4a\n", "it is a playlist"),
    "song.ffconcat": (b"ffconcat version 1.0\nfile 'other.m4a'\n", "it is a playlist"),
    "song.cue": (b'FILE "other.wav" WAVE\n  TRACK 01 AUDIO\n', "it is a playlist"),
    "song.sdp": (b"v=0\no=- 0 0 IN IP4 127.0.0.1\n", "it is a playlist"),
    "song.mpd": (b'<?xml version="1.0"?><MPD></MPD>', "it is a playlist"),
    "song.mp3": (b"These are the words of a song, not its sound.\n" * 100, "it is a text"),
    "song.html": (b"<!DOCTYPE html><html></html>", "it is a web page"),
    "song.jpg": (b"\xff\xd8\xff\xe0" + bytes(5000), "it is a picture"),
    "song.png": (b"\x89PNG\r\n\x1a\n" + bytes(5000), "it is a picture"),
    "song.zip": (b"PK\x03\x04" + bytes(500), "it is a zip archive"),
    "song.mid": (b"MThd" + bytes(500), "it is MIDI, which holds notes"),
    "song.raw": (np.random.default_rng(0).bytes(100_000), "begins like no kind of sound file"),
    "tiny.mp3": (b"\xff\xfb\x90\x00", "begins like no kind of sound file"),
}


@pytest.mark.parametrize("name", NO_SOUND)
def test_what_is_no_sound_is_refused_by_what_it_is_unread(tmp_path, monkeypatch, name):
    import av

    content, told = NO_SOUND[name]
    (tmp_path / name).write_bytes(content)
    (tmp_path / "song.wav").write_bytes(content)
    monkeypatch.setattr(av, "open", None)
    for path in (tmp_path / name, tmp_path / "song.wav"):
        with pytest.raises(ValueError, match=rf"{path.name} cannot be read as audio: .*{told}"):
            decode(path)


def test_ffmpeg_gets_an_open_file_a_forced_reader_and_no_protocol(tmp_path, monkeypatch, write_sound, click_song):
    import av

    path = write_sound(tmp_path / "song.m4a", "ipod", "aac", click_song(RATE), RATE)
    opened, asked = av.open, []
    monkeypatch.setattr(av, "open", lambda file, **options: asked.append((file, options)) or opened(file, **options))
    decode(path)
    ((file, options),) = asked
    assert not isinstance(file, str | os.PathLike) and not hasattr(file, "name")
    assert options["format"] == "mov" and options["options"] == {"protocol_whitelist": "none"}


@pytest.mark.parametrize(("container", "codec"), [("mp4", "aac"), ("webm", "libopus")])
def test_tags_that_are_no_text_are_passed_over(tmp_path, write_sound, click_song, heard, container, codec):
    path = write_sound(tmp_path / "song", container, codec, click_song(48_000), 48_000)
    content = path.read_bytes()
    assert b"Lavf" in content  # FFmpeg tags what it writes
    path.write_bytes(content.replace(b"Lavf", b"\xff\xfe\xfd\xfc"))
    np.testing.assert_allclose(heard(path)[0], CLICKS, atol=0.01)


def test_a_video_without_sound_is_told(tmp_path, write_sound):
    path = write_sound(tmp_path / "mute.mp4", "mp4", "aac", np.zeros((2, 0), np.float32), RATE, video=1.0)
    with pytest.raises(ValueError, match=r"mute\.mp4.*holds no sound"):
        decode(path)


def test_what_is_no_file_is_told_and_nothing_hangs(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp3")
    (tmp_path / "empty.mp3").touch()
    for name, error, told in [
        ("pipe.mp3", ValueError, "is not a file"),
        (".", ValueError, "is not a file"),
        ("empty.mp3", ValueError, r"is empty \(0 bytes\)"),
        ("absent.mp3", FileNotFoundError, "does not exist"),
        ("x" * 300 + ".mp3", FileNotFoundError, "File name too long"),
        ("a\0b.mp3", FileNotFoundError, "does not exist|no name of a file"),
        ("http:/127.0.0.1/song.mp3", FileNotFoundError, "does not exist"),
    ]:
        with pytest.raises(error, match=told):
            decode(tmp_path / name)
    with pytest.raises(ValueError, match="/dev/zero is not a file"):
        decode("/dev/zero")


@pytest.mark.parametrize("name", ["x" * 240 + ".mp3", "\udce9t\udce9.mp3", "l\u00e4rm \u266b.mp3"])
def test_any_name_that_a_file_may_have_is_read(tmp_path, sound_bytes, heard, name):
    (tmp_path / name).write_bytes(sound_bytes("mp3"))
    assert len(heard(tmp_path / name)[0]) == 8


def test_a_message_stays_one_line_whatever_the_name_is(tmp_path):
    (tmp_path / "a\n\x1b[2Jb.wav").write_bytes(b"RIFF\0\0\0\0WAVE")
    with pytest.raises(ValueError, match=r"^[^\n\x1b]*a\\nx?\\x1b\[2Jb\.wav cannot be read"):
        decode(tmp_path / "a\n\x1b[2Jb.wav")


def test_an_mp3_whose_end_was_never_loaded_is_refused(sound_bytes, tmp_path):
    content = sound_bytes("mp3")
    for share, is_read in ((0.7, False), (0.9, False), (1.0, True)):
        kept = round(share * len(content))
        path = tmp_path / f"{share}.mp3"
        path.write_bytes(content[:kept] + bytes(len(content) - kept if not is_read else 2000))
        if is_read:
            assert len(decode(path)[0]) / RATE == pytest.approx(4, abs=0.1)
        else:
            with pytest.raises(ValueError, match="is broken|promises"):
                decode(path)
