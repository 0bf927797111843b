"""Options of `infinitedance dance` for the authors' released model, and its pipeline."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from .song_batch import Report, bars_on_terminals_only

if TYPE_CHECKING:
    import numpy as np

    from ..pipeline import Dance
    from ..release_pipeline import ReleaseToDancePipeline

MODEL_TYPE = "choreollama_release"
_ONLY_HERE = ("decoder", "release_settings", "music_features")
_ONLY_OURS = ("side", "energy", "guidance_scale", "num_references", "pin", "adapter", "no_repeats")


def add_release_options(parser: argparse.ArgumentParser) -> None:
    """Add what only the authors' released model is asked."""
    group = parser.add_argument_group("for the authors' released model, see `infinitedance import-release`")
    group.add_argument(
        "--decoder",
        choices=("whole", "compat"),
        help="whole: the whole song as one stream; compat: as the release does, with seams, a copied start and "
        "without the end (default: whole)",
    )
    group.add_argument(
        "--release-settings", choices=("A", "B"), help="its two documented settings of the sampler (default: A)"
    )
    group.add_argument(
        "--music-features",
        type=Path,
        metavar="FILE|FOLDER",
        help="MuQ's features of the song, (frames, 1024) at 25 Hz, as .npy or .npz; of a folder the file with the "
        "song's name (default: computed by the extra muq, whose weights must be there)",
    )


def is_release(model: str) -> bool:
    """Return whether a folder holds the authors' released model."""
    from ..utils.checkpoints import read_json_object

    return read_json_object(Path(model) / "config.json").get("model_type") == MODEL_TYPE


def check_release_options(arguments: argparse.Namespace, is_released: bool) -> None:
    """Raise `ValueError` for options that the model does not have."""
    odd = [name for name in (_ONLY_OURS if is_released else _ONLY_HERE) if getattr(arguments, name, None)]
    if odd:
        kind = "is not for" if is_released else "is only for"
        raise ValueError(f"`--{odd[0].replace('_', '-')}` {kind} the authors' released model: leave it out.")
    if is_released and arguments.genre is None:
        raise ValueError("The authors' released model does not choose its style: give `--genre`.")


def load_release_pipeline(arguments: argparse.Namespace, report: Report) -> ReleaseToDancePipeline:
    """Load the model; say what it lacks, and on what terms it is used."""
    from ..assets import DEFAULT_RESTORER
    from ..release_pipeline import ReleaseToDancePipeline

    restorer = DEFAULT_RESTORER if arguments.restore == "auto" else None
    with bars_on_terminals_only(report):
        pipeline = ReleaseToDancePipeline.from_pretrained(
            arguments.model, arguments.references, restorer, quantization=arguments.quantization
        )
    if arguments.genre not in pipeline.genres:
        raise ValueError(f"This model dances {', '.join(pipeline.genres)}, not {arguments.genre!r}.")
    report.note("The authors' released weights and MuQ's are for non-commercial use only, and so is this dance.")
    if pipeline.library is None:
        report.note(
            "No reference dances: the model is conditioned on zeros, which it was not trained with. "
            "`--references InfiniteDanceData` gives it those of the release."
        )
    return pipeline


def dance_released(
    pipeline: ReleaseToDancePipeline,
    waveform: np.ndarray,
    song: Path,
    arguments: argparse.Namespace,
    report: Report,
) -> Dance:
    """Make a dance of the authors' released model."""
    return pipeline(
        waveform,
        song_name=song.name,
        genre=arguments.genre,
        music_features=_features_of(song, arguments.music_features),
        decoder=arguments.decoder or "whole",
        settings=arguments.release_settings or "A",
        seed=arguments.seed,
        ending=arguments.ending,
        stage_radius=arguments.stage,
        bpm=arguments.bpm,
        meter=arguments.meter,
        first_downbeat_seconds=arguments.first_downbeat,
        show_progress=report.shows_progress,
    )


def _features_of(song: Path, given: Path | None) -> Path | None:
    """Return the file of a song's features."""
    if given is None or not given.is_dir():
        return given
    paths = [given / f"{song.stem}{suffix}" for suffix in (".npy", ".npz")]
    found = [path for path in paths if path.is_file()]
    if not found:
        raise FileNotFoundError(f"There is no {paths[0]}, nor .npz: give the music features of every song.")
    return found[0]
