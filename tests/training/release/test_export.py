import json

import pytest
import torch

from infinitedance import MusicToDancePipeline
from infinitedance.training.release.export import export_model


def test_an_exported_model_is_in_half_precision(tiny_pipeline_dir, tmp_path):
    export_model(tiny_pipeline_dir, tmp_path / "exported")
    assert json.loads((tmp_path / "exported" / "config.json").read_text())["dtype"] == "float16"
    original, exported = (
        MusicToDancePipeline.from_pretrained(path).model.state_dict()
        for path in (tiny_pipeline_dir, tmp_path / "exported")
    )
    assert original.keys() == exported.keys()
    for name, value in original.items():
        assert torch.equal(value.half().to(value.dtype), exported[name]), name


def test_another_decoder_can_take_the_place_of_the_models_own(tiny_pipeline_dir, tmp_path):
    codec = MusicToDancePipeline.from_pretrained(tiny_pipeline_dir).tokenizer.model
    codec.decoder.unpatch.bias.data.fill_(0.25)
    codec.save_pretrained(tmp_path / "codec")
    export_model(tiny_pipeline_dir, tmp_path / "exported", tmp_path / "codec")
    assert str(tmp_path) not in (tmp_path / "exported" / "config.json").read_text()
    exported = MusicToDancePipeline.from_pretrained(tmp_path / "exported").tokenizer.model
    assert (exported.decoder.unpatch.bias == 0.25).all()

    codec.codebooks[0, 0] += 1
    codec.save_pretrained(tmp_path / "other")
    with pytest.raises(ValueError, match="has other codebooks than the model"):
        export_model(tiny_pipeline_dir, tmp_path / "refused", tmp_path / "other")
    assert not (tmp_path / "refused").exists()
