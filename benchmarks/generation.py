"""Measure how fast codes are written, in each pattern and by the loop of the first edition.

`python benchmarks/generation.py` times the weights of the default model, then models of the configuration's own sizes
with random weights that differ in `code_pattern` only, all in one process and in turns, so that a busy machine slows
all of them. Times are those of the processor, of the fastest of several runs, on one thread; the ratio is that of the
first edition's time for the same song and the same sizes to each. The song is long enough that what is done once a
song hardly counts.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch.nn import functional as F
from transformers import LogitsProcessorList

from infinitedance import ChoreoLlamaConfig, ChoreoLlamaForConditionalGeneration
from infinitedance.assets import DEFAULT_MODEL
from infinitedance.modeling.choreollama.conditions import Conditions
from infinitedance.modeling.choreollama.input_ids import prepend_start
from infinitedance.modeling.choreollama.logits_processors import SeededGumbelLogitsProcessor


class FirstEditionDecoder:
    """The decoder of the first edition, kept to measure against: `"aligned"` placement, plain float32 weights.

    Args:
        model: A ChoreoLLaMA with `code_pattern="flat"`.
    """

    def __init__(self, model: ChoreoLlamaForConditionalGeneration):
        backbone, config = model.model.backbone, model.config
        self.num_heads, self.num_key_value_heads = (
            backbone.config.num_attention_heads,
            backbone.config.num_key_value_heads,
        )
        attention = backbone.layers[0].self_attn
        self.head_dim, self.scaling = attention.head_dim, attention.scaling
        self.max_length = 1 + config.max_window_tokens * config.num_quantizers
        self.length = 0
        self.caches: list[tuple[torch.Tensor, torch.Tensor]] = []
        self.layers = [self._layer(layer) for layer in backbone.layers]
        self.final_norm = self._norm(backbone.norm)
        self.head = self._product(model.lm_head)
        self.embeddings = model.model.embed_codes(torch.arange(config.vocab_size)[None])[0]
        self.num_other_ids = config.vocab_size - config.num_codes
        cosine, sine = (
            table[0] for table in backbone.rotary_emb(backbone.norm.weight, torch.arange(self.max_length)[None])
        )
        half = self.head_dim // 2
        self.cosine, self.sine = cosine, torch.cat([-sine[:, :half], sine[:, half:]], dim=-1)

    def _layer(self, layer: Any) -> dict[str, Callable[[torch.Tensor], torch.Tensor]]:
        attention, mlp = layer.self_attn, layer.mlp
        return {
            "input_norm": self._norm(layer.input_layernorm),
            "query_key_value": self._product(attention.q_proj, attention.k_proj, attention.v_proj),
            "output": self._product(attention.o_proj),
            "mlp_norm": self._norm(layer.post_attention_layernorm),
            "gate_up": self._product(mlp.gate_proj, mlp.up_proj),
            "down": self._product(mlp.down_proj),
            "activation": mlp.act_fn,
        }

    def _product(self, *modules: torch.nn.Linear) -> Callable[[torch.Tensor], torch.Tensor]:
        matrix = torch.cat([module.weight.detach() for module in modules]).t().contiguous()
        return lambda hidden_states: torch.matmul(hidden_states, matrix)

    def _norm(self, module: Any) -> Callable[[torch.Tensor], torch.Tensor]:
        weight, epsilon = module.weight.detach(), module.variance_epsilon
        return lambda hidden_states: F.rms_norm(hidden_states, weight.shape, weight, epsilon)

    def __call__(self, embeddings: torch.Tensor, position_ids: torch.Tensor) -> torch.Tensor:
        """Append positions, as `StepDecoder` does."""
        batch_size, num_new, _ = embeddings.shape
        num_heads, num_key_value_heads, head_dim = self.num_heads, self.num_key_value_heads, self.head_dim
        if not self.caches:
            shape = (batch_size, num_key_value_heads, self.max_length, head_dim)
            self.caches = [(embeddings.new_zeros(shape), embeddings.new_zeros(shape)) for _ in self.layers]
        start, self.length = self.length, self.length + num_new
        visible = None
        if num_new > 1:
            positions = torch.arange(self.length)
            visible = (positions <= positions[-num_new:, None])[None, None]
        cosine, sine = (F.embedding(position_ids, table).unsqueeze(1) for table in (self.cosine, self.sine))
        hidden_states = embeddings
        for layer, (keys, values) in zip(self.layers, self.caches, strict=True):
            projected = layer["query_key_value"](layer["input_norm"](hidden_states))
            projected = projected.view(batch_size, num_new, -1, head_dim).transpose(1, 2)
            query_key, value = projected.split([num_heads + num_key_value_heads, num_key_value_heads], dim=1)
            query_key = torch.addcmul(query_key * cosine, query_key.roll(head_dim // 2, dims=-1), sine)
            query, key = query_key.split([num_heads, num_key_value_heads], dim=1)
            keys[:, :, start : self.length] = key
            values[:, :, start : self.length] = value
            attended = F.scaled_dot_product_attention(
                query,
                keys[:, :, : self.length],
                values[:, :, : self.length],
                attn_mask=visible,
                scale=self.scaling,
                enable_gqa=num_heads != num_key_value_heads,
            )
            hidden_states = hidden_states + layer["output"](attended.transpose(1, 2).reshape(batch_size, num_new, -1))
            gate, up = layer["gate_up"](layer["mlp_norm"](hidden_states)).chunk(2, dim=-1)
            hidden_states = hidden_states + layer["down"](layer["activation"](gate) * up)
        return self.final_norm(hidden_states)


def decode_as_in_first_edition(
    model: Any,
    input_ids: torch.Tensor,
    logits_processor: LogitsProcessorList,
    generation_config: Any,
    decoder: FirstEditionDecoder,
    condition: torch.Tensor,
    **inputs: Any,
) -> torch.Tensor:
    """Write the codes of one window with all of transformers' processors at each; a `custom_generate`."""
    num_copies = condition.shape[0] // input_ids.shape[0]
    position_ids = torch.arange(input_ids.shape[1]).unsqueeze(0)
    decoder.length = 0
    while input_ids.shape[1] < generation_config.max_length:
        new_ids = input_ids[:, decoder.length :].repeat(num_copies, 1)
        embeddings = F.embedding(new_ids, decoder.embeddings)
        embeddings = model.model.join_condition(embeddings, new_ids, condition, position_ids)
        hidden_states = decoder(embeddings, position_ids)[:, -1]
        scores = F.pad(decoder.head(hidden_states).float(), (0, decoder.num_other_ids))
        for processor in logits_processor:
            scores = processor(input_ids, scores)
        input_ids = torch.cat([input_ids, scores.argmax(dim=-1)[:, None]], dim=1)
        position_ids = position_ids[:, -1:] + 1
    return input_ids


@torch.no_grad()
def write_as_in_first_edition(
    model: ChoreoLlamaForConditionalGeneration, music: torch.Tensor, seeds: Sequence[int]
) -> torch.Tensor:
    """Write whole songs as the first edition did; music `(batch, frames, channels)`, codes as `generate_codes`."""
    condition, _ = model.encode_guided_condition(Conditions(music), model.generation_config.guidance_scale)
    num_tokens, levels, window = condition.shape[1], model.config.num_quantizers, model.config.max_window_tokens
    ids = torch.empty(music.shape[0], 0, dtype=torch.long)
    sampler = SeededGumbelLogitsProcessor(seeds)
    decode = partial(decode_as_in_first_edition, decoder=FirstEditionDecoder(model))
    while (done := ids.shape[1] // levels) < num_tokens:
        start = 0 if done < window else done - window // 2
        end = min(start + window, num_tokens)
        inputs = prepend_start(model.config, ids[:, start * levels :], end - start)
        generated = model.generate(
            inputs,
            condition=condition[:, start:end],
            max_new_tokens=(end - done) * levels,
            logits_processor=[sampler],
            custom_generate=decode,
        )
        ids = torch.cat([ids, generated[:, inputs.shape[1] :]], dim=1)
    return model.ids_to_codes(ids)


def random_model(code_pattern: str) -> ChoreoLlamaForConditionalGeneration:
    """Make a model of the default sizes with random weights, rounded as those of a checkpoint that ships."""
    torch.manual_seed(0)
    config = ChoreoLlamaConfig(genres=["waltz"], code_pattern=code_pattern)
    model = ChoreoLlamaForConditionalGeneration(config).eval()
    model.set_codebooks(torch.randn(config.num_quantizers, config.codebook_size, config.codebook_dim))
    return model.half().float()


def seconds_per_token(writers: dict[str, Callable[[], object]], num_tokens: int, repeats: int) -> dict[str, float]:
    """Run all writers in turns, once to warm up, and return the best processor time of each for a token."""
    best = dict.fromkeys(writers, float("inf"))
    for repeat in range(1 + repeats):
        for name, write in writers.items():
            start = time.process_time()
            write()
            seconds = (time.process_time() - start) / num_tokens
            best[name] = min(best[name], seconds) if repeat else best[name]
    return best


def main() -> None:
    """Time one song in all ways and print tokens per second and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--num_tokens", type=int, default=450, help="Length of the song; 450 are a minute.")
    parser.add_argument("--batch_size", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    shipped = ChoreoLlamaForConditionalGeneration.from_pretrained(arguments.model, dtype="float32").eval()
    config = shipped.config
    generator = torch.Generator().manual_seed(0)
    frames = arguments.num_tokens * config.frames_per_token
    music = torch.randn(arguments.batch_size, frames, config.music_feature_size, generator=generator)
    seeds = list(range(arguments.batch_size))

    writers: dict[str, Callable[[], object]] = {}
    if config.code_pattern == "flat":
        writers["shipped, first edition"] = partial(write_as_in_first_edition, shipped, music, seeds)
        is_same = bool((writers["shipped, first edition"]() == shipped.generate_codes(music, seeds=seeds)).all())
        print(f"shipped weights: the codes of the first edition: {'yes' if is_same else 'NO'}")
    writers[f"shipped, {config.code_pattern}"] = partial(shipped.generate_codes, music, seeds=seeds)
    models = {pattern: random_model(pattern) for pattern in ("flat", "delay", "depth")}
    writers["random, first edition"] = partial(write_as_in_first_edition, models["flat"], music, seeds)
    for pattern, model in models.items():
        writers[f"random, {pattern}"] = partial(model.generate_codes, music, seeds=seeds)

    seconds = seconds_per_token(writers, arguments.num_tokens, arguments.repeats)
    real_time = config.frames_per_token / config.frame_rate
    for name, value in seconds.items():
        baseline = seconds.get(f"{name.split(',')[0]}, first edition", seconds["random, first edition"])
        print(
            f"{name:24} {1000 * value:6.2f} ms a token, {real_time / value:6.1f} times real time, "
            f"ratio {baseline / value:.2f}"
        )


if __name__ == "__main__":
    main()
