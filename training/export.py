"""Make the folder that ships: a trained generator in half precision, with its codec and processor.

```bash
python -m infinitedance.training.export runs/choreollama assets/choreollama-tiny
```
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ..pipeline import MusicToDancePipeline


def export_model(model_dir: str | Path, output_dir: str | Path) -> None:
    """Write the model in `model_dir` to `output_dir` in float16; it is computed with in float32 when loaded again.

    Args:
        model_dir: As `train_choreollama` writes it.
        output_dir: Created if it does not exist; a model card in it is kept.
    """
    pipeline = MusicToDancePipeline.from_pretrained(model_dir)
    pipeline.model.half()
    pipeline.save_pretrained(output_dir)


def main() -> None:
    """Export a model from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model_dir", type=Path, help="folder of a finished run")
    parser.add_argument("output_dir", type=Path, help="folder to write")
    arguments = parser.parse_args()
    export_model(arguments.model_dir, arguments.output_dir)


if __name__ == "__main__":
    main()
