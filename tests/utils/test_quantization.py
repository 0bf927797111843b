import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from infinitedance.modeling.choreollama.modeling_choreollama import ChoreoLlamaForConditionalGeneration
from infinitedance.utils import quantization
from infinitedance.utils.checkpoints import load_model
from infinitedance.utils.quantization import Int8Linear, build_empty, int8_products, quantize_linears, quantize_rows


@pytest.fixture(params=["packed", "plain"])
def product(request, monkeypatch):
    """Both products: that of FBGEMM and that of every CPU."""
    if request.param == "plain":
        monkeypatch.setattr(quantization, "_packed_product", lambda integers, scales: None)
    elif torch.backends.quantized.engine not in ("x86", "fbgemm"):
        pytest.skip("this CPU has no FBGEMM")


def test_rows_are_rounded_to_half_a_step_of_their_own_scale():
    weight = torch.randn(6, 40) * torch.tensor([1e-6, 1e-3, 1.0, 10.0, 1e4, 0.0])[:, None]
    integers, scales = quantize_rows(weight)
    assert integers.abs().amax(dim=1).tolist() == [127] * 5 + [0]
    assert ((integers * scales[:, None] - weight).abs() <= 0.5001 * scales[:, None]).all()


@pytest.mark.parametrize("has_bias", [True, False])
def test_a_product_is_near_that_of_the_floating_point_matrix_for_rows_of_any_size(product, has_bias):
    torch.manual_seed(0)
    linear = nn.Linear(512, 96, bias=has_bias)
    inputs = torch.randn(2, 3, 512) * torch.tensor([1e-4, 1.0, 300.0])[:, None]
    expected, quantized = linear(inputs), Int8Linear(linear.weight, linear.bias)(inputs)
    assert quantized.shape == expected.shape and quantized.dtype == torch.float32
    error = (quantized - expected).norm(dim=-1) / (expected - (linear.bias if has_bias else 0)).norm(dim=-1)
    assert error.max() < 0.015
    zero = Int8Linear(linear.weight, linear.bias)(torch.zeros(1, 512))
    assert torch.equal(zero[0], linear.bias.detach() if has_bias else torch.zeros(96))


def test_no_row_depends_on_the_others_of_its_batch(product):
    torch.manual_seed(0)
    layer, inputs = Int8Linear(torch.randn(32, 64)), torch.randn(5, 64) * torch.arange(1, 6)[:, None]
    together = layer(inputs)
    assert all(torch.equal(layer(inputs[row : row + 1])[0], together[row]) for row in range(5))


def test_several_layers_round_their_input_once_to_the_same_numbers(product):
    torch.manual_seed(0)
    layers = [Int8Linear(torch.randn(8, 16), bias) for bias in (None, torch.randn(8))]
    inputs = torch.randn(3, 16)
    assert torch.equal(int8_products(layers, inputs), torch.cat([layer(inputs) for layer in layers], dim=-1))


def test_modules_that_are_kept_stay_with_all_inside_them():
    model = nn.ModuleDict({"a": nn.Linear(4, 4), "head": nn.Linear(4, 4), "codec": nn.Sequential(nn.Linear(4, 4))})
    quantize_linears(model, kept=("head", "codec"))
    assert [type(module).__name__ for module in (model["a"], model["head"], model["codec"][0])] == [
        *("Int8Linear", "Linear", "Linear")
    ]


def test_what_is_built_empty_has_shapes_and_computed_buffers():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(3, 2)
            self.register_buffer("angles", torch.arange(3) / 2, persistent=False)

    model = build_empty(Model)
    assert model.linear.weight.is_meta and model.linear.weight.shape == (2, 3)
    assert model.angles.tolist() == [0, 0.5, 1]


@pytest.fixture
def folder(controlled_pipeline_dir, tmp_path):
    """A folder with a model in bfloat16, in two files."""
    model = ChoreoLlamaForConditionalGeneration.from_pretrained(controlled_pipeline_dir, dtype=torch.bfloat16)
    model.save_pretrained(tmp_path / "model", max_shard_size="100KB")
    return tmp_path / "model"


def test_a_model_is_read_as_if_it_had_been_quantized_afterwards(folder):
    plain = load_model(folder, ChoreoLlamaForConditionalGeneration)
    read = load_model(folder, ChoreoLlamaForConditionalGeneration, quantization="int8")
    music = torch.randn(1, 100, 109)
    before = plain.encode_condition(music).condition
    quantize_linears(plain, plain._modules_not_quantized)
    assert plain.generate_codes(music, seeds=[0]).tolist() == read.generate_codes(music, seeds=[0]).tolist()
    assert not any(parameter.is_meta for parameter in read.parameters()) and not read.training
    assert {parameter.dtype for parameter in read.parameters()} == {torch.float32}
    condition = read.encode_condition(music).condition
    assert 0 < (condition - before).norm() / before.norm() < 0.05
    assert read.generation_config.max_code_repeats == 16


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda weights: weights.pop("lm_head.weight"), "lacks 1 weight, lm_head.weight"),
        (lambda weights: weights.update(odd=torch.ones(1)), "does not know: 1 weight, odd"),
        (lambda weights: weights.update({"lm_head.weight": torch.ones(2, 2)}), "another shape 1 weight, lm_head"),
        (lambda weights: weights["lm_head.weight"].fill_(torch.nan), "NaN or infinity in 1 weight, lm_head.weight"),
        (
            lambda weights: weights.update({"lm_head.weight": weights["lm_head.weight"].int()}),
            "another kind of number 1 weight, lm_head.weight",
        ),
    ],
)
def test_what_is_refused_of_any_model_is_refused_here(controlled_pipeline_dir, tmp_path, change, message):
    weights = load_file(controlled_pipeline_dir / "model.safetensors")
    change(weights)
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    (tmp_path / "config.json").write_bytes((controlled_pipeline_dir / "config.json").read_bytes())
    with pytest.raises(ValueError, match=message):
        load_model(tmp_path, ChoreoLlamaForConditionalGeneration, quantization="int8")


def test_a_table_that_old_files_lack_is_zero(controlled_pipeline_dir, tmp_path):
    weights = load_file(controlled_pipeline_dir / "model.safetensors")
    weights.pop("model.cadence_moe.added_genre_embedding.weight")
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    (tmp_path / "config.json").write_bytes((controlled_pipeline_dir / "config.json").read_bytes())
    model = load_model(tmp_path, ChoreoLlamaForConditionalGeneration, quantization="int8")
    assert not model.model.cadence_moe.added_genre_embedding.weight.any()


def test_other_kinds_and_other_types_and_saving_are_told(controlled_pipeline_dir, tmp_path):
    load = ChoreoLlamaForConditionalGeneration.from_pretrained
    with pytest.raises(ValueError, match="`quantization` must be one of int8, got 'int2'"):
        load(controlled_pipeline_dir, quantization="int2")
    with pytest.raises(ValueError, match="is read from a folder, with `dtype=torch.float32`"):
        load(controlled_pipeline_dir, quantization="int8", dtype=torch.bfloat16)
    with pytest.raises(ValueError, match="A quantized model cannot be saved"):
        load(controlled_pipeline_dir, quantization="int8").save_pretrained(tmp_path / "saved")
    assert not (tmp_path / "saved").exists()
