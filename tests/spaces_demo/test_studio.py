import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import soundfile

from infinitedance import MusicToDancePipeline
from infinitedance.motion.files import load_motion
from infinitedance.spaces_demo import studio as studio_module
from infinitedance.spaces_demo.appearance import notes
from infinitedance.spaces_demo.evaluation_card import card_html
from infinitedance.spaces_demo.limits import SpaceLimits
from infinitedance.spaces_demo.studio import DOWNLOADS, DanceRequest, Studio, load_pipeline

pytest.importorskip("mir_eval", reason="the evaluation card needs the extra `evaluation`")


@pytest.fixture
def made(studio, song):
    request = DanceRequest(genre="waltz", seed=5, num_variants=2, start_seconds=1, seconds=3)
    return studio.make(song, request, lambda stage, share: None)


def test_a_dance_is_as_long_as_its_part_of_the_song(made, pipeline):
    assert [variant.seed for variant in made.variants] == [5, 6]
    for index, variant in enumerate(made.variants):
        motion = load_motion(made.path(index, ".npz"))
        assert motion.num_frames == 90 and motion.provenance["seed"] == variant.seed
        packed = json.loads(made.packed(index).read_text())
        assert packed["num_frames"] == 90 and packed["name"] == "my_song"
    alone = pipeline(made.song, genre="waltz", seed=6, guidance_scale=2.0)
    np.testing.assert_allclose(motion.root_positions, alone.motion.root_positions, atol=1e-4)


def test_a_style_of_an_adapter_is_offered(tiny_pipeline_dir, tmp_path):
    from peft import LoraConfig

    base = MusicToDancePipeline.from_pretrained(tiny_pipeline_dir)
    base.model.add_adapter(LoraConfig(task_type="CAUSAL_LM", r=2, target_modules=["added_genre_embedding"]))
    base.model.save_pretrained(tmp_path / "style")
    base.processor.added_genres = {"mine": 0}
    base.processor.save_pretrained(tmp_path / "style")
    pipeline, _ = load_pipeline(tiny_pipeline_dir, None, {tmp_path / "style": 0.5})
    assert pipeline.genres == ["rumba", "waltz", "mine"] and pipeline.adapters.weights == {"style": 0.5}


def test_the_stages_are_told_in_order_with_growing_shares(studio, song):
    told = []
    studio.make(song, DanceRequest(seconds=2), lambda *stage: told.append(stage))
    names = [name for name, _ in told]
    assert list(dict.fromkeys(names)) == [
        "Reading the song",
        "Listening to the music",
        "Dancing",
        "Measuring the dance",
    ]
    shares = [share for _, share in told]
    assert shares == sorted(shares) and shares[0] == 0 and shares[-1] < 1


def test_files_are_written_once_in_the_formats_asked_for(studio, made):
    files = studio.write(made, 1, [".bvh", ".html", ".glb", ".npz"])
    assert list(files) == [".html", ".glb", ".bvh", ".npz"]
    assert {path.name for path in files.values()} == {f"my_song_waltz_6{suffix}" for suffix in files}
    assert "InfiniteDanceViewer" in files[".html"].read_text()
    before = files[".bvh"].stat().st_mtime_ns
    assert studio.write(made, 1, [".bvh"])[".bvh"].stat().st_mtime_ns == before
    assert not made.path(0, ".bvh").exists()


def test_a_format_whose_package_is_missing_is_left_out(studio, made, monkeypatch):
    def missing(motion, path):
        raise ImportError("needs a package")

    monkeypatch.setattr(studio_module, "export_motion", missing)
    assert list(studio.write(made, 0, [".fbx", ".npz"])) == [".npz"]


def test_unknown_formats_and_dances_that_were_swept_are_told(studio, made):
    with pytest.raises(ValueError, match=r"Formats must be of .mp4.*got .exe"):
        studio.write(made, 0, [".exe"])
    made.song.unlink()
    with pytest.raises(FileNotFoundError, match="no longer kept"):
        studio.write(made, 0, list(DOWNLOADS))


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("seed", -1, "between 0 and"),
        ("seed", 0.5, "whole number"),
        ("seed", "1", "must be a number"),
        ("guidance_scale", float("nan"), "must be a number"),
        ("guidance_scale", 9, "between 0 and 3"),
        ("num_variants", 5, "between 1 and 4"),
        ("num_variants", True, "must be a number"),
        ("seconds", 600, "between 1 and 120"),
        ("start_seconds", -1, "between 0 and 900"),
        ("genre", "polka", "polka"),
        ("side", "left", "`side` cannot be asked"),
        ("energy", 0.5, "`energy` cannot be asked"),
        ("energy", 1.5, "between 0 and 1"),
        ("ending", "bow", "pose, fade, none"),
        ("num_references", 1, "no library"),
        ("num_references", 9, "num_references"),
    ],
)
def test_requests_beyond_the_limits_are_told(studio, song, field, value, told):
    with pytest.raises(ValueError, match=told):
        studio.make(song, replace(DanceRequest(seconds=2), **{field: value}), lambda stage, share: None)


def test_no_path_of_the_server_is_told(studio, tmp_path):
    song = np.zeros(72_000)
    song[100:200] = 0.5  # a click as the recording was started
    soundfile.write(tmp_path / "click.wav", song, 24_000)
    with pytest.raises(ValueError, match="^click is silent") as caught:
        studio.make(tmp_path / "click.wav", DanceRequest(), lambda stage, share: None)
    assert str(tmp_path) not in str(caught.value)


def test_what_a_visitor_asks_reaches_the_dance(controlled_pipeline_dir, studio, song):
    pipeline = type(studio.pipeline).from_pretrained(controlled_pipeline_dir)
    controlled = Studio(pipeline, studio.files, studio.limits)
    request = DanceRequest(genre="waltz", seconds=3, side="left", energy=0.8, ending="none")
    made = controlled.make(song, request, lambda stage, share: None)
    asked = load_motion(made.path(0, ".npz")).provenance["asked"]
    assert (asked["side"], asked["energy"], asked["ending"]) == ("left", 0.8, "none")


def test_references_lead_and_stand_on_the_card(pipeline, retriever, studio, song):
    leads = Studio(type(pipeline)(pipeline.model, pipeline.processor, retriever), studio.files, studio.limits)
    assert leads.reference_names == ["clip_0", "clip_1"]
    request = DanceRequest(seconds=3, num_references=1, pinned_references=["clip_1"])
    (variant,) = leads.make(song, request, lambda stage, share: None).variants
    assert [reference["clip_id"] for reference in variant.card["references"]] == ["clip_1"]
    assert variant.card["copy_report"]["nearest_clip_id"] == "clip_1"
    page = card_html(variant.card, "<b>")
    assert "clip_1" in page and "CC0-1.0" in page and "&lt;b&gt;" in page


@pytest.fixture
def retriever(make_encoder):
    pytest.importorskip("faiss", reason="references need the extra `data`")
    from infinitedance.motion.features import motion_to_features
    from infinitedance.motion.motion import Motion
    from infinitedance.retrieval.references import ReferenceRetriever
    from infinitedance.retrieval.windows import LibraryClip

    rotations = np.zeros((150, 22, 4), np.float32)
    rotations[..., 0] = 1
    features = motion_to_features(Motion(30.0, np.tile([0, 0.93, 0.0], (150, 1)), rotations)).numpy()
    clips = [LibraryClip(f"clip_{k}", f"song_{k}", "waltz", "studio", "CC0-1.0", features) for k in range(2)]
    return ReferenceRetriever.build(make_encoder(), clips)


def test_a_card_says_what_a_short_dance_cannot_tell(studio, song):
    (variant,) = studio.make(song, DanceRequest(seconds=2), lambda stage, share: None).variants
    assert variant.card["pulse_lock"] is None
    json.dumps(variant.card, allow_nan=False)
    assert "cannot be measured" in card_html(variant.card, "title")


def test_without_a_library_the_reason_is_said(tiny_pipeline_dir, tmp_path):
    pipeline, reason = load_pipeline(tiny_pipeline_dir)
    assert pipeline.retriever is None and "infinitedance index" in reason
    with pytest.raises(FileNotFoundError, match="no folder of references"):
        load_pipeline(tiny_pipeline_dir, tmp_path)


def test_a_model_has_the_library_in_its_folder_or_the_one_that_is_given(tiny_pipeline_dir, retriever, tmp_path):
    folder = shutil.copytree(tiny_pipeline_dir, tmp_path / "model")
    retriever.save_pretrained(folder / "references")
    for asked in ((folder,), (tiny_pipeline_dir, folder / "references")):
        pipeline, reason = load_pipeline(*asked)
        assert sorted(pipeline.retriever.dances) == ["clip_0", "clip_1"] and reason == ""


def test_a_library_that_cannot_be_searched_is_left_out_with_the_reason(
    tiny_pipeline_dir, retriever, tmp_path, monkeypatch
):
    retriever.save_pretrained(tmp_path / "library")
    monkeypatch.setattr("infinitedance.utils.extras.is_installed", lambda package: package != "faiss")
    pipeline, reason = load_pipeline(tiny_pipeline_dir, tmp_path / "library")
    assert pipeline.retriever is None and "needs the package `faiss`" in reason


def test_the_page_says_the_license_of_the_model():
    assert "under the license of the model, research &amp; no more" in notes(SpaceLimits(), "research & no more")
    assert "license" not in notes(SpaceLimits(), None)
