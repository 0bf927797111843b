import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from infinitedance import ChoreoLlamaProcessor, MusicToDancePipeline
from infinitedance.audio.features import MusicFeatureLayout
from infinitedance.dataset_builder.built import BuiltDataset
from infinitedance.modeling.choreollama.configuration_choreollama import ChoreoLlamaConfig
from infinitedance.modeling.choreollama.modeling_choreollama import ChoreoLlamaForConditionalGeneration
from infinitedance.tokenization.configuration_motion_codec import MotionCodecConfig
from infinitedance.tokenization.modeling_motion_codec import MotionCodecModel
from infinitedance.training import train_choreollama
from infinitedance.training.data_choreollama import ChoreoSampler, ChoreoWindows
from infinitedance.training.evaluation_choreollama import evaluate_choreollama, wrong_songs
from infinitedance.training.release.export import export_model
from infinitedance.training.takes import DanceTake, load_takes

TINY_MODEL = {
    "backbone_config": {
        "model_type": "llama",
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "intermediate_size": 16,
    },
    "expert_hidden_size": 8,
    "expert_num_heads": 2,
    "expert_attention_tokens": 4,
    "max_window_tokens": 8,
}


@pytest.fixture(scope="module")
def built_music(tmp_path_factory, build_procedural):
    """Four procedural clips of three seconds: two to train on, one to validate, one to test."""
    return build_procedural(tmp_path_factory.mktemp("music"), 4, 3.0, validation=[2], test=[3])


@pytest.fixture(scope="module")
def codec_dir(tmp_path_factory):
    torch.manual_seed(0)
    codec = MotionCodecModel(
        MotionCodecConfig(hidden_size=16, codebook_dim=8, codebook_size=8, residual_dilations=[1])
    )
    codec.codebooks.normal_()
    folder = tmp_path_factory.mktemp("codec")
    codec.save_pretrained(folder)
    return folder


def make_take(song_id: str, num_frames: int = 100, loudness: float = 0.0, genre: str = "waltz") -> DanceTake:
    music = np.zeros((num_frames, MusicFeatureLayout.size), np.float32)
    music[:, 0] = np.arange(num_frames)
    music[:, MusicFeatureLayout.loudness] = loudness
    codes = [np.arange(3 * 25).reshape(3, 25)[:, : -(-(num_frames - offset) // 4)] % 8 for offset in range(4)]
    return DanceTake(song_id, genre, music, codes)


@pytest.fixture
def config():
    return ChoreoLlamaConfig(**TINY_MODEL, genres=["rumba", "waltz"], codebook_size=8, codebook_dim=8)


def test_a_window_holds_the_music_of_its_codes_with_context_before_and_look_ahead_after(config):
    take = make_take("a")
    batch = ChoreoWindows([take], config).cut([(0, 2, 5)])
    start = 2 + (5 - config.context_tokens) * 4  # the offset, then tokens of four frames
    frames = (config.context_tokens + 8 + config.lookahead_tokens) * 4
    expected = np.arange(start, start + frames)
    heard = batch["input_features"][0, :, 0].numpy()
    inside = (expected >= 0) & (expected < 100)
    np.testing.assert_array_equal(heard[inside], expected[inside])
    np.testing.assert_array_equal(batch["frame_mask"][0].numpy(), inside)
    np.testing.assert_array_equal(batch["motion_codes"][0].numpy(), take.codes[2][:, 5:13])
    assert batch["genre_ids"].tolist() == [1]


def test_codes_beyond_the_end_of_a_clip_are_not_scored(config):
    batch = ChoreoWindows([make_take("a")], config).cut([(0, 0, 20)])
    assert (batch["labels"][0, :, :5] >= 0).all() and (batch["labels"][0, :, 5:] == -100).all()


def test_the_sampler_balances_genres_and_repeats_itself(config):
    takes = [make_take("a", genre="rumba")] + [make_take(str(number)) for number in range(9)]
    settings = {"batch_size": 400, "group_share": 0.5, "in_group": [True] * 10, "seed": (0,)}
    shares = []
    for balance in (1.0, 0.0):
        sampler = ChoreoSampler(ChoreoWindows(takes, config), genre_balance=balance, **settings)
        shares.append((sampler(0)["genre_ids"] == 0).float().mean().item())
        assert torch.equal(sampler(3)["motion_codes"], sampler(3)["motion_codes"])
    assert shares[0] == pytest.approx(0.1, abs=0.06) and shares[1] == pytest.approx(0.5, abs=0.08)


def test_the_wrong_song_is_the_one_whose_tempo_is_farthest(config):
    takes = [make_take("a"), make_take("b"), make_take("c")]
    for take, tempo in zip(takes, (0.0, 0.1, -0.5), strict=True):
        take.music[:, -1] = tempo
    assert wrong_songs(ChoreoWindows(takes, config)) == [2, 2, 1]


def test_losses_of_a_model_that_hears_nothing_do_not_depend_on_the_music(config):
    torch.manual_seed(0)
    model = ChoreoLlamaForConditionalGeneration(config).eval()
    model.set_codebooks(torch.randn(3, 8, 8))
    takes = [make_take("a"), make_take("b", loudness=3.0)]
    heard = evaluate_choreollama(model, ChoreoWindows(takes, config))
    assert heard["right"].shape == (2, 3)
    assert not np.allclose(heard["right"], heard["wrong"], atol=1e-6)
    model.model.cadence_moe.mixing.weight.data.zero_()
    deaf = evaluate_choreollama(model, ChoreoWindows(takes, config))
    np.testing.assert_allclose(deaf["right"], deaf["wrong"], atol=1e-6)
    np.testing.assert_allclose(deaf["right"], deaf["none"], atol=1e-6)


def test_takes_are_cut_to_their_music_and_stretched_with_it(built_music, codec_dir):
    data = BuiltDataset(built_music)
    codec = MotionCodecModel.from_pretrained(codec_dir).eval()
    clips = data.split("train")
    takes = load_takes(data, clips, codec, stretches=(1.0, 1.25), offsets=range(4))
    assert len(takes) == 2 * len(clips)
    assert [len(take.music) for take in takes[:2]] == [90, 72]
    assert [take.codes[0].shape[1] for take in takes[:2]] == [23, 18]


def test_accelerate_launch_trains_two_steps(built_music, codec_dir, tmp_path):
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "1"]
    command = [*launch, "-m", "infinitedance.training.train_choreollama"]
    folders = ["--data_dir", str(built_music), "--codec_dir", str(codec_dir), "--output_dir", str(tmp_path / "run")]
    options = ["--model", json.dumps(TINY_MODEL), "--batch_size", "2", "--max_steps", "2", "--num_references", "1"]
    options += ["--reference_choice", "style", "--data_workers", "1", "--foreign_spectra_share", "0.5"]
    options += ["--equalizer_spread", "0.2", "--moved_bar_share", "0.2"]
    completed = subprocess.run([*command, *folders, *options], capture_output=True, text=True)
    assert completed.returncode == 0, completed.stderr
    export_model(tmp_path / "run", tmp_path / "shipped", BuiltDataset(built_music))
    assert MusicToDancePipeline.from_pretrained(tmp_path / "run").genres == ["rumba", "waltz"]
    shipped = MusicToDancePipeline.from_pretrained(tmp_path / "shipped")
    assert shipped.model.dtype == torch.float32 and shipped.model.codec.quantizer.codebooks.any()
    sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("run", "shipped")]
    assert sizes[1] < 0.6 * sizes[0]
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert {"eval/right_0", "eval/none_1"} <= set(lines[-1])
    assert "eval/wrong_2" not in lines[-1]  # one held-out song has no other


def test_a_run_continues_from_a_trained_generator_with_another_codec(built_music, codec_dir, tmp_path):
    def run(output_dir, codec, *options):
        line = ["--data_dir", str(built_music), "--codec_dir", str(codec), "--output_dir", str(output_dir)]
        line += ["--model", json.dumps(TINY_MODEL), "--batch_size", "2", "--max_steps", "1"]
        train_choreollama.main([*line, *options])
        return ChoreoLlamaForConditionalGeneration.from_pretrained(output_dir)

    first = run(tmp_path / "first", codec_dir)
    other_codec = MotionCodecModel.from_pretrained(codec_dir)
    other_codec.codebooks.neg_()
    other_codec.save_pretrained(tmp_path / "codec")
    options = ("--init_from", str(tmp_path / "first"), "--learning_rate", "0")
    second = run(tmp_path / "second", tmp_path / "codec", *options)
    assert torch.equal(first.lm_head.weight, second.lm_head.weight)
    assert torch.equal(first.model.codebook_vectors, -second.model.codebook_vectors)
    assert torch.equal(first.codec.codebooks, -second.codec.codebooks)
    processor = ChoreoLlamaProcessor.from_pretrained(tmp_path / "first")
    assert processor.feature_extractor.version == 2
    processor.feature_extractor.version = 1
    processor.save_pretrained(tmp_path / "first")
    with pytest.raises(ValueError, match="must be of version 2 of the music features"):
        run(tmp_path / "third", tmp_path / "codec", *options)
    # Absent layers would be drawn at random by transformers, with no more than a table in the log.
    backbone = TINY_MODEL["backbone_config"]
    deeper = TINY_MODEL | {"backbone_config": backbone | {"num_hidden_layers": backbone["num_hidden_layers"] + 1}}
    with pytest.raises(ValueError, match="with this configuration: it lacks 9 weights"):
        run(tmp_path / "third", tmp_path / "codec", *options, "--model", json.dumps(deeper))


def test_dances_without_music_and_without_a_clock_are_refused(write_built, codec_dir, tmp_path):
    dances = {name: np.zeros((90, 269), np.float32) for name in "ab"}
    folder = write_built(tmp_path, dances, {"b": {"split": "validation"}})
    line = ["--data_dir", str(folder), "--codec_dir", str(codec_dir), "--output_dir", str(tmp_path / "run")]
    with pytest.raises(ValueError, match="None of the 1 training clips .* has music or a beat clock"):
        train_choreollama.main([*line, "--model", json.dumps(TINY_MODEL)])


def test_wrong_arguments_say_what_must_hold(built_music, codec_dir, tmp_path):
    folders = ["--data_dir", str(built_music), "--codec_dir", str(codec_dir), "--output_dir", str(tmp_path / "run")]
    for options, message in (
        (["--frozen_backbone_share", "0.5"], "needs a pretrained `backbone`"),
        (["--stretches", "0.5"], "hold 1.0"),
        (["--num_references", "0"], "`reference_choice: none`"),
        (["--reference_choice", "retrieved"], "`retrieval_dir` belongs to"),
        (["--moved_bar_share", "2"], r"must lie in \[0, 1\]"),
        (["--genres", "salsa"], "No clip of split 'train' is of one of the genres"),
        (["--model", '{"hidden": 1}'], "no field of ChoreoLlamaConfig"),
    ):
        with pytest.raises(ValueError, match=message):
            train_choreollama.main([*folders, *options])
