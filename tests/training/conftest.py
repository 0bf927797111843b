"""Prepared folders of synthetic dances, and a model of the smallest size."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from infinitedance.audio.features import MusicFeatureExtractor
from infinitedance.dataset_builder.prepare import prepare_clip_folder
from infinitedance.dataset_builder.procedural import make_procedural_dataset
from infinitedance.modeling import ChoreoLlamaConfig, ChoreoLlamaForConditionalGeneration
from infinitedance.motion.features import motion_to_features
from infinitedance.motion.motion import Motion
from infinitedance.pipeline import MusicToDancePipeline
from infinitedance.tokenization.configuration_motion_codec import MotionCodecConfig
from infinitedance.tokenization.modeling_motion_codec import MotionCodecModel
from infinitedance.tokenization.processing_choreollama import ChoreoLlamaProcessor

REPORT_GENRES = ["cha-cha", "hip-hop", "rumba", "waltz"]
REPORT_SECONDS = 18.0


def walking_features(num_frames: int, phase: float) -> np.ndarray:
    """Features of a dancer who walks a circle, turns and waves, `(num_frames, 269)`."""
    seconds = np.arange(num_frames) / 30
    rotations = np.zeros((num_frames, 22, 4), dtype=np.float32)
    angle = 0.5 * np.sin(2 * np.pi * seconds + phase)
    rotations[..., 0] = 1
    for joint, axis in ((0, 2), (3, 3), (16, 2), (19, 1)):
        rotations[:, joint, 0], rotations[:, joint, axis] = np.cos(angle / 2), np.sin(angle / 2)
    circle = np.stack([np.sin(seconds), 0.93 + 0.02 * angle, np.cos(seconds)], axis=-1)
    left_stands = np.floor(2 * seconds) % 2 == 0
    contacts = np.stack([left_stands, ~left_stands] * 2, axis=-1)
    return motion_to_features(Motion(30.0, circle, rotations, foot_contacts=contacts)).numpy()


@pytest.fixture(scope="session")
def prepared_folder(tmp_path_factory) -> Path:
    """Four training clips with a mirrored copy each, and two test clips of two sources; one clip is very short."""
    folder = tmp_path_factory.mktemp("prepared")
    entries = []
    for number, (split, num_frames) in enumerate(
        [("train", 40), ("train", 90), ("train", 5), ("train", 64)] + [("test", 70)] * 2
    ):
        for suffix in ("", "_mirror"):
            clip_id = f"clip_{number}{suffix}"
            np.save(folder / f"{clip_id}.npy", walking_features(num_frames, number + len(suffix)))
            entries.append(
                {
                    "clip_id": clip_id,
                    "source": "stage" if number % 2 else "street",
                    "genre": "waltz",
                    "split": split,
                    "file": f"{clip_id}.npy",
                    "num_frames": num_frames,
                    "song_id": f"clip_{number}",
                    "music_file": None,
                }
            )
    (folder / "index.json").write_text(json.dumps(entries))
    return folder


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory):
    """Two songs with a dance for each of the four genres."""
    return make_procedural_dataset(tmp_path_factory.mktemp("report") / "clips", 8, REPORT_SECONDS)


@pytest.fixture(scope="session")
def data_dir(clip_folder):
    """A waltz and a cha-cha are held out."""
    return prepare_clip_folder(clip_folder, clip_folder.parent / "data", test_song_ids=["waltz_0004", "cha-cha_0006"])


@pytest.fixture(scope="session")
def model_dir(data_dir):
    """An untrained model of the smallest size, with a codec that has seen one clip."""
    torch.manual_seed(0)
    codec = MotionCodecModel(MotionCodecConfig(hidden_size=16, codebook_dim=8, codebook_size=16))
    features = torch.from_numpy(np.load(data_dir / "waltz_0000.npy"))
    codec.set_feature_statistics(features.mean(0), torch.full((269,), 0.5))
    codec.train()(features[None, :512])
    codec.eval()
    config = ChoreoLlamaConfig(
        genres=REPORT_GENRES,
        codebook_size=16,
        codebook_dim=8,
        expert_hidden_size=8,
        expert_num_heads=1,
        mamba_state_size=4,
        max_window_tokens=16,
        backbone_config={
            "hidden_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 1,
            "num_key_value_heads": 1,
            "intermediate_size": 16,
        },
    )
    model = ChoreoLlamaForConditionalGeneration(config)
    model.set_codec(codec)
    processor = ChoreoLlamaProcessor(MusicFeatureExtractor(), REPORT_GENRES)
    MusicToDancePipeline(model, processor).save_pretrained(data_dir.parent / "model")
    return data_dir.parent / "model"
