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
        ([CLIP | {"file": "a.fbx"}], "must be one of .npz, .bvh"),
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
