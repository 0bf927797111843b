"""Write the dance of a song with the released generator: as the release does, and as a whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from ..choreollama.step_decoder import make_decoder
from .modeling_choreollama_release import ChoreoLlamaReleaseModel

COMPAT_OVERLAP, COMPAT_PREFIX = 96, 60
"""Ids that the release's windows share, and how many of them the next window is given."""
Progress = Callable[[int, int], None]
"""Called after each id with how many there are, and how many there will be."""
_PENALTY_REACH, _BOOST_REACH, _BOOST_DISTINCT, _REPEATS_REACH = 30, 6, 2, 5


@dataclass(frozen=True)
class ReleaseSampler:
    """How an id is chosen; the fields but the names in capitals of the release.

    Args:
        temperature: Divides the logits.
        top_k: Candidates.
        top_p: Probability that the kept candidates reach together.
        repetition_penalty: SAFE_REP_PENALTY: divides positive logits, and multiplies negative ones, of the ids that
            the level has had in its last 30 tokens.
        max_repeats: SAFE_MAX_REP_S0: an id of level 0 that is this often among the last `max_repeats + 5` is banned.
        max_repeats_other: SAFE_MAX_REP_OTHER: the same for the other levels.
        ngram_size: SAFE_NGRAM_S0: no such run of ids of level 0 comes twice; 0 = off.
        temperature_boost: SAFE_TEMP_BOOST: multiplies the temperature of level 0 where its last 6 ids have at most two
            values.
    """

    temperature: float = 0.8
    top_k: int = 15
    top_p: float = 0.95
    repetition_penalty: float = 1.2
    max_repeats: int = 8
    max_repeats_other: int = 16
    ngram_size: int = 5
    temperature_boost: float = 1.8

    def candidates(self, logits: torch.Tensor, history: list[int], level: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the codes that may come next and their probabilities, the likeliest first.

        Args:
            logits: `(num_codes,)`, those of the level.
            history: Codes of this level so far, the last one last.
            level: Of the quantizer.

        Returns:
            Codes `(candidates,)`, int64, and probabilities `(candidates,)`, which sum to 1.
        """
        temperature = self.temperature
        if level == 0 and len(history) >= _BOOST_REACH and len(set(history[-_BOOST_REACH:])) <= _BOOST_DISTINCT:
            temperature *= self.temperature_boost
        return candidates_of_level(
            logits,
            history,
            temperature=temperature,
            top_k=self.top_k,
            top_p=self.top_p,
            repetition_penalty=self.repetition_penalty,
            max_repeats=self.max_repeats if level == 0 else self.max_repeats_other,
            ngram_size=self.ngram_size if level == 0 else 0,
        )


RELEASE_SETTINGS = {
    "A": ReleaseSampler(),
    "B": ReleaseSampler(
        repetition_penalty=1.15, max_repeats=12, max_repeats_other=20, ngram_size=4, temperature_boost=1.5
    ),
}
"""The two documented ways of running the release: A is its script `infer.sh`, B what its code does by itself."""


def candidates_of_level(
    logits: torch.Tensor,
    history: list[int],
    *,
    temperature: float,
    top_k: int,
    top_p: float,
    repetition_penalty: float,
    max_repeats: int,
    ngram_size: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the codes of one level that may come next and their probabilities; see [`ReleaseSampler`]."""
    scores = logits.float() / temperature
    seen = sorted(set(history[-_PENALTY_REACH:]))
    penalized = scores[seen]
    scores[seen] = torch.where(penalized > 0, penalized / repetition_penalty, penalized * repetition_penalty)
    recent = history[-(max_repeats + _REPEATS_REACH) :]
    banned = {code for code in set(recent) if recent.count(code) >= max_repeats}
    if ngram_size > 0 and len(history) >= ngram_size:
        context = history[len(history) - ngram_size + 1 :]
        banned |= {
            history[end]
            for end in range(ngram_size - 1, len(history))
            if history[end - ngram_size + 1 : end] == context
        }
    scores[sorted(banned)] = -torch.inf
    scores, codes = scores.topk(min(top_k, len(scores)))
    probabilities = scores.softmax(dim=-1)
    # The likeliest is kept, and each whose more likely ones do not reach `top_p` by themselves.
    is_kept = probabilities.cumsum(dim=-1) - probabilities < top_p
    probabilities = probabilities * is_kept
    return codes, probabilities / probabilities.sum()


@torch.no_grad()
def generate_compat(
    model: ChoreoLlamaReleaseModel,
    music: torch.Tensor,
    style_id: int,
    condition_of: Callable[[int], torch.Tensor] | None = None,
    prefix_ids: torch.Tensor | None = None,
    *,
    settings: str | ReleaseSampler = "A",
    seed: int = 0,
    on_progress: Progress | None = None,
) -> torch.Tensor:
    """Write a dance as the release does, with its defects: for comparisons.

    The dance begins with a copy of 60 ids of a retrieved clip. Windows of 288 ids overlap by 96, of which the next
    window is given 60; it writes the other 36 again, and they are thrown away, so that there is a seam every 8.53 s.
    What is left of the song behind the last whole window, up to 8.5 s, has no dance. The retrieved dances of a window
    are those of half its time.

    Args:
        model: The generator, in evaluation mode.
        music: `(frames, music_dim)`, at 25 Hz.
        style_id: Index of the style.
        condition_of: Returns the normalized condition `(condition_frames, condition_dim)` of an entry of the
            release's retrieval cache, whose entries are 192 frames of motion apart; without it, zeros.
        prefix_ids: Dance ids `(num_ids,)` of the best clip of entry 0, of which the first 60 are used; none to write
            the dance from its beginning.
        settings: `"A"`, `"B"` or a sampler.
        seed: Of the random choices.
        on_progress: See `Progress`.

    Returns:
        Dance ids, `(num_ids,)`, int64, on the CPU.

    Raises:
        ValueError: If a shape, an id or a setting is wrong.
    """
    writer = _WindowWriter(model, music, style_id, settings, seed)
    window, windows = writer.window, compat_windows(model, len(music))
    total = window + (len(windows) - 1) * (window - COMPAT_OVERLAP)
    written: list[int] = [] if prefix_ids is None else writer.places_of(prefix_ids[:COMPAT_PREFIX])
    for music_start, entry in windows:
        is_first = not music_start
        prefix = written if is_first else written[-COMPAT_OVERLAP:][:COMPAT_PREFIX]
        writer.begin(music_start, None if condition_of is None else condition_of(entry), prefix, [])
        new = writer.write(window - len(prefix), _shifted(on_progress, len(written), total))
        written += new if is_first else new[COMPAT_OVERLAP - COMPAT_PREFIX :]
    return writer.ids_of(written)


def compat_windows(model: ChoreoLlamaReleaseModel, num_frames: int) -> list[tuple[int, int]]:
    """Return the release's windows of a song: first frame of music, and entry of the retrieval cache.

    Args:
        model: The generator.
        num_frames: Frames of music.
    """
    config = model.config
    window, frames = config.window_tokens, config.music_frames
    stride = window - COMPAT_OVERLAP
    num_windows = max(1, (num_frames * window // frames - window) // stride + 1)
    starts = [index * stride * frames // window for index in range(num_windows)]
    return [(start, start // frames) for start in starts]


@torch.no_grad()
def generate_whole(
    model: ChoreoLlamaReleaseModel,
    music: torch.Tensor,
    style_id: int,
    condition_at: Callable[[int], torch.Tensor] | None = None,
    *,
    settings: str | ReleaseSampler = "A",
    seed: int = 0,
    on_progress: Progress | None = None,
) -> torch.Tensor:
    """Write the dance of a whole song as one stream, from nothing to its last frame.

    When a window is full, its second half is read again as the first half of the next one, with the music and the
    retrieved dances of the new window: no id is written twice and there is no seam. The last window ends with the
    song. The stride of 192 frames is that of the release's retrieval cache and training windows.

    Args:
        model: The generator, in evaluation mode.
        music: `(frames, music_dim)`, at 25 Hz. The end of a song that is shorter than a window hears its beginning
            again, as in the release.
        style_id: Index of the style.
        condition_at: Returns the normalized condition `(condition_frames, condition_dim)` of the window that begins
            at a frame of the motion; without it, zeros.
        settings: `"A"`, `"B"` or a sampler.
        seed: Of the random choices.
        on_progress: See `Progress`.

    Returns:
        Dance ids, `(num_ids,)`, int64, on the CPU: whole tokens, the last of which may reach beyond the song by less
        than its length. The song has `num_motion_frames` frames.

    Raises:
        ValueError: If a shape or a setting is wrong.
    """
    config = model.config
    writer = _WindowWriter(model, music, style_id, settings, seed)
    levels, frames_per_token = config.num_quantizers, config.codec_config.frames_per_token
    num_tokens = -(-num_motion_frames(model, len(music)) // frames_per_token)
    written: list[int] = []
    for start in whole_windows(model, len(music)):
        start_frame = start * frames_per_token
        music_start = round(start_frame * config.music_frames / config.condition_frames)
        prefix = written[start * levels :]
        writer.begin(music_start, None if condition_at is None else condition_at(start_frame), prefix, prefix)
        num_new = min(writer.window - len(prefix), num_tokens * levels - len(written))
        written += writer.write(num_new, _shifted(on_progress, len(written), num_tokens * levels))
    return writer.ids_of(written)


def num_motion_frames(model: ChoreoLlamaReleaseModel, num_music_frames: int) -> int:
    """Return how many frames of motion a song of so many frames of music has."""
    config = model.config
    return round(num_music_frames * config.condition_rate / config.music_frame_rate)


def whole_windows(model: ChoreoLlamaReleaseModel, num_music_frames: int) -> list[int]:
    """Return the first token of each window of [`generate_whole`].

    Args:
        model: The generator.
        num_music_frames: Frames of music.
    """
    config = model.config
    window = config.condition_frames // config.codec_config.frames_per_token
    num_tokens = -(-num_motion_frames(model, num_music_frames) // config.codec_config.frames_per_token)
    last = max(0, num_tokens - window)
    return [*range(0, last, window // 2), last]


class _WindowWriter:
    """A writer of ids, window by window; *places* are ids without `dance_token_start`."""

    def __init__(
        self,
        model: ChoreoLlamaReleaseModel,
        music: torch.Tensor,
        style_id: int,
        settings: str | ReleaseSampler,
        seed: int,
    ):
        config = self.config = model.config
        if music.ndim != 2 or music.shape[1] != config.music_dim or len(music) == 0:
            raise ValueError(
                f"`music` must have shape (frames >= 1, {config.music_dim}) at {config.music_frame_rate:g} Hz, got "
                f"{tuple(music.shape)}."
            )
        if not 0 <= style_id < config.num_styles:
            raise ValueError(f"`style_id` must lie in [0, {config.num_styles}), got {style_id}.")
        if isinstance(settings, str) and settings not in RELEASE_SETTINGS:
            raise ValueError(f"`settings` must be one of {', '.join(RELEASE_SETTINGS)}, got {settings!r}.")
        self.model = model
        self.sampler = RELEASE_SETTINGS[settings] if isinstance(settings, str) else settings
        self.generator = torch.Generator().manual_seed(seed)
        self.music, self.style_ids = music.to(model.device), torch.tensor([style_id], device=model.device)
        self.window, self.levels = config.window_tokens, config.num_quantizers
        self.decoder = make_decoder(model.llama.model, config.music_frames + self.window)
        vectors = model.codec.codebooks.flatten(0, 1)
        self.inputs = model.dance_bridge(vectors.to(model.dance_bridge.fc1.bias.dtype))  # of all dance ids

    def places_of(self, dance_ids: torch.Tensor) -> list[int]:
        """Return the places of dance ids `(num_ids,)`, which must be whole tokens."""
        return self.model.codes_to_ids(self.model.ids_to_codes(dance_ids)).sub(self.config.dance_token_start).tolist()

    def ids_of(self, places: list[int]) -> torch.Tensor:
        """Return the dance ids of places."""
        return torch.tensor(places) + self.config.dance_token_start

    def begin(self, music_start: int, condition: torch.Tensor | None, prefix: list[int], history: list[int]) -> None:
        """Begin a window.

        Args:
            music_start: Its first frame of music.
            condition: `(condition_frames, condition_dim)`, normalized; none = zeros.
            prefix: Places that the window begins with.
            history: Places that the sampler takes into account.
        """
        config, num_frames = self.config, len(self.music)
        frames = torch.arange(music_start, music_start + config.music_frames, device=self.music.device)
        # The last window may reach beyond the song by less than a token.
        frames = frames % num_frames if num_frames < config.music_frames else frames.clamp(max=num_frames - 1)
        if condition is None:
            condition = self.music.new_zeros(config.condition_frames, config.condition_dim)
        condition = condition.to(self.music.device)
        music_inputs = self.model.encode_condition(self.music[None, frames], self.style_ids, condition[None])
        inputs = torch.cat([music_inputs, self.inputs[prefix][None]], dim=1)
        self.decoder.clear()
        positions = torch.arange(inputs.shape[1], device=inputs.device)[None]
        self.hidden_states = self.decoder(inputs, positions)[:, -1]
        self.next_level = len(prefix) % self.levels
        self.histories: list[list[int]] = [
            [place - level * config.num_codes for place in history[level :: self.levels]]
            for level in range(self.levels)
        ]

    def write(self, num_ids: int, on_progress: Progress | None = None) -> list[int]:
        """Write the next ids of the window and return their places."""
        num_codes, head = self.config.num_codes, self.model.llama.lm_head.weight
        written: list[int] = []
        for index in range(num_ids):
            level = (self.next_level + index) % self.levels
            if index:
                self.hidden_states = self.decoder.step(self.inputs[written[-1]][None])
            first = self.config.dance_token_start + level * num_codes
            logits = F.linear(self.hidden_states[0], head[first : first + num_codes]).cpu()
            codes, probabilities = self.sampler.candidates(logits, self.histories[level], level)
            code = int(codes[torch.multinomial(probabilities, 1, generator=self.generator)])
            self.histories[level].append(code)
            written.append(level * num_codes + code)
            if on_progress is not None:
                on_progress(index + 1, num_ids)
        return written


def _shifted(on_progress: Progress | None, start: int, total: int) -> Progress | None:
    """Return a listener that counts from `start` on."""
    return None if on_progress is None else lambda count, _: on_progress(start + count, total)
