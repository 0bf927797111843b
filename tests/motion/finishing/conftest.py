"""Dances to finish: by rule, walking straight on, of a real dancer."""

import numpy as np
import pytest

from infinitedance.dataset_builder.procedural.dance import synthesize_dance
from infinitedance.dataset_builder.sources import open_source
from infinitedance.motion.finishing.blending import Feet, smoothstep, with_feet
from infinitedance.motion.motion import Motion
from infinitedance.motion.retargeting.retargeting import put_on_floor
from infinitedance.motion.skeleton import neutral_skeleton

STEP_SECONDS, STEP_METRES, SWING_SHARE = 0.5, 0.4, 0.4


@pytest.fixture(scope="session")
def waltz() -> Motion:
    return put_on_floor(synthesize_dance("waltz", 96, 24.0, seed=0))


@pytest.fixture(scope="session")
def make_walker():
    """Walk along +Z at 0.8 m/s: feet stand still or swing, the pelvis moves evenly."""

    def make(seconds: float) -> Motion:
        skeleton = neutral_skeleton()
        times = np.arange(round(seconds * 30)) / 30
        cycle = 2 * STEP_SECONDS
        speed = STEP_METRES / STEP_SECONDS
        toes = np.zeros((len(times), 2, 3))
        for side in (0, 1):
            count, phase = np.divmod(times / cycle + 0.5 * side, 1.0)
            swing = (phase - (1 - SWING_SHARE)) / SWING_SHARE
            forward = count - 0.5 * side + 0.5 * (1 - SWING_SHARE) + smoothstep(swing)
            toes[:, side, 0] = (0.09, -0.09)[side]
            toes[:, side, 1] = skeleton.toe_rest_height + 0.08 * np.sin(np.pi * np.clip(swing, 0, 1)) ** 2
            toes[:, side, 2] = 0.13 + forward * speed * cycle
        rotations = np.zeros((len(times), 22, 4))
        rotations[..., 0] = 1
        root = np.stack([0 * times, np.full(len(times), 0.88), speed * times], axis=-1)
        standing = Feet(toes, np.tile(np.eye(3), (len(times), 2, 1, 1)))
        return put_on_floor(with_feet(Motion(30.0, root, rotations), standing))

    return make


@pytest.fixture(scope="session")
def walker(make_walker) -> Motion:
    return make_walker(180.0)


@pytest.fixture(scope="session")
def real_waltz(shared_data_dir) -> Motion:
    source = open_source("clip_folder", shared_data_dir)
    (record,) = [record for record in source.records() if record.clip_id == "dance_w_5"]
    return put_on_floor(source.read(record))
