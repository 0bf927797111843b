"""Measure a folder of dances of any system beside real ones, and write the report: `infinitedance evaluate`."""

from __future__ import annotations

import json
import platform
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from ..motion.drawing.rendering import render_contact_sheet
from ..motion.files import read_motion, read_motion_with_rotations
from ..motion.motion import FRAME_RATE
from ..utils.atomic import atomic_path
from ..utils.extras import require_extra
from .catalogue import METRICS
from .folders import DanceFolder, PairedDances, pair_dances, read_dances, read_pairing_manifest
from .inputs import EvaluationInputs
from .measures import (
    MeasuredDance,
    measure_body,
    measure_joins,
    measure_music,
    measure_reconstruction,
    memory_values,
    nearest_training,
    training_poses,
)
from .metrics import motion_quality
from .metrics.memory import NearestWindows
from .metrics.physics import mean_joint_speed
from .report.page import Picture, render_page
from .report.record import (
    MIN_CERTAIN_SONGS,
    SCHEMA_VERSION,
    group_summaries,
    metric_summaries,
    render_markdown,
    tempo_group,
)
from .report.tables import without_nan
from .sets import ClipSet, clip_set, measure_distributions, measure_histograms, other_bodies

PACKAGES = ("infinitedance", "numpy", "scipy", "torch", "mir_eval")
MAX_PICTURES = 8
WHOLE_COPY_MILLIMETRES = 2.0
"""A dance that is nearer than this to the training dances on average is one of them; real ones lie at 5 and more."""
RECORDED_SETTINGS = ("window_seconds", "join_seconds", "is_reconstruction", "on_one_body")
SHEET_ROWS, SHEET_COLUMNS, TILE_SIZE = 2, 4, (160, 200)


def evaluate_dances(inputs: EvaluationInputs, output_dir: Path) -> dict[str, Any]:
    """Measure dances and write report.json, report.md and report.html, all three or none.

    Args:
        inputs: What to measure.
        output_dir: Made if it does not exist.

    Returns:
        The record that report.json holds.

    Raises:
        FileNotFoundError: If a folder is missing or holds no dance or song.
        ValueError: If a file cannot be read, dances and songs have no name in common, there are too few, or
            `output_dir` is a file.
        ImportError: If the extra `evaluation`, or `video` for pictures, is not installed.
    """
    require_extra("mir_eval", "evaluation", "Measuring dances")
    if output_dir.exists() and not output_dir.is_dir():
        raise ValueError(f"The report goes to a folder, but {output_dir} is a file.")
    if inputs.with_pictures:
        require_extra("cv2", "video", "A report with pictures")
    manifest = {} if inputs.manifest is None else read_pairing_manifest(inputs.manifest)
    folders = {
        name: read_dances(
            folder,
            f"{name} dances",
            inputs.reading_of(name),
            on_one_body=inputs.on_one_body,
        )
        for name in ("generated", "reference", "training")
        if (folder := getattr(inputs, name)) is not None
    }
    training = folders["training"].positions if "training" in folders else None
    paired = pair_dances(folders["generated"].positions, folders["reference"].positions, inputs.music, manifest)
    paired.left_out += [entry for folder in folders.values() for entry in folder.left_out]
    errors = measure_reconstructions(paired, folders, inputs) if inputs.is_reconstruction else {}
    record = measure_record(paired, training, inputs, errors)
    hashes = {name: folder.hashes for name, folder in folders.items()} | {"music": paired.song_hashes}
    record["inputs"] = {name: _hashed(files) for name, files in hashes.items()}
    pictures = draw_pictures(paired, folders, inputs) if inputs.with_pictures else []
    write_report(record, pictures, output_dir)
    return record


def measure_record(
    paired: PairedDances,
    training: Mapping[str, np.ndarray] | None,
    inputs: EvaluationInputs,
    reconstructions: Mapping[str, Mapping[str, float]],
) -> dict[str, Any]:
    """Measure dances and return all that the report shows, but the hashes of the inputs.

    Args:
        paired: Dances with songs.
        training: Positions of each training dance `(frames, 22, 3)`, metres, at 30 Hz.
        inputs: Settings.
        reconstructions: From `measure_reconstructions`; empty if none are measured.
    """
    window_seconds = inputs.window_seconds
    real_sets = {"reference": _clip_set(paired.reference, window_seconds)}
    if training is not None:
        real_sets["training"] = clip_set(list(training.values()), list(training), window_seconds)
    generated = _clip_set(paired.generated, window_seconds)
    frechet, diversity = measure_distributions(generated, real_sets, seed=inputs.seed)
    ours, real = ([dance.positions for dance in dances] for dances in (paired.generated, paired.reference))
    bodies = other_bodies(ours, {"reference": real, "training": list((training or {}).values())})
    dances = measure_dances(paired, None if "training" in bodies else training, inputs.join_seconds, inputs.seed)
    for dance in dances:
        if dance["set"] == "generated" and reconstructions:
            dance["values"] |= reconstructions[dance["name"]]
    metrics = metric_summaries(dances, [asdict(metric) for metric in METRICS])
    return without_nan(
        {
            "schema_version": SCHEMA_VERSION,
            "summary": _summary(paired, training),
            "warnings": [
                *_copy_warnings(dances),
                *map(_body_warning, bodies, bodies.values()),
                *_warnings(paired, frechet),
            ],
            "versions": {"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
            "seed": inputs.seed,
            "settings": {"frame_rate": FRAME_RATE} | {name: getattr(inputs, name) for name in RECORDED_SETTINGS},
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


def measure_dances(
    paired: PairedDances, training: Mapping[str, np.ndarray] | None, join_seconds: float | None, seed: int
) -> list[dict[str, Any]]:
    """Measure each generated and each reference dance.

    Args:
        paired: Dances with songs.
        training: See `measure_record`.
        join_seconds: See `EvaluationInputs`.
        seed: Of chance.

    Returns:
        What the report says of each, with its numbers under `values`, and under `nearest` the piece of a training
        dance that is most like any of its own.
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
        if join_seconds is not None:
            values |= measure_joins(dance.positions, join_frames(len(dance.positions), join_seconds))
        nearest = None
        if library is not None:
            found = nearest_training(dance.positions, library)
            values |= memory_values(found)
            nearest = _nearest_piece(found)
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
                "nearest": nearest,
            }
        )
    return measured


def join_frames(num_frames: int, join_seconds: float) -> list[int]:
    """Return the frames of a dance, at 30 Hz, at which windows of some length are joined."""
    frames = np.round(np.arange(join_seconds, num_frames / FRAME_RATE, join_seconds) * FRAME_RATE).astype(int)
    margin = motion_quality.JUMP_MARGIN_FRAMES
    return frames[(frames >= margin) & (frames < num_frames - margin)].tolist()


def _nearest_piece(found: NearestWindows) -> dict[str, Any]:
    index = int(found.distances_mm.argmin())
    return {
        "seconds": found.starts[index] / FRAME_RATE,
        "clip": found.clip_ids[index],
        "clip_seconds": found.clip_starts[index] / FRAME_RATE,
        "millimetres": float(found.distances_mm[index]),
    }


def measure_reconstructions(
    paired: PairedDances, folders: Mapping[str, DanceFolder], inputs: EvaluationInputs
) -> dict[str, dict[str, float]]:
    """Measure how far each generated dance is from the reference dance of its name.

    Returns:
        For each generated dance the metrics of the family `reconstruction`.

    Raises:
        ValueError: If a generated dance has no reference dance of its name, or one of another length.
    """
    true = {dance.name: dance for dance in paired.reference}
    missing = [dance.name for dance in paired.generated if dance.name not in true]
    if missing:
        raise ValueError(f"A reconstruction must have a reference dance of its name, {missing[0]} has none.")
    measured = {}
    for dance in tqdm(paired.generated, desc="reconstructions", unit="dance", disable=None):
        both = [_rotations(which, folders[which].paths[dance.name], inputs) for which in ("generated", "reference")]
        rotations = None if both[0] is None or both[1] is None else (both[0], both[1])
        try:
            measured[dance.name] = measure_reconstruction(dance.positions, true[dance.name].positions, rotations)
        except ValueError as error:
            raise ValueError(f"{dance.name}: {error}") from error
    return measured


def _rotations(which: str, path: Path, inputs: EvaluationInputs) -> np.ndarray | None:
    """Return the local rotations of a file at 30 Hz, `(frames, 22, 3, 3)`; `None` if it has none of its own."""
    motion = read_motion_with_rotations(path, inputs.reading_of(which))
    return None if motion is None else motion.resample(FRAME_RATE).joint_rotations_matrix().numpy().astype(np.float64)


def _unit(dance: MeasuredDance) -> str:
    """Return what a dance is counted as: its song, of which there may be several dances, or itself."""
    return dance.name if dance.song is None else dance.song.name


def _clip_set(dances: Sequence[MeasuredDance], window_seconds: float | None) -> ClipSet:
    return clip_set([dance.positions for dance in dances], list(map(_unit, dances)), window_seconds)


def _summary(paired: PairedDances, training: Mapping[str, np.ndarray] | None) -> str:
    with_song = sum(dance.song is not None for dance in paired.generated)
    minutes = [sum(dance.duration_seconds for dance in dances) / 60 for dances in (paired.generated, paired.reference)]
    text = (
        f"{len(paired.generated)} generated dances ({minutes[0]:.1f} min), {with_song} of them to "
        f"{len({dance.song.name for dance in paired.generated if dance.song})} songs, beside {len(paired.reference)} "
        f"reference dances ({minutes[1]:.1f} min)"
    )
    return text + (f" and {len(training)} training dances." if training else ".")


def _copy_warnings(dances: Sequence[dict[str, Any]]) -> list[str]:
    copies = [
        f"{dance['name']} ({dance['nearest']['clip']})"
        for dance in dances
        if dance["set"] == "generated" and dance["values"].get("nearest_training", np.inf) < WHOLE_COPY_MILLIMETRES
    ]
    return [f"Copied from training dances: {', '.join(copies)}."] if copies else []


def _body_warning(name: str, difference: float) -> str:
    effects = "FID and diversity measure the bodies too, most of all in compat mode"
    if name == "training":
        effects += ", and copies could not be found: they are not looked for"
    return (
        f"The {name} dances are on another body than the generated ones (bones differ by {100 * difference:.0f} %): "
        f"{effects}. --one-body fits all dances to one body."
    )


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


def _draw(which: str, dance: MeasuredDance, path: Path, inputs: EvaluationInputs) -> Picture:
    motion = read_motion(path, inputs.reading_of(which))
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
