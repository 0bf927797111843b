"""A tiny ChoreoLLaMA of either placement, and inputs for it."""

import pytest
import torch

from infinitedance.modeling.choreollama.modeling_choreollama import ChoreoLlamaForConditionalGeneration


@pytest.fixture(params=["aligned", "prefix"])
def model(request, make_model) -> ChoreoLlamaForConditionalGeneration:
    return make_model(condition_placement=request.param)


@pytest.fixture(params=["aligned", "prefix"])
def placement(request) -> str:
    return request.param


@pytest.fixture(params=["delay", "depth"])
def patterned(request, make_model, placement) -> ChoreoLlamaForConditionalGeneration:
    """A tiny model of either placement that takes one step a token."""
    return make_model(condition_placement=placement, code_pattern=request.param, depth_hidden_size=24)


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
