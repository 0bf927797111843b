import subprocess
import sys

import pytest
import torch
from transformers import AutoModel

from infinitedance.tokenization.configuration_motion_codec import MotionCodecConfig
from infinitedance.tokenization.modeling_motion_codec import MotionCodecModel


@pytest.mark.parametrize("num_frames", range(1, 10))
def test_every_started_group_of_four_frames_takes_one_token(tiny_codec, motion_features, num_frames):
    codes = tiny_codec.encode(motion_features[:, :num_frames])
    assert codes.shape == (2, 3, tiny_codec.num_tokens(num_frames)) == (2, 3, (num_frames + 3) // 4)
    assert tiny_codec.decode(codes).shape == (2, 4 * codes.shape[2], 269)


def test_a_partly_filled_token_is_filled_by_repeating_the_last_frame(tiny_codec, motion_features):
    repeated = torch.cat([motion_features[:, :14], motion_features[:, 13:14].expand(-1, 2, -1)], dim=1)
    assert torch.equal(tiny_codec.encode(motion_features[:, :14]), tiny_codec.encode(repeated))


def test_padding_changes_neither_codes_nor_frames_of_a_clip(tiny_codec, motion_features):
    clip = motion_features[:1, :13]
    padded = torch.cat([torch.nn.functional.pad(clip, (0, 0, 0, 19), value=99.0), motion_features[1:]])
    frame_mask = torch.arange(32) < torch.tensor([[13], [32]])
    alone, batch = tiny_codec.encode(clip), tiny_codec.encode(padded, frame_mask)
    assert torch.equal(batch[:1, :, :4], alone)
    assert (batch[0, :, 4:] == 0).all()
    decoded = tiny_codec.decode(batch, token_mask=torch.arange(8) < torch.tensor([[4], [8]]))
    torch.testing.assert_close(decoded[:1, :16], tiny_codec.decode(alone))
    assert (decoded[0, 16:] == 0).all()


def test_padding_changes_no_loss(tiny_codec, motion_features):
    clip = motion_features[:1, :20]
    padded = torch.nn.functional.pad(clip, (0, 0, 0, 12), value=float("nan"))
    alone, in_batch = tiny_codec(clip), tiny_codec(padded, torch.arange(32)[None] < 20)
    torch.testing.assert_close(in_batch.loss_terms, alone.loss_terms)
    torch.testing.assert_close(in_batch.loss, alone.loss)
    torch.testing.assert_close(in_batch.perplexity, alone.perplexity)


def test_forward_gives_what_encode_and_decode_give(tiny_codec, motion_features):
    output = tiny_codec(motion_features)
    assert torch.equal(output.codes, tiny_codec.encode(motion_features))
    torch.testing.assert_close(output.reconstruction, tiny_codec.decode(output.codes))


def test_the_loss_is_the_weighted_sum_of_its_terms(tiny_codec, motion_features):
    output = tiny_codec(motion_features)
    config = tiny_codec.config
    total = sum(getattr(config, f"{name}_loss_weight") * value for name, value in output.loss_terms.items())
    torch.testing.assert_close(output.loss, total + config.commitment_loss_weight * output.commitment_loss)
    assert set(output.loss_terms) == {"feature", "position", "velocity", "acceleration", "root_path", "foot"}


def test_every_parameter_gets_a_gradient(tiny_codec, motion_features):
    tiny_codec.train()(motion_features).loss.backward()
    assert all(parameter.grad is not None for parameter in tiny_codec.parameters())
    assert all(parameter.grad.abs().sum() > 0 for parameter in tiny_codec.parameters())


def test_a_frame_depends_on_tokens_within_the_receptive_field_and_no_others(tiny_config):
    torch.manual_seed(0)
    codec = MotionCodecModel(tiny_config)
    latents = torch.randn(1, 40, tiny_config.codebook_dim, requires_grad=True)
    before, after = codec.decoder_receptive_field
    codec.decode_latents(latents)[0, 4 * 20 : 4 * 20 + 4].square().sum().backward()
    touched = latents.grad[0].abs().sum(-1).nonzero().squeeze(-1)
    assert (int(touched.min()), int(touched.max())) == (20 - before, 20 + after)


def test_a_start_from_data_nearly_reconstructs_motion_of_few_dimensions(tiny_config, generator):
    codec = MotionCodecModel(tiny_config).eval()
    basis = torch.randn(tiny_config.codebook_dim, 4 * 269, generator=generator)
    windows = (torch.randn(20 * 8, tiny_config.codebook_dim, generator=generator) @ basis).view(20, 32, 269)
    codec.initialize_from_data(windows)
    latents, _ = codec.encode_latents(windows)
    power = windows.square().mean()
    assert (codec.decode_latents(latents) - windows).square().mean() < 0.01 * power
    assert bool(codec.quantizer.initialized)
    residual = codec.decode(codec.encode(windows)) - windows
    assert residual.square().mean() < 0.5 * power


def test_a_start_from_too_little_data_is_refused(tiny_config, motion_features):
    with pytest.raises(ValueError, match="at least 8 tokens, got 2"):
        MotionCodecModel(tiny_config).initialize_from_data(motion_features[:1, :8])
    with pytest.raises(ValueError, match="`codebook_dim` = 8 must not exceed `hidden_size` = 4"):
        MotionCodecModel(MotionCodecConfig(hidden_size=4, codebook_dim=8)).initialize_from_data(motion_features)


def test_training_lowers_the_reconstruction_loss(tiny_codec, motion_features):
    tiny_codec.train()
    optimizer = torch.optim.AdamW(tiny_codec.parameters(), lr=1e-2)
    losses = []
    for _ in range(60):
        output = tiny_codec(motion_features)
        losses.append(float(output.loss_terms["feature"].detach()))
        output.loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert losses[-1] < 0.8 * losses[0]


def test_evaluation_leaves_the_codebooks_alone(tiny_codec, motion_features):
    before = {name: buffer.clone() for name, buffer in tiny_codec.named_buffers()}
    tiny_codec(motion_features)
    assert all(torch.equal(before[name], buffer) for name, buffer in tiny_codec.named_buffers())


def test_a_fresh_process_loads_the_same_codec(tiny_codec, motion_features, tmp_path):
    tiny_codec.save_pretrained(tmp_path)
    torch.save(motion_features, tmp_path / "features.pt")
    program = (
        "import sys, torch\n"
        "from infinitedance.tokenization.modeling_motion_codec import MotionCodecModel\n"
        "codec = MotionCodecModel.from_pretrained(sys.argv[1])\n"
        "output = codec(torch.load(sys.argv[1] + '/features.pt'))\n"
        "torch.save((output.codes, output.reconstruction, output.loss.detach()), sys.argv[1] + '/output.pt')\n"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True)
    codes, reconstruction, loss = torch.load(tmp_path / "output.pt")
    output = tiny_codec(motion_features)
    assert torch.equal(codes, output.codes)
    torch.testing.assert_close(reconstruction, output.reconstruction, rtol=0, atol=0)
    torch.testing.assert_close(loss, output.loss, rtol=0, atol=0)


def test_auto_classes_build_and_load_the_codec(tiny_codec, tmp_path):
    tiny_codec.save_pretrained(tmp_path)
    loaded = AutoModel.from_pretrained(tmp_path)
    assert isinstance(loaded, MotionCodecModel)
    torch.testing.assert_close(loaded.codebooks, tiny_codec.codebooks, rtol=0, atol=0)
    assert isinstance(AutoModel.from_config(loaded.config), MotionCodecModel)


def test_a_half_precision_copy_decodes_nearly_the_same(tiny_codec, motion_features, tmp_path):
    codes = tiny_codec.encode(motion_features)
    exact = tiny_codec.decode(codes)
    tiny_codec.half().save_pretrained(tmp_path)
    loaded = MotionCodecModel.from_pretrained(tmp_path, dtype=torch.float32)
    torch.testing.assert_close(loaded.decode(codes), exact, rtol=0.01, atol=0.01)


def test_the_paper_size_builds_on_the_meta_device():
    with torch.device("meta"):
        codec = MotionCodecModel(MotionCodecConfig(hidden_size=1024, codebook_dim=1024))
    assert codec.codebooks.shape == (3, 512, 1024)


@pytest.mark.parametrize(
    ("shape", "frame_mask", "message"),
    [
        ((1, 8, 264), None, r"must have shape \(batch, frames >= 1, 269\).*got \(1, 8, 264\)"),
        ((8, 269), None, r"got \(8, 269\)"),
        ((1, 0, 269), None, r"got \(1, 0, 269\)"),
        ((1, 8, 269), torch.ones(1, 7, dtype=torch.bool), r"bool of shape \(1, 8\)"),
        ((1, 8, 269), torch.ones(1, 8), "got torch.float32"),
        ((1, 8, 269), torch.zeros(1, 8, dtype=torch.bool), "at least one real frame"),
        ((1, 8, 269), torch.tensor([[True] * 3 + [False] * 2 + [True] * 3]), "pad at the end"),
    ],
)
def test_wrong_features_are_refused(tiny_codec, shape, frame_mask, message):
    with pytest.raises(ValueError, match=message):
        tiny_codec.encode(torch.zeros(shape), frame_mask)


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        (torch.zeros(1, 2, 5, dtype=torch.long), r"shape \(batch, 3, num_tokens >= 1\)"),
        (torch.zeros(3, 5, dtype=torch.long), r"got \(3, 5\)"),
        (torch.zeros(1, 3, 0, dtype=torch.long), r"got \(1, 3, 0\)"),
        (torch.full((1, 3, 2), 16), r"lie in \[0, 16\), got \[16, 16\]"),
        (torch.full((1, 3, 2), -1), r"got \[-1, -1\]"),
    ],
)
def test_wrong_codes_are_refused(tiny_codec, codes, message):
    with pytest.raises(ValueError, match=message):
        tiny_codec.decode(codes)


@pytest.mark.parametrize(
    ("mean", "std", "message"),
    [
        (torch.zeros(268), torch.ones(268), r"shape \(269,\)"),
        (torch.zeros(269), torch.zeros(269), "positive"),
        (torch.full((269,), float("nan")), torch.ones(269), "finite"),
    ],
)
def test_wrong_statistics_are_refused(tiny_codec, mean, std, message):
    with pytest.raises(ValueError, match=message):
        tiny_codec.set_feature_statistics(mean, std)


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ({"codebook_size": 0}, "`codebook_size` must be at least 1"),
        ({"search_width": 0}, "`search_width` must be at least 1"),
        ({"frames_per_token": 3}, "must be even"),
        ({"motion_feature_size": 264}, "must be 269"),
        ({"residual_dilations": []}, "positive numbers"),
        ({"quantizer_dropout": 1.5}, r"lie in \[0, 1\]"),
        ({"ema_decay": 1.0}, r"lie in \(0, 1\)"),
    ],
)
def test_sizes_that_build_no_codec_are_refused(field, message):
    with pytest.raises(Exception, match=message):  # `@strict` wraps the ValueError in its own class
        MotionCodecConfig(**field)
