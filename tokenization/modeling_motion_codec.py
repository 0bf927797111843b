"""The motion codec: a convolutional autoencoder whose latents are quantized by residual codebooks."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.utils import ModelOutput

from ..utils.checkpoints import CheckedWeightsMixin
from ..utils.feature_statistics import FeatureStatisticsMixin
from .configuration_motion_codec import MotionCodecConfig
from .losses_motion_codec import reconstruction_losses

_KMEANS_STEPS = 10
_SEARCHED_TOKENS = 4096


@dataclass
class MotionCodecOutput(ModelOutput):
    """What a [`MotionCodecModel`] computes.

    Args:
        loss (`torch.FloatTensor` of shape `()`):
            Weighted sum of `loss_terms` and `commitment_loss`.
        reconstruction (`torch.FloatTensor` of shape `(batch, frames, motion_feature_size)`):
            Decoded motion features, not normalized.
        codes (`torch.LongTensor` of shape `(batch, num_quantizers, num_tokens)`):
            Codes of each level; 0 for padded tokens.
        commitment_loss (`torch.FloatTensor` of shape `()`):
            Mean squared distance of the latents to their codes.
        perplexity (`torch.FloatTensor` of shape `(num_quantizers,)`):
            Effective number of codes in use in this batch.
        loss_terms (`dict[str, torch.FloatTensor]`):
            The reconstruction losses before weighting.
    """

    loss: torch.Tensor | None = None
    reconstruction: torch.Tensor | None = None
    codes: torch.Tensor | None = None
    commitment_loss: torch.Tensor | None = None
    perplexity: torch.Tensor | None = None
    loss_terms: dict[str, torch.Tensor] | None = None


class MotionCodecConvolution(nn.Linear):
    """Convolution over tokens with three taps, as one matrix product, which a CPU does faster than `Conv1d`."""

    def __init__(self, in_channels: int, out_channels: int, dilation: int = 1):
        super().__init__(3 * in_channels, out_channels)
        self.dilation = dilation

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """Map `(batch, num_tokens, in_channels)` to `(batch, num_tokens, out_channels)`; beyond the ends lie zeros."""
        num_tokens = hidden_states.shape[1]
        padded = F.pad(hidden_states, (0, 0, self.dilation, self.dilation))
        taps = [padded[:, start : start + num_tokens] for start in (0, self.dilation, 2 * self.dilation)]
        return super().forward(torch.cat(taps, dim=-1))


class MotionCodecResidualBlock(nn.Module):
    """Residual block: what a dilated convolution finds is added to its input."""

    def __init__(self, hidden_size: int, dilation: int):
        super().__init__()
        self.dilated = MotionCodecConvolution(hidden_size, hidden_size, dilation)
        self.pointwise = nn.Linear(hidden_size, hidden_size)

    def forward(self, hidden_states: torch.Tensor, token_mask: torch.Tensor) -> torch.Tensor:
        """Return `(batch, num_tokens, hidden_size)`, zero where `token_mask`, `(batch, num_tokens, 1)`, is."""
        residual = self.pointwise(F.relu(self.dilated(F.relu(hidden_states))))
        return (hidden_states + residual) * token_mask


class MotionCodecEncoder(nn.Module):
    """Encoder of normalized features to latents, `frames_per_token` frames to one.

    The stem is a convolution whose kernel spans two tokens: each token sees half a token beyond its own frames.
    """

    def __init__(self, config: MotionCodecConfig):
        super().__init__()
        self.frames_per_token = config.frames_per_token
        self.patch = nn.Linear(2 * config.frames_per_token * config.motion_feature_size, config.hidden_size)
        self.blocks = nn.ModuleList(
            MotionCodecResidualBlock(config.hidden_size, dilation) for dilation in config.residual_dilations
        )
        self.projection = MotionCodecConvolution(config.hidden_size, config.codebook_dim)

    def forward(self, hidden_states: torch.Tensor, token_mask: torch.Tensor) -> torch.Tensor:
        """Encode `(batch, frames, motion_feature_size)` to `(batch, num_tokens, codebook_dim)`."""
        stride, overlap = self.frames_per_token, self.frames_per_token // 2
        patches = F.pad(hidden_states, (0, 0, overlap, overlap)).unfold(1, 2 * stride, stride)
        hidden_states = self.patch(patches.flatten(2)) * token_mask
        for block in self.blocks:
            hidden_states = block(hidden_states, token_mask)
        return self.projection(hidden_states) * token_mask


class MotionCodecDecoder(nn.Module):
    """Decoder of latents to normalized features; the last layer is the transpose of the encoder's stem."""

    def __init__(self, config: MotionCodecConfig):
        super().__init__()
        self.frames_per_token = config.frames_per_token
        self.projection = MotionCodecConvolution(config.codebook_dim, config.hidden_size)
        self.blocks = nn.ModuleList(
            MotionCodecResidualBlock(config.hidden_size, dilation) for dilation in config.residual_dilations
        )
        self.unpatch = nn.Linear(config.hidden_size, 2 * config.frames_per_token * config.motion_feature_size)

    def forward(self, hidden_states: torch.Tensor, token_mask: torch.Tensor) -> torch.Tensor:
        """Decode `(batch, num_tokens, codebook_dim)` to `(batch, frames, motion_feature_size)`."""
        hidden_states = self.projection(hidden_states * token_mask) * token_mask
        for block in self.blocks:
            hidden_states = block(hidden_states, token_mask)
        patches = self.unpatch(hidden_states) * token_mask
        stride, overlap = self.frames_per_token, self.frames_per_token // 2
        first, second = patches.unflatten(2, (2, stride, -1)).unbind(2)  # each (batch, num_tokens, stride, channels)
        frames = F.pad(first.flatten(1, 2), (0, 0, 0, stride)) + F.pad(second.flatten(1, 2), (0, 0, stride, 0))
        return frames[:, overlap : frames.shape[1] - overlap]


class MotionCodecResidualQuantizer(nn.Module):
    """Quantizer of latents: a sum of one code from each level's codebook.

    Codebooks are moving averages of the residuals assigned to them (van den Oord et al., 2017, appendix A.1), not
    parameters. They are seeded by k-means, from the first training batch at the latest. In training they follow the
    data unless `learns` is off, and codes that fall out of use are seeded anew unless `resets_dead_codes` is off.

    Where `torch.distributed` is initialized, training learns from the batches of all processes as from one batch, so
    every process must take part in each step in training mode; evaluation is each process's own.
    """

    codebooks: torch.Tensor
    cluster_sums: torch.Tensor
    cluster_sizes: torch.Tensor
    initialized: torch.Tensor

    def __init__(self, config: MotionCodecConfig):
        super().__init__()
        self.quantizer_dropout = config.quantizer_dropout
        self.ema_decay = config.ema_decay
        self.dead_code_threshold = config.dead_code_threshold
        self.search_width = config.search_width
        self.learns = True
        self.resets_dead_codes = True
        levels = (config.num_quantizers, config.codebook_size)
        self.register_buffer("codebooks", torch.zeros(*levels, config.codebook_dim))
        self.register_buffer("cluster_sums", torch.zeros(*levels, config.codebook_dim))
        self.register_buffer("cluster_sizes", torch.zeros(levels))
        self.register_buffer("initialized", torch.tensor(False))

    def forward(
        self, latents: torch.Tensor, token_mask: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Quantize latents and, in training, update the codebooks.

        Args:
            latents: `(batch, num_tokens, codebook_dim)`, float32.
            token_mask: `(batch, num_tokens)` bool, true for real tokens.

        Returns:
            The quantized latents `(batch, num_tokens, codebook_dim)`, whose gradient goes straight to `latents`; the
            codes `(batch, num_quantizers, num_tokens)`; the commitment loss and the perplexities `(num_quantizers,)`.
        """
        if self.training and not self.initialized:
            self.seed_codebooks(_rows_of_all_processes(latents[token_mask].detach()))
            for buffer in (self.codebooks, self.cluster_sums, self.cluster_sizes):
                _copy_from_first_process(buffer)
        num_levels = self._draw_num_levels(len(latents), latents.device)
        codes = self.search_codes(latents)
        residual, quantized = latents, torch.zeros_like(latents)
        losses, perplexities = [], []
        for level, level_codes in enumerate(codes.unbind(1)):
            active = (token_mask & (level < num_levels)[:, None]).unsqueeze(-1)
            vectors = self.codebooks[level][level_codes] * active
            losses.append(
                ((residual - vectors).square() * active).sum() / (active.sum() * latents.shape[-1]).clamp_min(1)
            )
            used, usage = residual.detach()[active[..., 0]], self._usage(level_codes[active[..., 0]])
            if self.training:
                usage = _sum_over_processes(usage)
            perplexities.append(torch.exp(torch.special.entr(usage / usage.sum().clamp_min(1)).sum()))
            if self.training and self.learns and usage.any():
                self._update_codebook(level, used, level_codes[active[..., 0]], usage)
            residual, quantized = residual - vectors, quantized + vectors
        quantized = latents + (quantized - latents).detach()
        codes = codes * token_mask.unsqueeze(1)
        return quantized, codes, torch.stack(losses).mean(), torch.stack(perplexities)

    @torch.no_grad()
    def search_codes(self, latents: torch.Tensor) -> torch.Tensor:
        """Find codes whose vectors sum up to about the latents, by beam search over the levels.

        Args:
            latents: `(batch, num_tokens, codebook_dim)`, float32.

        Returns:
            `(batch, num_quantizers, num_tokens)`, int64.
        """
        batch_size, num_tokens, _ = latents.shape
        # In pieces, so that the distances of a long dance stay small.
        pieces = [self._search_piece(piece) for piece in latents.flatten(0, 1).split(_SEARCHED_TOKENS)]
        return torch.cat(pieces).view(batch_size, num_tokens, -1).transpose(1, 2)

    def _search_piece(self, latents: torch.Tensor) -> torch.Tensor:
        """Search the codes of latents `(num_tokens, codebook_dim)`: `(num_tokens, num_quantizers)`."""
        paths = torch.empty(len(latents), 1, 0, dtype=torch.long, device=latents.device)
        residuals = latents.unsqueeze(1)  # (num_tokens, paths, codebook_dim)
        for codebook in self.codebooks.float():
            distances = codebook.square().sum(-1) - 2 * residuals @ codebook.T
            distances = (distances + residuals.square().sum(-1, keepdim=True)).flatten(1)
            best = distances.topk(min(self.search_width, distances.shape[1]), dim=1, largest=False).indices
            parents, codes = best // len(codebook), best % len(codebook)
            paths = torch.cat([_select(paths, parents), codes.unsqueeze(-1)], dim=-1)
            residuals = _select(residuals, parents) - codebook[codes]
        return paths[:, 0]

    def nearest_codes(self, residual: torch.Tensor, level: int) -> torch.Tensor:
        """Return the index of the nearest code of a level for `(..., codebook_dim)`."""
        codebook = self.codebooks[level].float()
        return (codebook.square().sum(-1) - 2 * residual.detach() @ codebook.T).argmin(-1)

    def lookup(self, codes: torch.Tensor) -> torch.Tensor:
        """Sum the vectors of codes `(batch, num_quantizers, num_tokens)` to `(batch, num_tokens, codebook_dim)`."""
        vectors = [codebook[codes[:, level]] for level, codebook in enumerate(self.codebooks)]
        return torch.stack(vectors).sum(0)

    def _draw_num_levels(self, batch_size: int, device: torch.device) -> torch.Tensor:
        """Draw how many levels each clip is quantized by, `(batch,)`: all, or fewer with `quantizer_dropout`."""
        num_quantizers = len(self.codebooks)
        num_levels = torch.full((batch_size,), num_quantizers, device=device)
        if self.training and num_quantizers > 1 and self.quantizer_dropout > 0:
            fewer = torch.randint(1, num_quantizers, (batch_size,), device=device)
            dropped = torch.rand(batch_size, device=device) < self.quantizer_dropout
            num_levels = torch.where(dropped, fewer, num_levels)
        return num_levels

    def _usage(self, codes: torch.Tensor) -> torch.Tensor:
        return torch.bincount(codes, minlength=self.codebooks.shape[1]).float()

    @torch.no_grad()
    def seed_codebooks(self, residual: torch.Tensor, first_level: int = 0) -> None:
        """Seed the levels by k-means of the residuals, level after level.

        Args:
            residual: What the levels before the first one leave, `(num_tokens, codebook_dim)`.
            first_level: Levels before it stay as they are.
        """
        num_codes = self.codebooks.shape[1]
        for level in range(first_level, len(self.codebooks)):
            seeds = residual[torch.randint(len(residual), (num_codes,), device=residual.device)]
            self.codebooks[level] = seeds
            for _ in range(_KMEANS_STEPS):
                nearest = self.nearest_codes(residual, level)
                sizes = self._usage(nearest).unsqueeze(-1)
                sums = torch.zeros_like(self.codebooks[level]).index_add_(0, nearest, residual)
                self.codebooks[level] = torch.where(sizes > 0, sums / sizes.clamp_min(1), self.codebooks[level])
            self.cluster_sizes[level] = 1.0
            self.cluster_sums[level] = self.codebooks[level]
            residual = residual - self.codebooks[level][self.nearest_codes(residual, level)]
        self.initialized.fill_(True)

    @torch.no_grad()
    def _update_codebook(self, level: int, residual: torch.Tensor, codes: torch.Tensor, usage: torch.Tensor) -> None:
        """Move each code toward the mean of the residuals that chose it.

        Args:
            level: Of the codebook.
            residual: Of this process, `(num_tokens, codebook_dim)`.
            codes: Which of them chose which code, `(num_tokens,)`.
            usage: How many of all processes chose each code, `(codebook_size,)`.
        """
        sums = _sum_over_processes(torch.zeros_like(self.cluster_sums[level]).index_add_(0, codes, residual))
        sizes = self.cluster_sizes[level].lerp_(usage, 1 - self.ema_decay)
        sums = self.cluster_sums[level].lerp_(sums, 1 - self.ema_decay)
        # A code that nobody chooses keeps its place: both averages shrink together until they vanish.
        means = sums / sizes.clamp_min(1e-6).unsqueeze(-1)
        self.codebooks[level] = torch.where(sizes.unsqueeze(-1) > 1e-6, means, self.codebooks[level])
        if self.resets_dead_codes:
            mean_size = float(sizes.mean())
            # Unlike processors round differently, and all must see the same codes as dead.
            is_dead = _copy_from_first_process((sizes < self.dead_code_threshold * mean_size).to(torch.uint8))
            dead = is_dead.nonzero().squeeze(-1)
            if len(dead):
                seeds = _draw_rows_of_all_processes(residual, len(dead))
                self._plant_codes(level, dead, seeds, mean_size)

    def _plant_codes(self, level: int, indices: torch.Tensor, vectors: torch.Tensor, mean_size: float) -> None:
        """Set codes, with so little past that they soon move, or soon count as out of use."""
        size = 2 * self.dead_code_threshold * mean_size
        self.codebooks[level, indices] = vectors
        self.cluster_sizes[level, indices] = size
        self.cluster_sums[level, indices] = vectors * size


def _select(values: torch.Tensor, indices: torch.Tensor) -> torch.Tensor:
    """Take rows `indices`, `(num_tokens, selected)`, of each token's `values`, `(num_tokens, rows, channels)`."""
    return values.gather(1, indices.unsqueeze(-1).expand(-1, -1, values.shape[-1]))


def _num_processes() -> int:
    is_distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
    return torch.distributed.get_world_size() if is_distributed else 1


def _sum_over_processes(values: torch.Tensor) -> torch.Tensor:
    """Add up tensors of one shape, in place."""
    if _num_processes() > 1:
        torch.distributed.all_reduce(values)
    return values


def _copy_from_first_process(values: torch.Tensor) -> torch.Tensor:
    """Overwrite a tensor by that of the first process."""
    if _num_processes() > 1:
        torch.distributed.broadcast(values, 0)
    return values


def _numbers_of_rows(rows: torch.Tensor) -> tuple[list[int], int]:
    """Return how many rows each process holds, and how many those before this process hold."""
    own = torch.zeros(_num_processes(), dtype=torch.long, device=rows.device)
    process = torch.distributed.get_rank()
    own[process] = len(rows)
    counts: list[int] = _sum_over_processes(own).tolist()
    return counts, sum(counts[:process])


def _rows_of_all_processes(rows: torch.Tensor) -> torch.Tensor:
    """Join rows `(num_rows, channels)`, of which each process may hold another number, first process first."""
    if _num_processes() == 1:
        return rows
    counts, first = _numbers_of_rows(rows)
    joined = rows.new_zeros(sum(counts), rows.shape[1])
    joined[first : first + len(rows)] = rows
    return _sum_over_processes(joined)


def _draw_rows_of_all_processes(rows: torch.Tensor, num_drawn: int) -> torch.Tensor:
    """Draw rows with replacement, the same in every process, as from the joined rows `(num_rows, channels)`."""
    if _num_processes() == 1:
        return rows[torch.randint(len(rows), (num_drawn,), device=rows.device)]
    counts, first = _numbers_of_rows(rows)
    drawn = torch.randint(sum(counts), (num_drawn,), device=rows.device)
    own = _copy_from_first_process(drawn) - first
    is_own = (own >= 0) & (own < len(rows))
    seeds = rows.new_zeros(num_drawn, rows.shape[1])
    seeds[is_own] = rows[own[is_own]]
    return _sum_over_processes(seeds)


class MotionCodecModel(CheckedWeightsMixin, PreTrainedModel, FeatureStatisticsMixin):
    """The motion codec: motion features to codes and back (paper section "dance tokenizer").

    The model takes features as `motion_to_features` gives them and returns such features: mean and standard deviation
    are part of it ([`~MotionCodecModel.set_feature_statistics`]).
    """

    config_class = MotionCodecConfig
    base_model_prefix = "motion_codec"
    main_input_name = "motion_features"
    _supports_sdpa = True  # no attention inside; a model that holds this one may ask for any implementation
    _no_split_modules = ["MotionCodecResidualBlock"]

    def __init__(self, config: MotionCodecConfig):
        super().__init__(config)
        self.encoder = MotionCodecEncoder(config)
        self.quantizer = MotionCodecResidualQuantizer(config)
        self.decoder = MotionCodecDecoder(config)
        self.add_feature_statistics(config.motion_feature_size)
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        # The base class draws from a normal of 0.02, too small for a stack without normalization.
        if isinstance(module, nn.Linear):
            init.kaiming_uniform_(module.weight, a=math.sqrt(5))
            init.zeros_(module.bias)
        elif isinstance(module, MotionCodecResidualQuantizer):
            for buffer in (module.codebooks, module.cluster_sums, module.cluster_sizes, module.initialized):
                init.zeros_(buffer)
        elif isinstance(module, MotionCodecModel):
            module.init_feature_statistics()

    @property
    def codebooks(self) -> torch.Tensor:
        """The codes' vectors, `(num_quantizers, codebook_size, codebook_dim)`."""
        return self.quantizer.codebooks

    @property
    def decoder_receptive_field(self) -> tuple[int, int]:
        """How many tokens before and after a token its frames depend on."""
        reach = 1 + sum(self.config.residual_dilations) + 1  # projection, blocks, overlap of neighboring patches
        return reach, reach

    def num_tokens(self, num_frames: int) -> int:
        """Return how many tokens `num_frames` frames take; the last token may be partly filled."""
        return -(-num_frames // self.config.frames_per_token)

    @torch.no_grad()
    def initialize_from_data(self, motion_features: torch.Tensor) -> None:
        """Start as a principal component analysis of single tokens with k-means codebooks, which training improves.

        Residual blocks start as the identity, so encoder and decoder are linear at first. With random weights, 300
        steps of training reach a joint error of 114 mm; from here 100 steps reach 60 mm.

        Args:
            motion_features: Windows of the training data, `(windows, frames, motion_feature_size)`, not normalized,
                with at least `codebook_dim` whole tokens in all.

        Raises:
            ValueError: If there are too few tokens.
        """
        stride, rank = self.config.frames_per_token, self.config.codebook_dim
        normalized = self.normalize(motion_features)
        num_tokens = normalized.shape[1] // stride
        tokens = normalized[:, : num_tokens * stride].reshape(-1, stride * self.config.motion_feature_size)
        if len(tokens) < rank:
            raise ValueError(f"`motion_features` must hold at least {rank} tokens, got {len(tokens)}.")
        if rank > min(self.config.hidden_size, tokens.shape[1]):
            raise ValueError(f"`codebook_dim` = {rank} must not exceed `hidden_size` = {self.config.hidden_size}.")
        _, eigenvectors = torch.linalg.eigh(tokens.T @ tokens / len(tokens))
        components = eigenvectors[:, -rank:].T.unflatten(1, (stride, -1))  # (rank, stride, channels)
        half = stride // 2
        channels = torch.arange(rank)
        encoder_patch = self.encoder.patch.weight.view(-1, self.config.motion_feature_size, 2 * stride)
        encoder_patch[:rank] = 0
        encoder_patch[:rank, :, half : half + stride] = components.transpose(1, 2)
        decoder_patch = self.decoder.unpatch.weight.view(2 * stride, self.config.motion_feature_size, -1)
        decoder_patch.mul_(0.1)
        decoder_patch[..., :rank] = 0
        decoder_patch[half : half + stride, :, :rank] = components.permute(1, 2, 0)
        for projection in (self.encoder.projection, self.decoder.projection):
            taps = projection.weight.unflatten(1, (3, -1))
            taps.mul_(0.1)
            taps[:rank] *= 0
            taps[channels, 1, channels] = 1
        for block in (*self.encoder.blocks, *self.decoder.blocks):
            block.pointwise.weight.zero_()
            block.pointwise.bias.zero_()
        latents, token_mask = self.encode_latents(motion_features, None)
        self.quantizer.seed_codebooks(latents[token_mask])

    @torch.no_grad()
    def add_levels(self, codec: "MotionCodecModel", motion_features: torch.Tensor) -> None:
        """Take over a codec with fewer levels, and seed the further levels from what its levels leave.

        Args:
            codec: Of the same sizes otherwise.
            motion_features: Windows of the training data, `(windows, frames, motion_feature_size)`, not normalized.

        Raises:
            ValueError: If the codecs differ in more than their levels.
        """
        known = len(codec.codebooks)
        state = codec.state_dict()
        try:
            for name in ("codebooks", "cluster_sums", "cluster_sizes"):
                own = getattr(self.quantizer, name).clone()
                own[:known] = state[f"quantizer.{name}"]
                state[f"quantizer.{name}"] = own
            self.load_state_dict(state)
        except RuntimeError as error:
            raise ValueError(f"`codec` must have the sizes of this one, but for fewer levels: {error}") from error
        latents, token_mask = self.encode_latents(motion_features)
        used = latents[token_mask]
        self.quantizer.seed_codebooks(
            used - codec.quantizer.lookup(codec.quantizer.search_codes(used[None]))[0], known
        )

    def encode(self, motion_features: torch.Tensor, frame_mask: torch.Tensor | None = None) -> torch.Tensor:
        """Encode features to codes.

        Where the last token is not filled, the last frame is repeated. `refine_codes` finds better codes in more time.

        Args:
            motion_features: `(batch, frames, motion_feature_size)`.
            frame_mask: `(batch, frames)` bool, true for real frames, which come first; all frames by default.

        Returns:
            `(batch, num_quantizers, num_tokens)`, int64, with `num_tokens` = ceil(frames / frames_per_token); 0 for
            padded tokens.

        Raises:
            ValueError: If a shape is wrong, a clip has no real frame, or padding is not at the end.
        """
        latents, token_mask = self.encode_latents(motion_features, frame_mask)
        return self.quantizer.search_codes(latents) * token_mask.unsqueeze(1)

    def encode_latents(
        self, motion_features: torch.Tensor, frame_mask: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what is quantized, `(batch, num_tokens, codebook_dim)`, float32, and its mask `(batch, num_tokens)`.

        Args:
            motion_features: As in [`~MotionCodecModel.encode`].
            frame_mask: As in [`~MotionCodecModel.encode`].
        """
        lengths = self._clip_lengths(motion_features, frame_mask)
        stride = self.config.frames_per_token
        frame_index = torch.arange(self.num_tokens(motion_features.shape[1]) * stride, device=motion_features.device)
        token_mask = frame_index[None, ::stride] < lengths[:, None]
        last_frame_repeated = torch.minimum(frame_index[None], lengths[:, None] - 1)
        clip_index = torch.arange(len(lengths), device=lengths.device)[:, None]
        normalized = self.normalize(motion_features[clip_index, last_frame_repeated])
        # Beyond the last token everything is zero, as beyond the end of a clip that stands alone.
        normalized = normalized * token_mask.repeat_interleave(stride, dim=1).unsqueeze(-1)
        latents = self.encoder(normalized.to(self.dtype), token_mask.unsqueeze(-1).to(self.dtype))
        return latents.float(), token_mask

    def decode(self, codes: torch.Tensor, token_mask: torch.Tensor | None = None) -> torch.Tensor:
        """Decode codes to features.

        Args:
            codes: `(batch, num_quantizers, num_tokens)`, in `[0, codebook_size)`.
            token_mask: `(batch, num_tokens)` bool, true for real tokens; all by default.

        Returns:
            `(batch, num_tokens * frames_per_token, motion_feature_size)`, not normalized; zero for padded tokens.

        Raises:
            ValueError: If the shape is wrong or a code is out of range.
        """
        if codes.ndim != 3 or codes.shape[1] != self.config.num_quantizers or codes.shape[2] == 0:
            raise ValueError(
                f"`codes` must have shape (batch, {self.config.num_quantizers}, num_tokens >= 1), got "
                f"{tuple(codes.shape)}."
            )
        if codes.min() < 0 or codes.max() >= self.config.codebook_size:
            raise ValueError(
                f"`codes` must lie in [0, {self.config.codebook_size}), got [{codes.min()}, {codes.max()}]."
            )
        return self.decode_latents(self.quantizer.lookup(codes), token_mask)

    def decode_latents(self, quantized_latents: torch.Tensor, token_mask: torch.Tensor | None = None) -> torch.Tensor:
        """Decode sums of code vectors, `(batch, num_tokens, codebook_dim)`; see [`~MotionCodecModel.decode`]."""
        if token_mask is None:
            token_mask = torch.ones(quantized_latents.shape[:2], dtype=torch.bool, device=quantized_latents.device)
        mask = token_mask.unsqueeze(-1).to(self.dtype)
        normalized = self.decoder(quantized_latents.to(self.dtype), mask).float()
        frame_mask = token_mask.repeat_interleave(self.config.frames_per_token, dim=1).unsqueeze(-1)
        return (normalized * self.feature_std.float() + self.feature_mean.float()) * frame_mask

    def forward(self, motion_features: torch.Tensor, frame_mask: torch.Tensor | None = None) -> MotionCodecOutput:
        """Encode, quantize and decode features, and compare them with the input.

        Args:
            motion_features: `(batch, frames, motion_feature_size)`.
            frame_mask: `(batch, frames)` bool, true for real frames, which come first; all frames by default.

        Returns:
            A [`MotionCodecOutput`]. In training mode the codebooks are updated.

        Raises:
            ValueError: As [`~MotionCodecModel.encode`].
        """
        latents, token_mask = self.encode_latents(motion_features, frame_mask)
        if frame_mask is None:
            frame_mask = torch.ones(motion_features.shape[:2], dtype=torch.bool, device=motion_features.device)
        with torch.autocast(latents.device.type, enabled=False):
            quantized_latents, codes, commitment_loss, perplexity = self.quantizer(latents, token_mask)
        reconstruction = self.decode_latents(quantized_latents, token_mask)[:, : motion_features.shape[1]]
        with torch.autocast(latents.device.type, enabled=False):
            terms = reconstruction_losses(
                reconstruction, motion_features.float(), self.feature_std, frame_mask, self.config.frame_rate
            )
        loss = self.config.commitment_loss_weight * commitment_loss
        for name, value in terms.items():
            loss = loss + getattr(self.config, f"{name}_loss_weight") * value
        return MotionCodecOutput(
            loss=loss,
            reconstruction=reconstruction,
            codes=codes,
            commitment_loss=commitment_loss,
            perplexity=perplexity,
            loss_terms=terms,
        )

    def _clip_lengths(self, motion_features: torch.Tensor, frame_mask: torch.Tensor | None) -> torch.Tensor:
        """Check the input and return the number of real frames of each clip, `(batch,)`."""
        feature_size = self.config.motion_feature_size
        if motion_features.ndim != 3 or motion_features.shape[2] != feature_size or motion_features.shape[1] == 0:
            raise ValueError(
                f"`motion_features` must have shape (batch, frames >= 1, {feature_size}) (see docs/data_format.md), "
                f"got {tuple(motion_features.shape)}. A `Motion` is converted by `motion_to_features`."
            )
        batch_size, num_frames = motion_features.shape[:2]
        if frame_mask is None:
            return torch.full((batch_size,), num_frames, device=motion_features.device)
        if tuple(frame_mask.shape) != (batch_size, num_frames) or frame_mask.dtype != torch.bool:
            raise ValueError(
                f"`frame_mask` must be bool of shape {(batch_size, num_frames)}, got {frame_mask.dtype} of shape "
                f"{tuple(frame_mask.shape)}."
            )
        lengths = frame_mask.sum(1)
        if (lengths == 0).any() or (frame_mask[:, 1:] & ~frame_mask[:, :-1]).any():
            raise ValueError("`frame_mask` must begin with at least one real frame in every clip and pad at the end.")
        return lengths
