"""The released codec: convolutions over 264-channel motion features, and a residual quantizer between them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.utils import ModelOutput

from ...utils.checkpoints import CheckedWeightsMixin
from ...utils.feature_statistics import FeatureStatisticsMixin
from .configuration_choreollama_release import ReleaseCodecConfig
from .losses_release_codec import COMMITMENT_WEIGHT, feature_loss, rotation_loss, velocity_loss

ROTATION_CHANNELS = 128
"""What the rotation decoder writes: the heading, its velocity and the 126 channels of the joints' rotations."""
_ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU}


@dataclass
class ReleaseCodecOutput(ModelOutput):
    """What a [`ReleaseCodecModel`] computes.

    Args:
        loss (`torch.FloatTensor` of shape `()`):
            Sum of the losses of the three decoders and 0.05 of `commitment_loss`. The release trains the decoders of
            velocity and rotation after the rest, each alone: freeze what is to stay.
        reconstruction (`torch.FloatTensor` of shape `(batch, frames, feature_dim)`):
            What the decoder writes, normalized; without the velocities of the velocity decoder.
        velocity (`torch.FloatTensor` of shape `(batch, frames, 2)`):
            The root's velocity in x and z from the velocity decoder, normalized.
        rotations (`torch.FloatTensor` of shape `(batch, frames, 128)`):
            Heading, yaw velocity and joint rotations from the rotation decoder, normalized.
        codes (`torch.LongTensor` of shape `(batch, num_tokens, num_quantizers)`):
            Codes of each level.
        commitment_loss (`torch.FloatTensor` of shape `()`):
            Mean over levels of the mean squared distance between what was quantized and its code.
        perplexity (`torch.FloatTensor` of shape `()`):
            Mean over levels of the effective number of codes in use.
    """

    loss: torch.Tensor | None = None
    reconstruction: torch.Tensor | None = None
    velocity: torch.Tensor | None = None
    rotations: torch.Tensor | None = None
    codes: torch.Tensor | None = None
    commitment_loss: torch.Tensor | None = None
    perplexity: torch.Tensor | None = None


class ReleaseResidualBlock(nn.Module):
    """What a dilated convolution and one of single frames find is added to the input."""

    def __init__(self, width: int, dilation: int, activation: str):
        super().__init__()
        self.activation = _ACTIVATIONS[activation]()
        self.conv1 = nn.Conv1d(width, width, 3, padding=dilation, dilation=dilation)
        self.conv2 = nn.Conv1d(width, width, 1)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """Map `(batch, width, length)` to the same shape."""
        return hidden_states + self.conv2(self.activation(self.conv1(self.activation(hidden_states))))


class ReleaseResidualStack(nn.Module):
    """Residual blocks, the largest dilation first, in the encoder as in the decoders."""

    def __init__(self, config: ReleaseCodecConfig):
        super().__init__()
        self.model = nn.Sequential(
            *(ReleaseResidualBlock(config.width, dilation, config.activation) for dilation in config.dilations)
        )

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """Map `(batch, width, length)` to the same shape."""
        return self.model(hidden_states)


class ReleaseEncoder(nn.Module):
    """Normalized features to latents, at `1 / frames_per_token` of the rate.

    Names and numbers of the layers are those of the released weights.
    """

    def __init__(self, config: ReleaseCodecConfig):
        super().__init__()
        width, stride = config.width, config.stride
        self.model = nn.Sequential(
            nn.Conv1d(config.feature_dim, width, 3, padding=1),
            nn.ReLU(),
            *(
                nn.Sequential(
                    nn.Conv1d(width, width, 2 * stride, stride, padding=stride // 2), ReleaseResidualStack(config)
                )
                for _ in range(config.down_t)
            ),
            nn.Conv1d(width, config.code_dim, 3, padding=1),
        )

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Map `(batch, feature_dim, frames)` to `(batch, code_dim, frames // frames_per_token)`."""
        return self.model(features)


class ReleaseDecoder(nn.Module):
    """Latents to normalized features; layers are named and numbered as in the released weights.

    Args:
        config: The configuration.
        num_channels: Channels of a frame.
    """

    def __init__(self, config: ReleaseCodecConfig, num_channels: int):
        super().__init__()
        width = config.width
        self.model = nn.Sequential(
            nn.Conv1d(config.code_dim, width, 3, padding=1),
            nn.ReLU(),
            *(
                nn.Sequential(
                    ReleaseResidualStack(config),
                    nn.Upsample(scale_factor=config.stride, mode="nearest"),
                    nn.Conv1d(width, width, 3, padding=1),
                )
                for _ in range(config.down_t)
            ),
            nn.Conv1d(width, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv1d(width, num_channels, 3, padding=1),
        )

    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        """Map `(batch, code_dim, num_tokens)` to `(batch, num_channels, frames)`."""
        return self.model(latents)


class ReleaseCodebook(nn.Module):
    """The codebook of one level, `(num_codes, code_dim)`: data, not a parameter."""

    codebook: torch.Tensor

    def __init__(self, config: ReleaseCodecConfig):
        super().__init__()
        self.register_buffer("codebook", torch.zeros(config.num_codes, config.code_dim))


class ReleaseQuantizer(nn.Module):
    """The residual quantizer: each level takes the nearest code of what the levels before it left."""

    def __init__(self, config: ReleaseCodecConfig):
        super().__init__()
        self.layers = nn.ModuleList(ReleaseCodebook(config) for _ in range(config.num_quantizers))

    @property
    def codebooks(self) -> list[torch.Tensor]:
        """The codebook of each level, `(num_codes, code_dim)`."""
        return [layer.get_buffer("codebook") for layer in self.layers]

    def search_codes(self, latents: torch.Tensor) -> torch.Tensor:
        """Return the codes of latents `(..., code_dim)`: `(..., num_quantizers)`."""
        residual, codes = latents, []
        for codebook in self.codebooks:
            level_codes = (codebook.square().sum(-1) - 2 * residual @ codebook.T).argmin(-1)
            codes.append(level_codes)
            residual = residual - codebook[level_codes]
        return torch.stack(codes, dim=-1)

    def lookup(self, codes: torch.Tensor) -> torch.Tensor:
        """Return the vectors of codes `(..., num_quantizers)`: `(num_quantizers, ..., code_dim)`; of -1, zeros."""
        return torch.stack(
            [
                codebook[codes[..., level].clamp(min=0)] * (codes[..., level, None] >= 0)
                for level, codebook in enumerate(self.codebooks)
            ]
        )


class ReleaseCodecModel(CheckedWeightsMixin, PreTrainedModel, FeatureStatisticsMixin):
    """The authors' released motion codec. Its codebooks are data: training leaves them as they are.

    Features go in and come out as they are: mean and standard deviation are part of the model
    ([`~ReleaseCodecModel.set_feature_statistics`]; those of `alldata_new_joint_vecs264`). Of the three decoders the
    one of rotations is carried, but not used, as in the release.
    """

    config_class = ReleaseCodecConfig
    base_model_prefix = "release_codec"
    main_input_name = "features"
    _supports_sdpa = True  # no attention inside; a model that holds this one may ask for any implementation

    def __init__(self, config: ReleaseCodecConfig):
        super().__init__(config)
        first, stop = config.velocity_slice
        self.encoder = ReleaseEncoder(config)
        self.decoder = ReleaseDecoder(config, config.feature_dim)
        self.vel_decoder = ReleaseDecoder(config, stop - first)
        self.rot_decoder = ReleaseDecoder(config, ROTATION_CHANNELS)
        self.quantizer = ReleaseQuantizer(config)
        self.add_feature_statistics(config.feature_dim)
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Conv1d):
            init.kaiming_uniform_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                init.zeros_(module.bias)
        elif isinstance(module, ReleaseCodebook):
            init.normal_(module.codebook)
        elif isinstance(module, ReleaseCodecModel):
            module.init_feature_statistics()

    @property
    def codebooks(self) -> torch.Tensor:
        """The codes' vectors, `(num_quantizers, num_codes, code_dim)`."""
        return torch.stack(self.quantizer.codebooks)

    def encode(self, features: torch.Tensor) -> torch.Tensor:
        """Encode features to codes.

        Args:
            features: `(batch, frames, feature_dim)`, not normalized. Frames behind the last whole token are not read
                to the end.

        Returns:
            `(batch, frames // frames_per_token, num_quantizers)`, int64.

        Raises:
            ValueError: If the shape is wrong.
        """
        return self.quantizer.search_codes(self._encode_latents(self._normalized(features)))

    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        """Decode codes to features, the root's velocity by its own decoder.

        Args:
            codes: `(batch, num_tokens, num_quantizers)`, in `[-1, num_codes)`; a code of -1 adds nothing.

        Returns:
            `(batch, num_tokens * frames_per_token, feature_dim)`, not normalized.

        Raises:
            ValueError: If the shape is wrong or a code is out of range.
        """
        if codes.ndim != 3 or codes.shape[2] != self.config.num_quantizers or codes.shape[1] == 0:
            raise ValueError(
                f"`codes` must have shape (batch, num_tokens >= 1, {self.config.num_quantizers}), got "
                f"{tuple(codes.shape)}."
            )
        if codes.min() < -1 or codes.max() >= self.config.num_codes:
            raise ValueError(
                f"`codes` must lie in [-1, {self.config.num_codes}), got [{codes.min()}, {codes.max()}]. Ids are "
                "converted by `ids_to_codes`."
            )
        latents = self.quantizer.lookup(codes).sum(0).transpose(1, 2)
        first, stop = self.config.velocity_slice
        normalized = self.decoder(latents).transpose(1, 2).clone()
        normalized[..., first:stop] = self.vel_decoder(latents).transpose(1, 2)
        return normalized * self.feature_std + self.feature_mean

    def forward(self, features: torch.Tensor) -> ReleaseCodecOutput:
        """Encode, quantize and decode features; see [`ReleaseCodecOutput`].

        Args:
            features: `(batch, frames, feature_dim)`, not normalized.

        Raises:
            ValueError: If the shape is wrong.
        """
        normalized = self._normalized(features)
        latents = self._encode_latents(normalized)
        codes = self.quantizer.search_codes(latents)
        vectors = self.quantizer.lookup(codes)
        left = latents - torch.cat([torch.zeros_like(vectors[:1]), vectors.cumsum(0)[:-1]])
        usage = F.one_hot(codes, self.config.num_codes).float().flatten(0, 1).mean(0)  # (num_quantizers, num_codes)
        quantized = (latents + (vectors.sum(0) - latents).detach()).transpose(1, 2)
        reconstruction, velocity, rotations = (
            decoder(quantized).transpose(1, 2) for decoder in (self.decoder, self.vel_decoder, self.rot_decoder)
        )
        true = normalized[:, : reconstruction.shape[1]]
        kind, commitment_loss = self.config.reconstruction_loss, (left - vectors).square().mean()
        return ReleaseCodecOutput(
            loss=feature_loss(reconstruction, true, kind)
            + velocity_loss(velocity, true[..., slice(*self.config.velocity_slice)], kind)
            + rotation_loss(rotations, true)
            + COMMITMENT_WEIGHT * commitment_loss,
            reconstruction=reconstruction,
            velocity=velocity,
            rotations=rotations,
            codes=codes,
            commitment_loss=commitment_loss,
            perplexity=torch.special.entr(usage).sum(-1).exp().mean(),
        )

    def _encode_latents(self, normalized: torch.Tensor) -> torch.Tensor:
        return self.encoder(normalized.transpose(1, 2)).transpose(1, 2)

    def _normalized(self, features: torch.Tensor) -> torch.Tensor:
        size, frames = self.config.feature_dim, self.config.frames_per_token
        if features.ndim != 3 or features.shape[2] != size or features.shape[1] < frames:
            raise ValueError(
                f"`features` must have shape (batch, frames >= {frames}, {size}), got {tuple(features.shape)}."
            )
        return self.normalize(features.to(self.dtype))
