"""`infinitedance export-onnx`: a generator as graphs of ONNX."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..assets import MODELS


def add_to(commands: argparse._SubParsersAction) -> None:
    """Add the command."""
    parser = commands.add_parser("export-onnx", help="write a generator as ONNX files, for other runtimes")
    parser.add_argument("model", help="open or research: that ships; a model folder; or a Hub name")
    parser.add_argument("--output", type=Path, required=True, help="folder to write to, new or empty")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Export the model.

    Raises:
        FileExistsError: If the folder holds something.
        ImportError: If the extra `onnx` is missing.
        ValueError: If the model is none that can be exported.
    """
    from ..modeling.choreollama.modeling_choreollama import ChoreoLlamaForConditionalGeneration
    from ..modeling.choreollama.onnx_export import export_onnx
    from ..utils.checkpoints import load_model

    if arguments.output.exists() and (not arguments.output.is_dir() or any(arguments.output.iterdir())):
        raise FileExistsError(f"{arguments.output} is there already: give a new or an empty folder.")
    model = load_model(MODELS.get(arguments.model, arguments.model), ChoreoLlamaForConditionalGeneration)
    for file in export_onnx(model, arguments.output).values():
        print(f"{file}: {file.stat().st_size / 1e6:.1f} MB")
