"""Tiny models of the release's layout, and what the released code computed at tiny sizes."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from infinitedance.modeling.choreollama_release.configuration_choreollama_release import (
    ChoreoLlamaReleaseConfig,
    ReleaseCodecConfig,
)
from infinitedance.modeling.choreollama_release.modeling_choreollama_release import ChoreoLlamaReleaseModel
from infinitedance.modeling.choreollama_release.modeling_release_codec import ReleaseCodecModel

TINY_LLAMA = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 8,
    "intermediate_size": 24,
    "max_position_embeddings": 1024,
}


@pytest.fixture(scope="session")
def golden_dir(repository_root) -> Path:
    """The golden vectors beside the checkout; the tests that ask for them are skipped where they are absent."""
    path = repository_root.parent / "shared" / "parity" / "release"
    if not path.is_dir():
        pytest.skip(f"golden vectors: there is no {path}")
    return path


@pytest.fixture(scope="session")
def make_release_model():
    """Build a tiny untrained generator with random codebooks; fields of the configuration can be overridden."""

    def build(**fields) -> ChoreoLlamaReleaseModel:
        torch.manual_seed(0)
        sizes = {"music_dim": 5, "style_dim": 3, "dance_bridge_dim": 12, "num_bridge_heads": 2}
        codec = {"width": 8, "code_dim": 6, "num_codes": 32}
        nested = {"text_config": dict(TINY_LLAMA), "codec_config": codec}
        return ChoreoLlamaReleaseModel(ChoreoLlamaReleaseConfig(**{**nested, **sizes, **fields})).eval()

    return build


@pytest.fixture(scope="session")
def release_model(make_release_model) -> ChoreoLlamaReleaseModel:
    return make_release_model()


@pytest.fixture
def make_window(generator):
    """Draw the inputs of a batch of windows for a model."""

    def build(model, batch_size: int = 2, num_ids: int = 9) -> dict[str, torch.Tensor]:
        config = model.config
        codes = torch.randint(0, config.num_codes, (batch_size, num_ids // 3, 3), generator=generator)
        return {
            "music": torch.randn(batch_size, config.music_frames, config.music_dim, generator=generator),
            "style_ids": torch.arange(batch_size) % config.num_styles,
            "reference_condition": torch.randn(
                batch_size, config.condition_frames, config.condition_dim, generator=generator
            ),
            "dance_ids": model.codes_to_ids(codes),
        }

    return build


@pytest.fixture(scope="session")
def golden_codec(golden_dir):
    """Load a codec of the golden weights and what it computed: `golden_codec("", dilation_growth_rate=4)`."""

    def load(variant: str, **fields) -> tuple[ReleaseCodecModel, dict[str, torch.Tensor]]:
        folder = golden_dir / "rvqvae"
        stated = json.loads((folder / f"args{variant}.json").read_text())
        sizes = {"width": stated["width"], "code_dim": stated["code_dim"], "num_codes": stated["nb_code"]}
        unseen = {"dilation_growth_rate": stated["dilation_growth_rate"], "activation": stated["vq_act"]}
        codec = ReleaseCodecModel(ReleaseCodecConfig(**{**sizes, **unseen, **fields})).eval()
        golden = load_file(folder / f"io{variant}.safetensors")
        weights = load_file(folder / f"weights{variant}.safetensors")
        codec.load_state_dict({**weights, "feature_mean": golden["mean"], "feature_std": golden["std"]})
        return codec, golden

    return load


@pytest.fixture(scope="session")
def golden_generator(golden_dir):
    """Load a generator of the golden weights and what it computed; fields of the configuration can be overridden."""

    def load(text_fields=(), **fields) -> tuple[ChoreoLlamaReleaseModel, dict[str, torch.Tensor]]:
        folder = golden_dir / "choreollama"
        stated = json.loads((folder / "config.json").read_text())["llama_config"]
        text = {name: stated[name] for name in (*TINY_LLAMA, "rms_norm_eps", "vocab_size")}
        text["rope_parameters"] = {**stated["rope_scaling"], "rope_theta": stated["rope_theta"]}
        sizes = {"music_dim": 48, "style_dim": 8, "dance_bridge_dim": 80, "num_bridge_heads": 4}
        nested = {"text_config": {**text, **dict(text_fields)}, "codec_config": {"width": 8, "code_dim": 32}}
        model = ChoreoLlamaReleaseModel(ChoreoLlamaReleaseConfig(**{**nested, **sizes, **fields})).eval()
        golden = load_file(folder / "io.safetensors")
        loaded = model.load_state_dict(load_file(folder / "weights.safetensors"), strict=False)
        assert not loaded.unexpected_keys
        assert {key.split(".")[0] for key in loaded.missing_keys} == {"codec", "condition_mean", "condition_std"}
        for layer, codebook in zip(model.codec.quantizer.layers, golden["codebooks"], strict=True):
            layer.codebook.copy_(codebook)
        return model, golden

    return load
