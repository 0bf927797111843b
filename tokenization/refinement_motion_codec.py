"""Analysis by synthesis: choose the codes whose decoded motion, not whose latents, is nearest to a motion."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from .losses_motion_codec import hip_aligned_joint_positions, reconstruction_losses

if TYPE_CHECKING:
    from .modeling_motion_codec import MotionCodecModel

# Chosen on held-out clips that serve no test (docs/notes/codec.md).
_LEARNING_RATE = 0.05  # times the deviation of the latents
_PULL_TO_CODES = 0.03
_SPEED_LOSS_WEIGHT = 0.3
_WINDOW_FRAMES = 64
CHUNK_TOKENS = 512
"""Tokens of a long dance that are refined, or decoded, at once."""


def refine_codes(
    model: MotionCodecModel, motion_features: torch.Tensor, codes: torch.Tensor, num_steps: int
) -> torch.Tensor:
    """Improve the codes of one clip by gradient descent through the decoder.

    The encoder sees each token from the motion; what its code does to the decoded body, together with its neighbors,
    is only known after decoding. Here the latents themselves are the variables: each step quantizes them, decodes,
    and moves them against the gradient of the training losses, which passes the quantizer unchanged, and a little
    toward their codes. The codes with the least loss are kept, the given ones among them.
    Speech coders choose their excitation in this way (CELP, Schroeder and Atal 1985).

    Args:
        model: The codec, in evaluation mode; its parameters stay as they are.
        motion_features: `(frames, 269)`, not normalized.
        codes: Where to begin, `(num_quantizers, num_tokens)`, from `model.encode`.
        num_steps: Steps of descent; some 60 have most of the gain.

    Returns:
        `(num_quantizers, num_tokens)`, int64.
    """
    with torch.inference_mode(False), torch.enable_grad():
        latents, _ = model.encode_latents(motion_features[None].clone())
        codes, latents = codes.clone(), latents.detach()
        stride, num_tokens = model.config.frames_per_token, codes.shape[1]
        before, after = model.decoder_receptive_field
        for start in range(0, num_tokens, CHUNK_TOKENS):
            end = min(start + CHUNK_TOKENS, num_tokens)
            # What lies around a chunk is decoded with it but stays as it is.
            left = model.quantizer.lookup(codes[None, :, max(0, start - before) : start])
            right = model.quantizer.lookup(codes[None, :, end : end + after])
            codes[:, start:end] = _refine_chunk(
                model,
                motion_features[start * stride : end * stride],
                codes[:, start:end],
                (left, latents[:, start:end], right),
                num_steps,
            )
    return codes


def _refine_chunk(
    model: MotionCodecModel,
    motion_features: torch.Tensor,
    codes: torch.Tensor,
    latents: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
    num_steps: int,
) -> torch.Tensor:
    """Refine the codes of a chunk, `(num_quantizers, tokens)`, between fixed neighbors, `(1, tokens, channels)`."""
    left, variables, right = latents
    variables = variables.clone().requires_grad_()
    learning_rate = _LEARNING_RATE * float(variables.detach().std(correction=0))
    optimizer = torch.optim.Adam([variables], lr=learning_rate)
    best_loss, best_codes = torch.inf, codes

    def loss_of(quantized: torch.Tensor) -> torch.Tensor:
        first = left.shape[1] * model.config.frames_per_token
        decoded = model.decode_latents(torch.cat([left, quantized, right], dim=1))[0, first:]
        return synthesis_loss(model, decoded[: len(motion_features)], motion_features)

    for step in range(num_steps + 1):
        # The codes that are given are tried first.
        trial = codes if step == 0 else model.quantizer.search_codes(variables)[0]
        quantized = model.quantizer.lookup(trial[None])
        loss = loss_of(variables + (quantized - variables).detach())
        if loss < best_loss:
            best_loss, best_codes = loss.item(), trial
        optimizer.param_groups[0]["lr"] = learning_rate * (1 - step / (num_steps + 1))
        variables.grad = torch.autograd.grad(loss * len(motion_features), variables)[0]
        optimizer.step()
        with torch.no_grad():
            variables.lerp_(quantized, _PULL_TO_CODES)
    return best_codes


def synthesis_loss(model: MotionCodecModel, decoded: torch.Tensor, motion_features: torch.Tensor) -> torch.Tensor:
    """Return the codec's training loss without commitment, plus that of the joints' speeds.

    The path of the root counts from the start of each window of 2.1 s, as in training. A distance alone prefers too
    little motion to motion at the wrong moment, hence the speeds.

    Args:
        model: The codec.
        decoded: `(frames, 269)`, not normalized.
        motion_features: `(frames, 269)`, not normalized.
    """
    num_frames = min(_WINDOW_FRAMES, len(motion_features))
    # The last window ends with the clip and overlaps the one before it.
    last_start = len(motion_features) - num_frames
    starts = [min(start, last_start) for start in range(0, len(motion_features), num_frames)]
    decoded, motion_features = (
        torch.stack([features[start : start + num_frames] for start in starts])
        for features in (decoded, motion_features)
    )
    frame_mask = torch.ones(decoded.shape[:2], dtype=torch.bool, device=decoded.device)
    config = model.config
    terms = reconstruction_losses(decoded, motion_features, model.feature_std, frame_mask, config.frame_rate)
    loss = sum(getattr(config, f"{name}_loss_weight") * value for name, value in terms.items())
    speed, true_speed = (
        (hip_aligned_joint_positions(features).diff(dim=1).square().sum(-1) + 1e-8).sqrt() * config.frame_rate
        for features in (decoded, motion_features)
    )
    if num_frames > 1:
        loss = loss + _SPEED_LOSS_WEIGHT * (speed - true_speed).abs().mean()
    return loss
