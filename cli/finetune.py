"""`infinitedance finetune`: a style of one's own, from a few minutes of clips."""

from __future__ import annotations

import argparse
import shlex
import shutil
from pathlib import Path
from typing import Any

MAX_STEPS = 100_000
WORK_FOLDER = "work"
"""In the folder of the adapter, until it is finished."""
MAX_LISTED_CLIPS = 10


def add_to(commands: argparse._SubParsersAction) -> None:
    """Add the command."""
    parser = commands.add_parser("finetune", help="learn a style from some ten minutes of your own clips")
    parser.add_argument(
        "clips",
        type=Path,
        help="folder of motion files, each with its song beside it under the same name, or without; or a clip folder "
        "(docs/data_format.md); or a built data set",
    )
    parser.add_argument("--name", required=True, help="name of the style, to ask for as a genre")
    parser.add_argument(
        "--output", type=Path, required=True, help="folder of the adapter; the same command goes on if it was stopped"
    )
    parser.add_argument(
        "--model", default="open", help="open, research, a model folder or a Hub name, to adapt (default: open)"
    )
    parser.add_argument(
        "--license", default="", help="terms of the clips, as the card of the adapter is to state them"
    )
    parser.add_argument(
        "--keep-genres", action="store_true", help="learn each clip of a table as the genre that it has, not as --name"
    )
    parser.add_argument("--steps", type=int, help="training steps, half a second each on two cores (default: 600)")
    parser.add_argument("--seed", type=int, default=0, help="another seed draws other windows (default: 0)")
    parser.add_argument("--trust-pickle", action="store_true", help="read pickles, from a source that you trust")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Learn the style, and print what came of it."""
    from ..dataset_builder.own_clips import build_own_clips
    from ..pipeline import MusicToDancePipeline
    from ..training.arguments import LoopArguments
    from ..training.finetune import FinetuneArguments, check_name, finetune, read_recipe
    from ..training.loop import find_checkpoints
    from ..utils.atomic import held_folder
    from ..utils.extras import require_extra
    from .song_options import check_range

    for package in ("accelerate", "datasets", "peft"):
        require_extra(package, "data,train" if package == "datasets" else "train", "`infinitedance finetune`")
    check_range("--steps", arguments.steps, 1, MAX_STEPS)
    output: Path = arguments.output
    _check_output(output)
    # What is wrong is an error before the clips are read, which takes minutes.
    processor = MusicToDancePipeline.from_pretrained(arguments.model).processor
    check_name(arguments.name, () if arguments.keep_genres else [*processor.genres, *processor.added_genres])
    built = build_own_clips(
        arguments.clips,
        output / WORK_FOLDER,
        name=arguments.name,
        license=arguments.license,
        trust_pickle=arguments.trust_pickle,
    )
    for line in _describe_left_out(built):
        print(line, flush=True)
    run_dir = output / WORK_FOLDER / "run"
    recipe = read_recipe() | {"seed": arguments.seed, "output_dir": str(run_dir)}
    if arguments.steps is not None:
        recipe["max_steps"] = arguments.steps
    style = FinetuneArguments(
        data_dir=str(built),
        name=arguments.name,
        base_model=arguments.model,
        keep_genres=arguments.keep_genres,
        stated_license=arguments.license,
    )
    with held_folder(output / WORK_FOLDER):
        recipe["resume"] = bool(find_checkpoints(run_dir))
        record = finetune(LoopArguments(**recipe), style, output)
        shutil.rmtree(output / WORK_FOLDER)
    for line in _describe(record, arguments.model, output):
        print(line)


def _check_output(output: Path) -> None:
    """Raise unless a folder is new, empty, or what this command left when it was stopped."""
    from ..modeling.choreollama.adapters_choreollama import ADAPTER_RECORD_FILE

    if output.exists() and not output.is_dir():
        raise NotADirectoryError(f"`--output` {output} is a file. Give a folder.")
    if (output / ADAPTER_RECORD_FILE).is_file():
        shutil.rmtree(output / WORK_FOLDER, ignore_errors=True)  # of a run that was stopped when all was done
        raise FileExistsError(f"{output} holds a finished adapter already. Give another `--output`.")
    others = [path.name for path in output.iterdir() if path.name != WORK_FOLDER] if output.is_dir() else []
    if others and not (output / WORK_FOLDER).is_dir():
        raise FileExistsError(f"{output} holds {sorted(others)[0]} already. Give another `--output`.")


def _describe_left_out(built: Path) -> list[str]:
    """Return which clips a build left out and why, in lines."""
    from ..dataset_builder.own_clips import left_out_clips

    reasons = left_out_clips(built)
    if not reasons:
        return []
    lines = [f"Left out, {len(reasons)} in all:"]
    lines += [f"  {clip}: {reason}" for clip, reason in list(reasons.items())[:MAX_LISTED_CLIPS]]
    return lines if len(reasons) <= MAX_LISTED_CLIPS else [*lines, f"  ... and others, see {built / 'report.json'}"]


def _describe(record: dict[str, Any], model: str, output: Path) -> list[str]:
    """Return what came of a run, in sentences."""
    minutes = f"{record['minutes']:.1f} minutes of {_clips(record['num_clips'])}"
    lines = [f"Learned {', '.join(record['genres'])} from {minutes}; it took {record['seconds'] / 60:.1f} minutes."]
    if (loss := record["held_out_loss"]) is None:
        lines.append("No clip was held out, which takes three songs: how well it was learned is not measured.")
    else:
        nearest = loss["nearest_genre_before"]
        compared = "" if nearest is None else f" ({nearest['loss']:.2f} as {nearest['genre']} of the base)"
        lines.append(
            f"Loss of {_clips(record['held_out_clips'])} held out: {loss['before']:.2f} -> {loss['after']:.2f} nats a "
            f"code{compared}."
        )
    base = record["base_genre_loss"]
    lines.append(f"Loss of the base model's own dances: {base['before']:.2f} -> {base['after']:.2f}.")
    options = shlex.join(["--model", model, "--adapter", str(output)])
    lines.append(f"Dance it: infinitedance dance SONG {options}")
    return lines


def _clips(count: int) -> str:
    return f"{count} clip{'s' * (count != 1)}"
