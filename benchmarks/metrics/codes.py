"""Runs of codes that the systems of docs/metrics.md share with the training dances, and how many codes they use."""

from __future__ import annotations

import numpy as np
import torch

from infinitedance.evaluation.metrics.collapse import code_perplexity
from infinitedance.evaluation.metrics.memory import CodeLibrary
from infinitedance.evaluation.report.tables import Cell, Table
from infinitedance.motion.features import motion_to_features
from infinitedance.motion.motion import FRAME_RATE, Motion
from infinitedance.training.takes import load_takes

from ..held_out import ReportData
from .baselines import Baselines

MIN_RUN_TOKENS = 8


def codes_table(baselines: Baselines) -> Table:
    """Compare the codes of real dances, of the model and of baselines with those of the training dances."""
    data = baselines.data
    training = training_codes(data)
    libraries = [CodeLibrary(training), CodeLibrary(training, num_levels=1)]
    seconds = data.codec.config.frames_per_token / FRAME_RATE
    rows: list[list[Cell]] = []
    for name, dances in dance_codes(baselines).items():
        row: list[Cell] = [name]
        for library in libraries:
            runs = [library.shared_runs(codes) for codes in dances]
            row.append(seconds * max(run.longest for run in runs))
            row.append(float(np.mean([run.copied_share(MIN_RUN_TOKENS) for run in runs])))
        rows.append([*row, float(np.mean([code_perplexity(codes)[0] for codes in dances]))])
    shown = ("longest shared run, s", f"time in runs of {MIN_RUN_TOKENS} tokens")
    columns = ["dances", *shown, *(f"{name}, level 0 only" for name in shown), "codes in use, level 0"]
    note = (
        f"Runs of tokens ({seconds:.2f} s each) that agree, at all levels, with a piece of a training dance, mirrored "
        "or not, at any frame offset. The row of the real dances is what dances to different songs share. Copies are "
        "encoded anew, after they were put on the floor. Codes in use: exponential of the entropy, mean over dances; "
        "1 is a dance that has collapsed."
    )
    return Table("Runs of codes shared with training dances", columns, rows, note)


def training_codes(data: ReportData) -> dict[str, np.ndarray]:
    """Encode the training dances at every frame offset."""
    takes = load_takes(data.clips, data.training_clips, data.codec, offsets=range(data.codec.config.frames_per_token))
    versions = (codes for take in takes for codes in take.codes)
    return {str(index): codes for index, codes in enumerate(versions)}


def dance_codes(baselines: Baselines) -> dict[str, list[np.ndarray]]:
    """Return the codes of each dance by system: the model's own, of the others those that they are encoded to.

    Shuffled dances are the real ones.
    """
    data = baselines.data
    encoded = {
        name: [_encode(data, motion) for take in takes for motion in take]
        for name, takes in baselines.motions.items()
        if name not in ("real", "model")
    }
    real = [song.real.codes for song in data.songs]
    model = [dance.codes for dances in data.dances for dance in dances]
    return {"real": real, "model": model, **encoded}


@torch.inference_mode()
def _encode(data: ReportData, motion: Motion) -> np.ndarray:
    return data.codec.encode(motion_to_features(motion)[None])[0].numpy()
