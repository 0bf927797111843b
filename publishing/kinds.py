"""What each kind of repository is made of: the only files that are ever uploaded, and those that must be there."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from safetensors import safe_open

from ..utils.checkpoints import check_checksums, read_json_object
from ..utils.errors import reading

CARD_FILE, PICTURE_FILE = "README.md", "dance.png"
EVALUATION_FILE = ".eval_results/infinitedance.yaml"
_TEXTS = (CARD_FILE, "LICENSE", "LICENSE.md", "LICENSE.txt", "NOTICE")
_WEIGHTS = ("model.safetensors", "model-*-of-*.safetensors", "model.safetensors.index.json", "SHA256SUMS")
"""As transformers reads them, whole or in shards; nothing else that is called like a model."""
_MODEL = ("config.json", "generation_config.json", *_WEIGHTS)
_LIBRARY = (
    "dances.safetensors",
    "encoder/config.json",
    *(f"encoder/{file}" for file in _WEIGHTS),
    "index/embedding.faiss",
    "index/retrieval_index.json",
    "index/rows/*.arrow",
    "index/rows/dataset_info.json",
    "index/rows/state.json",
)
_PATHS_OF_MODELS = ("_name_or_path", "name_or_path")
"""Fields in which transformers keeps where a model lay; they are cut out of what is uploaded."""


@dataclass(frozen=True)
class Kind:
    """One kind of repository.

    Args:
        name: As `infinitedance publish` takes it.
        noun: What lies there, with its article.
        repo_type: `"model"`, `"dataset"` or `"space"`.
        files: Patterns of the paths that may be uploaded; a star stays within one folder, two stars are all below one.
        required: Patterns of which each must match a file.
        made_by: What makes such a folder, for the error where it is another one.
        model_type: What `config.json` must state, if there is one.
        pipeline_tag: The Hub's name of the task: it has none for sound to motion, hence `other`.
        tags: By which the Hub finds it.
    """

    name: str
    noun: str
    repo_type: str
    files: tuple[str, ...]
    required: tuple[str, ...]
    made_by: str
    model_type: str | None = None
    pipeline_tag: str | None = None
    tags: tuple[str, ...] = ()


KINDS = {
    kind.name: kind
    for kind in (
        Kind(
            "model",
            "a music-to-dance model",
            "model",
            (*_MODEL, *_TEXTS, "processor_config.json", PICTURE_FILE, *(f"references/{file}" for file in _LIBRARY)),
            ("config.json", "processor_config.json", "model*.safetensors"),
            "`train_choreollama` and `MusicToDancePipeline.save_pretrained`",
            "choreollama",
            "other",
            ("music-to-dance", "motion-generation", "3d", "audio"),
        ),
        Kind(
            "tokenizer",
            "a motion codec",
            "model",
            (*_MODEL, *_TEXTS),
            ("config.json", "model*.safetensors"),
            "`train_motion_codec` and `MotionTokenizer.save_pretrained`",
            "motion_codec",
            "feature-extraction",
            ("motion-codec", "residual-vector-quantization", "motion-capture", "3d"),
        ),
        Kind(
            "restorer",
            "a foot restoration model",
            "model",
            (*_MODEL, *_TEXTS),
            ("config.json", "model*.safetensors"),
            "`train_frdm` and `FrdmPipeline.save_pretrained`",
            "frdm",
            "other",
            ("foot-restoration", "motion-capture", "diffusion", "3d"),
        ),
        Kind(
            "library",
            "a library of reference dances",
            "model",
            (*_LIBRARY, *_TEXTS),
            (
                "dances.safetensors",
                "encoder/config.json",
                "encoder/model*.safetensors",
                "index/retrieval_index.json",
                "index/rows/*.arrow",
            ),
            "`infinitedance index`",
            None,
            "feature-extraction",
            ("music-to-dance", "retrieval", "motion-capture", "3d"),
        ),
        Kind(
            "adapter",
            "an adapter of a music-to-dance model",
            "model",
            (
                "adapter_config.json",
                "adapter_model.safetensors",
                "processor_config.json",
                "finetune.json",
                "SHA256SUMS",
                *_TEXTS,
            ),
            ("adapter_config.json", "adapter_model.safetensors", "processor_config.json", "finetune.json"),
            "`infinitedance finetune`",
            None,
            "other",
            ("music-to-dance", "motion-generation", "3d", "audio", "lora"),
        ),
        Kind(
            "dataset",
            "a data set as Parquet",
            "dataset",
            ("*/*.parquet", *_TEXTS),
            (CARD_FILE, "*/*.parquet"),
            "`infinitedance build --parquet`",
        ),
        Kind(
            "space",
            "the Space",
            "space",
            (
                *("app.py", "requirements.txt", "pre-requirements.txt", "packages.txt", ".gitattributes"),
                *("infinitedance/**", *_TEXTS),
            ),
            (CARD_FILE, "app.py", "requirements.txt", "infinitedance/__init__.py"),
            "`infinitedance space --write-folder`",
        ),
    )
}


def find_kind(name: str) -> Kind:
    """Return the kind of a name.

    Raises:
        ValueError: If there is none.
    """
    if name not in KINDS:
        raise ValueError(f"`kind` must be one of {', '.join(KINDS)}, got {name!r}.")
    return KINDS[name]


def matches(path: str, patterns: Iterable[str]) -> bool:
    """Return whether a path within a repository matches a pattern of a `Kind`; what Python compiled matches none."""
    parts = PurePosixPath(path).parts
    if "__pycache__" in parts:
        return False
    return any(
        path.startswith(pattern[:-2])
        if pattern.endswith("/**")
        else len(parts) == len(PurePosixPath(pattern).parts) and PurePosixPath(path).match(pattern)
        for pattern in patterns
    )


def find_files(kind: Kind, folder: Path) -> tuple[dict[str, Path], list[str]]:
    """Return the files of a folder that are uploaded, by their path in the repository, and the names of all others.

    Raises:
        FileNotFoundError: If there is no such folder, or what makes it this kind is missing.
        ValueError: If it is a file, or a link leads out of the folder or to a folder.
    """
    if folder.is_file():
        raise ValueError(f"{folder} is a file. Give the folder of {kind.noun}.")
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {folder}. Give {kind.noun}: {kind.made_by} writes one.")
    found, others = {}, []
    folders = {str(parent) for pattern in kind.files for parent in PurePosixPath(pattern).parents}
    for path in sorted(_walk(folder)):
        name = path.relative_to(folder).as_posix()
        is_wanted = matches(name, kind.files)
        if path.is_symlink() and matches(name, folders):
            raise ValueError(f"{path} is a link to a folder, which is not followed: publish a copy without links.")
        if is_wanted and not path.resolve().is_relative_to(folder.resolve()):
            raise ValueError(f"{path} is a link that leads out of the folder: publish a copy without links.")
        if is_wanted and path.is_file():
            found[name] = path
        else:
            others.append(name)
    for pattern in kind.required:
        if not any(matches(name, [pattern]) for name in found):
            raise FileNotFoundError(f"{folder} is not {kind.noun}: it has no {pattern}. {kind.made_by} writes one.")
    return found, others


def _walk(folder: Path) -> Iterator[Path]:
    """Yield every file, and every linked folder, which is not entered."""
    for place, folders, files in os.walk(folder):
        for name in files:
            yield Path(place) / name
        for name in folders:
            if (Path(place) / name).is_symlink():
                yield Path(place) / name


def check_contents(kind: Kind, folder: Path, files: dict[str, Path]) -> None:
    """Check configurations, weights and hashes of a folder without loading a model.

    Raises:
        ValueError: If another kind lies there, or a file is damaged or was changed.
    """
    if kind.model_type is not None:
        found = read_json_object(folder / "config.json").get("model_type")
        if found != kind.model_type:
            raise ValueError(f"{folder} is not {kind.noun}: config.json must state {kind.model_type}, got {found}.")
    for name, path in files.items():
        if name.endswith(".json"):
            read_json_object(path)
        elif path.name == "SHA256SUMS":
            check_checksums(path.parent)
        elif name.endswith(".safetensors"):
            with reading(path), safe_open(path, framework="numpy"):  # which finds a file that was cut off
                pass


def without_local_paths(name: str, values: dict[str, Any]) -> dict[str, Any]:
    """Return the values of a JSON file without the places where models lay on this machine.

    Raises:
        ValueError: If another field holds such a path.
    """
    cleaned = _without(values, _PATHS_OF_MODELS)
    local = next(_absolute_paths(cleaned), None)
    if local is not None:
        raise ValueError(f"{name} would publish a path of this machine, {local!r}: take it out first.")
    return cleaned


def _without(value: Any, keys: tuple[str, ...]) -> Any:
    if isinstance(value, dict):
        return {key: _without(item, keys) for key, item in value.items() if not (key in keys and item)}
    return [_without(item, keys) for item in value] if isinstance(value, list) else value


def _absolute_paths(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _absolute_paths(key)
            yield from _absolute_paths(item)
    elif isinstance(value, list):
        for item in value:
            yield from _absolute_paths(item)
    elif isinstance(value, str):
        path = PureWindowsPath(value) if PureWindowsPath(value).drive else PurePosixPath(value)
        if path.is_absolute() and len(path.parts) > 2:
            yield value
