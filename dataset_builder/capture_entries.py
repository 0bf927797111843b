"""What a captured clip folder holds of each video, and the table and the report that are made of it."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..capture.report_page import render_capture_page
from ..utils.atomic import remove_partials
from .clip_folder import METADATA_FILE
from .entry_files import read_entry, write_content, write_entry

ENTRY_FOLDER = "captures"
"""What is known of each video, a file each; written last, it says that the clips of the video are done."""
REPORT_FILE = "report.html"
MADE_FOLDERS = ("motion", "sound", "beats", "landmarks", "stills")
BEGUN, CAPTURED, FAILED = "begun", "captured", "failed"


def check_output(folder: Path) -> None:
    """Raise `FileExistsError` where a clip folder was made by something else."""
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"`output_dir` must be a folder, got the file {folder}. Name another one.")
    for name in (METADATA_FILE, REPORT_FILE):
        if (folder / name).exists() and not (folder / ENTRY_FOLDER).is_dir():
            raise FileExistsError(f"{folder / name} exists already, and no capture wrote it: give another `--output`.")


def write_files(contents: dict[str, bytes], entry: dict[str, Any], output: Path) -> None:
    """Write the files of a video between an entry that claims them and one that says that they are done."""
    path = output / ENTRY_FOLDER / f"{entry['key']}.json"
    before = read_entry(path)
    own = set() if before is None else set(before["files"])
    strangers = sorted(name for name in contents if name not in own and (output / name).exists())
    if strangers:
        raise FileExistsError(f"{output / strangers[0]} exists already: remove it, or give another `--output`.")
    entry["files"] = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    claimed = sorted(own | set(contents))
    write_entry({**entry, "status": BEGUN, "files": dict.fromkeys(claimed, "")}, path)
    for name in sorted(own - set(contents)):
        (output / name).unlink(missing_ok=True)
    for name, content in contents.items():
        write_content(output / name, content)
    write_entry(entry, path)


def read_entries(folder: Path) -> list[dict[str, Any]]:
    """Return the entries of all videos of a clip folder that was captured, sorted by name."""
    entries = [read_entry(path) for path in sorted((folder / ENTRY_FOLDER).glob("*.json"))]
    return sorted((entry for entry in entries if entry is not None), key=lambda entry: entry["key"])


def write_clip_folder(folder: Path, *, only: Iterable[str] | None = None) -> None:
    """Write the table and the report of all videos that are captured.

    Args:
        folder: The clip folder.
        only: Keys of the videos that stay; the files of others are removed. `None`: all stay.
    """
    entries = read_entries(folder)
    if only is not None:
        for entry in entries:
            if entry["key"] not in set(only):
                for name in entry["files"]:
                    (folder / name).unlink(missing_ok=True)
                (folder / ENTRY_FOLDER / f"{entry['key']}.json").unlink()
        entries = [entry for entry in entries if entry["key"] in set(only)]
    for name in ("", ENTRY_FOLDER, *MADE_FOLDERS):
        if (folder / name).is_dir():
            remove_partials(folder / name)
    done = [entry for entry in entries if entry["status"] == CAPTURED]
    rows = [clip["row"] for entry in done for clip in entry["clips"]]
    if rows:
        text = io.StringIO(newline="")
        table = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
        write_content(folder / METADATA_FILE, text.getvalue().encode())
    else:
        (folder / METADATA_FILE).unlink(missing_ok=True)
    stills = {
        clip["clip"]: (folder / clip["files"]["stills"]).read_bytes()
        for entry in done
        for clip in entry["clips"]
        if "stills" in clip["files"] and (folder / clip["files"]["stills"]).is_file()
    }
    write_content(folder / REPORT_FILE, render_capture_page(entries, stills).encode())
