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
from infinitedance.spaces_demo.evaluation_card import card_html, verdict
from infinitedance.spaces_demo.limits import SpaceLimits
from infinitedance.spaces_demo.pace import STAGES
from infinitedance.spaces_demo.studio import DOWNLOADS, DanceRequest, FieldError, Studio, load_pipeline

pytest.importorskip("mir_eval", reason="the evaluation card needs the extra `evaluation`")


@pytest.fixture
def made(studio, song):
    request = DanceRequest(genre="waltz", seed=5, num_variants=2, start_seconds=1, seconds=3)
    return studio.make(song, request)


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
    studio.make(song, DanceRequest(seconds=2), told.append)
    assert list(dict.fromkeys(step.stage for step in told)) == list(STAGES)
    shares = [step.share for step in told]
    assert shares == sorted(shares) and shares[0] == 0 and shares[-1] < 1
    assert [step.frames for step in told if step.frames][-1] == (60, 60)
    again = []
    studio.make(song, DanceRequest(seconds=2), again.append)
    assert all(step.remaining_seconds is not None for step in again)
    assert "listening" not in [step.stage for step in again]  # it was heard for the first dance


def test_work_ends_at_the_step_at_which_nobody_wants_it_any_more(studio, song):
    def cancel(step):
        if step.frames and step.frames[0] >= 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        studio.make(song, DanceRequest(seconds=2), cancel)
    assert not list(studio.files.root.rglob("*.npz"))


def test_another_one_is_the_same_dance_with_another_seed(studio, song, pipeline):
    request = DanceRequest(genre="waltz", seed=5, start_seconds=1, seconds=3, bpm=96, first_downbeat_seconds=1.5)
    first = studio.make(song, request)
    song.unlink()
    other = studio.make_another(first, 77)
    assert other.key != first.key and other.part == first.part
    assert other.request == replace(first.request, seed=77, start_seconds=0.0, first_downbeat_seconds=0.5)
    a, b = (load_motion(each.path(0, ".npz")) for each in (first, other))
    assert b.provenance["seed"] == 77 and b.num_frames == a.num_frames
    assert not np.allclose(a.root_positions, b.root_positions)
    assert a.provenance["beat_times_seconds"] == b.provenance["beat_times_seconds"]
    first.song.unlink()
    with pytest.raises(FileNotFoundError, match="no longer kept"):
        studio.make_another(first, 1)


def test_a_link_leads_to_the_dances_as_long_as_they_are_kept(studio, made, tmp_path):
    assert studio.open(made.key) == made
    for key in ("../" + made.key, made.key[:-1], "", "/etc", made.key.upper() + "\n"):
        with pytest.raises(FileNotFoundError, match="no longer kept"):
            studio.open(key)
    made.song.unlink()
    with pytest.raises(FileNotFoundError, match="no longer kept"):
        studio.open(made.key)


def test_the_beat_is_heard_as_the_dance_will_be_counted(studio, song):
    request = DanceRequest(genre="waltz", start_seconds=1, seconds=4)
    heard = studio.listen(song, request)
    assert heard["song_seconds"] == pytest.approx(7, abs=0.01) and heard["seconds"] == 4
    assert not heard["is_corrected"] and heard["genre_reason"] is None and max(heard["outline"]) == 100
    assert all(1 <= beat <= 5 for beat in heard["beats"]) and set(heard["downbeats"]) <= set(heard["beats"])
    provenance = load_motion(studio.make(song, request).path(0, ".npz")).provenance
    np.testing.assert_allclose(np.array(heard["beats"]) - 1, provenance["beat_times_seconds"], atol=2e-3)

    corrected = studio.listen(song, replace(request, bpm=heard["bpm"] / 2, first_downbeat_seconds=2.0))
    assert corrected["bpm"] == pytest.approx(heard["bpm"] / 2, abs=0.01) and corrected["is_corrected"]
    assert corrected["downbeats"][0] == pytest.approx(2.0, abs=1e-3)
    assert studio.listen(song, DanceRequest(seconds=4))["genre_reason"].startswith("The song has")


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
        ("bpm", 20, "between 30 and 300"),
        ("meter", 3.5, "whole number"),
        ("first_downbeat_seconds", 2.5, "in the part to dance to"),
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
        studio.make(song, replace(DanceRequest(seconds=2), **{field: value}))


def test_an_error_names_the_field_that_it_concerns(studio, song, tmp_path):
    (tmp_path / "notes.wav").write_text("no song")
    cases = [
        (tmp_path / "notes.wav", {}, "song"),
        (song, {"bpm": 1}, "beats"),
        (song, {"first_downbeat_seconds": -1}, "beats"),
        (song, {"start_seconds": 6.5}, "song"),
        (song, {"guidance_scale": 50}, "request"),
        (song, {"ending": "bow"}, "request"),
    ]
    for upload, changes, field in cases:
        with pytest.raises(FieldError) as caught:
            studio.make(upload, replace(DanceRequest(seconds=2), **changes))
        assert caught.value.field == field


def test_no_path_of_the_server_is_told(studio, tmp_path):
    song = np.zeros(72_000)
    song[100:200] = 0.5  # a click as the recording was started
    soundfile.write(tmp_path / "click.wav", song, 24_000)
    with pytest.raises(ValueError, match="^click is silent") as caught:
        studio.make(tmp_path / "click.wav", DanceRequest())
    assert str(tmp_path) not in str(caught.value)


def test_what_a_visitor_asks_reaches_the_dance(controlled_pipeline_dir, studio, song):
    pipeline = type(studio.pipeline).from_pretrained(controlled_pipeline_dir)
    controlled = Studio(pipeline, studio.files, studio.limits)
    request = DanceRequest(genre="waltz", seconds=3, side="left", energy=0.8, ending="none")
    made = controlled.make(song, request)
    asked = load_motion(made.path(0, ".npz")).provenance["asked"]
    assert (asked["side"], asked["energy"], asked["ending"]) == ("left", 0.8, "none")


def test_references_lead_and_stand_on_the_card(pipeline, retriever, studio, song):
    leads = Studio(type(pipeline)(pipeline.model, pipeline.processor, retriever), studio.files, studio.limits)
    assert leads.reference_names == ["clip_0", "clip_1"]
    request = DanceRequest(seconds=3, num_references=1, pinned_references=["clip_1"])
    (variant,) = leads.make(song, request).variants
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
    (variant,) = studio.make(song, DanceRequest(seconds=2)).variants
    assert variant.card["pulse_lock"] is None
    json.dumps(variant.card, allow_nan=False)
    assert "cannot be measured" in card_html(variant.card, "title")


@pytest.mark.parametrize(
    ("lock", "score", "slide", "copied", "good", "weak"),
    [
        (2.5, 0.0, 3.0, None, ["keeps time", "stay where"], []),
        (None, 0.2, 4.4, 0.0, ["keeps time", "stay where"], []),
        (1.5, 0.0, 6.0, 0.1, [], ["loosely", "a little", "10 % of it is copied"]),
        (1.0, 0.02, 12.0, None, [], ["hardly", "feet slide"]),
        (None, None, None, None, [], []),
    ],
)
def test_a_card_says_in_words_what_is_good_and_what_is_not(lock, score, slide, copied, good, weak):
    card = {"pulse_lock": lock, "beat_score_beyond_chance": score, "slide_mm_per_frame": slide, "tempo_bpm": None}
    report = {"copied_share": copied, "nearest_millimetres": 1.0, "longest_run_tokens": 0}
    card |= {"references": [], "copy_report": None if copied is None else report}
    told = verdict(card)
    for words, wanted in zip(told, (good, weak), strict=True):
        assert len(words) == len(wanted) and all(text in word for word, text in zip(words, wanted, strict=True))
    page = card_html(card, "title")
    assert ("Good:" in page) == bool(good) and ("Not so good:" in page) == bool(weak)
    assert ("too short" in page) == (not good and not weak) and "<details>" in page


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
