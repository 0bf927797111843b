"""Reports in sections that are measured apart: their record as JSON, and the whole as Markdown."""

from __future__ import annotations

import hashlib
import json
import platform
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tqdm import tqdm

from infinitedance.evaluation.report.tables import Table, table_markdown, without_nan
from infinitedance.utils.atomic import atomic_path

NOT_RUN = "<!-- not run: it needs data that is not in the repository, and minutes to hours -->"
"""Stands before each command; tests/docs/test_blocks.py reads it."""


def section_record(title: str, command: str, model_dir: Path | None, tables: Sequence[Table]) -> dict[str, Any]:
    """Return a section as JSON can hold it, with the versions and any weights that it was measured with."""
    packages = ("infinitedance", "torch", "transformers", "numpy")
    record: dict[str, Any] = {
        "title": title,
        "command": command,
        "versions": {"python": platform.python_version()} | {name: version(name) for name in packages},
    }
    if model_dir is not None:
        record["weights_sha256"] = hashlib.sha256((model_dir / "model.safetensors").read_bytes()).hexdigest()
    return record | {
        "tables": [without_nan(asdict(table)) for table in tables],
    }


def render_markdown(sections: dict[str, dict[str, Any]], introduction: str) -> str:
    """Show sections, as returned by `section_record`, in order, after some text."""
    parts = [introduction]
    for section in sections.values():
        measured_with = ", ".join(f"{name} {number}" for name, number in section["versions"].items())
        if "weights_sha256" in section:
            measured_with += f"; weights {section['weights_sha256'][:12]}"
        parts += [
            f"## {section['title']}\n",
            NOT_RUN,
            f"```bash\n{section['command']}\n```\n",
            f"Measured with {measured_with}.\n",
        ]
        parts += map(table_markdown, section["tables"])
    return "\n".join(parts)


@dataclass(frozen=True)
class Section:
    """Part of a report that is measured by itself.

    Args:
        title: Of the section.
        command: Command line that measures it again.
        model_dir: Folder of the weights that are measured; `None` where there are none.
        measure: Measures it.
    """

    title: str
    command: str
    model_dir: Path | None
    measure: Callable[[], list[Table]]


def write_report(
    output: Path, introduction: str, sections: Mapping[str, Section], chosen: Sequence[str] | None = None
) -> None:
    """Measure sections and write the report after each of them; those not chosen are kept from the last report.

    Args:
        output: Markdown file; numbers go to a `.json` of the same name.
        introduction: Text before the sections.
        sections: All sections, in order.
        chosen: Names of those to measure; all by default.
    """
    json_path = output.with_suffix(".json")
    measured = json.loads(json_path.read_text(encoding="utf-8")) if json_path.is_file() else {}
    for name in tqdm([name for name in sections if chosen is None or name in chosen], unit="section"):
        section = sections[name]
        measured[name] = section_record(section.title, section.command, section.model_dir, section.measure())
        measured = {each: measured[each] for each in sections if each in measured}
        texts = {json_path: json.dumps(measured, indent=1) + "\n", output: render_markdown(measured, introduction)}
        for path, text in texts.items():
            with atomic_path(path) as temporary:
                temporary.write_text(text, encoding="utf-8")


def add_sections_option(parser: ArgumentParser, sections: Iterable[str]) -> None:
    """Add `--sections`, all by default."""
    parser.add_argument(
        "--sections",
        default=",".join(sections),
        help="sections to measure again, the others are kept from the last report (default: %(default)s)",
    )


def chosen_sections(parser: ArgumentParser, arguments: Namespace, sections: Iterable[str]) -> list[str]:
    """Return the names that `--sections` has; end the program if one is unknown."""
    chosen = arguments.sections.split(",")
    unknown = sorted(set(chosen) - set(sections))
    if unknown:
        parser.error(f"--sections must be some of {','.join(sections)}, got {','.join(unknown)}")
    return chosen


def shown_options(arguments: Namespace, names: Iterable[str]) -> str:
    """Return options with paths as a command line has them; of absolute paths only the last part is shown."""
    paths: dict[str, Path] = {name: getattr(arguments, name) for name in names}
    return " ".join(f"--{name} {path.name if path.is_absolute() else path}" for name, path in paths.items())
