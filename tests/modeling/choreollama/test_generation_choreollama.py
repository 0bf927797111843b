import pytest
import torch
from transformers import GenerationConfig
from transformers.generation import BaseStreamer

from infinitedance.modeling.choreollama.code_writer import CodeWriter
from infinitedance.modeling.choreollama.input_ids import prepend_start
from infinitedance.modeling.choreollama.logits_processors import (
    AntiCollapseLogitsProcessor,
    CodeSlotLogitsProcessor,
    ConditionGuidanceLogitsProcessor,
    SeededGumbelLogitsProcessor,
)

INFINITY = float("inf")


class TestProcessors:
    @pytest.mark.parametrize("last, level", [(6, 0), (7, 0), (5, 0), (0, 1), (1, 1), (2, 2), (3, 2), (4, 0)])
    def test_only_the_level_whose_turn_it_is_stays(self, last, level):
        # Ids 0 to 5 are 2 codes of each of 3 levels, 6 is the start id, 7 the placeholder.
        scores = CodeSlotLogitsProcessor(3, 2)(torch.tensor([[6, last]]), torch.zeros(1, 8))
        assert [index for index in range(8) if scores[0, index] > -INFINITY] == [2 * level, 2 * level + 1]
        torch.testing.assert_close(scores.exp().sum(), torch.tensor(1.0))

    @pytest.mark.parametrize(
        "history, is_banned",
        [
            ([6, 1, 2, 4, 1, 3, 5, 1, 2, 4], True),
            ([6, 1, 2, 4, 0, 3, 5, 1, 2, 4], False),  # the run was interrupted
            ([6, 1, 2, 4, 1, 2, 4], False),  # too short
            ([6, 1, 2, 4, 1, 3, 5, 1, 2, 4, 1], False),  # level 1 is next
            ([1, 2, 4, 1, 3, 5, 1, 2, 4], True),
        ],
    )
    def test_a_code_is_banned_when_it_has_filled_three_tokens(self, history, is_banned):
        scores = AntiCollapseLogitsProcessor(3, 3, 2)(torch.tensor([history]), torch.zeros(1, 8))
        assert [index for index in range(8) if scores[0, index] == -INFINITY] == ([1] if is_banned else [])

    def test_higher_levels_may_repeat_for_ever(self):
        history = torch.tensor([[0, 2, 4] * 5 + [0]])
        assert (AntiCollapseLogitsProcessor(3, 3, 2)(history, torch.zeros(1, 8)) == 0).all()

    def test_guidance_moves_away_from_the_unconditional_scores(self):
        scores = torch.tensor([[3.0, 1.0], [1.0, 2.0]])
        for scale, expected in ((0.0, [1.0, 2.0]), (1.0, [3.0, 1.0]), (2.0, [5.0, 0.0])):
            assert ConditionGuidanceLogitsProcessor(scale)(torch.tensor([[0]]), scores).tolist() == [expected]

    def test_seeded_samples_follow_the_distribution(self):
        probabilities = torch.tensor([0.5, 0.3, 0.2, 0.0])
        scores = probabilities.log().expand(2000, -1)
        chosen = SeededGumbelLogitsProcessor(range(2000))(torch.zeros(2000, 1), scores)
        torch.testing.assert_close((chosen == 0).double().mean(dim=0), probabilities.double(), atol=0.04, rtol=0)
        assert ((chosen == 0).sum(dim=1) == 1).all()


class Recorder(BaseStreamer):
    def __init__(self):
        self.ids, self.ends = [], 0

    def put(self, value):
        self.ids.append(value)

    def end(self):
        self.ends += 1


class TestGenerateCodes:
    def test_codes_cover_the_song_and_lie_in_range(self, model, make_inputs):
        for frames, num_tokens in ((1, 1), (4, 1), (30, 8), (33, 9), (77, 20)):
            codes = model.generate_codes(torch.randn(1, frames, 6), seeds=[0])
            assert codes.shape == (1, 3, num_tokens)
            assert codes.min() >= 0 and codes.max() < 8

    def test_the_same_seed_gives_the_same_dance_in_any_batch(self, model, make_inputs):
        lengths = [76, 50, 22, 22, 6]
        song = make_inputs(batch_size=len(lengths), num_tokens=19, codes=False)
        frame_mask = torch.arange(76)[None] < torch.tensor(lengths)[:, None]
        options = {"temperature": 0.9, "top_p": 0.95}
        in_batch = model.generate_codes(**song, frame_mask=frame_mask, seeds=[5, 6, 7, 8, 9], **options)
        for row, frames in enumerate(lengths):
            alone = model.generate_codes(
                song["input_features"][row : row + 1, :frames],
                genre_ids=song["genre_ids"][row : row + 1],
                reference_features=song["reference_features"][row : row + 1, :, :frames],
                seeds=[5 + row],
                **options,
            )
            assert in_batch[row : row + 1, :, : alone.shape[2]].tolist() == alone.tolist()

    def test_another_seed_gives_another_dance_and_the_global_state_does_not_matter(self, model, make_inputs):
        song = make_inputs(batch_size=1, codes=False)
        codes = [model.generate_codes(**song, seeds=[seed]) for seed in (1, 2, 1)]
        assert (codes[0] == codes[2]).all() and (codes[0] != codes[1]).any()

    @pytest.mark.parametrize("use_cache", [True, False])
    def test_it_takes_the_codes_that_the_loop_of_transformers_takes(self, model, make_inputs, use_cache):
        song = make_inputs(batch_size=2, codes=False)
        ids = model.generate(**song, seeds=[0, 1], use_cache=use_cache)
        num_codes = ids.shape[1] - (ids == model.config.music_token_id).sum(dim=1).max() - 1
        assert model.generate_codes(**song, seeds=[0, 1]).tolist() == model.ids_to_codes(ids[:, -num_codes:]).tolist()

    def test_greedy_generation_takes_the_best_code_of_the_training_forward(self, model, make_inputs):
        song = make_inputs(batch_size=2, codes=False)
        ids = model.generate(**song, do_sample=False, guidance_scale=1, max_code_repeats=None)
        codes = model.ids_to_codes(ids[:, -24:])
        assert model(**song, motion_codes=codes).logits.argmax(dim=-1).tolist() == codes.tolist()

    def test_long_songs_continue_each_window_from_the_second_half_of_the_last(self, model, make_inputs, monkeypatch):
        song, windows, write = make_inputs(batch_size=2, num_tokens=14, codes=False), [], CodeWriter.write

        def record(writer, code_ids, num_tokens, condition, token_mask):
            windows.append((code_ids, num_tokens, condition))
            return write(writer, code_ids, num_tokens, condition, token_mask)

        monkeypatch.setattr(CodeWriter, "write", record)
        codes = model.generate_codes(**song, seeds=[0, 1], guidance_scale=None)
        whole = model.encode_condition(**song).condition
        expected = ((0, 0, 8), (4, 8, 12), (8, 12, 14))
        for (ids, num_tokens, condition), (start, done, end) in zip(windows, expected, strict=True):
            assert ids.flatten(1).tolist() == model.codes_to_ids(codes[..., start:done]).tolist()
            assert num_tokens == end - start
            torch.testing.assert_close(condition, whole[:, start:end], atol=1e-4, rtol=1e-4)

    def test_guidance_of_one_equals_no_guidance(self, model, make_inputs):
        song = make_inputs(batch_size=1, num_tokens=10, codes=False)
        plain = model.generate_codes(**song, seeds=[0], guidance_scale=None)
        assert model.generate_codes(**song, seeds=[0], guidance_scale=1.0).tolist() == plain.tolist()
        # Just beside 1 the doubled rows are computed.
        assert model.generate_codes(**song, seeds=[0], guidance_scale=1.0 + 1e-6).tolist() == plain.tolist()
        assert model.generate_codes(**song, seeds=[0], guidance_scale=3.0).tolist() != plain.tolist()

    def test_guidance_of_zero_ignores_every_condition(self, model, make_inputs):
        songs = [make_inputs(batch_size=1, num_tokens=10, codes=False) for _ in range(2)]
        codes = [model.generate_codes(**song, seeds=[0], guidance_scale=0.0) for song in songs]
        assert codes[0].tolist() == codes[1].tolist()

    @pytest.mark.parametrize("given", [1, 8, 11])
    def test_a_prompt_is_kept_and_continued(self, model, make_inputs, given):
        song = make_inputs(batch_size=2, num_tokens=12)
        prompt = song.pop("motion_codes")[..., :given]
        codes = model.generate_codes(**song, seeds=[0, 1], prompt_codes=prompt)
        assert codes.shape == (2, 3, 12) and (codes[..., :given] == prompt).all()

    def test_fewer_tokens_are_the_start_of_more(self, make_model, make_inputs):
        model, song = make_model(), make_inputs(batch_size=1, num_tokens=12, codes=False)
        codes = model.generate_codes(**song, seeds=[0])
        assert model.generate_codes(**song, seeds=[0], num_tokens=5).tolist() == codes[..., :5].tolist()

    def test_a_streamer_receives_each_new_code_once(self, model, make_inputs):
        song, recorder = make_inputs(batch_size=1, num_tokens=13, codes=False), Recorder()
        codes = model.generate_codes(**song, seeds=[0], streamer=recorder)
        assert torch.stack(recorder.ids, dim=1).tolist() == model.codes_to_ids(codes).tolist()
        assert recorder.ends == 1

    def test_anti_collapse_ends_a_run(self, make_model, make_inputs):
        model, song = make_model(), make_inputs(batch_size=1, num_tokens=20, codes=False)
        always_code_0 = {(level * 8,): 100.0 for level in range(3)}
        greedy = {"do_sample": False, "sequence_bias": always_code_0}
        stuck = model.generate_codes(**song, seeds=[0], max_code_repeats=None, **greedy)
        freed = model.generate_codes(**song, seeds=[0], max_code_repeats=3, **greedy)
        assert (stuck == 0).all()
        assert longest_run(freed[0, 0]) == 3 and (freed[0, 1:] == 0).all()

    def test_the_condition_reaches_the_dance(self, model, make_inputs):
        song, other = (make_inputs(batch_size=1, codes=False) for _ in range(2))
        codes = [model.generate_codes(**inputs, seeds=[0]).tolist() for inputs in (song, other)]
        assert codes[0] != codes[1]


def longest_run(codes: torch.Tensor) -> int:
    lengths, length = [1], 1
    for before, after in zip(codes[:-1].tolist(), codes[1:].tolist(), strict=True):
        length = length + 1 if before == after else 1
        lengths.append(length)
    return max(lengths)


class TestGenerate:
    def test_a_given_generation_configuration_fills_up_with_the_defaults_of_the_model(self, model, make_inputs):
        song = make_inputs(batch_size=2, codes=False)
        given = model.generate(**song, seeds=[0, 1], generation_config=GenerationConfig(max_new_tokens=9))
        assert given.tolist() == model.generate(**song, seeds=[0, 1])[:, : given.shape[1]].tolist()
        assert given.shape[1] == model.generate(**song, max_new_tokens=9).shape[1]

    def test_sampling_without_seeds_follows_the_global_state(self, model, make_inputs):
        song = make_inputs(batch_size=2, codes=False)
        dances = []
        for seed in (0, 0, 1):
            torch.manual_seed(seed)
            dances.append(model.generate(**song).tolist())
        assert dances[0] == dances[1] != dances[2]

    def test_beams_find_a_likelier_dance_than_greedy_search(self, model, make_inputs):
        song = make_inputs(batch_size=2, num_tokens=4, codes=False)
        options = {"do_sample": False, "guidance_scale": 1, "max_code_repeats": None}
        scores = []
        for num_beams in (1, 8):
            ids = model.generate(**song, num_beams=num_beams, **options)
            codes = model.ids_to_codes(ids[:, -12:])
            scores.append(-model(**song, motion_codes=codes, labels=codes).loss_per_level.sum())
        assert scores[1] >= scores[0] - 1e-5

    def test_several_dances_of_one_song(self, model, make_inputs):
        song = make_inputs(batch_size=2, codes=False)
        several = model.generate(**song, num_return_sequences=3, seeds=[0, 1, 2, 3, 4, 5])
        assert several.shape[0] == 6 and len({tuple(row) for row in several.tolist()}) == 6
        one = model.generate(**{name: tensor[1:] for name, tensor in song.items()}, seeds=[5])
        assert one.tolist() == several[5:].tolist()


INVALID = [
    ({"seeds": [0]}, "one seed a song, got 1 for 2 songs"),
    ({"num_tokens": 9}, r"`num_tokens` must lie in \[1, 8\]"),
    ({"num_tokens": 0}, r"`num_tokens` must lie in \[1, 8\]"),
    ({"input_features": torch.full((2, 32, 6), float("nan"))}, "must be finite"),
    ({"prompt_codes": torch.full((2, 3, 2), 8)}, r"must lie in \[0, 8\)"),
    ({"temprature": 0.5}, "temprature"),
    ({"num_beams": 2}, "one dance a seed"),
]


@pytest.mark.parametrize("changes, message", INVALID)
def test_requests_that_do_not_fit_are_refused(make_model, make_inputs, changes, message):
    with pytest.raises(ValueError, match=message):
        make_model().generate_codes(**{**make_inputs(codes=False), "seeds": [0, 1], **changes})


def test_windows_that_do_not_fit_are_refused(make_model, make_inputs):
    model, song = make_model(), make_inputs(codes=False)
    condition = model.encode_condition(**song).condition
    with pytest.raises(ValueError, match="must have 4 rows for 2 rows of ids"):
        model.generate(prepend_start(model.config, torch.zeros(2, 0, dtype=torch.long), 8), condition=condition)
    with pytest.raises(ValueError, match="room for 24 more, got max_new_tokens=25"):
        model.generate(**song, max_new_tokens=25)
    with pytest.raises(ValueError, match="window of 9 tokens"):
        model.generate(**make_inputs(num_tokens=9, codes=False))
    with pytest.raises(ValueError, match="Beam search does not work with guidance"):
        model.generate(**song, num_beams=2)
    with pytest.raises(ValueError, match="Beam search does not work with guidance"):
        model.generate(**song, generation_config=GenerationConfig(num_beams=2))
    with pytest.raises(ValueError, match="takes no `attention_mask`"):
        model.generate(**song, attention_mask=torch.ones(2, 1))
    with pytest.raises(ValueError, match="Give the music"):
        model.generate()


def test_a_long_song_is_encoded_no_further_than_its_codes_go(make_model, make_inputs, monkeypatch):
    monkeypatch.setattr("infinitedance.modeling.choreollama.modeling_choreollama._MAX_STRETCHES", 1)
    model = make_model(code_pattern="depth", depth_hidden_size=8)
    song = make_inputs(batch_size=1, num_tokens=40, codes=False)
    encoded = []
    hook = model.model.cadence_moe.register_forward_hook(lambda *call: encoded.append(call[-1][0].shape[1]))
    some = model.generate_codes(**song, seeds=[0], num_tokens=10)
    few, encoded[:] = len(encoded), []
    every = model.generate_codes(**song, seeds=[0])
    hook.remove()
    assert (few, len(encoded)) == (4, 10)  # two of five stretches of 8 tokens, with and without conditions
    assert some.tolist() == every[..., :10].tolist()
    monkeypatch.setattr("infinitedance.modeling.choreollama.modeling_choreollama._MAX_STRETCHES", 32)
    assert model.generate_codes(**song, seeds=[0]).tolist() == every.tolist()
