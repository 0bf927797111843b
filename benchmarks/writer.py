"""Reports in sections that are measured apart: their record as JSON, and the whole as Markdown."""

from __future__ import annotations

import hashlib
import json
import platform
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tqdm import tqdm

from infinitedance.evaluation.report.tables import Table, table_markdown, without_nan
from infinitedance.motion.files import atomic_path

from .held_out import ReportData


def section_record(title: str, command: str, model_dir: Path, tables: Sequence[Table]) -> dict[str, Any]:
    """Return a section as JSON can hold it, with the versions and the weights that it was measured with."""
    packages = ("infinitedance", "torch", "transformers", "numpy")
    weights = hashlib.sha256((model_dir / "model.safetensors").read_bytes()).hexdigest()
    return {
        "title": title,
        "command": command,
        "versions": {"python": platform.python_version()} | {name: version(name) for name in packages},
        "weights_sha256": weights,
        "tables": [without_nan(asdict(table)) for table in tables],
    }


def render_markdown(sections: dict[str, dict[str, Any]], introduction: str) -> str:
    """Show sections, as returned by `section_record`, in order, after some text."""
    parts = [introduction]
    for section in sections.values():
        versions = ", ".join(f"{name} {number}" for name, number in section["versions"].items())
        parts += [
            f"## {section['title']}\n",
            f"```bash\n{section['command']}\n```\n",
            f"Measured with {versions}; weights {section['weights_sha256'][:12]}.\n",
        ]
        parts += map(table_markdown, section["tables"])
    return "\n".join(parts)


Sections = Mapping[str, tuple[str, Callable[[ReportData], list[Table]]]]
"""Title of each section, and what measures it."""


def report_parser(description: str | None, sections: Sequence[str]) -> ArgumentParser:
    """Return the parser of the command line of a report."""
    parser = ArgumentParser(description=description, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--model_dir", type=Path, required=True, help="model folder with its codec")
    parser.add_argument("--data_dir", type=Path, required=True, help="built data set; its test split is measured on")
    parser.add_argument("--output", type=Path, required=True, help="Markdown file; numbers go to a .json beside it")
    parser.add_argument("--num_seeds", type=int, default=3, help="dances for each song (default: 3)")
    parser.add_argument("--max_seconds", type=float, default=60.0, help="songs are cut to this length (default: 60)")
    parser.add_argument(
        "--sections",
        default=",".join(sections),
        help="sections to measure again, the others are kept from the last report (default: %(default)s)",
    )
    return parser


def section_command(module: str, arguments: Namespace, section: str) -> str:
    """Return the command line that measures one section again; of absolute paths only the last part is shown."""
    parts = [f"python -m benchmarks.{module}"]
    for name in ("model_dir", "data_dir", "output"):
        path: Path = getattr(arguments, name)
        parts.append(f"--{name} {path.name if path.is_absolute() else path}")
    parts += [f"--num_seeds {arguments.num_seeds}", f"--max_seconds {arguments.max_seconds:g}"]
    return " ".join([*parts, f"--sections {section}"])


def run_report(
    module: str, parser: ArgumentParser, sections: Sections, introduction: str, command_line: Sequence[str] | None
) -> None:
    """Measure sections and write the report after each of them; those not chosen are kept from the last report.

    Args:
        module: Name of the calling module, below `benchmarks`.
        parser: From `report_parser`.
        sections: All sections, in order.
        introduction: Text before them.
        command_line: Without the program's name; `sys.argv[1:]` if `None`.
    """
    arguments = parser.parse_args(command_line)
    chosen = arguments.sections.split(",")
    unknown = sorted(set(chosen) - set(sections))
    if unknown:
        parser.error(f"--sections must be some of {','.join(sections)}, got {','.join(unknown)}")
    json_path = arguments.output.with_suffix(".json")
    measured = json.loads(json_path.read_text(encoding="utf-8")) if json_path.is_file() else {}
    data = ReportData(
        arguments.model_dir,
        arguments.data_dir,
        num_seeds=arguments.num_seeds,
        max_seconds=arguments.max_seconds,
    )
    for name in tqdm([name for name in sections if name in chosen], unit="section"):
        title, measure = sections[name]
        command = section_command(module, arguments, name)
        measured[name] = section_record(title, command, arguments.model_dir, measure(data))
        measured = {each: measured[each] for each in sections if each in measured}
        with atomic_path(json_path) as partial:
            partial.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
        with atomic_path(arguments.output) as partial:
            partial.write_text(render_markdown(measured, introduction), encoding="utf-8")
