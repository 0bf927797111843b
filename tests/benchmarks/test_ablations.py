import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from benchmarks import ablations
from infinitedance.dataset_builder.built import BuiltDataset
from infinitedance.modeling.choreollama.modeling_choreollama import ChoreoLlamaForConditionalGeneration
from infinitedance.tokenization.modeling_motion_codec import MotionCodecModel
from infinitedance.training.references_choreollama import ReferenceFinder
from infinitedance.training.takes import DanceTake
from infinitedance.utils.checkpoints import load_model

pytest.importorskip("faiss", reason="the retrieval index needs the extra `data`")

MODEL = {
    "controls_energy": True,
    "depth_hidden_size": 8,
    "expert_hidden_size": 8,
    "expert_num_heads": 1,
    "expert_attention_tokens": 4,
    "mamba_state_size": 2,
    "max_window_tokens": 32,
    "backbone_config": {
        "model_type": "llama",
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 1,
        "num_key_value_heads": 1,
        "intermediate_size": 16,
    },
}


@pytest.fixture(scope="module")
def options(data_dir, model_dir, make_encoder, tmp_path_factory):
    """The command line of a report on arms of one step."""
    folder = tmp_path_factory.mktemp("ablations")
    make_encoder(window_frames=16).save_pretrained(folder / "encoder")
    recipe = folder / "recipe.yaml"  # JSON is YAML
    recipe.write_text(json.dumps({"batch_size": 2, "reference_choice": "own", "num_references": 1, "model": MODEL}))
    given = {"config": recipe, "data_dir": data_dir, "songs_dir": data_dir, "codec_dir": model_dir}
    given |= {"retrieval_dir": folder / "encoder", "work_dir": folder, "output": folder / "report.md", "max_steps": 1}
    return [part for name, value in given.items() for part in (f"--{name}", str(value))]


def parse(options, *more):
    return ablations.build_parser().parse_args([*options, *more])


@pytest.fixture(scope="module")
def report(options):
    """The report, and which takes each arm was trained on."""
    trained_on = []

    class Sampler(ablations.ChoreoSampler):
        def __init__(self, windows, **settings):
            trained_on.append(windows.takes)
            super().__init__(windows, **settings)

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(ablations, "ChoreoSampler", Sampler)
        ablations.main(options)
    return parse(options).output, trained_on


@pytest.fixture
def ablation(options):
    return ablations.Ablation(parse(options))


def tables_of(output, section):
    return {table["title"]: table for table in json.loads(output.with_suffix(".json").read_text())[section]["tables"]}


def test_the_report_has_every_section_and_every_arm(report):
    output, trained_on = report
    sections = json.loads(output.with_suffix(".json").read_text())
    assert list(sections) == ["pattern", "codes", "bands", "references", "gate"] == list(ablations.SECTIONS)
    for section, arms in ablations.ARMS.items():
        rows = tables_of(output, section)["Loss of the arms"]["rows"]
        assert [row[0] for row in rows] == list(arms) and {row[1] for row in rows} == {1}
        assert [row[3] for row in rows].count(None) == 1 and rows[0][3] is None
    used = tables_of(output, "references")["The arm trained with own references, tested with others"]
    assert len(used["rows"]) == 1 + len(ablations.TESTED) + len(ablations.CONTRASTS)
    assert all(cell is not None for row in used["rows"] for cell in row)
    text = output.read_text()
    assert text.count("python -m benchmarks.ablations --") == 5 and str(output.parent) not in text


def test_arms_that_are_equal_are_trained_once_and_all_on_the_same_takes(report):
    arms = [repr(arm) for of_section in ablations.ARMS.values() for arm in of_section.values()]
    trained_on = report[1]
    assert len(trained_on) == len(set(arms)) < len(arms)
    assert all(takes is trained_on[0] for takes in trained_on)


def test_a_report_goes_on_with_the_arms_that_are_finished(options, report, monkeypatch, tmp_path):
    monkeypatch.setattr(ablations, "train", lambda *args, **kwargs: pytest.fail("trained again"))
    monkeypatch.setattr(MotionCodecModel, "encode", lambda *args: pytest.fail("encoded again"))
    again = tmp_path / "again.md"
    ablations.main([*options, "--output", str(again), "--sections", "codes"])
    assert tables_of(again, "codes") == tables_of(report[0], "codes")
    with pytest.raises(pytest.fail.Exception, match="trained again"):
        ablations.main([*options, "--output", str(again), "--sections", "codes", "--seed", "1"])


def test_an_arm_that_was_interrupted_is_trained_again(ablation):
    arm = ablations.Arm({"cutoff_hz": [3.0]})
    folder = ablation.trained(arm)
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "arm.json").unlink()
    (folder / "model.safetensors").write_bytes(b"")
    assert ablation.trained(arm) == folder and (folder / "model.safetensors").read_bytes() == weights
    assert not list(folder.glob("checkpoint-*"))  # the state of the optimizer is of no use any more


def test_indices_bring_nothing_of_what_a_code_means(ablation):
    arms = ablations.ARMS["codes"]
    vectors = {
        name: load_model(ablation.trained(arm), ChoreoLlamaForConditionalGeneration).model.codebook_vectors
        for name, arm in arms.items()
    }
    codebooks = ablation.codec.codebooks
    scale = codebooks.square().mean(dim=(1, 2), keepdim=True).sqrt()
    torch.testing.assert_close(vectors["continuous"], codebooks / scale)
    torch.testing.assert_close(vectors["indices"], torch.ones_like(codebooks))
    random = vectors["random vectors"]
    assert abs(float((random * vectors["continuous"]).mean())) < 0.2  # unrelated
    torch.testing.assert_close(random.square().mean(dim=(1, 2)), torch.ones(len(random)))


def test_continued_arms_start_from_the_weights_given(ablation):
    start = ablation.trained(ablations.Arm())
    ablation.loop.seed = 1  # other weights, were they drawn
    continued = ablation.trained(ablations.Arm(), start)
    first, second = (load_model(folder, ChoreoLlamaForConditionalGeneration) for folder in (start, continued))
    moved = (first.lm_head.weight - second.lm_head.weight).detach().abs().max()
    # The first step of AdamW is as long as the learning rate, a twentieth of the full one in the warm-up.
    assert float(moved) == pytest.approx(ablations.CONTINUED_LEARNING_RATE / ablations.WARMUP_STEPS, rel=0.1)


def test_losses_are_paired_by_take_and_a_planted_difference_is_found(tmp_path):
    planted, generator = 0.3, np.random.default_rng(0)
    takes = generator.normal(20, 5, 60)  # dances differ from each other far more than the arms
    arms = ablations.ARMS["pattern"]
    losses = dict(zip(arms, (takes, takes + generator.normal(planted, 0.05, 60), takes), strict=True))
    for name in arms:
        (tmp_path / name).mkdir()
        (tmp_path / name / "arm.json").write_text('{"step": 7}')
    name_of = {repr(arm): name for name, arm in arms.items()}
    stub = SimpleNamespace(
        init_from=None,
        held_out={"dances": []},
        trained=lambda arm, init_from: tmp_path / name_of[repr(arm)],
        score=lambda folder, group, choice: (losses[folder.name], None),
    )
    rows = {row[0]: row[1:] for row in ablations.arms_table(stub, "pattern").rows}
    mean, low, high = rows["delay"][2]
    assert low < planted < high and high - low < 0.05 and mean == pytest.approx(planted, abs=0.02)
    assert rows["delay"][1][2] - rows["delay"][1][1] > 1  # unpaired, nothing could be said
    assert rows["flat"][2] == [0, 0, 0] and rows["depth"][2] is None


def test_thirds_are_those_by_speed():
    speeds = np.random.default_rng(0).permutation(90) / 90
    slow, fast, difference = ablations.shares_of_thirds(0.7 - 0.3 * speeds, speeds)
    assert slow[0] == pytest.approx(0.65, abs=0.01) and fast[0] == pytest.approx(0.45, abs=0.01)
    assert difference[1] < difference[0] == pytest.approx(0.2) and difference[2] < 0.25
    noise = np.random.default_rng(1).normal(0.5, 0.1, 90)
    _, _, (_, low, high) = ablations.shares_of_thirds(noise, speeds)
    assert low < 0 < high


def test_references_of_rank_1_and_of_rank_100_differ(data_dir, make_encoder):
    data = BuiltDataset(data_dir)
    finder = ReferenceFinder(data, make_encoder(window_frames=16), 2, "retrieved")
    clip = data.split("test", mirrored=False)[0]
    take = DanceTake(clip.song_id, clip.genre, data.music_features(clip), [])
    first, later = (ablations.ranked_references(finder, [take], rank) for rank in (1, 100))
    for best, other in zip(first.windows[0], later.windows[0], strict=True):
        assert len(best.hits) == len(other.hits) == 2
        assert min(hit.score for hit in best.hits) > max(hit.score for hit in other.hits)
        assert not {(hit.clip_id, hit.start_frame) for hit in best.hits} & {
            (hit.clip_id, hit.start_frame) for hit in other.hits
        }
    cuts = [references.cut(0, 30, 60) for references in (first, later)]
    assert cuts[0].shape == (2, 60, 269) and np.abs(cuts[0] - cuts[1]).max() > 0.1
    with pytest.raises(ValueError, match="Rank 10001 needs as many windows"):
        ablations.ranked_references(finder, [take], 10_000)


def test_own_references_are_of_the_held_out_dance_and_all_others_are_not(ablation, monkeypatch):
    monkeypatch.setattr(ablations, "MIN_FRAMES_FOR_ITSELF", 100)
    monkeypatch.setattr("infinitedance.training.references_choreollama.MIN_FRAMES_FOR_ITSELF", 100)
    group = "unseen songs"
    clip_ids = [take.clip_id for take in ablation.held_out[group]]
    own, style = (ablation.references(group, choice) for choice in ("own", "style"))
    for index, clip_id in enumerate(clip_ids):
        assert [own.clips[clip].clip_id for clip in own.groups[own.group_of_take[index]]] == [clip_id]
        assert not {style.clips[clip].clip_id for clip in style.groups[style.group_of_take[index]]} & set(clip_ids)
    assert ablation.references(group, "none") is None


def test_a_genre_that_is_not_told_changes_the_loss(ablation):
    folder, group = ablation.trained(ablations.Arm()), "unseen songs"
    told, not_told = (ablation.score(folder, group, "style", genre_told)[0] for genre_told in (True, False))
    assert (told != not_told).all()


def test_a_model_with_another_codec_is_refused(ablation, tmp_path):
    model = load_model(ablation.trained(ablations.Arm()), ChoreoLlamaForConditionalGeneration)
    model.codec.codebooks.add_(1)
    model.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="must carry the codec"):
        ablation.score(tmp_path, "unseen songs", "none")


def test_a_gate_is_asked_of_a_model_that_has_one(ablation):
    with pytest.raises(ValueError, match="must have a gate and several bands"):
        ablations.gate_table(ablation, ablation.trained(ablations.ARMS["bands"]["one"]))


def test_an_unknown_section_is_told(options, capsys):
    with pytest.raises(SystemExit):
        ablations.main([*options, "--sections", "bands,arms"])
    assert "got arms" in capsys.readouterr().err
