"""Section of the report on the codec."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from infinitedance.dataset_builder.manifest import BuiltClip
from infinitedance.dataset_builder.splits import TRAIN
from infinitedance.evaluation.metrics.physics import jitter
from infinitedance.evaluation.report.tables import Cell, Table
from infinitedance.motion.features import features_to_motion
from infinitedance.motion.motion import FRAME_RATE
from infinitedance.training.evaluation_motion_codec import evaluate_codec

from .bench import Bench

BALLROOM = "ballroom units"
MIN_JITTER_FRAMES = 4
CODEC_TITLE, USE_TITLE = "Codes of the encoder, decoded", "Codes in use"


def codec_section(bench: Bench) -> list[Table]:
    """Measure what the codec loses of motion of the test and validation splits, whatever its genre."""
    rows: list[list[Cell]] = []
    use: list[list[Cell]] = []
    groups = unseen_groups(bench.data.clips)
    for name, clips in groups.items():
        features = [torch.from_numpy(np.array(bench.data.motion_features(clip))) for clip in clips]
        found = evaluate_codec(bench.pipeline.tokenizer.model, ((name, each) for each in features))[name]
        errors = [found.get(key) for key in ("mpjpe_mm", "root_drift_cm", "speed_ratio")]
        rows.append([name, len(clips), sum(map(len, features)) / FRAME_RATE, *errors, *jitter_ratios(bench, features)])
        use.append([name, *found["code_use"], *found["perplexity"]])  # type: ignore[misc]  # of each level
    levels = range(bench.pipeline.model.config.num_quantizers)
    columns = ["motion", "clips", "seconds", "joint error, mm", "drift in 2 s, cm", "speed, decoded/real"]
    columns += ["jitter, decoded/real", "jitter, finished/real"]
    note = (
        "Clips of the test and validation splits. Joint error: hips and heading laid on each other. Speed: relative "
        "to the hips. Jitter: mean jerk of all joints; finished: smoothed, with planted feet, as generated dances. "
        f"{BALLROOM}: of all genres, in the rows of their sources too."
    )
    use_columns = ["motion", *(f"{what} {level}" for what in ("used,", "perplexity") for level in levels)]
    use_note = (
        "Of each level the share of codes that occur, the larger the more motion there is, and their effective number."
    )
    return [Table(CODEC_TITLE, columns, rows, note), Table(USE_TITLE, use_columns, use, use_note)]


def unseen_groups(clips: Sequence[BuiltClip]) -> dict[str, list[BuiltClip]]:
    """Return the clips that are not trained on, by source and genre, and all ballroom units."""
    unseen = sorted(
        (clip for clip in clips if clip.split != TRAIN and not clip.is_mirrored),
        key=lambda clip: (clip.source, clip.genre),
    )
    groups: dict[str, list[BuiltClip]] = {}
    for clip in unseen:
        groups.setdefault(f"{clip.source}, {clip.genre}", []).append(clip)
    units = [clip for clip in unseen if clip.units]
    return groups | ({BALLROOM: units} if units else {})


def jitter_ratios(bench: Bench, clips: Sequence[torch.Tensor]) -> list[Cell]:
    """Return the jitter of decoded and of finished dances over that of real ones, pooled over their frames.

    Args:
        bench: Holds the model.
        clips: Motion features, each `(frames, 269)`.
    """
    tokenizer, sums = bench.pipeline.tokenizer, np.zeros(3)
    for features in clips:
        if len(features) < MIN_JITTER_FRAMES:
            continue
        real = features_to_motion(features)
        codes = tokenizer.encode(real)
        versions = (real, tokenizer.decode(codes, len(features)), bench.pipeline.decode(codes, len(features)))
        sums += [jitter(each.joint_positions(), FRAME_RATE) * (len(features) - 3) for each in versions]
    return [float(each / sums[0]) if sums[0] else None for each in sums[1:]]
