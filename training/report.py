"""Measure a trained model on held-out songs and write the numbers down.

```bash
python -m infinitedance.training.report --model_dir assets/choreollama-tiny --data_dir prepared \
    --clip_folder ../shared/data --output docs/results.md
```
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

from tqdm import tqdm

from ..motion.files import atomic_path
from .report_conditions import conditions_section
from .report_dances import ReportData
from .report_music import music_section
from .report_quality import codec_section, quality_section
from .report_speed import speed_section
from .report_tables import Table, render_markdown, section_record

SECTIONS: dict[str, tuple[str, Callable[[ReportData], list[Table]]]] = {
    "codec": ("1. The codec", codec_section),
    "speed": ("2. The command", speed_section),
    "quality": ("3. A dance", quality_section),
    "music": ("4. It hears the music", music_section),
    "conditions": ("5. Conditions", conditions_section),
}


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model_dir", type=Path, required=True, help="model folder with its codec")
    parser.add_argument("--data_dir", type=Path, required=True, help="prepared folder; its test split is measured on")
    parser.add_argument("--clip_folder", type=Path, required=True, help="the clip folder that it was prepared from")
    parser.add_argument("--output", type=Path, required=True, help="Markdown file; numbers go to a .json beside it")
    parser.add_argument("--num_seeds", type=int, default=3, help="dances for each song (default: 3)")
    parser.add_argument("--max_seconds", type=float, default=60.0, help="songs are cut to this length (default: 60)")
    parser.add_argument(
        "--sections",
        default=",".join(SECTIONS),
        help="sections to measure again, the others are kept from the last report (default: %(default)s)",
    )
    return parser


def section_command(arguments: argparse.Namespace, section: str) -> str:
    """Return the command line that measures one section again; of absolute paths only the last part is shown."""
    parts = ["python -m infinitedance.training.report"]
    for name in ("model_dir", "data_dir", "clip_folder", "output"):
        path: Path = getattr(arguments, name)
        parts.append(f"--{name} {path.name if path.is_absolute() else path}")
    parts += [f"--num_seeds {arguments.num_seeds}", f"--max_seconds {arguments.max_seconds:g}"]
    return " ".join([*parts, f"--sections {section}"])


def main(command_line: list[str] | None = None) -> None:
    """Measure the chosen sections and write the report after each of them."""
    parser = build_parser()
    arguments = parser.parse_args(command_line)
    chosen = arguments.sections.split(",")
    unknown = sorted(set(chosen) - set(SECTIONS))
    if unknown:
        parser.error(f"--sections must be some of {','.join(SECTIONS)}, got {','.join(unknown)}")
    json_path = arguments.output.with_suffix(".json")
    measured = json.loads(json_path.read_text(encoding="utf-8")) if json_path.is_file() else {}
    data = ReportData(
        arguments.model_dir,
        arguments.data_dir,
        arguments.clip_folder,
        num_seeds=arguments.num_seeds,
        max_seconds=arguments.max_seconds,
    )
    for name in tqdm([name for name in SECTIONS if name in chosen], unit="section"):
        title, measure = SECTIONS[name]
        command = section_command(arguments, name)
        measured[name] = section_record(title, command, arguments.model_dir, measure(data))
        measured = {name: measured[name] for name in SECTIONS if name in measured}
        with atomic_path(json_path) as partial:
            partial.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
        with atomic_path(arguments.output) as partial:
            partial.write_text(render_markdown(measured), encoding="utf-8")


if __name__ == "__main__":
    main()
