"""Ablation of foot restoration: parts of the sampler left out, and models trained without a loss."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from tqdm import tqdm

from infinitedance.dataset_builder.augmentation.faults import Corruption
from infinitedance.dataset_builder.built import BuiltDataset
from infinitedance.dataset_builder.manifest import BuiltClip
from infinitedance.evaluation.report.tables import Cell, Table
from infinitedance.modeling.frdm.configuration_frdm import LOSS_WEIGHTS, FrdmConfig
from infinitedance.modeling.frdm.modeling_frdm import FrdmModel
from infinitedance.motion.normalization import fit_feature_statistics
from infinitedance.restoration.foot_placer import SamplerSettings
from infinitedance.restoration.paper_guidance import PaperSettings
from infinitedance.restoration.pipeline_frdm import FrdmPipeline
from infinitedance.training.data_frdm import RestorationSampler

from .measures import TRUTH_MEASURES, Case, measure_method, restorer

_WITHOUT = 1e-6
"""In the place of 0, where the root could be anywhere without a weight."""
SMALL_SIZES = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 128}
SMALL_STEPS, SMALL_BATCH, SMALL_RATE = 600, 16, 1e-3
PAPER_LOSSES = ("reconstruction", "root", "foot_contact", "velocity_position", "rotation_position")


def _rows(pipelines: Mapping[str, FrdmPipeline], cases: Sequence[Case], **options) -> list[list[Cell]]:
    rows: list[list[Cell]] = []
    for name, pipeline in tqdm(pipelines.items(), unit="variant", leave=False):
        values, speed = measure_method(restorer(pipeline, **options), cases)
        rows.append([name, *(float(np.nanmean(values[key])) for key in TRUTH_MEASURES), speed])
    return rows


def _table(title: str, what: str, rows: list[list[Cell]], note: str = "") -> Table:
    return Table(title, [what, *TRUTH_MEASURES.values(), "x real time"], rows, note)


def guidance_table(pipeline: FrdmPipeline, cases: Sequence[Case]) -> Table:
    """Leave out one term of guidance and foot lock at a time."""
    whole = pipeline.settings
    weights = whole.weights

    def without(**changes: float) -> SamplerSettings:
        return replace(whole, weights=replace(weights, **changes))

    variants = {
        "all": whole,
        "without the observed path (anchor)": without(anchor=_WITHOUT),
        "without the root's steps": without(root_step=0.0),
        "without the root's height": without(root_height=_WITHOUT),
        "without ankles from the root": without(ankle_offset=_WITHOUT),
        "without the feet's steps": without(foot_step=0.0),
        "without the floor before the last step": without(floor=0.0),
        "fast feet are held too": replace(whole, contact_speed=math.inf),
        "feet are held loosely at the end": replace(whole, held=weights.contact),
    }
    pipelines = {name: FrdmPipeline(pipeline.model, settings) for name, settings in variants.items()}
    rows = _rows(pipelines, cases)
    rows += _rows({"nothing is held (`never`)": pipeline}, cases, foot_lock="never")
    return _table("Guidance and foot lock, a part left out", "sampler", rows)


def steps_table(pipeline: FrdmPipeline, cases: Sequence[Case]) -> Table:
    """Vary where the diffusion starts, and its number of steps."""
    whole = pipeline.settings
    variants = {}
    for start in (100, 300, 600, 1000):
        for steps in (1, 2, 4, 8, 16) if start == 300 else (6,):
            variants[f"from t = {start}, {steps} steps"] = replace(whole, start_timestep=start, num_steps=steps)
    pipelines = {name: FrdmPipeline(pipeline.model, settings) for name, settings in variants.items()}
    note = (
        f"The default: from t = {whole.start_timestep}, {whole.num_steps} steps. "
        "Where rows are alike, the model that sees the legs decides in one step what more steps only repeat."
    )
    return _table("Start and steps", "sampler", _rows(pipelines, cases), note)


def paper_table(pipeline: FrdmPipeline, cases: Sequence[Case]) -> Table:
    """Vary steps and t_th of Algorithm 2, printed and corrected."""
    rows: list[list[Cell]] = []
    for sampler in ("paper", "paper_corrected"):
        variants = {
            f"`{sampler}`, {steps} steps, t_th = {share:g} T": FrdmPipeline(
                pipeline.model, paper_settings=PaperSettings(steps, share)
            )
            for steps, share in ((10, 0.2), (20, 0.0), (20, 0.1), (20, 0.2), (20, 0.5), (50, 0.2))
        }
        rows += _rows(variants, cases, sampler=sampler)
    return _table("The paper's Algorithm 2", "sampler", rows, "t_th = 0: no contact guidance.")


def loss_table(
    data: BuiltDataset, clips: Sequence[BuiltClip], cases: Sequence[Case], settings: SamplerSettings
) -> Table:
    """Train small models, each without one loss, on the same batches, and restore with them."""
    variants: dict[str, dict[str, float]] = {"all losses": {}} | {
        f"without `{name}`": {name: 0.0} for name in LOSS_WEIGHTS
    }
    variants["the paper's five only"] = {name: 0.0 for name in LOSS_WEIGHTS if name not in PAPER_LOSSES}
    models = train_together(data, clips, list(variants.values()))
    pipelines = {name: FrdmPipeline(model, settings) for name, model in zip(variants, models, strict=True)}
    rows = _rows(pipelines, cases)
    masked = _rows(pipelines, cases, sampler="paper_corrected")
    for row in masked:
        row[0] = f"{row[0]}; `paper_corrected`"
    note = (
        f"Models of width {SMALL_SIZES['hidden_size']} with {SMALL_SIZES['num_hidden_layers']} layers, {SMALL_STEPS} "
        f"steps of {SMALL_BATCH} windows from the same start on the same batches: far from the shipped one, so only "
        "differences between rows count. Without the loss of contacts hardly any foot is held rightly."
    )
    return _table("A loss left out", "trained", rows + masked, note)


def train_together(
    data: BuiltDataset, clips: Sequence[BuiltClip], loss_weights: Sequence[dict[str, float]]
) -> list[FrdmModel]:
    """Train one small model for each set of loss weights, all on the same batches from the same start."""
    models = []
    for weights in loss_weights:
        torch.manual_seed(0)
        models.append(FrdmModel(FrdmConfig(**SMALL_SIZES, loss_weights=weights)))
    statistics = fit_feature_statistics(torch.from_numpy(np.array(data.motion_features(clip))) for clip in clips)
    for model in models:
        model.set_feature_statistics(*statistics)
    sampler = RestorationSampler(data, clips, models[0], batch_size=SMALL_BATCH, corruption=Corruption(), seed=(0,))
    optimizers = [torch.optim.AdamW(model.parameters(), lr=SMALL_RATE, fused=True) for model in models]
    for step in tqdm(range(SMALL_STEPS), desc="training without each loss", unit="step", leave=False):
        batch = sampler(step)
        rate = SMALL_RATE * 0.5 * (1 + math.cos(math.pi * step / SMALL_STEPS))
        for model, optimizer in zip(models, optimizers, strict=True):
            optimizer.param_groups[0]["lr"] = rate
            model(**batch).loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
    return [model.eval() for model in models]
