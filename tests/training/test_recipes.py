"""What a recipe, a default and the docs say of the shipped models is what ships."""

import json
import re

import pytest
import yaml

from infinitedance.assets import DEFAULT_MODEL, DEFAULT_REFERENCES, DEFAULT_RESTORER
from infinitedance.cli import main
from infinitedance.modeling.choreollama.configuration_choreollama import ChoreoLlamaConfig
from infinitedance.modeling.frdm.configuration_frdm import FrdmConfig
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

NOT_YET_SHIPPED = {"choreollama", "motion_codec"}
"""Recipes of models that are being trained; with their weights they become `shipped_configs`."""


@pytest.fixture
def recipes(repository_root):
    return {path.stem: path for path in (repository_root / "training" / "configs").glob("*.yaml")}


def shipped_codec() -> MotionCodecConfig:
    return ChoreoLlamaConfig.from_pretrained(DEFAULT_MODEL).codec_config


def shipped_configs() -> dict:
    """By recipe the configuration of the model that it is said to have trained."""
    return {
        "motion_codec_tiny_cpu": shipped_codec(),
        "tiny_cpu": ChoreoLlamaConfig.from_pretrained(DEFAULT_MODEL),
        "frdm_tiny_cpu": FrdmConfig.from_pretrained(DEFAULT_RESTORER),
        "retrieval_tiny_cpu": MusicDanceConfig.from_pretrained(DEFAULT_REFERENCES / "encoder"),
    }


def configured(name: str, recipe: dict):
    """Build the configuration that a training script builds from a recipe."""
    if name != "tiny_cpu":
        return type(shipped_configs()[name])(**recipe["model"])
    fields = {key: value for key, value in recipe.items() if key in ChoreoArguments.__dataclass_fields__}
    arguments = ChoreoArguments(data_dir="", codec_dir="", **fields)
    codec = type("Codec", (), {"config": shipped_codec()})
    return arguments.build_config(codec, ChoreoLlamaConfig.from_pretrained(DEFAULT_MODEL).genres)


def chosen(config) -> dict:
    fields = {key: value for key, value in config.to_dict().items() if key not in NOT_CHOSEN | {"codec_config"}}
    backbone = fields.pop("backbone_config", {})
    return fields | {f"backbone {key}": value for key, value in backbone.items() if key not in NOT_CHOSEN}


def test_every_recipe_that_says_shipped_has_the_configuration_of_the_shipped_model(recipes):
    said = {name for name, path in recipes.items() if "shipped" in path.read_text().splitlines()[0]}
    assert said == set(shipped_configs()) | NOT_YET_SHIPPED
    for name, shipped in shipped_configs().items():
        assert chosen(configured(name, yaml.safe_load(recipes[name].read_text()))) == chosen(shipped), name


def test_the_defaults_of_the_codec_and_the_sizes_of_tiny_are_those_that_ship():
    assert chosen(MotionCodecConfig()) == chosen(shipped_codec())
    training_only = {"dropout", "reference_dropout", "history_mask_prob"}
    shipped = ChoreoLlamaConfig.from_pretrained(DEFAULT_MODEL)
    tiny = ChoreoLlamaConfig.tiny(genres=shipped.genres, max_references=shipped.max_references)
    differing = {key for key, value in chosen(shipped).items() if chosen(tiny)[key] != value}
    assert differing == training_only


def test_the_numbers_of_losses_in_the_paper_map_are_those_that_ship(repository_root):
    text = (repository_root / "docs" / "paper_map.md").read_text()
    shipped, restorer = shipped_codec(), FrdmConfig.from_pretrained(DEFAULT_RESTORER)
    for words, value in (("ommitment", shipped.commitment_loss_weight), ("EMA decay", shipped.ema_decay)):
        assert all(float(number) == value for number in re.findall(rf"{words} (\d[\d.]*\d)", text)), words
    tolerance = re.search(r"the tolerance of rotations against positions is (\d+) cm, the paper's is (\d+) cm", text)
    epsilons = [restorer.rotation_position_epsilon, FrdmConfig.paper().rotation_position_epsilon]
    assert [int(number) / 100 for number in tolerance.groups()] == epsilons


@pytest.mark.parametrize(("name", "card"), [("tiny_cpu", DEFAULT_MODEL), ("frdm_tiny_cpu", DEFAULT_RESTORER)])
def test_the_steps_of_a_recipe_are_those_of_the_model_card(recipes, name, card):
    text = (card / "README.md").read_text()
    said = r"enerator:? ([\d,]+) steps on an earlier codec, then ([\d,]+)|^([\d,]+) steps"
    found = re.search(said, text, re.MULTILINE)
    steps = sum(int(number.replace(",", "")) for number in found.groups() if number)
    assert yaml.safe_load(recipes[name].read_text())["max_steps"] == steps


def test_the_recipes_train_on_procedural_clips_as_they_stand(recipes, tmp_path):
    """The training block of the README with four clips and two steps."""
    clips, built, codec, output = (str(tmp_path / name) for name in ("clips", "built", "codec", "choreollama"))
    assert main(["procedural", clips, "--clips", "4", "--seconds", "5"]) == 0
    assert main(["build", "--source", f"clip_folder={clips}", "--output", built]) == 0
    shared = ["--data_dir", built, "--max_steps", "2"]
    train_motion_codec.main(["--config", str(recipes["motion_codec_tiny_cpu"]), *shared, "--output_dir", codec])
    options = ["--config", str(recipes["tiny_cpu"]), *shared, "--codec_dir", codec, "--output_dir", output]
    train_choreollama.main(options)
    last = json.loads((tmp_path / "choreollama" / "metrics.jsonl").read_text().splitlines()[-1])
    assert last["step"] == 2 and last["eval/right_0"] > 0
    assert MusicToDancePipeline.from_pretrained(output).genres  # those of the clips to train on
