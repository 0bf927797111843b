"""Every number that the released code computed at tiny sizes comes out of our models under the same weights."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F

from infinitedance.modeling.choreollama_release import decoding_release
from infinitedance.modeling.choreollama_release.configuration_choreollama_release import (
    ChoreoLlamaReleaseConfig,
    ReleaseCodecConfig,
    ReleaseRetrieverConfig,
)
from infinitedance.modeling.choreollama_release.decoding_release import RELEASE_SETTINGS, candidates_of_level
from infinitedance.modeling.choreollama_release.losses_release_codec import (
    RECONSTRUCTION_LOSSES,
    feature_loss,
    rotation_loss,
    velocity_loss,
)
from infinitedance.modeling.choreollama_release.modeling_choreollama_release import ChoreoLlamaReleaseModel
from infinitedance.modeling.choreollama_release.modeling_release_codec import ReleaseCodecModel
from infinitedance.modeling.choreollama_release.modeling_release_retriever import ReleaseRetriever

pytestmark = pytest.mark.shared_data

TOLERANCE = {"rtol": 0.0, "atol": 1e-5}
"""A tenth of what any mistake in epsilon, GELU or rotation costs."""
SAMPLERS = {
    "code_default": RELEASE_SETTINGS["B"],
    "infer_sh": RELEASE_SETTINGS["A"],
    "off": replace(
        RELEASE_SETTINGS["A"],
        repetition_penalty=1.0,
        max_repeats=999,
        max_repeats_other=999,
        ngram_size=0,
        temperature_boost=1.0,
    ),
}


@pytest.mark.parametrize("variant", ["", "_dil4_gelu"])
@torch.no_grad()
def test_the_codec_equals_the_released_code(variant, golden_codec):
    codec, golden = golden_codec(variant)
    latent = golden["latent"]
    features = golden["x"] * golden["std"] + golden["mean"]
    torch.testing.assert_close(codec.encoder(golden["x"].mT), golden["encoder_out"], **TOLERANCE)
    assert torch.equal(codec.encode(features), golden["indices"])
    vectors = codec.quantizer.lookup(golden["indices"]).mT
    torch.testing.assert_close(vectors, golden["all_codes"], **TOLERANCE)
    torch.testing.assert_close(vectors.sum(0), latent, **TOLERANCE)
    for name in ("decoder", "vel_decoder", "rot_decoder"):
        torch.testing.assert_close(getattr(codec, name)(latent).mT, golden[f"{name}_out"], **TOLERANCE)
    torch.testing.assert_close(codec.decode(golden["indices"]), golden["detokenised"], **TOLERANCE)
    output = codec(features)
    torch.testing.assert_close(output.reconstruction, golden["forward_motion"], **TOLERANCE)
    torch.testing.assert_close(output.velocity, golden["forward_vel"], **TOLERANCE)
    torch.testing.assert_close(output.rotations, golden["forward_rot"], **TOLERANCE)
    torch.testing.assert_close(output.commitment_loss, golden["forward_commit"], **TOLERANCE)
    torch.testing.assert_close(output.perplexity, golden["forward_perplexity"], rtol=0, atol=1e-4)


@torch.no_grad()
def test_dropped_levels_decode_as_in_the_released_code(golden_codec):
    codec, golden = golden_codec("")
    codes = golden["indices"].clone()
    codes[..., 2] = -1
    decoded = codec.decode(codes)
    expected = golden["decode_two_levels"] * golden["std"] + golden["mean"]
    others = [channel for channel in range(264) if channel not in (3, 4)]  # those are of the velocity decoder
    torch.testing.assert_close(decoded[..., others], expected[..., others], **TOLERANCE)
    assert (decoded[..., 3:5] - expected[..., 3:5]).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("variant", "wrong"),
    [("", {"dilation_growth_rate": 4}), ("", {"activation": "gelu"}), ("_dil4_gelu", {"activation": "silu"})],
)
@torch.no_grad()
def test_a_wrong_setting_of_the_codec_loads_and_changes_many_codes(variant, wrong, golden_codec):
    codec, golden = golden_codec(variant, **wrong)
    codes = codec.encode(golden["x"] * golden["std"] + golden["mean"])
    assert (codes != golden["indices"]).float().mean() > 0.05


@torch.no_grad()
def test_rising_dilations_would_be_seen(golden_codec):
    codec, golden = golden_codec("_dil4_gelu")
    for stack in [module for module in codec.encoder.modules() if type(module).__name__ == "ReleaseResidualStack"]:
        for block, dilation in zip(stack.model, (1, 4, 16), strict=True):
            block.conv1.dilation = block.conv1.padding = (dilation,)
    assert (codec.encoder(golden["x"].mT) - golden["encoder_out"]).abs().max() > 1e-2


@torch.no_grad()
def test_the_generator_equals_the_released_code(golden_generator):
    model, golden = golden_generator()
    inputs = golden["music_features"], golden["style_idx"], golden["dance_retrieval_cond"]
    bridge = model.run_music_bridge(*inputs)
    projected = model.cond_projection(golden["dance_retrieval_cond"].mT).mT
    torch.testing.assert_close(projected, golden["cond_projected"], **TOLERANCE)
    torch.testing.assert_close(model.style_embedding(golden["style_idx"]), golden["style_emb"], **TOLERANCE)
    for own, name in (
        (bridge.bands[0], "band_slow"),
        (bridge.bands[1], "band_fast"),
        (bridge.projected_inputs, "input_proj"),
        (bridge.universal, "universal_out"),
        (bridge.specialized[0], "expert_slow_out"),
        (bridge.specialized[1], "expert_fast_out"),
        (bridge.embeddings, "music_embeds"),
    ):
        torch.testing.assert_close(own, golden[name], **TOLERANCE, msg=lambda text, name=name: f"{name}: {text}")
    output = model(*inputs, golden["input_ids"][:, 320:], golden["labels"][:, 320:])
    for own, name in (
        (output.music_embeddings, "music_embeds"),
        (output.dance_embeddings, "dance_embeds"),
        (output.logits, "logits_dance"),
        (output.code_loss, "loss_ce"),
        (output.style_logits, "style_logits"),
        (output.style_loss, "style_loss"),
        (output.loss, "loss_total"),
    ):
        torch.testing.assert_close(own, golden[name], **TOLERANCE, msg=lambda text, name=name: f"{name}: {text}")


def raise_scale(model):
    for layer in model.codec.quantizer.layers:
        layer.codebook.mul_(layer.codebook.square().mean(-1, keepdim=True).rsqrt())


def lower_the_edge(model):
    """The bin of exactly 7.5 Hz goes to the lower band."""
    model.music_bridge.band_edges_hz = [7.51]


@pytest.mark.parametrize(
    ("fields", "change", "costs"),
    [
        ({"num_bridge_heads": 8}, None, 1e-2),
        ({"text_fields": {"rms_norm_eps": 1e-6}}, None, 1e-4),
        ({"text_fields": {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}}}, None, 1e-2),
        ({}, raise_scale, 1e-2),
        ({}, lower_the_edge, 1e-2),
    ],
)
@torch.no_grad()
def test_what_no_weight_states_would_be_seen(fields, change, costs, golden_generator):
    model, golden = golden_generator(**fields)
    if change is not None:
        change(model)
    inputs = golden["music_features"], golden["style_idx"], golden["dance_retrieval_cond"]
    logits = model(*inputs, golden["input_ids"][:, 320:]).logits
    assert (logits - golden["logits_dance"]).abs().max() > costs


@torch.no_grad()
def test_rounding_to_bfloat16_is_no_mistake_of_the_layout(golden_generator):
    model, golden = golden_generator()
    model.to(torch.bfloat16)
    inputs = golden["music_features"], golden["style_idx"], golden["dance_retrieval_cond"]
    logits = model(*inputs, golden["input_ids"][:, 320:]).logits.float()
    assert 1e-3 < (logits - golden["logits_dance"]).abs().max() < 0.3


@torch.no_grad()
def test_the_retriever_equals_the_released_code(golden_dir):
    retriever = ReleaseRetriever(ReleaseRetrieverConfig(hidden=32, layers=2, feed_forward=64)).eval()
    retriever.load_state_dict(load_file(golden_dir / "retrieval" / "weights.safetensors"))
    golden = load_file(golden_dir / "retrieval" / "io.safetensors")
    output = retriever(golden["audio"], golden["motion"])
    tower, partners = retriever.cond_encoder, torch.arange(3)
    for own, name in (
        (output.motion_embeddings, "motion_emb"),
        (output.music_embeddings, "cond_emb"),
        (output.loss, "loss"),
        (F.cross_entropy(output.logits, partners), "ce_from_motion"),
        (F.cross_entropy(output.logits.T, partners), "ce_from_cond"),
        (retriever.embed_music(golden["audio"][:, :100]), "cond_emb_100_frames"),
        (tower(golden["audio"], golden["mask300"]), "cond_raw_mask300"),
        # Of the projected frames alone, without positions or class token.
        (tower.blocks[0].sa_block(tower.proj_in(golden["audio"]), None), "block0_attention"),
    ):
        torch.testing.assert_close(own, golden[name], **TOLERANCE, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize("case", range(12))
def test_the_sampler_equals_the_released_code(case, golden_dir):
    parameters = json.loads((golden_dir / "choreollama" / "sampler.json").read_text())[case]
    golden = load_file(golden_dir / "choreollama" / "sampler.safetensors")
    first, last = parameters.pop("valid_range")
    history = (golden[f"case{case}_history"] - first).tolist()
    names = ("temperature", "top_k", "top_p", "repetition_penalty", "max_repeats", "ngram_size")
    codes, probabilities = candidates_of_level(
        golden[f"case{case}_logits"][first : last + 1], history, **{name: parameters[name] for name in names}
    )
    expected = golden[f"case{case}_probs"]
    torch.testing.assert_close(torch.zeros(5888).index_put((codes + first,), probabilities), expected, **TOLERANCE)
    assert (probabilities > 0).sum() == parameters["support"]


@pytest.fixture(scope="module")
def write_window(golden_generator):
    """Write a window of a golden sample: `write_window(sampler, sample, style_id, prefix_ids, num_ids, seed)`."""
    model, golden = golden_generator()

    @torch.no_grad()
    def write(sampler, sample, style_id, prefix_ids, num_ids, seed=0) -> torch.Tensor:
        music = golden["music_features"][sample]
        writer = decoding_release._WindowWriter(model, music, style_id, sampler, seed)
        prefix = writer.places_of(prefix_ids)
        writer.begin(0, golden["dance_retrieval_cond"][sample], prefix, [])
        return writer.ids_of(prefix + writer.write(num_ids - len(prefix)))

    return write


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("num_given", [0, 36])
def test_greedy_ids_equal_those_of_the_released_code(name, num_given, write_window, golden_generator, golden_dir):
    prefix = golden_generator()[1]["input_ids"][0, 320 : 320 + num_given]
    greedy = replace(SAMPLERS[name], temperature=1.0, top_k=1, top_p=1.0)
    golden = load_file(golden_dir / "choreollama" / "generation.safetensors")
    expected = golden[f"greedy_{name}_{f'prefix{num_given}' if num_given else 'noprefix'}"]
    assert torch.equal(write_window(greedy, 0, 1, prefix, 288), expected)


@pytest.mark.parametrize("name", SAMPLERS)
def test_sampled_ids_equal_those_of_the_released_code(name, write_window, golden_generator, golden_dir):
    prefix = golden_generator()[1]["input_ids"][0, 320:356]  # the kit took it from sample 0, the rest from sample 1
    golden = load_file(golden_dir / "choreollama" / "generation.safetensors")
    written = write_window(SAMPLERS[name], 1, 4, prefix, 96, seed=123)
    assert torch.equal(written, golden[f"sampled_seed123_{name}"])


class _Recorder(decoding_release._WindowWriter):
    """A writer that notes what it is given; its id k of window w is 10000 (w + 1) + k."""

    def places_of(self, dance_ids):
        return dance_ids.tolist()

    def ids_of(self, places):
        return torch.tensor(places)

    def begin(self, music_start, condition, prefix, history):
        self.begun = [*getattr(self, "begun", []), (music_start, list(prefix))]
        self.prefix_size, RECORDED[:] = len(prefix), self.begun

    def write(self, num_ids, on_progress=None):
        first = 10000 * len(self.begun) + self.prefix_size
        return list(range(first, first + num_ids))


RECORDED: list[tuple[int, list[int]]] = []


@pytest.mark.parametrize("frames", [320, 400, 500, 533, 534, 750, 960, 1500, 4500])
def test_compat_windows_are_those_of_the_released_code(frames, release_model, golden_dir, monkeypatch):
    plan = json.loads((golden_dir / "tokens" / "window_plan.json").read_text())[str(frames)]
    monkeypatch.setattr(decoding_release, "_WindowWriter", _Recorder)
    entries: list[int] = []
    music = torch.zeros(frames, release_model.config.music_dim)
    ids = decoding_release.generate_compat(
        release_model, music, 0, lambda entry: entries.append(entry), torch.arange(1000, 1120)
    )
    assert len(ids) == plan["output_tokens"]
    assert ids[:60].tolist() == list(range(1000, 1060))
    windows = plan["windows"]
    assert entries == [window["retrieval_idx"] for window in windows]
    assert [start for start, _ in RECORDED] == [window["music_first"] for window in windows]
    assert all(window["music_last"] == window["music_first"] + 319 for window in windows)
    prefixes = [(len(prefix), prefix[0], prefix[-1]) for _, prefix in RECORDED]
    names = ("prefix_len", "prefix_first", "prefix_last")
    assert prefixes == [tuple(window[name] for name in names) for window in windows]
    if plan["seam_example"] is not None:
        assert ids[280:300].tolist() == plan["seam_example"]


@pytest.mark.parametrize(
    ("name", "model_class", "config_class", "own"),
    [
        ("rvqvae", ReleaseCodecModel, ReleaseCodecConfig, {"feature_mean", "feature_std"}),
        ("retrieval", ReleaseRetriever, ReleaseRetrieverConfig, set()),
        ("choreollama", ChoreoLlamaReleaseModel, ChoreoLlamaReleaseConfig, {"condition_mean", "condition_std"}),
    ],
)
def test_names_and_shapes_are_those_of_the_released_files(name, model_class, config_class, own, golden_dir):
    listed = json.loads((golden_dir / f"ref_keys_{name}.json").read_text())
    with torch.device("meta"):
        state = model_class(config_class()).state_dict()
    shapes = {key: list(weight.shape) for key, weight in state.items()}
    if name == "choreollama":  # the codec of the generator comes from the codec's file
        assert "codec.encoder.model.0.weight" in shapes
        shapes = {key: shape for key, shape in shapes.items() if not key.startswith("codec.")}
    assert {key: shape for key, shape in shapes.items() if key not in own} == {
        key: shape for key, (shape, _) in listed["keys"].items()
    }
    assert own <= set(shapes)


@pytest.mark.parametrize("kind", ["l2", "l1", "l1_smooth"])
def test_what_the_codec_is_trained_with_equals_the_released_code(kind, golden_dir):
    golden = load_file(golden_dir / "rvqvae" / "losses.safetensors")
    wanted, true = golden["pred"], golden["gt"]
    total, motion, steps, step_changes, _, _, foot = golden[f"base_{kind}"]  # the mask of `foot` is wrong
    torch.testing.assert_close(
        feature_loss(wanted, true, kind), total - 0.02 * foot, **TOLERANCE
    )  # whose mask is wrong
    torch.testing.assert_close(RECONSTRUCTION_LOSSES[kind](wanted, true), motion, **TOLERANCE)
    root = velocity_loss(wanted[..., 3:5], true[..., 3:5], kind)
    torch.testing.assert_close(root, steps + step_changes, **TOLERANCE)
    torch.testing.assert_close(golden[f"vel_{kind}"][0] - total, root, **TOLERANCE)
    rotations = rotation_loss(torch.cat([wanted[..., 1:3], wanted[..., 68:194]], dim=-1), true)
    torch.testing.assert_close(rotations, golden[f"rot_{kind}"][0], **TOLERANCE)
