import json
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from benchmarks.dances import __main__ as report
from benchmarks.dances import bench as bench_module
from benchmarks.dances import codec, command, response, sections
from benchmarks.dances.baselines import TrainingDance, graph, retrieve
from benchmarks.dances.bench import Bench, Song, clock_from_features
from benchmarks.dances.measures import Performance, References, measure
from infinitedance.audio.beats import GENRE_METERS, BeatClock
from infinitedance.dataset_builder import built
from infinitedance.dataset_builder.built import BuiltDataset
from infinitedance.dataset_builder.procedural.dance import synthesize_dance
from infinitedance.dataset_builder.procedural.music import SAMPLING_RATE, synthesize_music
from infinitedance.evaluation.metrics.genre_pulse import pulse_spectrum
from infinitedance.evaluation.metrics.pulse import speed_curve
from infinitedance.evaluation.report.tables import Table
from infinitedance.motion.motion import FRAME_RATE

NUM_FRAMES = 1200
BASELINES = pytest.mark.parametrize("dancer", [retrieve, graph])


def training_dance(genre: str, bpm: float, seconds: float, seed: int = 0) -> TrainingDance:
    clock = BeatClock.steady(bpm, seconds, meter=GENRE_METERS.get(genre, 4))
    return TrainingDance(synthesize_dance(genre, bpm, seconds, seed=seed), clock, genre)


@pytest.fixture(scope="module")
def dances():
    """Procedural dances of three genres; frame 0 begins a bar."""
    tempos = {"waltz": (84.0, 90.0, 96.0), "rumba": (90.0, 104.0), "cha-cha": (120.0,)}
    named = [(genre, bpm) for genre, of_genre in tempos.items() for bpm in of_genre]
    return [training_dance(genre, bpm, 24.0, seed) for seed, (genre, bpm) in enumerate(named)]


def song(bpm: float, first_downbeat_seconds: float = 0.0, meter: int = 4) -> BeatClock:
    return BeatClock.steady(bpm, NUM_FRAMES / FRAME_RATE, first_downbeat_seconds, meter)


@BASELINES
def test_a_dance_is_as_long_as_its_song_and_follows_from_its_seed(dances, dancer):
    clock = song(100.0, 0.7)
    first, again = (dancer(dances, clock, NUM_FRAMES, "rumba", seed=3) for _ in range(2))
    assert first.num_frames == NUM_FRAMES and first.frame_rate == FRAME_RATE
    np.testing.assert_array_equal(first.joint_rotations, again.joint_rotations)
    other = dancer(dances, clock, NUM_FRAMES, "rumba", seed=4)
    assert np.abs(first.root_positions - other.root_positions).max() > 0.05
    assert dancer(dances, clock, 31, "rumba").num_frames == 31


@BASELINES
def test_a_dance_pulses_with_its_song_as_the_training_dances_do_with_theirs(dances, dancer):
    clock = song(76.0, 1.1, meter=3)
    motion = dancer(dances, clock, NUM_FRAMES, "waltz")
    beats = clock.phase(np.arange(NUM_FRAMES) / FRAME_RATE)
    lock, phase = pulse_spectrum(speed_curve(motion.joint_positions(), FRAME_RATE), beats, [1.0]).at(1.0)
    real = next(dance for dance in dances if dance.genre == "waltz")
    seconds = np.arange(real.motion.num_frames) / FRAME_RATE
    speed = speed_curve(real.motion.joint_positions(), FRAME_RATE)
    _, real_phase = pulse_spectrum(speed, real.clock.phase(seconds), [1.0]).at(1.0)
    assert lock > 5
    assert abs((phase - real_phase + 0.5) % 1 - 0.5) < 0.1


@BASELINES
def test_joins_neither_jump_nor_leave_the_floor(dances, dancer):
    motion = dancer(dances, song(110.0), NUM_FRAMES, "rumba")
    positions = motion.joint_positions()
    steps = np.linalg.norm(np.diff(positions, axis=0), axis=-1).max(axis=1)
    real = np.linalg.norm(np.diff(dances[3].motion.joint_positions(), axis=0), axis=-1).max()
    assert steps.max() < 2 * real
    assert positions[..., 1].min() > -0.05


def test_the_nearest_tempo_is_retrieved_and_at_its_own_tempo_stays_as_it_is(dances):
    real = dances[1]  # 90 bpm
    motion = retrieve(dances, song(90.0, meter=3), 600, "waltz")
    expected = real.motion.joint_positions()[:600]
    np.testing.assert_allclose(motion.joint_positions(), expected, atol=0.02)
    next_tempo = retrieve(dances, song(90.0, meter=3), 600, "waltz", seed=1)
    assert np.abs(next_tempo.joint_positions() - expected).max() > 0.1


def test_a_song_with_a_pickup_is_danced_bar_on_bar(dances):
    pickup = retrieve(dances, song(90.0, 2 * 60 / 90, meter=3), 600, "waltz")
    plain = retrieve(dances, song(90.0, meter=3), 600, "waltz")
    # A beat lasts 20 frames; the first beat of the first bar is before the song begins.
    steps, plain_steps = (np.diff(motion.joint_positions(), axis=0) for motion in (pickup, plain))
    np.testing.assert_allclose(steps[:500], plain_steps[20:520], atol=2e-3)


def test_a_piece_is_turned_to_go_on_where_the_last_one_has_got_to(dances):
    straight = dances[4]
    turned = replace(straight, motion=_turned(straight.motion))
    starts = ([straight, straight], [turned, straight])
    plain, after_turn = (retrieve(pair, song(104.0), NUM_FRAMES, "rumba").root_positions for pair in starts)
    steps = np.linalg.norm(np.diff(after_turn, axis=0), axis=-1)
    assert steps.max() < 1.5 * np.linalg.norm(np.diff(plain, axis=0), axis=-1).max()


def _turned(motion):
    """Return the dance turned by a quarter about +Y."""
    c = np.sqrt(0.5)
    w, x, y, z = motion.joint_rotations[:, 0].T
    rotations = motion.joint_rotations.copy()
    rotations[:, 0] = np.stack([c * w - c * y, c * x + c * z, c * y + c * w, c * z - c * x], axis=-1)
    root = motion.root_positions[:, [2, 1, 0]] * [1, 1, -1]
    return replace(motion, root_positions=root, joint_rotations=rotations)


@BASELINES
def test_a_genre_without_a_dance_that_is_long_enough_is_refused(dances, dancer):
    with pytest.raises(ValueError, match="training dance of genre 'tango' that is long enough"):
        dancer(dances, song(120.0), NUM_FRAMES, "tango")
    short = [training_dance("rumba", 100.0, 1.0)]
    with pytest.raises(ValueError, match="long enough"):
        dancer(short, song(120.0), NUM_FRAMES, "rumba")


@pytest.mark.parametrize(("bpm", "meter", "first_downbeat"), [(87.0, 3, 0.0), (124.0, 4, 0.9), (100.0, 2, 2.2)])
def test_a_clock_is_read_from_its_features(bpm, meter, first_downbeat):
    clock = BeatClock.steady(bpm, 30.0, first_downbeat, meter)
    read = clock_from_features(clock.to_features(900), meter)
    seconds = np.arange(900) / FRAME_RATE
    bars = (read.phase(seconds) - clock.phase(seconds)) / meter
    np.testing.assert_allclose(bars, np.round(bars[0]), atol=1e-4)
    assert read.beats_per_bar == meter


def test_features_without_a_bar_have_no_clock():
    assert clock_from_features(BeatClock.steady(60.0, 9.0).to_features(60)[31:], 4) is None


@pytest.fixture(scope="module")
def songs_dir(tmp_path_factory):
    """Two songs of 18 s."""
    folder = tmp_path_factory.mktemp("songs")
    for name, bpm in (("slow", 90.0), ("fast", 120.0)):
        soundfile.write(folder / f"{name}.wav", synthesize_music("rumba", bpm, 18.0, seed=0), SAMPLING_RATE)
    return folder


class Copyist(Bench):
    """Its model dances what the first baseline dances."""

    def generate(self, song, genre, seeds, timbre=None, guidance_scale=None):
        clock = song.clock(genre)
        return [retrieve(self.training_dances, clock, song.num_frames, genre, seed) for seed in seeds]


@pytest.fixture(scope="module")
def load(model_dir, data_dir, songs_dir, tmp_path_factory):
    def build(kind, num_seeds=2, held_out_dir=data_dir):
        return kind(model_dir, data_dir, songs_dir, tmp_path_factory.mktemp("work"), held_out_dir, num_seeds=num_seeds)

    return build


@pytest.fixture(scope="module")
def copyist(load):
    return load(Copyist)


def rows_of(tables: list[Table], title: str, genre: str = "all") -> dict[str, dict]:
    """Rows of a table of systems by their first cell, each by its columns."""
    table = next(table for table in tables if table.title == title)
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    is_by_genre = "genre" in table.columns[1:]
    return {row[table.columns[0]]: row for row in rows if not is_by_genre or row["genre"] == genre}


def test_references_are_the_training_dances_once_on_the_natural_side(load):
    bench = load(Bench)
    assert [dance.name.split("/")[1] for dance in bench.references.dances] == [
        "cha-cha_0002", "hip-hop_0003", "hip-hop_0007", "rumba_0001", "rumba_0005", "waltz_0000",
    ]  # fmt: skip
    assert [dance.genre for dance in bench.training_dances] == [dance.genre for dance in bench.references.dances]
    assert bench.references.tempos["waltz"] == pytest.approx(bench.data.split("train")[-1].bpm, rel=1e-3)
    stored = bench.references.dances[0].positions
    bench.data.clips = [replace(clip, side="mirrored") for clip in bench.data.clips]
    del bench.references
    np.testing.assert_allclose(bench.references.dances[0].positions[:, 0], stored[:, 0] * [-1, 1, 1], atol=1e-5)


def test_generated_dances_are_kept_and_made_once(load, monkeypatch):
    bench = load(Bench)
    song = Song("short", synthesize_music("waltz", 90.0, 2.0, seed=0))
    first = bench.generate(song, "waltz", [0, 1])
    monkeypatch.setattr(bench.pipeline.model, "generate_codes", None)
    again = bench.generate(song, "waltz", [1, 0])
    np.testing.assert_array_equal(again[0].joint_rotations, first[1].joint_rotations)
    assert first[0].num_frames == 60
    for other_song, genre in ((song, "rumba"), (replace(song, waveform=song.waveform[:40_000]), "waltz")):
        with pytest.raises(TypeError):
            bench.generate(other_song, genre, [0])


def test_a_model_is_known_by_all_that_it_dances_by(load, model_dir, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(model_dir, folder)
    assert bench_module.model_sha256(folder) == bench_module.model_sha256(model_dir)
    (folder / "README.md").write_text("another card")
    assert bench_module.model_sha256(folder) == bench_module.model_sha256(model_dir)
    (folder / "references").mkdir()
    (folder / "references" / "dances.safetensors").write_text("a dance")
    assert bench_module.model_sha256(folder) != bench_module.model_sha256(model_dir)


def test_dances_of_another_guidance_are_kept_apart(load):
    bench = load(Bench)
    song = Song("short", synthesize_music("waltz", 90.0, 2.0, seed=0))
    plain, strong, again = (bench.generate(song, "waltz", [0], guidance_scale=scale)[0] for scale in (None, 3.0, 3.0))
    np.testing.assert_array_equal(strong.joint_rotations, again.joint_rotations)
    assert np.abs(plain.joint_rotations - strong.joint_rotations).max() > 1e-3
    assert sorted(path.name for path in bench.dances_dir.iterdir()) == ["plain", "plain_guidance3"]


def test_the_timbre_of_another_song_leaves_the_beats_as_they_are(load, monkeypatch):
    bench = load(Bench)
    own, other = (Song(name, synthesize_music(name, 90.0, 2.0, seed=0)) for name in ("waltz", "rumba"))
    heard = []
    make = bench.pipeline.model.generate_codes

    def listen(**inputs):
        heard.append(inputs["input_features"][0].numpy())
        return make(**inputs)

    monkeypatch.setattr(bench.pipeline.model, "generate_codes", listen)
    for song, timbre in ((own, None), (own, other), (own, own)):
        bench.generate(song, "waltz", [len(heard)], timbre)
    np.testing.assert_array_equal(heard[0], heard[2])
    np.testing.assert_array_equal(heard[0][:, 98:], heard[1][:, 98:])
    assert np.abs(heard[0][:, :98] - heard[1][:, :98]).mean() > 0.1


def test_whoever_dances_the_same_has_the_same_numbers_and_the_real_dance_its_own_phase(copyist):
    tables = sections.held_out_section(copyist)
    for title in sections.FAMILIES:
        rows = rows_of(tables, title)
        assert list(rows) == ["real", "codec", "retrieve", "graph", "generated"]
        assert {**rows["generated"], "dances": None} == {**rows["retrieve"], "dances": None}
    assert rows_of(tables, "Pulse")["real"]["phase to real, beats"][0] == 0
    memory = rows_of(tables, "Genre, sides and memory")
    assert memory["retrieve"]["nearest training window, mm"][0] < 20
    assert {"real", "generated"} < set(rows_of(tables, "Pulse", "waltz"))


def test_real_dances_are_told_and_measured(copyist):
    tables = sections.real_section(copyist)
    rows = {row[0]: dict(zip(tables[0].columns, row, strict=True)) for row in tables[0].rows}
    assert list(rows) == ["cha-cha", "hip-hop", "rumba", "waltz"]
    assert rows["rumba"]["dances"] == 2 and rows["rumba"]["minutes"] == pytest.approx(0.6, abs=0.01)
    assert rows["rumba"]["mixed dances"] == 0
    told = rows_of(tables, "Real dances told by the others")
    assert told["hip-hop"]["dances"] == 2 and told["waltz"]["dances"] == 0


@pytest.mark.parametrize(("sizes", "rows"), [([], 0), ([9], 0), ([3, 1, 1], 0), ([3, 2, 1], 1)])
def test_a_genre_with_too_few_real_windows_has_no_fid(sizes, rows):
    random = np.random.default_rng(0)
    references = SimpleNamespace(genres=["waltz"], statistics={"waltz": [random.normal(size=(n, 4)) for n in sizes]})
    measured = sections.Measured(statistics={"generated": [("waltz", random.normal(size=(4, 4)))]})
    assert len(sections.frechet_table(SimpleNamespace(references=references), measured).rows) == rows


def test_held_out_songs_need_a_data_set_of_them(load):
    with pytest.raises(ValueError, match="`held_out_dir` must be given"):
        sections.held_out_section(load(Copyist, held_out_dir=None))


def test_tables_in_short_hold_the_means_of_the_long_ones(copyist):
    tables = sections.held_out_section(copyist)
    (short, by_genre), memory = tables[:2], rows_of(tables, "Genre, sides and memory")
    assert [row[0] for row in short.rows] == ["real", "codec", "retrieve", "graph", "generated"]
    column = short.columns.index("nearest training window, mm")
    for row in short.rows:
        assert row[column] == memory[row[0]]["nearest training window, mm"][0]
    assert [row[:2] for row in by_genre.rows] == [["all", 4], ["cha-cha", 2], ["waltz", 2]]


def test_unseen_dances_stand_beside_those_to_free_songs(copyist):
    assert [dance.genre for dance in copyist.unseen] == ["cha-cha", "waltz"]
    short = sections.free_section(copyist)[0]
    assert [row[:2] for row in short.rows][:2] == [["real", 2], ["codec", 2]]


def test_guidance_does_not_matter_to_whoever_does_not_hear_it(copyist):
    (table,) = sections.guidance_section(copyist)
    assert [row[0] for row in table.rows] == ["1", "2", "3"]
    assert table.rows[0][1:] == table.rows[2][1:]


def test_the_codec_is_measured_on_motion_that_is_not_trained_on(load):
    errors, use = codec.codec_section(load(Bench))
    assert [row[:2] for row in errors.rows] == [["procedural, cha-cha", 1], ["procedural, waltz", 1]]
    for row in errors.rows:
        values = dict(zip(errors.columns, row, strict=True))
        assert values["seconds"] == pytest.approx(18) and values["joint error, mm"] > 0
        assert values["jitter, finished/real"] < values["jitter, decoded/real"]
    assert use.columns[1:3] == ["used, 0", "used, 1"] and all(0 < share <= 1 for row in use.rows for share in row[1:4])


def test_units_of_all_genres_are_pooled_and_mirrored_copies_left_out(load):
    clips = [replace(clip, units=(("a", 1.0),)) for clip in load(Bench).data.clips]
    groups = codec.unseen_groups(clips)
    assert {name: len(found) for name, found in groups.items()} == {
        "procedural, cha-cha": 1, "procedural, waltz": 1, "ballroom units": 2,
    }  # fmt: skip


@pytest.fixture
def interpreter(tmp_path, monkeypatch):
    """Put a shell script in the place of Python, whose start with all imports takes seconds."""

    def replace(script: str):
        path = tmp_path / "interpreter"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o700)
        monkeypatch.setattr(command.sys, "executable", str(path))

    return replace


def test_the_command_is_timed_on_each_song(load, interpreter, tmp_path, monkeypatch):
    monkeypatch.setattr(command, "RUNS", ((1, ()), (2, ("--no-video",))))
    interpreter(f'echo "$@" >> {tmp_path}/calls; sleep 0.1')
    (table,) = command.command_section(load(Bench))
    assert [row[:2] for row in table.rows] == [[1, "yes"], [2, "no"]]
    assert all(0.1 <= row[2] < 5 and row[3] == pytest.approx(row[0] / row[2]) for row in table.rows)
    first, second = (tmp_path / "calls").read_text().splitlines()
    assert first.startswith("-m infinitedance dance ") and "--genre cha-cha --output" in first
    assert "--no-video" in second


def test_a_failure_of_the_command_is_told(interpreter, tmp_path):
    interpreter("echo no audio file >&2; exit 2")
    with pytest.raises(RuntimeError, match="dance .* failed:\nno audio file"):
        command.run_dance(tmp_path, tmp_path / "none.wav", "waltz", tmp_path)


def test_free_songs_are_asked_for_three_genres_in_turn(copyist):
    asked = [(song.name, genre) for song, genre in copyist.free_requests()]
    assert asked == [
        ("fast", "cha-cha"), ("fast", "hip-hop"), ("fast", "rumba"),
        ("slow", "hip-hop"), ("slow", "rumba"), ("slow", "waltz"),
    ]  # fmt: skip
    tables = sections.free_section(copyist)
    assert list(rows_of(tables, "Pulse", "rumba")) == ["retrieve", "graph", "generated"]
    told = rows_of(tables, "Generated dances told as asked")
    assert told["mean of genres"]["dances"] == 12 and told["mean of genres"]["dances told as asked"] == 1


def test_level_and_timbre_do_not_matter_to_whoever_does_not_hear_them(copyist):
    (table,) = response.levels_section(copyist)
    assert [row[0] for row in table.rows] == [
        "-6 dBFS", "-14 dBFS", "-26 dBFS", "as it is", "spectra of another song",
    ]  # fmt: skip
    assert all(row[1:] == table.rows[3][1:] for row in table.rows)


def test_a_dancer_who_keeps_on_does_not_rest_and_follows_the_beats(copyist, monkeypatch):
    monkeypatch.setattr(response, "CHANGE_BEATS", (36, 36))
    monkeypatch.setattr(response, "NUM_MADE_SONGS", 1)
    tables = response.response_section(copyist)
    silence = rows_of(tables, "Silence and the end")
    assert silence["generated"]["come to rest"][0] == 0 and silence["generated"]["after, s"] is None
    assert silence["generated"]["speed in silence"][0] > 0.5
    jump = next(table for table in tables if table.title == "A jump of the tempo")
    assert {row[1] for row in jump.rows} == {"retrieve", "graph", "generated"}
    assert [row[0] for row in jump.rows[-3:]] == ["all"] * 3 and 0 <= jump.rows[-1][-1] <= 1
    chorus = rows_of(tables, "A chorus that returns")
    assert chorus["generated"]["songs"] == 1 and chorus["generated"]["chorus is nearer"][0] in (0, 1)


def test_songs_are_changed_as_their_names_say():
    song = Song("song", synthesize_music("rumba", 90.0, 12.0, seed=0))
    for level in (-6.0, -26.0):
        rms = np.sqrt(np.mean(response.at_level(song, level).waveform.astype(float) ** 2))
        assert 20 * np.log10(rms) == pytest.approx(level, abs=0.01)
    muted, (start, end) = response.silenced(song)
    assert (start, end) == (4.5, 7.5)
    inside = slice(round(4.5 * SAMPLING_RATE), round(7.5 * SAMPLING_RATE))
    assert not muted.waveform[inside].any() and song.waveform[inside].any()
    fade = response.faded(song)
    np.testing.assert_array_equal(fade.waveform[: 9 * SAMPLING_RATE], song.waveform[: 9 * SAMPLING_RATE])
    assert fade.waveform[-1] == 0 and len({song.variant, muted.variant, fade.variant}) == 3
    jump, clock, seconds = response.jumping("waltz")
    assert seconds == pytest.approx(40.0) and clock.beats_per_bar == 3
    assert len(jump.waveform) == 80 * SAMPLING_RATE
    np.testing.assert_allclose(clock.bpm(np.array([20.0, 60.0])), [90.0, 120.0])


def test_passages_of_a_made_song_are_those_that_were_played():
    ((song, clock, (chorus, again, verse)),) = response.made_songs(1)
    assert clock.beats_per_bar == 4 and chorus.num_beats == pytest.approx(again.num_beats)
    assert verse.start_beat == pytest.approx(0, abs=1e-6) and chorus.start_beat == pytest.approx(verse.num_beats)
    assert again.start_beat == pytest.approx(2 * verse.num_beats + chorus.num_beats)
    assert len(song.waveform) / SAMPLING_RATE > 20


def test_a_dance_is_played_at_the_tempo_of_its_genre_or_an_octave_from_it():
    dance = performance("rumba", 90.0, 12.0)
    assert len(dance.poses_at_tempo(100.0)) == pytest.approx(12 * 30 * 0.9, abs=1)
    assert len(dance.poses_at_tempo(182.0)) == pytest.approx(12 * 30 * 180 / 182, abs=1)
    assert dance.poses_at_tempo(None) is dance.poses
    assert replace(dance, clock=None).poses_at_tempo(100.0) is not None


def test_phrases_begin_every_eight_bars():
    dance = performance("waltz", 120.0, 30.0)
    np.testing.assert_array_equal(dance.phrase_starts(), [0, 360, 720])
    assert dance.last_bar_seconds == pytest.approx(1.5)


def test_a_standing_dancer_is_measured_without_a_fault():
    references = References([performance(genre, 100.0, 24.0, seed) for genre in ("rumba", "waltz") for seed in (0, 1)])
    dance = performance("rumba", 100.0, 24.0)
    frames = np.zeros(dance.motion.num_frames, int)
    still = replace(
        dance,
        name="still",
        motion=replace(
            dance.motion,
            root_positions=dance.motion.root_positions[frames],
            joint_rotations=dance.motion.joint_rotations[frames],
            foot_contacts=None,
        ),
    )
    values = measure(still, references)
    assert (values["lock"], values["locked"], values["slide"], values["outside"], values["turns"]) == (0, 0, 0, 0, 0)
    assert values["near_copies"] == 1 and values["radius"] < 1e-6
    alive = measure(dance, references, dance)
    assert alive["phase_to_real"] == 0 and alive["told_windows"] == 1 and alive["slide"] > 0


def performance(genre: str, bpm: float, seconds: float, seed: int = 0) -> Performance:
    clock = BeatClock.steady(bpm, seconds, meter=GENRE_METERS.get(genre, 4))
    return Performance(f"{genre}_{seed}", genre, synthesize_dance(genre, bpm, seconds, seed=seed), clock)


def test_the_report_is_written_section_by_section(model_dir, data_dir, songs_dir, tmp_path):
    output = tmp_path / "dances.md"
    options = ["--model", str(model_dir), "--data_dir", str(data_dir), "--songs_dir", str(songs_dir)]
    options += ["--work_dir", str(tmp_path / "work"), "--output", str(output)]
    report.main([*options, "--sections", "real"])
    assert list(json.loads(output.with_suffix(".json").read_text())) == ["real"]
    text = output.read_text()
    assert "--model model --data_dir built" in text and "## Real dances" in text and "# Dances of model," in text
    assert str(tmp_path) not in text
    with pytest.raises(SystemExit):  # without songs that have a dance
        report.main([*options, "--sections", "held_out"])


def test_without_held_out_songs_all_other_sections_are_measured(model_dir, data_dir, tmp_path, monkeypatch):
    chosen = []
    monkeypatch.setattr(report, "write_report", lambda *arguments: chosen.append(arguments[-1]))
    options = ["--model", str(model_dir), "--data_dir", str(data_dir), "--work_dir", str(tmp_path)]
    report.main([*options, "--output", str(tmp_path / "a.md")])
    report.main([*options, "--output", str(tmp_path / "a.md"), "--held_out_dir", str(data_dir)])
    assert chosen == [[name for name in report.SECTIONS if name != "held_out"], list(report.SECTIONS)]


def test_a_data_set_without_usable_training_dances_is_refused(model_dir, data_dir, songs_dir, tmp_path, monkeypatch):
    clips = BuiltDataset(data_dir).clips
    monkeypatch.setattr(built, "read_manifest", lambda folder: [replace(clip, num_frames=299) for clip in clips])
    with pytest.raises(ValueError, match="training clips with beats, of 10 s or more, of cha-cha, .* got none"):
        Bench(model_dir, data_dir, songs_dir, tmp_path)
