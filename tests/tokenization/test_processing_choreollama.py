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


def test_side_and_energy_become_inputs_where_they_are_asked_for(processor, clicks):
    inputs = processor([clicks[:48_000]] * 2, 24_000, bpm=120.0, side="left", energy=[(0.5, 0.0), (1.5, 1.0)])
    assert inputs["side_ids"].tolist() == [1, 1]
    assert inputs["energy"].shape == (2, 60)
    assert inputs["energy"][1, [0, 15, 30, 45, 59]].tolist() == pytest.approx([-1, -1, 0, 1, 1])
    assert processor(clicks[:48_000], 24_000, side="right", energy=0.5)["side_ids"].tolist() == [0]
    assert (processor.energy_to_curve(0.5, 3) == 0).all()


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"side": "up"}, "one of right, left, or None, got 'up'"),
        ({"energy": 1.5}, "must lie in 0 to 1, got 1.5"),
        ({"energy": [(0.0, 0.5), (1.0, -0.1)]}, "must lie in 0 to 1, got -0.1 to 0.5"),
        ({"energy": [(1.0, 0.5), (1.0, 0.1)]}, "must rise from point to point"),
        ({"energy": [0.1, 0.5]}, "pairs of seconds and a number"),
        ({"energy": float("nan")}, "all finite"),
    ],
)
def test_sides_and_energies_that_do_not_fit_are_told(processor, clicks, asked, message):
    with pytest.raises(ValueError, match=message):
        processor(clicks[:48_000], 24_000, **asked)
