"""The authors' published files to a folder of ours: found by what they hold, checked, written as they are read."""

from __future__ import annotations

import json
import os
import pickle
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from transformers import LlamaConfig, PreTrainedConfig, PreTrainedModel

from ...audio.muq_features import MuqFeatureExtractor
from ...utils.atomic import atomic_folder, check_new_folder
from ...utils.checkpoints import read_json_object, write_checksums
from ...utils.errors import one_line, reading, writing
from .configuration_choreollama_release import (
    RELEASED_BACKBONE,
    RELEASED_STYLES,
    ChoreoLlamaReleaseConfig,
    ReleaseCodecConfig,
    ReleaseRetrieverConfig,
)
from .modeling_choreollama_release import ChoreoLlamaReleaseModel
from .modeling_release_retriever import ReleaseRetriever

RETRIEVER_FOLDER = "retriever"
CODEC_SETTINGS_FILE = "args.json"
CODEC_STATISTICS = "alldata_new_joint_vecs264/meta"
CONDITION_STATISTICS = "alldata_new_joint_vecs264_ft_balanced/meta"
RELEASE_LICENSE = "infinitedance-non-commercial"
RELEASE_PAGE = "https://github.com/MotrixLab/InfiniteDance"
RELEASED_WIDTH, RELEASED_BRIDGE_HEADS = 2048, 8

_SUFFIXES = (".pt", ".pth", ".ckpt", ".bin", ".tar")
_NUM_SHARDS, _LEAST_SHARD_BYTES = 16, 2**24
"""safetensors before 0.8 copies a file that it writes: it must be small beside all of them."""
_HEAD, _TABLE = "llama.lm_head.weight", "llama.model.embed_tokens.weight"
_RETRIEVER_PREFIX = "model."
_KINDS = {
    "generator": "the LLaMA with its music bridge, about 2.15 GB",
    "codec": "the residual VQ, about 586 MB, a file with `net`",
    "retriever": "the retrieval network, about 71 MB, a Lightning checkpoint",
}
_CARD = f"""---
library_name: infinitedance
license: other
license_name: {RELEASE_LICENSE}
license_link: {RELEASE_PAGE}
pipeline_tag: other
tags: [music-to-dance, motion-generation, 3d, audio]
---

# The authors' released InfiniteDance model

Weights of *InfiniteDance: Scalable 3D Dance Generation Towards in-the-wild Generalization* (ECCV 2026, arXiv
2603.13375), released at {RELEASE_PAGE} and written into this form by `infinitedance import-release`; the numbers are
unchanged.

**No commercial use.** The terms of the release hold for these weights and for the dances that are made with them. Its
music features are those of MuQ, whose weights are under CC BY-NC 4.0.

```bash
infinitedance dance song.mp3 --model this_folder --genre Popular --music-features features.npy
```
"""


@dataclass(frozen=True)
class PublishedFiles:
    """Where the files of the release lie.

    Args:
        generator: Flat state dict of the LLaMA and its music bridge.
        codec: `{"net": state dict}` of the residual VQ.
        codec_settings: Its `args.json`.
        codec_statistics: Folder with the `Mean.npy` and `Std.npy` of the codec.
        condition_statistics: Folder with those of the retrieved dances.
        retriever: Lightning checkpoint; `None` without.
    """

    generator: Path
    codec: Path
    codec_settings: Path
    codec_statistics: Path
    condition_statistics: Path
    retriever: Path | None = None


def find_published_files(folder: str | os.PathLike, given: Mapping[str, Path | None] | None = None) -> PublishedFiles:
    """Find the files of the release in a folder and those below it.

    Args:
        folder: What was downloaded, in any order.
        given: Fields of `PublishedFiles` that are not looked for.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If there are several of a kind.
    """
    folder = Path(folder)
    found: dict[str, Path | None] = {name: path for name, path in (given or {}).items() if path is not None}
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {folder}: give the one that the release was downloaded to.")
    for name, path in found.items():
        if path is not None and not path.exists():
            raise FileNotFoundError(f"There is no {path} (`--{name.replace('_', '-')}`).")
    if set(_KINDS) - set(found):
        found = {**_find_checkpoints(folder, set(_KINDS) - set(found)), **found}
    codec = found["codec"]
    assert codec is not None  # found, or an error before
    settings = found.setdefault("codec_settings", codec.parent / CODEC_SETTINGS_FILE)
    if settings is None or not settings.is_file():
        raise FileNotFoundError(
            f"There is no {CODEC_SETTINGS_FILE} beside {codec}: it states the dilation and the activation of the "
            "codec, which are in no weight, and a wrong guess would change most codes without an error. Download it, "
            "or name it with `--codec-settings`."
        )
    for name, ending in (("codec_statistics", CODEC_STATISTICS), ("condition_statistics", CONDITION_STATISTICS)):
        if name not in found:
            found[name] = _find_statistics(folder, name, ending)
    return PublishedFiles(**found)  # type: ignore[arg-type]


def import_release(
    files: PublishedFiles,
    output: str | os.PathLike,
    *,
    llama_config: Path | None = None,
    bridge_heads: int | None = None,
) -> ChoreoLlamaReleaseConfig:
    """Write the published weights as a folder that `from_pretrained` reads; all of it, or nothing.

    Weights are mapped into memory and written shard by shard, in the precision of their file.

    Args:
        files: From `find_published_files`.
        output: New or empty folder.
        llama_config: `config.json` of the LLaMA; that of LLaMA-3.2-1B by default.
        bridge_heads: Attention heads of the music bridge, which are in no file: 8 in the release.

    Returns:
        The configuration.

    Raises:
        FileExistsError: If `output` holds anything.
        ValueError: If a file is damaged, is of another kind, or lacks a weight or has one of another shape.
    """
    check_new_folder(output)
    generator, codec = _weights(files.generator, "generator"), _weights(files.codec, "codec")
    codec_config = _codec_config(files, codec)
    config = _generator_config(files.generator, generator, codec_config, llama_config, bridge_heads)
    parts = (
        (files.generator, _without_head(files.generator, generator)),
        (files.codec, {f"codec.{name}": tensor for name, tensor in codec.items()}),
        (files.codec_statistics, _statistics(files.codec_statistics, "codec.feature")),
        (files.condition_statistics, _statistics(files.condition_statistics, "condition")),
    )
    weights = {name: tensor for _, part in parts for name, tensor in part.items()}
    expected = _expected_shapes(ChoreoLlamaReleaseModel, config)
    expected.pop(_HEAD, None)
    _check_weights(weights, expected, {name: path for path, part in parts for name in part}, files.codec)
    retriever = None
    if files.retriever is not None:
        retriever = _weights(files.retriever, "retriever")
        retriever_config = _retriever_config(files.retriever, retriever)
        expected = _expected_shapes(ReleaseRetriever, retriever_config)
        _check_weights(retriever, expected, dict.fromkeys(retriever, files.retriever))
    with atomic_folder(output) as folder, writing(output):
        _write(folder, config, ChoreoLlamaReleaseModel, weights)
        if retriever is not None:
            _write(folder / RETRIEVER_FOLDER, retriever_config, ReleaseRetriever, retriever)
        MuqFeatureExtractor(feature_size=config.music_dim).save_pretrained(folder)
        (folder / "README.md").write_text(_CARD, encoding="utf-8")
    return config


def open_checkpoint(path: Path) -> dict[str, Any]:
    """Open a file of `torch.save` without reading its weights, and without running what it may hold besides them.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is cut, of another program, or holds other objects than weights and plain values.
    """
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    if not zipfile.is_zipfile(path):
        raise ValueError(
            f"{path} is no whole file of `torch.save`: it is cut, or of another program. Download it again."
        )
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{path} holds Python objects besides weights, which could run code; such a file is never loaded: it is "
            f"not as published, or save its state dict alone. ({one_line(error)[:160]})"
        ) from error
    except Exception as error:
        raise ValueError(f"{path} cannot be read: {one_line(error)[:200]}. Download it again.") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} must hold a dictionary of weights, got {type(content).__name__}.")
    return content


def _kind(content: Mapping[str, Any]) -> str | None:
    if isinstance(content.get("net"), dict):
        return "codec"
    if isinstance(content.get("state_dict"), dict):
        return "retriever"
    return "generator" if any(str(name).startswith("llama.") for name in content) else None


def _find_checkpoints(folder: Path, wanted: set[str]) -> dict[str, Path | None]:
    """Return the file of each kind by what it holds; the retriever may be missing."""
    found: dict[str, list[Path]] = {kind: [] for kind in _KINDS}
    problems: list[str] = []
    for path in sorted(path for path in folder.rglob("*") if path.suffix in _SUFFIXES and path.is_file()):
        try:
            kind = _kind(open_checkpoint(path))
        except ValueError as error:
            problems.append(str(error))
            continue
        if kind is not None:
            found[kind].append(path)
    for kind in sorted(wanted):
        paths = found[kind]
        if len(paths) > 1:
            raise ValueError(
                f"{folder} holds several files of {_KINDS[kind]}: {', '.join(map(str, paths))}. Name one with "
                f"`--{kind}`."
            )
        if not paths and (kind != "retriever" or problems):
            raise FileNotFoundError(
                f"{folder} holds no file of {_KINDS[kind]}; name it with `--{kind}`."
                + (f" What cannot be used: {problems[0]}" if problems else "")
            )
    return {kind: paths[0] if paths else None for kind, paths in found.items() if kind in wanted}


def _find_statistics(folder: Path, name: str, ending: str) -> Path:
    paths = sorted(path.parent for path in folder.rglob("Mean.npy") if path.parent.as_posix().endswith(f"/{ending}"))
    if len(paths) == 1:
        return paths[0]
    raise FileNotFoundError(
        f"{folder} holds {'no' if not paths else 'several'} {ending}/Mean.npy: name the folder of these Mean.npy and "
        f"Std.npy with `--{name.replace('_', '-')}`; the two pairs of the release bear the same names."
    )


def _weights(path: Path, kind: str) -> dict[str, torch.Tensor]:
    """Return the state dict of a file, without what wraps it."""
    content = open_checkpoint(path)
    if _kind(content) != kind:
        raise ValueError(f"{path} is not {_KINDS[kind]}: it holds {', '.join(sorted(map(str, content))[:3])} ...")
    weights = {"codec": content.get("net"), "retriever": content.get("state_dict"), "generator": content}[kind]
    assert isinstance(weights, dict)  # of its kind
    odd = [name for name, value in weights.items() if not isinstance(value, torch.Tensor)]
    if odd:
        raise ValueError(f"{path}: {odd[0]} must be a weight, got {type(weights[odd[0]]).__name__}.")
    if kind == "retriever":
        # Only the first `model.` is Lightning's; other names may hold the word.
        bare = [name for name in weights if not name.startswith(_RETRIEVER_PREFIX)]
        if bare:
            raise ValueError(f"{path}: every weight must begin with `{_RETRIEVER_PREFIX}`, got {bare[0]}.")
        weights = {name.removeprefix(_RETRIEVER_PREFIX): value for name, value in weights.items()}
    return weights


def _shape(weights: Mapping[str, torch.Tensor], name: str, path: Path, dimensions: int = 2) -> tuple[int, ...]:
    """Return the shape of a weight from which sizes are read."""
    if name not in weights:
        raise ValueError(f"{path} lacks {name}: it is not the published file, or not whole. Download it again.")
    shape = tuple(weights[name].shape)
    if len(shape) != dimensions:
        raise ValueError(f"{path}: {name} must have {dimensions} dimensions, got shape {shape}.")
    return shape


def _count(weights: Mapping[str, torch.Tensor], prefix: str) -> int:
    """Return how many numbered parts follow a prefix."""
    numbers = {name.removeprefix(prefix).split(".")[0] for name in weights if name.startswith(prefix)}
    return len({number for number in numbers if number.isdecimal()})


def _codec_config(files: PublishedFiles, codec: Mapping[str, torch.Tensor]) -> ReleaseCodecConfig:
    """Return the codec's configuration: sizes from the weights, the rest from `args.json`; both must agree."""
    path, settings_path = files.codec, files.codec_settings
    if not any(name.startswith("vel_decoder.") for name in codec):
        raise ValueError(
            f"{path} has no `vel_decoder`, which writes the path of the root: it is a codec of an earlier stage of "
            "the training, or of before July 2026. Take the published one."
        )
    settings = read_json_object(settings_path)
    missing = [name for name in ("dilation_growth_rate", "vq_act") if name not in settings]
    if missing:
        raise ValueError(
            f"{settings_path} lacks {' and '.join(missing)}: it is not the {CODEC_SETTINGS_FILE} of a codec."
        )
    width, features, _ = _shape(codec, "encoder.model.0.weight", path, 3)
    num_codes, code_dim = _shape(codec, "quantizer.layers.0.codebook", path)
    down = _count(codec, "encoder.model.") - 2  # the first and the last convolution
    sizes = {
        "feature_dim": features,
        "width": width,
        "code_dim": code_dim,
        "num_codes": num_codes,
        "num_quantizers": _count(codec, "quantizer.layers."),
        "depth": _count(codec, "encoder.model.2.1.model."),
        "down_t": down,
        "stride": _shape(codec, "encoder.model.2.0.weight", path, 3)[2] // 2,
    }
    stated = {"nb_code": "num_codes", "code_dim": "code_dim", "output_emb_width": "code_dim", "width": "width"}
    stated |= {"down_t": "down_t", "stride_t": "stride", "depth": "depth", "num_quantizers": "num_quantizers"}
    for name, own in stated.items():
        if name in settings and settings[name] != sizes[own]:
            raise ValueError(
                f"{settings_path} belongs to another codec than {path}: its `{name}` is {settings[name]}, the weights "
                f"have {sizes[own]}."
            )
    if settings.get("vq_norm") not in (None, "None") or settings.get("shared_codebook"):
        raise ValueError(f"{settings_path}: a codec with `vq_norm` or `shared_codebook` is not the published one.")
    with reading(settings_path):
        return ReleaseCodecConfig(
            **sizes, dilation_growth_rate=settings["dilation_growth_rate"], activation=settings["vq_act"]
        )


def _generator_config(
    path: Path,
    weights: Mapping[str, torch.Tensor],
    codec_config: ReleaseCodecConfig,
    llama_config: Path | None,
    bridge_heads: int | None,
) -> ChoreoLlamaReleaseConfig:
    """Return the generator's configuration: sizes from the weights, heads from what is known of the release."""
    vocabulary, width = _shape(weights, _TABLE, path)
    if width != RELEASED_WIDTH and (llama_config is None or bridge_heads is None):
        raise ValueError(
            f"{path} has a LLaMA of width {width}, the published one {RELEASED_WIDTH}: the numbers of its heads are "
            "in no weight, so give `--llama-config` and `--bridge-heads`."
        )
    backbone = RELEASED_BACKBONE
    if llama_config is not None:
        fields = read_json_object(llama_config)
        with reading(llama_config):
            if fields.get("model_type") != "llama":
                raise ValueError(f"it must be the config.json of a LLaMA, got {fields.get('model_type')}")
            backbone = LlamaConfig.from_dict(fields).to_dict()
    num_styles, style_dim = _shape(weights, "style_embedding.weight", path)
    if num_styles != len(RELEASED_STYLES):
        raise ValueError(
            f"{path} must have {len(RELEASED_STYLES)} styles ({', '.join(RELEASED_STYLES)}), got {num_styles}."
        )
    expert = "music_bridge.specialized_experts.0."
    condition_dim = _shape(weights, f"{expert}proj.weight", path)[1]
    music_frames, condition_frames = _shape(weights, "cond_projection.weight", path)
    dance_bridge_dim, code_dim = _shape(weights, "dance_bridge.fc1.weight", path)
    if code_dim != codec_config.code_dim:
        raise ValueError(
            f"{path} reads codebook vectors of {code_dim} numbers, and the codec has {codec_config.code_dim}: the two "
            "do not belong together."
        )
    with reading(path):
        config = ChoreoLlamaReleaseConfig(
            text_config=dict(backbone),
            codec_config=codec_config.to_dict(),
            music_dim=_shape(weights, "music_bridge.input_proj.weight", path)[1] - style_dim - condition_dim,
            style_dim=style_dim,
            condition_dim=condition_dim,
            condition_frames=condition_frames,
            music_frames=music_frames,
            dance_bridge_dim=dance_bridge_dim,
            num_bridge_heads=bridge_heads or RELEASED_BRIDGE_HEADS,
            mamba_state_size=_shape(weights, f"{expert}mamba.A_log", path)[1],
            mamba_conv_size=_shape(weights, f"{expert}mamba.conv1d.weight", path, 3)[2],
            mamba_expand=_shape(weights, f"{expert}mamba.D", path, 1)[0] // width,
        )
    if config.vocab_size != vocabulary:
        raise ValueError(
            f"{path} has {vocabulary} ids, and the codec's {codec_config.num_quantizers} x {codec_config.num_codes} "
            f"codes need {config.vocab_size}: the two do not belong together."
        )
    config.dtype = str(weights[_TABLE].dtype).removeprefix("torch.")
    return config


def _retriever_config(path: Path, weights: Mapping[str, torch.Tensor]) -> ReleaseRetrieverConfig:
    hidden, motion_dim = _shape(weights, "motion_encoder.proj_in.weight", path)
    with reading(path):
        return ReleaseRetrieverConfig(
            motion_dim=motion_dim,
            music_dim=_shape(weights, "cond_encoder.proj_in.weight", path)[1],
            hidden=hidden,
            layers=_count(weights, "motion_encoder.blocks."),
            feed_forward=_shape(weights, "motion_encoder.blocks.0.ffn.linear1.weight", path)[0],
            max_frames=_shape(weights, "motion_encoder.embedding", path)[0],
        )


def _without_head(path: Path, weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the weights without the head, which the release stores a second time; it must be the table of ids."""
    head = weights.get(_HEAD)
    if head is not None and not torch.equal(head, weights[_TABLE]):
        raise ValueError(f"{path}: {_HEAD} must equal {_TABLE}, to which it is tied. Download the file again.")
    return {name: tensor for name, tensor in weights.items() if name != _HEAD}


def _statistics(folder: Path, prefix: str) -> dict[str, torch.Tensor]:
    result = {}
    for file, name in (("Mean.npy", "mean"), ("Std.npy", "std")):
        path = folder / file
        if not path.is_file():
            raise FileNotFoundError(f"There is no {path}: both Mean.npy and Std.npy are needed.")
        with reading(path):
            values = np.asarray(np.load(path, allow_pickle=False), np.float32)
            if not np.isfinite(values).all() or (name == "std" and not (values > 0).all()):
                raise ValueError("it must hold finite numbers, those of Std.npy positive")
        result[f"{prefix}_{name}"] = torch.from_numpy(values)
    return result


def _expected_shapes(model_class: type[PreTrainedModel], config: PreTrainedConfig) -> dict[str, tuple[int, ...]]:
    """Return the shape of every weight of a model, which is not built."""
    with torch.device("meta"):
        return {name: tuple(tensor.shape) for name, tensor in model_class(config).state_dict().items()}


def _check_weights(
    weights: Mapping[str, torch.Tensor],
    expected: Mapping[str, tuple[int, ...]],
    sources: Mapping[str, Path],
    codec: Path | None = None,
) -> None:
    """Raise `ValueError` unless there is every weight, no other one, each of its shape, and all are finite numbers."""
    for name in expected:
        if name not in weights:
            path = codec if codec is not None and name.startswith("codec.") else next(iter(sources.values()))
            raise ValueError(
                f"{path} lacks {name.removeprefix('codec.')}: it is not the published file, or not whole. Download it "
                "again."
            )
    for name, tensor in weights.items():
        told = f"{sources[name]}: {name.removeprefix('codec.')}"
        if name not in expected:
            raise ValueError(f"{told} is no weight of the published model. Give the published file.")
        if tuple(tensor.shape) != expected[name]:
            raise ValueError(
                f"{told} must have shape {expected[name]}, got {tuple(tensor.shape)}: it is another model, or its "
                "LLaMA has another configuration."
            )
        if not tensor.is_floating_point() or not torch.isfinite(tensor).all():
            raise ValueError(f"{told} must be finite real numbers. Download the file again.")


def _shards(weights: Mapping[str, torch.Tensor]) -> Iterator[dict[str, torch.Tensor]]:
    """Yield weights in groups of one size or less, of which there are 16 or so."""
    largest = max(_LEAST_SHARD_BYTES, sum(tensor.nbytes for tensor in weights.values()) // _NUM_SHARDS)
    shard: dict[str, torch.Tensor] = {}
    size = 0
    for name, tensor in weights.items():
        if shard and size + tensor.nbytes > largest:
            yield shard
            shard, size = {}, 0
        shard[name] = tensor.contiguous()
        size += tensor.nbytes
    yield shard


def _write(
    folder: Path, config: PreTrainedConfig, model_class: type[PreTrainedModel], weights: Mapping[str, torch.Tensor]
) -> None:
    """Write configuration, weights and hashes as `save_pretrained` does, from weights that are not in memory."""
    folder.mkdir(exist_ok=True)
    config.architectures = [model_class.__name__]
    config.save_pretrained(folder)
    shards = list(_shards(weights))
    places: dict[str, str] = {}
    for index, shard in enumerate(shards, 1):
        file = "model.safetensors" if len(shards) == 1 else f"model-{index:05d}-of-{len(shards):05d}.safetensors"
        save_file(shard, folder / file, metadata={"format": "pt"})
        places |= dict.fromkeys(shard, file)
    if len(shards) > 1:
        size = sum(tensor.nbytes for tensor in weights.values())
        index_text = json.dumps({"metadata": {"total_size": size}, "weight_map": places}, indent=2)
        (folder / "model.safetensors.index.json").write_text(index_text + "\n", encoding="utf-8")
    write_checksums(folder)
