import numpy as np
import pytest
import torch

from infinitedance.audio.features import MusicFeatureLayout
from infinitedance.modeling.choreollama.configuration_choreollama import ChoreoLlamaConfig
from infinitedance.modeling.choreollama.modeling_choreollama import (
    ChoreoLlamaForConditionalGeneration,
    ChoreoLlamaOutput,
)
from infinitedance.training.data_choreollama import ChoreoWindows
from infinitedance.training.evaluation_choreollama import describe_step, evaluate_choreollama, summarize_evaluation
from infinitedance.training.takes import DanceTake

NUM_FRAMES = 60


class ConstantReferences:
    """The same reference at every frame."""

    num_references = 1

    def __init__(self, value: float):
        self.value = value

    def cut(self, take_index, start_frame, num_frames, generator):
        return np.full((1, num_frames, 269), self.value, np.float32)


@pytest.fixture
def config():
    backbone = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    return ChoreoLlamaConfig(
        backbone_config={"model_type": "llama", "num_key_value_heads": 2, **backbone},
        expert_hidden_size=8,
        expert_num_heads=2,
        max_window_tokens=8,
        genres=["waltz"],
        codebook_size=8,
        codebook_dim=8,
    )


@pytest.fixture
def model(config):
    torch.manual_seed(0)
    model = ChoreoLlamaForConditionalGeneration(config).eval()
    model.set_codebooks(torch.randn(config.num_quantizers, 8, 8))
    return model


def make_take(song_id: str, speed: float) -> DanceTake:
    music = np.full((NUM_FRAMES, MusicFeatureLayout.size), speed, np.float32)
    codes = [np.arange(3 * 15).reshape(3, 15) % 8]
    return DanceTake(song_id, "waltz", music, codes, speed=np.full(NUM_FRAMES, speed, np.float32))


def open_gate(model, slow_logit: float) -> None:
    """Let the gate give the slow band the same weight everywhere."""
    gate = model.model.cadence_moe.gate
    gate.weight.data.zero_()
    gate.bias.data.copy_(torch.tensor([slow_logit, 0.0]))


def test_the_gate_is_averaged_over_scored_tokens(model, config):
    open_gate(model, np.log(3.0))
    takes = [make_take(name, speed) for name, speed in (("a", 0.1), ("b", 0.2))]
    results = evaluate_choreollama(model, ChoreoWindows(takes, config, ConstantReferences(0.5)))
    np.testing.assert_allclose(results["expert_weights"], [[0.75, 0.25]] * 2, atol=1e-6)
    assert "expert_weights" not in evaluate_choreollama(model, ChoreoWindows(takes, config))


def test_losses_with_other_references_are_those_of_windows_with_them(model, config):
    takes = [make_take("a", 0.1), make_take("b", 0.2)]
    own, other = ConstantReferences(0.5), ConstantReferences(3.0)
    windows = ChoreoWindows(takes, config, own)
    results = evaluate_choreollama(model, windows, {"none": None, "style": own, "random": other})
    for name, references in (("none", None), ("style", own), ("random", other)):
        expected = evaluate_choreollama(model, ChoreoWindows(takes, config, references))["right"]
        np.testing.assert_array_equal(results[f"references_{name}"], expected)
    assert not np.allclose(results["references_none"], results["references_random"], atol=1e-7)
    assert set(results) == {"right", "none", "wrong", "expert_weights"} | {
        f"references_{name}" for name in ("none", "style", "random")
    }


def test_slow_and_fast_dances_have_a_slow_share_each():
    takes = [make_take(str(speed), speed) for speed in (0.4, 0.1, 0.3, 0.6, 0.5, 0.2)]
    slow = np.array([0.5, 0.9, 0.6, 0.1, 0.3, 0.7])
    results = {"right": np.ones((6, 3)), "expert_weights": np.column_stack([slow, 1 - slow])}
    numbers = summarize_evaluation(results, takes)
    assert numbers["slow_share_of_slowest_third"] == pytest.approx(0.8)
    assert numbers["slow_share_of_fastest_third"] == pytest.approx(0.2)
    assert numbers["expert_weights_0"] == pytest.approx(slow.mean()) and numbers["right_2"] == 1.0
    takes[0].speed = None  # not measured
    assert "slow_share_of_slowest_third" not in summarize_evaluation(results, takes)
    del results["expert_weights"]
    assert set(summarize_evaluation(results, takes)) == {"right_0", "right_1", "right_2"}


def test_a_step_is_described_by_the_mean_gate_of_clips_with_references():
    weights = torch.zeros(3, 4, 2)  # (batch, tokens, bands); the last clip has no references
    weights[0], weights[1] = torch.tensor([0.8, 0.2]), torch.tensor([0.4, 0.6])
    numbers = describe_step(ChoreoLlamaOutput(loss=torch.tensor(1.0), expert_weights=weights))
    assert numbers == pytest.approx({"loss": 1.0, "expert_weights_0": 0.6, "expert_weights_1": 0.4})
    assert describe_step(ChoreoLlamaOutput(loss=torch.tensor(1.0))) == {"loss": 1.0}
