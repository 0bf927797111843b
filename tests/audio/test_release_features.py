import numpy as np
import pytest

from infinitedance.audio.loading import load_audio
from infinitedance.audio.release_features import NUM_RELEASE_MUSIC_FEATURES, release_music_features


@pytest.mark.slow  # librosa compiles what the rest of the package does not use
@pytest.mark.shared_data
def test_the_55_channels_are_those_of_the_release(parity_dir):
    folder = parity_dir / "music55"
    features = release_music_features(load_audio(folder / "click_120bpm_10s.wav", 15_360))
    golden = np.load(folder / "features55_librosa_0.11.0.npy")
    assert features.dtype == np.float32 and features.shape == (301, NUM_RELEASE_MUSIC_FEATURES)
    np.testing.assert_allclose(features, golden, atol=1e-4)
    assert (features[:, 54] == 1).all() and set(np.unique(features[:, 53])) == {0, 1}


@pytest.mark.parametrize("waveform", [np.zeros((2, 15_360)), np.zeros(100), np.full(15_360, np.nan)])
def test_a_waveform_that_cannot_be_heard_is_refused(waveform):
    with pytest.raises(ValueError, match="must be mono"):
        release_music_features(waveform)
