import json
import subprocess
import sys

import pytest
import torch
from huggingface_hub.errors import StrictDataclassError
from transformers import AutoModel

import infinitedance  # noqa: F401  registers the classes
from infinitedance.modeling.music_dance.configuration_music_dance import MusicDanceConfig
from infinitedance.modeling.music_dance.modeling_music_dance import (
    MAX_LOGIT_SCALE,
    MusicDanceAttention,
    MusicDanceEncoder,
    info_nce,
)

TINY = {
    "music_feature_size": 6,
    "motion_feature_size": 5,
    "window_frames": 24,
    "stride_frames": 12,
    "frames_per_token": 4,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "embedding_size": 8,
    "initializer_range": 0.3,
}


@pytest.fixture
def encoder() -> MusicDanceEncoder:
    torch.manual_seed(0)
    encoder = MusicDanceEncoder(MusicDanceConfig(**TINY)).eval()
    encoder.set_feature_statistics(torch.linspace(-1, 1, 5), torch.linspace(0.5, 2, 5))
    return encoder


def test_embeddings_have_length_one(encoder, generator):
    music = encoder.encode_music(torch.randn(3, 24, 6, generator=generator))
    motion = encoder.encode_motion(torch.randn(3, 24, 5, generator=generator))
    for embeddings in (music, motion):
        assert embeddings.shape == (3, 8)
        torch.testing.assert_close(embeddings.norm(dim=1), torch.ones(3))


@pytest.mark.parametrize(("kind", "channels"), [("music", 6), ("motion", 5)])
@pytest.mark.parametrize("padding", [99.0, float("nan")])
def test_padding_does_not_change_a_window(encoder, generator, kind, channels, padding):
    encode = getattr(encoder, f"encode_{kind}")
    window = torch.randn(2, 13, channels, generator=generator)  # the last token is partly filled
    padded = torch.nn.functional.pad(window, (0, 0, 0, 11), value=padding)
    frame_mask = (torch.arange(24) < 13).expand(2, 24)
    torch.testing.assert_close(encode(padded, frame_mask), encode(window))
    assert not torch.allclose(encode(padded.nan_to_num(99.0)), encode(window), atol=1e-3)


def test_efficient_attention_equals_its_definition_token_by_token(encoder, generator):
    attention: MusicDanceAttention = encoder.music_tower.layers[0].attention
    states = torch.randn(1, 5, 16, generator=generator)
    expected = torch.zeros(5, 16)
    query, key, value = attention.query_key_value(states[0]).chunk(3, dim=-1)
    for head in (slice(0, 8), slice(8, 16)):
        for token in range(5):
            weights = query[token, head].softmax(0) * key[:, head].softmax(0)  # (keys, channels)
            expected[token, head] = weights.sum(1) @ value[:, head]
    mixed = attention(states, torch.ones(1, 5, dtype=torch.bool))
    torch.testing.assert_close(mixed[0], attention.output(expected))


def test_where_in_the_window_something_happens_matters(encoder, generator):
    window = torch.randn(1, 24, 6, generator=generator)
    assert not torch.allclose(encoder.encode_music(window), encoder.encode_music(window.roll(8, dims=1)), atol=1e-3)


def test_every_parameter_gets_a_gradient(encoder, generator):
    music, motion = torch.randn(4, 24, 6, generator=generator), torch.randn(4, 24, 5, generator=generator)
    encoder(music, motion).loss.backward()
    silent = [name for name, weight in encoder.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert silent == []


def test_a_saved_encoder_is_the_same_in_a_fresh_process(encoder, generator, tmp_path):
    encoder.save_pretrained(tmp_path)
    music = torch.randn(2, 24, 6, generator=generator)
    torch.save({"music": music, "embeddings": encoder.encode_music(music).detach()}, tmp_path / "expected.pt")
    program = f"""
import torch, infinitedance
from transformers import AutoModel
encoder = AutoModel.from_pretrained(r"{tmp_path}")
expected = torch.load(r"{tmp_path / "expected.pt"}", weights_only=True)
torch.testing.assert_close(encoder.encode_music(expected["music"]), expected["embeddings"])
print(type(encoder).__name__, [round(value, 4) for value in encoder.feature_std.tolist()])
"""
    completed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert completed.returncode == 0, completed.stderr
    assert completed.stdout.strip() == "MusicDanceEncoder [0.5, 0.875, 1.25, 1.625, 2.0]"


@pytest.mark.parametrize(("stated", "got"), [(None, "no version"), (1, "1"), (3, "3")])
def test_an_encoder_of_another_version_of_the_music_features_or_of_none_is_refused(tmp_path, stated, got):
    MusicDanceConfig(**TINY).save_pretrained(tmp_path)
    assert MusicDanceConfig.from_pretrained(tmp_path).music_features_version == 2
    path = tmp_path / "config.json"
    values = json.loads(path.read_text())
    del values["music_features_version"]
    path.write_text(json.dumps(values if stated is None else values | {"music_features_version": stated}))
    with pytest.raises(ValueError, match=f"encoder must be of version 2 .*, got {got}. Take a model of"):
        MusicDanceConfig.from_pretrained(tmp_path)


def test_the_auto_class_builds_an_encoder():
    assert isinstance(AutoModel.from_config(MusicDanceConfig(**TINY)), MusicDanceEncoder)


def test_the_loss_of_equal_logits_is_the_logarithm_of_the_number_of_choices():
    assert info_nce(torch.zeros(6, 6)).item() == pytest.approx(torch.tensor(6.0).log().item())


def test_windows_of_one_song_are_no_negatives():
    logits = torch.zeros(4, 4)
    logits[0, 1] = logits[1, 0] = 50.0  # a window that looks just like another one of its own song
    assert info_nce(logits).item() > 20
    song_ids = torch.tensor([7, 7, 8, 9])
    expected = (2 * torch.tensor(3.0).log() + 2 * torch.tensor(4.0).log()) / 4
    assert info_nce(logits, song_ids).item() == pytest.approx(expected.item())


def test_training_brings_partners_together_and_learns_the_temperature(encoder, generator):
    music, motion = torch.randn(8, 24, 6, generator=generator), torch.randn(8, 24, 5, generator=generator)
    optimizer = torch.optim.AdamW(encoder.parameters(), lr=3e-3)
    first_scale = encoder.logit_scale.item()
    for _ in range(60):
        optimizer.zero_grad()
        encoder(music, motion).loss.backward()
        optimizer.step()
    output = encoder(music, motion)
    assert output.loss < 0.1
    assert (output.logits_per_music.argmax(1) == torch.arange(8)).all()
    assert encoder.logit_scale.item() != first_scale


def test_the_temperature_is_bounded(encoder, generator):
    music, motion = torch.randn(4, 24, 6, generator=generator), torch.randn(4, 24, 5, generator=generator)
    with torch.no_grad():
        encoder.logit_scale.fill_(20.0)
    largest = encoder(music, motion).logits_per_music.abs().max().item()
    assert largest <= torch.tensor(MAX_LOGIT_SCALE).exp().item() * 1.0001


@pytest.mark.parametrize(("rate", "frames"), [(25.0, 320), (30.0, 384), (60.0, 768)])
def test_a_window_of_music_is_as_long_as_that_of_motion(rate, frames):
    config = MusicDanceConfig(music_frame_rate=rate, hidden_size=8, intermediate_size=8)
    assert config.music_window_frames == frames
    encoder = MusicDanceEncoder(config).eval()
    assert encoder.encode_music(torch.zeros(1, frames, 109)).shape == (1, 64)
    with pytest.raises(ValueError, match=f"1 to {frames} frames"):
        encoder.encode_music(torch.zeros(1, frames + 1, 109))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda encoder: encoder.encode_music(torch.zeros(1, 24, 5)), "must have shape"),
        (lambda encoder: encoder.encode_motion(torch.zeros(1, 25, 5)), "1 to 24 frames"),
        (lambda encoder: encoder.encode_motion(torch.zeros(24, 5)), "must have shape"),
        (
            lambda encoder: encoder.encode_music(torch.zeros(2, 4, 6), torch.zeros(2, 4, dtype=torch.bool)),
            "a real frame in every window",
        ),
        (lambda encoder: encoder(torch.zeros(2, 4, 6), torch.zeros(3, 4, 5)), "of one batch"),
        (lambda encoder: encoder.set_feature_statistics(torch.zeros(5), torch.zeros(5)), "positive in every channel"),
    ],
)
def test_wrong_inputs_are_refused(encoder, call, message):
    with pytest.raises(ValueError, match=message):
        call(encoder)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"hidden_size": 0}, "at least 1"),
        ({"stride_frames": 400}, "must not exceed"),
        ({"hidden_size": 30}, "multiple of"),
        ({"conv_kernel_size": 4}, "must be odd"),
        ({"dropout": 1.0}, "must lie in"),
        ({"music_frame_rate": 0.0}, "positive number of Hz"),
        ({"music_features_version": 3}, "must be of version 2 of the music features"),
    ],
)
def test_sizes_that_build_no_encoder_are_refused(fields, message):
    with pytest.raises(StrictDataclassError, match=message):
        MusicDanceConfig(**fields)


def test_the_sizes_of_the_paper_build_without_the_convolution():
    config = MusicDanceConfig.paper()
    assert (config.hidden_size, config.num_hidden_layers, config.frames_per_token) == (256, 4, 1)
    assert MusicDanceEncoder(config.paper(num_hidden_layers=1)).music_tower.layers[0].conv is None
