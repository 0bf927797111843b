import json

import pytest
import torch

from infinitedance.modeling.lifter.modeling_lifter import LifterModel
from infinitedance.training import train_lifter

TINY = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "window_frames": 16,
    "overlap_frames": 8,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory, write_built, walking_features):
    """Four dances, one of a performer who is held out."""
    names = ["walk_a", "walk_b", "walk_c", "cmu_05_1"]
    clips = {name: walking_features(60, number) for number, name in enumerate(names)}
    return write_built(tmp_path_factory.mktemp("lifter"), clips, {name: {"split": "train"} for name in names})


@pytest.fixture
def run(folder, tmp_path):
    def start(name: str, *options: str):
        output = tmp_path / name
        train_lifter.main(
            [
                *("--data_dir", str(folder), "--output_dir", str(output), "--batch_size", "2", "--log_steps", "1"),
                *("--final_learning_rate_share", "1"),
                *("--held_out_clips", "cmu_05_", "--model", json.dumps(TINY), *options),
            ]
        )
        return output

    return start


def test_training_writes_a_model_and_its_measures(run):
    output = run("run", "--max_steps", "2")
    lines = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
    assert any("eval/projected/position" in line for line in lines)
    assert LifterModel.from_pretrained(output).config.window_frames == 16


def test_a_resumed_run_equals_an_uninterrupted_one(run):
    whole = run("whole", "--max_steps", "4")
    run("parts", "--max_steps", "2")
    parts = run("parts", "--max_steps", "4", "--resume", "True")
    first, second = (LifterModel.from_pretrained(folder).state_dict() for folder in (whole, parts))
    for name, value in first.items():
        torch.testing.assert_close(second[name], value, rtol=0, atol=0)


def test_a_run_goes_on_from_another_model(run):
    first = run("first", "--max_steps", "2")
    second = run("second", "--max_steps", "1", "--learning_rate", "1e-9", "--initial_model", str(first))
    for name, value in LifterModel.from_pretrained(first).state_dict().items():
        torch.testing.assert_close(LifterModel.from_pretrained(second).state_dict()[name], value, atol=1e-6, rtol=0)


def test_held_out_clips_are_not_trained_on(folder):
    arguments = train_lifter.LifterArguments(data_dir=str(folder), held_out_clips="cmu_05_")
    trained, evaluated = arguments.dances(train_lifter.BuiltDataset(folder))
    assert (len(trained), len(evaluated)) == (3, 1)


def test_a_folder_without_pairs_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"benchmarks\.capture\.pairs"):
        train_lifter.read_pairs(str(tmp_path))
