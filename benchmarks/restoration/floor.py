"""The floor of `infinitedance restore`, from file to file: real clips with faults that lift, sink and tilt them."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import roma
import torch
from tqdm import tqdm

from infinitedance.dataset_builder.augmentation.faults import Corruption, corrupt, smooth_noise
from infinitedance.dataset_builder.built import BuiltDataset
from infinitedance.evaluation.metrics.foot_contact import floor_float_mm, floor_penetration_mm, foot_slide_mm
from infinitedance.evaluation.metrics.reconstruction import mpjpe_mm
from infinitedance.evaluation.report.tables import Cell, Table
from infinitedance.motion.features import features_to_motion
from infinitedance.motion.feet.grounding import find_floor
from infinitedance.motion.files import load_motion, save_motion
from infinitedance.motion.kinematics import matrix_to_quaternion, quaternion_to_matrix
from infinitedance.motion.motion import Motion
from infinitedance.motion.retargeting.retargeting import put_on_floor
from infinitedance.motion.skeleton import CONTACT_JOINTS
from infinitedance.restoration.pipeline_frdm import FrdmPipeline
from infinitedance.restoration.restore import restore_files
from infinitedance.training.data_frdm import EVAL_SEED

from .baselines import lock_feet, smooth_savgol

CLIP_FRAMES = 900
LATER_FRAME = 1200
"""The first 40 s of the street dances were looked at."""
HELD_OUT = {
    "street": r"kthstreet_g(KR|PO)_sFM_cAll_d01.*",
    "free dance": r"dance[12]$",
    "popular": r"g1_J_(Dance4_Broadway|Dance8_WestCoast|ShortDance1[3-6])",
    "salsa": r"cmu_61_(03|09|12|13)",
    "ballet": r"cmu_05_(16|19|20)",
    "ballroom": r"choreonet_(cha-cha_1b|cha-cha_5b|rumba_2b|rumba_8a|tango_2d|tango_5a)",
    "walking": r"walk(_normal_001|_old_001|_happy_001|_tired_002|-left_old_001|-right_proud_001|-back_tired_001)",
    "running": r"run_(feminine|old|happy)_001",
}
"""Clips, by kind, that nothing was chosen on. Of street dance there is no other clip: its later stretch counts."""
SMALL_FAULTS = Corruption(height_offset=0.0).scaled(0.5)
MEASURES = {
    "slide": "slide, mm/frame",
    "penetration": "penetration, mm",
    "float": "float, mm",
    "toes": "toes over the true ones, mm",
    "mpjpe": "MPJPE, mm",
}
WORSE_MM = 0.5
"""A penetration or float that grows by more is a miss."""
INPUT, RESTORED, TRUTH = "as it came", "`infinitedance restore`", "truth"

Fault = Callable[[Motion, np.random.Generator], Motion]


def move(
    motion: Motion,
    generator: np.random.Generator,
    corruption: Corruption = SMALL_FAULTS,
    *,
    height: float = 0.0,
    drift: float = 0.0,
    noise: float = 0.0,
    tilt_degrees: float = 0.0,
) -> Motion:
    """Put faults into legs and path, and move the whole dance off its floor.

    Args:
        motion: A clean dance at 30 Hz.
        generator: The same state gives the same faults.
        corruption: Of legs and path.
        height: Metres by which all of it is raised.
        drift: Standard deviation of a slow rising and sinking, within 1.5 s, metres.
        noise: Standard deviation of shaking from frame to frame, metres.
        tilt_degrees: The floor slopes by so much, to any side.
    """
    faulty = corrupt(motion, corruption, generator)
    path = faulty.root_positions.astype(np.float64)
    path[:, 1] += height + drift * smooth_noise(generator, (len(path),), 1.5 * motion.frame_rate)
    path += noise * generator.standard_normal(path.shape)
    angle = generator.uniform(0, 2 * np.pi)
    axis = torch.tensor([np.cos(angle), 0.0, np.sin(angle)], dtype=torch.float64)
    turn = roma.rotvec_to_rotmat(np.radians(tilt_degrees) * axis)
    rotations = faulty.joint_rotations.copy()
    rotations[:, 0] = matrix_to_quaternion(turn @ quaternion_to_matrix(torch.from_numpy(rotations[:, 0]).double()))
    return replace(faulty, root_positions=path @ turn.numpy().T, joint_rotations=rotations)


def _fault(corruption: Corruption = SMALL_FAULTS, **sizes: float) -> Fault:
    return lambda motion, generator: move(motion, generator, corruption, **sizes)


FAULTS: Mapping[str, Fault] = {
    "slide, float, penetration": _fault(Corruption(height_offset=0.0)),
    "slow drift, 2 cm": _fault(drift=0.02),
    "noise, 5 mm": _fault(noise=0.005),
    "3 cm too high": _fault(height=0.03),
    "3 cm too low": _fault(height=-0.03),
    "floor tilted by 3 degrees": _fault(tilt_degrees=3.0),
    "no fault": lambda motion, generator: replace(motion, foot_contacts=None),
}


@dataclass(frozen=True)
class FloorCase:
    """Clean clip of a kind, its true floor at y = 0."""

    kind: str
    name: str
    truth: Motion

    def measure(self, motion: Motion) -> dict[str, float]:
        """Compare a dance with the truth: where the truth stands, and against the height at which it stands."""
        joints = list(CONTACT_JOINTS)
        positions, true_positions = (dance.joint_positions().astype(np.float64) for dance in (motion, self.truth))
        contacts = self.truth.skeleton.detect_foot_contacts(true_positions, self.truth.frame_rate)
        rest_heights = self.truth.skeleton.contact_rest_heights
        lower = (true_positions[:, joints, 1] - rest_heights).min(axis=1)
        rest_heights = rest_heights + np.median(lower[contacts.any(axis=1)])
        feet, toes = positions[:, joints], contacts[:, 2:]
        rise = feet[:, 2:, 1] - true_positions[:, joints[2:], 1]
        return {
            "slide": foot_slide_mm(feet, contacts),
            "penetration": floor_penetration_mm(feet, rest_heights),
            "float": floor_float_mm(feet, rest_heights, contacts),
            "toes": float(1000 * rise[toes].mean()) if toes.any() else np.nan,
            "mpjpe": mpjpe_mm(positions, true_positions, align_joints=None),
        }


def held_out_cases(data: BuiltDataset) -> list[FloorCase]:
    """Return the clips of `HELD_OUT`, 30 s of each at most."""
    cases = []
    for kind, pattern in HELD_OUT.items():
        for clip in data.clips:
            name = clip.clip_id.split("/")[-1].split("~")[0]
            if clip.is_mirrored or not re.match(pattern, name):
                continue
            first = LATER_FRAME if kind == "street" else 0
            motion = features_to_motion(torch.from_numpy(np.array(data.motion_features(clip))))
            last = min(first + CLIP_FRAMES, motion.num_frames)
            cases.append(FloorCase(kind, clip.clip_id, replace(motion.cut(first, last), foot_contacts=None)))
    return cases


def on_lowest_moments(method: Callable[[Motion], Motion]) -> Callable[[Motion], Motion]:
    """Return a method that works on the floor of the lowest moments, and leaves the dance at its own height."""

    def repair(motion: Motion) -> Motion:
        grounded = put_on_floor(motion)
        height = motion.root_positions[0, 1] - grounded.root_positions[0, 1]
        repaired = method(grounded)
        return replace(repaired, root_positions=repaired.root_positions + np.array([0.0, height, 0.0]))

    return repair


def restore_through_files(motions: Sequence[Motion], pipeline: FrdmPipeline) -> list[Motion]:
    """Restore dances as the command does: written, read, restored, written and read again."""
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{index}.npz" for index in range(len(motions))]
        for file, motion in zip(files, motions, strict=True):
            save_motion(motion, file)
        record = restore_files(files, Path(folder) / "out", pipeline)
        if record["left_out"]:
            raise ValueError(record["left_out"][0]["reason"])
        return [load_motion(Path(folder) / "out" / file.name) for file in files]


def floor_tables(data: BuiltDataset, pipeline: FrdmPipeline) -> list[Table]:
    """Compare the product with other floors, by fault and by kind of clip; count misses, and tell slopes."""
    cases = held_out_cases(data)
    if not cases:
        return []
    baselines = {
        "lowest moments, Savitzky-Golay, foot lock": on_lowest_moments(
            lambda motion: lock_feet(smooth_savgol(motion))
        ),
        "lowest moments, `default`": on_lowest_moments(lambda motion: pipeline(motion).motion),
    }
    values: dict[tuple[str, str], list[dict[str, float]]] = {}
    slopes: list[list[Cell]] = []
    for number, (fault, add) in enumerate(tqdm(FAULTS.items(), unit="fault", leave=False)):
        faulty = [add(case.truth, np.random.default_rng((EVAL_SEED, number, n))) for n, case in enumerate(cases)]
        results = {
            INPUT: faulty,
            **{name: [method(motion) for motion in faulty] for name, method in baselines.items()},
            RESTORED: restore_through_files(faulty, pipeline),
            TRUTH: [case.truth for case in cases],
        }
        for name, dances in results.items():
            values[fault, name] = [case.measure(dance) for case, dance in zip(cases, dances, strict=True)]
        found = [find_floor(motion).slope_degrees for motion in faulty]
        told = [degrees for degrees in found if degrees]
        slopes.append([fault, len(told), len(found), float(np.median(told)) if told else None, max(found)])
    methods = [INPUT, *baselines, RESTORED, TRUTH]
    return [
        _mean_table("By fault, mean over clips", "fault", FAULTS, methods, lambda fault: values_of(values, fault)),
        _mean_table(
            "By kind of clip, mean over faults",
            "clips",
            {f"{kind}, {sum(case.kind == kind for case in cases)}": kind for kind in HELD_OUT},
            methods,
            lambda label: values_of(values, *FAULTS, cases=cases, kind=label.rsplit(", ", 1)[0]),
        ),
        _misses(values, cases, methods[1:-1]),
        Table(
            "Slopes that are found",
            ["fault", "clips with a slope", "clips", "median, degrees", "most, degrees"],
            slopes,
            "A slope needs feet that stand over a wide area; below 1.5 degrees none is told.",
        ),
    ]


def values_of(
    values: Mapping[tuple[str, str], list[dict[str, float]]],
    *faults: str,
    cases: Sequence[FloorCase] | None = None,
    kind: str | None = None,
) -> Callable[[str, str], float]:
    """Return the mean of a measure by a method over some faults, of one kind of clip or of all."""

    def mean(method: str, measure: str) -> float:
        chosen = [
            found[measure]
            for fault in faults
            for index, found in enumerate(values[fault, method])
            if cases is None or cases[index].kind == kind
        ]
        return float(np.nanmean(chosen)) if chosen else np.nan

    return mean


def _mean_table(
    title: str,
    what: str,
    labels: Mapping[str, object],
    methods: Sequence[str],
    mean_of: Callable[[str], Callable[[str, str], float]],
) -> Table:
    rows: list[list[Cell]] = []
    for label in labels:
        mean = mean_of(label)
        rows += [[label, method, *(mean(method, measure) for measure in MEASURES)] for method in methods]
    note = (
        "Clips of 30 s at most that nothing was chosen on. Of street dance it is a later stretch of dances whose "
        "first 40 s were looked at; most dancers occur in other clips that were; walking and running are in the "
        "training of the model. All faults but the first come with the first at half its size. Slide, float: where "
        "the feet of the truth touch. Penetration, float: of the lower foot, against the height at which it stands "
        "(median). Toes: mean over touching toes, below 0 under the true ones."
    )
    return Table(title, [what, "method", *MEASURES.values()], rows, note)


def _misses(
    values: Mapping[tuple[str, str], list[dict[str, float]]], cases: Sequence[FloorCase], methods: Sequence[str]
) -> Table:
    rows: list[list[Cell]] = []
    for fault in FAULTS:
        for method in methods:
            pairs = list(zip(values[fault, INPUT], values[fault, method], strict=True))
            worse = {
                measure: [after[measure] > before[measure] + WORSE_MM for before, after in pairs]
                for measure in ("penetration", "float")
            }
            kinds = [case.kind for index, case in enumerate(cases) if any(flags[index] for flags in worse.values())]
            listed = ", ".join(f"{kind} {kinds.count(kind)}" for kind in HELD_OUT if kind in kinds)
            rows.append([fault, method, *(sum(flags) for flags in worse.values()), listed or "none"])
    return Table(
        "Misses: clips whose penetration or float grew by more than 0.5 mm",
        ["fault", "method", "penetration", "float", "clips with either"],
        rows,
        f"Of {len(cases)} clips each.",
    )
