"""List the dances that the shipped models learn from: which parts of which files, as clip folders.

```bash
python -m infinitedance.training.release.curate_dances ../shared/data curated
infinitedance build --source clip_folder=curated/dances --output built --no-audio
infinitedance build --source clip_folder=curated/songs --output built-songs
```

`dances` is what is trained on, validated and tested on: no song and no choreographic unit is in two splits. `songs`
are paired dances to songs that `dances` has nothing of, made of units that it has: for what depends on the music.
docs/dances_data.md gives the reason for each choice.
"""

from __future__ import annotations

import argparse
import csv
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
from scipy.ndimage import uniform_filter1d

from ...dataset_builder.clip_folder import METADATA_FILE, MIRRORED, NATURAL

FRAME_RATE = 30
MIN_PART_SECONDS = 2.0
COLUMNS = (
    "clip", "file", "genre", "source", "license", "performer", "song_id", "audio", "bpm", "beats", "pulse_bpm",
    "seconds", "start_seconds", "end_seconds", "side", "units", "split",
)  # fmt: skip

GENRES = {
    "modern/ballet": "contemporary",
    "modern": "contemporary",
    "hip-hop/pop": "hip-hop",
    "broadway": "pop",
    "disco": "pop",
    "jazz": "pop",
    "party": "pop",
    "shuffle": "pop",
    "step touch": "pop",
    "west coast swing": "swing",
}
"""Names that a user expects, by those of the data; all others stay."""
BOWS = {"R-22-3": (0.39, 0.55), "R-0-6": (0.33, 0.64)}
"""Units in which the dancers bow, and in which part of them."""
HELD_OUT_SONGS = ("cha-cha_8", "rumba_7", "tango_8", "dance_w_5", "dance_w_17", "dance_w_29")
"""Stems of the paired files whose songs are kept for `songs`."""
SPLIT_OF_CLIP = {
    "cmu_60_06": "validation", "cmu_61_06": "validation",
    "cmu_60_12": "test", "cmu_61_12": "test", "cmu_60_13": "test", "cmu_61_13": "test",
    "g1_J_Dance22_Thrilling": "validation", "g1_J_Dance8_WestCoast": "test",
    "cmu_05_13": "validation", "cmu_05_04": "test",
}  # fmt: skip
SPLIT_OF_SOURCE = {"mocaptoolbox": "test"}
"""Dancers that nothing is trained on."""
VALIDATION_STRIDE = 3
"""Of the held-out units every third one, by name, is what settings are chosen by."""
LEFT_OUT = {"cmu_60_10": "trembles", "mgt_dancer": "a video"}
MIN_UNIT_FRAMES = 15
"""Of less of a unit nothing is learned: so much is lost in the blend with its neighbor."""
JOIN_METRES_PER_SECOND = 8.5
"""A hand or foot of an assembled dance that is faster was joined badly."""
JOIN_FRAMES = 8
T_POSES = {
    "kthstreet_gKR_sFM_cAll_d01_mKR_ch01_chargedcableupyour_001_00": (0.0, 5.9),
    "kthstreet_gLH_sFM_cAll_d02_mLH_ch01_lala_001_00": (191.3, 196.0),
    "kthstreet_gPO_sFM_cAll_d01_mPO_ch01_bombom_002_00": (0.0, 10.2),
}
"""Seconds in which a dancer stands with spread arms for calibration, or is on the way from or to it."""
IDLE_METRES_PER_SECOND, IDLE_SECONDS = 0.12, 0.3
"""A dancer whose joints are slower stands; so much of it is left before and after the dance."""


def parts_without(
    num_frames: int, spans: Iterable[tuple[int, int]], least_frames: int = round(MIN_PART_SECONDS * FRAME_RATE)
) -> list[tuple[int, int]]:
    """Return the parts of a clip outside some spans of frames, without those that are too short."""
    parts, start = [], 0
    for first, end in sorted(spans):
        parts.append((start, first))
        start = max(start, end)
    parts.append((start, num_frames))
    return [(first, end) for first, end in parts if end - first >= least_frames]


def bow_spans(units: Iterable[tuple[str, int, int]]) -> list[tuple[int, int]]:
    """Return the frames of bows inside units, each of label, first frame and end."""
    spans = []
    for label, first, end in units:
        if label in BOWS:
            low, high = BOWS[label]
            spans.append((first + round(low * (end - first)), first + round(high * (end - first))))
    return spans


def fast_spans(joint_positions: np.ndarray) -> list[tuple[int, int]]:
    """Return the frames around steps of any joint that are too fast for a dance, `(frames, joints, 3)` at 30 Hz."""
    steps = np.linalg.norm(np.diff(joint_positions, axis=0), axis=-1).max(axis=1) * FRAME_RATE
    return [
        (max(0, int(frame) - JOIN_FRAMES), int(frame) + JOIN_FRAMES)
        for frame in np.flatnonzero(steps > JOIN_METRES_PER_SECOND)
    ]


def trimmed(joint_positions: np.ndarray, first: int, end: int) -> tuple[int, int]:
    """Leave out most of the time in which the dancer stands before and after a dance.

    Args:
        joint_positions: Of the whole file, `(frames, joints, 3)` at 30 Hz.
        first: First frame of the part.
        end: Frame after its last.

    Returns:
        First frame and end of what is left; all, if nothing moves.
    """
    steps = np.linalg.norm(np.diff(joint_positions[first:end], axis=0), axis=-1).mean(axis=1) * FRAME_RATE
    moving = np.flatnonzero(uniform_filter1d(steps, FRAME_RATE) > IDLE_METRES_PER_SECOND)
    if len(moving) == 0:
        return first, end
    margin = round(IDLE_SECONDS * FRAME_RATE)
    return first + max(0, int(moving[0]) - margin), min(end, first + int(moving[-1]) + 1 + margin)


def filled_beats(times_seconds: np.ndarray) -> np.ndarray:
    """Put back the beats that a list lacks, evenly between those that it has.

    The beats of Motorica are those that a tracker was sure of: half of them are missing.

    Args:
        times_seconds: `(beats,)`, rising; most neighbors or their halves are one beat apart.

    Returns:
        `(all beats,)` seconds.
    """
    intervals = np.diff(times_seconds)
    period = np.median(intervals[intervals < 1.5 * np.quantile(intervals, 0.1)])
    counts = np.concatenate([[0], np.cumsum(np.maximum(1, np.rint(intervals / period)))])
    return np.interp(np.arange(counts[-1] + 1), counts, times_seconds)


def read_units(text: str) -> list[tuple[str, int, int]]:
    """Read `label:first-end`, divided by blanks."""
    units = []
    for part in text.split():
        label, _, frames = part.partition(":")
        first, _, end = frames.partition("-")
        units.append((label, int(first), int(end)))
    return units


def write_units(units: Iterable[tuple[str, int, int]], first: int, end: int) -> str:
    """Write the units of which a part holds anything that can be learned, in the part's own frames."""
    inside = [(label, max(start, first) - first, min(stop, end) - first) for label, start, stop in units]
    return " ".join(f"{label}:{start}-{stop}" for label, start, stop in inside if stop - start >= MIN_UNIT_FRAMES)


class Curator:
    """Maker of the rows of the clip folders.

    Args:
        data: The folder of the real data, with its `metadata.csv`.
        output: Where the clip folders are written.
    """

    def __init__(self, data: Path, output: Path):
        self.data, self.output = data, output
        with (data / METADATA_FILE).open(newline="", encoding="utf-8") as file:
            self.rows = list(csv.DictReader(file))
        self.units: dict[str, list[tuple[str, int, int, bool]]] = defaultdict(list)
        with (data / "units" / "dwm_units.csv").open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                if row["start_frame"]:
                    unit = (row["unit"], int(row["start_frame"]), int(row["end_frame"]), row["held_unit"] == "1")
                    self.units[row["clip"]].append(unit)
        held = sorted({unit[0] for units in self.units.values() for unit in units if unit[3]})
        self.validation_units = set(held[::VALIDATION_STRIDE])

    def write(self) -> None:
        """Write both clip folders."""
        folders: dict[str, list[dict[str, str]]] = {"dances": [], "songs": []}
        for row in self.rows:
            if row["file"] and row["clip"] not in LEFT_OUT and not row["file"].startswith(("music/", "video/")):
                for name, made in self.make_rows(row):
                    folders[name].append(made)
        for name, rows in folders.items():
            folder = self.output / name
            folder.mkdir(parents=True, exist_ok=True)
            with (folder / METADATA_FILE).open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, COLUMNS)
                writer.writeheader()
                writer.writerows(rows)

    def make_rows(self, row: Mapping[str, str]) -> Iterator[tuple[str, dict[str, str]]]:
        """Make the rows of one clip of the data, each with the name of its clip folder."""
        kind = row["file"].split("/")[1]
        if kind == "dwm":
            yield from self._mirrored_dance(row)
        elif row["file"].startswith("paired/choreonet"):
            yield from self._assembled_dance(row)
        elif row["file"].startswith("units/"):
            label = row["clip"].removeprefix("unit_")
            frames = round(float(row["seconds"]) * FRAME_RATE)
            units = [(label, 0, frames)]
            for first, end in parts_without(frames, bow_spans(units), least_frames=FRAME_RATE // 2):
                yield "dances", self._row(row, first, end, units=write_units(units, first, end), split="train")
        else:
            values = {"split": SPLIT_OF_CLIP.get(row["clip"], SPLIT_OF_SOURCE.get(kind, "train"))}
            if kind == "motorica":
                values["beats"] = self._motorica_beats(row)
                values["performer"] = row["clip"].split("_")[4]
            positions = self._positions(row)
            stances = [T_POSES[row["clip"]]] if row["clip"] in T_POSES else []
            spans = [(round(start * FRAME_RATE), round(stop * FRAME_RATE)) for start, stop in stances]
            for first, end in parts_without(len(positions), spans, least_frames=1):
                if row["genre"] != "general":  # of everyday motion standing is a part
                    first, end = trimmed(positions, first, end)
                yield "dances", self._row(row, first, end, **values)

    def _mirrored_dance(self, row: Mapping[str, str]) -> Iterator[tuple[str, dict[str, str]]]:
        """Yield the waltzes, and of all dances the held-out units, for tests, without their song."""
        units = [unit[:3] for unit in self.units[row["clip"]]]
        frames = int(row["frames"])
        held = [unit for unit in self.units[row["clip"]] if unit[3]]
        for index, (label, first, end, _) in enumerate(held):
            split = "validation" if label in self.validation_units else "test"
            end = min(end, frames)
            if end - first >= FRAME_RATE:
                values = {
                    "clip": f"{row['clip']}~unit{index}", "audio": "", "bpm": "", "pulse_bpm": row["bpm"],
                    "side": MIRRORED, "split": split, "units": write_units(units, first, end),
                }  # fmt: skip
                yield "dances", self._row(row, first, end, **values)
        if row["genre"] != "waltz":
            return
        if row["clip"] in HELD_OUT_SONGS:
            yield "songs", self._row(row, side=MIRRORED, split="test", units=write_units(units, 0, frames))
            return
        spans = [(first, end) for _, first, end, _ in held]
        positions = self._positions(row)
        for first, end in parts_without(frames, spans):
            first, end = trimmed(positions, first, end)
            values = {"side": MIRRORED, "split": "train", "units": write_units(units, first, end)}
            yield "dances", self._row(row, first, end, **values)

    def _assembled_dance(self, row: Mapping[str, str]) -> Iterator[tuple[str, dict[str, str]]]:
        units = read_units(row["units"])
        stem = Path(row["file"]).stem
        frames = int(row["frames"])
        song = stem.rstrip("abcdefgh")
        if song in HELD_OUT_SONGS:
            yield "songs", self._row(row, split="test", song_id=song, units=write_units(units, 0, frames))
            return
        positions = self._positions(row)
        for first, end in parts_without(frames, [*bow_spans(units), *fast_spans(positions)]):
            first, end = trimmed(positions, first, end)
            values = {"split": "train", "song_id": song, "units": write_units(units, first, end)}
            yield "dances", self._row(row, first, end, **values)

    def _positions(self, row: Mapping[str, str]) -> np.ndarray:
        """Return the joints of a file at 30 Hz, `(frames, 22, 3)`."""
        positions = np.load(self.data / row["file"])["joints22"]
        frames = np.arange(int(len(positions) * FRAME_RATE / float(row["fps"]))) * float(row["fps"]) / FRAME_RATE
        return positions[np.minimum(np.rint(frames).astype(int), len(positions) - 1)]

    def _motorica_beats(self, row: Mapping[str, str]) -> str:
        arrays = np.load(self.data / row["file"])
        times = filled_beats(np.flatnonzero(arrays["audio29"][:, 28] > 0.5) / float(arrays["fps"]))
        path = self.output / "dances" / "beats" / f"{row['clip']}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{time:.3f}\n" for time in times), encoding="utf-8")
        return f"beats/{path.name}"

    def _row(self, row: Mapping[str, str], first: int = 0, end: int | None = None, **values: str) -> dict[str, str]:
        """Return a row of a clip folder: a clip of the data, or the part between two frames of 30 Hz."""
        folder = self.output / "dances"
        is_whole = first == 0 and (end is None or end >= round(float(row["seconds"]) * FRAME_RATE) - 1)
        part = {} if is_whole or end is None else {
            "start_seconds": f"{first / FRAME_RATE:.4f}", "end_seconds": f"{end / FRAME_RATE:.4f}",
        }  # fmt: skip
        sound = row["audio"] if row["audio"].endswith((".ogg", ".wav")) and row["aligned"] == "1" else ""
        made = {
            "clip": row["clip"] if is_whole else f"{row['clip']}~{first}",
            "file": os.path.relpath(self.data / row["file"], folder),
            "genre": GENRES.get(row["genre"], row["genre"]),
            "source": row["source"],
            "license": row["licence"],
            "performer": row["dancer"],
            "audio": os.path.relpath(self.data / sound, folder) if sound else "",
            "bpm": row["bpm"] if sound else "",
            "pulse_bpm": row["pulse_per_min"],
            "seconds": row["seconds"],
            "side": NATURAL,
            **part,
            **values,
        }
        return made


def main(command_line: list[str] | None = None) -> None:
    """Write the clip folders."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("data", type=Path, help="folder of the real data")
    parser.add_argument("output", type=Path, help="folder for the clip folders")
    arguments = parser.parse_args(command_line)
    Curator(arguments.data.resolve(), arguments.output.resolve()).write()


if __name__ == "__main__":
    main()
