import pytest
import torch
from transformers import LlamaConfig, LlamaModel

from infinitedance.modeling.choreollama.step_decoder import (
    CachedDecoder,
    Projection,
    StepDecoder,
    is_plain_matrix,
    large_product,
    make_decoder,
    product_with,
    root_mean_square_norm,
)
from infinitedance.utils.quantization import linears_to_quantize, quantize_linears

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


@pytest.mark.parametrize(
    "kind", [StepDecoder, lambda backbone, length: CachedDecoder(backbone)], ids=["own", "cached"]
)
@pytest.mark.parametrize("is_padded", [False, True])
@torch.no_grad()
def test_single_steps_follow_what_was_read_at_once(backbone, kind, is_padded):
    embeddings = torch.randn(2, LENGTH, HIDDEN_SIZE)
    attention_mask = torch.ones(2, LENGTH, dtype=torch.long)
    attention_mask[1, 1:3] = 0 if is_padded else 1
    position_ids = (attention_mask.cumsum(1) - 1).clamp(min=0)
    given = attention_mask[:, :4] if is_padded else None
    decoder = kind(backbone, LENGTH)
    for _ in range(2):  # the second time after another window
        decoder.clear()
        decoder(embeddings[:, :4], position_ids[:, :4], given)
        steps = torch.stack([decoder.step(embeddings[:, place]) for place in range(4, LENGTH)], dim=1)
    for row in range(2):
        kept = attention_mask[row].bool()
        expected = backbone(inputs_embeds=embeddings[row : row + 1, kept]).last_hidden_state
        torch.testing.assert_close(steps[row], expected[0, -(LENGTH - 4) :], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_half_precision_steps_stay_near_the_backbone(backbone):
    backbone = backbone.to(torch.bfloat16)
    embeddings, positions = torch.randn(2, LENGTH, HIDDEN_SIZE).to(torch.bfloat16), torch.arange(LENGTH)[None]
    decoder = StepDecoder(backbone, LENGTH)
    decoder(embeddings[:, :1], positions[:, :1])
    steps = torch.stack([decoder.step(embeddings[:, place]) for place in range(1, LENGTH)], dim=1)
    expected = backbone(inputs_embeds=embeddings).last_hidden_state[:, 1:]
    assert steps.dtype == torch.bfloat16
    torch.testing.assert_close(steps, expected, atol=0.1, rtol=0.05)


def test_other_backbones_and_angles_that_follow_the_length_get_their_own_layers(backbone):
    assert isinstance(make_decoder(backbone, LENGTH), StepDecoder)
    rope = {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 2.0}
    sizes = {"hidden_size": 16, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    dynamic = LlamaModel(LlamaConfig(vocab_size=7, **sizes, rope_parameters=rope))
    assert isinstance(make_decoder(dynamic, LENGTH), CachedDecoder)
    assert isinstance(make_decoder(LlamaModel(LlamaConfig(vocab_size=7, **sizes)), LENGTH), StepDecoder)
    backbone.layers[0].mlp.down_proj._hf_hook = object()  # as accelerate marks a module whose weights come and go
    assert isinstance(make_decoder(backbone, LENGTH), CachedDecoder)


@pytest.mark.parametrize("scale", [1.0, 1e-3, 1e3])
def test_the_norm_is_that_of_torch(scale):
    weight, inputs = torch.randn(64), torch.randn(2, 3, 64) * scale
    inputs[0, 0] += 5 * scale  # its mean is not 0
    expected = torch.nn.functional.rms_norm(inputs, (64,), weight, 1e-5)
    torch.testing.assert_close(root_mean_square_norm(weight, 1e-5)(inputs), expected, atol=2e-6, rtol=2e-6)


@pytest.mark.parametrize("is_half", [True, False])
def test_a_product_is_one_in_float32_whatever_its_weight_is_kept_as(is_half):
    weight, inputs = torch.randn(40, 24), torch.randn(2, 24) * 1000
    weight[0] *= 2.0**-20  # subnormal in float16
    weight = weight.half().float() if is_half else weight
    expected = inputs.double() @ weight.double().T
    torch.testing.assert_close(product_with(weight)(inputs).double(), expected, atol=2e-3, rtol=1e-6)


class Quantized(torch.Tensor):
    """A tensor of another kind, as torchao puts into linear modules, that no function but `linear` understands."""

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        if function is torch.nn.functional.linear:
            return torch.nn.functional.linear(args[0], args[1].as_subclass(torch.Tensor))
        if getattr(function, "__name__", "") in ("cat", "t", "half", "equal"):
            raise NotImplementedError(function)
        return super().__torch_function__(function, types, args, kwargs or {})


@torch.no_grad()
def test_quantized_weights_are_left_to_their_modules(backbone):
    embeddings, positions = torch.randn(2, LENGTH, HIDDEN_SIZE), torch.arange(LENGTH)[None]
    expected = StepDecoder(backbone, LENGTH)(embeddings, positions)
    attention = backbone.layers[0].self_attn
    for module in (attention.q_proj, attention.o_proj, backbone.layers[1].mlp.up_proj):
        module.weight = torch.nn.Parameter(module.weight.detach().as_subclass(Quantized), requires_grad=False)
        assert not is_plain_matrix(module)
    decoder = StepDecoder(backbone, LENGTH)
    assert decoder.layers[0].query_key_value.product is None and decoder.layers[1].query_key_value.product is not None
    torch.testing.assert_close(decoder(embeddings, positions), expected, atol=1e-5, rtol=1e-5)


def test_only_small_plain_matrices_are_copied(monkeypatch):
    plain, biased = torch.nn.Linear(4, 4, bias=False), torch.nn.Linear(4, 4)
    assert Projection(plain).product is not None and Projection(biased, plain).product is None
    monkeypatch.setattr("infinitedance.modeling.choreollama.step_decoder.MAX_COPIED_WEIGHTS", 15)
    assert Projection(plain).product is None


@pytest.mark.parametrize("num_rows", [1, 2, 3, 5])
def test_large_matrices_multiply_any_number_of_rows(num_rows):
    weight, rows = torch.randn(40, 24), torch.randn(num_rows, 24)
    product = large_product(weight, rows)
    assert product.is_contiguous()
    torch.testing.assert_close(product, rows @ weight.T, atol=1e-5, rtol=1e-5)


def test_a_llama_that_turns_a_part_of_each_head_gets_its_own_layers():
    sizes = {"hidden_size": 16, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    rope = {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5}
    partial = LlamaModel(LlamaConfig(vocab_size=7, **sizes, rope_parameters=rope))
    cosine, _ = partial.rotary_emb(partial.norm.weight, torch.zeros(1, 1).long())
    assert isinstance(make_decoder(partial, LENGTH), StepDecoder if cosine.shape[-1] == 8 else CachedDecoder)


@torch.no_grad()
def test_steps_over_weights_of_8_bits_give_the_numbers_of_their_modules(backbone):
    embeddings, positions = torch.randn(2, LENGTH, HIDDEN_SIZE), torch.arange(LENGTH)[None]
    for _, linear in linears_to_quantize(backbone):
        linear.weight.mul_(10)
    before = backbone(inputs_embeds=embeddings).last_hidden_state
    quantize_linears(backbone)
    decoder = make_decoder(backbone, LENGTH)
    assert isinstance(decoder, StepDecoder)
    decoder(embeddings[:, :1], positions[:, :1])
    steps = torch.stack([decoder.step(embeddings[:, place]) for place in range(1, LENGTH)], dim=1)
    expected = backbone(inputs_embeds=embeddings).last_hidden_state[:, 1:]
    assert (steps - expected).norm() < 0.01 * expected.norm()
    assert 0.001 * expected.norm() < (expected - before[:, 1:]).norm() < 0.05 * expected.norm()
