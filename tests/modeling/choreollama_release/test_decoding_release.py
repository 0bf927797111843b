"""Decoding with the released generator: whole songs, the sampler, and what compat leaves out."""

from dataclasses import replace

import pytest
import torch

from infinitedance.modeling.choreollama_release.decoding_release import (
    RELEASE_SETTINGS,
    candidates_of_level,
    generate_compat,
    generate_whole,
    num_motion_frames,
    whole_windows,
)

GREEDY = replace(
    RELEASE_SETTINGS["A"],
    top_k=1,
    repetition_penalty=1.0,
    max_repeats=999,
    max_repeats_other=999,
    ngram_size=0,
    temperature_boost=1.0,
)
PLAIN = {
    "temperature": 1.0,
    "top_k": 8,
    "top_p": 1.0,
    "repetition_penalty": 1.0,
    "max_repeats": 99,
    "ngram_size": 0,
}


@pytest.fixture(scope="module")
def small_model(make_release_model):
    """A model whose window is 1.6 s: 48 frames of motion, 40 of music, 12 tokens; what it reads matters to it."""
    model = make_release_model(condition_frames=48, music_frames=40)
    with torch.no_grad():
        for part in (model.llama, model.dance_bridge, model.music_bridge):
            for weight in part.parameters():
                weight.mul_(10.0 if weight.ndim == 2 else 1.0)
    return model


def song(model, num_frames: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(num_frames, model.config.music_dim, generator=generator)


@pytest.mark.parametrize("num_frames", [1, 7, 39, 40, 41, 43, 60, 61, 97, 100])
def test_a_whole_song_is_danced_to_its_last_frame(num_frames, small_model):
    counts: list[tuple[int, int]] = []
    ids = generate_whole(
        small_model, song(small_model, num_frames), 2, on_progress=lambda *count: counts.append(count)
    )
    num_motion = round(30 * num_frames / 25)
    assert num_motion_frames(small_model, num_frames) == num_motion
    assert len(ids) == 3 * -(-num_motion // 4)
    assert counts == [(k + 1, len(ids)) for k in range(len(ids))]  # no id is written twice
    features = small_model.codec.decode(small_model.ids_to_codes(ids[None]))
    assert num_motion <= features.shape[1] < num_motion + 4


@pytest.mark.parametrize("num_frames", [320, 321, 323, 480, 481, 533, 750, 1024, 4500])
def test_the_windows_of_a_whole_song_leave_no_gap(num_frames, release_model):
    starts = whole_windows(release_model, num_frames)
    num_tokens = -(-num_motion_frames(release_model, num_frames) // 4)
    assert starts[0] == 0 and starts[-1] + 96 == num_tokens
    steps = [later - earlier for earlier, later in zip(starts, starts[1:], strict=False)]
    assert all(step == 48 for step in steps[:-1]) and all(0 < step <= 48 for step in steps)


def test_references_are_asked_for_at_the_time_of_each_window(release_model):
    asked: list[int] = []
    generate_whole(release_model, song(release_model, 521), 0, lambda frame: asked.append(frame), settings=GREEDY)
    assert asked == [0, 192, 4 * (157 - 96)]  # 521 frames of music are 625 of motion, 157 tokens


def test_a_window_hears_its_own_music(small_model, monkeypatch):
    num_frames = 103
    heard: list[torch.Tensor] = []
    encode = small_model.encode_condition

    def encode_and_note(music, *others):
        heard.append(music[0, :, 0])
        return encode(music, *others)

    monkeypatch.setattr(small_model, "encode_condition", encode_and_note)
    music = song(small_model, num_frames)
    music[:, 0] = torch.arange(num_frames)
    generate_whole(small_model, music, 0, settings=GREEDY)
    for start, frames in zip(whole_windows(small_model, num_frames), heard, strict=True):
        exact = start * 4 / 30 * 25 + torch.arange(40)
        assert (frames - exact)[frames < num_frames - 1].abs().max() <= 0.5
        assert frames[0] + 40 <= num_frames + 3


def test_a_song_shorter_than_a_window_is_heard_again(small_model):
    short = song(small_model, 15)
    ids = generate_whole(small_model, short, 1)
    repeated = generate_whole(small_model, torch.cat([short, short, short])[:40], 1)
    assert torch.equal(ids, repeated[: len(ids)])


@pytest.mark.parametrize("num_frames", [40, 97])
@torch.no_grad()
def test_every_id_is_what_the_model_scores_best_after_those_before_it(num_frames, small_model, generator):
    """The stream equals a plain forward pass over each window, read without any cache."""
    music = song(small_model, num_frames)
    conditions = {4 * start: torch.randn(48, 264, generator=generator) for start in whole_windows(small_model, 97)}
    ids = generate_whole(small_model, music, 3, conditions.__getitem__, settings=GREEDY)
    starts, written = whole_windows(small_model, num_frames), 0
    padded = torch.cat([music, music[-1:].expand(40, -1)])
    for start in starts:
        first = round(start * 10 / 3)
        window = ids[3 * start : 3 * (start + 12)][None]
        logits = small_model(
            padded[None, first : first + 40], torch.tensor([3]), conditions[4 * start][None], window
        ).logits[0, :-1]
        place = torch.arange(len(logits))
        own = torch.stack([logits[k, 4096 + k % 3 * 32 : 4096 + (k % 3 + 1) * 32] for k in range(len(logits))])
        best = own.argmax(-1) + 4096 + place % 3 * 32
        new = slice(written - 3 * start, None)
        assert torch.equal(best[new], window[0, new])
        written = 3 * start + window.shape[1]
    assert written == len(ids)


def test_the_sampler_remembers_across_windows(small_model):
    never_again = replace(RELEASE_SETTINGS["A"], max_repeats=1, max_repeats_other=1)  # in 6 tokens, half a window
    codes = small_model.ids_to_codes(generate_whole(small_model, song(small_model, 97), 0, settings=never_again)[None])
    for level in codes[0].T:
        assert all(len(set(run.tolist())) == 7 for run in level.unfold(0, 7, 1))


def test_a_dance_follows_from_its_seed(small_model):
    music = song(small_model, 60)
    ids = generate_whole(small_model, music, 0, seed=5)
    assert torch.equal(ids, generate_whole(small_model, music, 0, seed=5))
    assert not torch.equal(ids, generate_whole(small_model, music, 0, seed=6))
    torch.manual_seed(5)
    drawn = torch.rand(1)
    torch.manual_seed(5)
    generate_whole(small_model, music, 0, seed=5)
    assert torch.equal(torch.rand(1), drawn)  # the global generator is left alone


def test_no_references_are_references_of_zeros(small_model):
    music = song(small_model, 60)
    zeros = generate_whole(small_model, music, 0, lambda frame: torch.zeros(48, 264))
    assert torch.equal(generate_whole(small_model, music, 0), zeros)
    other = generate_whole(small_model, music, 0, lambda frame: torch.ones(48, 264))
    assert not torch.equal(other, zeros)


def test_a_model_in_bfloat16_dances(make_release_model):
    model = make_release_model(condition_frames=48, music_frames=40).to(torch.bfloat16)
    model.codec.float()
    ids = generate_whole(model, song(model, 50), 0)
    assert len(ids) == 45
    assert model.ids_to_codes(ids[None]).shape == (1, 15, 3)


def test_compat_begins_with_the_given_dance_and_leaves_the_tail_out(release_model):
    config = release_model.config
    prefix = release_model.codes_to_ids(torch.arange(120).view(1, 40, 3) % config.num_codes)[0]
    music = song(release_model, 600)  # 720 frames of motion, 540 ids
    ids = generate_compat(release_model, music, 0, prefix_ids=prefix, settings="B", seed=1)
    assert len(ids) == 480
    assert torch.equal(ids[:60], prefix[:60])
    assert not torch.equal(ids[60:120], prefix[60:120])
    assert release_model.ids_to_codes(ids[None]).shape == (1, 160, 3)
    free = generate_compat(release_model, music[:320], 0, settings="B", seed=1)
    assert len(free) == 288


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"music": torch.zeros(50, 4)}, "`music` must have shape"),
        ({"music": torch.zeros(0, 5)}, "`music` must have shape"),
        ({"style_id": 6}, "`style_id` must lie in"),
        ({"settings": "C"}, "`settings` must be one of A, B"),
        ({"condition_at": lambda frame: torch.zeros(47, 264)}, "`reference_condition` must have shape"),
    ],
)
def test_what_cannot_be_danced_is_refused(arguments, message, small_model):
    with pytest.raises(ValueError, match=message):
        generate_whole(small_model, **{"music": torch.zeros(50, 5), "style_id": 0, **arguments})


def test_a_prefix_that_is_no_dance_is_refused(release_model):
    music = song(release_model, 320)
    for prefix in (torch.arange(60), torch.tensor([4096, 4096 + 32])):
        with pytest.raises(ValueError, match="`dance_ids` must be"):
            generate_compat(release_model, music, 0, prefix_ids=prefix)


def chosen(logits, history=(), **fields) -> dict[int, float]:
    scores = torch.tensor(logits)
    codes, probabilities = candidates_of_level(scores, list(history), **{**PLAIN, **fields})
    torch.testing.assert_close(scores, torch.tensor(logits))  # the caller's logits are left alone
    pairs = zip(codes.tolist(), probabilities.tolist(), strict=True)
    return {code: pytest.approx(share) for code, share in pairs if share > 0}


LOG = [2.0794415, 1.3862944, 0.6931472, 0.6931472]
"""Logarithms of 8, 4, 2, 2: shares of 1/2, 1/4, 1/8, 1/8."""


def test_candidates_have_their_share_and_come_in_order():
    assert chosen(LOG) == {0: 0.5, 1: 0.25, 2: 0.125, 3: 0.125}
    assert chosen(LOG, top_k=2) == {0: 2 / 3, 1: 1 / 3}
    assert chosen(LOG, temperature=0.5, top_k=2) == {0: 0.8, 1: 0.2}
    assert list(chosen(LOG[::-1]))[:2] == [3, 2]


def test_the_nucleus_is_of_the_best_that_were_kept():
    assert chosen(LOG, top_p=0.4) == {0: 1.0}
    assert chosen(LOG, top_p=0.6) == {0: 2 / 3, 1: 1 / 3}
    assert chosen(LOG, top_k=2, top_p=0.6) == {0: 1.0}  # 2/3 of two, 1/2 of four


def test_what_was_written_lately_is_less_likely():
    assert chosen([1.0, 1.0], [0], repetition_penalty=2.0) == chosen([0.5, 1.0])
    assert chosen([-1.0, -1.0], [0], repetition_penalty=2.0) == chosen([-2.0, -1.0])
    assert chosen([1.0, 1.0], [0] + [1] * 30, repetition_penalty=2.0) == chosen([1.0, 0.5])  # 31 codes ago
    assert chosen([1.0, 1.0], [0], repetition_penalty=2.0, temperature=0.5) == chosen([1.0, 2.0])


def test_a_code_that_came_too_often_is_banned():
    often = [0, 1, 0, 1, 0]
    assert chosen(LOG[:2], often, max_repeats=4) == chosen(LOG[:2])
    assert chosen(LOG[:2], often, max_repeats=3) == {1: 1.0}
    last_eight = [0, 0, 0, 1, 1, 2, 2, 3]
    assert chosen(LOG, last_eight, max_repeats=3) == {1: 0.5, 2: 0.25, 3: 0.25}
    assert chosen(LOG, [*last_eight, 3], max_repeats=3) == chosen(LOG)


def test_no_run_of_codes_comes_twice():
    assert chosen(LOG, [0, 1, 2, 3, 0, 1], ngram_size=3) == chosen([LOG[0], LOG[1], -99.0, LOG[3]])
    assert chosen(LOG, [0, 1, 2, 3, 0, 1], ngram_size=4) == chosen(LOG)
    assert chosen(LOG, [0, 1], ngram_size=3) == chosen(LOG)
    assert chosen(LOG, [2, 2], ngram_size=2) == chosen([LOG[0], LOG[1], -99.0, LOG[3]])


def test_only_level_0_is_warmed_up_and_kept_from_repeating_runs():
    sampler = replace(RELEASE_SETTINGS["A"], temperature=1.0, top_p=1.0, repetition_penalty=1.0, max_repeats=99)
    stuck, logits = [0, 0, 1, 1, 0, 1], torch.tensor(LOG)
    warm = sampler.candidates(logits, stuck, 0)[1]
    torch.testing.assert_close(warm, (logits / 1.8).softmax(-1))
    torch.testing.assert_close(sampler.candidates(logits, stuck, 1)[1], logits.softmax(-1))
    torch.testing.assert_close(sampler.candidates(logits, stuck[1:], 0)[1], logits.softmax(-1))
    run = [0, 1, 2, 3, 1, 0, 1, 2, 3]  # after 0 1 2 3 comes 1
    assert sampler.candidates(logits, run, 0)[1].count_nonzero() == 3
    assert sampler.candidates(logits, run, 1)[1].count_nonzero() == 4


def test_the_two_settings_are_the_documented_ones():
    names = ("repetition_penalty", "max_repeats", "max_repeats_other", "ngram_size", "temperature_boost")
    assert [getattr(RELEASE_SETTINGS["A"], name) for name in names] == [1.2, 8, 16, 5, 1.8]
    assert [getattr(RELEASE_SETTINGS["B"], name) for name in names] == [1.15, 12, 20, 4, 1.5]
    for sampler in RELEASE_SETTINGS.values():
        assert (sampler.temperature, sampler.top_k, sampler.top_p) == (0.8, 15, 0.95)
