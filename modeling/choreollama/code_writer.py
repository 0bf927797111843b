"""Write the codes of songs window by window, one step of the backbone at a time."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch.nn import functional as F
from transformers.generation import BaseStreamer

from .code_sampler import CodeSampler, RunGuard
from .configuration_choreollama import ChoreoLlamaConfig
from .depth_decoder import DepthLevel
from .forced_codes import ForcedCodes
from .input_ids import delay_condition, delay_levels, prefix_inputs, prepend_start
from .step_decoder import (
    Projection,
    is_plain_matrix,
    make_decoder,
    matrix_of,
    plain_base,
    product_with,
    root_mean_square_norm,
)


class CodeWriter:
    """What the windows of some songs share, and the writing of one window in the order of `code_pattern`.

    Everything that a code decides about the steps after it is a row of a table made in advance. Weights are those of
    the model when the writer is made.

    Args:
        model: A `ChoreoLlamaForConditionalGeneration` in evaluation mode.
        sampler: Chooses the codes.
        streamer: Receives the ids of new codes, token by token and level by level, `(batch,)` at a time.
        forced: Codes that are written in the place of chosen ones.
    """

    def __init__(
        self, model: Any, sampler: CodeSampler, streamer: BaseStreamer | None, forced: ForcedCodes | None = None
    ):
        config: ChoreoLlamaConfig = model.config
        self.model, self.config, self.sampler, self.streamer = model, config, sampler, streamer
        self.forced = forced
        self.decoder = make_decoder(model.model.backbone, max_positions(config))
        if config.code_pattern == "delay":
            self.head = Projection(model.lm_head)
        else:
            self.heads = level_heads(model.lm_head, config)
        self.embeddings = model.model.embed_codes(torch.arange(config.vocab_size, device=model.device)[None])[0]
        codes = self.embeddings[: config.num_codes]
        tables = [codes]
        if config.code_pattern == "depth":
            self.levels = [_DepthStep(level) for level in model.depth_decoder.levels]
            tables += [level.code_projection(codes) for level in model.depth_decoder.levels[1:]]
        # For each level, a row a code: its embedding and, for "depth", what it adds to each level above level 0.
        self.tables = torch.cat(tables, dim=-1).unflatten(0, (config.num_quantizers, config.codebook_size)).unbind()

    @torch.inference_mode()
    def write(
        self, code_ids: torch.Tensor, num_tokens: int, condition: torch.Tensor, token_mask: torch.Tensor
    ) -> torch.Tensor:
        """Fill a window.

        Args:
            code_ids: That the window begins with, `(batch, given tokens, num_quantizers)`.
            num_tokens: Tokens of the window, more than are given.
            condition: `(copies * batch, num_tokens, hidden_size)`; two or three copies with guidance.
            token_mask: `(batch, num_tokens)`.

        Returns:
            Ids, `(batch, num_tokens, num_quantizers)`.
        """
        config, num_given = self.config, code_ids.shape[1]
        num_new = num_tokens - num_given
        # The flat order keeps the random numbers of the first version, one for each id.
        width = config.vocab_size if config.code_pattern == "flat" else config.codebook_size
        noise = self.sampler.draw_noise(num_new, config.num_quantizers, config.codebook_size, width)
        noise = None if noise is None else noise.to(condition.device)
        guard = None
        if self.sampler.max_code_repeats is not None:
            guard = RunGuard(self.sampler.max_code_repeats, code_ids[..., 0].tolist())
        write = {"flat": self._write_flat, "delay": self._write_delayed, "depth": self._write_in_depth}
        return write[config.code_pattern](code_ids, condition, token_mask, noise, guard)

    def _begin(self, past_ids: torch.Tensor, condition: torch.Tensor, token_mask: torch.Tensor) -> torch.Tensor:
        """Read what a window begins with; return the backbone's last output, `(copies * batch, hidden_size)`."""
        num_copies = condition.shape[0] // past_ids.shape[0]
        input_ids = prepend_start(self.config, past_ids, token_mask.shape[1])
        given = prefix_inputs(self.config, token_mask, input_ids.shape[1])
        input_ids = input_ids.repeat(num_copies, *[1] * (input_ids.ndim - 1))
        position_ids = torch.arange(input_ids.shape[1], device=input_ids.device).unsqueeze(0)
        attention_mask = None
        if given:
            attention_mask, position_ids = (
                given[name].repeat(num_copies, 1) for name in ("attention_mask", "position_ids")
            )
        embeddings = F.embedding(input_ids, self.embeddings)
        if input_ids.ndim == 3:
            embeddings = embeddings.sum(dim=2)
        embeddings = self.model.model.join_condition(embeddings, input_ids, condition, position_ids)
        self.decoder.clear()
        return self.decoder(embeddings, position_ids, attention_mask)[:, -1]

    def _step(self, embeddings: torch.Tensor, condition: torch.Tensor, step: int) -> torch.Tensor:
        """Run the backbone on what was just written.

        Args:
            embeddings: `(batch, hidden_size)`.
            condition: Of all steps, `(copies, batch, steps, hidden_size)`.
            step: The step to run.

        Returns:
            The backbone's output, `(copies * batch, hidden_size)`.
        """
        if self.config.condition_placement == "aligned":
            embeddings = condition[:, :, step] + embeddings
        else:
            embeddings = embeddings.expand(condition.shape[0], -1, -1)
        return self.decoder.step(embeddings.reshape(-1, embeddings.shape[-1]))

    def _choose(
        self, scores: torch.Tensor, noise: torch.Tensor | None, guard: RunGuard | None, token: int, level: int
    ) -> torch.Tensor:
        """Choose the codes of one level of a token, `(batch,)`, from scores `(copies * batch, codebook_size)`."""
        scores = self.sampler.guided(scores)
        if guard is not None:
            guard.ban(scores)
        codes = self.sampler.choose(scores, noise)
        if self.forced is not None:
            codes = self.forced.write(token, level, codes)
        if guard is not None:
            guard.observe(codes.tolist())
        return codes

    def _stream(self, level: int, codes: torch.Tensor) -> None:
        if self.streamer is not None:
            self.streamer.put((codes + level * self.config.codebook_size).cpu())

    def _joined(self, code_ids: torch.Tensor, codes: list[torch.Tensor]) -> torch.Tensor:
        """Append codes, one `(batch,)` for each level of each token, to ids `(batch, tokens, num_quantizers)`."""
        num_quantizers, size = self.config.num_quantizers, self.config.codebook_size
        new_codes = torch.stack(codes, dim=1).unflatten(1, (-1, num_quantizers))
        new_ids = new_codes + torch.arange(num_quantizers, device=new_codes.device) * size
        return torch.cat([code_ids, new_ids], dim=1)

    def _write_flat(
        self,
        code_ids: torch.Tensor,
        condition: torch.Tensor,
        token_mask: torch.Tensor,
        noise: torch.Tensor | None,
        guard: RunGuard | None,
    ) -> torch.Tensor:
        (batch_size, num_given, num_quantizers), num_tokens = code_ids.shape, token_mask.shape[1]
        hidden_states = self._begin(code_ids.flatten(1), condition, token_mask)
        condition = condition.unflatten(0, (-1, batch_size))
        written: list[torch.Tensor] = []
        for token in range(num_given, num_tokens):
            for level in range(num_quantizers):
                if written:
                    embeddings = self.tables[level - 1].index_select(0, written[-1])
                    hidden_states = self._step(embeddings, condition, token)
                code_noise = None if noise is None else noise[:, token - num_given, level]
                scores = self.heads[level](hidden_states)
                codes = self._choose(scores, code_noise, guard if level == 0 else None, token, level)
                written.append(codes)
                self._stream(level, codes)
        return self._joined(code_ids, written)

    def _write_in_depth(
        self,
        code_ids: torch.Tensor,
        condition: torch.Tensor,
        token_mask: torch.Tensor,
        noise: torch.Tensor | None,
        guard: RunGuard | None,
    ) -> torch.Tensor:
        (batch_size, num_given, num_quantizers), num_tokens = code_ids.shape, token_mask.shape[1]
        hidden_states = self._begin(code_ids, condition, token_mask)
        condition = condition.unflatten(0, (-1, batch_size))
        hidden_size = hidden_states.shape[-1]
        written: list[torch.Tensor] = []
        sums: torch.Tensor = None  # type: ignore[assignment]  # of the rows of `tables` of a token's codes so far
        for token in range(num_given, num_tokens):
            if written:
                hidden_states = self._step(sums[:, :hidden_size], condition, token)
            by_copy = hidden_states.unflatten(0, (-1, batch_size))
            for level in range(num_quantizers):
                inputs = hidden_states
                if level > 0:
                    lower = sums[:, level * hidden_size : (level + 1) * hidden_size]
                    inputs = (by_copy + lower).flatten(0, 1)
                code_noise = None if noise is None else noise[:, token - num_given, level]
                scores = self.heads[level](self.levels[level](inputs))
                codes = self._choose(scores, code_noise, guard if level == 0 else None, token, level)
                rows = self.tables[level].index_select(0, codes)
                sums = rows if level == 0 else sums + rows
                written.append(codes)
                self._stream(level, codes)
        return self._joined(code_ids, written)

    def _write_delayed(
        self,
        code_ids: torch.Tensor,
        condition: torch.Tensor,
        token_mask: torch.Tensor,
        noise: torch.Tensor | None,
        guard: RunGuard | None,
    ) -> torch.Tensor:
        config = self.config
        (batch_size, num_given, num_quantizers), num_tokens = code_ids.shape, token_mask.shape[1]
        num_steps, num_copies = num_tokens + num_quantizers - 1, condition.shape[0] // batch_size
        # What is read after each step; where a new code will stand, some code stands until then.
        all_ids = F.pad(code_ids, (0, 0, 0, num_tokens - num_given))
        delayed = delay_levels(config, all_ids, token_mask)
        condition = delay_condition(config, condition, token_mask.repeat(num_copies, 1))
        hidden_states = self._begin(delayed[:, :num_given], condition, token_mask)
        condition = condition.unflatten(0, (num_copies, batch_size))
        levels = torch.arange(num_quantizers, device=code_ids.device)
        tokens = torch.arange(num_steps, device=code_ids.device)[:, None] - levels
        # New codes are read again, but those after the end of a clip are not.
        is_read = (tokens >= num_given) & (delayed != config.bos_token_id)
        all_are_read = is_read.all(dim=0).all(dim=1).tolist()
        noise = None if noise is None else self._delayed_noise(noise)

        written = torch.zeros_like(delayed)
        for step in range(num_given, num_steps):
            scores = self.sampler.guided(self.head(hidden_states)).unflatten(1, (num_quantizers, -1))
            if guard is not None:
                guard.ban(scores[:, 0])
            codes = self.sampler.choose(scores.flatten(0, 1), None if noise is None else noise[step - num_given])
            codes = codes.view(batch_size, num_quantizers)
            if self.forced is not None:
                for level in range(max(0, step - num_tokens + 1), min(num_quantizers, step - num_given + 1)):
                    codes[:, level] = self.forced.write(step - level, level, codes[:, level])
            if guard is not None:
                guard.observe(codes[:, 0].tolist())
            written[:, step] = new_ids = codes + levels * config.codebook_size
            if (token := step - num_quantizers + 1) >= num_given:
                for level in range(num_quantizers):
                    self._stream(level, written[:, token + level, level] - level * config.codebook_size)
            if step + 1 < num_steps:
                if not all_are_read[step]:
                    new_ids = torch.where(is_read[:, step], new_ids, delayed[:, step])
                hidden_states = self._step(F.embedding(new_ids, self.embeddings).sum(dim=1), condition, step + 1)
        by_level = [written[:, num_given + level : num_tokens + level, level] for level in range(num_quantizers)]
        return torch.cat([code_ids, torch.stack(by_level, dim=2)], dim=1)

    def _delayed_noise(self, noise: torch.Tensor) -> torch.Tensor:
        """Shift the noise `(batch, tokens, levels, codes)` like the levels: `(steps, batch * levels, codes)`."""
        batch_size, num_new, num_quantizers, size = noise.shape
        delayed = noise.new_zeros(num_new + num_quantizers - 1, batch_size, num_quantizers, size)
        for level in range(num_quantizers):
            delayed[level : level + num_new, :, level] = noise[:, :, level].transpose(0, 1)
        return delayed.flatten(1, 2)


class _DepthStep:
    """One `DepthLevel` after what lower codes add, for inference."""

    def __init__(self, level: DepthLevel):
        assert level.norm.eps is not None
        self.norm = root_mean_square_norm(level.norm.weight, level.norm.eps)
        self.gate_up, self.down = Projection(level.gate_proj, level.up_proj), Projection(level.down_proj)

    def __call__(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """Return what the head of the level reads, `(batch, hidden_size)`."""
        gate, up = self.gate_up(self.norm(hidden_states)).chunk(2, dim=-1)
        return hidden_states + self.down(F.silu(gate) * up)


def max_positions(config: ChoreoLlamaConfig) -> int:
    """Return the number of positions of the longest window: placeholders, the start id, codes."""
    num_given = 1 + (config.max_window_tokens if config.condition_placement == "prefix" else 0)
    return num_given + config.max_window_tokens * config.steps_per_token + config.num_quantizers


def level_heads(lm_head: Any, config: ChoreoLlamaConfig) -> list[Callable[[torch.Tensor], torch.Tensor]]:
    """Return a function for each level that scores its codes only, `(batch, hidden_size)` to `(batch, codes)`.

    Args:
        lm_head: Of the model.
        config: Of the model.
    """
    slices = [
        slice(level * config.codebook_size, (level + 1) * config.codebook_size)
        for level in range(config.num_quantizers)
    ]
    if not is_plain_matrix(plain_base(lm_head)):
        return [partial(_part_of_scores, lm_head, part) for part in slices]
    return [product_with(matrix_of(lm_head).detach()[part]) for part in slices]


def _part_of_scores(lm_head: Any, part: slice, hidden_states: torch.Tensor) -> torch.Tensor:
    return lm_head(hidden_states)[..., part]
