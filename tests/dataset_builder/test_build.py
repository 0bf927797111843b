import json
import os
import random
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from infinitedance.audio.beats import BeatClock
from infinitedance.audio.features import MusicFeatureLayout, spectral_features
from infinitedance.audio.loudness import hop_powers, integrated_loudness
from infinitedance.cli import main
from infinitedance.dataset_builder import build
from infinitedance.dataset_builder.build import build_dataset
from infinitedance.dataset_builder.built import BuiltDataset
from infinitedance.dataset_builder.clip_folder import read_clip_folder
from infinitedance.dataset_builder.manifest import read_manifest
from infinitedance.dataset_builder.procedural.dance import synthesize_dance
from infinitedance.dataset_builder.procedural.dataset import make_procedural_dataset
from infinitedance.dataset_builder.quality_gates import Gate, QualityGates
from infinitedance.dataset_builder.sources.base import SourceRecord
from infinitedance.dataset_builder.splits import song_groups, split_by_name, split_by_song
from infinitedance.dataset_builder.stages import ClipJob, SourceFolder, read_music
from infinitedance.motion.features import features_to_motion
from infinitedance.motion.files import load_motion, save_motion


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory) -> Path:
    return make_procedural_dataset(tmp_path_factory.mktemp("procedural") / "clips", 6, 3.0)


@pytest.fixture(scope="module")
def sources(clip_folder) -> list[SourceFolder]:
    return [SourceFolder("clip_folder", str(clip_folder))]


@pytest.fixture(scope="module")
def built(sources, tiny_pipeline_dir, tmp_path_factory) -> Path:
    return build_dataset(sources, tmp_path_factory.mktemp("built") / "set", codec=tiny_pipeline_dir)


def end_this_process(*_, **__) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def report_of(folder: Path) -> dict:
    report = json.loads((folder / "report.json").read_text())
    return {**{table["title"]: table["rows"] for table in report["tables"]}, "left_out": report["left_out"]}


def test_every_clip_has_its_files_and_its_mirrored_copy(built):
    clips = read_manifest(built)
    assert len(clips) == 12 and sum(clip.is_mirrored for clip in clips) == 6
    for clip in clips:
        assert len(clip.files) == 4
        motion, music, codes = (np.load(built / file) for file in clip.files[:3])
        waveform, sampling_rate = soundfile.read(built / clip.audio_file)
        assert motion.shape == (clip.num_frames, 269) and music.shape == (clip.num_frames, 109)
        assert codes.shape[1] == -(-clip.num_frames // 4) and codes.dtype == np.int16
        assert sampling_rate == 24_000 and len(waveform) == clip.num_frames * 800


def test_the_music_features_are_of_the_version_that_manifest_and_settings_name(sources, tmp_path):
    """The level is that of the whole song, which a dance of a clip folder is as long as."""
    output = build_dataset(sources, tmp_path / "set", mirror=False)
    for clip in read_manifest(output):
        waveform, _ = soundfile.read(output / clip.audio_file, dtype="float32")
        expected = spectral_features(waveform, 0, clip.num_frames)
        found = np.load(output / clip.music_file)[:, : MusicFeatureLayout.beat_clock.start]
        assert clip.music_features_version == 2
        assert np.abs(found - expected).mean() < 0.02  # the sound is kept with 16 bits
    settings = json.loads((output / "build.json").read_text())
    (output / "build.json").write_text(json.dumps(settings | {"music_features_version": 1}))
    with pytest.raises(ValueError, match="was begun with another music_features_version"):
        build_dataset(sources, output, mirror=False)


def test_the_features_are_those_of_the_motion_on_the_floor(built, clip_folder):
    clip = read_manifest(built)[0]
    original = load_motion(clip_folder / "motion" / f"{clip.clip_id.split('/')[1]}.npz")
    motion = features_to_motion(torch.from_numpy(np.load(built / clip.motion_file)))
    heights = motion.root_positions[:, 1] - original.root_positions[:, 1]
    assert np.ptp(heights) < 1e-4 and abs(heights.mean()) < 0.02


def test_training_reads_a_built_folder(built):
    data = BuiltDataset(built)
    clip = data.split("train")[0]
    assert data.motion_features(clip).shape == (90, 269) and data.music_features(clip).shape == (90, 109)
    assert data.split("test") and data.split("validation")


def test_building_again_does_no_work_and_changes_no_byte(built, sources, tiny_pipeline_dir, monkeypatch):
    before = contents(built)
    monkeypatch.setattr(build, "build_clip", lambda *_: pytest.fail("a clip that is done was built again"))
    build_dataset(sources, built, codec=tiny_pipeline_dir)
    assert contents(built) == before


def test_a_build_that_stopped_anywhere_goes_on_to_the_same_bytes(built, sources, tiny_pipeline_dir, tmp_path):
    """Take away the files that a kill may leave unwritten, and leave what it may leave half written."""
    draw = random.Random(0)
    for attempt in range(3):
        output = tmp_path / str(attempt)
        shutil.copytree(built, output)
        entries = sorted((output / "entries").rglob("*.json"))
        for entry in draw.sample(entries, draw.randint(1, 2)):
            entry.unlink()
            motions = sorted((output / "motion").rglob(f"{entry.stem}*.npy"))
            for path in motions[: draw.randint(0, 2)]:
                path.unlink()
            (motions[0].parent / f".{entry.stem}.123.npy").write_bytes(b"half")
        (output / "manifest.jsonl").unlink()
        (output / ".partial-0123-77.jsonl").write_text("{")
        build_dataset(sources, output, codec=tiny_pipeline_dir)
        assert contents(output) == contents(built)


def test_a_clip_that_left_the_source_leaves_the_data_set(clip_folder, tmp_path):
    folder = tmp_path / "clips"
    shutil.copytree(clip_folder, folder)
    source = [SourceFolder("clip_folder", str(folder))]
    output = build_dataset(source, tmp_path / "set", mirror=False)
    lines = (folder / "metadata.csv").read_text().splitlines()
    (folder / "metadata.csv").write_text("\n".join(lines[:-1]) + "\n")
    build_dataset(source, output, mirror=False)
    gone = lines[-1].split(",")[0]
    assert len(read_manifest(output)) == 5 and not [name for name in contents(output) if gone in name]


def test_without_codec_mirror_and_audio_only_features_are_written(sources, tmp_path):
    output = build_dataset(sources, tmp_path / "set", mirror=False, keep_audio=False)
    clips = read_manifest(output)
    assert len(clips) == 6
    assert all(clip.codes_file is None and clip.audio_file is None and clip.music_file for clip in clips)
    assert not (output / "audio").exists() and not (output / "codes").exists()


@pytest.fixture(scope="module")
def damaged_folder(clip_folder, tmp_path_factory) -> Path:
    """Two broken files, a teleport, and music that is too short, among six clips."""
    folder = tmp_path_factory.mktemp("damaged") / "clips"
    shutil.copytree(clip_folder, folder)
    motions, songs = (sorted((folder / name).iterdir()) for name in ("motion", "audio"))
    motions[0].write_bytes(b"no motion")
    songs[1].write_bytes(b"no sound")
    motion = load_motion(motions[2])
    root = motion.root_positions.copy()
    root[40:, 0] += 3
    save_motion(replace(motion, root_positions=root), motions[2])
    waveform, rate = soundfile.read(songs[3])
    soundfile.write(songs[3], waveform[: rate // 2 * 3], rate)
    return folder


@pytest.fixture(scope="module")
def damaged(damaged_folder, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("damaged_set") / "set"
    return build_dataset([SourceFolder("clip_folder", str(damaged_folder))], output)


def test_a_bad_clip_is_left_out_with_its_reason(damaged, damaged_folder):
    report = report_of(damaged)
    assert report["Clips"] == [["clip_folder", 6, 2, 0, 2, 2], ["all", 6, 2, 0, 2, 2]]
    reasons = {
        item["clip_id"].split("/")[1]: (item["status"], "; ".join(item["reasons"])) for item in report["left_out"]
    }
    motions = [path.stem for path in sorted((damaged_folder / "motion").iterdir())]
    for name, status, fragment in zip(
        motions,
        ("failed", "failed", "rejected", "rejected"),
        ("is not a readable .npz", "audio", "peak_root_speed", "music_shortfall_seconds 1.5 is above 1"),
        strict=False,
    ):
        assert reasons[name][0] == status and fragment in reasons[name][1], reasons[name]
    text = (damaged / "report.md").read_text()
    assert all(f"`clip_folder/{name}`" in text for name in motions[:4])
    assert str(damaged_folder.parent) not in text
    assert len(read_manifest(damaged)) == 4


def test_the_report_counts_what_the_manifest_holds(built):
    report = report_of(built)
    frames = sum(clip.num_frames for clip in read_manifest(built) if not clip.is_mirrored)
    assert float(report["Hours by genre"][-1][-1]) == pytest.approx(frames / 108_000, abs=5e-5)
    assert report["Clips"][-1][1:] == [6, 6, 0, 0, 0] and report["left_out"] == []


def test_a_failed_clip_is_tried_again_and_a_rejected_one_is_not(damaged, damaged_folder, clip_folder, tmp_path):
    folder, output = tmp_path / "clips", tmp_path / "set"
    shutil.copytree(damaged_folder, folder)
    shutil.copytree(damaged, output)
    repaired = sorted((folder / "motion").iterdir())[0]
    shutil.copy(clip_folder / "motion" / repaired.name, repaired)
    build_dataset([SourceFolder("clip_folder", str(folder))], output)
    assert report_of(output)["Clips"][-1][1:] == [6, 3, 0, 2, 1]


def test_a_clip_is_built_again_if_its_content_has_changed_and_its_size_has_not(clip_folder, tmp_path):
    folder = tmp_path / "clips"
    shutil.copytree(clip_folder, folder)
    source = [SourceFolder("clip_folder", str(folder))]
    path = sorted((folder / "motion").iterdir())[0]
    arrays = dict(np.load(path))
    np.savez(path, **arrays)  # not compressed: other values take the same room
    size = path.stat().st_size
    output = build_dataset(source, tmp_path / "set", mirror=False)
    before = {clip.clip_id: clip.sha256 for clip in read_manifest(output)}
    np.savez(path, **{**arrays, "root_positions": arrays["root_positions"] * np.float32(1.01)})
    assert path.stat().st_size == size
    build_dataset(source, output, mirror=False)
    after = {clip.clip_id: clip.sha256 for clip in read_manifest(output)}
    assert [name for name in before if before[name] != after[name]] == [f"clip_folder/{path.stem}"]


def test_a_clip_is_built_again_if_the_options_of_its_source_have_changed(tmp_path):
    table, path = tmp_path / "beats.csv", tmp_path / "motion.npz"
    path.touch()
    record = SourceRecord("c", "s", "", "waltz", "x", "", path)
    prints = []
    for text, options in (("a", ()), ("a", (("timing", str(table)),)), ("b", (("timing", str(table)),))):
        table.write_text(text)
        prints.append(ClipJob(SourceFolder("dance_with_melody", str(tmp_path), options), record).fingerprint())
    assert len(set(prints)) == 3


@pytest.mark.slow
def test_a_worker_that_is_killed_is_told(sources, tmp_path, monkeypatch):
    monkeypatch.setattr(build, "build_clip", end_this_process)
    with pytest.raises(ChildProcessError, match="perhaps for want of memory. Run the same command again"):
        build_dataset(sources, tmp_path / "set", num_workers=2)


def test_a_gate_can_flag_what_it_would_reject(sources, tmp_path):
    gates = QualityGates(jitter=Gate(0.0, "flag"))
    output = build_dataset(sources, tmp_path / "set", mirror=False, gates=gates)
    assert {clip.flags for clip in read_manifest(output)} == {("jitter",)}
    assert report_of(output)["Clips beyond a gate"] == [["jitter", 6]]


def test_nothing_that_passes_is_an_error_that_names_the_report(sources, tmp_path):
    gates = QualityGates(duration_seconds=Gate(100.0))
    with pytest.raises(ValueError, match=r"None of the 6 clips.*report\.md"):
        build_dataset(sources, tmp_path / "set", gates=gates)
    assert len(report_of(tmp_path / "set")["left_out"]) == 6


def test_other_settings_do_not_go_on_with_a_build(built, sources, tiny_pipeline_dir):
    with pytest.raises(ValueError, match="begun with another seed"):
        build_dataset(sources, built, codec=tiny_pipeline_dir, seed=1)
    with pytest.raises(ValueError, match="begun with another codec_sha256, mirror"):
        build_dataset(sources, built, mirror=False)


def test_wrong_input_is_told(sources, clip_folder, tmp_path, capsys):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").write_text("")
    (tmp_path / "file").write_text("")
    source = f"clip_folder={clip_folder}"
    cases = [
        (["--source", "nobody=x", "--output", "o"], "NAME=FOLDER with one of the names"),
        (["--source", str(clip_folder), "--output", "o"], "NAME=FOLDER"),
        (["--source", f"clip_folder={tmp_path / 'none'}", "--output", "o"], "got no folder"),
        (["--source", source, "--output", str(tmp_path / "other")], "with other files in it"),
        (["--source", source, "--output", str(tmp_path / "file")], "got the file"),
        (["--source", source, "--output", str(tmp_path / "x"), "--workers", "0"], "num_workers"),
        (["--source", source, "--output", str(tmp_path / "x"), "--gates", str(tmp_path / "no.yaml")], "no.yaml"),
        (["--source", source, "--source", source, "--output", str(tmp_path / "x")], "Clip ids must be unique"),
    ]
    for arguments, fragment in cases:
        assert main(["build", *arguments]) == 2, arguments
        assert fragment in capsys.readouterr().err, arguments
    with pytest.raises(ValueError, match="`engine` must be one of"):
        build_dataset(sources, tmp_path / "x", engine="spark")
    with pytest.raises(ValueError, match="at least one data set"):
        build_dataset([], tmp_path / "x")


def test_music_that_begins_within_its_song_is_cut_with_its_beats(tmp_path, clicks):
    """Clicks at 120 bpm from 0: a dance that begins at 1.25 s begins half a beat after one."""
    path = tmp_path / "song.wav"
    soundfile.write(path, clicks, 24_000)
    motion = synthesize_dance("hip-hop", 96, 3.0, seed=0)
    record = SourceRecord("c", "s", "", "hip-hop", "x", "", path, path, bpm=120.0, aligned=True, start_seconds=1.25)
    music = read_music(record, motion, starts_on_beat=False)
    assert len(music.features) == 90 and len(music.waveform) == 72_000
    phase = music.beat_clock.phase(np.array([0.0, 0.25]))
    assert (phase[0] % 1, (phase[1] + 0.5) % 1) == (pytest.approx(0.5, abs=0.06), pytest.approx(0.5, abs=0.06))
    spectral = music.features[:, : MusicFeatureLayout.beat_clock.start]
    loudness = integrated_loudness(hop_powers(clicks, 24_000))  # of the song, not of the part
    expected = spectral_features(music.waveform, 0, 90, loudness_lufs=loudness)
    np.testing.assert_allclose(spectral, expected, atol=5e-3)  # the song was kept with 16 bits
    onsets = music.features[:, MusicFeatureLayout.onset_strength].ravel()
    assert set(np.argsort(onsets)[-5:] % 15) <= {7, 8}
    assert read_music(replace(record, aligned=False), motion, starts_on_beat=False) is None
    with pytest.raises(ValueError):
        read_music(replace(record, start_seconds=30.0), motion, starts_on_beat=False)


def random_records(draw: random.Random) -> list[SourceRecord]:
    num_songs, num_performers = draw.randint(1, 40), draw.randint(1, 60)
    return [
        SourceRecord(
            clip_id=str(index),
            song_id=f"song{draw.randrange(num_songs)}",
            performer_id=draw.choice(["", f"dancer{draw.randrange(num_performers)}"]),
            genre=draw.choice(["waltz", "rumba", "krump"]),
            source="set",
            license="",
            motion_path=Path("m"),
            audio_path=draw.choice([None, Path("a")]),
            aligned=True,
        )
        for index in range(draw.randint(1, 80))
    ]


def test_no_song_and_no_performer_is_in_two_splits():
    draw = random.Random(0)
    held_out = 0
    for _ in range(500):
        records = random_records(draw)
        splits = split_by_song(records, seed=3)
        assert sorted(record.clip_id for part in splits.values() for record in part) == sorted(
            r.clip_id for r in records
        )
        for name in ("song_id", "performer_id"):
            parts = [{getattr(record, name) for record in part} - {""} for part in splits.values()]
            assert sum(map(len, parts)) == len(set().union(*parts))
        held_out += bool(splits["test"])
        shuffled = draw.sample(records, len(records))
        assert splits == split_by_song(shuffled, seed=3)
    assert held_out > 100


def test_songs_are_joined_by_a_chain_of_performers():
    def record(song, performer):
        return SourceRecord(f"{song}{performer}", song, performer, "waltz", "", "", Path("m"))

    clips = [("a", "x"), ("b", "x"), ("b", "y"), ("c", "y"), ("d", "z"), ("e", ""), ("f", "")]
    assert song_groups([record(*clip) for clip in clips]) == [("a", "b", "c"), ("d",), ("e",), ("f",)]


def test_large_sets_are_divided_85_5_10_within_each_genre():
    records = [
        SourceRecord(
            f"{genre}{i}", f"{genre}{i}", f"{genre}{i // 2}", genre, "", "", Path("m"), Path("a"), aligned=True
        )
        for genre, count in (("waltz", 400), ("rumba", 200))
        for i in range(count)
    ]
    splits = split_by_song(records)
    for genre, count in (("waltz", 400), ("rumba", 200)):
        sizes = {name: sum(record.genre == genre for record in part) for name, part in splits.items()}
        assert sizes == {"train": 0.85 * count, "validation": 0.05 * count, "test": 0.1 * count}


def test_named_songs_that_share_a_performer_with_others_are_refused():
    records = [SourceRecord(name, name, "x", "waltz", "", "", Path("m")) for name in "abc"]
    with pytest.raises(ValueError, match="name also b, c for test"):
        split_by_name(records, {"test": ["a"]})


def test_named_songs_are_the_splits_and_wrong_names_are_told_before_the_work(sources, clip_folder, tmp_path):
    songs = [f"clip_folder/{record.song_id}" for record in read_clip_folder(clip_folder)]
    named = {"validation": songs[1:2], "test": songs[2:4]}
    data = BuiltDataset(build_dataset(sources, tmp_path / "set", split_songs=named))
    assert {name: {clip.song_id for clip in data.split(name)} for name in named} == {
        k: set(v) for k, v in named.items()
    }
    with pytest.raises(ValueError, match="unknown nobody"):
        build_dataset(sources, tmp_path / "other", split_songs={"test": ["nobody"]})
    assert not (tmp_path / "other").exists()
    with pytest.raises(ValueError, match="begun with another split_songs"):
        build_dataset(sources, tmp_path / "set")


def test_music_of_known_tempo_keeps_it(built, clip_folder):
    record = read_clip_folder(clip_folder)[0]
    clip = next(clip for clip in read_manifest(built) if clip.clip_id == f"clip_folder/{record.clip_id}")
    music = np.load(built / clip.music_file)
    clock = BeatClock.steady(record.bpm, 3.0, meter=3 if record.genre == "waltz" else 4).to_features(len(music))
    np.testing.assert_allclose(music[:, MusicFeatureLayout.beat_clock], clock, atol=1e-5)


@pytest.mark.slow
def test_two_workers_build_the_same_bytes(built, sources, tiny_pipeline_dir, tmp_path):
    output = build_dataset(sources, tmp_path / "set", codec=tiny_pipeline_dir, num_workers=2)
    assert contents(output) == contents(built)
