"""A tiny ChoreoLLaMA and inputs for it; a dance and a tiny denoiser of its legs."""

import pytest
import torch
from transformers import AutoConfig, AutoModel

from infinitedance.dataset_builder.procedural_dance import synthesise_dance
from infinitedance.modeling.configuration_choreollama import ChoreoLlamaConfig
from infinitedance.modeling.configuration_frdm import FrdmConfig
from infinitedance.modeling.modeling_choreollama import ChoreoLlamaForConditionalGeneration
from infinitedance.modeling.modeling_frdm import FrdmModel
from infinitedance.motion.features import motion_to_features
from infinitedance.motion.motion import Motion
from infinitedance.motion.normalisation import fit_feature_statistics
from infinitedance.tokenization.configuration_motion_codec import MotionCodecConfig
from infinitedance.tokenization.modeling_motion_codec import MotionCodecModel

AutoConfig.register("motion_codec", MotionCodecConfig, exist_ok=True)
AutoModel.register(MotionCodecConfig, MotionCodecModel, exist_ok=True)

TINY_FIELDS = {
    "backbone_config": {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "intermediate_size": 48,
    },
    "music_feature_size": 6,
    "motion_feature_size": 5,
    "genres": ["waltz", "rumba"],
    "genre_embedding_size": 4,
    "codebook_size": 8,
    "codebook_dim": 4,
    "expert_hidden_size": 16,
    "expert_num_heads": 2,
    "expert_attention_tokens": 4,
    "mamba_state_size": 4,
    "max_window_tokens": 8,
    "max_references": 3,
    # Weights of this size make a random model react visibly to everything it reads.
    "initializer_range": 0.3,
}


@pytest.fixture
def tiny_fields() -> dict:
    return dict(TINY_FIELDS)


@pytest.fixture
def make_model():
    """Build a tiny model with random codebooks; fields of the configuration can be overridden."""

    def build(**overrides) -> ChoreoLlamaForConditionalGeneration:
        torch.manual_seed(0)
        config = ChoreoLlamaConfig(**{**TINY_FIELDS, **overrides})
        model = ChoreoLlamaForConditionalGeneration(config).eval()
        model.set_codebooks(torch.randn(config.num_quantizers, config.codebook_size, config.codebook_dim))
        return model

    return build


@pytest.fixture(params=["aligned", "prefix"])
def model(request, make_model) -> ChoreoLlamaForConditionalGeneration:
    return make_model(condition_placement=request.param)


@pytest.fixture
def make_inputs(generator):
    """Draw the inputs of a batch of `num_tokens` tokens."""

    def build(batch_size: int = 2, num_tokens: int = 8, num_references: int | None = 2, codes: bool = True) -> dict:
        frames = 4 * num_tokens
        inputs = {
            "input_features": torch.randn(batch_size, frames, 6, generator=generator),
            "genre_ids": torch.arange(batch_size) % 2,
        }
        if num_references is not None:
            inputs["reference_features"] = torch.randn(batch_size, num_references, frames, 5, generator=generator)
        if codes:
            inputs["motion_codes"] = torch.randint(0, 8, (batch_size, 3, num_tokens), generator=generator)
        return inputs

    return build


@pytest.fixture(scope="session")
def dance() -> Motion:
    """Return a rumba of 4 seconds with true contacts, on our body at 30 Hz."""
    return synthesise_dance("rumba", 96, 4.0, seed=0)


@pytest.fixture(scope="session")
def make_frdm(dance):
    """Build a tiny denoiser with the dance's statistics; fields of the configuration can be overridden."""
    statistics = fit_feature_statistics([motion_to_features(dance)])

    def build(**overrides) -> FrdmModel:
        torch.manual_seed(0)
        sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
        model = FrdmModel(FrdmConfig(**{**sizes, **overrides})).eval()
        model.set_feature_statistics(*statistics)
        return model

    return build
