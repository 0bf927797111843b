"""Measure a folder of dances of any system beside real ones, and write the report: `infinitedance evaluate`."""

from __future__ import annotations

import json
import platform
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from ..evaluation import beats
from ..evaluation.page import Picture, render_page
from ..evaluation.physics import mean_joint_speed
from ..evaluation.pulse import speed_curve
from ..evaluation.report import (
    MIN_CERTAIN_SONGS,
    SCHEMA_VERSION,
    group_summaries,
    histogram,
    metric_summaries,
    render_markdown,
    tempo_group,
)
from ..evaluation.tables import without_nan
from ..motion.extras import require_extra
from ..motion.files import atomic_path, read_motion
from ..motion.motion import FRAME_RATE
from ..motion.rendering import render_contact_sheet
from .dance_distributions import ClipSet, clip_set, measure_distributions
from .dance_folders import DanceFolder, PairedDances, pair_dances, read_dances, read_manifest
from .dance_measures import METRICS, Dance, measure_body, measure_memory, measure_music, training_poses

PACKAGES = ("infinitedance", "numpy", "scipy", "torch", "mir_eval")
MAX_PICTURES = 8
SHEET_ROWS, SHEET_COLUMNS, TILE_SIZE = 2, 4, (160, 200)
HISTOGRAM_BINS = 30
BEAT_BINS = 20


@dataclass(frozen=True)
class EvaluationInputs:
    """Folders and settings of a report.

    Args:
        generated: Dances to measure.
        reference: Real dances to compare with.
        music: Their songs.
        training: The dances that the system was trained on, for distances from them and copies; `None`: left out.
        manifest: CSV with songs, genres and tempos, see `read_manifest`.
        window_seconds: Features of distributions are taken of windows of this length; `None`: of whole clips.
        trust_pickle: Whether pickles may be read.
        frame_rate: Hz of files that do not say theirs.
        with_pictures: Whether the page has contact sheets.
        seed: Of chance and of intervals.
    """

    generated: Path
    reference: Path
    music: Path
    training: Path | None = None
    manifest: Path | None = None
    window_seconds: float | None = None
    trust_pickle: bool = False
    frame_rate: float | None = None
    with_pictures: bool = True
    seed: int = 0


def evaluate_dances(inputs: EvaluationInputs, output_dir: Path) -> dict[str, Any]:
    """Measure dances and write report.json, report.md and report.html, all three or none.

    Args:
        inputs: What to measure.
        output_dir: Made if it does not exist.

    Returns:
        The record that report.json holds.

    Raises:
        FileNotFoundError: If a folder is missing or holds no dance or song.
        ValueError: If a file cannot be read, dances and songs have no name in common, or there are too few.
        ImportError: If the extra `evaluation`, or `video` for pictures, is not installed.
    """
    require_extra("mir_eval", "evaluation", "Measuring dances")
    if inputs.with_pictures:
        require_extra("cv2", "video", "A report with pictures")
    manifest = {} if inputs.manifest is None else read_manifest(inputs.manifest)
    folders = {
        name: read_dances(folder, f"{name} dances", trust_pickle=inputs.trust_pickle, frame_rate=inputs.frame_rate)
        for name in ("generated", "reference", "training")
        if (folder := getattr(inputs, name)) is not None
    }
    training = folders["training"].positions if "training" in folders else None
    paired = pair_dances(folders["generated"].positions, folders["reference"].positions, inputs.music, manifest)
    record = measure_record(paired, training, window_seconds=inputs.window_seconds, seed=inputs.seed)
    hashes = {name: folder.hashes for name, folder in folders.items()} | {"music": paired.song_hashes}
    record["inputs"] = {name: _hashed(files) for name, files in hashes.items()}
    pictures = draw_pictures(paired, folders, inputs) if inputs.with_pictures else []
    write_report(record, pictures, output_dir)
    return record


def measure_record(
    paired: PairedDances,
    training: Mapping[str, np.ndarray] | None = None,
    *,
    window_seconds: float | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Measure dances and return all that the report shows, but the hashes of the inputs.

    Args:
        paired: Dances with songs.
        training: Positions of each training dance `(frames, 22, 3)`, metres, at 30 Hz.
        window_seconds: See `EvaluationInputs`.
        seed: Likewise.
    """
    real_sets = {"reference": _clip_set(paired.reference, window_seconds)}
    if training is not None:
        real_sets["training"] = clip_set(list(training.values()), list(training), window_seconds)
    frechet, diversity = measure_distributions(_clip_set(paired.generated, window_seconds), real_sets, seed=seed)
    dances = measure_dances(paired, training, seed)
    metrics = metric_summaries(dances, [asdict(metric) for metric in METRICS])
    return without_nan(
        {
            "schema_version": SCHEMA_VERSION,
            "summary": _summary(paired, training),
            "warnings": _warnings(paired, frechet),
            "versions": {"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
            "seed": seed,
            "settings": {"frame_rate": FRAME_RATE, "window_seconds": window_seconds},
            "left_out": paired.left_out,
            "metrics": metrics,
            "frechet": frechet,
            "diversity": diversity,
            "by_genre": group_summaries(dances, "genre"),
            "by_tempo": group_summaries(dances, "tempo"),
            "histograms": measure_histograms({"generated": paired.generated, "reference": paired.reference}),
            "dances": dances,
        }
    )


def measure_dances(paired: PairedDances, training: Mapping[str, np.ndarray] | None, seed: int) -> list[dict[str, Any]]:
    """Measure each generated and each reference dance.

    Args:
        paired: Dances with songs.
        training: See `measure_record`.
        seed: Of chance.

    Returns:
        What the report says of each, with its numbers under `values`.
    """
    speed = float(np.mean([mean_joint_speed(dance.positions, FRAME_RATE) for dance in paired.reference]))
    library = None if training is None else training_poses(training)
    real = {dance.song.name: dance for dance in reversed(paired.reference) if dance.song is not None}
    members = [("generated", dance) for dance in paired.generated]
    members += [("reference", dance) for dance in paired.reference]
    measured = []
    for which, dance in tqdm(members, unit="dance", disable=None):
        song = dance.song
        values = measure_body(dance.positions, speed)
        if song is not None:
            partner = real.get(song.name) if which == "generated" else None
            values |= measure_music(dance, paired.songs, partner, seed=seed)
        if library is not None:
            values |= measure_memory(dance.positions, library)
        measured.append(
            {
                "name": dance.name,
                "set": which,
                "song": "" if song is None else song.name,
                "unit": _unit(dance),
                "genre": dance.genre,
                "bpm": float("nan") if song is None else song.bpm,
                "tempo": "" if song is None else tempo_group(song.bpm),
                "seconds": dance.duration_seconds,
                "values": values,
            }
        )
    return measured


def _unit(dance: Dance) -> str:
    """Return what a dance is counted as: its song, of which there may be several dances, or itself."""
    return dance.name if dance.song is None else dance.song.name


def _clip_set(dances: Sequence[Dance], window_seconds: float | None) -> ClipSet:
    return clip_set([dance.positions for dance in dances], list(map(_unit, dances)), window_seconds)


def measure_histograms(sets: Mapping[str, Sequence[Dance]]) -> dict[str, dict[str, Any]]:
    """Return what the charts of the report show, see `evaluation.report.histogram`."""
    speeds = {name: np.concatenate([speed_curve(each.positions, FRAME_RATE) for each in sets[name]]) for name in sets}
    energies = {name: np.concatenate([_energies(each.positions) for each in sets[name]]) for name in sets}
    offsets = {
        name: np.concatenate(
            [
                beats.nearest_beat_offsets(each.motion_beats, each.song.clock.beat_times_seconds)
                for each in dances
                if each.song is not None
            ]
            or [np.empty(0)]
        )
        for name, dances in sets.items()
    }
    return {
        "speed": histogram(speeds, 0, _upper_end(speeds), HISTOGRAM_BINS),
        "energy": histogram(energies, 0, _upper_end(energies), HISTOGRAM_BINS),
        "beat_offsets": histogram(offsets, -0.5, 0.5, BEAT_BINS),
    }


def _energies(positions: np.ndarray) -> np.ndarray:
    """Return the kinetic energy per kilogram of each second, `(seconds,)`, J/kg, all joints being of equal mass."""
    squared = (np.diff(positions, axis=0) ** 2).sum(axis=-1).mean(axis=1) * FRAME_RATE**2 / 2
    second = round(FRAME_RATE)
    return squared[: len(squared) // second * second].reshape(-1, second).mean(axis=1)


def _upper_end(values: Mapping[str, np.ndarray]) -> float:
    """Return a round number that few values of any group are above."""
    highest = max(float(np.quantile(each, 0.99)) for each in values.values())
    step = 10.0 ** np.floor(np.log10(max(highest, 1e-6)))
    return float(np.ceil(2 * highest / step) * step / 2)


def _summary(paired: PairedDances, training: Mapping[str, np.ndarray] | None) -> str:
    with_song = sum(dance.song is not None for dance in paired.generated)
    minutes = [sum(dance.duration_seconds for dance in dances) / 60 for dances in (paired.generated, paired.reference)]
    text = (
        f"{len(paired.generated)} generated dances ({minutes[0]:.1f} min), {with_song} of them to "
        f"{len({dance.song.name for dance in paired.generated if dance.song})} songs, beside {len(paired.reference)} "
        f"reference dances ({minutes[1]:.1f} min)"
    )
    return text + (f" and {len(training)} training dances." if training else ".")


def _warnings(paired: PairedDances, frechet: Sequence[dict[str, Any]]) -> list[str]:
    warnings = []
    num_songs = len({dance.song.name for dance in paired.generated if dance.song})
    if num_songs < MIN_CERTAIN_SONGS:
        warnings.append(f"{num_songs} songs are few: the intervals are rough, and a small difference cannot be seen.")
    if len(paired.songs) < 2:
        warnings.append("With one song there is no wrong song; chance is that of its own beats, shifted.")
    if not any(dance.song for dance in paired.reference):
        warnings.append("No reference dance has a song: there is nothing real to compare the music metrics with.")
    concerned: dict[str, list[str]] = {}
    for row in frechet:
        for text in row["warnings"]:
            concerned.setdefault(text, []).append(f"{row['name']} ({row['mode']}, from {row['against']})")
    return warnings + [f"{', '.join(names)}: {text}" for text, names in concerned.items()]


def _hashed(files: Mapping[str, str]) -> dict[str, Any]:
    joined = "\n".join(f"{value}  {name}" for name, value in sorted(files.items()))
    return {"num_files": len(files), "sha256": sha256(joined.encode()).hexdigest(), "files": dict(files)}


def draw_pictures(paired: PairedDances, folders: Mapping[str, DanceFolder], inputs: EvaluationInputs) -> list[Picture]:
    """Draw contact sheets of some generated dances, evenly chosen, each followed by the real dance to its song."""
    chosen = np.unique(np.linspace(0, len(paired.generated) - 1, MAX_PICTURES).round().astype(int))
    real = {dance.song.name: dance for dance in reversed(paired.reference) if dance.song is not None}
    pictures: list[Picture] = []
    drawn: set[str] = set()
    for index in tqdm(chosen, desc="pictures", unit="dance", disable=None):
        dance = paired.generated[index]
        partner = real.get(dance.song.name) if dance.song else None
        pairs = [("generated", dance)]
        if partner is not None and partner.name not in drawn:
            pairs.append(("reference", partner))
            drawn.add(partner.name)
        pictures += [_draw(which, each, folders[which].paths[each.name], inputs) for which, each in pairs]
    return pictures


def _draw(which: str, dance: Dance, path: Path, inputs: EvaluationInputs) -> Picture:
    motion = read_motion(path, trust_pickle=inputs.trust_pickle, frame_rate=inputs.frame_rate)
    with tempfile.TemporaryDirectory() as folder:
        sheet = Path(folder) / "sheet.png"
        render_contact_sheet(motion, sheet, SHEET_ROWS, SHEET_COLUMNS, tile_size=TILE_SIZE)
        png = sheet.read_bytes()
    song = "" if dance.song is None else f" to {dance.song.name}, {dance.song.bpm:.0f} bpm"
    return Picture(which, dance.name, f"{dance.duration_seconds:.0f} s{song}", png)


def write_report(record: dict[str, Any], pictures: Sequence[Picture], output_dir: Path) -> None:
    """Write report.json, report.md and report.html: all three, or none if one cannot be made."""
    texts = {
        "report.json": json.dumps(record, indent=1, allow_nan=False) + "\n",
        "report.md": render_markdown(record),
        "report.html": render_page(record, pictures),
    }
    output_dir.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        with atomic_path(output_dir / name) as partial:
            partial.write_text(text, encoding="utf-8")
