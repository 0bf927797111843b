"""`InfiniteDanceBuilder`: a built data set in the `datasets` library, and its form on the Hub.

The library refuses data set scripts, so the builder is a class of this package.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..publishing.push_to_hub import PushToHubMixin
from ..utils.atomic import atomic_folder, check_new_folder
from ..utils.errors import reading
from .data_card import CARD_FILE, render_data_card
from .manifest import BuiltClip, manifest_sha256, read_manifest
from .schema import CONFIG_DESCRIPTIONS, clip_table, clips_of_config, config_features, datasets, pa
from .splits import SPLITS

MAX_SHARD_BYTES = 500_000_000
_TERMS = ("source", "license")
_NOT_PASSED_ON = re.compile(
    r"\b(no|not|never) (be )?(re-?)?(distribut|ship)|distribution (is )?(not|forbidden|prohibited)", re.IGNORECASE
)
VERSION = datasets.Version("1.2.0")
"""Of the columns; another one reads no old cache."""


@dataclass
class InfiniteDanceConfig(datasets.BuilderConfig):
    """Configuration of the builder.

    Args:
        manifest_sha256: Hash of the manifest of the built folder; a part of the cache's name, so that another build
            is never read from an old cache.
    """

    manifest_sha256: str = ""


class InfiniteDanceBuilder(PushToHubMixin, datasets.ArrowBasedBuilder):
    """Builder of a `datasets` data set from what `infinitedance build` made.

    Configurations: `motion`, `codes`, `music` and `paired` (the default). Every clip is a shard, so that streams can
    be shuffled and divided by clip.

    Args:
        data_dir: The built folder.
        config_name: Name of the configuration.
        **kwargs: Of `datasets.DatasetBuilder`, as `cache_dir`.

    Raises:
        FileNotFoundError: If `data_dir` holds no finished build.
        ValueError: If the configuration does not exist, or no clip has what it holds.

    Example:
        ```python
        from infinitedance.dataset_builder.hub import InfiniteDanceBuilder

        builder = InfiniteDanceBuilder(config_name="paired", data_dir="built")
        builder.download_and_prepare(num_proc=2)
        train = builder.as_dataset("train").with_format("numpy")
        stream = builder.as_streaming_dataset("train")       # needs no preparation
        ```
    """

    kind = "dataset"
    VERSION = VERSION
    BUILDER_CONFIG_CLASS = InfiniteDanceConfig
    BUILDER_CONFIGS = [
        InfiniteDanceConfig(name=name, version=VERSION, description=description)
        for name, description in CONFIG_DESCRIPTIONS.items()
    ]
    DEFAULT_CONFIG_NAME = "paired"

    def __init__(self, *, data_dir: str | os.PathLike, config_name: str | None = None, **kwargs: Any):
        if config_name is not None and config_name not in CONFIG_DESCRIPTIONS:
            raise ValueError(f"`config_name` must be one of {', '.join(CONFIG_DESCRIPTIONS)}, got {config_name!r}.")
        super().__init__(
            dataset_name="infinitedance",
            config_name=config_name,
            data_dir=str(Path(data_dir).resolve()),
            manifest_sha256=manifest_sha256(data_dir),
            **kwargs,
        )

    @property
    def built_dir(self) -> Path:
        """The built folder."""
        return Path(self.config.data_dir)

    def _info(self) -> datasets.DatasetInfo:
        clips = read_manifest(self.built_dir)
        if not clips_of_config(clips, self.config.name):
            raise ValueError(
                f"{self.built_dir} has no clip for the configuration {self.config.name!r}: "
                f"{CONFIG_DESCRIPTIONS[self.config.name]}"
            )
        return datasets.DatasetInfo(
            description=self.config.description,
            features=config_features(self.config.name, clips),
            license="; ".join(sorted({clip.license or "not stated" for clip in clips})),
        )

    def _split_generators(self, dl_manager: datasets.DownloadManager) -> list[datasets.SplitGenerator]:
        clips = clips_of_config(read_manifest(self.built_dir), self.config.name)
        parts = {split: [clip for clip in clips if clip.split == split] for split in SPLITS}
        return [
            datasets.SplitGenerator(name=split, gen_kwargs={"clips": members})
            for split, members in parts.items()
            if members
        ]

    def _generate_tables(self, clips: Sequence[BuiltClip]) -> Iterator[tuple[int, pa.Table]]:
        for index, clip in enumerate(clips):
            yield index, clip_table(clip, self.built_dir, self.info.features)

    def save_to_publish(self, folder: Path, is_private: bool) -> None:
        """Write the Parquet form of all configurations, unless terms of a source forbid to make it public."""
        export_parquet(self.built_dir, folder, cache_dir=self._cache_dir_root)
        check_parquet(folder, is_private=is_private)


def export_parquet(
    built_dir: str | os.PathLike,
    output_dir: str | os.PathLike,
    *,
    configs: Sequence[str] | None = None,
    cache_dir: str | os.PathLike | None = None,
    num_proc: int | None = None,
    max_shard_bytes: int = MAX_SHARD_BYTES,
) -> Path:
    """Write a built data set as the Hub lays it out: a folder of Parquet files a configuration, and a data card.

    `datasets.load_dataset(output_dir, "paired")` reads it, as does a repository that holds the same files.

    Args:
        built_dir: The built folder.
        output_dir: A folder that does not exist or is empty.
        configs: Configurations to write; all that have clips by default.
        cache_dir: Cache of the `datasets` library.
        num_proc: Processes that prepare the tables.
        max_shard_bytes: A split larger than this, before compression, is divided.

    Returns:
        `output_dir`.

    Raises:
        FileExistsError: If the folder holds anything.
        ValueError: If a configuration does not exist or has no clip.
    """
    output = Path(output_dir)
    check_new_folder(output)
    clips = read_manifest(built_dir)
    names = configs or [name for name in CONFIG_DESCRIPTIONS if clips_of_config(clips, name)]
    builders = [InfiniteDanceBuilder(config_name=name, data_dir=built_dir, cache_dir=cache_dir) for name in names]
    splits: dict[str, list[str]] = {}
    with atomic_folder(output) as partial:
        for builder in builders:
            builder.download_and_prepare(num_proc=num_proc)
            parts = builder.as_dataset()
            folder = partial / builder.config.name
            folder.mkdir()
            for split, part in parts.items():
                _write_shards(part, folder, split, max_shard_bytes)
            splits[builder.config.name] = list(parts)
        (partial / CARD_FILE).write_text(render_data_card(clips, splits), encoding="utf-8")
    return output


def _write_shards(part: datasets.Dataset, folder: Path, split: str, max_shard_bytes: int) -> None:
    num_shards = min(len(part), max(1, math.ceil(part.data.nbytes / max_shard_bytes)))
    for index in range(num_shards):
        shard = part.shard(num_shards, index, contiguous=True)
        shard.to_parquet(folder / f"{split}-{index:05d}-of-{num_shards:05d}.parquet")


def check_parquet(folder: str | os.PathLike, *, is_private: bool) -> None:
    """Raise `ValueError` unless every Parquet file in the folders of a folder holds dances that may be passed on.

    Args:
        folder: As `export_parquet` writes it.
        is_private: Whether it is uploaded for its owner alone: then terms that forbid to pass it on are kept.
    """
    import pyarrow.parquet

    for path in sorted(Path(folder).glob("*/*.parquet")):
        with reading(path):
            names = pyarrow.parquet.read_schema(path).names
            terms = pyarrow.parquet.read_table(path, columns=[name for name in _TERMS if name in names])
        if not {"clip_id", *_TERMS} <= set(names):
            raise ValueError(f"{path} must have the columns clip_id, source and license of each dance, got {names}.")
        closed = {row["source"] for row in terms.to_pylist() if _NOT_PASSED_ON.search(row["license"] or "")}
        if closed and not is_private:
            raise ValueError(
                f"The terms of {', '.join(sorted(closed))} forbid to pass it on: build the data set without it, or "
                "make the repository private."
            )
