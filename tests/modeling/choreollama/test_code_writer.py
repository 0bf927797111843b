"""Whole songs are written fast, and with the codes of a plain path: a full forward of the window for each code."""

from collections.abc import Iterator

import pytest
import torch
from transformers import (
    GenerationConfig,
    LogitsProcessorList,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)
from transformers.generation import BaseStreamer, MinPLogitsWarper

from infinitedance.modeling.choreollama import generation_choreollama
from infinitedance.modeling.choreollama.conditions import Conditions
from infinitedance.modeling.choreollama.modeling_choreollama import ChoreoLlamaForConditionalGeneration
from infinitedance.modeling.choreollama.step_decoder import CachedDecoder, StepDecoder, make_decoder
from infinitedance.utils.quantization import quantize_linears

QWEN3 = {
    "model_type": "qwen3",
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 16,
    "intermediate_size": 48,
}
WARPERS = {
    "temperature": TemperatureLogitsWarper,
    "top_k": TopKLogitsWarper,
    "top_p": TopPLogitsWarper,
    "min_p": MinPLogitsWarper,
}


def order_of_codes(pattern: str, given: int, num_tokens: int) -> Iterator[tuple[int, int]]:
    """Yield token and level of the codes of a window as they are written."""
    if pattern == "delay":
        for step in range(given, num_tokens + 2):
            yield from ((step - level, level) for level in range(3) if given <= step - level < num_tokens)
    else:
        yield from ((token, level) for token in range(given, num_tokens) for level in range(3))


def draw_noise(model: ChoreoLlamaForConditionalGeneration, generator: torch.Generator, level: int) -> torch.Tensor:
    """Draw the noise of one code: a number for each code of the level; for "flat", for each id."""
    size = model.config.codebook_size
    uniform = torch.rand(model.config.vocab_size if model.config.code_pattern == "flat" else size, generator=generator)
    if model.config.code_pattern == "flat":
        uniform = uniform[level * size : (level + 1) * size]
    return -torch.log(-torch.log(uniform))


@torch.no_grad()
def plain_codes(
    model: ChoreoLlamaForConditionalGeneration,
    song: dict,
    seeds: list[int],
    prompt: torch.Tensor | None = None,
    guidance_scale: float = 2.0,
    reference_guidance_scale: float | None = None,
    max_code_repeats: int | None = 16,
    do_sample: bool = True,
    **options: float,
) -> torch.Tensor:
    """Write a song without cache: each code from a forward of its whole window."""
    options = {"top_p": 0.95} | options
    warpers = LogitsProcessorList(WARPERS[name](options[name]) for name in WARPERS if name in options)
    scales = (guidance_scale, reference_guidance_scale)
    condition, token_mask = model.encode_guided_condition(Conditions(**song), *scales)
    batch_size, length = token_mask.shape
    copies = condition.shape[0] // batch_size
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    codes = torch.zeros(batch_size, 3, length, dtype=torch.long)
    done = 0 if prompt is None else prompt.shape[2]
    if prompt is not None:
        codes[..., :done] = prompt
    window = model.config.max_window_tokens
    while done < length:
        start = 0 if done < window else done - window // 2
        end = min(start + window, length)
        noise = {
            (token, level): torch.stack([draw_noise(model, generator, level) for generator in generators])
            for token in range(done, end)
            for level in range(3)
        }
        for token, level in order_of_codes(model.config.code_pattern, done - start, end - start):
            in_window, mask = codes[..., start:end], token_mask[:, start:end]
            logits = model.score_codes(
                in_window.repeat(copies, 1, 1), condition[:, start:end], mask.repeat(copies, 1)
            )[:, level, token].float()
            if copies == 2:
                logits = logits[batch_size:] + guidance_scale * (logits[:batch_size] - logits[batch_size:])
            if copies == 3:
                every, without, none = logits.chunk(3)
                logits = none + guidance_scale * (without - none) + reference_guidance_scale * (every - without)
            if level == 0 and max_code_repeats is not None and token >= max_code_repeats:
                recent = in_window[:, 0, token - max_code_repeats : token]
                for row in (recent == recent[:, :1]).all(dim=1).nonzero()[:, 0].tolist():
                    logits[row, recent[row, 0]] = -float("inf")
            logits = warpers(None, logits) + noise[start + token, level] if do_sample else logits
            codes[:, level, start + token] = logits.argmax(dim=-1)
        done = end
    return codes


@pytest.fixture
def song(make_inputs) -> dict:
    """Three songs of different lengths, the longest of three windows."""
    song = make_inputs(batch_size=3, num_tokens=15, codes=False)
    return song | {"frame_mask": torch.arange(60)[None] < torch.tensor([[60], [42], [7]])}


PATTERNS = ["flat", "delay", "depth"]
OPTIONS = {
    "defaults": {},
    "greedy": {"do_sample": False, "guidance_scale": 1.0},
    "narrow": {"temperature": 0.7, "top_p": 0.6, "guidance_scale": 3.0},
    "others": {"top_k": 5, "min_p": 0.1, "top_p": 0.9, "guidance_scale": 0.5, "temperature": 1.3},
    "narrowest": {"top_p": 0.0},
    "short runs": {"max_code_repeats": 1, "temperature": 0.3, "top_p": 1.0},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("pattern", PATTERNS)
def test_it_writes_the_codes_of_the_plain_path(make_model, placement, pattern, song, options):
    model = make_model(condition_placement=placement, code_pattern=pattern)
    codes = model.generate_codes(**song, seeds=[5, 6, 7], **options)
    if options.get("top_p") == 1.0:
        options = {name: value for name, value in options.items() if name != "top_p"} | {"top_p": 1.0 - 1e-7}
    expected = plain_codes(model, song, [5, 6, 7], **options)
    assert codes.tolist() == expected.tolist()
    assert codes[0].unique().numel() > 3  # no fixed point at which anything would agree


@pytest.mark.parametrize("pattern", PATTERNS)
def test_references_are_guided_on_their_own(make_model, placement, pattern, song):
    model = make_model(condition_placement=placement, code_pattern=pattern)
    scales = {"guidance_scale": 1.5, "reference_guidance_scale": 3.0}
    codes = model.generate_codes(**song, seeds=[5, 6, 7], **scales)
    assert codes.tolist() == plain_codes(model, song, [5, 6, 7], **scales).tolist()
    model.generation_config.reference_guidance_scale = 3.0
    assert model.generate_codes(**song, seeds=[5, 6, 7], guidance_scale=1.5).tolist() == codes.tolist()


def test_a_scale_of_the_references_does_what_it_says(make_model, make_inputs, placement):
    model, song = make_model(condition_placement=placement), make_inputs(batch_size=2, num_tokens=8, codes=False)
    without = {name: tensor for name, tensor in song.items() if name != "reference_features"}
    codes = model.generate_codes(**song, seeds=[0, 1])
    # As strong as all else: two rows as ever. None at all: as if there were none.
    assert model.generate_codes(**song, seeds=[0, 1], reference_guidance_scale=2.0).tolist() == codes.tolist()
    ignored = model.generate_codes(**song, seeds=[0, 1], reference_guidance_scale=0.0)
    assert ignored.tolist() == model.generate_codes(**without, seeds=[0, 1], reference_guidance_scale=4.0).tolist()
    assert ignored.tolist() != codes.tolist()
    ids = model.generate(**song, seeds=[0, 1], reference_guidance_scale=4.0)
    codes = model.generate_codes(**song, seeds=[0, 1], reference_guidance_scale=4.0)
    assert model.ids_to_codes(ids[:, -24:]).tolist() == codes.tolist()
    rows = [model.encode_guided_condition(Conditions(**song), 2.0, scale)[0].shape[0] for scale in (None, 2.0, 4.0)]
    assert rows == [4, 4, 6]


@pytest.mark.parametrize("given", [1, 8, 11])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_it_continues_a_prompt_like_the_plain_path(make_model, placement, pattern, make_inputs, given):
    model = make_model(condition_placement=placement, code_pattern=pattern)
    song = make_inputs(batch_size=2, num_tokens=15)
    prompt = song.pop("motion_codes")[..., :given]
    codes = model.generate_codes(**song, seeds=[0, 1], prompt_codes=prompt)
    assert codes[..., :given].tolist() == prompt.tolist()
    assert codes.tolist() == plain_codes(model, song, [0, 1], prompt).tolist()


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("kind", ["grouped", "half numbers", "large", "qwen3", "adapters"])
def test_backbones_and_weights_of_every_kind_write_the_codes_of_the_plain_path(
    make_model, pattern, song, kind, monkeypatch
):
    backbone = {"backbone_config": QWEN3} if kind == "qwen3" else {}
    model = make_model(code_pattern=pattern, **backbone)
    if kind == "qwen3":
        for layer in model.model.backbone.layers:
            for norm in (layer.self_attn.q_norm, layer.self_attn.k_norm):
                torch.nn.init.uniform_(norm.weight, 0.5, 2.0)
    if kind == "half numbers":
        model = model.half().float()
    if kind == "large":
        monkeypatch.setattr("infinitedance.modeling.choreollama.step_decoder.MAX_COPIED_WEIGHTS", 0)
    before = model.generate_codes(**song, seeds=[5, 6, 7]).tolist()
    if kind == "adapters":
        peft = pytest.importorskip("peft")
        depth = ["code_projection"] if pattern == "depth" else []
        targets = ["q_proj", "v_proj", "o_proj", "gate_proj", "down_proj", *depth]
        peft.inject_adapter_in_model(peft.LoraConfig(r=2, target_modules=targets, init_lora_weights=False), model)
        model.eval()
    codes = model.generate_codes(**song, seeds=[5, 6, 7])
    assert codes.tolist() == plain_codes(model, song, [5, 6, 7]).tolist()
    assert (codes.tolist() != before) == (kind == "adapters")
    is_fast = isinstance(make_decoder(model.model.backbone, 8), StepDecoder)
    assert is_fast == (kind != "qwen3")


def test_the_loop_of_transformers_and_the_fast_one_agree_on_other_backbones(make_model, make_inputs):
    model = make_model(backbone_config=QWEN3)
    song = make_inputs(batch_size=2, codes=False)
    ids = model.generate(**song, seeds=[0, 1])
    assert model.generate_codes(**song, seeds=[0, 1]).tolist() == model.ids_to_codes(ids[:, 1:]).tolist()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_writes_codes_near_those_of_the_plain_path(patterned, make_inputs, dtype):
    patterned = patterned.to(dtype)
    song = make_inputs(batch_size=2, num_tokens=12, codes=False)
    song = {name: tensor.to(dtype) if tensor.is_floating_point() else tensor for name, tensor in song.items()}
    codes = patterned.generate_codes(**song, seeds=[0, 1])
    expected = plain_codes(patterned, song, [0, 1])
    assert codes.min() >= 0 and codes.max() < 8
    # The first codes agree; after the first one that was decided by rounding nothing need.
    assert codes[..., 0].tolist() == expected[..., 0].tolist()


def test_the_same_seed_gives_the_same_dance_in_any_batch(patterned, song):
    options = {"temperature": 0.9, "top_p": 0.95}
    in_batch = patterned.generate_codes(**song, seeds=[5, 6, 7], **options)
    for row, frames in enumerate(song["frame_mask"].sum(dim=1).tolist()):
        alone = patterned.generate_codes(
            song["input_features"][row : row + 1, :frames],
            genre_ids=song["genre_ids"][row : row + 1],
            reference_features=song["reference_features"][row : row + 1, :, :frames],
            seeds=[5 + row],
            **options,
        )
        assert in_batch[row : row + 1, :, : alone.shape[2]].tolist() == alone.tolist()


def test_the_seed_decides_and_neither_the_global_state_nor_the_threads(patterned, make_inputs, monkeypatch):
    song = make_inputs(batch_size=1, num_tokens=3, codes=False)
    codes = [patterned.generate_codes(**song, seeds=[seed]).tolist() for seed in (1, 2)]
    assert codes[0] != codes[1]
    monkeypatch.setattr(generation_choreollama, "_SINGLE_THREAD_HIDDEN_SIZE", 0)
    threads = torch.get_num_threads()
    torch.set_num_threads(3 - min(threads, 2))
    try:
        assert patterned.generate_codes(**song, seeds=[1]).tolist() == codes[0]
    finally:
        torch.set_num_threads(threads)


def test_fewer_tokens_are_the_start_of_more(make_model, make_inputs):
    model, song = make_model(code_pattern="depth"), make_inputs(batch_size=1, num_tokens=12, codes=False)
    codes = model.generate_codes(**song, seeds=[0])
    assert model.generate_codes(**song, seeds=[0], num_tokens=5).tolist() == codes[..., :5].tolist()


def test_the_condition_and_guidance_reach_the_dance(patterned, make_inputs):
    song, other = (make_inputs(batch_size=1, codes=False) for _ in range(2))
    codes = [patterned.generate_codes(**inputs, seeds=[0]).tolist() for inputs in (song, other)]
    assert codes[0] != codes[1]
    codes = [patterned.generate_codes(**inputs, seeds=[0], guidance_scale=0.0).tolist() for inputs in (song, other)]
    assert codes[0] == codes[1]


class Recorder(BaseStreamer):
    def __init__(self):
        self.ids, self.ends = [], 0

    def put(self, value):
        self.ids.append(value)

    def end(self):
        self.ends += 1


@pytest.mark.parametrize("given", [0, 3])
def test_a_streamer_receives_each_new_code_once_token_by_token(patterned, make_inputs, given):
    song, recorder = make_inputs(batch_size=2, num_tokens=13), Recorder()
    prompt = song.pop("motion_codes")[..., :given]
    codes = patterned.generate_codes(**song, seeds=[0, 1], prompt_codes=prompt, streamer=recorder)
    assert torch.stack(recorder.ids, dim=1).tolist() == patterned.codes_to_ids(codes[..., given:]).tolist()
    assert recorder.ends == 1


def test_anti_collapse_ends_a_run_on_level_0_only(patterned, make_inputs):
    torch.nn.init.zeros_(patterned.lm_head.weight)  # the best of equal scores is code 0
    song = make_inputs(batch_size=1, num_tokens=20, codes=False)
    stuck = patterned.generate_codes(**song, seeds=[0], do_sample=False, max_code_repeats=None)
    freed = patterned.generate_codes(**song, seeds=[0], do_sample=False, max_code_repeats=3)
    assert (stuck == 0).all() and (freed[0, 1:] == 0).all()
    assert freed[0, 0].tolist() == [0, 0, 0, 1] * 5


def test_a_saved_model_writes_the_same(patterned, make_inputs, tmp_path):
    patterned.save_pretrained(tmp_path)
    loaded = ChoreoLlamaForConditionalGeneration.from_pretrained(tmp_path)
    song = make_inputs(batch_size=2, codes=False)
    assert (
        loaded.generate_codes(**song, seeds=[0, 1]).tolist() == patterned.generate_codes(**song, seeds=[0, 1]).tolist()
    )


def test_what_needs_one_code_a_step_is_refused(patterned, make_inputs):
    song = make_inputs(batch_size=1, codes=False)
    with pytest.raises(ValueError, match=r"`generate` works one code a step.*`generate_codes`"):
        patterned.generate(**song)
    with pytest.raises(ValueError, match="Scoring `input_ids` works one code a step"):
        patterned(input_ids=torch.zeros(1, 1, dtype=torch.long), condition=torch.zeros(1, 8, 32))
    with pytest.raises(ValueError, match=r"Sampling with \['SequenceBiasLogitsProcessor'\] works one code a step"):
        patterned.generate_codes(**song, seeds=[0], sequence_bias={(0,): 1.0})
    with pytest.raises(ValueError, match="temprature"):
        patterned.generate_codes(**song, seeds=[0], temprature=0.5)
    with pytest.raises(ValueError, match="several dances of a song are several rows"):
        patterned.generate_codes(**song, seeds=[0], num_return_sequences=2)
    with pytest.raises(ValueError, match="one dance a seed"):
        patterned.generate_codes(**song, seeds=[0], guidance_scale=1, generation_config=GenerationConfig(num_beams=2))


def test_a_flat_song_with_other_processors_takes_the_slow_path(make_model, make_inputs, monkeypatch):
    model, song = make_model(), make_inputs(batch_size=2, num_tokens=14, codes=False)
    codes = model.generate_codes(**song, seeds=[0, 1])
    calls, slow = [], generation_choreollama.decode_with_processors

    def record(*args, **kwargs):
        calls.append(kwargs["steps"])
        return slow(*args, **kwargs)

    monkeypatch.setattr(generation_choreollama, "decode_with_processors", record)
    assert model.generate_codes(**song, seeds=[0, 1]).tolist() == codes.tolist() and not calls
    same = model.generate_codes(**song, seeds=[0, 1], sequence_bias={(0,): 0.0})
    assert same.tolist() == codes.tolist() and len(calls) == 3  # windows


def test_layers_that_only_look_like_a_llama_are_called_themselves(make_model):
    backbone = make_model().model.backbone
    assert isinstance(make_decoder(backbone, 8), StepDecoder)
    attention = backbone.layers[1].self_attn
    attention.__class__ = type("OtherAttention", (type(attention),), {})
    assert isinstance(make_decoder(backbone, 8), CachedDecoder)


SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 16,
    "intermediate_size": 48,
}
LIKE_LLAMA = {
    "sliding windows": {"model_type": "mistral", "sliding_window": 4},
    "biased queries": {"model_type": "qwen2"},
    "capped scores": {"model_type": "gemma2", "sliding_window": 4, "query_pre_attn_scalar": 16},
    "biases and another activation": {"attention_bias": True, "mlp_bias": True, "hidden_act": "gelu"},
    "partly turned": {
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5}
    },
}


@pytest.mark.parametrize("fields", LIKE_LLAMA.values(), ids=LIKE_LLAMA)
def test_backbones_like_llama_write_the_codes_of_transformers(make_model, make_inputs, fields):
    model = make_model(backbone_config=SIZES | fields)
    torch.manual_seed(1)
    for name, parameter in model.model.backbone.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter)
    song = make_inputs(batch_size=2, codes=False)
    ids = model.generate(**song, seeds=[0, 1])
    assert model.generate_codes(**song, seeds=[0, 1]).tolist() == model.ids_to_codes(ids[:, 1:]).tolist()


@pytest.mark.parametrize("is_packed", [True, False])
def test_weights_of_8_bits_take_the_fast_path(patterned, make_inputs, is_packed, monkeypatch):
    if not is_packed:
        monkeypatch.setattr("infinitedance.utils.quantization._packed_product", lambda *_: None)
    song = make_inputs(batch_size=2, num_tokens=12, codes=False)
    before = patterned.generate_codes(**song, seeds=[0, 1])
    quantize_linears(patterned, patterned._modules_not_quantized)
    assert isinstance(make_decoder(patterned.model.backbone, 8), StepDecoder)
    codes = patterned.generate_codes(**song, seeds=[0, 1])
    assert (codes == before)[..., :4].float().mean() > 0.7  # most of the first; later ones read those before them
    assert torch.equal(patterned.generate_codes(**song, seeds=[0, 1]), codes)
