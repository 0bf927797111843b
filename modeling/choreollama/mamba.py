"""A Mamba layer (Gu and Dao, 2023) that trains on a CPU and loads `mamba_ssm.Mamba` weights."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional as F
from transformers import initialization as init

try:
    from mamba_ssm.ops.selective_scan_interface import selective_scan_fn
except Exception:  # a build for another CUDA raises ImportError, OSError or ModuleNotFoundError of its own parts
    selective_scan_fn = None


def selective_scan(
    inputs: torch.Tensor,
    time_steps: torch.Tensor,
    state_decay: torch.Tensor,
    input_weights: torch.Tensor,
    output_weights: torch.Tensor,
) -> torch.Tensor:
    """Run the selective state-space recurrence over time.

    With A = `state_decay`, B = `input_weights`, C = `output_weights`, dt = `time_steps`, u = `inputs`:
    `h_t = exp(dt_t A) h_{t-1} + dt_t u_t B_t`, `y_t = C_t h_t`.

    Args:
        inputs: `(batch, length, channels)`.
        time_steps: `(batch, length, channels)`, positive.
        state_decay: `(channels, states)`, negative.
        input_weights: `(batch, length, states)`.
        output_weights: `(batch, length, states)`.

    Returns:
        `(batch, length, channels)`.
    """
    if selective_scan_fn is not None and inputs.is_cuda:
        # The kernel wants time last.
        outputs = selective_scan_fn(
            inputs.mT.contiguous(),
            time_steps.mT.contiguous(),
            state_decay,
            input_weights.mT.contiguous(),
            output_weights.mT.contiguous(),
        )
        return outputs.mT
    state = inputs.new_zeros(inputs.shape[0], inputs.shape[2], state_decay.shape[1])
    outputs = []
    # `unbind` has a cheap backward; indexing a (batch, length, channels, states) tensor is quadratic in the length.
    steps = zip(
        time_steps.unbind(1),
        (time_steps * inputs).unbind(1),
        input_weights.unbind(1),
        output_weights.unbind(1),
        strict=True,
    )
    for time_step, driven, input_weight, output_weight in steps:
        decay = torch.exp(time_step.unsqueeze(-1) * state_decay)
        state = torch.addcmul(driven.unsqueeze(-1) * input_weight.unsqueeze(1), decay, state)
        outputs.append(torch.bmm(state, output_weight.unsqueeze(-1)).squeeze(-1))
    return torch.stack(outputs, dim=1)


class MambaLayer(nn.Module):
    """A selective state-space layer: causal, linear in the length.

    Parameter names and shapes are those of `mamba_ssm.Mamba`, whose CUDA kernel is used where it is installed and the
    tensors are on a GPU.

    Args:
        hidden_size: Channels in and out.
        state_size: States of each inner channel.
        conv_size: Taps of the causal depthwise convolution.
        expand: Inner channels for each channel.
    """

    def __init__(self, hidden_size: int, state_size: int = 16, conv_size: int = 4, expand: int = 2):
        super().__init__()
        inner_size = expand * hidden_size
        self.time_step_rank = math.ceil(hidden_size / 16)
        self.state_size = state_size
        self.in_proj = nn.Linear(hidden_size, 2 * inner_size, bias=False)
        self.conv1d = nn.Conv1d(inner_size, inner_size, conv_size, groups=inner_size, padding=conv_size - 1)
        self.x_proj = nn.Linear(inner_size, self.time_step_rank + 2 * state_size, bias=False)
        self.dt_proj = nn.Linear(self.time_step_rank, inner_size)
        self.A_log = nn.Parameter(torch.empty(inner_size, state_size))
        self.D = nn.Parameter(torch.empty(inner_size))
        self.out_proj = nn.Linear(inner_size, hidden_size, bias=False)

    @torch.no_grad()
    def init_weights(self) -> None:
        """Draw the parameters as the Mamba paper does, skipping those that were loaded.

        The states decay at 1, 2, ... `state_size` per unit of time; the time steps are log-uniform in [0.001, 0.1].
        """
        inner_size = self.D.shape[0]
        rates = torch.arange(1, self.state_size + 1, dtype=torch.float32, device=self.D.device)
        init.copy_(self.A_log, torch.log(rates).expand(inner_size, -1))
        init.ones_(self.D)
        bound = self.time_step_rank**-0.5
        init.uniform_(self.dt_proj.weight, -bound, bound)
        low, high = math.log(1e-3), math.log(1e-1)
        time_steps = torch.exp(torch.rand(inner_size, device=self.D.device) * (high - low) + low)
        init.copy_(self.dt_proj.bias, time_steps + torch.log(-torch.expm1(-time_steps)))  # inverse of softplus

    def forward(self, hidden_states: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Filter a sequence.

        Args:
            hidden_states: `(batch, length, hidden_size)`.
            mask: `(batch, length)`, True = real. A step that is not real leaves the state as if it were absent only
                where all real steps come after it or before it: padding on either side, never holes.

        Returns:
            `(batch, length, hidden_size)`.
        """
        length = hidden_states.shape[1]
        inner, gate = self.in_proj(hidden_states).chunk(2, dim=-1)
        if mask is not None:
            inner = inner * mask.unsqueeze(-1)
        inner = F.silu(self.conv1d(inner.mT)[..., :length].mT)
        if mask is not None:
            inner = inner * mask.unsqueeze(-1)  # again: the bias of the convolution must not drive the state
        time_steps, input_weights, output_weights = self.x_proj(inner).split(
            [self.time_step_rank, self.state_size, self.state_size], dim=-1
        )
        time_steps = F.softplus(self.dt_proj(time_steps))
        with torch.autocast(inner.device.type, enabled=False):  # products of decays lose too much in 16 bits
            outputs = selective_scan(
                inner.float(),
                time_steps.float(),
                -torch.exp(self.A_log.float()),
                input_weights.float(),
                output_weights.float(),
            )
        outputs = (outputs + inner * self.D) * F.silu(gate)
        return self.out_proj(outputs.to(hidden_states.dtype))
