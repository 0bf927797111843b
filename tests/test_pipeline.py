import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from huggingface_hub import metadata_load

from infinitedance import MusicToDancePipeline
from infinitedance.assets import DEFAULT_MODEL, DEMO_GENRE, DEMO_SONG, MODELS
from infinitedance.audio.loading import load_audio
from infinitedance.audio.sections import Section
from infinitedance.audio.song_map import SongMap, analyze_song
from infinitedance.motion.finishing.gaze import gaze_elevation


@pytest.fixture(scope="module")
def pipeline(tiny_pipeline_dir) -> MusicToDancePipeline:
    return MusicToDancePipeline.from_pretrained(tiny_pipeline_dir)


@pytest.mark.parametrize("seconds", [0.5, 1.0, 4.9, 7.0])
def test_a_dance_is_exactly_as_long_as_its_song(pipeline, clicks, seconds):
    waveform = clicks[: round(seconds * 24_000)]
    dance = pipeline(waveform, genre="waltz", bpm=120)
    assert dance.motion.num_frames == round(30 * seconds)
    assert dance.motion_codes.shape == (3, -(-dance.motion.num_frames // 4))


def test_the_same_seed_gives_the_same_dance_alone_and_in_a_batch(pipeline, clicks):
    alone = pipeline(clicks, seed=3)
    first, second = pipeline.dances(clicks, seeds=[7, 3])
    assert torch.equal(alone.motion_codes, second.motion_codes)
    np.testing.assert_array_equal(alone.motion.joint_rotations, second.motion.joint_rotations)
    assert not torch.equal(first.motion_codes, second.motion_codes)


def test_music_genre_and_guidance_reach_the_dance(pipeline, clicks):
    codes = pipeline(clicks, genre="waltz").motion_codes
    assert not torch.equal(codes, pipeline(clicks, genre="rumba").motion_codes)
    assert not torch.equal(codes, pipeline(clicks, genre="waltz", bpm=90).motion_codes)
    assert not torch.equal(codes, pipeline(clicks, genre="waltz", guidance_scale=0.0).motion_codes)


def test_the_dance_says_where_it_comes_from_and_stands_on_the_floor(pipeline, clicks):
    motion = pipeline(clicks, genre="rumba", seed=5).motion
    provenance = json.loads(json.dumps(motion.provenance))
    beats = provenance.pop("beat_times_seconds")
    np.testing.assert_allclose(np.diff(beats), 0.5, atol=0.01)  # the clicks come at 120 bpm
    assert set(provenance.pop("downbeat_times_seconds")) <= set(beats)
    song_map = SongMap.from_dict(provenance.pop("song_map"))
    assert song_map.beats.times_seconds == tuple(beats)
    assert song_map.duration_seconds == pytest.approx(motion.duration_seconds, abs=0.02)
    assert provenance == {
        "model": "model",
        "rotations": "generated",
        "seed": 5,
        "genre": "rumba",
        "asked": {"side": None, "energy": None, "ending": "pose", "stage_radius": None, "repeats": True},
        "song": None,
    }
    assert motion.foot_contacts is not None
    clearance = motion.joint_positions()[:, [7, 8, 10, 11], 1] - motion.skeleton.contact_rest_heights
    assert -1e-4 < clearance.min() < 0.01


@pytest.mark.parametrize(
    ("card", "license"),
    [
        ("---\nlicense: other\nlicense_name: research-only\n---\n# A model", "research-only"),
        ("---\nlicense: cc-by-4.0\n---\n", "cc-by-4.0"),
        ("# A model without front matter", None),
    ],
)
def test_the_dance_carries_the_license_of_the_card_of_its_model(card, license, tiny_pipeline_dir, clicks, tmp_path):
    folder = shutil.copytree(tiny_pipeline_dir, tmp_path / "model")
    (folder / "README.md").write_text(card)
    provenance = MusicToDancePipeline.from_pretrained(folder)(clicks[:24_000], bpm=120).motion.provenance
    assert provenance.get("license") == license


def test_a_process_with_other_threads_loads_the_model_by_its_auto_classes_and_makes_the_same_dance(
    pipeline, tiny_pipeline_dir, clicks, tmp_path
):
    np.save(tmp_path / "song.npy", clicks[:48_000])
    program = (
        "import sys, numpy, infinitedance, transformers\n"
        "folder, song = sys.argv[1], numpy.load(sys.argv[2])\n"
        "model = transformers.AutoModelForCausalLM.from_pretrained(folder)\n"
        "processor = transformers.AutoProcessor.from_pretrained(folder)\n"
        "dance = infinitedance.MusicToDancePipeline(model, processor)(song, genre='waltz', seed=1)\n"
        "numpy.save(sys.argv[3], dance.motion.joint_rotations)\n"
    )
    paths = [str(path) for path in (tiny_pipeline_dir, tmp_path / "song.npy", tmp_path / "dance.npy")]
    num_threads = "2" if torch.get_num_threads() == 1 else "1"
    environment = {**os.environ, "OMP_NUM_THREADS": num_threads}
    subprocess.run([sys.executable, "-c", program, *paths], env=environment, check=True)
    expected = pipeline(clicks[:48_000], genre="waltz", seed=1).motion.joint_rotations
    np.testing.assert_array_equal(np.load(tmp_path / "dance.npy"), expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"genre": "polka"}, "must be one of rumba, waltz"),
        ({"bpm": -1.0}, "bpm"),
        ({"seeds": []}, "at least one number"),
    ],
)
def test_wrong_arguments_say_what_must_hold(pipeline, clicks, arguments, message):
    with pytest.raises(ValueError, match=message):
        pipeline.dances(clicks, **{"seeds": [0], **arguments})


def test_a_wrong_model_folder_is_told(tmp_path, tiny_pipeline_dir):
    with pytest.raises(FileNotFoundError, match="no model folder"):
        MusicToDancePipeline.from_pretrained(tmp_path / "not" / "there")
    with pytest.raises(ValueError, match="no config.json"):
        MusicToDancePipeline.from_pretrained(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(ValueError, match="type choreollama, got llama"):
        MusicToDancePipeline.from_pretrained(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(MODELS))
def test_a_shipped_model_dances_to_the_shipped_song(name):
    dance = MusicToDancePipeline.from_pretrained(name)(DEMO_SONG, genre=DEMO_GENRE, seed=0)
    assert dance.motion.num_frames == 600
    positions = dance.motion.joint_positions()
    assert (positions[:, 15, 1] - positions[:, 0, 1]).mean() > 0.4  # head above pelvis: upright
    speed = np.linalg.norm(np.diff(positions, axis=0), axis=-1).mean() * 30
    assert 0.2 < speed < 3.0


@pytest.fixture(scope="module")
def retriever(make_encoder):
    pytest.importorskip("faiss", reason="the retrieval index needs the extra `data`")
    from infinitedance.retrieval.references import ReferenceRetriever
    from infinitedance.retrieval.windows import LibraryClip

    generator = np.random.default_rng(0)
    clips = []
    for number in range(4):
        features = generator.standard_normal((90, 269)).astype(np.float32)
        clips.append(LibraryClip(f"clip_{number}", f"song_{number}", "waltz", "studio", "CC0-1.0", features))
    return ReferenceRetriever.build(make_encoder(), clips)


def test_references_reach_the_dance_and_are_recorded(pipeline, retriever, clicks):
    pipeline = MusicToDancePipeline(pipeline.model, pipeline.processor, retriever)
    without = pipeline(clicks, bpm=120)
    dance = pipeline(clicks, bpm=120, num_references=1, pinned_references=["clip_2"])
    other = pipeline(clicks, bpm=120, num_references=1, pinned_references=["clip_3"])
    assert not torch.equal(without.motion_codes, dance.motion_codes)
    assert not torch.equal(other.motion_codes, dance.motion_codes)
    assert without.references == () and without.copy_report is None
    recorded = json.loads(json.dumps(dance.motion.provenance))
    assert [window["hits"][0]["clip_id"] for window in recorded["references"]] == ["clip_2"] * len(dance.references)
    assert recorded["references"][0]["hits"][0]["license"] == "CC0-1.0"
    assert recorded["copy_report"]["copied_share"] == 0


@pytest.mark.parametrize("name", sorted(MODELS))
def test_the_references_of_a_shipped_model_are_of_all_its_genres_and_one_leads(name, clicks):
    pytest.importorskip("faiss", reason="the retrieval index needs the extra `data`")
    pipeline = MusicToDancePipeline.from_pretrained(name)
    columns = pipeline.retriever.index.columns
    assert set(columns["genre"].values) == set(pipeline.genres)
    assert all(columns["license"].values)
    assert pipeline.default_num_references == 1
    dance = pipeline(clicks, genre="salsa", bpm=120)
    hits = [hit for window in dance.references for hit in window.hits]
    assert {hit.genre for hit in hits} == {"salsa"} and len(hits) == len(dance.references)
    assert dance.copy_report is not None and dance.copy_report.nearest_clip_id in {hit.clip_id for hit in hits}


def test_a_style_that_the_library_does_not_have_takes_references_from_all_of_it_when_asked(
    retriever, tiny_pipeline_dir, clicks
):
    loaded = MusicToDancePipeline.from_pretrained(tiny_pipeline_dir)
    loaded.processor.added_genres = {"mine": 0}
    pipeline = MusicToDancePipeline(loaded.model, loaded.processor, retriever)
    assert pipeline(clicks, genre="mine").references == ()
    dance = pipeline(clicks, genre="mine", num_references=1)
    assert {hit.genre for window in dance.references for hit in window.hits} == {"waltz"}
    with pytest.raises(ValueError, match="some of those in the library"):
        pipeline(clicks, genre="rumba", num_references=1)


def test_references_without_a_library_or_beyond_the_model_are_told(pipeline, retriever, clicks):
    with pytest.raises(ValueError, match="no library of dances"):
        pipeline(clicks, num_references=1)
    pipeline = MusicToDancePipeline(pipeline.model, pipeline.processor, retriever)
    for arguments in ({"num_references": 99}, {"num_references": -1}, {"pinned_references": ["clip_1"]}):
        with pytest.raises(ValueError, match="must lie between"):
            pipeline(clicks, **arguments)


def test_a_restorer_finishes_the_feet_in_the_place_of_planting(pipeline, clicks):
    from infinitedance.modeling.frdm.configuration_frdm import FrdmConfig
    from infinitedance.modeling.frdm.modeling_frdm import FrdmModel
    from infinitedance.restoration.pipeline_frdm import FrdmPipeline

    torch.manual_seed(0)
    restorer = FrdmPipeline(FrdmModel(FrdmConfig(hidden_size=16, num_hidden_layers=1, intermediate_size=16)))
    planted = pipeline(clicks, seed=3, ending="none")
    restores = MusicToDancePipeline(pipeline.model, pipeline.processor, restorer=restorer)
    restored = restores(clicks, seed=3, ending="none")
    loose = pipeline.decode(planted.motion_codes, planted.motion.num_frames, plants_feet=False)
    expected = restorer(loose).motion
    np.testing.assert_allclose(restored.motion.joint_rotations, expected.joint_rotations, atol=1e-4)
    assert np.abs(restored.motion.joint_rotations - planted.motion.joint_rotations).max() > 1e-2


@pytest.fixture(scope="module")
def controlled(controlled_pipeline_dir) -> MusicToDancePipeline:
    return MusicToDancePipeline.from_pretrained(controlled_pipeline_dir)


def still_speed(dance, start_seconds: float, end_seconds: float) -> float:
    """Return the highest speed in a span, as a share of the dance's mean."""
    speed = np.linalg.norm(np.diff(dance.motion.joint_positions(), axis=0), axis=-1).mean(axis=1)
    return speed[round(30 * start_seconds) : round(30 * end_seconds)].max() / speed.mean()


def test_side_and_energy_reach_a_model_that_controls_them(controlled, clicks):
    usual = controlled(clicks, genre="waltz").motion_codes
    assert torch.equal(usual, controlled(clicks, genre="waltz", side="right").motion_codes)
    assert not torch.equal(usual, controlled(clicks, genre="waltz", side="left").motion_codes)
    lively = controlled(clicks, genre="waltz", energy=1.0)
    assert not torch.equal(usual, lively.motion_codes)
    assert torch.equal(lively.motion_codes, controlled(clicks, genre="waltz", energy=[(3.0, 1.0)]).motion_codes)
    curve = np.array([[0.0, 1.0], [7.0, 0.0]])
    asked = json.loads(json.dumps(controlled(clicks, energy=curve, side="left").motion.provenance))["asked"]
    assert asked["energy"] == curve.tolist() and asked["side"] == "left"


def test_energy_follows_the_loudness_of_the_song_and_sides_are_natural_by_default(controlled, clicks):
    song = clicks.copy()
    song[48_000:120_000] = 0
    inputs = controlled.model_inputs(controlled.listen(song, "waltz", bpm=120.0))
    assert inputs["side_ids"].tolist() == [0]
    assert inputs["energy"][0, 80:130].tolist() == pytest.approx([-1] * 50)
    assert inputs["energy"][0, 10] > -0.3
    asked = controlled.model_inputs(controlled.listen(song, "waltz", bpm=120.0), energy=0.75)
    assert (asked["energy"] == 0.5).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"side": "left"}, "`side` cannot be asked of the model model, which was trained without"),
        ({"energy": 0.5}, "`energy` cannot be asked of the model model"),
        ({"ending": "bow"}, "one of pose, fade, none, got 'bow'"),
        ({"stage_radius": 0.0}, "positive number of metres, got 0"),
        ({"stage_radius": float("nan")}, "positive number of metres"),
    ],
)
def test_what_a_model_does_not_control_or_nobody_knows_is_told_before_the_work(
    pipeline, clicks, arguments, message, monkeypatch
):
    monkeypatch.setattr(MusicToDancePipeline, "listen", None)
    with pytest.raises(ValueError, match=message):
        pipeline(clicks, **arguments)


@pytest.mark.parametrize("asked", [{"side": "up"}, {"energy": 2.0}, {"energy": [(1.0, 0.0), (0.0, 0.0)]}])
def test_wrong_sides_and_energies_are_told_before_the_work(controlled, clicks, asked, monkeypatch):
    monkeypatch.setattr(MusicToDancePipeline, "listen", None)
    with pytest.raises(ValueError, match=next(iter(asked))):
        controlled(clicks, **asked)


@pytest.mark.parametrize("folder", ["tiny_pipeline_dir", "controlled_pipeline_dir"])
def test_without_ending_silence_and_stage_a_dance_is_what_the_codes_say(folder, clicks, request):
    pipeline = MusicToDancePipeline.from_pretrained(request.getfixturevalue(folder))
    dance = pipeline(clicks, genre="waltz", bpm=120, ending="none")
    plain = pipeline.decode(dance.motion_codes, dance.motion.num_frames)
    np.testing.assert_array_equal(dance.motion.joint_rotations, plain.joint_rotations)
    np.testing.assert_array_equal(dance.motion.root_positions, plain.root_positions)


@pytest.mark.parametrize(("ending", "is_still"), [("pose", True), ("fade", True), ("none", False)])
def test_a_dance_ends_on_the_last_downbeat_as_asked(pipeline, clicks, ending, is_still):
    dance = pipeline(clicks, genre="rumba", bpm=120, meter=4, first_downbeat_seconds=0.0, ending=ending)
    assert (still_speed(dance, 6.1, 6.9) < 0.2) == is_still  # the last downbeat is at 6 s
    other = pipeline(clicks, genre="rumba", bpm=120, meter=4, first_downbeat_seconds=0.0, ending="none")
    np.testing.assert_allclose(dance.motion.root_positions[:90], other.motion.root_positions[:90], atol=0.01)


def test_a_dancer_rests_in_silence_on_a_stage_and_alone_as_in_a_batch():
    pipeline = MusicToDancePipeline.from_pretrained()
    song = load_audio(DEMO_SONG, 24_000).copy()
    song[8 * 24_000 : 13 * 24_000] = 0
    options = {"genre": DEMO_GENRE, "stage_radius": 0.8, "ending": "fade"}
    dances = pipeline.dances(song, seeds=[0, 1], **options)
    ((start, end),) = dances[0].motion.provenance["song_map"]["silences"]
    assert abs(start - 8) < 0.6 and abs(end - 13) < 0.1
    for dance in dances:
        assert still_speed(dance, start + 1, end - 0.6) < 0.2 and still_speed(dance, 19.8, 20) < 0.2
        path = dance.motion.root_positions[:, [0, 2]]
        assert np.linalg.norm(path - path[0], axis=-1).max() <= 0.8
    alone = pipeline(song, seed=1, **options)
    assert torch.equal(alone.motion_codes, dances[1].motion_codes)
    np.testing.assert_array_equal(alone.motion.joint_rotations, dances[1].motion.joint_rotations)


@pytest.mark.parametrize("folder", ["tiny_pipeline_dir", "controlled_pipeline_dir"])
def test_sections_that_are_alike_are_danced_alike(folder, make_drums, monkeypatch, request):
    pipeline = MusicToDancePipeline.from_pretrained(request.getfixturevalue(folder))
    sections = tuple(Section(8.0 * place, 8.0 * place + 8, label, 1) for place, label in enumerate("ABA"))

    def analyze(*song):
        return replace(analyze_song(*song), sections=sections)

    monkeypatch.setattr("infinitedance.audio.heard_song.analyze_song", analyze)
    hints = {"genre": "rumba", "bpm": 120, "meter": 4, "first_downbeat_seconds": 0.0}
    song = make_drums(120, 24.1)
    dances = pipeline.dances(song, seeds=[0, 1], **hints)
    for dance, free in zip(dances, pipeline.dances(song, seeds=[0, 1], repeats=False, **hints), strict=True):
        codes = dance.motion_codes  # bars of 15 tokens; the first and the last of a section are free
        assert torch.equal(codes[:, 135:165], codes[:, 15:45])
        assert torch.equal(codes[:, :135], free.motion_codes[:, :135])
        assert not torch.equal(codes[:, 135:165], free.motion_codes[:, 135:165])
        assert not torch.equal(codes[:, 120:135], codes[:, :15])


def test_the_genre_that_suits_the_song_is_danced_as_if_it_had_been_asked_for(pipeline, controlled, make_drums):
    waltz = make_drums(92, 8.0, meter=3)
    chosen = pipeline(waltz)
    assert chosen.motion.provenance["genre"] == "waltz"
    assert chosen.motion.provenance["genre_reason"].endswith(
        "3 to the bar, lively: waltz suits it best of rumba, waltz."
    )
    assert torch.equal(chosen.motion_codes, pipeline(waltz, genre="waltz").motion_codes)
    assert "genre_reason" not in pipeline(waltz, genre="waltz").motion.provenance
    assert controlled.listen(make_drums(100, 8.0)).genre != "waltz"


def test_a_model_without_genres_dances_any(save_tiny_pipeline, clicks, tmp_path):
    dance = MusicToDancePipeline.from_pretrained(save_tiny_pipeline(tmp_path / "model"))(clicks[:48_000])
    assert dance.motion.provenance["genre"] is None and "genre_reason" not in dance.motion.provenance


@pytest.fixture
def with_defaults(tiny_pipeline_dir, tmp_path):
    """Return a folder with the model whose generation configuration has further fields."""

    def make(**fields):
        folder = shutil.copytree(tiny_pipeline_dir, tmp_path / "model")
        path = folder / "generation_config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))
        return folder

    return make


def test_a_genre_can_have_its_own_guidance_and_gaze(with_defaults, pipeline, clicks):
    fields = {"genre_guidance_scales": {"waltz": 3.0}, "genre_gaze_degrees": {"waltz": 12.0}}
    own = MusicToDancePipeline.from_pretrained(with_defaults(**fields))
    song = clicks[:96_000]
    codes = own(song, genre="waltz").motion_codes
    assert torch.equal(codes, pipeline(song, genre="waltz", guidance_scale=3.0).motion_codes)
    assert not torch.equal(codes, pipeline(song, genre="waltz").motion_codes)
    asked = own(song, genre="waltz", guidance_scale=1.5, ending="none")
    plain = pipeline(song, genre="waltz", guidance_scale=1.5, ending="none")
    assert torch.equal(asked.motion_codes, plain.motion_codes)
    assert np.median(gaze_elevation(asked.motion)) == pytest.approx(12.0, abs=0.5)
    rumba, other = own(song, genre="rumba"), pipeline(song, genre="rumba")
    np.testing.assert_array_equal(rumba.motion.joint_rotations, other.motion.joint_rotations)


def test_a_model_takes_the_references_in_its_folder_unless_others_are_given(
    with_defaults, pipeline, retriever, clicks, tmp_path
):
    folder = with_defaults(default_num_references=1)
    alone = MusicToDancePipeline.from_pretrained(folder)
    assert alone.retriever is None and alone.default_num_references == 0
    retriever.save_pretrained(folder / "references")
    led = MusicToDancePipeline.from_pretrained(folder)
    assert led.default_num_references == 1
    dance = led(clicks, genre="waltz")
    assert dance.copy_report is not None and len(dance.references[0].hits) == 1
    assert torch.equal(
        led(clicks, genre="waltz", num_references=0).motion_codes, pipeline(clicks, genre="waltz").motion_codes
    )
    assert led.processor.genres and led(clicks, num_references=1).references  # a genre that the library need not have
    shutil.move(folder / "references", tmp_path / "others")
    (folder / "references").mkdir()
    with pytest.raises(FileNotFoundError, match="no folder of references"):
        MusicToDancePipeline.from_pretrained(folder)
    others = MusicToDancePipeline.from_pretrained(folder, tmp_path / "others")
    assert torch.equal(others(clicks, genre="waltz").motion_codes, dance.motion_codes)


@pytest.mark.parametrize("missing", ["datasets", "faiss"])
def test_without_the_extra_data_the_references_of_a_model_are_left_out_with_a_warning(
    with_defaults, retriever, clicks, monkeypatch, caplog, missing
):
    folder = with_defaults(default_num_references=1)
    retriever.save_pretrained(folder / "references")
    monkeypatch.setattr("infinitedance.utils.extras.is_installed", lambda package: package != missing)
    pipeline = MusicToDancePipeline.from_pretrained(folder)
    assert pipeline.retriever is None and pipeline(clicks[:24_000], bpm=120).references == ()
    assert "reference dances of this model are left out" in caplog.text
    assert f"`{missing}`" in caplog.text and "infinitedance[data]" in caplog.text
    with pytest.raises(ImportError, match=missing):
        MusicToDancePipeline.from_pretrained(folder, folder / "references")


def test_the_names_of_the_shipped_models_stand_for_their_folders():
    assert MODELS["open"] == DEFAULT_MODEL
    for name in MODELS:
        assert MusicToDancePipeline.from_pretrained(name).name == f"choreollama-{name}"


@pytest.mark.parametrize("name", sorted(MODELS))
def test_every_dance_of_a_shipped_model_names_its_license(name, clicks):
    pipeline = MusicToDancePipeline.from_pretrained(name)
    license = pipeline(clicks[:24_000], genre="pop", num_references=0).motion.provenance["license"]
    card = metadata_load(MODELS[name] / "README.md")
    assert license == card.get("license_name", card["license"])
    assert ("non-commercial" in license) == (name == "research")
