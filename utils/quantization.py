"""Linear layers with weights of 8 bits, and models that are read into them one tensor at a time."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

QUANTIZATIONS = ("int8",)
"""Kinds of quantization that `from_pretrained` takes."""

_LARGEST, _BLOCK = 127, 64


class Int8Linear(nn.Module):
    """A linear layer for inference on a CPU with a matrix of 8-bit integers, scaled row by row.

    A product with one or a few rows takes as long as reading the matrix, which is a quarter of the float32 one. Where
    torch has FBGEMM (x86), the inputs of a product are rounded to 8 bits, too, each row by its own largest value, so
    that no row depends on the others of its batch. Elsewhere the inputs are rounded to bfloat16.

    The matrix is kept as the product wants it and is not in the `state_dict`: what is quantized is saved no more.

    Args:
        weight: `(output size, input size)`, of any floating-point type.
        bias: `(output size,)`, if there is one.
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None = None):
        super().__init__()
        self.out_features, self.in_features = weight.shape
        integers, scales = quantize_rows(weight)
        self.multiply = _packed_product(integers, scales) or _plain_product(integers, scales)
        self.bias = None if bias is None else nn.Parameter(bias.detach().float(), requires_grad=False)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the product with `(..., input size)`, in the type of the inputs."""
        return int8_products([self], inputs)

    def extra_repr(self) -> str:
        """Say of which size it is."""
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"


def int8_products(modules: Sequence[Int8Linear], inputs: torch.Tensor) -> torch.Tensor:
    """Return what several layers make of one input, joined along the last dimension; it is rounded once for all.

    Args:
        modules: Of the same input size.
        inputs: `(..., input size)`.
    """
    rows = inputs.reshape(-1, inputs.shape[-1]).float()
    largest = rows.abs().amax(dim=1, keepdim=True).clamp_min(1e-20)
    # FBGEMM rounds all rows on one scale, from the smallest to the largest number that it finds. A last row holds the
    # two ends of the scale of all others.
    ends = rows.new_zeros(1, rows.shape[1])
    ends[0, 0], ends[0, 1] = 1.0, -1.0
    scaled = torch.cat([rows / largest, ends])
    parts = [module.multiply(scaled) for module in modules]
    outputs = (parts[0] if len(parts) == 1 else torch.cat(parts, dim=1))[:-1] * largest
    if any(module.bias is not None for module in modules):
        biases = [outputs.new_zeros(each.out_features) if each.bias is None else each.bias for each in modules]
        outputs = outputs + torch.cat(biases)
    return outputs.view(*inputs.shape[:-1], -1).to(inputs.dtype)


def quantize_rows(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Round a matrix to integers from -127 to 127, row by row.

    Args:
        weight: `(rows, columns)`.

    Returns:
        The integers, int8, and the scales `(rows,)` with which they are the matrix again.
    """
    weight = weight.detach().float()
    scales = (weight.abs().amax(dim=1) / _LARGEST).clamp_min(torch.finfo(torch.float32).tiny)
    return (weight / scales[:, None]).round_().to(torch.int8), scales


def _packed_product(integers: torch.Tensor, scales: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor] | None:
    """Return the product of FBGEMM with rows of which at least one holds 1 and -1 and none more; none without it."""
    if torch.backends.quantized.engine not in ("x86", "fbgemm"):
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what makes such tensors is deprecated; the product below has no other
            zeros = torch.zeros(len(scales), dtype=torch.long)
            matrix = torch._make_per_channel_quantized_tensor(integers, scales, zeros, 0)
            packed = torch.ops.quantized.linear_prepack(matrix, None)
    except (AttributeError, RuntimeError):
        return None
    # Without these instructions pairs of products are added in 16 bits, for which 8 bits are one too many.
    reduce_range = not getattr(torch.cpu, "_is_vnni_supported", lambda: False)()
    multiply = torch.ops.quantized.linear_dynamic.default
    return lambda rows: multiply(rows, packed, reduce_range)


def _plain_product(integers: torch.Tensor, scales: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return a product with the integers in bfloat16, which torch has for every CPU."""
    size, scales = len(scales), scales.to(torch.bfloat16)
    # The kernel reads whole blocks.
    missing_rows, missing_columns = (-length % _BLOCK for length in integers.shape)
    integers, scales = F.pad(integers, (0, missing_columns, 0, missing_rows)), F.pad(scales, (0, missing_rows))

    def multiply(rows: torch.Tensor) -> torch.Tensor:
        rows = F.pad(rows.to(torch.bfloat16), (0, missing_columns))
        return torch.ops.aten._weight_int8pack_mm(rows, integers, scales)[:, :size].float()

    return multiply


def quantize_linears(model: nn.Module, kept: Iterable[str] = ()) -> None:
    """Replace the linear layers of a model, in place.

    Args:
        model: On the CPU.
        kept: Last parts of the names of modules that stay as they are, with all inside them.
    """
    for name, module in list(linears_to_quantize(model, kept)):
        model.set_submodule(name, Int8Linear(module.weight, module.bias))


def linears_to_quantize(model: nn.Module, kept: Iterable[str] = ()) -> Iterator[tuple[str, nn.Linear]]:
    """Yield the names and modules that `quantize_linears` replaces."""
    kept = set(kept)
    for name, module in model.named_modules():
        if type(module) is nn.Linear and not kept & set(name.split(".")):
            yield name, module


def is_quantized(model: nn.Module) -> bool:
    """Return whether a model has an `Int8Linear`."""
    return any(isinstance(module, Int8Linear) for module in model.modules())


class _EmptyWeights(TorchFunctionMode):
    """Mode in which weights that will be read take no memory; what is computed, as angles of positions, is there."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function is torch.empty:
            kwargs = {**(kwargs or {}), "device": "meta"}
        return function(*args, **(kwargs or {}))


def build_empty(build: Callable[[], Any]) -> Any:
    """Return what `build` builds, with weights that have a shape and no memory."""
    with _EmptyWeights():
        return build()


def read_quantized(
    model: nn.Module, files: Sequence[Path], kept: Iterable[str], check: Callable[[str, torch.Tensor], None]
) -> None:
    """Read weights into a model from `build_empty`, in float32, quantizing linear layers on the way.

    No more than one weight at a time is there in another form than that in which it stays: a file is opened anew for
    each, as the pages of an open one stay in memory.

    Args:
        model: The model, which has all the weights of the files, of the same shapes.
        files: `.safetensors` files.
        kept: See `quantize_linears`.
        check: Called with each name and weight before it is used.
    """
    linears = dict(linears_to_quantize(model, kept))
    for name, file in {name: path for path in files for name in stored_shapes(path)}.items():
        with safe_open(file, "pt") as stored:
            weight = stored.get_tensor(name)
        check(name, weight)
        module_name, _, last = name.rpartition(".")
        if module_name in linears and last == "weight":
            linear = linears[module_name]
            quantized = Int8Linear(weight)
            quantized.bias = linear.bias
            model.set_submodule(module_name, quantized)
        else:
            _put(model.get_submodule(module_name), last, weight)
        del weight


def stored_shapes(file: Path) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the weights in a `.safetensors` file by their names."""
    with safe_open(file, "pt") as stored:
        return {name: tuple(stored.get_slice(name).get_shape()) for name in stored.keys()}  # noqa: SIM118


def _put(module: nn.Module, name: str, weight: torch.Tensor) -> None:
    """Put a copy of a weight into the place of a parameter or a buffer, in its type."""
    old = getattr(module, name)
    weight = weight.to(old.dtype if not old.is_floating_point() else torch.float32, copy=True)
    if isinstance(old, nn.Parameter):
        module.register_parameter(name, nn.Parameter(weight, requires_grad=False))
    else:
        module.register_buffer(name, weight)
