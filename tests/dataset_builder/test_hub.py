import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

datasets = pytest.importorskip("datasets", reason="the extra `data` is not installed")

from infinitedance.dataset_builder.build import build_dataset  # noqa: E402
from infinitedance.dataset_builder.hub import InfiniteDanceBuilder, export_parquet  # noqa: E402
from infinitedance.dataset_builder.manifest import read_manifest  # noqa: E402
from infinitedance.dataset_builder.procedural.dataset import make_procedural_dataset  # noqa: E402
from infinitedance.dataset_builder.schema import clip_table, config_features, decode_audio, view_matrix  # noqa: E402
from infinitedance.dataset_builder.stages import SourceFolder, array_bytes  # noqa: E402

CONFIGS = ("motion", "codes", "music", "paired")


@pytest.fixture(scope="module")
def built(tiny_pipeline_dir, tmp_path_factory) -> Path:
    clips = make_procedural_dataset(tmp_path_factory.mktemp("procedural") / "clips", 6, 3.0)
    source = SourceFolder("clip_folder", str(clips))
    return build_dataset([source], tmp_path_factory.mktemp("built") / "set", codec=tiny_pipeline_dir)


@pytest.fixture(scope="module")
def cache_dir(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def prepared(built, cache_dir):
    """All configurations, as map-style data sets."""
    parts = {}
    for name in CONFIGS:
        builder = InfiniteDanceBuilder(config_name=name, data_dir=built, cache_dir=cache_dir)
        builder.download_and_prepare()
        parts[name] = (builder, builder.as_dataset())
    return parts


def assert_same_rows(first, second) -> None:
    first, second = list(first), list(second)
    assert len(first) == len(second) > 0
    for row, other in zip(first, second, strict=True):
        assert row.keys() == other.keys()
        for name in row:
            np.testing.assert_equal(row[name], other[name], err_msg=name)


def test_the_columns_are_typed(prepared):
    features = prepared["paired"][1]["train"].features
    assert features["motion_features"] == datasets.Array2D((None, 269), "float32")
    assert features["music_features"] == datasets.Array2D((None, 109), "float32")
    assert set(prepared["paired"][1]["train"]["music_features_version"]) == {2}
    assert features["motion_codes"] == datasets.List(datasets.List(datasets.Value("int16")))
    assert features["genre"].names == ["cha-cha", "hip-hop", "rumba", "waltz"]
    assert features["coarse_genre"].names == ["ballroom", "latin", "popular"]
    assert isinstance(features["audio"], datasets.Audio) and not features["audio"].decode
    assert "motion_features" not in prepared["codes"][1]["train"].features
    assert "audio" not in prepared["motion"][1]["train"].features


def test_sides_and_labels_of_units_are_columns_of_every_configuration(tmp_path, write_built):
    features = {name: np.zeros((6, 269), np.float32) for name in ("a", "a_mirror", "b")}
    units = (("W-1", 1.0), ("W-2", 0.5), ("W-1", 1.0))
    fields = {"a": {"units": units}, "a_mirror": {"units": units}, "b": {"side": "mirrored"}}
    clips = read_manifest(write_built(tmp_path, features, fields))
    for config_name in ("motion", "codes", "music", "paired"):
        columns = config_features(config_name, clips)
        assert columns["side"] == datasets.Value("string")
        assert columns["units"] == datasets.List(datasets.Value("string"))
    rows = [clip_table(clip, tmp_path, config_features("motion", clips)).to_pylist()[0] for clip in clips]
    assert [(row["side"], row["units"]) for row in rows] == [
        ("natural", ["W-1", "W-2", "W-1"]),
        ("mirrored", ["W-1", "W-2", "W-1"]),
        ("mirrored", []),
    ]


def test_the_rows_are_the_files_of_the_build(prepared, built):
    clips = {clip.clip_id: clip for clip in read_manifest(built)}
    seen = []
    for split, part in prepared["paired"][1].items():
        for row in part.with_format("numpy"):
            clip = clips[str(row["clip_id"])]
            seen.append(clip.clip_id)
            assert clip.split == split and part.features["genre"].int2str(int(row["genre"])) == clip.genre
            for name, file in zip(("motion_features", "music_features", "motion_codes"), clip.files, strict=False):
                np.testing.assert_array_equal(row[name], np.load(built / file))
                assert name == "motion_codes" or row[name].dtype == np.float32
            assert row["audio"]["bytes"] == (built / clip.audio_file).read_bytes()
    assert sorted(seen) == sorted(clips)


def test_a_view_of_a_matrix_equals_it_and_is_no_copy(prepared):
    builder, parts = prepared["paired"]
    rows = parts["train"].with_format("arrow")
    for name in ("motion_features", "music_features"):
        for index, row in enumerate(builder.as_streaming_dataset("train").with_format("arrow")):
            expected = parts["train"].with_format("numpy")[index][name]
            np.testing.assert_array_equal(view_matrix(row, name), expected)
            view = view_matrix(rows[index], name)
            np.testing.assert_array_equal(view, expected)
            assert not view.flags.owndata and not view.flags.writeable
    with pytest.raises(ValueError, match="got 2 rows"):
        view_matrix(rows[:2], "motion_features")
    with pytest.raises(ValueError, match="must be a matrix of the row, got 'clip_id'"):
        view_matrix(rows[0], "clip_id")


@pytest.mark.parametrize("name", CONFIGS)
def test_a_stream_equals_the_map_style_data(prepared, name):
    builder, parts = prepared[name]
    stream = builder.as_streaming_dataset()
    assert set(stream) == set(parts) == {"train", "validation", "test"}
    for split in parts:
        assert_same_rows(stream[split].with_format("numpy"), parts[split].with_format("numpy"))
        assert stream[split].features == parts[split].features


def test_a_stream_is_shuffled_and_divided_by_clip(prepared):
    from datasets.distributed import split_dataset_by_node

    stream = prepared["codes"][0].as_streaming_dataset("train")
    names = [row["clip_id"] for row in stream]
    assert stream.num_shards == len(names)
    halves = [[row["clip_id"] for row in split_dataset_by_node(stream, rank, 2)] for rank in (0, 1)]
    assert sorted(halves[0] + halves[1]) == sorted(names) and halves[0] and halves[1]
    shuffled = [row["clip_id"] for row in stream.shuffle(seed=0, buffer_size=1)]
    assert sorted(shuffled) == sorted(names) and shuffled != names


def test_two_processes_prepare_the_same_rows(prepared, built, tmp_path):
    builder = InfiniteDanceBuilder(config_name="music", data_dir=built, cache_dir=tmp_path)
    builder.download_and_prepare(num_proc=2)
    for split, part in prepared["music"][1].items():
        assert_same_rows(builder.as_dataset(split), part)


def test_the_sound_is_decoded_without_torchcodec(prepared):
    for row in prepared["music"][1]["train"]:
        waveform = decode_audio(row["audio"])
        assert waveform.shape == (row["num_frames"] * 800,) and waveform.dtype == np.float32
        assert 0.05 < np.abs(waveform).max() <= 1
    assert "torchcodec" not in sys.modules


def test_sound_of_another_rate_is_refused():
    import io

    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, np.zeros(100), 8000, format="WAV")
    with pytest.raises(ValueError, match="mono at 24000 Hz"):
        decode_audio({"bytes": buffer.getvalue(), "path": "x.wav"})


def test_another_build_is_not_read_from_the_old_cache(prepared, built, cache_dir, tmp_path):
    other = tmp_path / "set"
    shutil.copytree(built, other)
    same = InfiniteDanceBuilder(config_name="codes", data_dir=built, cache_dir=cache_dir)
    assert same.cache_dir == prepared["codes"][0].cache_dir
    lines = (other / "manifest.jsonl").read_text().splitlines()
    lines[0] = json.dumps({**json.loads(lines[0]), "license": "CC BY 4.0"}, sort_keys=True)
    (other / "manifest.jsonl").write_text("\n".join(lines) + "\n")
    before = InfiniteDanceBuilder(config_name="codes", data_dir=other, cache_dir=cache_dir)
    before.download_and_prepare()
    assert "CC BY 4.0" in {row["license"] for part in before.as_dataset().values() for row in part}
    lines[0] = lines[0].replace("CC BY 4.0", "CC BY 3.0")
    (other / "manifest.jsonl").write_text("\n".join(lines) + "\n")
    after = InfiniteDanceBuilder(config_name="codes", data_dir=other, cache_dir=cache_dir)
    assert after.cache_dir != before.cache_dir
    after.download_and_prepare()
    assert "CC BY 3.0" in {row["license"] for part in after.as_dataset().values() for row in part}


def test_motion_and_music_of_a_row_end_together(built, tmp_path):
    shutil.copytree(built, tmp_path / "set")
    clips = read_manifest(tmp_path / "set")
    music = np.load(built / clips[0].music_file)
    (tmp_path / "set" / clips[0].music_file).write_bytes(array_bytes(music[:-7]))
    row = clip_table(clips[0], tmp_path / "set", config_features("paired", clips))
    assert row["num_frames"][0].as_py() == len(music) - 7
    assert len(row["motion_features"][0].as_py()) == len(row["music_features"][0].as_py()) == len(music) - 7


def test_parquet_in_the_layout_of_the_hub_reads_back_equal(prepared, built, cache_dir, tmp_path):
    folder = export_parquet(built, tmp_path / "hub", configs=["paired", "codes"], cache_dir=cache_dir)
    for name in ("paired", "codes"):
        loaded = datasets.load_dataset(str(folder), name, cache_dir=str(tmp_path / "cache"))
        for split, part in prepared[name][1].items():
            assert loaded[split].features == part.features
            assert_same_rows(loaded[split].with_format("numpy"), part.with_format("numpy"))
    assert datasets.get_dataset_default_config_name(str(folder)) == "paired"
    stream = datasets.load_dataset(str(folder), "codes", split="test", streaming=True)
    assert_same_rows(stream, prepared["codes"][1]["test"])


def test_a_large_split_is_divided_into_files(built, cache_dir, tmp_path):
    folder = export_parquet(built, tmp_path / "hub", configs=["motion"], cache_dir=cache_dir, max_shard_bytes=300_000)
    names = sorted(path.name for path in (folder / "motion").glob("train-*"))
    assert len(names) > 1 and names[0] == f"train-00000-of-{len(names):05d}.parquet"
    loaded = datasets.load_dataset(str(folder), "motion", split="train", cache_dir=str(tmp_path / "cache"))
    assert len(loaded) == sum(clip.split == "train" for clip in read_manifest(built))
    with pytest.raises(FileExistsError, match="new or empty"):
        export_parquet(built, folder, cache_dir=cache_dir)


def test_uploading_without_the_hub_is_told(prepared):
    with pytest.raises(ConnectionError, match="Cannot upload to nobody/nothing: HF_HUB_OFFLINE is set"):
        prepared["codes"][0].push_to_hub("nobody/nothing")


def test_what_is_not_there_is_told(built, cache_dir, tmp_path):
    with pytest.raises(ValueError, match="must be one of motion, codes, music, paired, got 'dance'"):
        InfiniteDanceBuilder(config_name="dance", data_dir=built, cache_dir=cache_dir)
    with pytest.raises(FileNotFoundError, match=r"no manifest\.jsonl.*infinitedance build"):
        InfiniteDanceBuilder(data_dir=tmp_path, cache_dir=cache_dir)
    shutil.copytree(built, tmp_path / "set")
    lines = [json.loads(line) for line in (built / "manifest.jsonl").read_text().splitlines()]
    without = [json.dumps({**line, "codes_file": None}, sort_keys=True) for line in lines]
    (tmp_path / "set" / "manifest.jsonl").write_text("\n".join(without) + "\n")
    with pytest.raises(ValueError, match="no clip for the configuration 'codes'"):
        InfiniteDanceBuilder(config_name="codes", data_dir=tmp_path / "set", cache_dir=cache_dir)
    (tmp_path / "set" / "manifest.jsonl").write_text("{}\n")
    with pytest.raises(ValueError, match="line 1: a clip must have the fields"):
        InfiniteDanceBuilder(data_dir=tmp_path / "set", cache_dir=cache_dir)
