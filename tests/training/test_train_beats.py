import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from infinitedance.audio.beat_network import BeatNetwork
from infinitedance.training.beat_songs import BeatSong
from infinitedance.training.train_beats import BeatTraining, beat_loss, beat_targets, main, make_batch


def test_a_beat_between_two_frames_is_shared_between_them():
    song = BeatSong(np.zeros(24_000, np.float32), np.array([0.1, 0.505, 0.9]), np.array([True, False, False]), 3)
    targets = beat_targets(song, 50)
    np.testing.assert_allclose(targets.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(targets[5], [0, 1, 0], atol=1e-6)
    np.testing.assert_allclose(targets[25:27, 0], [0.75, 0.25], atol=1e-6)
    np.testing.assert_allclose(targets[45], [1, 0, 0], atol=1e-5)


def test_the_loss_is_least_where_the_targets_are_met():
    targets = torch.zeros(1, 200, 3)
    targets[..., 2] = 1
    targets[0, 100] = torch.tensor([1.0, 0, 0])
    right, wrong = torch.log(targets + 1e-3), torch.log(targets.flip(-1) + 1e-3)
    assert beat_loss(right, targets) < 0.1 < beat_loss(wrong, targets)


def test_a_batch_is_the_same_for_the_same_seeds():
    first, again = make_batch(5, 2, 4.0), make_batch(5, 2, 4.0)
    assert first["features"].shape == (2, 200, 272) and first["targets"].shape == (2, 200, 3)
    assert all(torch.equal(first[name], again[name]) for name in first)


def test_every_weight_of_the_network_gets_a_gradient():
    model = BeatTraining()
    model(**make_batch(0, 2, 4.0)).loss.backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in model.parameters())


def test_the_causal_output_hears_nothing_of_the_future():
    features = torch.rand(1, 60, 272, requires_grad=True)
    logits = BeatNetwork()(features)
    gradient = torch.autograd.grad(logits.causal[0, 30].sum(), features, retain_graph=True)[0]
    assert gradient[0, 31:].abs().max() == 0 < gradient[0, :31].abs().max()
    assert torch.autograd.grad(logits.whole[0, 30].sum(), features)[0][0, 31:].abs().max() > 0


def test_two_steps_of_training_write_a_network_that_loads(tmp_path):
    main(
        [
            *("--output_dir", str(tmp_path), "--max_steps", "2", "--batch_size", "2", "--song_seconds", "4"),
            *("--num_eval_songs", "2", "--from_beatnet", "false", "--log_steps", "1"),
        ]
    )
    network = BeatNetwork()
    network.load_state_dict(
        {name: weight.float() for name, weight in load_file(tmp_path / "model.safetensors").items()}
    )
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert any("eval/whole_loss" in line for line in lines)


@pytest.mark.parametrize(
    ("options", "message"), [(["--song_seconds", "2"], "song_seconds"), (["--num_eval_songs", "0"], "num_eval_songs")]
)
def test_a_wrong_option_is_refused(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        main(["--output_dir", str(tmp_path), *options])
