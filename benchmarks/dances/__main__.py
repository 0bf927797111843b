"""Measure the dances of a model beside real ones and two simple baselines, and write the numbers down.

```bash
python -m benchmarks.dances --model assets/choreollama-research --data_dir built --held_out_dir built-songs \
    --work_dir outputs/bench --output docs/dances.md
python -m benchmarks.dances --model assets/choreollama-open --data_dir built --work_dir outputs/bench \
    --output docs/dances_open.md
```
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from ..writer import Section, add_sections_option, chosen_sections, shown_options, write_report
from .bench import Bench
from .codec import codec_section
from .command import command_section
from .guides import references_section
from .response import levels_section, response_section
from .sections import SectionOf, free_section, guidance_section, held_out_section, real_section

INTRODUCTION = """# Dances of {model}, measured

Written by `python -m benchmarks.dances`; not edited by hand. Dances of the model as it ships (generated), with its
reference dances, are compared with real dances, with the same through the codec, and with two dancers without a model
that know the training dances and the estimated beats:

- retrieve: the training dance of the genre whose tempo is nearest, warped to the beats of the song
- graph: pieces of two bars, warped to the beats, each followed by one of the four that fit best

A range in parentheses is a 95 % bootstrap interval over songs; dances to one song are averaged first. Held-out songs
come with a real dance, and training has heard none of them; free songs have no dance. Read a number of generated
dances beside those of real and of retrieved ones: near copies, turns and sliding are not 0 for real dances, either.
[dances_data.md](dances_data.md) says how the data sets are built and what training has seen.
"""

HELD_OUT = "held_out"
SECTIONS: dict[str, tuple[str, SectionOf]] = {
    "codec": ("The codec on motion never seen", codec_section),
    "real": ("Real dances", real_section),
    HELD_OUT: ("Held-out songs", held_out_section),
    "free": ("Free songs", free_section),
    "levels": ("Genre, level and timbre", levels_section),
    "guidance": ("Guidance", guidance_section),
    "references": ("Reference dances", references_section),
    "response": ("Silence, the end, tempo and repeats", response_section),
    "command": ("The command", command_section),
}


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="model folder with its codec")
    parser.add_argument("--data_dir", type=Path, required=True, help="built data set of dances, with all splits")
    parser.add_argument(
        "--held_out_dir",
        type=Path,
        help="built data set whose test split holds songs with a real dance, for the section held_out",
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
    possible = [name for name in SECTIONS if name != HELD_OUT or arguments.held_out_dir is not None]
    is_default = arguments.sections == parser.get_default("sections")
    chosen = possible if is_default else chosen_sections(parser, arguments, possible)
    asked = {} if arguments.ending is None else {"ending": arguments.ending}
    asked |= {"repeats": False} if arguments.no_repeats else {}
    bench = Bench(
        arguments.model,
        arguments.data_dir,
        arguments.songs_dir,
        arguments.work_dir,
        arguments.held_out_dir,
        num_seeds=arguments.num_seeds,
        max_seconds=arguments.max_seconds,
        asked=asked,
    )
    names = ["model", "data_dir", "held_out_dir", "songs_dir", "work_dir", "output"]
    options = shown_options(arguments, [name for name in names if getattr(arguments, name) is not None])
    command = f"python -m benchmarks.dances {options} --num_seeds {arguments.num_seeds} "
    command += f"--max_seconds {arguments.max_seconds:g} "
    command += "" if arguments.ending is None else f"--ending {arguments.ending} "
    command += "--no_repeats --sections " if arguments.no_repeats else "--sections "
    records = {
        name: Section(title, command + name, arguments.model, partial(measure, bench))
        for name, (title, measure) in SECTIONS.items()
    }
    write_report(arguments.output, INTRODUCTION.format(model=arguments.model.name), records, chosen)


if __name__ == "__main__":
    main()
