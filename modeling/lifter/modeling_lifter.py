"""The lifter: a temporal network from landmarks in pictures to a dance in space."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.utils import ModelOutput

from ...motion.skeleton import NUM_JOINTS
from ...utils.checkpoints import CheckedWeightsMixin
from ..frdm.modeling_frdm import frame_embedding
from .configuration_lifter import FRAMES_PER_TOKEN, LifterConfig
from .landmark_view import NUM_VIEW_FEATURES
from .losses_lifter import LifterLabels, lifter_losses

NUM_CONTACTS = 4
ROOT_SCALE_METRES = 0.5
"""What `size` of a view is about in space, for a body of 1.70 m."""
_FRAME_OUTPUTS = {
    "joint_rotations_6d": 6 * NUM_JOINTS,
    "joint_offsets": 3 * (NUM_JOINTS - 1),
    "root_offset": 2,
    "root_log_depth": 1,
    "contact_logits": NUM_CONTACTS,
    "camera": 3,
}
_UNIT_ROTATION_6D = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


@dataclass
class LifterOutput(ModelOutput):
    """Output of a [`LifterModel`]; lengths are those of a body of 1.70 m.

    Space is that of a level camera: x to its right, y up, z toward the viewer, the camera at the origin.

    Args:
        loss (`torch.FloatTensor` of shape `()`):
            Weighted sum of `loss_terms`, where labels were given.
        loss_terms (`dict[str, torch.FloatTensor]`):
            The losses of `losses_lifter`, unweighted.
        joint_rotations_6d (`torch.FloatTensor` of shape `(batch, frames, 22, 6)`):
            Rotations of the joints in space (not relative to their parents), two columns of the matrices.
        joint_offsets (`torch.FloatTensor` of shape `(batch, frames, 21, 3)`):
            Positions of the joints but the root relative to it, metres.
        root_offset (`torch.FloatTensor` of shape `(batch, frames, 2)`):
            Of the root from the view's center in the picture, in sizes of the view.
        root_log_depth (`torch.FloatTensor` of shape `(batch, frames)`):
            Logarithm of the root's depth, times the view's size over the focal length, in units of 0.5 m.
        contact_logits (`torch.FloatTensor` of shape `(batch, frames, 4)`):
            Of left ankle, right ankle, left foot, right foot on the floor.
        camera (`torch.FloatTensor` of shape `(batch, 3)`):
            How far the camera is tilted down and turned clockwise, radians, and the logarithm of its focal length over
            the picture's diagonal.
    """

    loss: torch.Tensor | None = None
    loss_terms: dict[str, torch.Tensor] | None = None
    joint_rotations_6d: torch.Tensor | None = None
    joint_offsets: torch.Tensor | None = None
    root_offset: torch.Tensor | None = None
    root_log_depth: torch.Tensor | None = None
    contact_logits: torch.Tensor | None = None
    camera: torch.Tensor | None = None


class LifterModel(CheckedWeightsMixin, PreTrainedModel):
    """Transformer over windows of landmarks; see [`LifterOutput`].

    Windows are read two frames a token, by convolutions that overlap: all heavy work is done at 15 Hz.
    """

    config_class = LifterConfig
    base_model_prefix = "lifter"
    main_input_name = "view_features"
    _supports_sdpa = True

    def __init__(self, config: LifterConfig):
        super().__init__(config)
        size = config.hidden_size
        self.patch = nn.Conv1d(NUM_VIEW_FEATURES, size, 3 * FRAMES_PER_TOKEN, FRAMES_PER_TOKEN, padding=2)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                size,
                config.num_attention_heads,
                config.intermediate_size,
                config.dropout,
                activation="gelu",
                batch_first=True,
                norm_first=True,
            )
            for _ in range(config.num_hidden_layers)
        )
        self.norm = nn.LayerNorm(size)
        self.head = nn.ConvTranspose1d(
            size, sum(_FRAME_OUTPUTS.values()), 2 * FRAMES_PER_TOKEN, FRAMES_PER_TOKEN, padding=1
        )
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear | nn.Conv1d | nn.ConvTranspose1d):
            init.kaiming_uniform_(module.weight, a=math.sqrt(5))
            if module.bias is not None:
                init.zeros_(module.bias)
        elif isinstance(module, nn.LayerNorm):
            init.ones_(module.weight)
            init.zeros_(module.bias)
        elif isinstance(module, nn.MultiheadAttention):
            init.xavier_uniform_(module.in_proj_weight)
            init.zeros_(module.in_proj_bias)

    def forward(
        self,
        view_features: torch.Tensor,
        frame_mask: torch.Tensor | None = None,
        labels: LifterLabels | None = None,
    ) -> LifterOutput:
        """Lift windows.

        Args:
            view_features: `(batch, frames, 203)` of `view_landmarks`; an even number of frames.
            frame_mask: `(batch, frames)`, True = real frame; all by default.
            labels: The truth, for the losses.

        Raises:
            ValueError: If shapes do not fit.
        """
        self._check(view_features)
        batch, frames = view_features.shape[:2]
        if frame_mask is None:
            frame_mask = torch.ones(batch, frames, dtype=torch.bool, device=view_features.device)
        is_real = frame_mask.unsqueeze(-1)
        hidden_states = self.patch((view_features * is_real).transpose(1, 2)).transpose(1, 2)
        positions = frame_embedding(self.config.num_tokens, self.config.hidden_size).to(hidden_states)
        hidden_states = hidden_states + positions[: hidden_states.shape[1]]
        is_padding = ~frame_mask.unflatten(1, (-1, FRAMES_PER_TOKEN)).any(dim=-1)
        for layer in self.layers:
            hidden_states = layer(hidden_states, src_key_padding_mask=is_padding)
        states = self.head(self.norm(hidden_states).transpose(1, 2)).transpose(1, 2).float()
        parts = dict(zip(_FRAME_OUTPUTS, states.split(list(_FRAME_OUTPUTS.values()), dim=-1), strict=True))
        weights = is_real / is_real.sum(dim=1, keepdim=True)
        output = LifterOutput(
            joint_rotations_6d=parts["joint_rotations_6d"].unflatten(-1, (NUM_JOINTS, 6))
            + parts["joint_rotations_6d"].new_tensor(_UNIT_ROTATION_6D),
            joint_offsets=parts["joint_offsets"].unflatten(-1, (NUM_JOINTS - 1, 3)),
            root_offset=parts["root_offset"],
            root_log_depth=parts["root_log_depth"].squeeze(-1),
            contact_logits=parts["contact_logits"],
            camera=(parts["camera"] * weights).sum(dim=1),
        )
        if labels is not None:
            output.loss_terms = lifter_losses(output, labels, frame_mask)
            output.loss = sum(self.config.all_loss_weights[name] * term for name, term in output.loss_terms.items())
        return output

    def _check(self, view_features: torch.Tensor) -> None:
        if view_features.ndim != 3 or view_features.shape[2] != NUM_VIEW_FEATURES:
            raise ValueError(
                f"`view_features` must have shape (batch, frames, {NUM_VIEW_FEATURES}), got "
                f"{tuple(view_features.shape)}. Landmarks are converted by `view_landmarks`."
            )
        frames = view_features.shape[1]
        if frames % FRAMES_PER_TOKEN or not 0 < frames <= self.config.window_frames:
            raise ValueError(
                f"A window must have an even number of up to {self.config.window_frames} frames, got {frames}."
            )
