import json

import pytest
import torch

from infinitedance.modeling.frdm.modeling_frdm import FrdmModel
from infinitedance.modeling.music_dance.modeling_music_dance import MusicDanceEncoder
from infinitedance.utils.checkpoints import find_model_type, load_model


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
    with pytest.raises(FileNotFoundError, match="no model folder .*absent"):
        find_model_type(tmp_path / "absent")
    with pytest.raises(ValueError, match="holds no model: there is no config.json"):
        find_model_type(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({}))
    with pytest.raises(ValueError, match="got none"):
        load_model(tmp_path, FrdmModel)
