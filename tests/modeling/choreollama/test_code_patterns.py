"""The training forward of the patterns that take one step a token."""

import pytest
import torch

from infinitedance.modeling.choreollama.input_ids import delay_condition, delay_levels, mask_history
from infinitedance.modeling.choreollama.modeling_choreollama import ChoreoLlamaForConditionalGeneration


def test_the_loss_is_the_mean_of_the_levels_and_the_weighted_load_balance(patterned, make_inputs):
    inputs = make_inputs()
    output = patterned(**inputs, labels=inputs["motion_codes"])
    assert output.logits.shape == (2, 3, 8, 8)
    log_probabilities = output.logits.log_softmax(dim=-1)
    expected = -log_probabilities.gather(-1, inputs["motion_codes"].unsqueeze(-1)).mean(dim=(0, 2, 3))
    torch.testing.assert_close(output.loss_per_level, expected)
    torch.testing.assert_close(output.loss, expected.mean() + 0.01 * output.load_balance_loss)


def test_every_parameter_gets_a_gradient(patterned, make_inputs):
    patterned.config.history_mask_prob = 0.3
    patterned.train()
    inputs = make_inputs(batch_size=12)
    inputs["genre_ids"][::2] = patterned.config.num_genres + 1  # a genre that was added
    for _ in range(3):
        patterned(**inputs, labels=inputs["motion_codes"]).loss.backward()
    without = [name for name, parameter in patterned.named_parameters() if not parameter.grad.abs().sum() > 0]
    assert without == []


def seen(model: ChoreoLlamaForConditionalGeneration, inputs: dict, level: int, token: int) -> torch.Tensor:
    """Return the scores, `(level, token)`, that change with one code."""
    changed = inputs["motion_codes"].clone()
    changed[:, level, token] = (changed[:, level, token] + 1) % 8
    return (model(**{**inputs, "motion_codes": changed}).logits - model(**inputs).logits).abs().amax(dim=(0, 3)) > 0


@pytest.mark.parametrize("level", [0, 1, 2])
def test_a_code_is_predicted_from_earlier_tokens_and_lower_levels(make_model, make_inputs, placement, level):
    model = make_model(code_pattern="depth", condition_placement=placement)
    expected = torch.zeros(3, 8, dtype=torch.bool)
    expected[level + 1 :, 4] = expected[:, 5:] = True
    assert seen(model, make_inputs(), level, 4).tolist() == expected.tolist()


@pytest.mark.parametrize("level", [0, 1, 2])
def test_a_delayed_code_is_predicted_from_codes_of_earlier_steps(make_model, make_inputs, placement, level):
    model = make_model(code_pattern="delay", condition_placement=placement)
    step_of = torch.arange(8) + torch.arange(3)[:, None]  # level q of token t is written in step t + q
    assert seen(model, make_inputs(), level, 4).tolist() == (step_of > 4 + level).tolist()


def test_the_input_of_a_token_is_the_sum_of_the_codes_before_it_and_its_condition(make_model, make_inputs):
    model = make_model(code_pattern="depth")
    inputs, taken = make_inputs(), []
    model.model.backbone.register_forward_pre_hook(
        lambda module, args, kwargs: taken.append(kwargs["inputs_embeds"]), with_kwargs=True
    )
    output = model(**inputs)
    embedded = model.model.embed_codes(model.codes_to_ids(inputs["motion_codes"])).unflatten(1, (8, 3))
    start = 3 * model.model.embed_codes(torch.tensor([[model.config.bos_token_id]]))
    expected = torch.cat([start.expand(2, 1, -1), embedded.sum(dim=2)[:, :-1]], dim=1)
    music = {name: tensor for name, tensor in inputs.items() if name != "motion_codes"}
    expected = expected + model.encode_condition(**music).condition
    torch.testing.assert_close(taken[0], expected)
    hidden = model.model.backbone(inputs_embeds=expected).last_hidden_state
    lower = embedded[:, :, 0] + embedded[:, :, 1]
    hidden = model.depth_decoder.levels[2](hidden, lower)
    torch.testing.assert_close(output.logits[:, 2], hidden @ model.lm_head.weight[16:].T)


def test_aligned_hears_the_look_ahead_and_nothing_after_it(make_model, make_inputs):
    model = make_model(code_pattern="depth")
    inputs = make_inputs(batch_size=1, num_references=None)
    inputs["input_features"].requires_grad_()
    model(**inputs).logits[0, :, 2].sum().backward()
    reached = inputs["input_features"].grad[0].abs().sum(dim=-1) > 0
    heard = 4 * (2 + 1 + 3)  # the end of token 2, and 0.4 s = 3 tokens
    assert reached[:heard].all() and not reached[heard:].any()


def test_padding_does_not_change_a_clip(patterned, make_inputs):
    inputs = make_inputs()
    alone = {name: tensor[:1] for name, tensor in inputs.items()}
    alone["input_features"] = alone["input_features"][:, :18]
    alone["reference_features"] = alone["reference_features"][:, :, :18]
    alone["motion_codes"] = alone["motion_codes"][..., :5]
    frame_mask = torch.arange(32)[None] < torch.tensor([[18], [32]])
    inputs["input_features"] = inputs["input_features"].masked_fill(~frame_mask[..., None], 99.0)
    inputs["reference_features"] = inputs["reference_features"].masked_fill(~frame_mask[:, None, :, None], 99.0)
    in_batch = patterned(**inputs, frame_mask=frame_mask).logits[:1, :, :5]
    torch.testing.assert_close(in_batch, patterned(**alone).logits, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("pattern", ["flat", "delay", "depth"])
def test_a_window_is_scored_as_in_training(make_model, make_inputs, placement, pattern):
    model, inputs = make_model(condition_placement=placement, code_pattern=pattern), make_inputs()
    codes = inputs.pop("motion_codes")
    frame_mask = torch.arange(32)[None] < torch.tensor([[18], [32]])
    encoded = model.encode_condition(**inputs, frame_mask=frame_mask)
    expected = model(**inputs, motion_codes=codes, frame_mask=frame_mask).logits
    torch.testing.assert_close(model.score_codes(codes, encoded.condition, encoded.token_mask), expected)


def test_every_past_code_is_masked_on_its_own(make_model):
    model = make_model(code_pattern="depth", history_mask_prob=0.3)
    torch.manual_seed(0)
    ids = model.codes_to_ids(torch.randint(0, 8, (200, 3, 100))).unflatten(1, (100, 3))
    masked_ids = mask_history(model.config, ids)
    is_masked = (masked_ids != ids).double()
    assert abs(is_masked.mean() - 0.3) < 0.03
    share = is_masked.mean(dim=(1, 2), keepdim=True)
    assert share.min() < 0.1 and 0.5 < share.max() < 0.75
    rest = (is_masked - share).flatten(0, 1)
    assert (torch.corrcoef(rest.T) - torch.eye(3)).abs().max() < 0.05
    assert (masked_ids - ids // 8)[is_masked.bool()].unique().tolist() == [model.config.mask_token_id]


def test_masked_history_reaches_the_backbone_but_not_the_depth_decoder(make_model, make_inputs):
    quiet = {"condition_dropout": 0.0, "genre_dropout": 0.0, "reference_dropout": 0.0}
    model, inputs = make_model(code_pattern="depth", history_mask_prob=0.5, **quiet), make_inputs(num_tokens=1)
    expected = model(**inputs).logits
    torch.testing.assert_close(model.train()(**inputs).logits, expected)  # one token has no history
    inputs = make_inputs()
    torch.manual_seed(1)
    first = model(**inputs).logits
    assert (model(**inputs).logits - first).abs().max() > 1e-3


def test_delayed_levels_stand_one_step_apart(make_model):
    config = make_model(code_pattern="delay").config
    codes = torch.tensor([[[0, 8, 16], [1, 9, 17], [2, 10, 18]]])
    start, condition = config.bos_token_id, torch.ones(1, 3, 32)
    token_mask = torch.tensor([[True, True, False]])
    ids, steps = delay_levels(config, codes, token_mask), delay_condition(config, condition, token_mask)
    expected = [[0, start, start], [1, 8, start], [start, 9, 16], [start, start, 17], [start, start, start]]
    assert ids.tolist() == [expected]
    assert steps[0, :, 0].tolist() == [1, 1, 0, 0, 0]


@pytest.mark.parametrize("pattern", ["delay", "depth"])
def test_training_finds_levels_that_follow_from_lower_ones_and_the_music(make_model, generator, pattern):
    model = make_model(
        code_pattern=pattern,
        depth_hidden_size=32,
        music_feature_size=1,
        clock_feature_size=0,
        initializer_range=0.05,
        condition_dropout=0.0,
    ).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)

    def batch() -> dict:
        bits, coins = torch.randint(0, 2, (2, 32, 8), generator=generator)
        both = (coins + bits) % 2 if pattern == "depth" else bits  # of the codes and the music of the same token
        codes = torch.stack([coins, both, coins], dim=1)
        music = (2.0 * bits - 1.0).repeat_interleave(4, dim=1).unsqueeze(-1)
        return {"input_features": music, "motion_codes": codes, "labels": codes}

    for _ in range(150):
        model(**batch()).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    losses = model.eval()(**batch()).loss_per_level
    assert losses[0] > 0.6  # a coin; ln 2 = 0.69
    assert (losses[1:] < 0.2).all()


def test_a_saved_model_is_read_back(patterned, make_inputs, tmp_path):
    patterned.save_pretrained(tmp_path)
    loaded, report = ChoreoLlamaForConditionalGeneration.from_pretrained(tmp_path, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"]
    inputs = make_inputs()
    torch.testing.assert_close(loaded(**inputs).logits, patterned(**inputs).logits, atol=0, rtol=0)


def test_a_bf16_model_and_bf16_autocast_run(patterned, make_inputs):
    inputs = make_inputs()
    expected = patterned(**inputs, labels=inputs["motion_codes"]).loss
    with torch.autocast("cpu", torch.bfloat16):
        loss = patterned(**inputs, labels=inputs["motion_codes"]).loss
    torch.testing.assert_close(loss, expected, atol=0.1, rtol=0.05)
    loss = patterned.to(torch.bfloat16)(**inputs, labels=inputs["motion_codes"]).loss
    torch.testing.assert_close(loss.float(), expected, atol=0.1, rtol=0.05)
