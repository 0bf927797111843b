import json
import subprocess
import sys

import pytest
import torch
from transformers import LlamaConfig, LlamaModel

from infinitedance.modeling.choreollama.conditions import Conditions
from infinitedance.modeling.choreollama.configuration_choreollama import ChoreoLlamaConfig
from infinitedance.modeling.choreollama.input_ids import mask_history, prepend_start
from infinitedance.modeling.choreollama.modeling_choreollama import ChoreoLlamaForConditionalGeneration
from infinitedance.tokenization.configuration_motion_codec import MotionCodecConfig
from infinitedance.tokenization.modeling_motion_codec import MotionCodecModel


def test_the_loss_is_the_mean_of_the_levels_and_the_weighted_load_balance(model, make_inputs):
    inputs = make_inputs()
    output = model(**inputs, labels=inputs["motion_codes"])
    log_probabilities = output.logits.log_softmax(dim=-1)
    expected = -log_probabilities.gather(-1, inputs["motion_codes"].unsqueeze(-1)).mean(dim=(0, 2, 3))
    torch.testing.assert_close(output.loss_per_level, expected)
    torch.testing.assert_close(output.loss, expected.mean() + 0.01 * output.load_balance_loss)


def test_ignored_labels_do_not_count(model, make_inputs):
    inputs = make_inputs()
    labels = inputs["motion_codes"].clone()
    labels[1, :, 5:] = -100
    output = model(**inputs, labels=labels)
    inputs["motion_codes"] = inputs["motion_codes"].clone()
    inputs["motion_codes"][1, :, 5:] = 0  # what stands in the padding has no effect
    torch.testing.assert_close(model(**inputs, labels=labels).loss, output.loss)
    assert not torch.isclose(model(**inputs, labels=inputs["motion_codes"]).loss, output.loss)


def test_every_parameter_gets_a_gradient(make_model, make_inputs):
    for overrides in ({}, {"condition_placement": "prefix", "gate": "concat"}):
        model = make_model(history_mask_prob=0.3, dropout=0.1, **overrides).train()
        inputs = make_inputs(batch_size=12)
        inputs["genre_ids"][::2] = model.config.num_genres + 1  # a genre that was added
        for _ in range(3):  # each condition is dropped in some clip and kept in another
            model(**inputs, labels=inputs["motion_codes"]).loss.backward()
        without = [name for name, parameter in model.named_parameters() if not parameter.grad.abs().sum() > 0]
        assert without == []


def test_a_code_is_predicted_from_earlier_codes_only(model, make_inputs):
    inputs = make_inputs()
    logits = model(**inputs).logits
    changed = inputs["motion_codes"].clone()
    changed[:, 1, 4] = (changed[:, 1, 4] + 1) % 8
    difference = (model(**{**inputs, "motion_codes": changed}).logits - logits).abs().amax(dim=(0, 3))  # level, token
    assert difference[:, :4].max() == 0 and difference[:2, 4].max() == 0
    assert difference[2, 4] > 0 and (difference[:, 5:] > 0).all()


def test_aligned_hears_the_look_ahead_and_nothing_after_it(make_model, make_inputs):
    model = make_model()
    inputs = make_inputs(batch_size=1, num_references=None)
    inputs["input_features"].requires_grad_()
    model(**inputs).logits[0, :, 2].sum().backward()
    reached = inputs["input_features"].grad[0].abs().sum(dim=-1) > 0
    heard = 4 * (2 + 1 + 3)  # the end of token 2, and 0.4 s = 3 tokens
    assert reached[:heard].all() and not reached[heard:].any()


def test_prefix_hears_its_whole_window(make_model, make_inputs):
    model = make_model(condition_placement="prefix", expert_attention_tokens=8)
    inputs = make_inputs(batch_size=1, num_references=None)
    inputs["input_features"].requires_grad_()
    model(**inputs).logits[0, 0, 0].sum().backward()
    assert (inputs["input_features"].grad[0].abs().sum(dim=-1) > 0).all()


def test_training_finds_codes_that_the_music_ahead_decides(make_model, generator):
    model = make_model(
        music_feature_size=1, clock_feature_size=0, initializer_range=0.05, condition_dropout=0.0
    ).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)

    def batch() -> dict:
        bits = torch.randint(0, 2, (32, 8 + 2), generator=generator)
        codes = torch.stack([bits[:, 2:], bits[:, 1:-1], bits[:, :-2]], dim=1)  # level 0 is two tokens early
        music = (2.0 * bits - 1.0).repeat_interleave(4, dim=1).unsqueeze(-1)
        return {"input_features": music, "motion_codes": codes, "labels": codes}

    for _ in range(60):
        model(**batch()).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval()
    right, wrong = batch(), batch()
    assert model(**right).loss_per_level[0] < 0.2  # chance is ln 2 = 0.69
    wrong_music = {**right, "input_features": wrong["input_features"]}
    assert model(**wrong_music).loss_per_level[0] > 1.0


@pytest.mark.parametrize(("spectra_dropout", "hears"), [(1.0, False), (0.5, True)])
def test_a_model_that_learned_without_spectra_does_not_hear_them(make_model, generator, spectra_dropout, hears):
    model = make_model(spectra_dropout=spectra_dropout)
    music = torch.randn(1, 24, 6, generator=generator)
    other_spectra, other_clock = music.clone(), music.clone()
    other_spectra[..., :4] += 1.0
    other_clock[..., 4:] += 1.0
    condition, by_spectra, by_clock = (
        model.encode_condition(features, spectra_mask=torch.tensor([True])).condition
        for features in (music, other_spectra, other_clock)
    )
    assert torch.equal(condition, by_spectra) is not hears
    assert not torch.equal(condition, by_clock)


def test_padding_does_not_change_a_clip(model, make_inputs):
    inputs = make_inputs()
    alone = {name: tensor[:1] for name, tensor in inputs.items()}
    alone["input_features"] = alone["input_features"][:, :18]
    alone["reference_features"] = alone["reference_features"][:, :, :18]
    alone["motion_codes"] = alone["motion_codes"][..., :5]
    frame_mask = torch.arange(32)[None] < torch.tensor([[18], [32]])
    inputs["input_features"] = inputs["input_features"].masked_fill(~frame_mask[..., None], 99.0)
    inputs["reference_features"] = inputs["reference_features"].masked_fill(~frame_mask[:, None, :, None], 99.0)
    in_batch = model(**inputs, frame_mask=frame_mask).logits[:1, :, :5]
    torch.testing.assert_close(in_batch, model(**alone).logits, atol=1e-4, rtol=1e-4)


class TestEncodeCondition:
    def test_a_window_with_context_and_look_ahead_equals_the_whole_song(self, make_model, make_inputs):
        model = make_model()
        song = make_inputs(num_tokens=30, codes=False)
        whole = model.encode_condition(**song).condition
        first, last = 4 * (8 - 4), 4 * (8 + 8 + 3)  # the second stretch: 4 tokens before, 8, 3 after
        window = {
            "input_features": song["input_features"][:, first:last],
            "reference_features": song["reference_features"][:, :, first:last],
            "genre_ids": song["genre_ids"],
        }
        part = model.encode_condition(**window, split=False).condition[:, 4 : 4 + 8]
        torch.testing.assert_close(part, whole[:, 8:16], atol=1e-5, rtol=1e-5)

    def test_training_on_a_cut_of_a_song_sees_the_condition_of_the_song(self, make_model, make_inputs):
        model = make_model()
        song = make_inputs(num_tokens=30, num_references=None)
        codes = song.pop("motion_codes")[..., 8:16]
        condition = model.encode_condition(**song).condition[:, 8:16]
        ids = model.codes_to_ids(codes)
        expected = model(input_ids=prepend_start(model.config, ids[:, :-1], 8), condition=condition).logits
        song["input_features"] = song["input_features"][:, 4 * (8 - 4) : 4 * (8 + 8 + 3)]
        logits = model(motion_codes=codes, num_context_tokens=4, **song).logits
        expected = expected[..., : model.config.num_codes].unflatten(1, (8, 3)).unflatten(-1, (3, 8))
        expected = torch.stack([expected[:, :, level, level] for level in range(3)], dim=1)
        torch.testing.assert_close(logits, expected, atol=1e-4, rtol=1e-4)

    def test_more_music_later_does_not_change_what_was_encoded(self, make_model, make_inputs):
        model = make_model()
        song = make_inputs(num_tokens=40, num_references=None, codes=False)
        begun = {**song, "input_features": song["input_features"][:, : 4 * 21]}
        whole, part = model.encode_condition(**song).condition, model.encode_condition(**begun).condition
        torch.testing.assert_close(part[:, : 21 - 3], whole[:, : 21 - 3], atol=1e-5, rtol=1e-5)

    @pytest.mark.parametrize("num_tokens", [7, 21])
    def test_padding_does_not_change_a_song(self, model, make_inputs, num_tokens):
        song = make_inputs(batch_size=2, num_tokens=30, codes=False)
        lengths = torch.tensor([[120], [4 * num_tokens - 2]])
        frame_mask = torch.arange(120)[None] < lengths
        in_batch = model.encode_condition(**song, frame_mask=frame_mask)
        alone = model.encode_condition(
            song["input_features"][1:, : lengths[1]],
            genre_ids=song["genre_ids"][1:],
            reference_features=song["reference_features"][1:, :, : lengths[1]],
        )
        assert in_batch.token_mask.sum(dim=1).tolist() == [30, num_tokens]
        for name in ("condition", "expert_weights"):
            torch.testing.assert_close(in_batch[name][1:, :num_tokens], alone[name], atol=1e-4, rtol=1e-4)

    def test_many_stretches_equal_few(self, make_model, make_inputs):
        model = make_model()
        song = make_inputs(batch_size=5, num_tokens=60, codes=False)  # 40 stretches, encoded 32 at a time
        alone = model.encode_condition(**{name: tensor[4:] for name, tensor in song.items()}).condition
        torch.testing.assert_close(model.encode_condition(**song).condition[4:], alone, atol=1e-5, rtol=1e-5)

    def test_music_genre_and_references_all_matter(self, make_model, make_inputs):
        model, inputs = make_model(), make_inputs(codes=False)
        full = model.encode_condition(**inputs).condition
        for changed in (
            {**inputs, "music_mask": torch.tensor([False, False])},
            {**inputs, "genre_ids": inputs["genre_ids"].flip(0)},
            {**inputs, "genre_ids": None},
            {**inputs, "reference_mask": torch.tensor([[True, False], [False, True]])},
            {**inputs, "reference_features": None},
        ):
            difference = (model.encode_condition(**changed).condition - full).abs().amax(dim=(1, 2))
            assert (difference > 1e-3).all()

    def test_dropped_music_and_references_leave_no_trace(self, make_model, make_inputs):
        model, inputs, others = make_model(), make_inputs(codes=False), make_inputs(codes=False)
        nothing = {"music_mask": torch.tensor([False, False]), "reference_mask": torch.zeros(2, 2, dtype=torch.bool)}
        dropped = model.encode_condition(**inputs, **nothing).condition
        torch.testing.assert_close(model.encode_condition(**others, **nothing).condition, dropped)
        inputs.pop("reference_features")
        absent = model.encode_condition(**inputs, music_mask=nothing["music_mask"]).condition
        torch.testing.assert_close(absent, dropped)


class TestConditionDropout:
    def rates(self, make_model, **probabilities):
        """Drop the conditions of many clips; return one row a clip: music, genre, references kept."""
        others = {"condition_dropout": 0.0, "music_dropout": 0.0, "genre_dropout": 0.0, "reference_dropout": 0.0}
        config = make_model(**{**others, **probabilities}).config
        torch.manual_seed(0)
        batch_size = 4000
        given = Conditions(
            torch.zeros(batch_size, 4, 6),
            genre_ids=torch.zeros(batch_size, dtype=torch.long),
            reference_features=torch.zeros(batch_size, 2, 4, 5),
        )
        kept = given.dropped_at_random(config)
        assert (kept.reference_mask[:, 0] == kept.reference_mask[:, 1]).all()
        return torch.stack([kept.music_mask, kept.genre_ids == 0, kept.reference_mask[:, 0]], dim=1).double()

    def test_conditions_drop_independently(self, make_model):
        kept = self.rates(make_model, music_dropout=0.5, genre_dropout=0.3, reference_dropout=0.2)
        torch.testing.assert_close(kept.mean(dim=0), torch.tensor([0.5, 0.7, 0.8]).double(), atol=0.03, rtol=0)
        correlation = torch.corrcoef(kept.T)
        assert (correlation - torch.eye(3)).abs().max() < 0.05

    def test_all_conditions_drop_together_for_guidance(self, make_model):
        kept = self.rates(make_model, condition_dropout=0.4)
        assert (kept == kept[:, :1]).all()
        assert abs(kept.mean() - 0.6) < 0.03

    def test_nothing_drops_outside_training(self, make_model, make_inputs):
        model, inputs = make_model(condition_dropout=0.9, history_mask_prob=0.5, dropout=0.5), make_inputs()
        torch.testing.assert_close(model(**inputs).logits, model(**inputs).logits)

    def test_absent_conditions_stay_absent(self, make_model, make_inputs):
        model = make_model().train()
        mask = torch.tensor([[True, False], [False, False]])
        inputs = make_inputs()
        output = model(**inputs, reference_mask=mask)
        assert output.expert_weights is None or output.expert_weights[1].abs().max() == 0


class TestHistoryMask:
    def test_a_share_up_to_twice_the_probability_is_masked_by_the_vector_of_its_level(self, make_model):
        model = make_model(history_mask_prob=0.3)
        torch.manual_seed(0)
        ids = model.codes_to_ids(torch.randint(0, 8, (200, 3, 100)))
        masked_ids = mask_history(model.config, ids)
        is_masked = masked_ids != ids
        share = is_masked.double().mean(dim=1)
        assert abs(share.mean() - 0.3) < 0.03 and share.min() < 0.1 and 0.5 < share.max() < 0.75
        levels = (ids // 8)[is_masked]
        assert (masked_ids[is_masked] == model.config.mask_token_id + levels).all()

    def test_labels_are_not_masked(self, make_model, make_inputs):
        model, inputs = make_model(history_mask_prob=0.5, condition_dropout=0.0).train(), make_inputs()
        before = inputs["motion_codes"].clone()
        model(**inputs, labels=inputs["motion_codes"])
        assert (inputs["motion_codes"] == before).all()


class TestCodebooks:
    def test_levels_are_scaled_to_unit_size(self, make_model, generator):
        model = make_model()
        codebooks = torch.randn(3, 8, 4, generator=generator) * torch.tensor([5.0, 1.0, 0.01])[:, None, None]
        model.set_codebooks(codebooks)
        stored = model.model.codebook_vectors
        torch.testing.assert_close(stored.square().mean(dim=(1, 2)), torch.ones(3))
        torch.testing.assert_close(stored[2] / stored[2, 0, 0], codebooks[2] / codebooks[2, 0, 0])

    def test_similar_vectors_give_similar_embeddings(self, make_model):
        model = make_model()
        model.model.backbone.embed_tokens.weight.data.zero_()
        codebooks = torch.randn(3, 8, 4)
        codebooks[0, 1] = codebooks[0, 0] + 1e-4
        model.set_codebooks(codebooks)
        embeddings = model.model.embed_codes(torch.tensor([[0, 1, 2]]))[0]
        assert (embeddings[0] - embeddings[1]).norm() < 0.01 * (embeddings[0] - embeddings[2]).norm()

    def test_a_model_without_codebooks_refuses_to_train(self, tiny_fields, make_inputs):
        model = ChoreoLlamaForConditionalGeneration(ChoreoLlamaConfig(**tiny_fields))
        with pytest.raises(ValueError, match="no codebooks yet"):
            model(**make_inputs())

    @pytest.mark.parametrize(
        "codebooks, message",
        [
            (torch.ones(3, 8, 5), r"\(3, 8, 4\), got \(3, 8, 5\)"),
            (torch.zeros(3, 8, 4), "not all zero"),
            (torch.full((3, 8, 4), float("nan")), "must be finite"),
        ],
    )
    def test_bad_codebooks_are_refused(self, make_model, codebooks, message):
        with pytest.raises(ValueError, match=message):
            make_model().set_codebooks(codebooks)


class TestCodec:
    @pytest.fixture
    def codec(self):
        torch.manual_seed(1)
        sizes = {"codebook_dim": 4, "codebook_size": 8, "hidden_size": 8, "residual_dilations": [1]}
        codec = MotionCodecModel(MotionCodecConfig(**sizes))
        codec.quantizer.codebooks.normal_()
        codec.set_feature_statistics(torch.full((269,), 2.0), torch.full((269,), 3.0))
        return codec

    def test_the_model_saves_its_frozen_codec_and_decodes_with_it(self, make_model, codec, tmp_path):
        model = make_model(motion_feature_size=269)
        with pytest.raises(ValueError, match="carries no codec"):
            model.decode_motion(torch.zeros(1, 3, 2, dtype=torch.long))
        model.set_codec(codec)
        model.train()
        assert not codec.training
        assert not any(parameter.requires_grad for parameter in codec.parameters())
        model.save_pretrained(tmp_path)
        loaded = ChoreoLlamaForConditionalGeneration.from_pretrained(tmp_path)
        codes = torch.randint(0, 8, (2, 3, 5))
        expected = codec.decode(codes)
        assert expected.shape == (2, 20, 269)
        torch.testing.assert_close(loaded.decode_motion(codes), expected)
        torch.testing.assert_close(loaded.model.codebook_vectors, model.model.codebook_vectors)
        torch.testing.assert_close(loaded.model.cadence_moe.reference_mean, codec.feature_mean)
        torch.testing.assert_close(loaded.model.cadence_moe.reference_std, codec.feature_std)
        assert not any(parameter.requires_grad for parameter in loaded.codec.parameters())


RELOAD = """
import json, sys, torch
from infinitedance.modeling.choreollama.modeling_choreollama import ChoreoLlamaForConditionalGeneration
results = []
for folder in sys.argv[1:]:
    model, report = ChoreoLlamaForConditionalGeneration.from_pretrained(folder, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"], report
    inputs = torch.load(folder + "/inputs.pt", weights_only=True)
    torch.save(model(**inputs).logits, folder + "/logits.pt")
    codes = model.generate_codes(inputs["input_features"], genre_ids=inputs["genre_ids"], seeds=[3, 4])
    defaults = model.generation_config
    results.append([codes.tolist(), defaults.max_code_repeats, defaults.guidance_scale])
print(json.dumps(results))
"""


def test_saved_models_give_the_same_in_a_fresh_process(make_model, make_inputs, tmp_path):
    inputs = make_inputs()
    models = {placement: make_model(condition_placement=placement) for placement in ("aligned", "prefix")}
    for placement, model in models.items():
        model.generation_config.max_code_repeats = 5
        model.save_pretrained(tmp_path / placement)
        torch.save(inputs, tmp_path / placement / "inputs.pt")
    folders = [str(tmp_path / placement) for placement in models]
    result = subprocess.run([sys.executable, "-c", RELOAD, *folders], capture_output=True, text=True, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    for (placement, model), reloaded in zip(models.items(), json.loads(result.stdout.splitlines()[-1]), strict=True):
        logits = torch.load(tmp_path / placement / "logits.pt", weights_only=True)
        torch.testing.assert_close(logits, model(**inputs).logits, atol=0, rtol=0)
        expected = model.generate_codes(inputs["input_features"], genre_ids=inputs["genre_ids"], seeds=[3, 4])
        assert reloaded == [expected.tolist(), 5, 2.0]


def test_pretrained_llama_weights_survive_construction(tmp_path, tiny_fields, make_inputs):
    torch.manual_seed(0)
    llama = LlamaModel(LlamaConfig(**tiny_fields["backbone_config"], vocab_size=50, dtype="float32"))
    for parameter in llama.parameters():
        torch.nn.init.constant_(parameter, 0.5)
    llama.save_pretrained(tmp_path)
    fields = {**tiny_fields, "backbone_config": None}
    model = ChoreoLlamaForConditionalGeneration.from_backbone_pretrained(tmp_path, ChoreoLlamaConfig(**fields))
    kept = {name for name, weight in model.model.backbone.named_parameters() if (weight == 0.5).all()}
    drawn = {name for name, _ in model.model.backbone.named_parameters()} - kept
    assert drawn == {"embed_tokens.weight"}
    assert model.model.backbone.embed_tokens.weight.shape == (3 * 8 + 5, 32)
    model.set_codebooks(torch.randn(3, 8, 4))
    model.save_pretrained(tmp_path / "own")
    loaded = ChoreoLlamaForConditionalGeneration.from_pretrained(tmp_path / "own")
    assert (loaded.model.backbone.norm.weight == 0.5).all()
    assert torch.isfinite(loaded(**make_inputs()).logits).all()


def test_residual_dropout_acts_in_training_only(make_model, make_inputs):
    inputs = make_inputs()
    quiet = {"condition_dropout": 0.0, "genre_dropout": 0.0, "reference_dropout": 0.0}
    model = make_model(dropout=0.3, **quiet)
    expected = model(**inputs).logits
    torch.testing.assert_close(make_model(**quiet)(**inputs).logits, expected)
    zero_shares = []
    for layer in model.model.backbone.layers:
        for block in (layer.self_attn.o_proj, layer.mlp):
            block.register_forward_hook(lambda *call: zero_shares.append(float((call[2] == 0).double().mean())))
    assert (model.train()(**inputs).logits - expected).abs().max() > 1e-3
    assert len(zero_shares) == 4 and all(0.2 < share < 0.4 for share in zero_shares)  # two blocks, two layers


def test_a_bf16_model_and_bf16_autocast_run(model, make_inputs):
    inputs = make_inputs()
    expected = model(**inputs, labels=inputs["motion_codes"]).loss
    with torch.autocast("cpu", torch.bfloat16):
        loss = model(**inputs, labels=inputs["motion_codes"]).loss
    torch.testing.assert_close(loss, expected, atol=0.1, rtol=0.05)
    loss = model.to(torch.bfloat16)(**inputs, labels=inputs["motion_codes"]).loss
    torch.testing.assert_close(loss.float(), expected, atol=0.1, rtol=0.05)


def enable_checkpointing(model):
    # Older versions of transformers have the second name only.
    enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
    enable()


def test_gradient_checkpointing_gives_the_same_gradients(make_model, make_inputs):
    inputs = make_inputs()
    gradients = []
    for checkpointing in (False, True):
        model = make_model(condition_dropout=0.0, genre_dropout=0.0, reference_dropout=0.0).train()
        if checkpointing:
            enable_checkpointing(model)
        model(**inputs, labels=inputs["motion_codes"]).loss.backward()
        gradients.append({name: parameter.grad for name, parameter in model.named_parameters()})
    assert any("band_experts" in name for name, gradient in gradients[0].items() if gradient is not None)
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, msg=name)


def test_gradient_checkpointing_keeps_little_of_the_experts(make_model, make_inputs):
    """What the condition encoder holds for the backward pass, in bytes, which is measured as it is kept."""
    inputs = make_inputs()
    conditions = {name: inputs[name] for name in ("input_features", "reference_features")}
    sizes = []
    for checkpointing in (False, True):
        model = make_model(condition_dropout=0.0, genre_dropout=0.0, reference_dropout=0.0).train()
        if checkpointing:
            enable_checkpointing(model)
        kept = {}

        def keep(tensor, kept=kept):
            storage = tensor.untyped_storage()
            kept[storage.data_ptr()] = storage
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            model.encode_condition(**conditions)
        weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
        sizes.append(sum(storage.nbytes() for place, storage in kept.items() if place not in weights))
    assert sizes[1] < 0.35 * sizes[0]


INVALID = [
    ({"motion_codes": None}, "exactly one of `motion_codes`"),
    ({"input_features": None}, "need the `input_features`"),
    ({"input_features": torch.zeros(2, 32, 7)}, r"\(batch, frames, 6\), got \(2, 32, 7\)"),
    ({"input_features": torch.zeros(2, 0, 6), "reference_features": None}, "must not be empty"),
    ({"input_features": torch.zeros(2, 20, 6), "reference_features": None}, "must hold 29 frames or more of 2 clips"),
    ({"num_context_tokens": 2}, "must hold 37 frames or more"),
    ({"frame_mask": torch.ones(2, 31, dtype=torch.bool)}, r"`frame_mask` must have shape \(2, 32\)"),
    ({"genre_ids": torch.tensor([0, 19])}, r"`genre_ids` must lie in \[0, 18\].*waltz"),
    ({"genre_ids": torch.tensor([0])}, r"`genre_ids` must have shape \(2,\)"),
    ({"reference_features": torch.zeros(2, 2, 32, 6)}, r"`reference_features` must have shape \(2, 2, 32, 5\)"),
    ({"reference_features": torch.zeros(2, 4, 32, 5)}, r"1 to 3 \(`max_references`\) references, got 4"),
    ({"reference_mask": torch.ones(2, 3, dtype=torch.bool)}, r"`reference_mask` must have shape \(2, 2\)"),
    ({"motion_codes": torch.zeros(2, 2, 8, dtype=torch.long)}, r"\(batch, 3, num_tokens\), got \(2, 2, 8\)"),
    ({"motion_codes": torch.full((2, 3, 8), -100)}, r"must lie in \[0, 8\), got \[-100, -100\]. Padding"),
    ({"motion_codes": torch.zeros(2, 3, 9, dtype=torch.long)}, "at most 8 tokens, got 9"),
    ({"labels": torch.zeros(2, 8, 3, dtype=torch.long)}, r"`labels` must have shape \(2, 3, 8\)"),
]


@pytest.mark.parametrize("changes, message", INVALID)
def test_inputs_that_do_not_fit_are_refused(make_model, make_inputs, changes, message):
    with pytest.raises(ValueError, match=message):
        make_model()(**{**make_inputs(), **changes})


def test_a_mask_that_is_not_boolean_is_refused(make_model, make_inputs):
    with pytest.raises(TypeError, match="`frame_mask` must be a bool tensor"):
        make_model()(**make_inputs(), frame_mask=torch.ones(2, 32))
