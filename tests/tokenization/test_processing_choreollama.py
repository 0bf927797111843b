import pytest
import torch

from infinitedance.audio.features import MusicFeatureExtractor
from infinitedance.tokenization.processing_choreollama import ChoreoLlamaProcessor

GENRES = ["waltz", "rumba"]


@pytest.fixture(scope="module")
def processor() -> ChoreoLlamaProcessor:
    return ChoreoLlamaProcessor(MusicFeatureExtractor(), genres=GENRES)


def test_songs_of_different_length_become_one_batch_of_model_inputs(processor, clicks):
    inputs = processor([clicks[:72_000], clicks[:48_000]], 24_000, genre=["waltz", None], bpm=[120.0, None])
    assert set(inputs) == {"input_features", "frame_mask", "genre_ids"}
    assert inputs["input_features"].shape == (2, 90, 109)
    assert inputs["frame_mask"].dtype == torch.bool and inputs["frame_mask"].sum(1).tolist() == [90, 60]
    assert inputs["genre_ids"].tolist() == [0, 2]


def test_one_waveform_is_a_batch_of_one_and_overrides_reach_the_beat_clock(processor, clicks):
    slow, fast = (processor(clicks[:48_000], 24_000, bpm=bpm)["input_features"] for bpm in (60.0, 120.0))
    assert slow.shape == (1, 60, 109)
    torch.testing.assert_close(fast[..., -1] - slow[..., -1], torch.ones(1, 60))  # log2 of the tempo


def test_an_unknown_genre_is_refused_with_the_list_of_valid_ones(processor, clicks):
    with pytest.raises(ValueError, match="one of waltz, rumba, or None for any, got 'polka'"):
        processor(clicks[:48_000], 24_000, genre="polka")
    with pytest.raises(ValueError, match="one for each of the 1 songs, got 2"):
        processor(clicks[:48_000], 24_000, genre=["waltz", "rumba"])


@pytest.mark.parametrize(("num_frames", "num_tokens"), [(1, 1), (4, 1), (5, 2), (90, 23)])
def test_a_started_group_of_frames_takes_a_token(processor, num_frames, num_tokens):
    assert processor.num_tokens(num_frames) == num_tokens


def test_a_saved_processor_is_loaded_with_its_genres(processor, tmp_path, clicks):
    processor.save_pretrained(tmp_path)
    loaded = ChoreoLlamaProcessor.from_pretrained(tmp_path)
    assert (loaded.genres, loaded.frames_per_token) == (GENRES, 4)
    song = clicks[:48_000]
    torch.testing.assert_close(
        loaded(song, 24_000, genre="waltz")["input_features"], processor(song, 24_000, genre="waltz")["input_features"]
    )
