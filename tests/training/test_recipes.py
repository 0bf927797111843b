"""What a recipe, a default and the docs say of the shipped models is what ships."""

import json
import re

import pytest
import yaml

from infinitedance.assets import DEFAULT_LIFTER, DEFAULT_REFERENCES, DEFAULT_RESTORER, MODELS
from infinitedance.cli import main
from infinitedance.modeling.choreollama.configuration_choreollama import ChoreoLlamaConfig
from infinitedance.modeling.frdm.configuration_frdm import FrdmConfig
from infinitedance.modeling.lifter.configuration_lifter import LifterConfig
from infinitedance.modeling.music_dance.configuration_music_dance import MusicDanceConfig
from infinitedance.pipeline import MusicToDancePipeline
from infinitedance.tokenization.configuration_motion_codec import MotionCodecConfig
from infinitedance.training import train_choreollama, train_motion_codec
from infinitedance.training.train_choreollama import ChoreoArguments

NOT_CHOSEN = {
    "architectures",
    "dtype",
    "transformers_version",
    "_name_or_path",
    "model_type",
    "music_features_version",
}
"""Fields of a saved configuration that no recipe sets."""

GENERATORS = {"choreollama_finish": "research", "choreollama_open": "open"}
"""Of which shipped model a recipe is."""


@pytest.fixture
def recipes(repository_root):
    return {path.stem: path for path in (repository_root / "training" / "configs").glob("*.yaml")}


def shipped_codec(name: str) -> MotionCodecConfig:
    return ChoreoLlamaConfig.from_pretrained(MODELS[name]).codec_config


def shipped_configs() -> dict:
    """By recipe the configuration of the model that it is said to have trained."""
    return {
        "motion_codec": shipped_codec("research"),
        "frdm_tiny_cpu": FrdmConfig.from_pretrained(DEFAULT_RESTORER),
        "lifter": LifterConfig.from_pretrained(DEFAULT_LIFTER),
        "retrieval_tiny_cpu": MusicDanceConfig.from_pretrained(DEFAULT_REFERENCES / "encoder"),
        **{recipe: ChoreoLlamaConfig.from_pretrained(MODELS[name]) for recipe, name in GENERATORS.items()},
    }


def configured(name: str, recipe: dict):
    """Build the configuration that a training script builds from a recipe."""
    if name not in GENERATORS:
        return type(shipped_configs()[name])(**recipe.get("model", {}))
    fields = {key: value for key, value in recipe.items() if key in ChoreoArguments.__dataclass_fields__}
    arguments = ChoreoArguments(data_dir="", codec_dir="", **fields)
    codec = type("Codec", (), {"config": shipped_codec(GENERATORS[name])})
    return arguments.build_config(codec, sorted(arguments.genres))


def chosen(config) -> dict:
    fields = {key: value for key, value in config.to_dict().items() if key not in NOT_CHOSEN | {"codec_config"}}
    backbone = fields.pop("backbone_config", {})
    return fields | {f"backbone {key}": value for key, value in backbone.items() if key not in NOT_CHOSEN}


def test_a_recipe_says_that_its_model_ships_if_it_does(recipes):
    said = {name for name, path in recipes.items() if "shipped" in path.read_text().splitlines()[0]}
    assert said == set(shipped_configs())


@pytest.mark.parametrize("name", sorted(shipped_configs()))
def test_the_recipe_of_a_shipped_model_has_its_configuration(recipes, name):
    assert chosen(configured(name, yaml.safe_load(recipes[name].read_text()))) == chosen(shipped_configs()[name])


LAUNCHES = {
    "launch_one_gpu": ("NO", 1),
    "launch_four_gpus": ("MULTI_GPU", 4),
    "launch_eight_gpus": ("MULTI_GPU", 8),
    "launch_four_gpus_fsdp": ("FSDP", 4),
    "launch_eight_gpus_fsdp": ("FSDP", 8),
    "launch_two_cpu_processes": ("MULTI_GPU", 2),
}


def test_accelerate_takes_every_launch_configuration(recipes):
    from accelerate.commands.config.config_args import load_config_from_file
    from accelerate.commands.launch import _validate_launch_command, launch_command_parser

    assert {name for name in recipes if name.startswith("launch_")} == set(LAUNCHES)
    for name, (kind, num_processes) in LAUNCHES.items():
        config = load_config_from_file(str(recipes[name]))
        assert (config.distributed_type, config.num_processes) == (kind, num_processes), name
        line = ["--config_file", str(recipes[name]), "-m", "script"]
        launched, _, _ = _validate_launch_command(launch_command_parser().parse_args(line))
        assert launched.num_processes == num_processes and launched.use_fsdp == (kind == "FSDP"), name
        if kind == "FSDP":
            assert launched.fsdp_version == 2 and launched.fsdp_state_dict_type == "SHARDED_STATE_DICT"


def test_the_last_part_of_the_research_recipe_goes_on_from_the_first(recipes):
    first, last = (yaml.safe_load(recipes[name].read_text()) for name in ("choreollama", "choreollama_finish"))
    differing = {key for key in first["model"] | last["model"] if first["model"].get(key) != last["model"].get(key)}
    assert first["model"].keys() == last["model"].keys() and differing == {"history_mask_prob"}
    assert first["genres"] == last["genres"]


@pytest.mark.parametrize("name", sorted(MODELS))
def test_a_shipped_codec_has_the_defaults_but_six_levels(name):
    assert chosen(shipped_codec(name)) == chosen(MotionCodecConfig(num_quantizers=6))


def test_the_numbers_of_losses_in_the_paper_map_are_those_that_ship(repository_root):
    text = (repository_root / "docs" / "paper_map.md").read_text()
    shipped, restorer = shipped_codec("research"), FrdmConfig.from_pretrained(DEFAULT_RESTORER)
    for words, value in (("ommitment", shipped.commitment_loss_weight), ("EMA decay", shipped.ema_decay)):
        assert all(float(number) == value for number in re.findall(rf"{words} (\d[\d.]*\d)", text)), words
    tolerance = re.search(r"the tolerance of rotations against positions is (\d+) cm, the paper's is (\d+) cm", text)
    epsilons = [restorer.rotation_position_epsilon, FrdmConfig.paper().rotation_position_epsilon]
    assert [int(number) / 100 for number in tolerance.groups()] == epsilons


def test_the_steps_of_the_recipe_of_the_restorer_are_those_of_its_card(recipes):
    """Generators and codecs were trained for so many minutes."""
    (steps,) = re.findall(r"^([\d,]+) steps", (DEFAULT_RESTORER / "README.md").read_text(), re.MULTILINE)
    assert yaml.safe_load(recipes["frdm_tiny_cpu"].read_text())["max_steps"] == int(steps.replace(",", ""))


def test_the_recipes_train_on_procedural_clips_as_they_stand(recipes, tmp_path):
    """The training block of the README with four clips and two steps."""
    clips, built, codec, output = (str(tmp_path / name) for name in ("clips", "built", "codec", "choreollama"))
    assert main(["procedural", clips, "--clips", "4", "--seconds", "5"]) == 0
    assert main(["build", "--source", f"clip_folder={clips}", "--output", built]) == 0
    shared = ["--data_dir", built, "--max_steps", "2"]
    train_motion_codec.main(["--config", str(recipes["motion_codec"]), *shared, "--output_dir", codec])
    options = ["--config", str(recipes["choreollama"]), *shared, "--codec_dir", codec, "--output_dir", output]
    train_choreollama.main(options)
    last = json.loads((tmp_path / "choreollama" / "metrics.jsonl").read_text().splitlines()[-1])
    assert last["step"] == 2 and last["eval/right_0"] > 0
    assert MusicToDancePipeline.from_pretrained(output).genres  # those of the clips to train on
