import json
import re

import pytest
import torch
from safetensors.torch import load_file, save_file

from infinitedance.modeling.choreollama.modeling_choreollama import ChoreoLlamaForConditionalGeneration
from infinitedance.modeling.frdm.modeling_frdm import FrdmModel
from infinitedance.modeling.music_dance.configuration_music_dance import MusicDanceConfig
from infinitedance.modeling.music_dance.modeling_music_dance import MusicDanceEncoder
from infinitedance.tokenization.configuration_motion_codec import MotionCodecConfig
from infinitedance.tokenization.modeling_motion_codec import MotionCodecModel
from infinitedance.utils.checkpoints import CHECKSUMS_FILE, find_model_type, load_model, read_weights
from infinitedance.utils.errors import writing


@pytest.fixture
def folder(make_frdm, tmp_path):
    make_frdm().half().save_pretrained(tmp_path / "frdm")
    return tmp_path / "frdm"


def test_a_model_stored_in_half_precision_computes_in_single_and_is_evaluated(folder):
    model = load_model(folder, FrdmModel)
    assert model.dtype == torch.float32 and not model.training
    assert find_model_type(folder) == "frdm"


def test_another_kind_of_model_is_refused(folder):
    with pytest.raises(ValueError, match="must hold a model of type music_dance, got frdm"):
        load_model(folder, MusicDanceEncoder)


def test_a_folder_without_a_model_is_refused_with_its_name(tmp_path):
    for name in (str(tmp_path / "absent"), "absent", f"{tmp_path.name}/../a/b", "./a/b"):
        with pytest.raises(FileNotFoundError, match="no model folder .*owner/model"):
            find_model_type(name)
    with pytest.raises(ValueError, match="holds no model: there is no config.json"):
        find_model_type(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({}))
    with pytest.raises(ValueError, match="got none"):
        load_model(tmp_path, FrdmModel)


@pytest.fixture(params=["frdm", "generator", "codec", "retrieval"])
def any_folder(request, make_frdm, make_model, tmp_path):
    """A saved model of each kind that the package has."""
    makers = {
        "frdm": make_frdm,
        "generator": make_model,
        "codec": lambda: MotionCodecModel(
            MotionCodecConfig(hidden_size=24, codebook_dim=8, codebook_size=16, residual_dilations=[1])
        ),
        "retrieval": lambda: MusicDanceEncoder(
            MusicDanceConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
        ),
    }
    model = makers[request.param]()
    model.save_pretrained(tmp_path / "model")
    return tmp_path / "model", type(model)


def changed(folder, change):
    """Change the weights in a folder as a tool would that knows nothing of their hashes."""
    weights = load_file(folder / "model.safetensors")
    change(weights, sorted(weights)[len(weights) // 2])
    save_file(weights, folder / "model.safetensors")


def put(value):
    def change(weights, name):
        weights[name].view(-1)[0] = value

    return change


def drop_half(weights, _):
    for name in sorted(weights)[::2]:
        del weights[name]


DAMAGES = {
    "half of the weights": (drop_half, r"it lacks \d+ weights?, "),
    "one weight": (lambda weights, name: weights.pop(name), "it lacks 1 weight, "),
    "a weight too many": (lambda weights, _: weights.update(stray=torch.zeros(1)), "does not know: 1 weight, stray"),
    "another shape": (
        lambda weights, name: weights.update({name: torch.zeros(*weights[name].shape, 2)}),
        "has of another shape 1 weight",
    ),
    "integers": (lambda weights, name: weights.update({name: weights[name].int()}), "another kind of number 1 weight"),
    "not a number": (put(float("nan")), "NaN or infinity in 1 weight"),
    "infinity": (put(float("inf")), "NaN or infinity in 1 weight"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_model_with_other_weights_than_its_own_is_refused_by_name(damage, any_folder):
    folder, model_class = any_folder
    change, told = DAMAGES[damage]
    changed(folder, change)
    with pytest.raises(ValueError, match="model.safetensors is not the file that was saved"):
        model_class.from_pretrained(folder)
    (folder / CHECKSUMS_FILE).unlink()  # somebody changed the weights on purpose, or an older version saved them
    with pytest.raises(ValueError, match=f"{re.escape(str(folder))}.*{told}"):
        model_class.from_pretrained(folder)


def test_a_flipped_bit_is_noticed(any_folder):
    folder, model_class = any_folder
    path = folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-3] ^= 0x40
    path.write_bytes(content)
    with pytest.raises(ValueError, match="model.safetensors is not the file that was saved"):
        model_class.from_pretrained(folder)


@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "generation_config.json", CHECKSUMS_FILE])
@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\x00junk" * 50])
def test_a_damaged_file_ends_in_one_line_that_names_it(file, content, any_folder):
    folder, model_class = any_folder
    if file == CHECKSUMS_FILE and not content:
        return  # an empty list of hashes checks nothing
    if file == "model.safetensors":
        (folder / CHECKSUMS_FILE).unlink()
    (folder / file).write_bytes(content)
    with pytest.raises(ValueError, match=re.escape(str(folder))) as refused:
        load_model(folder, model_class)
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 600


def test_weights_without_a_model_are_checked_the_same(tmp_path):
    path = tmp_path / "model.safetensors"
    save_file({"a": torch.tensor([1.0, float("nan")])}, path)
    with pytest.raises(ValueError, match="model.safetensors is damaged.* NaN or infinity in 1 weight, a"):
        read_weights(path)
    path.write_bytes(b"junk")
    with pytest.raises(ValueError, match="model.safetensors cannot be read"):
        read_weights(path)


def test_the_weights_that_ship_are_those_that_were_saved(repository_root):
    lists = sorted((repository_root / "assets").rglob(CHECKSUMS_FILE))
    weights = sorted((repository_root / "assets").rglob("model.safetensors"))
    assert [path.parent for path in lists] == [path.parent for path in weights]
    for path in weights:
        read_weights(path)


@pytest.mark.parametrize("layers", [10**6, 10**30, "many", None])
def test_a_number_of_layers_that_no_model_has_is_refused_at_once(layers, make_model, tmp_path):
    make_model().save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["backbone_config"]["num_hidden_layers"] = layers
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="config.json.*`num_hidden_layers` must be a number of layers up to 1000"):
        ChoreoLlamaForConditionalGeneration.from_pretrained(tmp_path)


@pytest.fixture
def full_disk():
    """No file may grow beyond 10 kB, which is told as a full disk is."""
    resource = pytest.importorskip("resource", reason="the system has no limits for files")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("kind", ["model", "torch"])
def test_a_full_disk_is_told_with_the_folder(kind, make_model, full_disk, tmp_path):
    with pytest.raises(OSError, match=f"Cannot write {tmp_path}"):
        if kind == "model":
            make_model().save_pretrained(tmp_path)
        else:
            with writing(tmp_path):
                torch.save(torch.zeros(100_000), tmp_path / "optimizer.bin")


def test_other_errors_are_left_as_they_are(tmp_path):
    with pytest.raises(RuntimeError, match="^other$"), writing(tmp_path):
        raise RuntimeError("other")
