import json
from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch

from benchmarks.held_out import CodedDance, GenerationRequest, ReportData, cycles_per_beat
from benchmarks.results import __main__ as report
from benchmarks.results import music as report_music
from benchmarks.results import speed as report_speed
from benchmarks.results.conditions import conditions_section, motion_statistics
from benchmarks.results.music import music_section
from benchmarks.results.quality import quality_section, window_boundaries
from benchmarks.writer import render_markdown
from infinitedance.audio.beats import GENRE_METERS, BeatClock
from infinitedance.audio.features import MusicFeatureLayout
from infinitedance.evaluation.report.tables import Table, format_cell, mean_with_interval
from infinitedance.motion.features import features_to_motion
from infinitedance.motion.files import save_motion
from infinitedance.motion.motion import Motion
from infinitedance.motion.retargeting.retargeting import put_on_floor
from infinitedance.pipeline import MusicToDancePipeline
from infinitedance.training.data_choreollama import beat_counts


class ObedientDancer(ReportData):
    """Walks straight on, fastest where the clock in the music says that a cycle of its genre begins."""

    def generate(self, requests, guidance_scale=None):
        dances = []
        for request in requests:
            beats = beat_counts(request.music)
            pulse = np.cos(2 * np.pi * cycles_per_beat(request.genre) * beats)
            rotations = np.zeros((len(pulse), 22, 4))
            rotations[..., 0] = 1
            path = np.cumsum((0.02 + 0.001 * request.seed) * (1 + 0.8 * pulse))
            root = np.stack([0 * path, 0 * path + 0.9, path], axis=-1)
            dances.append(CodedDance(put_on_floor(Motion(30.0, root, rotations)), np.zeros((3, 1), int)))
        return dances


class DeafDancer(ObedientDancer):
    """Dances to 100 bpm whatever is played."""

    def generate(self, requests, guidance_scale=None):
        deaf = []
        for request in requests:
            clock = BeatClock.steady(100, 100, meter=GENRE_METERS.get(request.genre, 4))
            music = request.music.copy()
            music[:, MusicFeatureLayout.beat_clock] = clock.to_features(len(music))
            deaf.append(GenerationRequest(music, request.genre, request.seed))
        return super().generate(deaf, guidance_scale)


class Copyist(ReportData):
    """Gives back training dances of the genre that is asked for, another one for another seed."""

    def generate(self, requests, guidance_scale=None):
        dances = []
        for request in requests:
            clips = [clip for clip in self.training_clips if clip.genre == request.genre]
            dances.append(self.encode(self.clips.motion_features(clips[request.seed])[: len(request.music)]))
        return dances


@pytest.fixture
def load(model_dir, data_dir):
    def build(kind):
        return kind(model_dir, data_dir, num_seeds=2)

    return build


def rows_of(tables: list[Table], title: str) -> dict[str, list]:
    """The rows of a table by their first cell; the last of each name."""
    return {str(row[0]): row[1:] for table in tables if table.title == title for row in table.rows}


def test_held_out_songs_carry_the_tempo_of_their_audio(load):
    data = load(ReportData)
    assert [song.clip.clip_id for song in data.songs] == ["clip_folder/cha-cha_0006", "clip_folder/waltz_0004"]
    for song in data.songs:
        assert song.estimated_bpm == pytest.approx(song.bpm, rel=0.02)
        assert song.num_frames == 30 * 18 and song.real.codes.shape == (3, 135)
        assert song.real.positions[..., 1].min() > -0.05


def test_each_dance_of_a_batch_has_the_length_of_its_music_and_equals_itself_alone(load):
    data = load(ReportData)
    music = data.songs[0].music
    requests = [GenerationRequest(music[:41], "waltz", 3), GenerationRequest(music[:90], "rumba", 3)]
    dances = data.generate(requests)
    assert [dance.motion.num_frames for dance in dances] == [41, 90]
    assert [dance.codes.shape for dance in dances] == [(3, 11), (3, 23)]
    np.testing.assert_array_equal(data.generate(requests[:1])[0].codes, dances[0].codes)
    assert not np.array_equal(data.generate(requests[:1], guidance_scale=0.0)[0].codes, dances[0].codes)


def test_a_dancer_who_obeys_the_clock_locks_to_the_right_song_and_follows_a_change_of_tempo(load, monkeypatch):
    monkeypatch.setattr(report_music, "CHANGE_BEATS", (36, 36))
    tables = music_section(load(ObedientDancer))
    for name, (true, estimated, _, _, right, wrong) in rows_of(tables, "Pulse lock").items():
        if name != "mean":
            assert estimated == pytest.approx(true, rel=0.02)
            assert right > 10 and wrong < 2
    for bpm, estimated, own, other in rows_of(tables, "A song that changes from 90 to 120 bpm").values():
        if bpm is not None:
            assert estimated == pytest.approx(bpm, rel=0.02)
            assert own > 10 and other < 1
    losses = rows_of(tables, "Loss with the right song, without music, with a wrong song")
    assert list(losses) == ["0", "1", "2", "sum"]
    assert losses["sum"][0][0] == pytest.approx(3 * np.log(16), rel=0.2)  # the model is untrained


def test_a_deaf_dancer_locks_to_no_song(load, monkeypatch):
    monkeypatch.setattr(report_music, "CHANGE_BEATS", (36, 36))
    lock = rows_of(music_section(load(DeafDancer)), "Pulse lock")["mean"]
    assert lock[4][0] < 2 and lock[4] == pytest.approx(lock[5], abs=1)


def test_a_copyist_is_found_out_and_otherwise_dances_like_the_real_ones(load):
    tables = quality_section(load(Copyist))
    assert rows_of(tables, "Copying")["generated"] == [1.0, 1.0]
    ratios = rows_of(tables, "Generated over real")
    assert set(ratios) == {"cha-cha", "waltz"}
    for speed, *_, slide, low_slide in ratios.values():
        assert 0.6 < speed < 1.5 and 0.3 < slide < 3 and 0.3 < low_slide < 3
    # 135 tokens in windows of 16 that move on by 8: boundaries at 16, 24, ... 128.
    seams = rows_of(tables, "Seams between windows")
    assert seams["real"][0] == 2 * 15 and seams["generated"][0] == 4 * 15
    body = {(row[0], row[1]): row[2:] for row in tables[0].rows}
    assert body["waltz", "real"][0] == 1 and body["waltz", "generated"][0] == 2


def test_genres_are_told_apart_in_dances_that_have_them(load):
    tables = conditions_section(load(Copyist))
    told = rows_of(tables, "Genre: classified as the requested one")
    assert told["generated, another genre to the same song"][0][0] > 0.9
    assert told["chance"] == [0.25]
    assert rows_of(tables, "Genre: distance between dances")["ratio"][0][0] > 2
    guidance = rows_of(tables, "Guidance")
    assert list(guidance) == ["0.0", "1.0", "2.0"] and guidance["0.0"] == guidance["2.0"]


def test_a_genre_is_not_told_in_dances_that_do_not_have_it(load):
    told = rows_of(conditions_section(load(ObedientDancer)), "Genre: classified as the requested one")
    assert told["generated, another genre to the same song"][0][0] < 0.5


def test_statistics_count_whole_windows_and_do_not_depend_on_the_place(load):
    positions = load(ReportData).songs[0].real.positions
    statistics = motion_statistics(positions)
    assert statistics.shape == (1, 28)
    np.testing.assert_allclose(motion_statistics(positions + [3.0, 0.0, -2.0]), statistics, atol=1e-9)
    assert motion_statistics(positions[:299]).shape == (0, 28)


@pytest.mark.parametrize(
    ("num_tokens", "expected"), [(64, []), (65, []), (66, [256]), (130, [256, 384, 512]), (20, [])]
)
def test_windows_begin_after_the_first_and_then_at_every_half(num_tokens, expected):
    assert window_boundaries(num_tokens, 64, 4) == expected


def test_a_report_is_written_and_sections_that_are_not_measured_again_are_kept(model_dir, data_dir):
    output = data_dir.parent / "results.md"
    command = ["--model_dir", str(model_dir), "--data_dir", str(data_dir)]
    output.with_suffix(".json").write_text(json.dumps({"music": _section("It hears"), "codec": _section("Old")}))
    report.main([*command, "--output", str(output), "--sections", "codec"])
    numbers = json.loads(output.with_suffix(".json").read_text())
    assert list(numbers) == ["codec", "music"] and numbers["music"] == _section("It hears")
    encoded, refined = numbers["codec"]["tables"]
    assert [row[0] for row in encoded["rows"]] == ["procedural", "all", "all, validation too"]
    assert [row[0] for row in refined["rows"]] == ["procedural", "all"]
    assert refined["rows"][0][2] < encoded["rows"][0][2]  # the joint error
    text = output.read_text()
    assert "## 1. The codec" in text and "## It hears" in text and "Old" not in text
    assert "--model_dir model --data_dir built --output results.md" in text
    assert str(data_dir.parent) not in text + output.with_suffix(".json").read_text()


def _section(title: str) -> dict:
    table = {"title": "T", "columns": ["a", "b"], "rows": [["x", [1.5, 1.25, None]], ["y", None]], "note": "N"}
    return {"title": title, "command": "c", "versions": {"p": "1"}, "weights_sha256": "0" * 64, "tables": [table]}


def test_markdown_shows_every_cell():
    text = render_markdown({"music": _section("It hears")}, "# Head\n")
    assert "| a | b |\n| --- | --- |\n| x | 1.50 (1.25 to -) |\n| y | - |\n" in text
    assert text.startswith("# ") and "```bash\nc\n```" in text and "\nN\n" in text


@pytest.mark.parametrize(
    ("cell", "shown"),
    [(0.01234, "0.012"), (1.239, "1.24"), (-12.34, "-12.3"), (123.4, "123"), (7, "7"), ("a", "a"), (None, "-")],
)
def test_numbers_are_shown_with_three_digits(cell, shown):
    assert format_cell(cell) == shown


def test_an_interval_needs_every_song():
    assert mean_with_interval([1.0, 3.0])[0] == 2
    assert np.isnan(mean_with_interval([1.0, np.nan])).all()


@pytest.fixture
def interpreter(tmp_path, monkeypatch):
    """Put a shell script in the place of Python, whose start with all imports takes seconds."""

    def replace(script: str):
        path = tmp_path / "interpreter"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o700)
        monkeypatch.setattr(report_speed.sys, "executable", str(path))

    return replace


def test_the_command_of_the_package_is_run_and_its_files_are_found(interpreter, tmp_path):
    interpreter(f'cd {tmp_path}; mkdir out; echo "$@" > out/song_waltz_3.bvh; touch out/song_waltz_30.bvh; sleep 0.1')
    elapsed, files = report_speed.run_dance(
        tmp_path, tmp_path / "song.wav", "waltz", 3, tmp_path / "out", "--no-video"
    )
    assert 0.1 <= elapsed < 5 and [file.name for file in files] == ["song_waltz_3.bvh"]
    expected = f"-m infinitedance.cli dance {tmp_path}/song.wav --genre waltz --seed 3 --output {tmp_path}/out"
    assert files[0].read_text() == f"{expected} --model {tmp_path} --no-video\n"


def test_a_failure_of_the_command_is_told(interpreter, tmp_path):
    interpreter("echo no audio file >&2; exit 2")
    with pytest.raises(RuntimeError, match="dance .* failed:\nno audio file"):
        report_speed.run_dance(tmp_path, tmp_path / "none.wav", "waltz", 0, tmp_path)


@pytest.mark.parametrize("is_long_enough", [True, False])
def test_lengths_and_bytes_of_the_command_are_checked(load, monkeypatch, is_long_enough):
    def dance(model_dir, song, genre, seed, output_dir, *options):
        num_frames = round(30 * soundfile.info(song).duration) if is_long_enough else 5
        output_dir.mkdir(exist_ok=True)
        rotations = np.tile([1.0, 0.0, 0.0, 0.0], (num_frames, 22, 1))
        save_motion(Motion(30.0, np.full((num_frames, 3), float(seed)), rotations), output_dir / f"{song.stem}.npz")
        return 0.5, [output_dir / f"{song.stem}.npz"]

    monkeypatch.setattr(report_speed, "run_dance", dance)
    lengths, repeats = report_speed.speed_section(load(ReportData), (1.0, 7.3))
    right = "yes" if is_long_enough else "no"
    assert [row[:4] for row in lengths.rows] == [
        [1.0, "bvh, npz, mp4", 30 if is_long_enough else 5, right],
        [7.3, "bvh, npz, mp4", 219 if is_long_enough else 5, right],
        [61.0, "bvh, npz", 1830 if is_long_enough else 5, right],
    ]
    assert lengths.rows[0][4:] == [0.5, 0.5, 2.0]
    assert repeats.rows == [[".npz", "yes", "no"]]


def test_a_row_of_another_length_than_the_columns_is_refused():
    with pytest.raises(ValueError, match="must have 2 cells"):
        Table("T", ["a", "b"], [[1]])


def test_an_unknown_section_is_refused(capsys):
    folders = ["--model_dir", "m", "--data_dir", "d", "--output", "o.md"]
    with pytest.raises(SystemExit):
        report.main([*folders, "--sections", "codec,musik"])
    assert "must be some of codec,speed,quality,music,conditions, got musik" in capsys.readouterr().err


def test_a_model_of_other_music_features_is_refused(model_dir, data_dir, tmp_path):
    pipeline = MusicToDancePipeline.from_pretrained(model_dir)
    pipeline.processor.feature_extractor.version = 1
    pipeline.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="reads music features of version 1, but .* holds version 2"):
        ReportData(tmp_path, data_dir)


def test_one_seed_is_refused(model_dir, data_dir):
    with pytest.raises(ValueError, match="at least 2, got 1"):
        ReportData(model_dir, data_dir, num_seeds=1)


def test_a_test_song_without_tempo_is_refused(load):
    data = load(ReportData)
    data.clips.clips = [replace(clip, bpm=None) for clip in data.clips.clips]
    with pytest.raises(ValueError, match="'clip_folder/cha-cha_0006' must have audio, a `bpm`"):
        _ = data.songs


def test_a_wrong_song_of_the_same_tempo_is_refused(load):
    data = load(ReportData)
    with pytest.raises(ValueError, match="tempo differs by 10 % or more"):
        report_music.wrong_song_requests(data, data.songs)


def test_real_dances_are_the_prepared_ones(load):
    data = load(ReportData)
    song = data.songs[0]
    features = torch.from_numpy(np.array(data.clips.motion_features(song.clip)))
    expected = features_to_motion(features).joint_positions()
    np.testing.assert_allclose(np.diff(song.real.positions, axis=0), np.diff(expected, axis=0), atol=1e-5)
