import json

import pytest
from huggingface_hub.errors import StrictDataclassClassValidationError, StrictDataclassFieldValidationError

from benchmarks.parameter_count import count_parameters
from infinitedance.assets import MODELS
from infinitedance.modeling.choreollama.configuration_choreollama import ChoreoLlamaConfig


def test_a_saved_configuration_is_read_back(tmp_path, tiny_fields):
    config = ChoreoLlamaConfig(**tiny_fields, gate="concat", cutoff_hz=[1.0, 4.0])
    config.save_pretrained(tmp_path)
    assert ChoreoLlamaConfig.from_pretrained(tmp_path).to_dict() == config.to_dict()


def test_a_configuration_of_the_first_version_is_read_unless_it_contradicts_itself(tmp_path, tiny_fields):
    config = ChoreoLlamaConfig(**tiny_fields, cutoff_hz=[1.0, 4.0])
    config.save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    fields = json.loads(path.read_text())
    assert "num_bands" not in fields and config.num_bands == 3
    path.write_text(json.dumps(fields | {"num_bands": 3, "code_pattern": "flat"}))
    assert ChoreoLlamaConfig.from_pretrained(tmp_path).to_dict() == config.to_dict()
    with pytest.raises(ValueError, match="must be 3 or left out, got 2"):
        ChoreoLlamaConfig(**tiny_fields, cutoff_hz=[1.0, 4.0], num_bands=2)


def test_the_ids_do_not_overlap(tiny_fields):
    config = ChoreoLlamaConfig(**tiny_fields)
    masks = [config.mask_token_id + level for level in range(config.num_quantizers)]
    ids = [*range(config.num_codes), config.bos_token_id, config.music_token_id, *masks]
    assert sorted(ids) == list(range(config.vocab_size)) == list(range(config.backbone_config.vocab_size))


def test_a_given_backbone_configuration_is_not_changed(tiny_fields):
    backbone = ChoreoLlamaConfig(**tiny_fields).backbone_config
    backbone.vocab_size = 7
    config = ChoreoLlamaConfig(**{**tiny_fields, "backbone_config": backbone})
    assert backbone.vocab_size == 7
    assert config.backbone_config.vocab_size == config.vocab_size


def test_the_look_ahead_is_counted_in_tokens(tiny_fields):
    assert ChoreoLlamaConfig(**tiny_fields).lookahead_tokens == 3  # 0.4 s at 7.5 tokens a second
    assert ChoreoLlamaConfig(**tiny_fields, lookahead_seconds=0.0).lookahead_tokens == 0


def test_the_paper_size_builds_without_memory_and_has_a_llama_of_1b():
    counts = count_parameters(ChoreoLlamaConfig.paper_1b())
    layer = 2048 * (2048 + 512 + 512 + 2048) + 3 * 2048 * 8192 + 2 * 2048
    assert counts["backbone"] == 16 * layer + 2048 + (3 * 512 + 5) * 2048
    assert 1.10e9 < counts["total"] < 1.16e9


@pytest.mark.parametrize("name", sorted(MODELS))
def test_the_models_that_ship_are_small_and_write_in_depth_as_they_are_asked(name):
    config = ChoreoLlamaConfig.from_pretrained(MODELS[name])
    assert count_parameters(config)["total"] < 16e6
    assert config.code_pattern == "depth" and config.controls_side and config.controls_energy


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"gate": "hard"}, "`gate` must be one of"),
        ({"condition_placement": "suffix"}, "`condition_placement` must be one of"),
        ({"code_pattern": "parallel"}, "`code_pattern` must be one of"),
        ({"code_pattern": "depth", "depth_hidden_size": 0}, "`depth_hidden_size` must be positive"),
        ({"cutoff_hz": [15.0]}, "between 0 and 15.0 Hz"),
        ({"cutoff_hz": [4.0, 1.0]}, "rising frequencies"),
        ({"dropout": 1.0}, r"`dropout` must lie in \[0, 1\)"),
        ({"genre_dropout": -0.1}, r"`genre_dropout` must lie in"),
        ({"music_dropout": 1.0}, r"`music_dropout` must lie in"),
        ({"spectra_dropout": 1.1}, r"`spectra_dropout` must lie in"),
        ({"history_mask_prob": 0.6}, r"`history_mask_prob` must lie in \[0, 0.5\]"),
        ({"expert_num_heads": 3}, "multiple of `expert_num_heads`"),
        ({"lookahead_seconds": 0.3}, "whole number of tokens"),
        ({"max_window_tokens": 7}, "must be even"),
        ({"genres": ["waltz", "waltz"]}, "distinct names"),
        ({"codebook_size": "many"}, "codebook_size"),
    ],
)
def test_fields_that_contradict_each_other_are_refused(tiny_fields, fields, message):
    with pytest.raises((StrictDataclassClassValidationError, StrictDataclassFieldValidationError), match=message):
        ChoreoLlamaConfig(**{**tiny_fields, **fields})
