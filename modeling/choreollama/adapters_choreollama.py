"""Adapters of ChoreoLLaMA: LoRA by PEFT, several with weights, merged or taken out again."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from ...utils.checkpoints import CHECKSUMS_FILE, check_checksums, check_finite, read_json_object
from ...utils.errors import one_line, reading
from ...utils.extras import require_extra
from ...utils.quantization import is_quantized

ADAPTER_CONFIG_FILE, ADAPTER_WEIGHTS_FILE = "adapter_config.json", "adapter_model.safetensors"
ADAPTER_RECORD_FILE = "finetune.json"
"""What `infinitedance finetune` writes beside an adapter: of what it was made, and how it was measured."""
PROCESSOR_FILE = "processor_config.json"
"""Of a `ChoreoLlamaProcessor`: names the genres that are added."""
ADAPTER_FILES = (
    ADAPTER_CONFIG_FILE,
    ADAPTER_WEIGHTS_FILE,
    ADAPTER_RECORD_FILE,
    PROCESSOR_FILE,
    CHECKSUMS_FILE,
)
"""All that is read of an adapter."""
MAX_WEIGHT = 10.0
_PLAIN_BEGINNINGS = (True, False, "gaussian", "eva", "orthogonal")
"""Values of `init_lora_weights` that leave the weights of the base as they are."""


@dataclass(frozen=True)
class Adapter:
    """What is known of an adapter in a model.

    Args:
        key: PEFT's name of it: any other name might be an attribute of a module, or hold a point.
        added_genres: Rows of the genres that it adds to those of the model, by name.
        learned_genres: All genres that it learned; `None` if nobody wrote down which.
        license: Its terms; `None` if they are not stated.
    """

    key: str
    added_genres: Mapping[str, int]
    learned_genres: Collection[str] | None
    license: str | None


class AdapterStack:
    """The adapters in a model, which is changed in place: every use of it hears them.

    Args:
        model: The base model.
    """

    def __init__(self, model: PreTrainedModel):
        self.model = model
        self.weights: dict[str, float] = {}
        """Of each adapter that is loaded, by name; 0 is off."""
        self.peft_model: Any = None
        self._adapters: dict[str, Adapter] = {}
        self._num_loaded = 0

    def load(self, folder: str | os.PathLike, name: str) -> None:
        """Put an adapter into the model, with a weight of 1.

        Args:
            folder: Holds `adapter_config.json` and `adapter_model.safetensors`, as PEFT saves them, and perhaps the
                other `ADAPTER_FILES`.
            name: Of the adapter, not yet taken.

        Raises:
            FileNotFoundError: If a file is missing.
            ImportError: If PEFT is missing.
            ValueError: If the adapter is damaged, was trained on another kind of model, or changes weights of the
                base that could not be restored.
        """
        if is_quantized(self.model):
            raise ValueError(
                "A quantized model takes no adapters: merge the adapter into the model (`merge_adapters`), save that, "
                "and load it with `quantization`."
            )
        require_extra("peft", "train", "An adapter")
        from peft import PeftConfig, PeftModel, get_peft_model_state_dict
        from safetensors.torch import load_file

        if name in self.weights:
            raise ValueError(f"There is an adapter {name!r} already: adapters need names of their own.")
        path = Path(folder)
        check_adapter_folder(path)
        with reading(path / ADAPTER_CONFIG_FILE):
            config = PeftConfig.from_pretrained(os.fspath(path))
        if config.peft_type != "LORA":
            raise ValueError(f"{path} is an adapter of type {config.peft_type}: ChoreoLLaMA takes LORA.")
        _check_base_stays(config, path)
        with reading(path / ADAPTER_WEIGHTS_FILE):
            stored = load_file(path / ADAPTER_WEIGHTS_FILE)
        check_finite(stored, os.fspath(path))
        record = read_json_object(path / ADAPTER_RECORD_FILE)
        added_genres = read_json_object(path / PROCESSOR_FILE).get("added_genres") or {}
        is_first = self.peft_model is None
        self._num_loaded += 1
        key = f"adapter_{self._num_loaded}"
        try:
            if is_first:
                self.peft_model = PeftModel(self.model, config, key)
            else:
                self.peft_model.add_adapter(key, config)
            self.model.train(self.model.training)  # the dropout of new layers begins switched on
            wanted = get_peft_model_state_dict(self.peft_model, adapter_name=key, save_embedding_layers=False)
            # PEFT warns of what is missing and goes on; and it may have saved the base's own embeddings, too.
            missing = sorted(set(wanted) - set(stored))
            odd = sorted(weight for weight in set(stored) - set(wanted) if ".lora_" in weight)
            other = sorted(each for each in set(wanted) & set(stored) if wanted[each].shape != stored[each].shape)
            for problem, names in (("lacks", missing), ("has what the model does not know:", odd), ("has", other)):
                if names:
                    raise ValueError(
                        f"{path} is no adapter of this model: it {problem} {names[0]}"
                        f"{' of another shape' if names is other else ''}. Give the model that it was trained on "
                        f"({Path(str(config.base_model_name_or_path)).name})."
                    )
            for weight, parameter in wanted.items():
                parameter.copy_(stored[weight])
            self._adapters[name] = Adapter(key, added_genres, record.get("genres"), record.get("license"))
            self.set_weights({**self.weights, name: 1.0})
        except BaseException as error:
            self._adapters.pop(name, None)
            if is_first and self.peft_model is not None:
                self._take_out(merge=False)
            elif self.peft_model is not None and key in self.peft_model.peft_config:
                self.peft_model.delete_adapter(key)
                self._turn_on()
            if isinstance(error, ValueError | RuntimeError | KeyError) and str(path) not in str(error):
                raise ValueError(f"{path} is no adapter of this model: {one_line(error)}") from error
            raise

    def set_weights(self, weights: Mapping[str, float]) -> None:
        """Set how strongly each adapter counts; those that are not named are off.

        Raises:
            ValueError: If there is no such adapter, a weight is out of range, or an adapter that replaces modules
                is to be weighted or joined with another.
        """
        if unknown := sorted(set(weights) - set(self._adapters)):
            raise ValueError(
                f"There is no adapter {', '.join(unknown)}; loaded: {', '.join(sorted(self._adapters)) or 'none'}."
            )
        for name, weight in weights.items():
            if not -MAX_WEIGHT <= weight <= MAX_WEIGHT:
                raise ValueError(
                    f"The weight of an adapter must lie within {MAX_WEIGHT:g}, got {weight} for {name!r}."
                )
        active = {name: weight for name, weight in weights.items() if weight}
        for name, weight in active.items():
            if self._replaces_modules(name) and (weight != 1 or len(active) > 1):
                raise ValueError(
                    f"The adapter {name} replaces whole modules (`modules_to_save` or `trainable_token_indices`), "
                    "which can be neither weighted nor added up: use it alone, with a weight of 1 or 0."
                )
        self.weights = {name: float(weights.get(name, 0.0)) for name in self._adapters}
        self._turn_on()

    def _replaces_modules(self, name: str) -> bool:
        config = self.peft_model.peft_config[self._adapters[name].key]
        return bool(config.modules_to_save or config.trainable_token_indices)

    def _turn_on(self) -> None:
        """Make PEFT's layers count as `weights` says."""
        from peft.tuners.lora import LoraLayer
        from peft.utils import AuxiliaryTrainingWrapper

        if self.active:
            self.peft_model.base_model.set_adapter([self._adapters[name].key for name in self.active])
        for module in self.model.modules():
            if not self.active and isinstance(module, LoraLayer | AuxiliaryTrainingWrapper):
                module.set_adapter([])  # the tuner refuses an empty list where modules are replaced
            if isinstance(module, LoraLayer):
                for name, weight in self.weights.items():
                    module.set_scale(self._adapters[name].key, weight)
        self.model.requires_grad_(False)

    @property
    def active(self) -> list[str]:
        """Names of the adapters that count."""
        return [name for name, weight in self.weights.items() if weight]

    @property
    def added_genres(self) -> dict[str, int]:
        """Rows of the genres that the adapters that count add, by name."""
        return {genre: row for name in self.active for genre, row in self._adapters[name].added_genres.items()}

    @property
    def licenses(self) -> dict[str, str | None]:
        """Terms of each adapter that counts, by name."""
        return {name: self._adapters[name].license for name in self.active}

    @contextmanager
    def for_genre(self, genre: str | None) -> Iterator[None]:
        """Turn the adapters off for a genre that none of those that count has learned."""
        learned = [self._adapters[name].learned_genres for name in self.active]
        if not learned or any(genres is None or genre in genres for genres in learned):
            yield
            return
        weights = dict(self.weights)
        self.set_weights({})
        try:
            yield
        finally:
            self.set_weights(weights)

    def merge(self) -> None:
        """Add the adapters to the weights of the model, which is a plain one then."""
        if self.peft_model is not None:
            self._take_out(merge=True)

    def unload(self) -> None:
        """Take the adapters out: the model is the one that it was, to the bit."""
        if self.peft_model is not None:
            self._take_out(merge=False)

    def _take_out(self, *, merge: bool) -> None:
        if merge:
            self.peft_model.merge_and_unload(adapter_names=[self._adapters[name].key for name in self.active])
        else:
            self.weights = dict.fromkeys(self.weights, 0.0)
            self._turn_on()  # PEFT keeps modules that are replaced and on
            self.peft_model.unload()
        self.peft_model, self.weights, self._adapters = None, {}, {}


def _check_base_stays(config: Any, path: Path) -> None:
    """Raise `ValueError` if an adapter changes weights of the base in a way that taking it out leaves."""
    if config.bias != "none":
        raise ValueError(
            f"{path} trains biases of the model itself (`bias={config.bias!r}`), which could not be taken out again: "
            "train it with `bias='none'`."
        )
    if config.init_lora_weights not in _PLAIN_BEGINNINGS:
        raise ValueError(
            f"{path} was begun with `init_lora_weights={config.init_lora_weights!r}`, which changes the weights of "
            "the model itself: convert it when it is saved (`path_initial_model_for_weight_conversion` of PEFT)."
        )


def check_adapter_folder(folder: Path) -> None:
    """Raise unless a folder holds an undamaged adapter.

    Raises:
        FileNotFoundError: If it does not exist or a file is missing.
        ValueError: If its configuration is none, or the weights are not those that were saved.
    """
    for file in (ADAPTER_CONFIG_FILE, ADAPTER_WEIGHTS_FILE):
        if not (folder / file).is_file():
            raise FileNotFoundError(
                f"{folder} is no folder of an adapter: it has no {file}. `infinitedance finetune` makes one."
            )
    read_json_object(folder / ADAPTER_CONFIG_FILE)
    check_checksums(folder)
