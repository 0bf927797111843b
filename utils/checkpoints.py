"""The one way in which models are read and saved: what is missing, odd or damaged is refused by its name."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import safe_open
from transformers import GenerationConfig, PreTrainedConfig, PreTrainedModel

from .atomic import atomic_path
from .errors import reading, writing
from .hub_folders import MODEL_FILES, check_hub_name, local_folder
from .quantization import QUANTIZATIONS, build_empty, is_quantized, read_quantized, stored_shapes

AnyModel = TypeVar("AnyModel", bound=PreTrainedModel)

CHECKSUMS_FILE = "SHA256SUMS"
"""Lists the weights of a folder as `sha256sum` does, so that `sha256sum --check SHA256SUMS` checks them, too."""
_WEIGHTS = "*.safetensors"
_CONFIGURATIONS = ("config.json", "generation_config.json")  # transformers passes over a damaged one of the latter
_MAX_NAMED = 3
_PLAIN_LOADING = (("dtype", torch.float32), ("dtype", "float32"), ("use_safetensors", True))


class NamedFilesMixin:
    """Mixin, before a processor of transformers, whose errors of damaged files name the folder."""

    @classmethod
    def from_pretrained(cls: Any, pretrained_model_name_or_path: str | os.PathLike, *args: Any, **kwargs: Any) -> Any:
        """Load a processor as transformers does.

        Args:
            pretrained_model_name_or_path: Folder, or name on the Hub.
            *args: As transformers takes them, like all that follows.
            **kwargs: Fields that go before those of the files.

        Raises:
            OSError: If a file is missing.
            ValueError: If a file cannot be read.
        """
        with reading(pretrained_model_name_or_path):
            return super().from_pretrained(pretrained_model_name_or_path, *args, **kwargs)  # type: ignore[misc]


class CheckedWeightsMixin:
    """Mixin, before `PreTrainedModel`, that loads all weights or none.

    transformers fills what a checkpoint lacks with random numbers and says so in a table of its log. Here that is an
    error, as are weights that the model does not have, of another shape, not finite, or other than those that were
    saved.
    """

    @classmethod
    def from_pretrained(
        cls: Any,
        pretrained_model_name_or_path: str | os.PathLike | None,
        *args: Any,
        output_loading_info: bool = False,
        quantization: str | None = None,
        **kwargs: Any,
    ) -> Any:
        """Load a model as `PreTrainedModel.from_pretrained` does.

        Args:
            pretrained_model_name_or_path: Folder, or name on the Hub; `None` with `config` and `state_dict`.
            *args: As transformers takes them, like all that follows.
            output_loading_info: Return what was loaded, too.
            quantization: `"int8"` for linear layers of 8 bits on a CPU, in evaluation mode (`utils.quantization`); the
                model is read one weight at a time and never there in full. Of the other arguments there is then none
                but `dtype`, which must be float32.
            **kwargs: With `ignore_mismatched_sizes=True` nothing but damage is refused.

        Raises:
            FileNotFoundError: If there is no such folder.
            OSError: If the model cannot be had from the Hub.
            ValueError: If a weight is missing, unknown to the model, of another shape, not finite or not the one that
                was saved, or a file cannot be read.
        """
        path = pretrained_model_name_or_path
        name = "The given weights" if path is None else os.fspath(path)
        if path is not None:
            check_model_name(path)
            check_checksums(path)
            for file in _CONFIGURATIONS:
                with reading(Path(path) / file):
                    _check_layers(read_json_object(Path(path) / file))
        if quantization is not None:
            return _load_quantized(cls, path, quantization, kwargs)
        is_lenient = kwargs.pop("ignore_mismatched_sizes", False)
        kwargs.setdefault("use_safetensors", True)
        with reading(name), _without_load_report():
            model, loading = super().from_pretrained(  # type: ignore[misc]
                path, *args, ignore_mismatched_sizes=True, output_loading_info=True, **kwargs
            )
        if not is_lenient:
            _refuse_odd_weights(
                name,
                cls.__name__,
                missing=loading["missing_keys"],
                unexpected=loading["unexpected_keys"],
                mismatched={key[0] for key in loading["mismatched_keys"]},
                of_other_kind=_weights_of_other_kind(path, model.state_dict()),
            )
        check_finite(model.state_dict(), name)
        return (model, loading) if output_loading_info else model

    def save_pretrained(self: Any, save_directory: str | os.PathLike, *args: Any, **kwargs: Any) -> None:
        """Save a model as `PreTrainedModel.save_pretrained` does, and the hashes of its weights.

        Args:
            save_directory: The folder.
            *args: As transformers takes them.
            **kwargs: As transformers takes them.

        Raises:
            OSError: If the folder cannot be written to, or the disk is full.
            ValueError: If the model is quantized.
        """
        if is_quantized(self):
            raise ValueError(
                "A quantized model cannot be saved. Load it without `quantization` and save that; it can be quantized "
                "whenever it is loaded."
            )
        with writing(save_directory):
            super().save_pretrained(save_directory, *args, **kwargs)  # type: ignore[misc]
        if kwargs.get("is_main_process", True):
            write_checksums(save_directory)


def _refuse_odd_weights(
    name: str,
    class_name: str,
    *,
    missing: Iterable[str],
    unexpected: Iterable[str],
    mismatched: Iterable[str],
    of_other_kind: Iterable[str],
) -> None:
    """Raise `ValueError` if a checkpoint has not exactly the weights of a model."""
    problems = {
        "lacks": missing,
        "has what the model does not know:": unexpected,
        "has of another shape": mismatched,
        "has of another kind of number": of_other_kind,
    }
    for problem, keys in problems.items():
        if keys:
            raise ValueError(
                f"{name} is not a checkpoint of {class_name} with this configuration: it {problem} {_some(keys)}. "
                "Copy or download the whole folder again, or give the configuration that it was trained with."
            )


def _load_quantized(model_class: Any, path: str | os.PathLike | None, quantization: str, kwargs: dict) -> Any:
    """Load a model with linear layers of 8 bits; see `CheckedWeightsMixin.from_pretrained`."""
    if quantization not in QUANTIZATIONS:
        raise ValueError(f"`quantization` must be one of {', '.join(QUANTIZATIONS)}, got {quantization!r}.")
    others = {key: value for key, value in kwargs.items() if (key, value) not in _PLAIN_LOADING}
    if path is None or others:
        raise ValueError(
            f"A quantized model is read from a folder, with `dtype=torch.float32`; got {path!r} and {others}."
        )
    name, folder = os.fspath(path), local_folder(path, allow_patterns=MODEL_FILES)
    with reading(name):
        config = model_class.config_class.from_pretrained(folder)
        model = build_empty(lambda: model_class(config))
        if model.can_generate() and (folder / "generation_config.json").is_file():
            model.generation_config = GenerationConfig.from_pretrained(folder)
        files = sorted(folder.glob("model*.safetensors"))
        shapes = {key: shape for file in files for key, shape in stored_shapes(file).items()}
        weights = model.state_dict()
    absent = weights.keys() - shapes.keys() - set(model.all_tied_weights_keys)
    optional = "|".join(model_class._keys_to_ignore_on_load_missing or [r"\Z."])
    _refuse_odd_weights(
        name,
        model_class.__name__,
        missing={key for key in absent if not re.search(optional, key)},
        unexpected=shapes.keys() - weights.keys(),
        mismatched={key for key, shape in shapes.items() if key in weights and shape != tuple(weights[key].shape)},
        of_other_kind=_weights_of_other_kind(folder, weights),
    )
    for key in absent:
        module = model.get_submodule(key.rpartition(".")[0]).to_empty(device="cpu", recurse=False)
        model._init_weights(module)
    with reading(name):
        read_quantized(
            model,
            files,
            getattr(model_class, "_modules_not_quantized", ()),
            lambda key, weight: check_finite({key: weight}, name),
        )
    model.tie_weights()
    model.name_or_path = name
    return model.eval()


def _weights_of_other_kind(path: str | os.PathLike | None, weights: dict[str, torch.Tensor]) -> list[str]:
    """Return the real weights of a model that a folder holds as integers or complex numbers: torch cuts them off."""
    odd: list[str] = []
    for file in sorted(Path(path).glob("*.safetensors")) if path is not None else ():
        with safe_open(file, "pt") as stored:
            odd += [
                key
                for key in stored.keys()  # noqa: SIM118
                if key in weights
                and weights[key].is_floating_point()
                and not stored.get_slice(key).get_dtype().startswith(("F", "BF"))
            ]
    return odd


@contextmanager
def _without_load_report() -> Iterator[None]:
    """Keep transformers from printing its table of odd weights, which are an error here."""
    log = logging.getLogger("transformers.modeling_utils")

    def is_no_report(record: logging.LogRecord) -> bool:
        return "LOAD REPORT" not in record.getMessage()

    log.addFilter(is_no_report)
    try:
        yield
    finally:
        log.removeFilter(is_no_report)


def _some(names: Iterable[str]) -> str:
    """Return how many names there are, and the first of them."""
    ordered = sorted(names)
    more = ", ..." if len(ordered) > _MAX_NAMED else ""
    weights = "weight" if len(ordered) == 1 else "weights"
    return f"{len(ordered)} {weights}, {', '.join(ordered[:_MAX_NAMED])}{more}"


def _check_layers(values: dict[str, Any]) -> None:
    """Raise `ValueError` for a number of layers that no model has: building them would take for ever."""
    for name, value in values.items():
        if isinstance(value, dict):
            _check_layers(value)
        elif name.startswith("num_") and name.endswith("layers") and not (isinstance(value, int) and value <= 1000):
            raise ValueError(f"`{name}` must be a number of layers up to 1000, got {value!r}")


def check_finite(weights: dict[str, torch.Tensor], name: str) -> None:
    """Raise `ValueError`, with the name of the folder or file, if a weight is NaN or infinite."""
    odd = [
        key
        for key, weight in weights.items()
        if weight.is_floating_point() and weight.device.type != "meta" and not _is_finite(weight)
    ]
    if odd:
        raise ValueError(
            f"{name} is damaged, or was saved by a training that diverged: it has NaN or infinity in {_some(odd)}."
        )


def _is_finite(weight: torch.Tensor) -> bool:
    """Return whether all numbers of a weight are finite: their sum shows it five times faster, but may overflow."""
    total = weight.sum(dtype=torch.promote_types(weight.dtype, torch.float32))
    return bool(torch.isfinite(total)) or bool(torch.isfinite(weight).all())


def write_checksums(folder: str | os.PathLike) -> None:
    """Write the hashes of the weights in a folder."""
    lines = [f"{_sha256(path)}  {path.name}\n" for path in sorted(Path(folder).glob(_WEIGHTS))]
    with atomic_path(Path(folder) / CHECKSUMS_FILE) as partial:
        partial.write_text("".join(lines), encoding="utf-8")


def weights_sha256(folder: str | os.PathLike) -> str:
    """Return one hash of all weights in a folder; it is the same wherever the folder lies."""
    digests = [_sha256(path) for path in sorted(Path(folder).glob(_WEIGHTS))]
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


def check_checksums(folder: str | os.PathLike) -> None:
    """Compare the weights in a folder with the hashes that were saved with them; a folder without any passes.

    Raises:
        ValueError: If a file is not the one that was saved, or the list cannot be read.
    """
    path = Path(folder) / CHECKSUMS_FILE
    if not path.is_file():
        return
    with reading(path):
        lines = path.read_text(encoding="utf-8").splitlines()
    for line in lines:
        match = re.fullmatch(r"([0-9a-f]{64})  ([\w.-]+\.safetensors)", line)
        if match is None:
            raise ValueError(f"{path} is damaged. Copy or download the folder again, or delete it to skip the check.")
        weights = Path(folder) / match[2]
        if weights.is_file() and _sha256(weights) != match[1]:
            raise ValueError(
                f"{weights} is not the file that was saved: its hash is not the one in {CHECKSUMS_FILE}. Copy or "
                f"download it again; if it was changed on purpose, delete {CHECKSUMS_FILE}."
            )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Read a file of weights that is no model's folder, checked as those are.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged, or not the one that was saved.
    """
    from safetensors.torch import load_file

    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    check_checksums(path.parent)
    with reading(path):
        weights = load_file(path)
    check_finite(weights, str(path))
    return weights


def read_json_object(path: Path) -> dict[str, Any]:
    """Read a file of JSON that must hold an object; of a file that does not exist return an empty one.

    Raises:
        ValueError: If it is no JSON, or holds something else.
    """
    if not path.is_file():
        return {}
    with reading(path):
        values = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(values, dict):
            raise ValueError("it must hold an object")
        return values


def check_model_name(path: str | os.PathLike) -> None:
    """Raise unless `path` is a folder with a model or may be a name on the Hub, before the network is asked.

    Raises:
        FileNotFoundError: If it is no folder, and cannot be or does not look like a name on the Hub.
        ValueError: If it is a file, or a folder without a model.
    """
    name = os.fspath(path)
    if Path(name).is_dir():
        if (Path(name) / "adapter_config.json").is_file():
            raise ValueError(
                f"{name} holds an adapter: give it as such (`--adapter`), beside the model that it was trained on."
            )
        if not (Path(name) / "config.json").is_file():
            raise ValueError(f"{name} holds no model: there is no config.json. Give the folder that was saved.")
        return
    check_hub_name(name)


def find_model_type(path: str | os.PathLike) -> str:
    """Return the `model_type` of the model in a folder or on the Hub.

    Raises:
        FileNotFoundError: If there is no such folder, and `path` is no name on the Hub.
        OSError: If the Hub has no such model, or cannot be reached.
        ValueError: If no model lies there, or its configuration cannot be read.
    """
    path = os.fspath(path)
    check_model_name(path)
    read_json_object(Path(path) / "config.json")
    with reading(path):
        return PreTrainedConfig.get_config_dict(path)[0].get("model_type", "none")


def load_model(
    path: str | os.PathLike,
    model_class: type[AnyModel],
    *,
    quantization: str | None = None,
    revision: str | None = None,
    token: str | bool | None = None,
) -> AnyModel:
    """Load a model in evaluation mode, in float32 as CPUs compute; weights may be stored in half precision.

    What comes from the Hub is downloaded first and then read, and checked against its `SHA256SUMS`, as any folder.

    Args:
        path: Folder, or name on the Hub.
        model_class: What must lie there.
        quantization: `"int8"` for linear layers of 8 bits; see `CheckedWeightsMixin.from_pretrained`.
        revision: See `local_folder`.
        token: See `local_folder`.

    Raises:
        FileNotFoundError: As `local_folder`, or if there are no weights.
        OSError: As `local_folder`.
        ValueError: If another kind of model lies there, or none, or as the model's `from_pretrained`.
    """
    name = os.fspath(path)
    check_model_name(name)
    folder = local_folder(name, revision=revision, token=token, allow_patterns=MODEL_FILES)
    if not (folder / "config.json").is_file():
        raise ValueError(f"{name} holds no model: there is no config.json. Give another name on the Hub.")
    found, wanted = find_model_type(folder), model_class.config_class.model_type
    if found != wanted:
        raise ValueError(f"{name} must hold a model of type {wanted}, got {found}.")
    if not any(folder.glob("model*.safetensors")):
        raise FileNotFoundError(
            f"{name} holds no weights: there is no model.safetensors. Weights in pickles, as pytorch_model.bin, are "
            "never read: save the model again with transformers 5."
        )
    return model_class.from_pretrained(folder, dtype=torch.float32, quantization=quantization).eval()
