import pytest
import torch
from transformers import LlamaConfig, LlamaModel

from infinitedance.modeling.choreollama.step_decoder import StepDecoder

HIDDEN_SIZE, LENGTH = 24, 9


@pytest.fixture(params=[4, 2], ids=["all heads", "grouped"])
def backbone(request):
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=7,
        hidden_size=HIDDEN_SIZE,
        intermediate_size=40,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=request.param,
        head_dim=8,
    )
    backbone = LlamaModel(config).eval()
    for norm in (backbone.norm, *(layer.input_layernorm for layer in backbone.layers)):
        torch.nn.init.uniform_(norm.weight, 0.5, 1.5)
    return backbone


@pytest.mark.parametrize("num_at_once", [1, 4, LENGTH])
@torch.no_grad()
def test_steps_give_the_numbers_of_the_backbone(backbone, num_at_once):
    embeddings = torch.randn(2, LENGTH, HIDDEN_SIZE)
    decoder, positions = StepDecoder(backbone, LENGTH), torch.arange(LENGTH)[None]
    starts = [0, *range(num_at_once, LENGTH)]  # several at the first call, then one by one
    pieces = [slice(start, end) for start, end in zip(starts, [*starts[1:], LENGTH], strict=True)]
    steps = [decoder(embeddings[:, piece], positions[:, piece]) for piece in pieces]
    expected = backbone(inputs_embeds=embeddings).last_hidden_state
    torch.testing.assert_close(torch.cat(steps, dim=1), expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_padding_changes_nothing_after_it(backbone):
    embeddings = torch.randn(2, LENGTH, HIDDEN_SIZE)
    attention_mask = torch.ones(2, LENGTH, dtype=torch.long)
    attention_mask[1, 2:5] = 0
    position_ids = (attention_mask.cumsum(1) - 1).clamp(min=0)
    decoder = StepDecoder(backbone, LENGTH)
    hidden_states = decoder(embeddings[:, :-1], position_ids[:, :-1], attention_mask[:, :-1])
    last = decoder(embeddings[:, -1:], position_ids[:, -1:], attention_mask)
    hidden_states = torch.cat([hidden_states, last], dim=1)
    kept = attention_mask[1].bool()
    for row, columns in ((0, slice(None)), (1, kept)):
        expected = backbone(inputs_embeds=embeddings[row : row + 1, columns]).last_hidden_state
        torch.testing.assert_close(hidden_states[row : row + 1, columns], expected, atol=1e-5, rtol=1e-5)
    assert torch.isfinite(hidden_states).all()


@torch.no_grad()
def test_a_cleared_decoder_knows_nothing_of_the_window_before(backbone):
    first, second, positions = (
        torch.randn(2, LENGTH, HIDDEN_SIZE),
        torch.randn(2, 4, HIDDEN_SIZE),
        torch.arange(LENGTH),
    )
    decoder = StepDecoder(backbone, LENGTH)
    decoder(first, positions[None])
    decoder.clear()
    again = decoder(second, positions[None, :4])
    assert torch.equal(again, StepDecoder(backbone, LENGTH)(second, positions[None, :4]))


class Adapter(torch.nn.Module):
    """Adds a matrix of low rank to a linear module, as LoRA does."""

    def __init__(self, module):
        super().__init__()
        self.module = module
        self.down = torch.nn.Linear(module.in_features, 2, bias=False)
        self.up = torch.nn.Linear(2, module.out_features, bias=False)

    def forward(self, hidden_states):
        return self.module(hidden_states) + self.up(self.down(hidden_states))


@pytest.mark.parametrize("max_copied_weights", [0, 2**20], ids=["modules", "copies"])
@torch.no_grad()
def test_adapters_and_large_matrices_are_called_as_modules(backbone, max_copied_weights, monkeypatch):
    monkeypatch.setattr("infinitedance.modeling.choreollama.step_decoder.MAX_COPIED_WEIGHTS", max_copied_weights)
    embeddings, positions = torch.randn(2, LENGTH, HIDDEN_SIZE), torch.arange(LENGTH)[None]
    plain = StepDecoder(backbone, LENGTH)(embeddings, positions)
    backbone.layers[1].self_attn.k_proj = Adapter(backbone.layers[1].self_attn.k_proj)
    backbone.layers[2].mlp.down_proj = Adapter(backbone.layers[2].mlp.down_proj)
    adapted = StepDecoder(backbone, LENGTH)(embeddings, positions)
    assert (adapted - plain).abs().max() > 1e-3
    torch.testing.assert_close(adapted, backbone(inputs_embeds=embeddings).last_hidden_state, atol=1e-5, rtol=1e-5)
