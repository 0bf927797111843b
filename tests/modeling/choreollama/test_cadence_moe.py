import math

import pytest
import torch

from infinitedance.modeling.choreollama.cadence_moe import CadenceExpert, combine_references, rank_weights, split_bands
from infinitedance.modeling.choreollama.configuration_choreollama import ChoreoLlamaConfig


def tone(frequency: float, num_frames: int = 120, frame_rate: float = 30.0) -> torch.Tensor:
    return torch.sin(2 * math.pi * frequency * torch.arange(num_frames) / frame_rate)[None, :, None]


def all_real(features: torch.Tensor) -> torch.Tensor:
    return torch.ones(features.shape[:2], dtype=torch.bool)


@pytest.mark.parametrize("frequency, band", [(0.0, 0), (0.5, 0), (2.0, 1), (4.0, 1), (9.0, 2)])
def test_a_tone_falls_into_the_band_of_its_frequency(frequency, band):
    motion = tone(frequency) + (1.0 if frequency == 0 else 0.0)
    bands = split_bands(motion, all_real(motion), [1.0, 6.0], frame_rate=30.0)
    torch.testing.assert_close(bands[band], motion, atol=1e-5, rtol=0)
    others = [index for index in range(3) if index != band]
    assert bands[others].abs().max() < 1e-5


def test_the_band_of_a_tone_follows_the_frame_rate():
    motion = tone(0.5, frame_rate=30.0)  # 0.5 Hz read at 30 Hz is 2 Hz read at 120 Hz
    slow, fast = split_bands(motion, all_real(motion), [1.0], frame_rate=120.0)
    assert slow.abs().max() < 1e-5 and fast.abs().max() > 0.9


@pytest.mark.parametrize("num_frames", [1, 2, 31, 64])
def test_the_bands_add_up_to_the_motion(generator, num_frames):
    motion = torch.randn(2, num_frames, 3, generator=generator)
    bands = split_bands(motion, all_real(motion), [1.0, 5.0], frame_rate=30.0)
    torch.testing.assert_close(bands.sum(dim=0), motion)


def test_padding_does_not_change_the_bands_of_a_clip(generator):
    clips = torch.randn(3, 40, 2, generator=generator)
    frame_mask = torch.arange(40)[None] < torch.tensor([[40], [25], [25]])
    frame_mask[2] = frame_mask[2].roll(10)  # padding on both sides
    padded = clips.masked_fill(~frame_mask.unsqueeze(-1), 99.0)
    bands = split_bands(padded, frame_mask, [1.0], frame_rate=30.0)
    for row in range(3):
        real = padded[row][frame_mask[row]][None]
        alone = split_bands(real, all_real(real), [1.0], frame_rate=30.0)
        torch.testing.assert_close(bands[:, row, frame_mask[row]], alone[:, 0])
    assert bands[:, ~frame_mask].abs().max() == 0


def test_ten_references_have_the_weights_of_the_paper():
    torch.testing.assert_close(rank_weights(10), torch.arange(10, 0, -1) / 55)


def test_absent_references_leave_their_weight_to_the_others(generator):
    references = torch.randn(1, 3, 4, 2, generator=generator)
    spoiled = references.clone()
    spoiled[:, 1] = float("nan")
    combined = combine_references(spoiled, torch.tensor([[True, False, True]]))
    torch.testing.assert_close(combined, references[:, 0] * 3 / 4 + references[:, 2] * 1 / 4)


def test_no_reference_gives_zeros(generator):
    references = torch.randn(1, 2, 4, 2, generator=generator)
    assert combine_references(references, torch.zeros(1, 2, dtype=torch.bool)).abs().max() == 0


def test_an_expert_hears_its_reach_and_no_more_of_the_future(tiny_fields, generator):
    config = ChoreoLlamaConfig(**tiny_fields)  # 4 tokens back by attention, all of the past by Mamba, 3 tokens ahead
    torch.manual_seed(0)
    expert = CadenceExpert(config, input_size=5)
    expert.mamba.init_weights()
    inputs = torch.randn(1, 20, 5, generator=generator, requires_grad=True)
    expert(inputs, torch.ones(1, 20, dtype=torch.bool))[0, 10, 0].backward()  # a normalized vector sums to 0
    reached = inputs.grad[0].abs().sum(dim=-1) > 0
    assert reached[:14].all() and not reached[14:].any()


def test_an_expert_with_only_padding_stays_finite(tiny_fields, generator):
    expert = CadenceExpert(ChoreoLlamaConfig(**tiny_fields), input_size=5)
    expert.mamba.init_weights()
    encoded = expert(torch.randn(1, 6, 5, generator=generator), torch.zeros(1, 6, dtype=torch.bool))
    assert torch.isfinite(encoded).all()


class TestGate:
    def test_the_weights_sum_to_one_where_there_are_references(self, make_model, make_inputs):
        model = make_model(cutoff_hz=[1.0, 4.0])
        mask = torch.tensor([[True, True], [False, False]])
        encoded = model.encode_condition(**make_inputs(codes=False), reference_mask=mask)
        torch.testing.assert_close(encoded.expert_weights[0].sum(dim=-1), torch.ones(8))
        assert encoded.expert_weights[1].abs().max() == 0

    def test_an_even_gate_costs_nothing_and_a_gate_of_one_band_costs_the_most(self, make_model, make_inputs):
        model, inputs = make_model(), make_inputs(codes=False)
        gate = model.model.cadence_moe.gate
        torch.nn.init.zeros_(gate.weight)
        assert model.encode_condition(**inputs).load_balance_loss.abs() < 1e-6
        gate.bias.data = torch.tensor([100.0, 0.0])
        torch.testing.assert_close(model.encode_condition(**inputs).load_balance_loss, torch.tensor(1.0))

    def test_without_a_gate_the_bands_are_concatenated(self, make_model, make_inputs):
        model = make_model(gate="concat")
        encoded = model.encode_condition(**make_inputs(codes=False))
        assert encoded.expert_weights is None and encoded.load_balance_loss == 0
        assert model.model.cadence_moe.mixing.in_features == 3 * 16


def test_references_are_normalized_by_the_statistics_of_the_codec(make_model, make_inputs):
    model, inputs = make_model(), make_inputs(codes=False)
    expected = model.encode_condition(**inputs).condition
    mean, std = torch.tensor([1.0, -2.0, 0.0, 3.0, 5.0]), torch.tensor([0.1, 1.0, 2.0, 3.0, 4.0])
    inputs["reference_features"] = inputs["reference_features"] * std + mean
    assert (model.encode_condition(**inputs).condition - expected).abs().max() > 1e-2
    model.model.cadence_moe.set_feature_statistics(mean, std)
    torch.testing.assert_close(model.encode_condition(**inputs).condition, expected, atol=1e-4, rtol=1e-4)
    with pytest.raises(ValueError, match="positive in every channel"):
        model.model.cadence_moe.set_feature_statistics(mean, -std)
