"""`build_dataset`: sources to a built data set, in one process or many, resumable after a kill at any moment."""

from __future__ import annotations

import importlib.metadata
import json
import logging
import os
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from ..audio.features import MUSIC_FEATURES_VERSION
from ..utils.atomic import PARTIAL_PREFIX, atomic_path, remove_partials
from ..utils.checkpoints import read_json_object
from .build_report import write_build_report
from .clip_folder import MIRROR_SUFFIX
from .engines import check_engine, run_tasks
from .entry_files import read_entry
from .manifest import MANIFEST_FILE, BuiltClip, clip_from_json, write_manifest
from .quality_gates import QualityGates
from .sources.base import SourceRecord
from .sources.video import VideoSource
from .splits import split_as_stated, split_by_name
from .stages import (
    ENTRY_FOLDER,
    FAILED,
    OUTPUT_FOLDERS,
    ClipJob,
    SourceFolder,
    StageSettings,
    build_clip,
    codec_sha256,
)
from .video_sources import capture_report, capture_sources

logger = logging.getLogger(__name__)

SETTINGS_FILE = "build.json"
SplitSongs = Mapping[str, Collection[str]]


def build_dataset(
    sources: Sequence[SourceFolder],
    output_dir: str | os.PathLike,
    *,
    codec: str | os.PathLike | None = None,
    mirror: bool = True,
    keep_audio: bool = True,
    gates: QualityGates | None = None,
    seed: int = 0,
    split_songs: SplitSongs | None = None,
    num_workers: int = 1,
    engine: str = "local",
    trust_pickle: bool = False,
    capture_tools: Any = None,
    show_progress: bool = False,
) -> Path:
    """Build a data set: motion, music and codes of all clips that pass the quality gates, split by song and performer.

    Every file is written under another name and renamed, and the entry of a clip comes after its files; so the build
    may be killed at any moment and goes on where it was when it is called again. The result is the same to the byte,
    whatever the number of workers, the engine and the interruptions (docs/dataset.md).

    Args:
        sources: The data sets.
        output_dir: New, empty, or a build of the same settings to be finished.
        codec: Motion codec, or a generator that holds one; without it the data set has no codes.
        mirror: Make a mirrored copy of each clip.
        keep_audio: Keep the sound of each clip beside its features.
        gates: Quality gates; the defaults if not given.
        seed: Another seed draws other splits.
        split_songs: Song ids (`source/song`) by split, `validation` and `test`, in the place of drawn ones and of
            those that a source states.
        num_workers: Processes (tasks at once on Ray).
        engine: `"local"`, or `"ray"` for a cluster whose machines all see sources and output under these paths.
        trust_pickle: Open sources that are pickles.
        capture_tools: `CaptureTools` for sources of videos; those that ship if not given.
        show_progress: Show a progress bar.

    Returns:
        `output_dir`, with `manifest.jsonl` (which training reads), `report.json`, `report.md` and the
        files of the clips.

    Raises:
        ChildProcessError: If a worker was killed.
        FileExistsError: If `output_dir` holds something else.
        FileNotFoundError: If a source is missing.
        ImportError: If the engine or a source needs a package that is missing.
        ValueError: If an argument is out of range, two clips have the same name, the build was begun with other
            settings, a song or unit is in two splits, or no clip passed.
    """
    check_engine(engine, num_workers)
    if not sources:
        raise ValueError("`sources` must name at least one data set, got none.")
    output = Path(output_dir).resolve()
    settings = StageSettings(
        gates=gates or QualityGates(),
        codec=None if codec is None else os.fspath(codec),
        mirror=mirror,
        keep_audio=keep_audio,
        trust_pickle=trust_pickle,
    )
    kept_settings = _settings_to_keep(sources, settings, seed, split_songs)
    if any(source.name == VideoSource.name for source in sources):
        _begin(output, kept_settings)  # into which the videos are captured
        sources = capture_sources(
            sources,
            output,
            capture_tools,
            num_workers=num_workers,
            engine=engine,
            show_progress=show_progress,
        )
    jobs = list_jobs(sources, settings)
    _split_records(jobs, seed, split_songs)  # wrong names and leaks are an error before the work
    _begin(output, kept_settings)
    waiting = [job for job in jobs if not _is_done(job, output)]
    if len(waiting) < len(jobs):
        logger.info("%s: %d of %d clips are done already.", output, len(jobs) - len(waiting), len(jobs))
    if waiting:  # a manifest stands only beside what it describes
        (output / MANIFEST_FILE).unlink(missing_ok=True)
    task = partial(build_clip, settings=settings, output_dir=str(output))
    statuses = run_tasks(task, waiting, num_workers=num_workers, engine=engine)
    _show(statuses, len(jobs), len(waiting), show_progress)
    return finish_build(jobs, output, seed, split_songs)


def list_jobs(sources: Iterable[SourceFolder], settings: StageSettings) -> list[ClipJob]:
    """List the clips of all sources, sorted by id, or say which ids are not unique."""
    jobs = []
    for source in sources:
        source = replace(source, folder=str(Path(source.folder).resolve()))
        jobs += [ClipJob(source, record) for record in source.open(settings.trust_pickle).records()]
    if not jobs:
        raise ValueError("The sources must list at least one clip, got none.")
    ids = Counter(job.clip_id for job in jobs)
    if settings.mirror:
        ids.update(job.clip_id + MIRROR_SUFFIX for job in jobs)
    twice = sorted(clip_id for clip_id, count in ids.items() if count > 1)
    if twice:
        raise ValueError(
            f"Clip ids must be unique, got more than once: {', '.join(twice[:10])}"
            f"{', ...' if len(twice) > 10 else ''}. Mirrored copies end in {MIRROR_SUFFIX}: a source that holds them "
            "is built without making others."
        )
    return sorted(jobs, key=lambda job: job.clip_id)


def finish_build(jobs: Sequence[ClipJob], output: Path, seed: int = 0, split_songs: SplitSongs | None = None) -> Path:
    """Draw the splits and write manifest and report of clips that are all done.

    Files that belong to no clip are removed: those of an interrupted write, and of clips that left the source.
    """
    entries = [json.loads(_entry_path(job, output).read_text(encoding="utf-8")) for job in jobs]
    clips = _draw_splits(jobs, entries, seed, split_songs)
    _remove_strangers(output, {job.file(ENTRY_FOLDER, ".json") for job in jobs}, clips)
    named_entries = [(job.source.name, entry) for job, entry in zip(jobs, entries, strict=True)]
    write_build_report(named_entries, clips, output, linked_report=capture_report(output))
    if not clips:
        raise ValueError(f"None of the {len(jobs)} clips could be built: {output / 'report.md'} says why.")
    write_manifest(clips, output)
    return output


def _draw_splits(
    jobs: Sequence[ClipJob], entries: Sequence[dict[str, Any]], seed: int, split_songs: SplitSongs | None
) -> list[BuiltClip]:
    """Return the built clips with their splits, sorted by id.

    All listed clips take part in the draw, so that another limit of a gate moves no song to another split.
    """
    splits = _split_records(jobs, seed, split_songs)
    split_of = {record.clip_id: split for split, records in splits.items() for record in records}
    clips = [
        clip_from_json({**values, "split": split_of[entry["clip_id"]]})
        for entry in entries
        for values in entry["clips"]
    ]
    return sorted(clips, key=lambda clip: clip.clip_id)


def _split_records(
    jobs: Sequence[ClipJob], seed: int, split_songs: SplitSongs | None
) -> dict[str, list[SourceRecord]]:
    records = [job.qualified_record() for job in jobs]
    return split_as_stated(records, seed=seed) if split_songs is None else split_by_name(records, split_songs)


def _settings_to_keep(
    sources: Sequence[SourceFolder], settings: StageSettings, seed: int, split_songs: SplitSongs | None
) -> dict[str, Any]:
    """Return what the output depends on, without paths."""
    return {
        "version": importlib.metadata.version("infinitedance"),
        "sources": sorted(source.name for source in sources),
        "codec_sha256": None if settings.codec is None else codec_sha256(settings.codec),
        "music_features_version": MUSIC_FEATURES_VERSION,
        "gates": settings.gates.to_mapping(),
        "mirror": settings.mirror,
        "keep_audio": settings.keep_audio,
        "seed": seed,
        "split_songs": None if split_songs is None else {name: sorted(ids) for name, ids in split_songs.items()},
    }


def _begin(output: Path, values: dict[str, Any]) -> None:
    """Make the output folder, or see that it is a build with the same settings."""
    path = output / SETTINGS_FILE
    if path.is_file():
        found = read_json_object(path)
        changed = sorted(name for name in {*values, *found} if found.get(name) != values.get(name))
        if changed:
            raise ValueError(
                f"{output} was begun with another {', '.join(changed)}. Finish it with the same settings, or build "
                "into another folder."
            )
        return
    if output.exists() and not output.is_dir():
        raise FileExistsError(f"`output_dir` must be a folder, got the file {output}. Name another one.")
    if output.is_dir() and any(not path.name.startswith(PARTIAL_PREFIX) for path in output.iterdir()):
        raise FileExistsError(f"`output_dir` must be new, empty or a build, got {output} with other files in it.")
    output.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as partial:
        partial.write_text(json.dumps(values, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def _entry_path(job: ClipJob, output: Path) -> Path:
    return output / job.file(ENTRY_FOLDER, ".json")


def _is_done(job: ClipJob, output: Path) -> bool:
    """Return whether a clip needs no work: a failed one is tried again, its file may have been repaired."""
    entry = read_entry(_entry_path(job, output))
    if entry is None or entry["status"] == FAILED or entry["fingerprint"] != job.fingerprint():
        return False
    return all(clip_from_json(values).is_intact(output) for values in entry["clips"])


def _remove_strangers(output: Path, entry_files: set[str], clips: Iterable[BuiltClip]) -> None:
    expected = entry_files | {file for clip in clips for file in clip.files}
    for folder in OUTPUT_FOLDERS:
        for path in sorted((output / folder).rglob("*"), reverse=True):
            if path.is_file() and path.relative_to(output).as_posix() not in expected:
                path.unlink()
            elif path.is_dir() and not any(path.iterdir()):
                path.rmdir()
    remove_partials(output)


def _show(statuses: Iterable[str], num_clips: int, num_waiting: int, show_progress: bool) -> None:
    from tqdm import tqdm

    counts: Counter[str] = Counter()
    bar = tqdm(
        total=num_clips, initial=num_clips - num_waiting, unit="clip", desc="building", disable=not show_progress
    )
    with bar:
        for status in statuses:
            counts[status] += 1
            bar.set_postfix(counts, refresh=False)
            bar.update()
