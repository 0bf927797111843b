"""`infinitedance publish`: a model, library, adapter, data set or the Space, as a repository of the Hub."""

from __future__ import annotations

import argparse
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..assets import DEMO_GENRE, DEMO_SONG, MODELS

if TYPE_CHECKING:
    from ..pipeline import MusicToDancePipeline
    from ..publishing.upload import Publication

KINDS = {
    "model": "folder of a model, with its reference dances; open or research: that ships",
    "tokenizer": "folder of a motion codec",
    "restorer": "folder of a foot restoration model",
    "library": "folder of `infinitedance index`",
    "adapter": "folder of `infinitedance finetune`",
    "dataset": "folder of `infinitedance build`, or its Parquet folder",
    "space": "folder of `infinitedance space --write-folder`",
}


def add_to(commands: argparse._SubParsersAction) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "publish",
        help="upload a model, library, adapter, data set or the Space to the Hugging Face Hub",
        description="Check a folder, show every file and the card, ask, and upload. The token is that of `hf auth "
        "login`, or of HF_TOKEN. A killed upload goes on when the same command is run again.",
    )
    kinds = ", ".join(f"{name} ({text})" for name, text in KINDS.items())
    parser.add_argument("kind", choices=KINDS, metavar="kind", help=kinds)
    parser.add_argument("path", type=Path, help="the folder")
    parser.add_argument("repo", help="where to: OWNER/NAME on the Hub; made if it is not there")
    parser.add_argument("--private", action="store_true", help="make the repository closed to others")
    parser.add_argument("--dry-run", action="store_true", help="show what would be uploaded: needs no network")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--message", help="what the commit says")
    parser.add_argument("--license", help="terms of a model or library, in the place of those of its card")
    parser.add_argument(
        "--trained-on",
        action="append",
        default=[],
        metavar="OWNER/DATASET",
        help="data set on the Hub that a model was trained on; may be given several times",
    )
    parser.add_argument("--base", metavar="OWNER/MODEL", help="model on the Hub that an adapter belongs to")
    parser.add_argument(
        "--benchmark",
        metavar="OWNER/DATASET",
        help="data set on the Hub that the measured numbers of a model are of: uploads them as evaluation results",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Check, show, ask and upload."""
    from ..publishing.upload import check_may_ask, check_repo_ids, upload

    if not (arguments.dry_run or arguments.yes or sys.stdin.isatty()):
        raise ValueError(
            "Nobody can be asked here, as this is no terminal: add --yes to upload, or --dry-run to see what would be."
        )
    check_repo_ids([arguments.repo])
    if not arguments.dry_run:
        check_may_ask(arguments.repo)
    with tempfile.TemporaryDirectory(prefix="infinitedance-") as temporary:
        publication = _prepare(arguments, Path(temporary))
        print(f"{publication.listing()}\n\n{publication.card}")
        if arguments.dry_run:
            print("Nothing was uploaded: this was a dry run.")
        elif _is_wanted(publication, arguments):
            print(upload(publication, private=arguments.private or None, commit_message=arguments.message))
        else:
            print("Nothing was uploaded.")


def _prepare(arguments: argparse.Namespace, temporary: Path) -> Publication:
    """Check the folder, load it as its users will, and add a picture to a model."""
    from ..publishing.upload import prepare

    folder = arguments.path
    if arguments.kind == "model":
        folder = MODELS.get(str(folder), folder)
    elif arguments.kind == "dataset":
        folder = _parquet_folder(folder, temporary)
    prepare_folder = partial(
        prepare,
        arguments.kind,
        folder,
        arguments.repo,
        license=arguments.license,
        datasets=arguments.trained_on,
        base=arguments.base,
        benchmark=arguments.benchmark,
    )
    publication = prepare_folder()
    picture = _load(publication, folder, arguments.private, temporary)
    return publication if picture is None else prepare_folder(picture=picture)


def _parquet_folder(folder: Path, temporary: Path) -> Path:
    """Return the Parquet form of a built data set; another folder as it is."""
    from ..dataset_builder.manifest import MANIFEST_FILE

    if not (folder / MANIFEST_FILE).is_file():
        return folder
    from ..dataset_builder.hub import export_parquet

    return export_parquet(folder, temporary / "parquet", cache_dir=temporary / "cache")


def _load(publication: Publication, folder: Path, is_private: bool, temporary: Path) -> bytes | None:
    """Load what is to be published; return a picture of a dance of a model that has none."""
    name = publication.kind.name
    if name == "model":
        from ..pipeline import MusicToDancePipeline
        from ..publishing.kinds import PICTURE_FILE
        from ..utils.extras import is_installed

        pipeline = MusicToDancePipeline.from_pretrained(folder)
        if PICTURE_FILE in publication.files or not is_installed("cv2"):
            return None
        return _draw(pipeline, temporary / PICTURE_FILE)
    if name == "tokenizer":
        from ..tokenization.tokenization_motion import MotionTokenizer

        MotionTokenizer.from_pretrained(folder)
    elif name == "restorer":
        from ..restoration.pipeline_frdm import FrdmPipeline

        FrdmPipeline.from_pretrained(folder)
    elif name == "library":
        from ..retrieval.references import ReferenceRetriever

        ReferenceRetriever.from_pretrained(folder)
    elif name == "dataset":
        from ..dataset_builder.hub import check_parquet

        check_parquet(folder, is_private=is_private)
    return None


def _draw(pipeline: MusicToDancePipeline, path: Path) -> bytes:
    """Return stills of a dance to the demo song, as a PNG."""
    from ..motion.drawing.rendering import render_contact_sheet

    dance = pipeline(DEMO_SONG, genre=DEMO_GENRE if DEMO_GENRE in pipeline.genres else None, show_progress=True)
    render_contact_sheet(dance.motion, path, rows=2, columns=4, tile_size=(240, 270))
    return path.read_bytes()


def _is_wanted(publication: Publication, arguments: argparse.Namespace) -> bool:
    """Say what becomes of what is on the Hub, and ask on the terminal unless `--yes` is given."""
    from ..publishing.upload import look_up

    repository = look_up(publication)
    if not repository.exists:
        print(f"{publication.url} is new{' and private' if arguments.private else ''}.")
    else:
        print(f"{publication.url} is there, {'private' if repository.is_private else 'public'}, and is replaced.")
    if repository.stale:
        print(f"Removed there: {', '.join(repository.stale)}")
    if arguments.yes:
        return True
    try:
        return input("Upload? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:  # Ctrl-D
        return False
