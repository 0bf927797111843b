import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from infinitedance import ChoreoLlamaProcessor, MusicToDancePipeline
from infinitedance.dataset_builder.built import BuiltDataset
from infinitedance.training import finetune as module
from infinitedance.training.arguments import LoopArguments
from infinitedance.training.base_dances import base_dances
from infinitedance.training.finetune import (
    FinetuneArguments,
    added_genres,
    check_amount,
    finetune,
    hold_out,
    measure_fit,
    read_recipe,
)
from infinitedance.training.takes import load_takes
from infinitedance.utils.checkpoints import weights_sha256

LOOP = {"max_steps": 12, "batch_size": 8, "learning_rate": 0.02, "warmup_steps": 2, "eval_steps": 6, "log_steps": 6}


@pytest.fixture(autouse=True)
def small_limits(monkeypatch):
    """The codec of an untrained model tells nothing, and the clips of these tests are short."""
    monkeypatch.setattr(module, "TOO_FAR_MM", 1e6)
    monkeypatch.setattr(module, "MIN_MINUTES", 0.05)
    monkeypatch.setattr(module, "HELD_OUT_BASE_DANCES", 4)


@pytest.fixture(scope="module")
def built(tmp_path_factory, build_procedural) -> Path:
    """Four clips of four seconds with music, none held out."""
    return build_procedural(tmp_path_factory.mktemp("clips"), 4, 4.0)


@pytest.fixture(scope="module")
def base_dir(tmp_path_factory, save_tiny_pipeline) -> Path:
    controls = {"controls_side": True, "controls_energy": True, "code_pattern": "depth", "depth_hidden_size": 24}
    folder = tmp_path_factory.mktemp("base") / "model"
    return save_tiny_pipeline(folder, genres=["rumba", "salsa"], initializer_range=0.05, **controls)


def learn(built: Path, base: Path, output: Path, style=None, adapter_dir: Path | None = None, **loop) -> dict:
    arguments = FinetuneArguments(**{"data_dir": str(built), "name": "mine", "base_model": str(base)} | (style or {}))
    return finetune(LoopArguments(output_dir=str(output), **LOOP | loop), arguments, adapter_dir)


@pytest.fixture(scope="module")
def learned(built, base_dir, tmp_path_factory):
    """An adapter, its record, and the folder of its run."""
    folder = tmp_path_factory.mktemp("learned")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("TOO_FAR_MM", 1e6), ("MIN_MINUTES", 0.05), ("HELD_OUT_BASE_DANCES", 4)):
            patch.setattr(module, name, value)
        record = learn(built, base_dir, folder / "run", adapter_dir=folder / "mine", max_steps=60, eval_steps=30)
    return folder / "mine", record, folder / "run"


def test_it_learns_the_clips_and_says_so(learned, base_dir):
    folder, record, _ = learned
    loss = record["held_out_loss"]
    assert loss["after"] < loss["before"] - 0.1 and loss["nearest_genre_before"]["genre"] in ("rumba", "salsa")
    assert record["held_out_clips"] == 1 and record["num_clips"] == 3 and record["steps"] == 60
    assert record["base_sha256"] == weights_sha256(base_dir) and record["genres"] == ["mine"]
    assert record["minutes"] == pytest.approx(3 * 4 / 60, abs=0.01) and record["codec_fit"]["joint_error_mm"] > 0
    assert json.loads((folder / "finetune.json").read_text()) == record


def test_the_folder_holds_what_is_needed_and_nothing_else(learned):
    folder, record, run = learned
    assert {path.name for path in folder.iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
        "finetune.json",
        "processor_config.json",
        "SHA256SUMS",
    }
    weights = load_file(folder / "adapter_model.safetensors")
    assert sum(weight.numel() for weight in weights.values()) == record["num_parameters"]
    assert ChoreoLlamaProcessor.from_pretrained(folder).added_genres == {"mine": 0}
    assert (run / "metrics.jsonl").is_file()


def test_the_style_is_danced_and_the_other_genres_are_as_before(learned, base_dir, clicks):
    base = MusicToDancePipeline.from_pretrained(base_dir)
    pipeline = MusicToDancePipeline.from_pretrained(base_dir, adapter=learned[0])
    assert pipeline.genres == ["rumba", "salsa", "mine"]
    own, default = pipeline(clicks, genre="mine"), pipeline(clicks)
    assert torch.equal(own.motion_codes, default.motion_codes)
    assert default.motion.provenance["genre"] == "mine" and "mine" in default.motion.provenance["genre_reason"]
    assert own.motion.provenance["adapters"] == {"mine": 1.0}
    assert own.motion.provenance["license"] == "adapter mine: not stated"  # the tiny base states none either
    rumba = pipeline(clicks, genre="rumba")
    assert torch.equal(rumba.motion_codes, base(clicks, genre="rumba").motion_codes)
    assert "adapters" not in rumba.motion.provenance
    assert pipeline.adapters.weights == {"mine": 1.0}  # as before the rumba
    assert not torch.equal(own.motion_codes, rumba.motion_codes)


def test_a_weight_of_zero_and_unloading_take_the_genre_away(learned, base_dir, clicks):
    base = MusicToDancePipeline.from_pretrained(base_dir)
    pipeline = MusicToDancePipeline.from_pretrained(base_dir, adapter={learned[0]: 0.0})
    assert pipeline.genres == base.genres
    pipeline.set_adapters({"mine": 0.5})
    half = pipeline(clicks, genre="mine").motion_codes
    pipeline.set_adapters({"mine": 1.0})
    assert not torch.equal(pipeline(clicks, genre="mine").motion_codes, half)
    pipeline.unload_adapters()
    assert pipeline.genres == base.genres
    assert torch.equal(pipeline(clicks, seed=3).motion_codes, base(clicks, seed=3).motion_codes)


def test_two_styles_are_danced_together(learned, base_dir, clicks, tmp_path):
    other = shutil.copytree(learned[0], tmp_path / "other")
    record = json.loads((other / "finetune.json").read_text())
    (other / "finetune.json").write_text(json.dumps(record | {"name": "yours", "genres": ["yours"]}))
    config = json.loads((other / "processor_config.json").read_text())
    (other / "processor_config.json").write_text(json.dumps(config | {"added_genres": {"yours": 0}}))
    pipeline = MusicToDancePipeline.from_pretrained(base_dir, adapter={learned[0]: 0.5, other: 0.5})
    assert pipeline.genres[2:] == ["mine", "yours"] and pipeline.adapters.weights == {"mine": 0.5, "yours": 0.5}
    alone = MusicToDancePipeline.from_pretrained(base_dir, adapter=learned[0])
    blend = pipeline.model.model.cadence_moe.added_genre_embedding(torch.tensor([0]))
    own = alone.model.model.cadence_moe.added_genre_embedding(torch.tensor([0]))
    torch.testing.assert_close(blend, own)
    assert pipeline(clicks, genre="yours").motion.provenance["adapters"] == {"mine": 0.5, "yours": 0.5}


def test_two_styles_of_one_name_are_told_apart_by_their_folders(learned, base_dir, tmp_path):
    other = shutil.copytree(learned[0], tmp_path / "other")
    pipeline = MusicToDancePipeline.from_pretrained(base_dir, adapter={learned[0]: 0.5, other: 0.25})
    assert pipeline.adapters.weights == {"mine": 0.5, "other": 0.25} and pipeline.genres[2:] == ["mine"]
    with pytest.raises(ValueError, match="'other' already"):
        pipeline.load_adapter(other)


def test_a_merged_model_is_saved_and_dances_the_style(learned, base_dir, clicks, tmp_path):
    pipeline = MusicToDancePipeline.from_pretrained(base_dir, adapter=learned[0])
    with pytest.raises(ValueError, match="merge_adapters"):
        pipeline.save_pretrained(tmp_path / "merged")
    assert not (tmp_path / "merged").exists()
    pipeline.merge_adapters()
    assert pipeline.license == "adapter mine: not stated"
    pipeline.save_pretrained(tmp_path / "merged")
    again = MusicToDancePipeline.from_pretrained(tmp_path / "merged")
    assert again.genres == ["rumba", "salsa", "mine"]
    # Summed in another order: the codes need not be the same, but the scores are.
    inputs = {"input_features": torch.randn(1, 64, 109), "genre_ids": torch.tensor([3])}
    codes = torch.zeros(1, 3, 16, dtype=torch.long)
    adapted = MusicToDancePipeline.from_pretrained(base_dir, adapter=learned[0])
    with torch.no_grad():
        wanted = adapted.model(motion_codes=codes, **inputs).logits
        torch.testing.assert_close(again.model(motion_codes=codes, **inputs).logits, wanted, atol=1e-4, rtol=1e-4)


def test_another_base_is_refused(learned, save_tiny_pipeline, tmp_path, base_dir):
    folder = shutil.copytree(base_dir, tmp_path / "another")
    model = MusicToDancePipeline.from_pretrained(folder)
    model.model.lm_head.weight.data += 0.01
    model.save_pretrained(folder)
    with pytest.raises(ValueError, match=r"was trained on the model model, whose weights are not those of another"):
        MusicToDancePipeline.from_pretrained(folder, adapter=learned[0])


def test_a_missing_adapter_is_told(base_dir, tmp_path):
    with pytest.raises(FileNotFoundError, match="is no folder of an adapter"):
        MusicToDancePipeline.from_pretrained(base_dir, adapter=tmp_path)


def test_the_same_seed_gives_the_same_adapter_and_a_stopped_run_goes_on(built, base_dir, tmp_path, monkeypatch):
    whole = learn(built, base_dir, tmp_path / "whole")
    monkeypatch.setattr(module, "describe_step", stop_after(8))
    with pytest.raises(KeyboardInterrupt):
        learn(built, base_dir, tmp_path / "cut", log_steps=1, checkpoint_minutes=1e-9)
    monkeypatch.undo()
    for name, value in (("TOO_FAR_MM", 1e6), ("MIN_MINUTES", 0.05), ("HELD_OUT_BASE_DANCES", 4)):
        monkeypatch.setattr(module, name, value)
    with pytest.raises(ValueError, match="begun with another name"):
        learn(built, base_dir, tmp_path / "cut", {"name": "x"}, resume=True, log_steps=1, checkpoint_minutes=1e-9)
    with monkeypatch.context() as patch, pytest.raises(ValueError, match="begun with another clips"):
        patch.setattr(module, "manifest_sha256", lambda folder: "of other clips")
        learn(built, base_dir, tmp_path / "cut", resume=True, log_steps=1, checkpoint_minutes=1e-9)
    resumed = learn(built, base_dir, tmp_path / "cut", resume=True, log_steps=1, checkpoint_minutes=1e-9)
    ignored = {"seconds": 0}
    assert resumed | ignored == whole | ignored
    first, second = (load_file(tmp_path / name / "adapter_model.safetensors") for name in ("whole", "cut"))
    assert all(torch.equal(first[name], second[name]) for name in first)


def stop_after(steps: int):
    calls = []

    def describe(output):
        calls.append(output)
        if len(calls) == steps:
            raise KeyboardInterrupt
        return {"loss": float(output.loss)}

    return describe


def test_each_clip_keeps_its_genre_if_asked(built, base_dir, tmp_path):
    record = learn(built, base_dir, tmp_path / "run", {"keep_genres": True}, max_steps=2)
    genres = {clip.genre for clip in BuiltDataset(built).clips}
    new = sorted(genres - {"rumba", "salsa"})
    assert new and set(record["genres"]) <= genres
    assert ChoreoLlamaProcessor.from_pretrained(tmp_path / "run").added_genres.keys() <= set(new)


class TestRefusals:
    def test_too_little(self, built, base_dir, tmp_path, monkeypatch):
        monkeypatch.setattr(module, "MIN_MINUTES", 1.0)
        with pytest.raises(ValueError, match=r"0\.2 minutes of dance .* at least 1; ten are better"):
            learn(built, base_dir, tmp_path / "run")
        assert not (tmp_path / "run").exists()

    def test_all_that_is_held_out(self, built_clip):
        clips = [built_clip(f"clip_{index}", num_frames=1800, split="test") for index in range(3)]
        with pytest.raises(ValueError, match=r"0\.0 minutes of dance to learn from, beside 3\.0 that are held out"):
            check_amount(*hold_out(clips))

    def test_clips_that_the_codec_cannot_tell(self, built, base_dir, tmp_path, monkeypatch):
        monkeypatch.setattr(module, "TOO_FAR_MM", 70.0)
        with pytest.raises(ValueError, match="too far: the codec .*infinitedance sheet"):
            learn(built, base_dir, tmp_path / "run")
        assert not (tmp_path / "run").exists()

    def test_a_genre_of_the_model(self, built, base_dir, tmp_path):
        with pytest.raises(ValueError, match="dances rumba already"):
            learn(built, base_dir, tmp_path / "run", {"name": "rumba"})

    def test_neither_music_nor_a_pulse(self, write_built, base_dir, tmp_path):
        still = np.zeros((90, 269), np.float32)
        folder = tmp_path / "built"
        folder.mkdir()
        write_built(folder, {"a": still, "b": still}, {"a": {}, "b": {}})
        with pytest.raises(ValueError, match="None of the clips has music, and none has a pulse"):
            learn(folder, base_dir, tmp_path / "run")

    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({"name": ""}, "needs a name"),
            ({"name": " mine"}, "without blanks around it"),
            ({"name": "my\nstyle"}, "can be printed"),
            ({"name": "x" * 61}, "1 to 60 letters"),
            ({"name": "Any"}, "asks for any genre"),
            ({"base_share": 1.0}, "`base_share`"),
            ({"rank": 0}, "`rank`"),
            ({"stretches": [0.5]}, "`stretches`"),
        ],
    )
    def test_arguments_out_of_range(self, fields, message):
        with pytest.raises(ValueError, match=message):
            FinetuneArguments(**{"data_dir": "built", "name": "mine"} | fields)

    def test_too_many_genres(self, base_dir, built_clip):
        processor = MusicToDancePipeline.from_pretrained(base_dir).processor
        clips = [built_clip(f"clip_{index}", genre=f"genre {index}") for index in range(17)]
        style = FinetuneArguments(data_dir="built", name="mine", keep_genres=True)
        with pytest.raises(ValueError, match="16 added genres, got 17"):
            added_genres(style, clips, processor)
        assert len(added_genres(style, clips[:16], processor)) == 16


def test_an_adapter_on_a_merged_model_takes_the_next_row(base_dir, built_clip):
    processor = MusicToDancePipeline.from_pretrained(base_dir).processor
    processor.added_genres = {"merged": 0}
    style = FinetuneArguments(data_dir="built", name="mine")
    assert added_genres(style, [built_clip("clip")], processor) == {"mine": 1}
    with pytest.raises(ValueError, match="dances merged already"):
        added_genres(replace(style, name="merged"), [built_clip("clip")], processor)


def test_what_was_merged_is_kept_beside_the_new_style(built, base_dir, built_clip):
    pipeline, data = MusicToDancePipeline.from_pretrained(base_dir), BuiltDataset(built)
    pipeline.processor.added_genres = {"merged": 0}
    heard = load_takes(data, data.clips, pipeline.tokenizer.model)
    takes, _ = base_dances(pipeline, heard, 5)
    assert [take.genre for take in takes] == ["rumba", "salsa", "merged", "", ""]
    style = FinetuneArguments(data_dir="built", name="mine", keep_genres=True)
    clips = [built_clip("old", genre="merged"), built_clip("new", genre="new")]
    assert added_genres(style, clips, pipeline.processor) == {"new": 1}


def test_a_model_without_genres_learns_one(built, tmp_path, save_tiny_pipeline):
    base = save_tiny_pipeline(tmp_path / "base", genres=[])
    record = learn(built, base, tmp_path / "run", max_steps=2)
    assert record["held_out_loss"]["nearest_genre_before"] is None
    assert MusicToDancePipeline.from_pretrained(base, adapter=tmp_path / "run").genres == ["mine"]


def test_clips_that_are_too_short_for_references_are_learned_without(base_dir, tmp_path, build_procedural):
    built = build_procedural(tmp_path, 4, 1.5)
    assert learn(built, base_dir, tmp_path / "run", max_steps=2)["num_clips"] == 3


class TestHeldOut:
    def test_every_tenth_song_and_at_least_one_of_three(self, built_clip):
        def songs(count: int) -> int:
            clips = [
                built_clip(f"clip_{index}{end}", song_id=f"song_{index}", split="train")
                for index in range(count)
                for end in ("", "_mirror")
            ]
            learned, held_out = hold_out(clips)
            assert not {clip.song_id for clip in learned} & {clip.song_id for clip in held_out}
            assert len(learned) == 2 * (count - len(held_out)) and not any(clip.is_mirrored for clip in held_out)
            return len(held_out)

        assert [songs(count) for count in (1, 2, 3, 10, 25)] == [0, 0, 1, 1, 2]

    def test_what_the_build_holds_out_stays_so(self, built_clip):
        splits = ["train", "train", "test", "validation"]
        clips = [built_clip(f"clip_{index}", song_id=f"{index}", split=split) for index, split in enumerate(splits)]
        assert [clip.split for clip in hold_out(clips)[1]] == ["test", "validation"]


def test_the_verdict_follows_the_error(built, base_dir, monkeypatch):
    pipeline, data = MusicToDancePipeline.from_pretrained(base_dir), BuiltDataset(built)
    verdicts = []
    for error in (20.0, 45.1, 1e7):
        monkeypatch.setattr(module, "evaluate_codec", lambda *_, error=error: {"all": {"mpjpe_mm": error}})
        verdicts.append(measure_fit(data, data.clips, pipeline).verdict)
    assert verdicts[0] == "fine" and verdicts[1].startswith("usable") and verdicts[2].startswith("too far")


def test_the_base_dances_all_its_genres_and_nothing(built, base_dir):
    pipeline, data = MusicToDancePipeline.from_pretrained(base_dir), BuiltDataset(built)
    heard = load_takes(data, data.clips, pipeline.tokenizer.model)
    takes, references = base_dances(pipeline, heard, 8, seed=1)
    assert [take.genre for take in takes] == ["rumba", "salsa", "", ""] * 2
    assert [take.has_clock for take in takes] == [True, True, True, False] * 2
    assert all((take.side == "") == (not take.has_clock) for take in takes)
    assert references == [None] * 8  # there is no library
    again, _ = base_dances(pipeline, heard, 8, seed=1)
    assert all(np.array_equal(one.codes[0], other.codes[0]) for one, other in zip(takes, again, strict=True))
    others, _ = base_dances(pipeline, heard, 6, seed=1, left_out={"rumba"})  # which is learned anew
    assert [take.genre for take in others] == ["salsa", "", ""] * 2


def test_the_recipe_is_one_of_the_loop():
    LoopArguments(output_dir="run", **read_recipe())
