"""A small model and data set that the reports measure."""

import numpy as np
import pytest
import torch

from infinitedance.audio.features import MusicFeatureExtractor
from infinitedance.modeling.choreollama.configuration_choreollama import ChoreoLlamaConfig
from infinitedance.modeling.choreollama.modeling_choreollama import ChoreoLlamaForConditionalGeneration
from infinitedance.pipeline import MusicToDancePipeline
from infinitedance.tokenization.configuration_motion_codec import MotionCodecConfig
from infinitedance.tokenization.modeling_motion_codec import MotionCodecModel
from infinitedance.tokenization.processing_choreollama import ChoreoLlamaProcessor

REPORT_GENRES = ["cha-cha", "hip-hop", "rumba", "waltz"]
REPORT_SECONDS = 18.0


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory, build_procedural):
    """Two songs with a dance for each of four genres; a waltz and a cha-cha are held out."""
    return build_procedural(tmp_path_factory.mktemp("report"), 8, REPORT_SECONDS, test=[4, 6])


@pytest.fixture(scope="session")
def model_dir(data_dir):
    """An untrained model of the smallest size, with a codec that has seen one clip."""
    torch.manual_seed(0)
    codec = MotionCodecModel(MotionCodecConfig(hidden_size=16, codebook_dim=8, codebook_size=16))
    features = torch.from_numpy(np.load(data_dir / "motion" / "clip_folder" / "waltz_0000.npy"))
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
