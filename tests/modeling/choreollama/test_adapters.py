import json
import shutil
from pathlib import Path

import pytest
import torch
from peft import AutoPeftModelForCausalLM, LoraConfig, PeftModel, get_peft_model
from transformers import Trainer, TrainingArguments

from infinitedance import ChoreoLlamaForConditionalGeneration
from infinitedance.modeling.choreollama.adapters_choreollama import AdapterStack
from infinitedance.modeling.choreollama.configuration_choreollama import LORA_TARGETS, MAX_ADDED_GENRES
from infinitedance.modeling.choreollama.step_decoder import matrix_of

PATTERNS = ["flat", "delay", "depth"]
CONFIG = {"task_type": "CAUSAL_LM", "r": 4}


@pytest.fixture(params=PATTERNS)
def model(request, make_model):
    return make_model(code_pattern=request.param, depth_hidden_size=12)


@pytest.fixture(scope="module")
def base_dir(tmp_path_factory, save_tiny_pipeline) -> Path:
    folder = tmp_path_factory.mktemp("base") / "model"
    return save_tiny_pipeline(folder, genres=["rumba", "waltz"], code_pattern="depth", depth_hidden_size=24)


def load(folder: Path) -> ChoreoLlamaForConditionalGeneration:
    return ChoreoLlamaForConditionalGeneration.from_pretrained(folder).eval()


def fill(model: torch.nn.Module, seed: int = 0, std: float = 0.2) -> None:
    """Give every adapter weights: PEFT begins with an adapter that changes nothing."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            parameter.data.copy_(std * torch.randn(parameter.shape, generator=generator))


@pytest.fixture(scope="module")
def adapter_dir(base_dir, tmp_path_factory) -> Path:
    return save_adapter(base_dir, tmp_path_factory.mktemp("adapter") / "first", seed=0)


@pytest.fixture(scope="module")
def other_dir(base_dir, tmp_path_factory) -> Path:
    return save_adapter(base_dir, tmp_path_factory.mktemp("adapter") / "other", seed=1)


def save_adapter(base_dir: Path, folder: Path, seed: int) -> Path:
    model = load(base_dir)
    model.add_adapter(LoraConfig(**CONFIG, target_modules=list(LORA_TARGETS)))
    fill(model, seed)
    model.save_pretrained(folder)
    return folder


def music(batch_size: int = 2, num_frames: int = 120) -> torch.Tensor:
    return torch.randn(batch_size, num_frames, 109, generator=torch.Generator().manual_seed(3))


def codes_of(model: ChoreoLlamaForConditionalGeneration) -> torch.Tensor:
    return model.generate_codes(music(), seeds=[0, 1])


def logits_of(model: ChoreoLlamaForConditionalGeneration) -> torch.Tensor:
    codes = torch.randint(0, 16, (2, 3, 10), generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        return model(motion_codes=codes, input_features=music()[:, :60]).logits


class TestPeft:
    def test_a_configuration_without_targets_takes_ours_and_none_of_the_codec(self, base_dir):
        adapted = get_peft_model(load(base_dir), LoraConfig(**CONFIG))
        changed = {name.split(".lora_")[0] for name, _ in adapted.named_parameters() if ".lora_" in name}
        ends = {name.rsplit(".", 1)[-1] for name in changed}
        assert ends == set(LORA_TARGETS) and not any(".codec." in name for name in changed)

    def test_it_trains_as_people_write_it(self, model, make_inputs):
        adapted = get_peft_model(model, LoraConfig(**CONFIG)).train()
        inputs = make_inputs(batch_size=12)
        inputs["genre_ids"][::2] = model.config.num_genres + 1
        adapted(**inputs, labels=inputs["motion_codes"]).loss.backward()
        gradients = {name: parameter.grad for name, parameter in adapted.named_parameters() if parameter.requires_grad}
        assert gradients and all("lora_" in name and gradient is not None for name, gradient in gradients.items())
        heard = [name for name, gradient in gradients.items() if "lora_B" in name and gradient.abs().sum() > 0]
        assert len(heard) == sum("lora_B" in name for name in gradients)

    def test_the_fast_decoder_hears_the_adapter_as_the_merged_model_does(self, model, make_inputs):
        before = model.generate_codes(make_inputs(batch_size=2)["input_features"], seeds=[0, 1])
        adapted = get_peft_model(model, LoraConfig(**CONFIG))
        fill(adapted)
        inputs = make_inputs(batch_size=2)["input_features"]
        heard = model.generate_codes(inputs, seeds=[0, 1])
        merged = adapted.merge_and_unload()
        assert (heard != before).any() and torch.equal(merged.generate_codes(inputs, seeds=[0, 1]), heard)

    def test_an_adapter_of_the_heads_alone_changes_the_scores(self, model, make_inputs):
        inputs = make_inputs(batch_size=2)
        before = model(**inputs).logits
        adapted = get_peft_model(model, LoraConfig(**CONFIG, target_modules=["lm_head"]))
        fill(adapted)
        torch.testing.assert_close(matrix_of(model.lm_head), adapted.merge_and_unload().lm_head.weight)
        assert not torch.allclose(model(**inputs).logits, before)

    def test_the_auto_class_and_transformers_own_way_load_the_same(self, base_dir, adapter_dir):
        by_peft = PeftModel.from_pretrained(load(base_dir), adapter_dir)
        automatic = AutoPeftModelForCausalLM.from_pretrained(adapter_dir).eval()
        native = load(base_dir)
        native.load_adapter(str(adapter_dir))
        wanted = codes_of(by_peft.get_base_model())
        assert (wanted != codes_of(load(base_dir))).any()
        assert torch.equal(codes_of(automatic.get_base_model()), wanted) and torch.equal(codes_of(native), wanted)

    def test_an_adapter_is_saved_without_the_embeddings_of_the_base(self, base_dir, adapter_dir):
        from safetensors.torch import load_file

        saved = load_file(adapter_dir / "adapter_model.safetensors")
        assert saved and all(".lora_" in name for name in saved)
        assert (adapter_dir / "SHA256SUMS").is_file()

    def test_the_trainer_trains_it(self, base_dir, tmp_path):
        adapted = get_peft_model(load(base_dir), LoraConfig(**CONFIG))
        codes = torch.randint(0, 16, (3, 10))
        rows = [{"motion_codes": codes, "labels": codes, "input_features": music(1, 60)[0]}] * 4
        arguments = TrainingArguments(
            str(tmp_path), max_steps=8, learning_rate=0.02, report_to=[], save_strategy="no", use_cpu=True
        )
        trainer = Trainer(adapted, arguments, train_dataset=rows)
        before = trainer.evaluate(rows)["eval_loss"]
        trainer.train()
        assert trainer.evaluate(rows)["eval_loss"] < before - 0.05

    def test_embeddings_are_not_taken(self, make_model):
        with pytest.raises(ValueError, match="no `inputs_embeds`"):
            make_model()(inputs_embeds=torch.zeros(1, 1, 16))


class TestAddedGenres:
    def test_a_genre_that_nothing_filled_is_any_genre(self, make_model, make_inputs):
        model, inputs = make_model(genres=["waltz"]), make_inputs(batch_size=2)
        any_genre = model(**{**inputs, "genre_ids": torch.tensor([1, 1])}).logits
        added = model(**{**inputs, "genre_ids": torch.tensor([2, 1 + MAX_ADDED_GENRES])}).logits
        assert torch.equal(added, any_genre)
        model.model.cadence_moe.added_genre_embedding.weight.data[0] = 1.0
        changed = model(**{**inputs, "genre_ids": torch.tensor([2, 3])}).logits
        assert not torch.allclose(changed[0], any_genre[0]) and torch.equal(changed[1], any_genre[1])

    def test_there_are_only_so_many(self, make_model, make_inputs):
        model, inputs = make_model(genres=["waltz"]), make_inputs(batch_size=2)
        with pytest.raises(ValueError, match="genre_ids"):
            model(**{**inputs, "genre_ids": torch.tensor([2 + MAX_ADDED_GENRES, 0])})

    def test_weights_of_an_older_file_load_with_an_empty_table(self, base_dir, tmp_path):
        from safetensors.torch import load_file, save_file

        folder = shutil.copytree(base_dir, tmp_path / "older")
        (folder / "SHA256SUMS").unlink()
        weights = load_file(folder / "model.safetensors")
        del weights["model.cadence_moe.added_genre_embedding.weight"]
        save_file(weights, folder / "model.safetensors", {"format": "pt"})
        model = load(folder)
        assert not model.model.cadence_moe.added_genre_embedding.weight.any()
        assert torch.equal(codes_of(model), codes_of(load(base_dir)))


class TestStack:
    def test_two_halves_of_an_adapter_are_the_adapter(self, base_dir, adapter_dir):
        model = load(base_dir)
        stack = AdapterStack(model)
        stack.load(adapter_dir, "one")
        whole = logits_of(model)
        stack.load(adapter_dir, "two")
        stack.set_weights({"one": 0.5, "two": 0.5})
        torch.testing.assert_close(logits_of(model), whole, atol=1e-5, rtol=1e-5)
        stack.set_weights({"two": 1.0})
        assert stack.active == ["two"] and torch.equal(logits_of(model), whole)

    def test_weights_count_and_two_adapters_are_added_up(self, base_dir, adapter_dir, other_dir):
        model = load(base_dir)
        plain = model.lm_head.weight.clone()
        stack = AdapterStack(model)
        stack.load(adapter_dir, "one")
        one = matrix_of(model.lm_head) - plain
        stack.set_weights({"one": 0.0})
        stack.load(other_dir, "other")
        stack.set_weights({"other": 1.0})
        other = matrix_of(model.lm_head) - plain
        stack.set_weights({"one": 0.3, "other": -2.0})
        torch.testing.assert_close(matrix_of(model.lm_head) - plain, 0.3 * one - 2.0 * other, atol=1e-5, rtol=1e-4)

    def test_off_and_unloaded_it_is_the_base_to_the_bit(self, base_dir, adapter_dir):
        model = load(base_dir)
        logits, codes = logits_of(model), codes_of(model)
        stack = AdapterStack(model)
        stack.load(adapter_dir, "one")
        assert not torch.allclose(logits_of(model), logits)
        stack.set_weights({})
        assert torch.equal(logits_of(model), logits) and torch.equal(codes_of(model), codes)
        stack.unload()
        assert torch.equal(logits_of(model), logits) and type(model.lm_head) is torch.nn.Linear and not stack.weights

    def test_merged_it_is_a_plain_model_that_can_be_saved(self, base_dir, adapter_dir, tmp_path):
        model = load(base_dir)
        stack = AdapterStack(model)
        stack.load(adapter_dir, "one")
        adapted = logits_of(model)
        stack.merge()
        model.save_pretrained(tmp_path / "merged")
        torch.testing.assert_close(logits_of(load(tmp_path / "merged")), adapted, atol=1e-4, rtol=1e-4)

    def test_what_is_off_is_not_merged(self, base_dir, adapter_dir):
        model = load(base_dir)
        logits = logits_of(model)
        stack = AdapterStack(model)
        stack.load(adapter_dir, "one")
        stack.set_weights({})
        stack.merge()
        assert torch.equal(logits_of(model), logits)

    @pytest.mark.parametrize(
        ("weights", "message"),
        [
            ({"nobody": 1.0}, "no adapter nobody; loaded: one"),
            ({"one": 11.0}, "got 11"),
            ({"one": float("nan")}, "nan"),
        ],
    )
    def test_wrong_weights_are_told(self, weights, message, base_dir, adapter_dir):
        stack = AdapterStack(load(base_dir))
        stack.load(adapter_dir, "one")
        with pytest.raises(ValueError, match=message):
            stack.set_weights(weights)

    def test_a_name_is_taken_once(self, base_dir, adapter_dir):
        stack = AdapterStack(load(base_dir))
        stack.load(adapter_dir, "one")
        with pytest.raises(ValueError, match="'one' already"):
            stack.load(adapter_dir, "one")

    @pytest.mark.parametrize("name", ["v1.5", "keys", "training", "a/b", "Ünï 舞", ""])
    def test_any_name_will_do(self, name, base_dir, adapter_dir):
        model = load(base_dir)
        stack = AdapterStack(model)
        stack.load(adapter_dir, "plain")
        wanted = logits_of(model)
        stack.set_weights({})
        stack.load(adapter_dir, name)
        assert stack.active == [name] and torch.equal(logits_of(model), wanted)

    def test_dropout_is_for_training(self, base_dir, tmp_path):
        adapted = get_peft_model(load(base_dir), LoraConfig(**CONFIG, lora_dropout=0.5))
        fill(adapted)
        adapted.eval().save_pretrained(tmp_path / "style")
        wanted = logits_of(adapted)
        model = load(base_dir)
        AdapterStack(model).load(tmp_path / "style", "style")
        torch.testing.assert_close(logits_of(model), wanted, atol=1e-3, rtol=1e-3)

    def test_modules_that_are_replaced_are_on_or_off(self, base_dir, adapter_dir, tmp_path):
        config = LoraConfig(**CONFIG, target_modules=["q_proj"], modules_to_save=["cadence_moe.genre_embedding"])
        adapted = get_peft_model(load(base_dir), config)
        adapted.get_base_model().model.cadence_moe.genre_embedding.modules_to_save["default"].weight.data += 1
        adapted.eval().save_pretrained(tmp_path / "style")
        model = load(base_dir)
        before, wanted = logits_of(model), logits_of(adapted)
        assert not torch.allclose(before, wanted)
        stack = AdapterStack(model)
        stack.load(tmp_path / "style", "one")
        assert torch.equal(logits_of(model), wanted)
        with pytest.raises(ValueError, match="one replaces whole modules"):
            stack.set_weights({"one": 0.5})
        with pytest.raises(ValueError, match="one replaces whole modules"):
            stack.load(adapter_dir, "two")
        assert torch.equal(logits_of(model), wanted) and stack.weights == {"one": 1.0}
        stack.unload()
        assert torch.equal(logits_of(model), before)
        stack.load(tmp_path / "style", "one")
        stack.set_weights({})
        stack.load(adapter_dir, "two")
        stack.set_weights({})
        assert torch.equal(logits_of(model), before)
        stack.set_weights({"one": 1.0})
        assert torch.equal(logits_of(model), wanted)
        stack.set_weights({})
        stack.merge()
        assert torch.equal(logits_of(model), before)


def drop_weights(folder: Path) -> None:
    (folder / "adapter_model.safetensors").unlink()


def cut_weights(folder: Path) -> None:
    path = folder / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def cut_weights_unseen(folder: Path) -> None:
    (folder / "SHA256SUMS").unlink()
    cut_weights(folder)


def _change_weights(folder: Path, change) -> None:
    from safetensors.torch import load_file, save_file

    (folder / "SHA256SUMS").unlink()
    weights = load_file(folder / "adapter_model.safetensors")
    change(weights)
    save_file(weights, folder / "adapter_model.safetensors")


def drop_a_weight(folder: Path) -> None:
    _change_weights(folder, lambda weights: weights.pop(next(name for name in weights if "lm_head" in name)))


def add_a_weight(folder: Path) -> None:
    _change_weights(folder, lambda weights: weights.update({"base_model.model.x.lora_A.weight": torch.zeros(1)}))


def spoil_a_weight(folder: Path) -> None:
    def change(weights):
        weights["base_model.model.lm_head.lora_A.weight"][0, 0] = torch.nan

    _change_weights(folder, change)


def _change_config(folder: Path, **fields) -> None:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def cut_config(folder: Path) -> None:
    (folder / "adapter_config.json").write_text("{")


def name_no_modules(folder: Path) -> None:
    _change_config(folder, target_modules=["nowhere"])


def give_another_rank(folder: Path) -> None:
    _change_config(folder, r=8)


def train_biases(folder: Path) -> None:
    _change_config(folder, bias="all")


def begin_by_the_base(folder: Path) -> None:
    _change_config(folder, init_lora_weights="pissa")


def make_another_kind(folder: Path) -> None:
    _change_config(folder, peft_type="IA3")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (drop_weights, "has no adapter_model.safetensors"),
        (cut_weights, "is not the file that was saved"),
        (cut_weights_unseen, "adapter_model.safetensors"),
        (drop_a_weight, "lacks .*lm_head"),
        (add_a_weight, "does not know"),
        (spoil_a_weight, "NaN"),
        (cut_config, "adapter_config.json"),
        (name_no_modules, "is no adapter of this model"),
        (give_another_rank, "another shape"),
        (make_another_kind, "IA3"),
        (train_biases, "bias='none'"),
        (begin_by_the_base, "init_lora_weights='pissa'"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_damaged_adapter_is_told_and_the_model_stays_as_it_was(damage, message, base_dir, adapter_dir, tmp_path):
    folder = shutil.copytree(adapter_dir, tmp_path / "style")
    damage(folder)
    model = load(base_dir)
    before, stack = codes_of(model), AdapterStack(model)
    with pytest.raises((ValueError, OSError), match=message) as error:
        stack.load(folder, "style")
    assert str(folder) in str(error.value) and "\n" not in str(error.value)
    assert torch.equal(codes_of(model), before) and not stack.weights and type(model.lm_head) is torch.nn.Linear


def test_one_damaged_adapter_leaves_the_other(base_dir, adapter_dir, other_dir, tmp_path):
    folder = shutil.copytree(other_dir, tmp_path / "style")
    drop_a_weight(folder)
    model = load(base_dir)
    stack = AdapterStack(model)
    stack.load(adapter_dir, "one")
    before = codes_of(model)
    with pytest.raises(ValueError, match="lacks"):
        stack.load(folder, "two")
    assert torch.equal(codes_of(model), before) and stack.weights == {"one": 1.0}
