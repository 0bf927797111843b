"""`infinitedance restore`: feet that stay on the floor, in any motion file."""

from __future__ import annotations

import argparse
from pathlib import Path

from .reading_options import add_reading_options, read_options

# As in `restoration`, which is not imported to parse a command line; a test compares them.
SAMPLERS = ("default", "paper", "paper_corrected")
FOOT_LOCKS = ("auto", "always", "never", "grounding")


def add_to(commands: argparse._SubParsersAction) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "restore", help="stop feet from sliding in a motion file: BVH, SMPL, video estimators"
    )
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE", help="motion files, see docs/restoring.md")
    parser.add_argument(
        "--output",
        type=Path,
        required=True,
        help="folder to write to; what the same command left unfinished is finished, no other file is touched",
    )
    parser.add_argument("--model", help="folder or Hub name of a foot restoration model (default: the one that ships)")
    parser.add_argument(
        "--sampler",
        choices=SAMPLERS,
        default="default",
        help="`default` corrects the legs in the file; the others draw them anew by the paper's algorithm, as printed "
        "or with its equations corrected (default: default)",
    )
    parser.add_argument(
        "--foot-lock",
        choices=FOOT_LOCKS,
        default="auto",
        help="hold feet that touch, hold every low foot, hold none, or correct the floor only (default: auto)",
    )
    parser.add_argument("--strength", type=float, default=1.0, help="how firmly feet are held, 0 to 1 (default: 1)")
    parser.add_argument("--contacts", type=Path, help="CSV of foot contacts to use, as written with every result")
    parser.add_argument("--physics", action="store_true", help="let a simulated body imitate the dance first")
    parser.add_argument("--side-by-side", action="store_true", help="write an mp4 of the dance before and after")
    parser.add_argument("--seed", type=int, default=0, help="seed of the noise (default: 0)")
    add_reading_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Restore the files and print what changed."""
    from ..evaluation.report.tables import format_cell
    from ..restoration.restore import RestoreOptions, restore_with_model

    names = RestoreOptions.__dataclass_fields__.keys() - {"reading"}
    given = {name: getattr(arguments, name) for name in names}
    options = RestoreOptions(**given, reading=read_options(arguments))
    record = restore_with_model(arguments.files, arguments.output, options, arguments.model)
    for clip in record["clips"]:
        before, after = clip["feet"]["before"], clip["feet"]["after"]
        changes = [
            f"{label} {format_cell(before[key])} -> {format_cell(after[key])} {unit}"
            for label, key, unit in (
                ("slide", "slide_mm", "mm a frame"),
                ("penetration", "penetration_mm", "mm"),
                ("float", "float_mm", "mm"),
            )
        ]
        moved = format_cell(clip["feet"]["mpjpe_to_input_mm"])
        kept = " (restored before)" if clip["name"] in record["kept"] else ""
        print(f"{clip['name']}{kept}: {', '.join(changes)}; {moved} mm from the input on average")
        for note in clip["notes"]:
            print(f"  {note}")
        for name in clip["files"]:
            print(f"  {arguments.output / name}")
    if record["left_out"]:
        raise ValueError("\n".join(item["reason"] for item in record["left_out"]))
