"""Cards: the front matter that the Hub reads, checked by its own classes, and a text whose numbers were measured."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from ..utils.checkpoints import read_json_object
from ..utils.errors import reading
from ..utils.extras import require_extra
from .kinds import CARD_FILE, PICTURE_FILE, Kind, matches
from .licenses import HUB_LICENSES, hub_license, license_fields
from .measurements import FINETUNE_FILE, Finetune, Measurements, markdown_table, read_finetune

LIBRARY_NAME = "infinitedance"
FOLDER_OF_DATA = "path/to/this/folder"
"""Stands for the place of a data set in the snippet of its card, until it has one on the Hub."""
INSTALL = "pip install '.[{extras}]'"
CODE_SECTION = f"""## Code

The package `{LIBRARY_NAME}` is the code: this repository holds none, and `trust_remote_code` is not needed. It is
not on the Python registry yet; in a checkout of the package:

```bash
{INSTALL}
```
"""
SNIPPETS = {
    "model": """from infinitedance import MusicToDancePipeline, write_bvh

pipeline = MusicToDancePipeline.from_pretrained("{repo}")
dance = pipeline("song.mp3", seed=0)
write_bvh(dance.motion, "dance.bvh")
""",
    "tokenizer": """from infinitedance import MotionTokenizer, read_motion

tokenizer = MotionTokenizer.from_pretrained("{repo}")
motion = read_motion("dance.npz").resample(30)
codes = tokenizer.encode(motion)  # (levels, tokens)
again = tokenizer.decode(codes, num_frames=motion.num_frames)
""",
    "restorer": """from infinitedance import FrdmPipeline, read_motion

pipeline = FrdmPipeline.from_pretrained("{repo}")
restored = pipeline(read_motion("dance.npz").resample(30))
restored.motion.foot_contacts  # (frames, 4)
""",
    "library": """from infinitedance import MusicToDancePipeline, write_bvh

pipeline = MusicToDancePipeline.from_pretrained(references="{repo}")
dance = pipeline("song.mp3", seed=0)
write_bvh(dance.motion, "dance.bvh")
""",
    "adapter": """from infinitedance import MusicToDancePipeline, write_bvh

pipeline = MusicToDancePipeline.from_pretrained("{base}", adapter="{repo}")
dance = pipeline("song.mp3", seed=0)
write_bvh(dance.motion, "dance.bvh")
""",
}
SENTENCES = {
    "model": "A song goes in, a 3D dance comes out: 22 joints at 30 frames per second.",
    "tokenizer": "Turns dances of 22 joints at 30 frames per second into codes and back.",
    "restorer": "Corrects root, knees and feet of a dance that slides, floats or sinks into the floor.",
    "library": "Reference dances, and the encoder and index by which a song finds them.",
}
_PYTHON_BLOCK = re.compile(r"^```python\n.*?^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(
    r"(?P<code>^```.*?^```|`[^`\n]*`)"
    r"|(?P<image>!?)\[(?P<text>[^\]]*)\]\((?P<target>[^)\s]+)(?P<title>\s+\"[^\"]*\")?\)",
    re.MULTILINE | re.DOTALL,
)
"""A link, and code, in which `layers[0](hidden)` is none."""


def repository_url(kind: Kind, repo_id: str) -> str:
    """Return the address of a repository."""
    from huggingface_hub import constants

    return f"{constants.ENDPOINT}/{'' if kind.repo_type == 'model' else f'{kind.repo_type}s/'}{repo_id}"


def write_card(
    kind: Kind,
    repo_id: str,
    folder: Path,
    own_card: str | None,
    files: Collection[str],
    measured: Measurements,
    *,
    license: str | None = None,
    datasets: Sequence[str] = (),
    base: str | None = None,
) -> str:
    """Return the card of a folder: its own with all that the Hub needs, or a new one where it has none.

    Args:
        kind: What the folder holds.
        repo_id: Where it is to be.
        folder: The folder.
        own_card: The card that lies in it; `None` if there is none.
        files: Paths of what is uploaded.
        measured: What was measured.
        license: Terms, in the place of those that the card states.
        datasets: Names on the Hub of what it was trained on.
        base: Name on the Hub of the model that an adapter belongs to.

    Raises:
        ValueError: If the front matter cannot be read, or states what cannot be.
    """
    url = repository_url(kind, repo_id)
    values: dict[str, Any] = {}
    body = None
    if own_card is not None:
        values, body = split_card(kind, own_card, str(folder / CARD_FILE))
    if kind.repo_type == "model":
        finetune = read_finetune(folder / FINETUNE_FILE) if kind.name == "adapter" else None
        body = _new_text(kind, repo_id, folder, files, measured, finetune) if body is None else body
        body = _completed_text(kind, repo_id, body, files, base)
        fields = _model_fields(kind, folder, files, finetune, base, url)
        values = {**fields, **values, "tags": [*dict.fromkeys([*values.get("tags", ()), *kind.tags])]}
        if datasets:
            values["datasets"] = [*dict.fromkeys([*values.get("datasets", ()), *datasets])]
        if base is not None:
            values |= {"base_model": base, "base_model_relation": "adapter"}
    body = absolute_links((body or "").replace(FOLDER_OF_DATA, repo_id), url, files)
    if license is not None:
        values = {key: value for key, value in values.items() if not key.startswith("license")}
        values |= license_fields([license], f"{url}/blob/main/{CARD_FILE}#license")
        if hub_license(license) is None and "\n## License\n" not in body:
            body = f"{body.rstrip()}\n\n## License\n\n{license}\n"
    link = values.get("license_link")
    if isinstance(link, str) and "://" not in link:
        values["license_link"] = f"{url}/blob/main/{link}"
    return join_card(kind, values, body, files)


def license_of(card: Path) -> str | None:
    """Return the license that a model's card states; `None` if there is no card or it states none."""
    from huggingface_hub import metadata_load

    with reading(card):
        metadata = (metadata_load(card) if card.is_file() else None) or {}
    return metadata.get("license_name") or metadata.get("license")


def split_card(kind: Kind, text: str, name: str) -> tuple[dict[str, Any], str]:
    """Return front matter and text of a card.

    Raises:
        ValueError: If the front matter cannot be read.
    """
    with reading(name):
        card = _card_class(kind)(text)
        return card.data.to_dict(), card.text.lstrip("\n")


def join_card(kind: Kind, values: Mapping[str, Any], body: str, files: Collection[str]) -> str:
    """Return a card, after the Hub's own class has read it back and all that it names is there.

    Raises:
        ValueError: If it states what cannot be.
    """
    _check_fields(kind, values, files)
    card_class = _card_class(kind)
    front = card_class.card_data_class(**values).to_yaml()
    text = f"---\n{front}\n---\n\n{body.strip()}\n"
    read_back = card_class(text).data.to_dict()
    if read_back != dict(values):
        raise ValueError(f"The front matter of the card does not come back as it is: {values} becomes {read_back}.")
    return text


def _card_class(kind: Kind) -> Any:
    from huggingface_hub import DatasetCard, ModelCard, SpaceCard

    return {"model": ModelCard, "dataset": DatasetCard, "space": SpaceCard}[kind.repo_type]


def _check_fields(kind: Kind, values: Mapping[str, Any], files: Collection[str]) -> None:
    license = values.get("license")
    if license is not None and license != "other" and license not in HUB_LICENSES:
        raise ValueError(
            f"The card must state a license that the Hub knows, or `other` with `license_name`, got {license!r}."
        )
    if license == "other" and not values.get("license_name"):
        raise ValueError("A card with `license: other` must have a `license_name`: write it into the front matter.")
    for config in values.get("configs", ()) if kind.repo_type == "dataset" else ():
        for part in config["data_files"]:
            if not any(matches(file, [part["path"]]) for file in files):
                raise ValueError(f"The card names {part['path']}, which is not there: export the data set again.")
    if kind.repo_type == "space" and (values.get("sdk") is None or values.get("app_file", "app.py") not in files):
        raise ValueError(f"{CARD_FILE} of a Space must name its `sdk`, and an `app_file` that is there.")


def _model_fields(
    kind: Kind, folder: Path, files: Collection[str], finetune: Finetune | None, base: str | None, url: str
) -> dict[str, Any]:
    """Return the fields of a card that follow from the files alone."""
    values: dict[str, Any] = {"library_name": LIBRARY_NAME, "pipeline_tag": kind.pipeline_tag}
    heading = "reference-dances" if kind.name == "library" else "license"  # of the text that `_new_text` writes
    link = next((name for name in ("LICENSE", "LICENSE.md", "LICENSE.txt") if name in files), f"{CARD_FILE}#{heading}")
    if finetune is not None and finetune.license is not None:
        values |= license_fields([finetune.license], f"{url}/blob/main/{link}")
    elif kind.name == "library":
        values |= license_fields([license for _, license, *_ in library_sources(folder)], f"{url}/blob/main/{link}")
    if PICTURE_FILE in files:
        values["widget"] = [{"text": "The demo song of the package", "output": {"url": PICTURE_FILE}}]
    return values


def _new_text(
    kind: Kind,
    repo_id: str,
    folder: Path,
    files: Collection[str],
    measured: Measurements,
    finetune: Finetune | None,
) -> str:
    """Return the text of a card for a folder that has none."""
    name = repo_id.split("/")[1]
    parts = [f"# {name}"]
    if finetune is not None:
        parts += _adapter_text(finetune)
    else:
        parts.append(SENTENCES[kind.name])
    if kind.model_type is not None:
        config = read_json_object(folder / "config.json")
        rows = [["numbers in the weights", f"{count_weights(folder) / 1e6:.3g} M"]]
        if config.get("genres"):
            rows.append(["genres", ", ".join(config["genres"])])
        parts.append(markdown_table(["", ""], rows))
    if measured.text:
        parts.append(f"## Measured\n\n{measured.text}")
    library = folder / "references" if kind.name == "model" else folder
    if kind.name == "library" or (kind.name == "model" and "references/dances.safetensors" in files):
        rows = [[*source[:2], str(source[2]), f"{source[3]:.3g}"] for source in library_sources(library)]
        table = markdown_table(["source", "terms", "dances", "minutes"], rows)
        parts.append(f"## Reference dances\n\nEach dance keeps the terms of its source.\n\n{table}")
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _adapter_text(finetune: Finetune) -> list[str]:
    record = finetune.record
    sources = [
        [str(source["source"]), source["license"] or "not stated", f"{source['minutes']:.3g}"]
        for source in finetune.sources
    ]
    return [
        f"The style {finetune.name} as a LoRA adapter of {record['num_parameters'] / 1e6:.3g} M parameters, learned "
        f"from {record['num_clips']} clips, {record['minutes']:.3g} minutes, in {record['steps']} steps and "
        f"{record['seconds'] / 60:.3g} minutes.",
        f"## Measured\n\n{finetune.tables()}",
        f"## Training\n\n{markdown_table(['source', 'terms', 'minutes'], sources)}",
        f"## License\n\nThis adapter: {finetune.license or 'not stated'}. The model that it belongs to: "
        f"{finetune.base_license or 'not stated'}.",
    ]


def _completed_text(kind: Kind, repo_id: str, body: str, files: Collection[str], base: str | None) -> str:
    """Return the text with snippets that load this repository, its picture, and how the code is had."""
    if kind.name == "adapter":
        body = re.sub(r'adapter="[^"]*"', f'adapter="{repo_id}"', body)
    else:
        own = r'((?:MusicToDancePipeline|MotionTokenizer|FrdmPipeline)\.from_pretrained\()"[^"]*"'
        body = re.sub(own, rf'\g<1>"{repo_id}"', body)
        body = re.sub(r'("[^"\n]*"\))  # this folder, or its name on the Hub', r"\1", body)
    if _PYTHON_BLOCK.search(body) is None:
        snippet = SNIPPETS[kind.name].format(repo=repo_id, base=base)
        body = f"{body.rstrip()}\n\n## Use\n\n```python\n{snippet}```\n"
    if PICTURE_FILE in files and PICTURE_FILE not in body:
        body = re.sub(r"^(# [^\n]*\n)", rf"\1\n![Stills of a dance to the demo song]({PICTURE_FILE})\n", body, count=1)
    extras = "data,train" if kind.name == "adapter" else "data"
    is_told = INSTALL.format(extras=extras) in body
    return body if is_told else f"{body.rstrip()}\n\n{CODE_SECTION.format(extras=extras)}"


def absolute_links(body: str, url: str, files: Collection[str]) -> str:
    """Return a text whose links lead somewhere from everywhere: into the repository by address, else plain text."""

    def replace(match: re.Match[str]) -> str:
        target = match["target"]
        if match["code"] is not None:
            return match[0]
        if re.match(r"[a-z]+:|#", target):
            return match[0]
        path, _, fragment = target.partition("#")
        path = PurePosixPath(path).as_posix()
        if path not in files:
            return match["text"]
        place = f"{url}/{'resolve' if match['image'] else 'blob'}/main/{path}"
        place += f"#{fragment}" if fragment else ""
        return f"{match['image']}[{match['text']}]({place}{match['title'] or ''})"

    return _LINK.sub(replace, body)


def count_weights(folder: Path) -> int:
    """Return how many numbers the weights of a folder hold, codebooks and statistics too, from their headers."""
    from safetensors import safe_open

    total = 0
    for path in sorted(folder.glob("model*.safetensors")):
        with reading(path), safe_open(path, framework="numpy") as weights:
            total += sum(math.prod(weights.get_slice(key).get_shape()) for key in weights.keys())  # noqa: SIM118
    return total


def library_sources(folder: Path) -> list[tuple[str, str, int, float]]:
    """Return source, license, number of dances and minutes of what a library of references holds."""
    require_extra("datasets", "data", "The card of a library")
    from datasets import load_from_disk
    from safetensors import safe_open

    with reading(folder):
        rows = load_from_disk(str(folder / "index" / "rows"))
        terms = {clip: (source, license) for clip, source, license in zip(*_columns(rows), strict=True)}
        found: dict[tuple[str, str], list[float]] = {}
        with safe_open(folder / "dances.safetensors", framework="numpy") as dances:
            for clip, key in sorted(terms.items()):
                found.setdefault(key, []).append(dances.get_slice(clip).get_shape()[0] / 30 / 60)
    return [(source, license, len(lengths), sum(lengths)) for (source, license), lengths in sorted(found.items())]


def _columns(rows: Any) -> list[list[str]]:
    return [list(rows[name]) for name in ("clip_id", "source", "license")]
