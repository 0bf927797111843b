"""Two processes train as one with twice the batch. Run by torchrun, this file is such a process."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator, PartialState
from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin
from transformers import LlamaConfig, LlamaModel

from infinitedance.audio.features import MusicFeatureLayout
from infinitedance.dataset_builder.stages import load_codec
from infinitedance.modeling.choreollama.configuration_choreollama import ChoreoLlamaConfig
from infinitedance.modeling.choreollama.modeling_choreollama import ChoreoLlamaForConditionalGeneration
from infinitedance.motion.features import CONTACTS
from infinitedance.tokenization.configuration_motion_codec import MotionCodecConfig
from infinitedance.tokenization.modeling_motion_codec import MotionCodecModel
from infinitedance.training import evaluation_choreollama, loop, train_choreollama
from infinitedance.training.arguments import LoopArguments
from infinitedance.training.data_choreollama import ChoreoWindows
from infinitedance.training.evaluation_choreollama import evaluate_choreollama
from infinitedance.training.evaluation_motion_codec import evaluate_codec
from infinitedance.training.loop import (
    Processes,
    build_accelerator,
    build_optimizer,
    mean_over_processes,
    output_numbers,
    train,
)
from infinitedance.training.takes import DanceTake

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


def make_generator() -> ChoreoLlamaForConditionalGeneration:
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
    return generator


def make_dances(config: ChoreoLlamaConfig) -> dict:
    frames = (config.context_tokens + 8) * config.frames_per_token
    batch = {
        "input_features": torch.randn(BATCH_SIZE, frames, config.music_feature_size),
        "reference_features": torch.randn(BATCH_SIZE, 2, frames, config.motion_feature_size),
        "motion_codes": torch.randint(8, (BATCH_SIZE, config.num_quantizers, 8)),
        "reference_mask": (torch.arange(BATCH_SIZE) < 3)[:, None].expand(-1, 2),
    }
    return batch | {"labels": batch["motion_codes"]}


def score_dances(prepare, process: int, num_processes: int, num_references: int) -> list[dict]:
    """Return gradients of the generator: references in the first rows only, none at all, then a frozen backbone."""
    generator = make_generator().train()
    config = generator.config
    model = prepare(generator)
    batch = make_dances(config)
    gradients = []
    for num_with_references, is_frozen in ((num_references, False), (0, False), (num_references, True), (2, False)):
        generator.model.backbone.requires_grad_(not is_frozen)
        batch["reference_mask"] = (torch.arange(BATCH_SIZE) < num_with_references)[:, None].expand(-1, 2)
        model(**part_of_batch(batch, process, num_processes), num_context_tokens=config.context_tokens).loss.backward()
        gradients.append({name: parameter.grad for name, parameter in generator.named_parameters()})
        generator.zero_grad()
    return gradients


def train_generator(accelerator, folder: Path) -> None:
    """Take 20 steps of the training loop, with references in three of eight rows: none for the second process."""
    generator = make_generator()
    batches = [make_dances(generator.config) for _ in range(2)]
    context = {"num_context_tokens": generator.config.context_tokens}
    train_twenty_steps(accelerator, folder, generator, [(batch, context) for batch in batches])


def train_new_codec(accelerator, folder: Path) -> None:
    """Take 20 steps of the training loop, which move the codebooks by their averages."""
    torch.manual_seed(0)
    codec = MotionCodecModel(MotionCodecConfig(hidden_size=16, codebook_dim=8, codebook_size=8, ema_decay=0.5))
    codec.set_feature_statistics(torch.zeros(269), torch.ones(269))
    windows = 0.1 * torch.randn(2, BATCH_SIZE, 32, 269)
    windows[..., CONTACTS] = 1.0
    codec.initialize_from_data(windows[0])
    train_twenty_steps(accelerator, folder, codec, [({"motion_features": window}, {}) for window in windows])


def train_twenty_steps(accelerator, folder: Path, model, batches: list[tuple[dict, dict]]) -> None:
    process, num_processes = accelerator.process_index, accelerator.num_processes
    arguments = LoopArguments(
        str(folder),
        max_steps=20,
        batch_size=BATCH_SIZE // num_processes,
        learning_rate=1e-2,
        warmup_steps=4,
        log_steps=1,
    )

    def make_batch(index: int) -> dict:
        batch, others = batches[index % 2]
        return part_of_batch(batch, process, num_processes) | others

    folder.mkdir(exist_ok=True)
    train(
        accelerator,
        model,
        build_optimizer(model, arguments),
        arguments,
        make_batch=make_batch,
        before_step=lambda fraction: None,
        evaluate=lambda trained: {},
        tokens_per_window=8,
    )


def read_metrics(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def losses_of(folder: Path) -> np.ndarray:
    return np.array([line["loss"] for line in read_metrics(folder) if "loss" in line])


def evaluate_both(processes: Processes) -> dict:
    """Evaluate a generator and a codec on five dances, of which the last are left to one process."""
    generator, draws = make_generator().eval(), np.random.default_rng(0)
    takes = []
    for number, frames in enumerate((40, 24, 70, 33, 28)):
        music = draws.standard_normal((frames, MusicFeatureLayout.size), np.float32)
        takes.append(DanceTake(f"song {number}", "waltz", music, [draws.integers(8, size=(3, -(-frames // 4)))]))
    codec = MotionCodecModel(MotionCodecConfig(hidden_size=16, codebook_dim=8, codebook_size=8)).eval()
    codec.codebooks.normal_(generator=torch.Generator().manual_seed(0))
    clips = [("ab"[number % 2], torch.randn(80, 269)) for number in range(5)]
    scores = evaluate_choreollama(generator, ChoreoWindows(takes, generator.config), processes=processes)
    return {
        "generator": {name: values.tolist() for name, values in scores.items()},
        "codec": evaluate_codec(codec, processes.share(clips), processes=processes),
    }


def choreollama_options(folder: Path, output_dir: Path) -> list[str]:
    """Four steps in the second half of which the backbone learns."""
    fields = {"data_dir": "data", "codec_dir": "codec", "backbone": "backbone"}
    options = [part for name, value in fields.items() for part in (f"--{name}", str(folder / value))]
    model = SIZES | {"reference_dropout": 0.0, "condition_dropout": 0.0}  # so that the gate learns at every step
    options += ["--output_dir", str(output_dir), "--model", json.dumps(model), "--reference_choice", "style"]
    options += ["--frozen_backbone_share", "0.5", "--max_steps", "4", "--log_steps", "1", "--batch_size", "1"]
    options += ["--gradient_accumulation_steps", "2", "--weight_decay", "0.5", "--checkpoint_minutes", "0"]
    options += ["--gradient_checkpointing", "true", "--data_workers", "1", "--eval_steps", "2"]
    return [*options, "--num_references", "1"]


class Interruption(Exception):
    """Ends a run as an error would."""


def after_two_steps(folder: Path, output_dir: Path, end) -> None:
    """Begin a run, keep the model of its second step, and call `end` there."""
    save_checkpoint = loop.save_checkpoint

    def interrupt(accelerator, run_dir, progress) -> None:
        save_checkpoint(accelerator, run_dir, progress)
        if progress.step == 2:
            if accelerator.is_main_process:
                shutil.copy(output_dir / "model.safetensors", output_dir / "half.safetensors")
            accelerator.wait_for_everyone()
            end(accelerator)

    loop.save_checkpoint = interrupt
    try:
        train_choreollama.main(choreollama_options(folder, output_dir))
    finally:
        loop.save_checkpoint = save_checkpoint


def interrupt_all(accelerator) -> None:
    raise Interruption


def kill_the_second(accelerator) -> None:
    if accelerator.process_index == 1:
        os.kill(os.getpid(), signal.SIGKILL)


def set_kind(accelerator: Accelerator, kind: DistributedType) -> None:
    """Tell accelerate what kind of training this is; it copies its two states to each other."""
    PartialState().distributed_type = accelerator.state.distributed_type = kind


def build_sharded_accelerator(arguments: LoopArguments, **options):
    """Shard as FSDP2 does on GPUs. On CPUs accelerate would train copies instead, without a word."""
    accelerator = build_accelerator(arguments, **options)
    set_kind(accelerator, DistributedType.FSDP)
    accelerator.state.fsdp_plugin = FullyShardedDataParallelPlugin(
        fsdp_version=2,
        auto_wrap_policy="transformer_based_wrap",
        state_dict_type="SHARDED_STATE_DICT",
        reshard_after_forward=True,
        cpu_ram_efficient_loading=False,
    )
    return accelerator


def be_a_process(folder: Path) -> None:
    """Do all that needs two processes, and write what came of it; the second one ends by being killed."""
    Accelerator.end_training = lambda self: None  # it would part the processes after the first run
    evaluation_choreollama.EVALUATION_BATCH_SIZE = 2
    train_choreollama.load_codec = load_codec.__wrapped__  # not again the one that a run has sharded
    arguments = LoopArguments(str(folder))
    accelerator = build_accelerator(arguments, find_unused_parameters=True)
    layout = (accelerator.prepare, accelerator.process_index, accelerator.num_processes)
    numbers = {"all": 1.0} if accelerator.process_index else {"all": 0.0, "first": 5.0}
    results = {
        "codec": train_codec(*layout, lambda numbers: mean_over_processes(accelerator, numbers)),
        "one side": score_dances(*layout, 3),
        "means": mean_over_processes(accelerator, numbers),
        "evaluation": evaluate_both(Processes.of(accelerator)),
    }
    torch.save(results, folder / f"process_{accelerator.process_index}.pt")
    train_generator(build_accelerator(arguments, find_unused_parameters=True), folder / "generator")
    train_new_codec(build_accelerator(arguments), folder / "new codec")
    train_choreollama.main(choreollama_options(folder, folder / "straight"))

    train_choreollama.build_accelerator = build_sharded_accelerator
    train_generator(build_sharded_accelerator(arguments), folder / "sharded generator")
    with pytest.raises(Interruption):
        after_two_steps(folder, folder / "sharded", interrupt_all)
    train_choreollama.main([*choreollama_options(folder, folder / "sharded"), "--resume"])

    set_kind(accelerator, DistributedType.MULTI_CPU)
    train_choreollama.build_accelerator = build_accelerator
    after_two_steps(folder, folder / "killed", kill_the_second)


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
    completed = subprocess.run([*launch, __file__, str(folder)], capture_output=True, text=True, timeout=1200)
    assert "SIGKILL" in completed.stderr and (folder / "killed" / "checkpoint-2").is_dir(), completed.stderr
    return folder


@pytest.fixture(scope="module")
def resumed(two_processes, repository_root) -> Path:
    """Folder of the run that was killed and then resumed, as a user does it."""
    config = repository_root / "training" / "configs" / "launch_two_cpu_processes.yaml"
    script = ["-m", "infinitedance.training.train_choreollama"]
    options = [*choreollama_options(two_processes, two_processes / "killed"), "--resume"]
    completed = launch("--config_file", str(config), "--main_process_port", "0", *script, *options)
    assert completed.returncode == 0, completed.stderr
    return two_processes / "killed"


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


@pytest.fixture(scope="module")
def one_process(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("one_process")
    train_generator(build_accelerator(LoopArguments(str(folder))), folder / "generator")
    train_new_codec(build_accelerator(LoopArguments(str(folder))), folder / "new codec")
    return folder


@pytest.mark.parametrize(
    ("name", "alone_name"),
    [("generator", "generator"), ("sharded generator", "generator"), ("new codec", "new codec")],
)
def test_losses_of_20_steps_are_those_of_one_process_with_twice_the_batch(
    two_processes, one_process, name, alone_name
):
    expected, losses = losses_of(one_process / alone_name), losses_of(two_processes / name)
    assert len(losses) == 20 and expected[0] - expected[-1] > 0.05
    np.testing.assert_allclose(losses, expected, atol=1e-4)


def test_processes_that_share_the_evaluation_out_find_what_one_finds(results, monkeypatch):
    monkeypatch.setattr(evaluation_choreollama, "EVALUATION_BATCH_SIZE", 2)
    expected = evaluate_both(Processes())
    for result in results:
        found = result["evaluation"]
        assert found["generator"].keys() == expected["generator"].keys()
        for name, values in expected["generator"].items():
            np.testing.assert_allclose(found["generator"][name], values, rtol=1e-5)
        assert found["codec"].keys() == {"a", "b", "all"}
        for source, numbers in expected["codec"].items():
            for name, value in numbers.items():
                assert found["codec"][source][name] == pytest.approx(value, rel=1e-5), (source, name)


def test_a_killed_and_resumed_run_equals_a_straight_one(two_processes, resumed):
    straight, weights = (read_weights(path / "model.safetensors") for path in (two_processes / "straight", resumed))
    assert all(torch.equal(straight[name], weights[name]) for name in straight)
    np.testing.assert_array_equal(losses_of(resumed), losses_of(two_processes / "straight"))


def test_sharded_training_that_is_resumed_gives_the_weights_of_training_with_copies(two_processes):
    straight, sharded = (read_weights(two_processes / name / "model.safetensors") for name in ("straight", "sharded"))
    assert straight.keys() == sharded.keys()
    for name, weight in straight.items():
        torch.testing.assert_close(sharded[name], weight, atol=2e-5, rtol=1e-4, msg=name)
    model = ChoreoLlamaForConditionalGeneration.from_pretrained(two_processes / "sharded")
    assert model.config.architectures == ["ChoreoLlamaForConditionalGeneration"]
    files = [path.name for path in (two_processes / "sharded" / "checkpoint-4" / "pytorch_model_fsdp_0").iterdir()]
    assert sum(name.endswith(".distcp") for name in files) == 2  # each process wrote its part


@pytest.mark.parametrize("name", ["killed", "sharded"])
def test_stage_one_keeps_the_backbone(two_processes, name):
    half, whole = (read_weights(two_processes / name / file) for file in ("half.safetensors", "model.safetensors"))
    pretrained = read_weights(two_processes / "backbone" / "model.safetensors")
    for weight_name, weight in pretrained.items():
        if weight_name != "embed_tokens.weight":
            assert torch.equal(half[f"model.backbone.{weight_name}"], weight), weight_name
    if name == "sharded":  # the other run was killed here
        matrix = "layers.0.mlp.up_proj.weight"
        assert not torch.equal(whole[f"model.backbone.{matrix}"], pretrained[matrix])


def test_metrics_hold_no_step_twice_and_tell_of_gate_references_and_throughput(two_processes, resumed):
    for folder in (two_processes / "straight", resumed, two_processes / "sharded"):
        lines = read_metrics(folder)
        assert [line["step"] for line in lines] == [1, 2, 2, 3, 4, 4]
        assert sum(lines[-1][f"eval/expert_weights_{band}"] for band in range(2)) == pytest.approx(1.0)
        assert {f"eval/references_{kind}_0" for kind in ("none", "style", "random")} <= set(lines[-1])
        assert lines[-1]["eval/references_style_0"] == lines[-1]["eval/right_0"]
        assert sum(lines[0][f"expert_weights_{band}"] for band in range(2)) == pytest.approx(1.0)
        assert lines[0]["windows_per_second"] > 0
        assert lines[0]["tokens_per_second"] == pytest.approx(8 * lines[0]["windows_per_second"])


def test_the_launch_configuration_starts_two_processes(resumed):
    assert len(list((resumed / "checkpoint-4").glob("random_states_*.pkl"))) == 2


def launch(*options: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "accelerate.commands.launch", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=1200)


def codec_script(built_folder: Path, output_dir: Path) -> list[str]:
    model = {"hidden_size": 16, "codebook_dim": 8, "codebook_size": 8, "residual_dilations": [1]}
    options = ["--data_dir", str(built_folder), "--output_dir", str(output_dir), "--model", json.dumps(model)]
    options += ["--eval_split", "test", "--window_frames", "32", "--batch_size", "4", "--max_steps", "2"]
    return ["-m", "infinitedance.training.train_motion_codec", *options]


def test_a_launcher_that_would_start_one_process_in_silence_says_so(built_folder, tmp_path):
    completed = launch("--cpu", "--num_processes", "2", *codec_script(built_folder, tmp_path / "run"))
    assert completed.returncode != 0 and "launch_two_cpu_processes.yaml" in completed.stderr
    assert not (tmp_path / "run").exists()


if __name__ == "__main__":
    be_a_process(Path(sys.argv[1]))
