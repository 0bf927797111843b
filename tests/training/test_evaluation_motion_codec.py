import math

import pytest
import torch

from infinitedance.tokenization.configuration_motion_codec import MotionCodecConfig
from infinitedance.tokenization.modeling_motion_codec import MotionCodecModel
from infinitedance.training.evaluation_motion_codec import evaluate_codec, root_drift


class PerfectCodec(MotionCodecModel):
    """Gives back the clip that it was shown last; its codes go through the codebook once."""

    def encode(self, motion_features, frame_mask=None):
        self.clip = motion_features
        num_tokens = self.num_tokens(motion_features.shape[1])
        return (torch.arange(num_tokens) % self.config.codebook_size).expand(1, self.config.num_quantizers, -1)

    def decode(self, codes, token_mask=None):
        return self.clip


@pytest.fixture
def codec():
    return PerfectCodec(MotionCodecConfig(hidden_size=8, codebook_dim=4, codebook_size=40)).eval()


@pytest.fixture
def features(walking_features):
    return lambda num_frames: torch.from_numpy(walking_features(num_frames, 0.0))


def test_a_perfect_codec_has_no_error_and_the_true_speed(codec, features):
    numbers = evaluate_codec(codec, [("stage", features(80)), ("street", features(40))])
    assert set(numbers) == {"stage", "street", "all"}
    assert numbers["all"]["mpjpe_mm"] == 0 and numbers["all"]["speed_ratio"] == 1
    assert numbers["stage"]["root_drift_cm"] == 0 and "root_drift_cm" not in numbers["street"]


def test_code_use_and_perplexity_count_codes(codec, features):
    numbers = evaluate_codec(codec, [("stage", features(80))])["all"]
    assert numbers["code_use"] == pytest.approx([20 / 40] * 3)
    assert numbers["perplexity"] == pytest.approx([20.0] * 3)


def test_a_velocity_error_of_a_tenth_drifts_twenty_centimetres_in_two_seconds(features):
    still = features(100)
    still[:, :3] = 0
    wrong = still.clone()
    wrong[:, 1] = 0.1
    torch.testing.assert_close(root_drift(wrong, still, 30.0), torch.full((40,), 0.2).double())


def test_a_wrong_heading_before_the_window_is_no_drift(features):
    true = features(100)
    turned = true.clone()
    turned[5, 0] += math.radians(90) * 30  # one sudden quarter turn
    drift = root_drift(turned, true, 30.0)
    assert drift[:5].min() > 0.1 and drift[6:].max() < 1e-6
