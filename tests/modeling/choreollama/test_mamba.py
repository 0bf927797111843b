import pytest
import torch

from infinitedance.modeling.choreollama.mamba import MambaLayer, selective_scan


@pytest.fixture
def layer(generator):
    torch.manual_seed(0)
    layer = MambaLayer(hidden_size=8, state_size=3, conv_size=4, expand=2)
    layer.init_weights()
    return layer


def test_the_scan_equals_a_slow_loop_over_single_numbers(generator):
    batch, length, channels, states = 2, 5, 3, 2
    inputs = torch.randn(batch, length, channels, generator=generator)
    time_steps = torch.rand(batch, length, channels, generator=generator)
    decay = -torch.rand(channels, states, generator=generator)
    weights_in = torch.randn(batch, length, states, generator=generator)
    weights_out = torch.randn(batch, length, states, generator=generator)
    expected = torch.zeros(batch, length, channels)
    for row in range(batch):
        for channel in range(channels):
            for state in range(states):
                value = 0.0
                for step in range(length):
                    dt = time_steps[row, step, channel]
                    value = torch.exp(dt * decay[channel, state]) * value
                    value = value + dt * inputs[row, step, channel] * weights_in[row, step, state]
                    expected[row, step, channel] += weights_out[row, step, state] * value
    scanned = selective_scan(inputs, time_steps, decay, weights_in, weights_out)
    torch.testing.assert_close(scanned, expected)


def test_the_output_hears_no_future(layer, generator):
    sequence = torch.randn(1, 10, 8, generator=generator, requires_grad=True)
    layer(sequence)[0, 4].sum().backward()
    reached = sequence.grad[0].abs().sum(dim=-1) > 0
    assert reached[:5].all() and not reached[5:].any()


@pytest.mark.parametrize("before, after", [(3, 0), (0, 3), (2, 2)])
def test_padding_on_either_side_changes_nothing(layer, generator, before, after):
    clip = torch.randn(1, 6, 8, generator=generator)
    padded = torch.nn.functional.pad(clip, (0, 0, before, after), value=9.0)
    mask = torch.zeros(1, 6 + before + after, dtype=torch.bool)
    mask[:, before : before + 6] = True
    torch.testing.assert_close(layer(padded, mask)[:, before : before + 6], layer(clip))


def test_the_parameters_have_the_names_and_shapes_of_the_official_layer(layer):
    shapes = {name: tuple(parameter.shape) for name, parameter in layer.named_parameters()}
    assert shapes == {
        "A_log": (16, 3),
        "D": (16,),
        "in_proj.weight": (32, 8),
        "conv1d.weight": (16, 1, 4),
        "conv1d.bias": (16,),
        "x_proj.weight": (1 + 2 * 3, 16),
        "dt_proj.weight": (16, 1),
        "dt_proj.bias": (16,),
        "out_proj.weight": (8, 16),
    }


def test_the_layer_equals_the_one_of_transformers(layer, generator):
    from transformers import MambaConfig
    from transformers.models.mamba.modeling_mamba import MambaMixer

    config = MambaConfig(hidden_size=8, state_size=3, conv_kernel=4, expand=2, time_step_rank=1, use_bias=False)
    mixer = MambaMixer(config, layer_idx=0)
    mixer.load_state_dict(layer.state_dict())
    sequence = torch.randn(2, 7, 8, generator=generator)
    torch.testing.assert_close(layer(sequence), mixer(sequence))


def test_the_first_time_steps_lie_between_a_thousandth_and_a_tenth(layer):
    time_steps = torch.nn.functional.softplus(layer.dt_proj.bias)
    assert (time_steps > 0.99e-3).all() and (time_steps < 1.01e-1).all()
