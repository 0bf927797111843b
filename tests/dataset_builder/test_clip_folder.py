import pytest

from infinitedance.dataset_builder.clip_folder import read_clip_folder

CLIP = {"clip": "a", "file": "a.npz", "genre": "waltz"}


def test_three_columns_are_enough(write_clip_folder):
    folder = write_clip_folder([CLIP])
    (record,) = read_clip_folder(folder)
    assert (record.clip_id, record.motion_path, record.genre) == ("a", folder / "a.npz", "waltz")
    assert (record.audio_path, record.bpm, record.duration_seconds, record.aligned) == (None, None, None, False)
    assert (record.source, record.license, record.song_id) == ("", "", "a")


def test_every_known_column_is_read(write_clip_folder):
    row = CLIP | {"audio": "songs/x.ogg", "bpm": "90.5", "seconds": "12.5", "aligned": "0", "song_id": "my song"}
    row |= {"performer": "anna"}
    folder = write_clip_folder([row | {"source": "me", "license": "CC0", "unknown": "ignored"}])
    (record,) = read_clip_folder(folder)
    assert record.audio_path == folder / "songs" / "x.ogg"
    assert (record.bpm, record.duration_seconds, record.aligned) == (90.5, 12.5, False)
    assert (record.song_id, record.source, record.license) == ("my song", "me", "CC0")
    assert record.performer_id == "anna"


def test_the_columns_of_parts_units_sides_splits_and_beats_are_read(write_clip_folder):
    row = CLIP | {"seconds": "20", "start_seconds": "2", "end_seconds": "8.5", "units": "W-1:0-45 W-2:45-105"}
    row |= {"side": "mirrored", "split": "validation", "beats": "beats.txt", "pulse_bpm": "91", "dancer": "anna"}
    folder = write_clip_folder([row])
    (folder / "beats.txt").touch()
    (record,) = read_clip_folder(folder)
    assert (record.start_seconds, record.end_seconds, record.duration_seconds) == (2.0, 8.5, 6.5)
    assert record.units == (("W-1", 1.5), ("W-2", 2.0))
    assert (record.side, record.split, record.pulse_bpm) == ("mirrored", "validation", 91.0)
    assert record.beats_path == folder / "beats.txt" and record.performer_id == "anna"


def test_columns_of_parts_and_the_like_may_be_absent(write_clip_folder):
    (record,) = read_clip_folder(write_clip_folder([CLIP]))
    assert (record.start_seconds, record.end_seconds, record.units, record.side) == (0.0, None, (), "natural")
    assert (record.split, record.beats_path, record.pulse_bpm, record.performer_id) == ("", None, None, "")


def test_other_names_of_dancer_and_pulse_are_read_where_the_first_ones_are_empty(write_clip_folder):
    row = CLIP | {"performer": "", "dancer": "ben", "pulse_bpm": "", "pulse_per_min": "84.5"}
    (record,) = read_clip_folder(
        write_clip_folder([row, row | {"clip": "b", "performer": "anna", "pulse_bpm": "90"}])
    )[:1]
    assert (record.performer_id, record.pulse_bpm) == ("ben", 84.5)


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ({}, 20.0),
        ({"start_seconds": "0"}, 20.0),
        ({"start_seconds": "5"}, 15.0),
        ({"end_seconds": "5"}, 5.0),
        ({"start_seconds": "5", "end_seconds": "7", "seconds": ""}, 2.0),
        ({"start_seconds": "5", "seconds": ""}, None),
    ],
)
def test_the_length_of_a_part_is_that_of_the_part(write_clip_folder, part, expected):
    (record,) = read_clip_folder(write_clip_folder([CLIP | {"seconds": "20"} | part]))
    assert record.duration_seconds == expected


def test_a_unit_without_frames_is_the_whole_clip(write_clip_folder):
    (record,) = read_clip_folder(write_clip_folder([CLIP | {"units": "W-1", "seconds": "20"}]))
    assert record.units == (("W-1", 0.0),)  # its length is known when the motion is read


def test_a_missing_file_of_beats_is_told(write_clip_folder):
    with pytest.raises(FileNotFoundError, match=r"a: .*gone\.txt"):
        read_clip_folder(write_clip_folder([CLIP | {"beats": "gone.txt"}]))


def test_takes_of_one_audio_file_share_the_song(write_clip_folder):
    rows = [CLIP | {"clip": name, "file": f"{name}.bvh", "audio": "songs/x.ogg"} for name in "ab"]
    assert {record.song_id for record in read_clip_folder(write_clip_folder(rows))} == {"x"}


def test_a_mirrored_copy_without_audio_shares_the_song_of_its_original(write_clip_folder):
    rows = [CLIP, CLIP | {"clip": "a_mirror", "file": "a_mirror.npz"}]
    assert {record.song_id for record in read_clip_folder(write_clip_folder(rows))} == {"a"}


@pytest.mark.parametrize(("aligned", "expected"), [("", True), ("1", True), ("0", False)])
def test_a_clip_with_audio_is_aligned_unless_the_file_denies_it(write_clip_folder, aligned, expected):
    (record,) = read_clip_folder(write_clip_folder([CLIP | {"audio": "x.ogg", "aligned": aligned}]))
    assert record.aligned is expected


def test_a_remark_in_the_audio_column_is_no_file(write_clip_folder):
    (record,) = read_clip_folder(write_clip_folder([CLIP | {"audio": "inside the video (mp3)"}]))
    assert record.audio_path is None and not record.aligned


def test_songs_alone_and_videos_are_no_dances(write_clip_folder):
    rows = [CLIP, {"clip": "song", "genre": "pop", "audio": "x.ogg"}, CLIP | {"clip": "film", "file": "film.MP4"}]
    assert [record.clip_id for record in read_clip_folder(write_clip_folder(rows))] == ["a"]


def test_a_byte_order_mark_does_not_hide_the_first_column(write_clip_folder):
    folder = write_clip_folder([CLIP])
    metadata = folder / "metadata.csv"
    metadata.write_bytes(b"\xef\xbb\xbf" + metadata.read_bytes())
    assert len(read_clip_folder(folder)) == 1


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"clip": "a", "file": "a.npz"}], "genre missing"),
        ([CLIP, CLIP], "'a' is listed more than once"),
        ([CLIP | {"clip": ""}], "line 2: `clip` and `genre` must not be empty"),
        ([CLIP, CLIP | {"clip": "b", "genre": " "}], "line 3: `clip` and `genre` must not be empty"),
        ([CLIP | {"bpm": "fast"}], "`bpm` must be a positive number or empty, got 'fast'"),
        ([CLIP | {"bpm": "0"}], "`bpm` must be a positive number"),
        ([CLIP | {"bpm": "nan"}], "`bpm` must be a positive number"),
        ([CLIP | {"seconds": "-1"}], "`seconds` must be a positive number"),
        ([CLIP | {"aligned": "yes"}], "`aligned` must be 0 or 1, got 'yes'"),
        ([CLIP | {"file": "a.fbx"}], "must be one of .bvh, .json"),
        ([CLIP | {"frame_rate": "fast"}], "`frame_rate` must be a positive number"),
        ([CLIP | {"up_axis": "w"}], "`up_axis` must be one of y, z"),
        ([CLIP | {"unit": "yd"}], "`unit` must be one of m, cm"),
        ([CLIP | {"side": "left"}], "`side` must be one of natural, mirrored or empty, got 'left'"),
        ([CLIP | {"split": "dev"}], "`split` must be one of train, validation, test or empty, got 'dev'"),
        ([CLIP | {"start_seconds": "3", "end_seconds": "3"}], "`end_seconds` must be more than .*got 3 and 3"),
        ([CLIP | {"start_seconds": "3", "end_seconds": "2"}], "`end_seconds` must be more than .*got 2 and 3"),
        ([CLIP | {"start_seconds": "-1"}], "`start_seconds` must be a positive number or 0 or empty, got '-1'"),
        ([CLIP | {"end_seconds": "0"}], "`end_seconds` must be a positive number"),
        ([CLIP | {"start_seconds": "9", "seconds": "9"}], "`start_seconds` must be less than `seconds`, got 9 and 9"),
        ([CLIP | {"pulse_bpm": "steady"}], "`pulse_bpm` must be a positive number or empty, got 'steady'"),
        ([CLIP | {"pulse_per_min": "0"}], "`pulse_per_min` must be a positive number"),
        ([CLIP | {"units": "W-1:0-x"}], "`units` must be .*got 'W-1:0-x'"),
        ([CLIP | {"units": "W-1:30-30"}], "`units` must be .*got 'W-1:30-30'"),
        ([CLIP | {"units": "W-1:30-10"}], "`units` must be .*got 'W-1:30-10'"),
        ([CLIP | {"units": "W-1:-5-10"}], "`units` must be .*got 'W-1:-5-10'"),
        ([CLIP | {"units": "W-1:"}], "`units` must be .*got 'W-1:'"),
        ([CLIP | {"units": ":0-30"}], "`units` must be .*got ':0-30'"),
        ([CLIP | {"units": "W-1 W-2"}], "the one label of the whole clip, got 'W-1'"),
        ([CLIP | {"file": ""}], "at least one dance"),
    ],
)
def test_a_wrong_table_is_refused_with_the_reason(write_clip_folder, rows, message):
    with pytest.raises(ValueError, match=message):
        read_clip_folder(write_clip_folder(rows))


def test_all_problems_are_listed_at_once(write_clip_folder):
    folder = write_clip_folder([CLIP | {"bpm": "fast"}, CLIP | {"clip": "b", "aligned": "maybe"}])
    with pytest.raises(ValueError, match="(?s)line 2: `bpm`.*line 3: `aligned`"):
        read_clip_folder(folder)


def test_a_long_list_of_problems_is_cut(write_clip_folder):
    folder = write_clip_folder([CLIP | {"clip": str(index), "bpm": "x"} for index in range(25)])
    with pytest.raises(ValueError, match="and 5 more"):
        read_clip_folder(folder)


def test_missing_files_are_listed_with_their_clip(write_clip_folder):
    folder = write_clip_folder([CLIP | {"audio": "x.ogg"}], create_files=False)
    with pytest.raises(FileNotFoundError, match=r"(?s)a: .*a\.npz.*a: .*x\.ogg"):
        read_clip_folder(folder)


def test_a_folder_without_metadata_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="must hold `metadata.csv`"):
        read_clip_folder(tmp_path / "nowhere")


def test_a_metadata_file_that_is_not_utf_8_is_refused(write_clip_folder):
    folder = write_clip_folder([CLIP])
    (folder / "metadata.csv").write_bytes("clip,file,genre\na,a.npz,café\n".encode("latin-1"))
    with pytest.raises(ValueError, match="must be UTF-8"):
        read_clip_folder(folder)


def test_an_empty_metadata_file_is_refused(tmp_path):
    (tmp_path / "metadata.csv").touch()
    with pytest.raises(ValueError, match="an empty file"):
        read_clip_folder(tmp_path)


@pytest.mark.shared_data
def test_the_real_data_beside_the_checkout_is_a_clip_folder(shared_data_dir):
    records = read_clip_folder(shared_data_dir)
    aligned = [record for record in records if record.audio_path and record.aligned]
    assert len(records) > 200
    assert len(aligned) > 30 and all(record.bpm for record in aligned)
    assert {record.genre for record in aligned} >= {"cha-cha", "rumba", "waltz"}
