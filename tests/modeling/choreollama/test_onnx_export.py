"""The graphs say what the model says, and a runner of a few lines writes the codes of the model with them."""

import re

import numpy as np
import pytest
import torch

from infinitedance.cli import main
from infinitedance.modeling.choreollama.cadence_moe import combine_references, split_bands
from infinitedance.modeling.choreollama.code_sampler import CodeSampler, RunGuard
from infinitedance.modeling.choreollama.logits_processors import (
    AntiCollapseLogitsProcessor,
    ConditionGuidanceLogitsProcessor,
    SeededGumbelLogitsProcessor,
)
from infinitedance.modeling.choreollama.modeling_choreollama import ChoreoLlamaForConditionalGeneration
from infinitedance.modeling.choreollama.onnx_export import GRAPHS, export_graphs, stretch_frames

NUM_TOKENS, SEED = 38, 3  # 5 s: several windows and stretches
SAMPLING = {"guidance_scale": 2.0, "max_code_repeats": 4}


class Runner:
    """A generator of codes on ONNX Runtime, as the README of the files describes it."""

    def __init__(self, folder, config, mean_and_std):
        runtime = pytest.importorskip("onnxruntime")
        self.config, self.normalization = config, mean_and_std
        self.sessions = {name: runtime.InferenceSession(folder / f"{name}.onnx") for name in GRAPHS}

    def run(self, name, **inputs):
        inputs = {key: np.asarray(value) for key, value in inputs.items()}
        return [torch.from_numpy(output) for output in self.sessions[name].run(None, inputs)]

    def condition(self, music, genre, references):
        """Return that of one song with all conditions, and without any, `(2, tokens, hidden_size)`."""
        config = self.config
        fpt = config.frames_per_token
        before, window = config.context_tokens * fpt, config.max_window_tokens * fpt
        mean, std = self.normalization
        references = combine_references(references, torch.ones(references.shape[:2], dtype=torch.bool))
        parts = []
        for start in range(0, music.shape[1], window):
            frames = torch.arange(start - before, start - before + stretch_frames(config))
            is_real = (frames >= 0) & (frames < music.shape[1])
            place = frames.clamp(0, music.shape[1] - 1)
            bands = split_bands(
                ((references[:, place] - mean) / std) * is_real[:, None], is_real[None], config.cutoff_hz, 30.0
            )
            both = [
                self.run(
                    "condition",
                    input_features=music[:, place] * is_real[:, None],
                    frame_mask=is_real[None],
                    music_mask=torch.tensor([is_known]),
                    genre_ids=torch.tensor([genre if is_known else config.num_genres]),
                    bands=bands,
                    references_present=torch.tensor([is_known]),
                    spectra_mask=torch.tensor([True]),
                    side_ids=torch.tensor([2]),
                    energy=torch.full((1, len(frames)), torch.nan),
                )[0]
                for is_known in (True, False)
            ]
            encoded = torch.cat(both)
            parts.append(encoded[:, config.context_tokens : config.context_tokens + config.max_window_tokens])
        return torch.cat(parts, dim=1)

    def codes(self, condition, num_tokens, seed):
        config = self.config
        window, levels = config.max_window_tokens, config.num_quantizers
        sampler = CodeSampler(
            [
                ConditionGuidanceLogitsProcessor(SAMPLING["guidance_scale"]),
                AntiCollapseLogitsProcessor(SAMPLING["max_code_repeats"], levels, config.codebook_size),
                SeededGumbelLogitsProcessor([seed]),
            ]
        )
        written = torch.empty(1, 0, levels, dtype=torch.long)
        while (done := written.shape[1]) < num_tokens:
            start = 0 if done < window else done - window // 2
            end = min(start + window, num_tokens)
            new = end - done
            noise = sampler.draw_noise(new, levels, config.codebook_size, config.codebook_size)
            guard = RunGuard(SAMPLING["max_code_repeats"], (written[:, start:, 0]).tolist())
            caches = [torch.zeros(self.sessions["step"].get_inputs()[-1].shape)] * 2
            hidden_states = [torch.empty(0)] * 2
            previous = torch.full((1, levels), config.bos_token_id)
            for position in range(end - start):
                for row in range(2):
                    hidden_states[row], caches[row] = self.run(
                        "step",
                        code_ids=previous,
                        condition=condition[row : row + 1, start + position],
                        position=torch.tensor([position]),
                        caches=caches[row],
                    )
                if start + position < done:
                    previous = written[:, start + position]
                    continue
                ids = torch.zeros(1, levels, dtype=torch.long)
                for level in range(levels):
                    both = [
                        self.run("levels", hidden_states=each, code_ids=ids)[0][:, level] for each in hidden_states
                    ]
                    scores = sampler.guided(torch.cat(both))
                    if level == 0:
                        guard.ban(scores)
                    code = sampler.choose(scores, noise[:, start + position - done, level])
                    if level == 0:
                        guard.observe(code.tolist())
                    ids[:, level] = code + level * config.codebook_size
                previous = ids
                written = torch.cat([written, ids[:, None]], dim=1)
        return written.transpose(1, 2) % config.codebook_size


@pytest.fixture(scope="module")
def folder(save_tiny_pipeline, tmp_path_factory):
    """A folder with a model whose graphs are small: every token of a stretch is a part of the first one.

    Like those that ship it does not hear spectra, whatever the runner says.
    """
    fields = {"code_pattern": "depth", "depth_hidden_size": 24, "controls_side": True, "controls_energy": True}
    fields["spectra_dropout"] = 1.0
    sizes = {"expert_attention_tokens": 2, "max_window_tokens": 4, "lookahead_seconds": 2 / 15}
    return save_tiny_pipeline(tmp_path_factory.mktemp("onnx") / "model", genres=["rumba", "waltz"], **fields, **sizes)


@pytest.fixture(scope="module")
def exported(folder):
    for package in ("onnxscript", "onnxruntime"):
        pytest.importorskip(package)
    assert main(["export-onnx", str(folder), "--output", str(folder.parent / "graphs")]) == 0
    return folder.parent / "graphs"


@pytest.mark.slow
def test_a_runner_on_onnx_runtime_writes_the_codes_of_the_model(exported, folder):
    model = ChoreoLlamaForConditionalGeneration.from_pretrained(folder, dtype="float32").eval()
    generator = torch.Generator().manual_seed(5)
    frames = 4 * NUM_TOKENS
    music = torch.randn(1, frames, 109, generator=generator)
    references = torch.randn(1, 2, frames, 269, generator=generator)
    song = {"genre_ids": torch.tensor([1]), "reference_features": references}
    expected = model.generate_codes(music, **song, seeds=[SEED], top_p=1.0, **SAMPLING)

    moe = model.model.cadence_moe
    runner = Runner(exported, model.config, (moe.reference_mean, moe.reference_std))
    condition = runner.condition(music, 1, references)
    codes = runner.codes(condition, NUM_TOKENS, SEED)
    assert codes.tolist() == expected.tolist()
    assert len(codes.unique()) > 3
    motion = runner.run("decoder", codes=codes)[0]
    torch.testing.assert_close(motion, model.decode_motion(codes), atol=1e-4, rtol=1e-4)


def test_the_readme_names_what_the_graphs_take(exported):
    readme = (exported / "README.md").read_text()
    assert all(f"`{name}.onnx`" in readme and (exported / f"{name}.onnx").is_file() for name in GRAPHS)
    assert re.search(r"stretches of 28 frames: 2 tokens of context,\s+the 4 tokens", readme)  # 4 * (2 + 4 + 1)


QWEN3 = {"model_type": "qwen3", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "head_dim": 8}
QWEN3 |= {"num_key_value_heads": 1, "intermediate_size": 8}


@pytest.mark.parametrize(
    "fields", [{"condition_placement": "prefix"}, {"code_pattern": "delay"}, {"backbone_config": QWEN3}, {}]
)
def test_what_cannot_be_exported_is_told(make_model, fields):
    model = make_model(**{"code_pattern": "depth", "depth_hidden_size": 8, **fields})
    with pytest.raises(ValueError, match="are exported, got"):
        export_graphs(model)  # the last one has no codec


def test_a_folder_that_holds_something_is_left_alone(folder, tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("mine")
    assert main(["export-onnx", str(folder), "--output", str(tmp_path)]) == 2
    assert "is there already" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
