"""The small decoder that writes the codes of one token, level by level (`code_pattern="depth"`)."""

import torch
from torch import nn
from torch.nn import functional as F

from .configuration_choreollama import ChoreoLlamaConfig


class DepthLevel(nn.Module):
    """One level of the depth decoder: a gated MLP around which the backbone's output passes unchanged.

    Args:
        config: The configuration.
        level: Of the residual quantizer, from 0.
    """

    def __init__(self, config: ChoreoLlamaConfig, level: int):
        super().__init__()
        hidden_size, depth_hidden_size = config.hidden_size, config.depth_hidden_size
        # Level 0 has no lower level to hear.
        self.code_projection = nn.Linear(hidden_size, hidden_size, bias=False) if level > 0 else None
        self.norm = nn.RMSNorm(hidden_size, eps=config.backbone_config.rms_norm_eps)  # type: ignore[union-attr]
        self.gate_proj = nn.Linear(hidden_size, depth_hidden_size, bias=False)
        self.up_proj = nn.Linear(hidden_size, depth_hidden_size, bias=False)
        self.down_proj = nn.Linear(depth_hidden_size, hidden_size, bias=False)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, hidden_states: torch.Tensor, lower_embeddings: torch.Tensor | None) -> torch.Tensor:
        """Turn the backbone's output into what the head of this level reads.

        Args:
            hidden_states: Of the backbone, `(..., hidden_size)`.
            lower_embeddings: Sum of the embeddings of the same token's codes of all lower levels,
                `(..., hidden_size)`; none for level 0.

        Returns:
            `(..., hidden_size)`.
        """
        if self.code_projection is not None:
            hidden_states = hidden_states + self.code_projection(lower_embeddings)
        normalized = self.norm(hidden_states)
        changed = self.down_proj(F.silu(self.gate_proj(normalized)) * self.up_proj(normalized))
        return hidden_states + self.dropout(changed)


class DepthDecoder(nn.Module):
    """Decoder of the levels within a token, one `DepthLevel` each.

    Moshi and CSM run a second transformer here. With three levels, an MLP that reads the sum of the lower codes'
    embeddings sees everything a transformer would, at a fraction of the operators.

    Args:
        config: The configuration.
    """

    def __init__(self, config: ChoreoLlamaConfig):
        super().__init__()
        self.levels = nn.ModuleList(DepthLevel(config, level) for level in range(config.num_quantizers))

    def forward(self, hidden_states: torch.Tensor, embeddings: torch.Tensor) -> torch.Tensor:
        """Read known codes, as training does.

        Args:
            hidden_states: Of the backbone, one for each token, `(batch, num_tokens, hidden_size)`.
            embeddings: Of the codes of these tokens, `(batch, num_tokens, num_quantizers, hidden_size)`. A level
                reads those below it, so the last ones have no effect.

        Returns:
            What the heads read, `(batch, num_tokens, num_quantizers, hidden_size)`.
        """
        lower = embeddings.cumsum(dim=2)
        outputs = [
            level(hidden_states, lower[:, :, index - 1] if index > 0 else None)
            for index, level in enumerate(self.levels)
        ]
        return torch.stack(outputs, dim=2)
