"""`infinitedance import-release`: the authors' published weights as a model of this package."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_to(commands: argparse._SubParsersAction) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "import-release",
        help="make a model of the weights that the paper's authors published (non-commercial)",
        description="Read the published files, check every weight, and write a model folder. Nothing in them is run, "
        "and nothing is downloaded. Files are found by what they hold; each can be named.",
    )
    parser.add_argument("folder", type=Path, help="what was downloaded, with the folders below it")
    parser.add_argument("--output", type=Path, required=True, help="folder to write; must not exist or be empty")
    named = {
        "generator": "the LLaMA with its music bridge",
        "codec": "the residual VQ",
        "codec-settings": "its args.json (default: beside it)",
        "codec-statistics": "folder of its Mean.npy and Std.npy (default: alldata_new_joint_vecs264/meta)",
        "condition-statistics": "folder of those of the retrieved dances (default: "
        "alldata_new_joint_vecs264_ft_balanced/meta)",
        "retriever": "the retrieval network",
        "llama-config": "config.json of the LLaMA (default: LLaMA-3.2-1B)",
    }
    for name, text in named.items():
        parser.add_argument(f"--{name}", type=Path, metavar="PATH", help=text)
    parser.add_argument(
        "--bridge-heads", type=int, metavar="N", help="attention heads of the music bridge, in no file (default: 8)"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Find, check and write."""
    from ..audio.muq_features import MUQ_LICENSE
    from ..modeling.choreollama_release.conversion_release import find_published_files, import_release
    from ..utils.atomic import check_new_folder

    check_new_folder(arguments.output)
    names = ("generator", "codec", "codec_settings", "codec_statistics", "condition_statistics", "retriever")
    files = find_published_files(arguments.folder, {name: getattr(arguments, name) for name in names})
    for name in names:
        print(f"{name.replace('_', ' ')}: {getattr(files, name) or 'not there; dances will have no references'}")
    config = import_release(
        files, arguments.output, llama_config=arguments.llama_config, bridge_heads=arguments.bridge_heads
    )
    print(f"{arguments.output}: styles {', '.join(config.styles)}")
    print(f"The weights are for non-commercial use only, and so are the dances made with them. {MUQ_LICENSE}.")
