"""The rows of a retrieval index as a data set: one a window, with its embedding, and its text columns as numbers."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from datasets import Dataset

EMBEDDING = "embedding"
TEXT_COLUMNS = ("clip_id", "song_id", "genre", "source", "license", "clip_digest")
COLUMNS = (*TEXT_COLUMNS, "start_frame", "start_seconds")
MAX_KEPT_MASKS = 32


def rows_to_dataset(rows: Mapping[str, Sequence | np.ndarray], embeddings: np.ndarray) -> Dataset:
    """Return the rows as a typed data set, without an index.

    Args:
        rows: The columns `COLUMNS`.
        embeddings: `(rows, embedding_size)` float32, of length 1.

    Raises:
        ValueError: If a column is missing, lengths differ, or an embedding is not of length 1.
    """
    import datasets
    import pyarrow

    lengths = {name: len(column) for name, column in rows.items()} | {EMBEDDING: len(embeddings)}
    if set(rows) != set(COLUMNS) or len(set(lengths.values())) != 1:
        raise ValueError(f"`rows` must have the columns {', '.join(COLUMNS)}, of one length, got {lengths}.")
    if embeddings.ndim != 2 or not np.allclose(np.square(embeddings).sum(axis=1), 1, atol=1e-3):
        raise ValueError(f"`embeddings` must be vectors of length 1, got shape {embeddings.shape}.")
    types = dict.fromkeys(TEXT_COLUMNS, "string") | {"start_frame": "int64", "start_seconds": "float64"}
    table = {name: pyarrow.array(rows[name], kind) for name, kind in types.items()}
    size = embeddings.shape[1]
    table[EMBEDDING] = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(embeddings.ravel()), size)
    features = datasets.Features({name: datasets.Value(kind) for name, kind in types.items()})
    features[EMBEDDING] = datasets.List(datasets.Value("float32"), length=size)
    info = datasets.DatasetInfo(features=features)
    return datasets.Dataset(pyarrow.table(table).cast(features.arrow_schema), info=info)


def column_to_array(dataset: Dataset) -> np.ndarray:
    """Return the embeddings, `(rows, embedding_size)` float32, without a copy where Arrow holds them in one piece."""
    column = dataset.data.column(EMBEDDING)
    column = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    return column.flatten().to_numpy(zero_copy_only=False).reshape(len(dataset), -1)


class RowColumn:
    """A text column of the library as numbers, for filters over a million rows.

    Args:
        dataset: The rows.
        name: The column.
    """

    def __init__(self, dataset: Dataset, name: str):
        encoded = dataset.data.column(name).combine_chunks().dictionary_encode()
        self.name = name
        self.values: list[str] = encoded.dictionary.to_pylist()
        self.codes: np.ndarray = encoded.indices.to_numpy()  # (rows,) int32
        self.code_of = {value: code for code, value in enumerate(self.values)}
        self._masks: dict[frozenset[str], np.ndarray] = {}

    @cached_property
    def _rows_by_code(self) -> tuple[np.ndarray, np.ndarray]:
        """The rows sorted by code, and where those of each code begin."""
        order = np.argsort(self.codes, kind="stable")
        return order, np.searchsorted(self.codes[order], np.arange(len(self.values) + 1))

    def __getitem__(self, row: int) -> str:
        return self.values[self.codes[row]]

    def rows_of(self, value: str) -> np.ndarray:
        """Return the rows that have a value, rising; none if it does not occur."""
        if value not in self.code_of:
            return np.zeros(0, np.int64)
        order, starts = self._rows_by_code
        code = self.code_of[value]
        return order[starts[code] : starts[code + 1]]

    def matches(self, wanted: str | Collection[str]) -> np.ndarray:
        """Return which rows have one of the wanted values, `(rows,)`.

        Raises:
            ValueError: If no row has a wanted value.
        """
        names = [wanted] if isinstance(wanted, str) else list(wanted)
        unknown = [name for name in names if name not in self.code_of]
        if unknown or not names:
            shown = ", ".join(repr(value) for value in sorted(self.values)[:20])
            raise ValueError(f"`{self.name}` must be some of those in the library ({shown}), got {wanted!r}.")
        key = frozenset(names)
        if key not in self._masks:
            if len(self._masks) >= MAX_KEPT_MASKS:
                self._masks.clear()
            self._masks[key] = np.isin(self.codes, [self.code_of[name] for name in names])
        return self._masks[key]
