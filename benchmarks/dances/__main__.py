"""Measure the dances of a model beside real ones and two simple baselines, and write the numbers down.

```bash
python -m benchmarks.dances --model assets/choreollama-tiny --data_dir built --work_dir outputs/dances \
    --output docs/dances.md
```
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from ..writer import Section, add_sections_option, chosen_sections, shown_options, write_report
from .bench import Bench
from .response import levels_section, response_section
from .sections import SectionOf, free_section, held_out_section, real_section

INTRODUCTION = """# Dances, measured

Written by `python -m benchmarks.dances`; not edited by hand. Dances of the model (generated) are compared with the
real dance to each song, with the same through the codec, and with two dancers without a model that know the training
dances and the estimated beats:

- retrieve: the training dance of the genre whose tempo is nearest, warped to the beats of the song
- graph: pieces of two bars, warped to the beats, each followed by one of the four that fit best

A range in parentheses is a 95 % bootstrap interval over songs; dances to one song are averaged first. Held-out songs
are those of the test split; free songs have no dance. Read a number of generated dances beside those of real and of
retrieved ones: near copies, turns and sliding are not 0 for real dances, either.
"""

SECTIONS: dict[str, tuple[str, SectionOf]] = {
    "real": ("1. Real dances", real_section),
    "held_out": ("2. Held-out songs", held_out_section),
    "free": ("3. Free songs", free_section),
    "levels": ("4. Genre, level and timbre", levels_section),
    "response": ("5. Silence, the end, tempo and repeats", response_section),
}


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="model folder with its codec")
    parser.add_argument(
        "--data_dir", type=Path, required=True, help="built data set, with a training and a test split"
    )
    parser.add_argument(
        "--songs_dir",
        type=Path,
        default=Path("../shared/data/music"),
        help="folder of songs without a dance (default: %(default)s)",
    )
    parser.add_argument(
        "--work_dir",
        type=Path,
        required=True,
        help="folder in which generated dances are kept, by weights, so that no section makes them again; empty it "
        "after a change of the code",
    )
    parser.add_argument("--output", type=Path, required=True, help="Markdown file; numbers go to a .json beside it")
    parser.add_argument("--num_seeds", type=int, default=3, help="dances for each song and genre (default: 3)")
    parser.add_argument("--max_seconds", type=float, default=60.0, help="songs are cut to this length (default: 60)")
    parser.add_argument("--ending", choices=("pose", "fade", "none"), help="ending of the dances (default: pose)")
    parser.add_argument("--no_repeats", action="store_true", help="dance every section of a song anew")
    add_sections_option(parser, SECTIONS)
    return parser


def main(command_line: list[str] | None = None) -> None:
    """Measure the chosen sections and write the report after each of them."""
    parser = build_parser()
    arguments = parser.parse_args(command_line)
    chosen = chosen_sections(parser, arguments, SECTIONS)
    asked = {} if arguments.ending is None else {"ending": arguments.ending}
    asked |= {"repeats": False} if arguments.no_repeats else {}
    bench = Bench(
        arguments.model,
        arguments.data_dir,
        arguments.songs_dir,
        arguments.work_dir,
        num_seeds=arguments.num_seeds,
        max_seconds=arguments.max_seconds,
        asked=asked,
    )
    options = shown_options(arguments, ["model", "data_dir", "songs_dir", "work_dir", "output"])
    command = f"python -m benchmarks.dances {options} --num_seeds {arguments.num_seeds} "
    command += f"--max_seconds {arguments.max_seconds:g} "
    command += "" if arguments.ending is None else f"--ending {arguments.ending} "
    command += "--no_repeats --sections " if arguments.no_repeats else "--sections "
    records = {
        name: Section(title, command + name, arguments.model, partial(measure, bench))
        for name, (title, measure) in SECTIONS.items()
    }
    write_report(arguments.output, INTRODUCTION, records, chosen)


if __name__ == "__main__":
    main()
