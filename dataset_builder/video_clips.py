"""`capture_videos`: videos to a clip folder with dances, sound, beats, landmarks and a report; resumable."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ..utils.atomic import held_folder
from .capture_entries import CAPTURED, ENTRY_FOLDER, FAILED, check_output, write_clip_folder, write_files
from .captured_clip import ClipPlace, make_clip
from .engines import run_tasks
from .entry_files import read_entry
from .manifest import file_sha256
from .stages import one_thread
from .video_jobs import CaptureOptions, VideoJob, list_videos


def capture_videos(
    videos: Sequence[str | os.PathLike],
    output_dir: str | os.PathLike,
    options: CaptureOptions | None = None,
    tools: Any = None,
    *,
    show_progress: bool = False,
) -> dict[str, Any]:
    """Capture the dances of videos into a clip folder (docs/capture.md).

    A video is captured in memory, its files are written, and last its entry; so a kill loses the video it was at, and
    the same call goes on where it was, to the same bytes. A video that cannot be captured is left out with its reason
    and tried again by the next call. Files that are not the capture's own are never touched.

    Args:
        videos: Files that FFmpeg reads.
        output_dir: New, empty, or the output of earlier captures, whose clips stay.
        options: See `CaptureOptions`.
        tools: `CaptureTools`, or what has its methods; by default those that ship.
        show_progress: Show a progress bar.

    Returns:
        `clips`: the record of each, with its stages, gates and notes; `kept`: the names of those that were there
        already; `notes`: sentences on the videos; `left_out`: `video` and `reason` of the others.

    Raises:
        FileExistsError: If the output holds something else, or a clip of that name that was made from something else.
        FileNotFoundError: If there is no video at all, or the landmark models are missing.
        ImportError: If a package is missing.
    """
    options = options or CaptureOptions()
    folder = Path(output_dir)
    jobs, missing = list_videos([(video, options) for video in videos])
    if not jobs:
        raise FileNotFoundError("\n".join(item["reason"] for item in missing) or "There is no video to capture.")
    check_output(folder)
    with held_folder(folder):
        entries = run_captures(jobs, folder, tools, show_progress=show_progress)
        write_clip_folder(folder)
    clips = [clip for entry, _ in entries for clip in entry["clips"]]
    kept = [clip["clip"] for entry, was_kept in entries if was_kept for clip in entry["clips"]]
    failed = [
        {"video": entry["video"], "reason": entry["reason"]} for entry, _ in entries if entry["status"] == FAILED
    ]
    notes = [note for entry, _ in entries for note in entry["notes"]]
    return {"clips": clips, "kept": kept, "notes": notes, "left_out": missing + failed}


def run_captures(
    jobs: Sequence[VideoJob],
    folder: Path,
    tools: Any = None,
    *,
    replaces: bool = False,
    num_workers: int = 1,
    engine: str = "local",
    show_progress: bool = False,
) -> list[tuple[dict[str, Any], bool]]:
    """Capture videos that are not captured yet.

    Args:
        jobs: The videos.
        folder: The clip folder.
        tools: See `capture_videos`.
        replaces: Capture a video anew where its clips were made from something else, which is an error otherwise.
        num_workers: Processes, or tasks at once on Ray.
        engine: `"local"` or `"ray"`.
        show_progress: Show a progress bar.

    Returns:
        The entry of each video, and whether it was there before.
    """
    from tqdm import tqdm

    if tools is None:
        from ..capture.tools import CaptureTools

        tools = CaptureTools()
    digests = tools.digests()
    if any(job.options.hands for job in jobs):
        tools.check_hands()
    finished = {job.key: _finished(job, folder, digests, replaces) for job in jobs}
    waiting = [job for job in jobs if finished[job.key] is None]
    (folder / ENTRY_FOLDER).mkdir(parents=True, exist_ok=True)
    task = partial(capture_video, folder=str(folder), tools=tools, digests=digests)
    done = run_tasks(task, waiting, num_workers=num_workers, engine=engine)
    for _ in tqdm(done, total=len(waiting), unit="video", desc="capturing", disable=not (show_progress and waiting)):
        pass
    return [(finished[job.key] or _entry_of(job, folder), finished[job.key] is not None) for job in jobs]


def capture_video(job: VideoJob, folder: str, tools: Any, digests: dict[str, str | None]) -> str:
    """Capture one video, write its files, and last its entry.

    Args:
        job: The video.
        folder: The clip folder.
        tools: See `capture_videos`.
        digests: Of the weights.

    Returns:
        `"captured"` or `"failed"`.
    """
    output = Path(folder)
    entry: dict[str, Any] = {
        "video": Path(job.path).name,
        "key": job.key,
        "made_from": job.made_from(digests),
        "status": CAPTURED,
        "reason": "",
        "notes": [],
        "clips": [],
    }
    try:
        with one_thread():
            contents = _capture(job, tools, entry)
    except (ImportError, MemoryError):
        raise
    except Exception as error:  # whatever is wrong with one video, the others are captured
        contents = {}
        entry |= {"status": FAILED, "reason": _reason(job, error), "clips": []}
    write_files(contents, entry, output)
    return entry["status"]


def _capture(job: VideoJob, tools: Any, entry: dict[str, Any]) -> dict[str, bytes]:
    """Fill the entry of a video; return the contents of its files."""
    from ..capture.sound import read_sound

    facts, tracks = tools.track(Path(job.path), job.options.person)
    notes = [_named(note, job) for note in facts.notes]
    sound = None
    try:
        sound = read_sound(job.path, facts.sound_offset_seconds, job.options.genre)
    except ValueError as error:
        notes.append(f"The dances have no sound: {_named(str(error), job)}")
    contents: dict[str, bytes] = {}
    places = _places(job, tracks)
    clips = []
    for place, track in zip(places, tracks, strict=True):
        try:
            hands = tools.hands(Path(job.path), track) if job.options.hands else None
            clips.append(make_clip(place, track, sound, tools, hands))
        except (ValueError, ArithmeticError) as error:
            notes.append(f"Person {track.person} of shot {track.shot} is left out: {error}")
    if not clips:
        raise ValueError(" ".join(notes) or "nobody was found in it.")
    stills = _draw_stills(job, tools, clips)
    for clip in clips:
        if clip.place.clip_id in stills:
            clip.add_file("stills", ".jpg", stills[clip.place.clip_id])
        contents |= clip.contents
    entry["notes"], entry["clips"] = notes, [clip.record for clip in clips]
    return contents


def _places(job: VideoJob, tracks: Sequence[Any]) -> list[ClipPlace]:
    names = [job.key + (f"~s{track.shot}p{track.person}" if len(tracks) > 1 else "") for track in tracks]
    return [ClipPlace(name, job.key, Path(job.path).name, job.sha256, job.options) for name in names]


def _draw_stills(job: VideoJob, tools: Any, clips: Sequence[Any]) -> dict[str, bytes]:
    """Read the pictures of all clips in one go and draw the skeletons over them."""
    from ..capture.stills import draw_still, join_stills

    wanted: dict[int, list[tuple[Any, int]]] = {}
    for clip in clips:
        for frame in clip.still_frames:
            wanted.setdefault(clip.track.first_frame + frame, []).append((clip, frame))
    tiles: dict[str, dict[int, Any]] = {}
    for video_frame, picture in tools.pictures(Path(job.path), sorted(wanted)):
        for clip, frame in wanted[video_frame]:
            scale = picture.shape[1] / clip.track.image_size[0]
            tiles.setdefault(clip.place.clip_id, {})[frame] = draw_still(
                picture, clip.joints_in_picture(frame) * scale
            )
    return {clip_id: join_stills(own) for clip_id, own in tiles.items()}


def _reason(job: VideoJob, error: Exception) -> str:
    is_known = isinstance(error, ValueError | OSError)
    return _named(str(error) if is_known else f"{type(error).__name__}: {error}", job)


def _named(message: str, job: VideoJob) -> str:
    """Return a message that names the video, without the folder that it is in."""
    name = Path(job.path).name
    message = message.replace(job.path, name)
    return message if name in message else f"{name}: {message}"


def _finished(job: VideoJob, folder: Path, digests: dict[str, str | None], replaces: bool) -> dict[str, Any] | None:
    """Return the entry of a video whose clips are all there, `None` if it has to be captured."""
    entry = read_entry(folder / ENTRY_FOLDER / f"{job.key}.json")
    if entry is None:
        return None
    made_from = job.made_from(digests)
    if entry["made_from"] != made_from:
        if replaces or entry["status"] != CAPTURED:
            return None
        changed = sorted(key for key, value in made_from.items() if entry["made_from"].get(key) != value)
        what = ", ".join(name.removesuffix("_sha256").replace("_", " ") for name in changed) or "version"
        raise FileExistsError(
            f"{folder} holds clips of {job.key} already, made from another {what}: give another `--output`, or remove "
            f"{folder / ENTRY_FOLDER / job.key}.json and the clips."
        )
    if entry["status"] != CAPTURED:
        return None
    is_whole = all(file_sha256(folder / name) == digest for name, digest in entry["files"].items())
    return entry if is_whole else None


def _entry_of(job: VideoJob, folder: Path) -> dict[str, Any]:
    entry = read_entry(folder / ENTRY_FOLDER / f"{job.key}.json")
    if entry is None:
        raise OSError(f"{folder / ENTRY_FOLDER / job.key}.json was removed while the video was captured. Try again.")
    return entry
