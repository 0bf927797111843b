"""The released generator, codec and retriever at tiny sizes."""

import copy

import pytest
import torch
from huggingface_hub.errors import StrictDataclassClassValidationError
from safetensors.torch import load_file, save_file
from transformers import AutoModel

from infinitedance.modeling.choreollama_release.configuration_choreollama_release import (
    ChoreoLlamaReleaseConfig,
    ReleaseCodecConfig,
    ReleaseRetrieverConfig,
)
from infinitedance.modeling.choreollama_release.decoding_release import generate_whole
from infinitedance.modeling.choreollama_release.modeling_choreollama_release import ChoreoLlamaReleaseModel
from infinitedance.modeling.choreollama_release.modeling_release_codec import ReleaseCodecModel
from infinitedance.modeling.choreollama_release.modeling_release_retriever import ReleaseRetriever
from infinitedance.utils.checkpoints import load_model, write_checksums
from infinitedance.utils.quantization import Int8Linear


@pytest.fixture(scope="module")
def codec() -> ReleaseCodecModel:
    torch.manual_seed(0)
    codec = ReleaseCodecModel(ReleaseCodecConfig(width=12, code_dim=6, num_codes=16)).eval()
    codec.set_feature_statistics(torch.randn(264), torch.rand(264) + 0.5)
    return codec


@pytest.fixture(scope="module")
def retriever() -> ReleaseRetriever:
    torch.manual_seed(0)
    return ReleaseRetriever(ReleaseRetrieverConfig(hidden=16, layers=2, feed_forward=24)).eval()


def test_the_defaults_are_the_released_sizes():
    config = ChoreoLlamaReleaseConfig()
    assert (config.vocab_size, config.text_config.vocab_size, config.window_tokens) == (5888, 5888, 288)
    assert (config.num_styles, config.num_bridge_heads, config.hidden_size) == (6, 8, 2048)
    assert config.text_config.rope_parameters["rope_theta"] == 500000.0
    assert (config.codec_config.frames_per_token, config.codec_config.dilations) == (4, [9, 3, 1])
    assert ReleaseCodecConfig(dilation_growth_rate=4).dilations == [16, 4, 1]


def test_the_vocabulary_is_that_of_the_weights_whatever_the_llama_states():
    assert ChoreoLlamaReleaseConfig(text_config={"vocab_size": 128256}).text_config.vocab_size == 5888
    rebuilt = ChoreoLlamaReleaseConfig.from_dict(ChoreoLlamaReleaseConfig(codec_config={"num_codes": 100}).to_dict())
    assert (rebuilt.vocab_size, rebuilt.codec_config.num_codes) == (4096 + 300 + 256, 100)


@pytest.mark.parametrize(
    ("config_class", "fields", "message"),
    [
        (ReleaseCodecConfig, {"stride": 3}, "`stride` must be even"),
        (ReleaseCodecConfig, {"depth": 0}, "`depth` must be at least 1"),
        (ReleaseCodecConfig, {"activation": "tanh"}, "`activation` must be"),
        (ReleaseCodecConfig, {"velocity_slice": [5, 3]}, "`velocity_slice` must be two rising channels"),
        (ReleaseRetrieverConfig, {"heads": 3}, "`hidden` must be a multiple of `heads`"),
        (ReleaseRetrieverConfig, {"layers": 0}, "`layers` must be at least 1"),
        (ReleaseRetrieverConfig, {"dropout": 1.0}, "`dropout` must lie in"),
        (ChoreoLlamaReleaseConfig, {"num_bridge_heads": 7}, "multiple of `num_bridge_heads`"),
        (ChoreoLlamaReleaseConfig, {"band_edges_hz": [7.5, 15.0]}, "`band_edges_hz` must rise"),
        (ChoreoLlamaReleaseConfig, {"styles": ["Ballet", "Ballet"]}, "`styles` must be distinct"),
        (ChoreoLlamaReleaseConfig, {"condition_frames": 50}, "`condition_frames` must be whole tokens"),
        (ChoreoLlamaReleaseConfig, {"text_config": ReleaseCodecConfig()}, "`text_config` must be a `LlamaConfig`"),
    ],
)
def test_sizes_that_build_no_network_are_refused(config_class, fields, message):
    with pytest.raises(Exception, match=message):
        config_class(**fields)


@torch.no_grad()
def test_a_batch_gives_what_each_window_gives_alone(release_model, make_window):
    window = make_window(release_model, batch_size=3)
    together = release_model(**window).logits
    for row in range(3):
        alone = release_model(**{name: values[row : row + 1] for name, values in window.items()}).logits
        torch.testing.assert_close(together[row : row + 1], alone)


def test_losses_are_those_of_the_dance_and_of_the_style(make_release_model, make_window):
    model = make_release_model()
    torch.nn.init.ones_(model.dance_bridge.fc2.bias)  # the dance counts for the style, too
    window = make_window(model)
    labels = window["dance_ids"].clone()
    labels[:, :3] = -100
    output = model(**window, labels=labels)
    shares = output.logits[:, 3:-1].log_softmax(-1)
    expected = -shares.gather(-1, labels[:, 3:, None]).mean()
    torch.testing.assert_close(output.code_loss, expected)
    torch.testing.assert_close(output.loss, output.code_loss + 0.15 * output.style_loss)
    mean = torch.cat([output.music_embeddings, output.dance_embeddings], dim=1).mean(1)
    torch.testing.assert_close(output.style_logits, model.style_classifier(mean))


def test_training_changes_all_but_the_codec(make_release_model, make_window):
    model = make_release_model().train()
    window = make_window(model)
    model(**window, labels=window["dance_ids"]).loss.backward()
    without = {name for name, weight in model.named_parameters() if weight.grad is None}
    assert without == {name for name, _ in model.named_parameters() if name.startswith("codec.")}
    assert not any(weight.requires_grad for weight in model.codec.parameters())
    assert not model.codec.training


def test_an_id_is_read_as_the_vector_of_its_own_level(make_release_model):
    model = make_release_model()
    ids = torch.tensor([[4096 + 5, 4096 + 32 + 5, 4096 + 64 + 5]])
    expected = model.dance_bridge(model.codec.codebooks[:, 5])
    torch.testing.assert_close(model.embed_dance(ids)[0], expected)
    first = model.embed_dance(ids)
    model.codec.quantizer.layers[1].codebook.mul_(2.0)  # vectors are read as they are, not scaled to one size
    changed = (model.embed_dance(ids) - first).abs().amax(dim=(0, 2)) > 1e-4
    assert changed.tolist() == [False, True, False]


def test_ids_and_codes_are_two_names_of_one_thing(release_model, generator):
    codes = torch.randint(0, 32, (2, 5, 3), generator=generator)
    ids = release_model.codes_to_ids(codes)
    assert torch.equal(release_model.ids_to_codes(ids), codes)
    assert ids[0, :3].tolist() == [4096 + codes[0, 0, 0], 4128 + codes[0, 0, 1], 4160 + codes[0, 0, 2]]


@pytest.mark.parametrize("ids", [[[4095, 4128, 4160]], [[4096, 4096, 4160]], [[4096, 4128, 4192]], [[4128, 4096]]])
def test_ids_of_another_level_are_refused(ids, release_model):
    for convert in (release_model.ids_to_codes, release_model.embed_dance):
        with pytest.raises(ValueError, match="ids of the levels in turn"):
            convert(torch.tensor(ids))
    with pytest.raises(ValueError, match="whole tokens of 3 ids"):
        release_model.ids_to_codes(torch.tensor([[4096, 4128]]))


@pytest.mark.parametrize(("name", "shape"), [("music", (1, 300, 5)), ("reference_condition", (1, 380, 264))])
def test_a_window_of_another_length_is_refused(name, shape, release_model, make_window):
    window = make_window(release_model, batch_size=1) | {name: torch.zeros(shape)}
    with pytest.raises(ValueError, match=f"`{name}` must have shape"):
        release_model(**window)


@torch.no_grad()
@pytest.mark.parametrize(("bin", "band"), [(79, 0), (80, 1), (81, 1)])
def test_seven_and_a_half_hertz_belong_to_the_upper_band(bin, band, release_model):
    """320 positions at 30 Hz: bin 80 is 7.5 Hz exactly."""
    angles = 2 * torch.pi * bin / 320 * torch.arange(320)
    tone = angles.cos()[None, :, None].expand(1, -1, 264)
    bands = release_model.music_bridge(torch.zeros(1, 320, 5), torch.zeros(1, 3), tone).bands
    torch.testing.assert_close(bands[band], tone, atol=1e-4, rtol=0)
    assert bands[1 - band].abs().max() < 1e-4


@torch.no_grad()
def test_experts_of_the_bands_do_not_hear_the_music(release_model, make_window):
    window = make_window(release_model, batch_size=1)
    inputs = window["style_ids"], window["reference_condition"]
    one = release_model.run_music_bridge(window["music"], *inputs)
    two = release_model.run_music_bridge(-window["music"], *inputs)
    assert torch.equal(one.specialized, two.specialized)
    assert not torch.allclose(one.universal, two.universal)


@torch.no_grad()
def test_the_odd_frame_of_a_window_is_kept(make_release_model):
    model = make_release_model(music_frames=45, condition_frames=48)
    music, condition = torch.zeros(1, 45, 5), torch.randn(1, 48, 264)
    bridge = model.run_music_bridge(music, torch.zeros(1, dtype=torch.long), condition)
    torch.testing.assert_close(bridge.bands.sum(0), model.cond_projection(condition.mT).mT, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_saved_generator_is_loaded_as_it_was(dtype, make_release_model, make_window, tmp_path):
    model = make_release_model()
    model.set_feature_statistics(torch.randn(264), torch.rand(264) + 0.5)
    model.codec.set_feature_statistics(torch.randn(264), torch.rand(264) + 0.5)
    state = {name: weight.clone() for name, weight in model.state_dict().items()}
    model.to(dtype)
    model.codec.float().load_state_dict(
        {name.removeprefix("codec."): weight for name, weight in state.items() if name.startswith("codec.")}
    )
    for name in ("condition_mean", "condition_std"):
        setattr(model, name, state[name])
    model.save_pretrained(tmp_path)
    assert "llama.lm_head.weight" not in load_file(tmp_path / "model.safetensors")
    loaded = AutoModel.from_pretrained(tmp_path)
    assert type(loaded) is ChoreoLlamaReleaseModel
    assert loaded.dtype == dtype
    assert loaded.llama.lm_head.weight is loaded.llama.model.embed_tokens.weight
    for name, weight in loaded.state_dict().items():
        is_kept = name.startswith(("codec.", "condition_"))  # in float32, whatever the rest is in
        assert weight.dtype == (torch.float32 if is_kept else dtype), name
        assert torch.equal(weight, state[name].to(weight.dtype)), name
    window = make_window(model)
    assert torch.equal(loaded(**window).logits, model(**window).logits)


def test_a_codec_without_its_velocity_decoder_is_refused(codec, tmp_path):
    codec.save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    kept = {name: weight for name, weight in weights.items() if not name.startswith("vel_decoder.")}
    save_file(kept, tmp_path / "model.safetensors", {"format": "pt"})
    write_checksums(tmp_path)
    with pytest.raises(ValueError, match="lacks 34 weights, vel_decoder"):
        AutoModel.from_pretrained(tmp_path)


@torch.no_grad()
def test_codes_are_normalized_by_the_statistics_of_the_codec(codec, generator):
    features = torch.randn(2, 18, 264, generator=generator)
    codes = codec.encode(features)
    assert codes.shape == (2, 4, 3)  # the last two frames are no whole token
    plain = ReleaseCodecModel(codec.config).eval()
    plain.load_state_dict(codec.state_dict() | {"feature_mean": torch.zeros(264), "feature_std": torch.ones(264)})
    assert torch.equal(plain.encode((features - codec.feature_mean) / codec.feature_std), codes)
    torch.testing.assert_close(plain.decode(codes) * codec.feature_std + codec.feature_mean, codec.decode(codes))


@torch.no_grad()
def test_a_generator_normalizes_conditions_by_statistics_of_their_own(make_release_model):
    model = make_release_model()
    model.set_feature_statistics(torch.full((264,), 2.0), torch.full((264,), 4.0))
    model.codec.set_feature_statistics(torch.full((264,), 100.0), torch.ones(264))
    assert (model.condition_mean == 2.0).all() and (model.condition_std == 4.0).all()
    torch.testing.assert_close(model.normalize(torch.full((3, 264), 6.0)), torch.ones(3, 264))
    codes = torch.zeros(1, 2, 3, dtype=torch.long)
    assert model.codec.decode(codes).mean() > 90


@torch.no_grad()
def test_the_velocity_decoder_alone_writes_the_velocity_of_the_root(codec):
    codes = torch.randint(0, 16, (1, 5, 3), generator=torch.Generator().manual_seed(0))
    decoded = codec.decode(codes)
    changed = ReleaseCodecModel(codec.config).eval()
    for name, expected in (("vel_decoder", {3, 4}), ("rot_decoder", set()), ("decoder", set(range(264)) - {3, 4})):
        changed.load_state_dict(codec.state_dict())
        getattr(changed, name).model[-1].bias.add_(1.0)
        difference = (changed.decode(codes) - decoded).abs().amax(dim=(0, 1))
        assert set(difference.nonzero().flatten().tolist()) == expected, name


@torch.no_grad()
def test_each_level_takes_what_the_levels_before_it_left(codec):
    quantizer = ReleaseCodecModel(codec.config).quantizer
    for layer, size in zip(quantizer.layers, (1.0, 0.1, 0.01), strict=True):
        layer.codebook.zero_()[:6] = size * torch.eye(6)
    latent = torch.zeros(1, 1, 6)
    latent[..., 2], latent[..., 4], latent[..., 1] = 1.0, 0.1, 0.01
    codes = quantizer.search_codes(latent)
    assert codes.flatten().tolist() == [2, 4, 1]
    torch.testing.assert_close(quantizer.lookup(codes).sum(0), latent)
    codes[..., 1] = -1
    latent[..., 4] = 0
    torch.testing.assert_close(quantizer.lookup(codes).sum(0), latent)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda codec: codec.encode(torch.zeros(1, 8, 263)), "`features` must have shape"),
        (lambda codec: codec.encode(torch.zeros(1, 3, 264)), "`features` must have shape"),
        (lambda codec: codec.decode(torch.zeros(1, 3, 2, dtype=torch.long)), "`codes` must have shape"),
        (lambda codec: codec.decode(torch.full((1, 3, 3), 16)), r"`codes` must lie in \[-1, 16\)"),
        (lambda codec: codec.decode(torch.full((1, 3, 3), -2)), r"`codes` must lie in \[-1, 16\)"),
    ],
)
def test_bad_input_of_the_codec_is_refused(call, message, codec):
    with pytest.raises(ValueError, match=message):
        call(codec)


@torch.no_grad()
@pytest.mark.parametrize(("name", "size"), [("embed_music", 55), ("embed_motion", 264)])
def test_frames_that_are_not_real_change_no_embedding(name, size, retriever, generator):
    window = torch.randn(2, 30, size, generator=generator)
    padded = torch.cat([window, torch.full((2, 10, size), 9.0)], dim=1)
    mask = torch.arange(40)[None].expand(2, -1) < 30
    alone = getattr(retriever, name)(window)
    torch.testing.assert_close(getattr(retriever, name)(padded, mask), alone)
    torch.testing.assert_close(alone.norm(dim=-1), torch.ones(2))
    assert not torch.allclose(getattr(retriever, name)(padded), alone)


@torch.no_grad()
def test_partners_are_found_where_the_embeddings_agree(retriever, generator):
    music, motion = torch.randn(3, 20, 55, generator=generator), torch.randn(3, 20, 264, generator=generator)
    output = retriever(music, motion)
    cosine = output.motion_embeddings @ output.music_embeddings.T
    torch.testing.assert_close(output.logits, cosine / 0.07)
    both = torch.stack([output.logits, output.logits.T]).log_softmax(-1)
    torch.testing.assert_close(output.loss, -both.diagonal(dim1=1, dim2=2).mean())


def test_a_retriever_trains_and_is_saved(retriever, generator, tmp_path):
    music, motion = torch.randn(3, 20, 55, generator=generator), torch.randn(3, 20, 264, generator=generator)
    retriever(music, motion).loss.backward()
    assert all(weight.grad is not None for weight in retriever.parameters())
    retriever.save_pretrained(tmp_path)
    loaded = AutoModel.from_pretrained(tmp_path)
    assert type(loaded) is ReleaseRetriever
    assert torch.equal(loaded.embed_music(music), retriever.embed_music(music))


def test_a_window_longer_than_its_positions_is_refused(retriever):
    with pytest.raises(ValueError, match="1 to 384 frames, 55"):
        retriever.embed_music(torch.zeros(1, 385, 55))
    with pytest.raises(ValueError, match="A mask must have shape"):
        retriever.embed_motion(torch.zeros(1, 9, 264), torch.ones(1, 8))


def test_a_model_of_8_bits_scores_nearly_the_same_and_keeps_its_tied_head(release_model, make_window, tmp_path):
    release_model.save_pretrained(tmp_path)
    read = load_model(tmp_path, ChoreoLlamaReleaseModel, quantization="int8")
    assert isinstance(read.llama.model.layers[0].mlp.up_proj, Int8Linear)
    assert read.llama.lm_head.weight is read.llama.model.embed_tokens.weight
    assert not any(parameter.is_meta for parameter in read.parameters())
    window = make_window(release_model)
    with torch.no_grad():
        plain, quantized = release_model(**window).logits, read(**window).logits
    assert 0 < (quantized - plain).norm() / plain.norm() < 0.05
    music = torch.randn(30, read.config.music_dim, generator=torch.Generator().manual_seed(0))
    ids = generate_whole(read, music, 1)
    assert len(ids) == 27


def test_the_loss_of_the_codec_reaches_encoder_and_decoders(codec, generator):
    codec = copy.deepcopy(codec)
    features = torch.randn(2, 18, 264, generator=generator)  # of which 16 frames are decoded
    output = codec(features)
    output.loss.backward()
    still = {name for name, weight in codec.named_parameters() if weight.grad is None or not weight.grad.any()}
    assert still == set()
    with torch.no_grad():
        codec.zero_grad()
        true = codec.normalize(features)[:, :16]
        parts = (true, true[..., 3:5], torch.cat([true[..., 1:3], true[..., 68:194]], dim=-1))
        for decoder, part in zip((codec.decoder, codec.vel_decoder, codec.rot_decoder), parts, strict=True):
            decoder.forward = lambda _, part=part: part.mT
        exact = codec(features)
    torch.testing.assert_close(exact.loss, 0.05 * exact.commitment_loss)
    with pytest.raises(StrictDataclassClassValidationError, match='`reconstruction_loss` must be "l2", "l1"'):
        ReleaseCodecConfig(reconstruction_loss="huber")
