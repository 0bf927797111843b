import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch

from infinitedance import ChoreoLlamaProcessor, MusicFeatureExtractor, MusicToDancePipeline
from infinitedance.assets import DEFAULT_MODEL, DEFAULT_REFERENCES, DEMO_SONG
from infinitedance.audio.song_map import SongMap


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
def test_the_shipped_model_dances_to_the_shipped_song():
    dance = MusicToDancePipeline.from_pretrained(DEFAULT_MODEL)(DEMO_SONG, genre="waltz", seed=0)
    assert dance.motion.num_frames == 900
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


def test_the_shipped_references_are_dances_of_the_model_and_lead(clicks):
    pytest.importorskip("faiss", reason="the retrieval index needs the extra `data`")
    pipeline = MusicToDancePipeline.from_pretrained(DEFAULT_MODEL, DEFAULT_REFERENCES)
    columns = pipeline.retriever.index.columns
    assert columns["source"].values == [DEFAULT_MODEL.name]
    assert pipeline.processor.feature_extractor.version == pipeline.retriever.music_features_version == 1
    assert all(license.startswith("research, non-commercial") for license in columns["license"].values)
    assert set(columns["genre"].values) == set(pipeline.genres)
    dance = pipeline(clicks, genre="rumba", bpm=120, num_references=2)
    assert {hit.genre for window in dance.references for hit in window.hits} == {"rumba"}
    assert dance.copy_report is not None and dance.copy_report.nearest_clip_id.startswith("rumba")


def test_references_that_are_found_by_other_music_features_are_refused(pipeline, retriever):
    processor = ChoreoLlamaProcessor(MusicFeatureExtractor(version=1), pipeline.genres)
    with pytest.raises(ValueError, match="music features of version 1, the encoder of the references of version 2"):
        MusicToDancePipeline(pipeline.model, processor, retriever)


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
    planted = pipeline(clicks, seed=3)
    restored = MusicToDancePipeline(pipeline.model, pipeline.processor, restorer=restorer)(clicks, seed=3)
    loose = pipeline.decode(planted.motion_codes, planted.motion.num_frames, plants_feet=False)
    expected = restorer(loose).motion
    np.testing.assert_allclose(restored.motion.joint_rotations, expected.joint_rotations, atol=1e-4)
    assert np.abs(restored.motion.joint_rotations - planted.motion.joint_rotations).max() > 1e-2
