import json

import pytest
import torch

from benchmarks import gpu_check, scaling


class TwoProducts(torch.nn.Module):
    """Keeps its input, and what the first product gives, for the backward pass."""

    def __init__(self):
        super().__init__()
        self.first, self.second = torch.nn.Linear(8, 16, bias=False), torch.nn.Linear(16, 4, bias=False)

    def forward(self, inputs):
        return self.second(self.first(inputs))


def test_saved_bytes_are_those_of_activations_without_weights():
    assert scaling.saved_bytes(TwoProducts(), torch.randn(3, 8)) == 4 * (3 * 8 + 3 * 16)


def test_the_steps_of_an_epoch_are_the_papers(repository_root):
    sections = json.loads((repository_root / "docs" / "scaling.json").read_text())
    sizes = {row[0]: row[1] for table in sections["arithmetic"]["tables"][:1] for row in table["rows"]}
    assert sizes["steps an epoch: 36000 windows by 4 x 16"] == 562
    assert sizes["parameters, millions"] == pytest.approx(1126, abs=1)


def test_operations_of_a_window_are_those_of_its_products():
    """Six a weight and position it is used at: within a tenth of what torch counts."""
    from torch.utils.flop_counter import FlopCounterMode

    config = gpu_check.tiny_config("prefix")
    model = gpu_check.build_models(True, torch.device("cpu"))["1 B"]().train()
    batch = gpu_check.make_batch(config, 1, torch.device("cpu"))
    with FlopCounterMode(display=False) as counter:
        model(**batch).loss.backward()
    assert scaling.operations(config) == pytest.approx(counter.get_total_flops(), rel=0.35)


def test_the_check_of_a_gpu_says_that_there_is_none_and_writes_nothing(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu_check.main(["--output", str(tmp_path / "gpu_check.json")]) == 0
    printed = capsys.readouterr().out
    assert "No GPU is at hand" in printed and "needs a GPU" in printed
    for title in ("Against the CPU", "A training step", "Writing codes"):
        assert title in printed
    assert not list(tmp_path.iterdir())


def test_a_model_that_computes_something_else_on_the_device_does_not_pass():
    devices = []

    def build(device):
        model = gpu_check.build_models(True, device)["small"]()
        if devices:
            model.lm_head.weight.data.mul_(-1)
        devices.append(device)
        return model

    row = gpu_check.compare_model("small", build, torch.device("cpu"), gpu_check.TINY)
    assert row[1] > row[2] and row[3] < 100 and row[-1] is False
