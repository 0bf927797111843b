"""Measure a trained model on held-out songs and write the numbers down.

```bash
python -m benchmarks.results --model_dir assets/choreollama-tiny --data_dir built \
    --output docs/results.md
```
"""

from __future__ import annotations

from ..writer import Sections, report_parser, run_report
from .conditions import conditions_section
from .music import music_section
from .quality import codec_section, quality_section
from .speed import speed_section

INTRODUCTION = """# Measured results

Written by `python -m benchmarks.results`; not edited by hand. Every section names the command that measures
it again, and the `.json` beside this file holds the same numbers. A range in parentheses is a 95 % bootstrap interval
over songs; with few songs it is a rough one. CONTRIBUTING.md says how the data set `built` is made.

Songs of the test split were never trained on, but their dances are assembled from the same choreographic units as the
training dances: joint errors, FID and copying on them partly measure memory of those units. On songs in the wild the
dances follow the beat less well. [notes/independent_check.md](notes/independent_check.md) has both.
"""

SECTIONS: Sections = {
    "codec": ("1. The codec", codec_section),
    "speed": ("2. The command", speed_section),
    "quality": ("3. A dance", quality_section),
    "music": ("4. Following the music", music_section),
    "conditions": ("5. Conditions", conditions_section),
}


def main(command_line: list[str] | None = None) -> None:
    """Measure the chosen sections and write the report after each of them."""
    run_report("results", report_parser(__doc__, list(SECTIONS)), SECTIONS, INTRODUCTION, command_line)


if __name__ == "__main__":
    main()
