import json

import numpy as np
import pytest
import torch

from infinitedance import MusicToDancePipeline
from infinitedance.dataset_builder.built import BuiltDataset
from infinitedance.motion.features import features_to_motion, motion_to_features
from infinitedance.motion.finishing.gaze import gaze_elevation, steady_gaze
from infinitedance.training.release.export import export_model


def looking(features: np.ndarray, elevation_degrees: float) -> np.ndarray:
    motion = features_to_motion(torch.from_numpy(features))
    return motion_to_features(steady_gaze(motion, elevation_degrees)).numpy()


@pytest.fixture
def gazing_data(write_built, walking_features, tmp_path) -> BuiltDataset:
    (tmp_path / "built").mkdir()
    looks = {  # genre, split, frames, gaze in degrees
        "down": ("waltz", "train", 60, -30.0),
        "held_out": ("waltz", "test", 60, 60.0),
        "low": ("rumba", "train", 40, 0.0),
        "high": ("rumba", "train", 90, 20.0),
    }
    fields = {name: {"genre": genre, "split": split} for name, (genre, split, _, _) in looks.items()}
    features = {
        name: looking(walking_features(num_frames, 0.0), degrees)
        for name, (_, _, num_frames, degrees) in looks.items()
    }
    return BuiltDataset(write_built(tmp_path / "built", features, fields))


def test_an_exported_model_is_in_half_precision(tiny_pipeline_dir, gazing_data, tmp_path):
    export_model(tiny_pipeline_dir, tmp_path / "exported", gazing_data)
    assert json.loads((tmp_path / "exported" / "config.json").read_text())["dtype"] == "float16"
    assert str(tmp_path) not in (tmp_path / "exported" / "config.json").read_text()
    original, exported = (
        MusicToDancePipeline.from_pretrained(path).model.state_dict()
        for path in (tiny_pipeline_dir, tmp_path / "exported")
    )
    assert original.keys() == exported.keys()
    for name, value in original.items():
        assert torch.equal(value.half().to(value.dtype), exported[name]), name


def test_an_exported_model_takes_a_reference_and_looks_as_its_training_dances_do(
    tiny_pipeline_dir, gazing_data, tmp_path
):
    export_model(tiny_pipeline_dir, tmp_path / "exported", gazing_data, guidance_scale=2.5)
    model = MusicToDancePipeline.from_pretrained(tmp_path / "exported").model
    assert model.generation_config.default_num_references == 1 and model.generation_config.guidance_scale == 2.5
    gazes = model.generation_config.genre_gaze_degrees
    rumbas = [
        gaze_elevation(features_to_motion(torch.from_numpy(np.array(gazing_data.motion_features(clip)))))
        for clip in gazing_data.clips
        if clip.genre == "rumba"
    ]
    assert len(rumbas) == 2 and abs(np.median(rumbas[0]) - np.median(rumbas[1])) > 15
    assert gazes["rumba"] == pytest.approx(np.median(np.concatenate(rumbas)), abs=0.06)
    assert gazes["waltz"] == pytest.approx(-30, abs=1.5)  # the test dance, which looks up, counts for nothing
