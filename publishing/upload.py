"""Publishing: a folder is checked, and uploaded in one commit; what a killed upload had sent is not sent again."""

from __future__ import annotations

import json
import os
import tempfile
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..utils.checkpoints import read_json_object
from ..utils.errors import one_line, reading
from ..utils.hub_folders import HUB_NAME, hub_errors
from .cards import repository_url, split_card, write_card
from .kinds import (
    CARD_FILE,
    EVALUATION_FILE,
    PICTURE_FILE,
    Kind,
    check_contents,
    find_files,
    find_kind,
    matches,
    without_local_paths,
)
from .measurements import FINETUNE_FILE, read_finetune, read_measurements

_BYTES_UNITS = ("bytes", "kB", "MB", "GB", "TB")
_MAX_LEFT_OUT = 20


@dataclass(frozen=True)
class Publication:
    """What is to be uploaded, as it was checked.

    Args:
        kind: What it is.
        repo_id: Where to.
        files: Content of each path in the repository: a file on the disk, or bytes that were made for it.
        left_out: What else lies in the folder.
    """

    kind: Kind
    repo_id: str
    files: dict[str, Path | bytes]
    left_out: Sequence[str] = ()

    @property
    def card(self) -> str:
        """The card as the Hub gets it."""
        card = self.files[CARD_FILE]
        assert isinstance(card, bytes)  # `prepare` makes it
        return card.decode()

    @property
    def url(self) -> str:
        """The address of the repository."""
        return repository_url(self.kind, self.repo_id)

    def listing(self) -> str:
        """Return every file with its size, and what is left out."""
        sizes = {name: size_of(content) for name, content in self.files.items()}
        width = max(map(len, sizes))
        lines = [f"{self.kind.noun} for {self.url}:"]
        lines += [f"  {name:<{width}}  {readable_size(size)}" for name, size in sorted(sizes.items())]
        lines.append(f"  {len(sizes)} files, {readable_size(sum(sizes.values()))}")
        if self.left_out:
            tops = Counter(name.split("/")[0] + ("/" if "/" in name else "") for name in self.left_out)
            names = [f"{top} ({count} files)" if count > 1 else top for top, count in tops.items()]
            more = f" and {len(names) - _MAX_LEFT_OUT} more" if len(names) > _MAX_LEFT_OUT else ""
            lines.append(f"Left out, as no part of {self.kind.noun}: {', '.join(names[:_MAX_LEFT_OUT])}{more}")
        if "license" not in split_card(self.kind, self.card, CARD_FILE)[0]:
            lines.append("The card states no license: nobody else may use it then.")
        return "\n".join(lines)


@dataclass(frozen=True)
class Repository:
    """What is on the Hub under a name.

    Args:
        exists: Whether there is a repository of this kind.
        is_private: Whether it is closed to others.
        stale: Files of an earlier version that are no part of this one; the commit removes them.
    """

    exists: bool
    is_private: bool = False
    stale: Sequence[str] = ()


def prepare(
    kind: str,
    folder: str | os.PathLike,
    repo_id: str,
    *,
    license: str | None = None,
    datasets: Sequence[str] = (),
    base: str | None = None,
    benchmark: str | None = None,
    picture: bytes | None = None,
) -> Publication:
    """Check a folder and return what would be uploaded of it. Needs neither network nor token.

    Args:
        kind: One of `KINDS`.
        folder: What is to be published.
        repo_id: `owner/name` on the Hub.
        license: Terms that the card states, for models and libraries.
        datasets: Names on the Hub of what a model was trained on.
        base: Name on the Hub of the model that an adapter belongs to; what `finetune.json` states by default.
        benchmark: Name on the Hub of the data set that the measured numbers are of: writes `.eval_results`.
        picture: PNG of a dance of a model.

    Raises:
        FileNotFoundError: If the folder is not there, or not of this kind.
        ValueError: If a name, a file or the card cannot be published as it is.
    """
    found_kind, folder = find_kind(kind), Path(folder)
    check_repo_ids([repo_id, *datasets, *(name for name in (base, benchmark) if name is not None)])
    if found_kind.repo_type != "model" and (license or datasets or benchmark):
        raise ValueError(f"License, data sets and benchmark are for models; {found_kind.noun} has its own card.")
    paths, left_out = find_files(found_kind, folder)
    check_contents(found_kind, folder, paths)
    changed: dict[str, Any] = {}
    if found_kind.name == "adapter":
        base, changed = _with_base(folder, base)
    elif base is not None:
        raise ValueError(f"`base` is for adapters, got {base!r} with {found_kind.noun}.")
    files: dict[str, Path | bytes] = dict(paths)
    for name, path in paths.items():
        if name.endswith(".json"):
            own = read_json_object(path)
            values = without_local_paths(str(path), changed.get(name, own))
            files[name] = path if values == own else (json.dumps(values, indent=2) + "\n").encode()
    if picture is not None:
        files.setdefault(PICTURE_FILE, picture)
    own_card = read_text(paths[CARD_FILE]) if CARD_FILE in paths else None
    measured = read_measurements(folder, own_card)
    if benchmark is not None:
        files[EVALUATION_FILE] = evaluation_results(benchmark, measured.values, folder)
    card = write_card(
        found_kind, repo_id, folder, own_card, files, measured, license=license, datasets=datasets, base=base
    )
    files[CARD_FILE] = card.encode()
    return Publication(found_kind, repo_id, files, left_out)


def read_text(path: Path) -> str:
    """Return a text file; a `ValueError` names one that is none."""
    with reading(path):
        return path.read_text(encoding="utf-8")


def check_repo_ids(names: Sequence[str]) -> None:
    """Raise `ValueError` unless each is a name that the Hub takes."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    for name in names:
        try:
            validate_repo_id(name)
            is_whole = HUB_NAME.fullmatch(name) is not None
        except HFValidationError:
            is_whole = False
        if not is_whole:
            raise ValueError(
                f"A name on the Hub is OWNER/NAME, of letters, digits, dots, dashes and underscores, got {name!r}."
            )


def evaluation_results(benchmark: str, values: dict[str, float], folder: Path) -> bytes:
    """Return the measured numbers as the Hub takes them, one entry a measure.

    Raises:
        ValueError: If nothing was measured.
    """
    if not values:
        raise ValueError(
            f"Nothing measured lies in {folder}: put report.json of `infinitedance evaluate` there, or leave the "
            "benchmark out."
        )
    import yaml
    from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

    entries = [EvalResultEntry(dataset_id=benchmark, task_id=name, value=value) for name, value in values.items()]
    return yaml.safe_dump(eval_result_entries_to_yaml(entries), sort_keys=False).encode()


def _with_base(folder: Path, base: str | None) -> tuple[str, dict[str, Any]]:
    """Return the name on the Hub of an adapter's base model, and the files of the adapter that state it."""
    finetune = read_finetune(folder / FINETUNE_FILE)
    if base is None and not Path(finetune.base_model).exists():  # a folder may be called as a name on the Hub
        base = finetune.base_on_hub
    if base is None:
        raise ValueError(
            f"The adapter in {folder} belongs to {finetune.base_model!r}, which is no name on the Hub: give "
            "`--base OWNER/MODEL`, where that model is published."
        )
    config = read_json_object(folder / "adapter_config.json")
    return base, {
        "adapter_config.json": {**config, "base_model_name_or_path": base},
        FINETUNE_FILE: {**finetune.record, "base_model": base},
    }


def check_may_ask(repo_id: str, token: str | None = None) -> None:
    """Raise, before any work, if there is no token or the Hub is switched off.

    Raises:
        PermissionError: If there is no token.
        ConnectionError: If `HF_HUB_OFFLINE` is set.
    """
    from huggingface_hub import constants, get_token

    if constants.is_offline_mode():
        raise ConnectionError(
            f"Cannot upload to {repo_id}: HF_HUB_OFFLINE is set. Unset it; `infinitedance publish --dry-run` shows "
            "without the Hub what would be uploaded."
        )
    if not (token or get_token()):
        raise PermissionError(
            "There is no token of the Hub: log in with `hf auth login`, or set HF_TOKEN to one that may write, of "
            f"{constants.ENDPOINT}/settings/tokens."
        )


def look_up(publication: Publication, token: str | None = None) -> Repository:
    """Return what the Hub has under the name, after it has accepted the token.

    Raises:
        PermissionError: If there is no token, or it is not accepted.
        ConnectionError: If the Hub cannot be reached or is switched off.
        ValueError: If something else is under the name.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RepositoryNotFoundError

    kind, repo_id = publication.kind, publication.repo_id
    check_may_ask(repo_id, token)
    api = HfApi(token=token)
    with hub_errors(repo_id):
        api.whoami()
        try:
            info: Any = api.repo_info(repo_id, repo_type=kind.repo_type)
        except RepositoryNotFoundError:
            _check_other_types(api, kind, repo_id)
            return Repository(False)
        present = [file.rfilename for file in info.siblings or ()]
        is_ours = could_be(kind, present) and _model_type(api, kind, repo_id, present) == kind.model_type
    if not is_ours:
        raise ValueError(f"{publication.url} holds something else than {kind.noun}: choose another name.")
    ours = (*kind.files, EVALUATION_FILE)
    stale = [name for name in present if name not in publication.files and matches(name, ours)]
    return Repository(True, bool(info.private), [name for name in stale if name != ".gitattributes"])


def _model_type(api: Any, kind: Kind, repo_id: str, present: Sequence[str]) -> str | None:
    """Return what `config.json` of a repository states, so that no model of another kind is replaced."""
    if kind.model_type is None or "config.json" not in present:
        return kind.model_type
    with tempfile.TemporaryDirectory(prefix="infinitedance-") as temporary:
        config = read_json_object(Path(api.hf_hub_download(repo_id, "config.json", local_dir=temporary)))
    return config.get("model_type", kind.model_type)


def _check_other_types(api: Any, kind: Kind, repo_id: str) -> None:
    from huggingface_hub.errors import RepositoryNotFoundError

    for repo_type in {"model", "dataset", "space"} - {kind.repo_type}:
        try:
            api.repo_info(repo_id, repo_type=repo_type)
        except RepositoryNotFoundError:
            continue
        raise ValueError(
            f"{repo_id} is a repository of the type {repo_type} already, and this is one of the type "
            f"{kind.repo_type}: choose another name."
        )


def could_be(kind: Kind, present: Sequence[str]) -> bool:
    """Return whether a repository with these files is empty, or may be an earlier version of a kind."""
    if not [name for name in present if not name.startswith(".") and not matches(name, (CARD_FILE, "LICENSE*"))]:
        return True
    marks = {"adapter": FINETUNE_FILE, "library": "dances.safetensors", "model": "processor_config.json"}
    own = [name for name, mark in marks.items() if mark in present]
    if kind.name in marks or own:
        return own[:1] == [kind.name]
    return all(any(matches(name, [pattern]) for name in present) for pattern in kind.required)


def upload(
    publication: Publication,
    *,
    private: bool | None = None,
    token: str | None = None,
    commit_message: str | None = None,
) -> str:
    """Upload what `prepare` made, in one commit: the repository is as before, or whole.

    What a killed upload had sent is not sent again, and an upload of what is there already makes no commit.

    Args:
        publication: From `prepare`.
        private: Whether a repository that is made for it is closed to others; as its owner has set it by default.
        token: Of the Hub; by default `HF_TOKEN` or that of `hf auth login`.
        commit_message: What the commit says.

    Returns:
        The address of the repository.

    Raises:
        PermissionError: If the token is missing, wrong or may not write, or the name is taken.
        ConnectionError: If the Hub cannot be reached.
        ValueError: If something else is under the name, a repository that is public is to be private, or the Hub
            refuses the card.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

    kind, repo_id = publication.kind, publication.repo_id
    repository = look_up(publication, token)
    if repository.exists and private and not repository.is_private:
        raise ValueError(f"{publication.url} is public, and no upload makes it private: do so in its settings first.")
    api = HfApi(token=token)
    additions = [
        CommitOperationAdd(name, content if isinstance(content, bytes) else str(content.resolve()))
        for name, content in sorted(publication.files.items())
    ]
    with hub_errors(repo_id), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="It seems that you are about to commit a data file")
        if not repository.exists:
            sdk = split_card(kind, publication.card, CARD_FILE)[0]["sdk"] if kind.repo_type == "space" else None
            api.create_repo(repo_id, repo_type=kind.repo_type, private=private, space_sdk=sdk)
        try:
            api.create_commit(
                repo_id,
                [*additions, *(CommitOperationDelete(name) for name in repository.stale)],
                repo_type=kind.repo_type,
                commit_message=commit_message or f"Upload {kind.noun} with infinitedance",
            )
        except ValueError as error:  # of the card; what the Hub answers with a status is an OSError, too
            if isinstance(error, OSError):
                raise
            raise ValueError(f"The Hub refuses {publication.url}: {one_line(error)}") from error
    return publication.url


def size_of(content: Path | bytes) -> int:
    """Return the number of bytes of a file to upload."""
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def readable_size(size: float) -> str:
    """Return a number of bytes as people read it."""
    for unit in _BYTES_UNITS[:-1]:
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} {_BYTES_UNITS[-1]}"
