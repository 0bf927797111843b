"""The data card of a built data set: generated from its manifest, so that it cannot say anything else."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ..evaluation.report.tables import Table, table_markdown
from ..motion.motion import FRAME_RATE
from ..publishing.cards import FOLDER_OF_DATA
from ..publishing.kinds import CARD_FILE
from ..publishing.licenses import license_fields
from ..utils.extras import require_extra
from .hours import hour_table, hours_by_genre, shared_between_splits, unique_minutes_by_genre
from .manifest import BuiltClip
from .sources import SOURCES
from .splits import SPLITS

NOT_STATED = "not stated: ask the source before you pass it on"
SIZE_CATEGORIES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
LARGEST_SIZE_CATEGORY = "1M<n<10M"

CARD_TEXT = """# {title}

Dances on one body of 22 joints at {frame_rate} frames per second, {music}, made by `infinitedance build`. The
files are Parquet, which `datasets` reads: there is no code in this repository.

```python
from datasets import load_dataset

data = load_dataset("{folder}", "{config}")
```

{split_table}
{genre_table}
Hours are those of the dances as they were recorded; mirrored copies, which `is_mirrored` marks, are not counted. Rows
and columns add up.

{unique_table}
{shared_table}
{license_table}
Each clip carries the terms of its source in the column `license`; this collection gives no further rights. Weights
that are trained on it are bound by the strictest of them.

Cite, and read the terms at:

{citations}

## Columns

A configuration has those of what it holds.

- `caption`: genre, tempo and length in words. `seconds`: the length.
- `motion_features` (frames, 269): root, joint positions, rotations, velocities and foot contacts; `features_to_motion`
  of the package `infinitedance` turns them into a dance.
- `motion_codes` (levels, tokens): codes of the motion codec.
- `music_features` (frames, 109): spectra, onsets, loudness and the beat clock; frame k of music and motion are the
  same instant. A model reads the features of one `music_features_version` alone.
- `audio`, where the sound was kept: FLAC, mono, 24 kHz, begins with frame 0;
  `infinitedance.dataset_builder.schema.decode_audio` decodes it.
- `side`: `mirrored` where left and right are exchanged against what was danced, of a mirrored copy or of a source that
  is stored so, else `natural`. `units`: labels of the choreographic units that a dance is made of, where they are
  known.
- `genre`, `coarse_genre`: class labels. `flags`: quality gates that the clip did not pass without remark.

## Removal

A dancer, musician or rights holder who wants a clip or a song removed names its `clip_id` or `song_id`
{contact}.
It is taken out of the files of the next revision, and out of the data that models are trained on from then on. No
reason needs to be given.
"""


def render_data_card(
    clips: Sequence[BuiltClip],
    splits: Mapping[str, Sequence[str]],
    *,
    title: str = "Dances built with InfiniteDance",
    contact: str = "in a discussion on the Community tab of this repository",
) -> str:
    """Write the data card of a data set.

    Args:
        clips: All clips, with their mirrored copies.
        splits: The splits of each configuration that lies beside the card as Parquet; empty where the Hub adds them.
        title: Name of the data set.
        contact: How to ask for removal, a clause that follows "names its `clip_id`".

    Returns:
        Markdown with YAML front matter.
    """
    require_extra("yaml", "data", "A data card")
    import yaml

    with_music = sum(clip.music_file is not None for clip in clips)
    music = "with the music that they are danced to" if with_music else "without music"
    if 0 < with_music < len(clips):
        music = f"some {music}"
    front = yaml.safe_dump(_front_matter(clips, splits, title), sort_keys=False, allow_unicode=True)
    text = CARD_TEXT.format(
        title=title,
        frame_rate=round(FRAME_RATE),
        music=music,
        folder=FOLDER_OF_DATA,
        config="paired" if "paired" in splits else next(iter(splits), "paired"),
        split_table=table_markdown(asdict(split_table(clips))),
        genre_table=table_markdown(asdict(hours_by_genre(clips))),
        unique_table=table_markdown(asdict(unique_minutes_by_genre(clips))),
        shared_table=table_markdown(asdict(shared_between_splits(clips))),
        license_table=table_markdown(asdict(license_table(clips))),
        citations="\n".join(f"- {name}: {citation}" for name, citation in citations(clips).items()),
        contact=contact,
    )
    return f"---\n{front}---\n\n{text}"


def citations(clips: Iterable[BuiltClip]) -> dict[str, str]:
    """Return how to cite each source that clips were read from, by the name that their ids begin with."""
    names = sorted({clip.clip_id.split("/", 1)[0] for clip in clips})
    return {name: SOURCES[name].homepage_citation for name in names if name in SOURCES}


def split_table(clips: Sequence[BuiltClip]) -> Table:
    """Count clips, songs that can be heard and performers of each split."""
    rows: list[list[Any]] = []
    for split in SPLITS:
        members = [clip for clip in clips if clip.split == split]
        originals = [clip for clip in members if not clip.is_mirrored]
        songs = {clip.song_id for clip in originals if clip.music_file is not None}
        performers = {clip.performer_id for clip in originals} - {""}
        rows.append([split, len(originals), len(members) - len(originals), len(songs), len(performers)])
    totals = [sum(column) for column in zip(*(row[1:] for row in rows), strict=True)]
    columns = ["split", "clips", "mirrored copies", "songs", "named performers"]
    return Table("Splits", columns, [*rows, ["all", *totals]])


def license_table(clips: Sequence[BuiltClip]) -> Table:
    """List the licenses of each source, with clips and hours."""
    frames: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for clip in clips:
        if not clip.is_mirrored:
            frames[clip.source or "not stated", clip.license or NOT_STATED].append(clip.num_frames)
    rows = {names: [lengths] for names, lengths in sorted(frames.items())}
    return hour_table("Licenses", ["source", "license"], ["hours"], rows)


def _front_matter(clips: Sequence[BuiltClip], splits: Mapping[str, Sequence[str]], title: str) -> dict[str, Any]:
    has_music = any(clip.music_file is not None for clip in clips)
    values: dict[str, Any] = {
        "pretty_name": title,
        **license_fields((clip.license for clip in clips), f"{CARD_FILE}#licenses"),
        "task_categories": ["other"],
        "tags": ["dance", "motion", "3d", *(["music", "music-to-dance"] if has_music else [])],
        "size_categories": [
            next((name for limit, name in SIZE_CATEGORIES if len(clips) < limit), LARGEST_SIZE_CATEGORY)
        ],
    }
    if splits:
        values["configs"] = [
            {
                "config_name": config,
                "data_files": [{"split": split, "path": f"{config}/{split}-*.parquet"} for split in names],
                **({"default": True} if config == "paired" else {}),
            }
            for config, names in splits.items()
        ]
    return values
