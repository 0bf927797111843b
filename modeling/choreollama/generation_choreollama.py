"""Generation of motion codes: transformers' `generate` with guidance, and songs of any length."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch.nn import functional as F
from transformers import GenerationConfig, GenerationMixin, LogitsProcessor, LogitsProcessorList
from transformers.generation import BaseStreamer

from .code_sampler import CodeSampler
from .code_writer import CodeWriter, max_positions
from .conditions import Conditions
from .configuration_choreollama import ChoreoLlamaConfig
from .forced_codes import ForcedCodes
from .input_ids import prefix_inputs, prepend_start
from .logits_processors import (
    AntiCollapseLogitsProcessor,
    CodeSlotLogitsProcessor,
    ConditionGuidanceLogitsProcessor,
    Guidance,
    SeededGumbelLogitsProcessor,
)
from .step_decoder import Projection, make_decoder

_SINGLE_THREAD_HIDDEN_SIZE = 512


@contextmanager
def threads_for(hidden_size: int) -> Iterator[None]:
    """Use one thread for a model whose operators are too small to share.

    Threads wait for each other then: on a machine with other work a dance takes twice the time with two. And what one
    thread adds up has the same bits on every machine.
    """
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1 if hidden_size <= _SINGLE_THREAD_HIDDEN_SIZE else num_threads)
    try:
        yield
    finally:
        torch.set_num_threads(num_threads)


class ProcessorSteps:
    """What the steps of all windows of a song share in `decode_with_processors`.

    Args:
        model: The generator.
        forced: Codes that are written in the place of chosen ones.
    """

    def __init__(self, model: Any, forced: ForcedCodes | None = None):
        config, self.forced = model.config, forced
        self.decoder = make_decoder(model.model.backbone, max_positions(config))
        self.head = Projection(model.lm_head)
        all_ids = torch.arange(config.vocab_size, device=model.device)
        self.embeddings = model.model.embed_codes(all_ids[None])[0]
        self.num_other_ids = config.vocab_size - config.num_codes


def decode_with_processors(
    model: Any,
    input_ids: torch.Tensor,
    logits_processor: LogitsProcessorList,
    generation_config: GenerationConfig,
    steps: ProcessorSteps,
    new_code_streamer: BaseStreamer | None,
    **inputs: Any,
) -> torch.Tensor:
    """Do what transformers' decoding loop does, with less overhead, where logits processors make the choice.

    Arguments are those that `GenerationMixin.generate` gives a `custom_generate`, then `steps`, and
    `new_code_streamer`: the usual streamer does not reach it.
    """
    condition, is_aligned = inputs["condition"], model.config.condition_placement == "aligned"
    num_copies = condition.shape[0] // input_ids.shape[0]  # 2 or 3 with guidance
    num_before = 1 + (0 if is_aligned else condition.shape[1])
    attention_mask = inputs.get("attention_mask")
    if is_aligned or attention_mask is None or attention_mask.all():
        attention_mask = None
        position_ids = torch.arange(input_ids.shape[1], device=input_ids.device).unsqueeze(0)
    else:
        attention_mask = attention_mask.repeat(num_copies, 1)
        position_ids = inputs["position_ids"].repeat(num_copies, 1)
    decoder = steps.decoder
    decoder.clear()
    while input_ids.shape[1] < generation_config.max_length:
        new_ids = input_ids[:, decoder.length :].repeat(num_copies, 1)
        embeddings = F.embedding(new_ids, steps.embeddings)
        embeddings = model.model.join_condition(embeddings, new_ids, condition, position_ids)
        hidden_states = decoder(embeddings, position_ids, attention_mask)[:, -1]
        scores = F.pad(steps.head(hidden_states).float(), (0, steps.num_other_ids))
        for processor in logits_processor:  # the list itself inspects signatures at every call
            scores = processor(input_ids, scores)
        chosen = scores.argmax(dim=-1)
        if steps.forced is not None:
            token, level = divmod(input_ids.shape[1] - num_before, model.config.num_quantizers)
            offset = level * model.config.codebook_size
            chosen = steps.forced.write(token, level, chosen - offset) + offset
        input_ids = torch.cat([input_ids, chosen[:, None]], dim=1)
        position_ids = position_ids[:, -1:] + 1
        if attention_mask is not None:
            attention_mask = F.pad(attention_mask, (0, 1), value=1)
        if not is_aligned:
            condition = None  # from now on it lies in the cache
        if new_code_streamer is not None:
            new_code_streamer.put(chosen.cpu())
    return input_ids


def _return_processors(
    model: Any, input_ids: torch.Tensor, logits_processor: LogitsProcessorList, **kwargs: Any
) -> LogitsProcessorList:
    """Return the processors that `GenerationMixin.generate` has put together for a `custom_generate`."""
    return logits_processor


class ChoreoLlamaGenerationMixin(GenerationMixin):
    """transformers' `generate` for ChoreoLLaMA, and `generate_codes` for songs of any length.

    It is mixed into [`ChoreoLlamaForConditionalGeneration`], whose attributes it uses.
    """

    config: ChoreoLlamaConfig
    model: Any
    codec: Any

    def set_generation_defaults(self) -> None:
        """Set the default generation configuration, saved as `generation_config.json`.

        `max_code_repeats` is the longest run of one level-0 code, in tokens: 16 are 2.1 s; none turns it off.
        """
        self.generation_config = GenerationConfig(
            do_sample=True,
            temperature=1.0,
            top_k=0,
            top_p=0.95,
            guidance_scale=2.0,
            max_code_repeats=16,
            bos_token_id=self.config.bos_token_id,
        )

    def _require_codebooks(self) -> None:
        if not self.model.codebook_vectors.any():
            raise ValueError("The model has no codebooks yet: call `set_codebooks` or `set_codec` first.")

    def _require_flat(self, what: str) -> None:
        if self.config.code_pattern != "flat":
            raise ValueError(
                f'{what} works one code a step, for `code_pattern="flat"`; this model has '
                f"{self.config.code_pattern!r}. Write dances with `generate_codes`, and score known ones as "
                "`motion_codes`."
            )

    def _guidance(self, kwargs: dict[str, Any], *, has_references: bool) -> Guidance:
        """Resolve both guidance scales as transformers does: argument, given configuration, own configuration."""
        configs = (kwargs.get("generation_config"), self.generation_config)
        scales = []
        for name in ("guidance_scale", "reference_guidance_scale"):
            found = [value for config in configs if (value := getattr(config, name, None)) is not None]
            scales.append(kwargs[name] if name in kwargs else found[0] if found else None)
        return Guidance.of(*scales, has_references=has_references)

    def _prepare_generation_config(self, generation_config: Any, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        # transformers takes an argument of ours only where a configuration has it already.
        own = {name: kwargs.pop(name) for name in ("reference_guidance_scale",) if name in kwargs}
        generation_config, others = super()._prepare_generation_config(generation_config, **kwargs)
        for name, value in own.items():
            setattr(generation_config, name, value)
        return generation_config, others

    def _get_logits_processor(self, generation_config: Any, **kwargs: Any) -> LogitsProcessorList:
        guidance_scale, generation_config.guidance_scale = generation_config.guidance_scale, None
        others = super()._get_logits_processor(generation_config, **kwargs)
        generation_config.guidance_scale = guidance_scale
        processors = LogitsProcessorList()
        guidance = Guidance.of(guidance_scale, getattr(generation_config, "reference_guidance_scale", None))
        if guidance.num_copies > 1:
            if generation_config.num_beams not in (None, 1):
                raise ValueError("Beam search does not work with guidance: pass `guidance_scale=1` or `num_beams=1`.")
            processors.append(ConditionGuidanceLogitsProcessor(guidance.scale, guidance.reference_scale))
        levels = (self.config.num_quantizers, self.config.codebook_size)
        processors.append(CodeSlotLogitsProcessor(*levels))
        if getattr(generation_config, "max_code_repeats", None) is not None:
            processors.append(AntiCollapseLogitsProcessor(generation_config.max_code_repeats, *levels))
        samplers = [processor for processor in others if isinstance(processor, SeededGumbelLogitsProcessor)]
        processors.extend(processor for processor in others if processor not in samplers)
        if generation_config.do_sample:
            processors.extend(samplers)
        return processors

    def prepare_inputs_for_generation(
        self,
        input_ids: torch.Tensor,
        condition: torch.Tensor | None = None,
        is_first_iteration: bool = False,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Prepare one step: the condition beside the ids, and all copies of the rows for guidance."""
        inputs = super().prepare_inputs_for_generation(input_ids, is_first_iteration=is_first_iteration, **kwargs)
        is_aligned = self.config.condition_placement == "aligned"
        if is_aligned:
            inputs.pop("attention_mask", None)  # all ones, and without it attention takes its fast path
        num_copies = 1 if condition is None else condition.shape[0] // input_ids.shape[0]
        if num_copies > 1:
            for name in ("input_ids", "attention_mask", "position_ids"):
                if inputs.get(name) is not None:
                    inputs[name] = inputs[name].repeat(num_copies, *[1] * (inputs[name].ndim - 1))
        if is_aligned or is_first_iteration or not kwargs.get("use_cache", True):
            inputs["condition"] = condition
        return inputs

    @torch.no_grad()
    def encode_guided_condition(
        self, conditions: Conditions, guidance_scale: float | None, reference_guidance_scale: float | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Encode songs for generation, with the rows that guidance needs.

        Args:
            conditions: Of the songs.
            guidance_scale: Guidance; 1 or none means that no further rows are needed.
            reference_guidance_scale: Guidance of the references; none means `guidance_scale`.

        Returns:
            The condition, `(batch, num_tokens, hidden_size)`, or `(2 * batch, ...)` with the same clips without any
            condition after the others, or `(3 * batch, ...)` with the same clips without references between these
            two; and the token mask `(batch, num_tokens)`.
        """
        guidance = Guidance.of(
            guidance_scale, reference_guidance_scale, has_references=conditions.reference_features is not None
        )
        condition, token_mask = zip(*self._encode_guided_parts(conditions, guidance), strict=True)
        return torch.cat(condition, dim=1), torch.cat(token_mask, dim=1)

    def _encode_guided_parts(
        self, conditions: Conditions, guidance: Guidance
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Encode songs as `encode_guided_condition` does, part by part in the order of time."""
        copies = [conditions]
        if guidance.reference_scale is not None:
            copies.append(replace(conditions, reference_features=None, reference_mask=None))
        if guidance.num_copies > 1:
            copies.append(conditions.without_all())
        for parts in zip(*map(self.model.encode_parts, copies), strict=True):
            yield torch.cat([part.condition for part in parts]), parts[0].token_mask

    @torch.no_grad()
    def generate(
        self,
        inputs: torch.Tensor | None = None,
        *,
        input_features: torch.Tensor | None = None,
        frame_mask: torch.Tensor | None = None,
        genre_ids: torch.Tensor | None = None,
        reference_features: torch.Tensor | None = None,
        reference_mask: torch.Tensor | None = None,
        spectra_mask: torch.Tensor | None = None,
        side_ids: torch.Tensor | None = None,
        energy: torch.Tensor | None = None,
        condition: torch.Tensor | None = None,
        seeds: Sequence[int] | None = None,
        logits_processor: Sequence[LogitsProcessor] | None = None,
        **kwargs: Any,
    ) -> Any:
        """Generate the codes of one window (at most `max_window_tokens`) with transformers' own `generate`.

        For whole songs use `generate_codes`, which also writes other orders than `code_pattern="flat"`.

        Args:
            inputs: Ids to continue, made by `prepend_start`; an empty window if not given.
            input_features: Music of the window, `(batch, frames, music_feature_size)`; or give `condition`.
            frame_mask: See `Conditions`.
            genre_ids: See `Conditions`.
            reference_features: See `Conditions`.
            reference_mask: See `Conditions`.
            spectra_mask: See `Conditions`.
            side_ids: See `Conditions`.
            energy: See `Conditions`.
            condition: From `encode_guided_condition` with the same guidance scales.
            seeds: One seed a row; makes sampling a function of seed and song. transformers' global random state is
                used if not given.
            logits_processor: Further processors.
            **kwargs: Of `GenerationMixin.generate` and the generation configuration, also `guidance_scale`,
                `reference_guidance_scale` and `max_code_repeats`.

        Returns:
            As `GenerationMixin.generate`: ids `(batch, length)`, the given ones included.
        """
        self._require_codebooks()
        self._require_flat("`generate`")
        config = self.config
        if config.condition_placement == "aligned" and kwargs.get("attention_mask") is not None:
            raise ValueError('`"aligned"` generation takes no `attention_mask`: all rows begin with the start id.')
        given_config: Any = kwargs.get("generation_config")
        guidance = self._guidance(kwargs, has_references=condition is not None or reference_features is not None)
        kwargs["reference_guidance_scale"] = guidance.reference_scale
        token_mask = None
        if condition is None:
            if input_features is None:
                raise ValueError("Give the music as `input_features`, or a `condition` that was made from it.")
            conditions = Conditions(
                input_features,
                frame_mask,
                genre_ids,
                reference_features,
                reference_mask,
                spectra_mask=spectra_mask,
                side_ids=side_ids,
                energy=energy,
            )
            condition, token_mask = self.encode_guided_condition(conditions, guidance.scale, guidance.reference_scale)
        batch_size, num_tokens = condition.shape[0] // guidance.num_copies, condition.shape[1]
        if inputs is None:
            no_codes = torch.empty(batch_size, 0, dtype=torch.long, device=condition.device)
            inputs = prepend_start(self.config, no_codes, num_tokens)
        num_rows = inputs.shape[0] * guidance.num_copies
        if num_rows != condition.shape[0]:
            raise ValueError(
                f"`condition` must have {num_rows} rows for {inputs.shape[0]} rows of ids and "
                f"`guidance_scale={guidance.scale}`, `reference_guidance_scale={guidance.reference_scale}`, got "
                f"{condition.shape[0]}. See `encode_guided_condition`."
            )
        num_given = inputs.shape[1] - 1 - (num_tokens if config.condition_placement == "prefix" else 0)
        room = num_tokens * config.num_quantizers - num_given
        if given_config is None or given_config.max_new_tokens is None:
            kwargs.setdefault("max_new_tokens", room)
        num_new = kwargs.get("max_new_tokens") or given_config.max_new_tokens
        if not 0 < num_new <= room or num_tokens > config.max_window_tokens:
            raise ValueError(
                f"A window of {num_tokens} tokens (at most {config.max_window_tokens}) with {num_given} given codes "
                f"has room for {room} more, got max_new_tokens={num_new}. See `generate_codes`."
            )
        if token_mask is not None:
            kwargs = {**prefix_inputs(self.config, token_mask, inputs.shape[1]), **kwargs}
        processors = LogitsProcessorList(logits_processor or [])
        if seeds is not None:
            processors.append(SeededGumbelLogitsProcessor(seeds))
        return super().generate(inputs, condition=condition, logits_processor=processors, **kwargs)

    @torch.no_grad()
    def generate_codes(
        self,
        input_features: torch.Tensor,
        frame_mask: torch.Tensor | None = None,
        genre_ids: torch.Tensor | None = None,
        reference_features: torch.Tensor | None = None,
        reference_mask: torch.Tensor | None = None,
        spectra_mask: torch.Tensor | None = None,
        side_ids: torch.Tensor | None = None,
        energy: torch.Tensor | None = None,
        music_mask: torch.Tensor | None = None,
        *,
        seeds: Sequence[int],
        num_tokens: int | None = None,
        prompt_codes: torch.Tensor | None = None,
        forced_codes: torch.Tensor | None = None,
        repeats: Sequence[tuple[int, int, int]] = (),
        streamer: BaseStreamer | None = None,
        **sampling: Any,
    ) -> torch.Tensor:
        """Generate the dances of whole songs, of any length.

        One autoregressive stream: when the window is full, its second half is read again as the first half of the next
        one, so the cost of a second of dance is constant and there are no seams. What chooses a code may be anything
        of the generation configuration for `code_pattern="flat"`; otherwise `temperature`, `top_k`, `top_p`, `min_p`,
        `typical_p`, `epsilon_cutoff` and `eta_cutoff`, beside guidance and `max_code_repeats`.

        Codes that are forced, or that repeat a passage, are written in the place of those that the model chooses; it
        reads them and goes on from there. The random numbers of all other codes are the same as without them.

        Args:
            input_features: Music features, `(batch, frames, music_feature_size)`.
            frame_mask: `(batch, frames)` bool, True = real frame; songs of different lengths share a batch. Codes
                after a song's end are to be cut off by the caller.
            genre_ids: See `Conditions`.
            reference_features: See `Conditions`.
            reference_mask: See `Conditions`.
            spectra_mask: See `Conditions`.
            side_ids: See `Conditions`.
            energy: See `Conditions`.
            music_mask: See `Conditions`.
            seeds: One seed for each song; the same seed and song give the same dance in any batch, up to the rounding
                of the hardware. Without effect when `do_sample=False`.
            num_tokens: Tokens to write, `ceil(frames / frames_per_token)` if not given.
            prompt_codes: Codes to begin with, `(batch, num_quantizers, given tokens)`; part of the result.
            forced_codes: Codes to write, `(batch, num_quantizers, num_tokens)`, -1 where the model chooses.
            repeats: Passages that are danced again: the token at which one starts, the later token at which its codes
                are written once more, and how many tokens.
            streamer: Receives the ids of the new codes, `(batch,)` at a time, token by token and level by level.
            **sampling: `temperature`, `top_k`, `top_p`, `guidance_scale`, `reference_guidance_scale`,
                `max_code_repeats` and other fields of the generation configuration.

        Returns:
            Codes, `(batch, num_quantizers, num_tokens)`.

        Raises:
            ValueError: If shapes, lengths or the number of seeds do not fit, or the music is not finite.
        """
        config = self.config
        real = input_features if frame_mask is None else input_features[frame_mask]
        if not torch.isfinite(real).all():
            raise ValueError("`input_features` must be finite, got NaN or infinite values.")
        if len(seeds) != input_features.shape[0]:
            raise ValueError(f"There must be one seed a song, got {len(seeds)} for {input_features.shape[0]} songs.")
        given = sampling.get("generation_config")
        if any(
            sampling.get(name, getattr(given, name, None)) not in (None, 1)
            for name in ("num_beams", "num_return_sequences")
        ):
            raise ValueError(
                "Whole songs are sampled, one dance a seed: beam search is for the windows of `generate`, and several "
                "dances of a song are several rows."
            )
        guidance = self._guidance(sampling, has_references=reference_features is not None)
        sampling["reference_guidance_scale"] = guidance.reference_scale
        conditions = Conditions(
            input_features,
            frame_mask,
            genre_ids,
            reference_features,
            reference_mask,
            music_mask,
            spectra_mask,
            side_ids,
            energy,
        )
        conditions.check(config)
        num_music_tokens = -(-input_features.shape[1] // config.frames_per_token)
        num_tokens = num_music_tokens if num_tokens is None else num_tokens
        if not 0 < num_tokens <= num_music_tokens:
            raise ValueError(f"`num_tokens` must lie in [1, {num_music_tokens}] for this music, got {num_tokens}.")
        # Encoded as far as it is needed, so that the first codes come as soon for a long song as for a short one.
        parts = self._encode_guided_parts(conditions, guidance)
        condition, token_mask = next(parts)
        levels, window = config.num_quantizers, config.max_window_tokens
        ids = torch.empty(input_features.shape[0], 0, levels, dtype=torch.long, device=input_features.device)
        if prompt_codes is not None:
            ids = self.codes_to_ids(prompt_codes).unflatten(1, (-1, levels))
        forced = None
        if forced_codes is not None or len(repeats):
            forced = ForcedCodes(config, len(seeds), num_tokens, forced_codes, repeats)
            for token in range(min(ids.shape[1], num_tokens)):
                for level in range(levels):
                    forced.note(token, level, ids[:, token, level] - level * config.codebook_size)
        write = self._window_writer(seeds, streamer, forced, sampling)
        with threads_for(config.hidden_size):
            while (done := ids.shape[1]) < num_tokens:
                start = 0 if done < window else done - window // 2
                end = min(start + window, num_tokens)
                if forced is not None:
                    forced.begin_window(start)
                while condition.shape[1] < end:
                    more = next(parts)
                    condition, token_mask = (
                        torch.cat(pair, dim=1) for pair in zip((condition, token_mask), more, strict=True)
                    )
                written = write(ids[:, start:], end - start, condition[:, start:end], token_mask[:, start:end])
                ids = torch.cat([ids[:, :start], written], dim=1)
        if streamer is not None:
            streamer.end()
        return self.ids_to_codes(ids[:, :num_tokens].flatten(1))

    def _window_writer(
        self,
        seeds: Sequence[int],
        streamer: BaseStreamer | None,
        forced: ForcedCodes | None,
        sampling: dict[str, Any],
    ) -> Callable[[torch.Tensor, int, torch.Tensor, torch.Tensor], torch.Tensor]:
        """Return what writes a window of `generate_codes`, with the arguments of `CodeWriter.write`."""
        sampler = SeededGumbelLogitsProcessor(seeds)
        start = torch.full((len(seeds), 1), self.config.bos_token_id, device=self.device)
        processors = super().generate(
            start,
            logits_processor=LogitsProcessorList([sampler]),
            custom_generate=_return_processors,
            max_new_tokens=1,
            **sampling,
        )
        unknown = CodeSampler.unknown(processors)
        if not unknown:
            return CodeWriter(self, CodeSampler(processors), streamer, forced).write
        self._require_flat(f"Sampling with {unknown}")
        steps = ProcessorSteps(self, forced)

        def write(
            code_ids: torch.Tensor, num_tokens: int, condition: torch.Tensor, token_mask: torch.Tensor
        ) -> torch.Tensor:
            batch_size, num_given, levels = code_ids.shape
            inputs = prepend_start(self.config, code_ids.flatten(1), num_tokens)
            generated = self.generate(
                inputs,
                condition=condition,
                **prefix_inputs(self.config, token_mask, inputs.shape[1]),
                max_new_tokens=(num_tokens - num_given) * levels,
                logits_processor=[sampler],
                custom_generate=partial(decode_with_processors, steps=steps, new_code_streamer=streamer),
                **sampling,
            )
            return generated[:, -num_tokens * levels :].unflatten(1, (num_tokens, levels))

        return write
