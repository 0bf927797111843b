"""Two processes train as one with twice the batch. Run by torchrun, this file is such a process."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from transformers import LlamaConfig, LlamaModel

from infinitedance.modeling.choreollama.configuration_choreollama import ChoreoLlamaConfig
from infinitedance.modeling.choreollama.modeling_choreollama import ChoreoLlamaForConditionalGeneration
from infinitedance.motion.features import CONTACTS
from infinitedance.tokenization.configuration_motion_codec import MotionCodecConfig
from infinitedance.tokenization.modeling_motion_codec import MotionCodecModel
from infinitedance.training import loop, train_choreollama
from infinitedance.training.arguments import LoopArguments
from infinitedance.training.loop import build_accelerator, mean_over_processes, output_numbers

BATCH_SIZE = 8
BACKBONE = {
    "model_type": "llama",
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "intermediate_size": 16,
    "vocab_size": 8,
}
SIZES = {
    "expert_hidden_size": 8,
    "expert_num_heads": 2,
    "expert_attention_tokens": 4,
    "max_window_tokens": 8,
    "lookahead_seconds": 0.0,
}
WITHOUT_CHANCE = {
    "condition_dropout": 0.0,
    "music_dropout": 0.0,
    "spectra_dropout": 0.0,
    "genre_dropout": 0.0,
    "reference_dropout": 0.0,
    "history_mask_prob": 0.0,
    "dropout": 0.0,
}


def part_of_batch(batch: dict, process: int, num_processes: int) -> dict:
    size = BATCH_SIZE // num_processes
    return {name: tensor[process * size :][:size] for name, tensor in batch.items()}


def train_codec(prepare, process: int, num_processes: int, average) -> dict:
    """Take some steps, from codebooks that are not seeded yet; return weights, codebooks and the numbers of steps."""
    torch.manual_seed(0)
    codec = MotionCodecModel(
        MotionCodecConfig(hidden_size=16, codebook_dim=8, codebook_size=24, residual_dilations=[1], ema_decay=0.3)
    )
    codec.set_feature_statistics(torch.zeros(269), torch.ones(269))
    model, optimizer = prepare(codec, torch.optim.SGD(codec.parameters(), lr=1e-4))
    windows = torch.randn(6, BATCH_SIZE, 32, 269, generator=torch.Generator().manual_seed(1))
    windows[3:] *= 3.0  # elsewhere, so that codes fall out of use
    windows[..., CONTACTS] = 1.0  # the loss of standing feet is an average that each process weights on its own
    numbers: list[dict] = []
    planted, plant_codes = [], codec.quantizer._plant_codes
    codec.quantizer._plant_codes = lambda *parts: (planted.append(len(parts[1])), plant_codes(*parts))
    torch.manual_seed(process)  # the draws of the first process are those of one process alone
    for window in windows:
        output = model(**part_of_batch({"motion_features": window}, process, num_processes))
        output.loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        numbers.append(average(output_numbers(output)))
    return {"state": codec.state_dict(), "numbers": numbers, "num_planted": sum(planted)}


def score_dances(prepare, process: int, num_processes: int, num_references: int) -> list[dict]:
    """Return gradients of the generator: references in the first rows only, none at all, then a frozen backbone."""
    torch.manual_seed(0)
    config = ChoreoLlamaConfig(
        backbone_config=BACKBONE,
        **SIZES,
        **WITHOUT_CHANCE,
        genres=["waltz"],
        codebook_size=8,
        codebook_dim=8,
        load_balance_weight=0.0,
    )
    generator = ChoreoLlamaForConditionalGeneration(config)
    generator.set_codebooks(torch.randn(config.num_quantizers, 8, 8))
    generator.train()
    model = prepare(generator)
    frames = (config.context_tokens + 8) * config.frames_per_token
    batch = {
        "input_features": torch.randn(BATCH_SIZE, frames, config.music_feature_size),
        "reference_features": torch.randn(BATCH_SIZE, 2, frames, config.motion_feature_size),
        "motion_codes": torch.randint(8, (BATCH_SIZE, config.num_quantizers, 8)),
    }
    batch["labels"] = batch["motion_codes"]
    gradients = []
    for num_with_references, is_frozen in ((num_references, False), (0, False), (num_references, True), (2, False)):
        generator.model.backbone.requires_grad_(not is_frozen)
        batch["reference_mask"] = (torch.arange(BATCH_SIZE) < num_with_references)[:, None].expand(-1, 2)
        model(**part_of_batch(batch, process, num_processes), num_context_tokens=config.context_tokens).loss.backward()
        gradients.append({name: parameter.grad for name, parameter in generator.named_parameters()})
        generator.zero_grad()
    return gradients


def choreollama_options(folder: Path, output_dir: Path) -> list[str]:
    """Four steps in the second half of which the backbone learns."""
    fields = {"data_dir": "data", "codec_dir": "codec", "backbone": "backbone"}
    options = [part for name, value in fields.items() for part in (f"--{name}", str(folder / value))]
    options += ["--output_dir", str(output_dir), "--model", json.dumps(SIZES), "--reference_choice", "style"]
    options += ["--frozen_backbone_share", "0.5", "--max_steps", "4", "--log_steps", "1", "--batch_size", "1"]
    options += ["--gradient_accumulation_steps", "2", "--weight_decay", "0.5", "--checkpoint_minutes", "0"]
    return [*options, "--data_workers", "1", "--eval_steps", "4", "--num_references", "1"]


class Interruption(Exception):
    """Ends a run as a crash would."""


def train_and_resume(folder: Path) -> None:
    """Train straight on, and again with an interruption after the second step."""
    train_choreollama.main(choreollama_options(folder, folder / "straight"))
    save_checkpoint = loop.save_checkpoint

    def interrupt(accelerator, output_dir, progress) -> None:
        save_checkpoint(accelerator, output_dir, progress)
        if progress.step == 2:
            raise Interruption

    loop.save_checkpoint = interrupt
    with pytest.raises(Interruption):
        train_choreollama.main(choreollama_options(folder, folder / "resumed"))
    loop.save_checkpoint = save_checkpoint
    if int(os.environ["RANK"]) == 0:
        shutil.copy(folder / "resumed" / "checkpoint-2" / "model.safetensors", folder / "half.safetensors")
    train_choreollama.main([*choreollama_options(folder, folder / "resumed"), "--resume"])


def be_a_process(folder: Path) -> None:
    """Do all that needs two processes, and write what came of it."""
    Accelerator.end_training = lambda self: None  # it would part the processes after the first run
    accelerator = build_accelerator(LoopArguments(str(folder)), find_unused_parameters=True)
    layout = (accelerator.prepare, accelerator.process_index, accelerator.num_processes)
    numbers = {"all": 1.0} if accelerator.process_index else {"all": 0.0, "first": 5.0}
    results = {
        "codec": train_codec(*layout, lambda numbers: mean_over_processes(accelerator, numbers)),
        "one side": score_dances(*layout, 3),
        "means": mean_over_processes(accelerator, numbers),
    }
    torch.save(results, folder / f"process_{accelerator.process_index}.pt")
    train_and_resume(folder)


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory, build_procedural) -> Path:
    """Folder of what two processes wrote."""
    folder = tmp_path_factory.mktemp("two_processes")
    built = build_procedural(folder, 4, 3.0, validation=[2], test=[3])
    (folder / "data").symlink_to(built)
    torch.manual_seed(0)
    codec = MotionCodecModel(
        MotionCodecConfig(hidden_size=16, codebook_dim=8, codebook_size=8, residual_dilations=[1])
    )
    codec.codebooks.normal_()
    codec.save_pretrained(folder / "codec")
    LlamaModel(LlamaConfig(**BACKBONE)).save_pretrained(folder / "backbone")
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    completed = subprocess.run([*launch, __file__, str(folder)], capture_output=True, text=True)
    assert completed.returncode == 0, completed.stderr
    return folder


@pytest.fixture(scope="module")
def results(two_processes) -> list[dict]:
    return [torch.load(two_processes / f"process_{process}.pt") for process in range(2)]


def alone(*objects):
    return objects if len(objects) > 1 else objects[0]


def test_codebooks_are_equal_on_both_processes_and_to_those_of_one_with_twice_the_batch(results):
    first, second = (result["codec"]["state"] for result in results)
    expected = train_codec(alone, 0, 1, lambda numbers: numbers)
    assert expected["num_planted"] > 20  # dead codes were seeded anew
    for name, value in expected["state"].items():
        assert torch.equal(first[name], second[name]), name
        torch.testing.assert_close(first[name], value, atol=1e-5, rtol=1e-5)


def test_logged_numbers_are_means_over_processes(results):
    expected = train_codec(alone, 0, 1, lambda numbers: numbers)["numbers"]
    for result in results:
        for numbers, value in zip(result["codec"]["numbers"], expected, strict=True):
            assert numbers == pytest.approx(value, rel=1e-4)
        assert result["means"] == {"all": 0.5, "first": 5.0}  # of the processes that have it


def test_gradients_of_the_generator_are_those_of_one_process_with_twice_the_batch(results):
    expected = score_dances(alone, 0, 1, 3)
    unused = [{name for name, gradient in step.items() if gradient is None} for step in expected]
    assert any("band_experts" in name for name in unused[1]) and not unused[0]
    assert any("backbone" in name for name in unused[2]) and not unused[3]
    for result in results:
        for gradients, wanted in zip(result["one side"], expected, strict=True):
            for name, gradient in wanted.items():
                if gradient is None:
                    assert gradients[name] is None, name
                else:
                    torch.testing.assert_close(gradients[name], gradient, atol=1e-6, rtol=1e-4, msg=name)


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(path)


def test_stage_one_keeps_the_backbone_and_a_resumed_run_equals_a_straight_one(two_processes):
    straight, resumed = (read_weights(two_processes / name / "model.safetensors") for name in ("straight", "resumed"))
    assert all(torch.equal(straight[name], resumed[name]) for name in straight)
    pretrained = read_weights(two_processes / "backbone" / "model.safetensors")
    half = read_weights(two_processes / "half.safetensors")
    for name, weight in pretrained.items():
        if name != "embed_tokens.weight":
            assert torch.equal(half[f"model.backbone.{name}"], weight), name
    matrix = "layers.0.mlp.up_proj.weight"
    assert not torch.equal(straight[f"model.backbone.{matrix}"], pretrained[matrix])


def test_metrics_hold_no_step_twice_and_tell_of_gate_and_references(two_processes):
    for name in ("straight", "resumed"):
        lines = [json.loads(line) for line in (two_processes / name / "metrics.jsonl").read_text().splitlines()]
        assert [line["step"] for line in lines] == [1, 2, 3, 4, 4]
        assert sum(lines[-1][f"eval/expert_weights_{band}"] for band in range(2)) == pytest.approx(1.0)
        assert {f"eval/references_{kind}_0" for kind in ("none", "style", "random")} <= set(lines[-1])
        assert lines[-1]["eval/references_style_0"] == lines[-1]["eval/right_0"]


def launch(*options: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "accelerate.commands.launch", *options]
    return subprocess.run(command, capture_output=True, text=True)


def codec_script(built_folder: Path, output_dir: Path) -> list[str]:
    model = {"hidden_size": 16, "codebook_dim": 8, "codebook_size": 8, "residual_dilations": [1]}
    options = ["--data_dir", str(built_folder), "--output_dir", str(output_dir), "--model", json.dumps(model)]
    options += ["--eval_split", "test", "--window_frames", "32", "--batch_size", "4", "--max_steps", "2"]
    return ["-m", "infinitedance.training.train_motion_codec", *options]


def test_the_launch_configuration_starts_two_processes(built_folder, repository_root, tmp_path):
    config = repository_root / "training" / "configs" / "launch_two_cpu_processes.yaml"
    options = ["--config_file", str(config), "--main_process_port", "0"]
    completed = launch(*options, *codec_script(built_folder, tmp_path / "run"))
    assert completed.returncode == 0, completed.stderr
    assert len(list((tmp_path / "run" / "checkpoint-2").glob("random_states_*.pkl"))) == 2


def test_a_launcher_that_would_start_one_process_in_silence_says_so(built_folder, tmp_path):
    completed = launch("--cpu", "--num_processes", "2", *codec_script(built_folder, tmp_path / "run"))
    assert completed.returncode != 0 and "launch_two_cpu_processes.yaml" in completed.stderr
    assert not (tmp_path / "run").exists()


if __name__ == "__main__":
    be_a_process(Path(sys.argv[1]))
