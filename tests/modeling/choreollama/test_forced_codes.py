"""Codes that are forced are written, those of a passage are written again, and the model goes on from there."""

import pytest
import torch

from infinitedance.modeling.choreollama.forced_codes import FREE

PATTERNS = pytest.mark.parametrize("pattern", ["flat", "delay", "depth"])
SLOW_PATH = {"sequence_bias": {(0,): 0.0}}


@pytest.fixture
def song(make_inputs) -> dict:
    """Two songs of three windows."""
    return make_inputs(batch_size=2, num_tokens=20, codes=False)


@PATTERNS
def test_forced_codes_are_written_and_what_comes_before_stays(make_model, placement, pattern, song, generator):
    model = make_model(condition_placement=placement, code_pattern=pattern)
    free = model.generate_codes(**song, seeds=[0, 1])
    forced = torch.where(torch.arange(20) < 9, FREE, torch.randint(FREE, 8, (2, 3, 20), generator=generator))
    codes = model.generate_codes(**song, seeds=[0, 1], forced_codes=forced)
    assert (codes == forced)[forced != FREE].all()
    assert codes[..., :7].tolist() == free[..., :7].tolist()  # "delay" writes level 2 of token 8 after token 9
    assert (codes != free)[forced == FREE].any()  # the model reads what was forced
    assert codes.min() >= 0


@PATTERNS
def test_forcing_what_the_model_chose_changes_nothing(make_model, placement, pattern, song, generator):
    model = make_model(condition_placement=placement, code_pattern=pattern)
    free = model.generate_codes(**song, seeds=[0, 1])
    is_forced = torch.rand(free.shape, generator=generator) < 0.4
    codes = model.generate_codes(**song, seeds=[0, 1], forced_codes=torch.where(is_forced, free, FREE))
    assert codes.tolist() == free.tolist()


@PATTERNS
def test_forcing_the_start_continues_it_as_a_prompt(make_model, placement, pattern, song, generator):
    model = make_model(condition_placement=placement, code_pattern=pattern)
    prompt = torch.randint(0, 8, (2, 3, 5), generator=generator)
    forced = torch.cat([prompt, torch.full((2, 3, 15), FREE)], dim=2)
    codes = model.generate_codes(**song, seeds=[0, 1], forced_codes=forced, do_sample=False)
    assert codes.tolist() == model.generate_codes(**song, seeds=[0, 1], prompt_codes=prompt, do_sample=False).tolist()


@PATTERNS
def test_a_passage_is_danced_again_by_each_dancer_and_the_rest_is_free(make_model, placement, pattern, song):
    model = make_model(condition_placement=placement, code_pattern=pattern)
    free = model.generate_codes(**song, seeds=[0, 1])
    repeats = [(1, 7, 4), (7, 14, 4)]  # the second one repeats the first
    codes = model.generate_codes(**song, seeds=[0, 1], repeats=repeats)
    for source, target, length in repeats:
        again = codes[..., target : target + length]
        assert again.tolist() == codes[..., source : source + length].tolist()
        assert again.tolist() != free[..., target : target + length].tolist()
    assert codes[..., :5].tolist() == free[..., :5].tolist()
    assert codes[0].tolist() != codes[1].tolist()
    alone = {name: tensor[1:] for name, tensor in song.items()}
    assert model.generate_codes(**alone, seeds=[1], repeats=repeats).tolist() == codes[1:].tolist()


def test_a_loop_a_prompt_and_forced_codes_are_repeated_too(make_model, song, generator):
    model = make_model(code_pattern="depth")
    prompt = torch.randint(0, 8, (2, 3, 4), generator=generator)
    forced = torch.full((2, 3, 20), FREE)
    forced[..., 9] = 5
    codes = model.generate_codes(**song, seeds=[0, 1], prompt_codes=prompt, forced_codes=forced, repeats=[(2, 4, 10)])
    assert (
        codes[..., :9].tolist() == torch.cat([prompt, prompt[..., 2:], prompt[..., 2:], prompt[..., 2:3]], 2).tolist()
    )
    assert (codes[..., [9, 11, 13]] == 5).all()


def test_both_loops_write_the_same(make_model, placement, song, generator):
    model = make_model(condition_placement=placement)
    forced = torch.randint(FREE, 3, (2, 3, 20), generator=generator)
    options = {"seeds": [0, 1], "forced_codes": forced, "repeats": [(2, 11, 3)]}
    codes = model.generate_codes(**song, **options)
    assert model.generate_codes(**song, **options, **SLOW_PATH).tolist() == codes.tolist()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"forced_codes": torch.zeros(2, 3, 19, dtype=torch.long)}, r"must have shape \(2, 3, 20\), got \(2, 3, 19\)"),
        ({"forced_codes": torch.full((2, 3, 20), 8)}, r"must lie in \[0, 8\), or be -1"),
        ({"forced_codes": torch.full((2, 3, 20), -2)}, r"must lie in \[0, 8\), or be -1"),
        ({"repeats": [(5, 5, 2)]}, "passages that return later within the dance"),
        ({"repeats": [(0, 18, 3)]}, r"target \+ tokens <= 20, got \(0, 18, 3\)"),
        ({"repeats": [(0, 8, 4), (2, 11, 4)]}, "places that do not overlap"),
    ],
)
def test_what_does_not_fit_is_told(make_model, song, options, message):
    with pytest.raises(ValueError, match=message):
        make_model().generate_codes(**song, seeds=[0, 1], **options)
