"""Configurations of the authors' released models; the defaults are the released sizes."""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import Any

from huggingface_hub.dataclasses import strict
from transformers import LlamaConfig, PreTrainedConfig

RELEASED_STYLES = ("Ballet", "Popular", "Latin", "Modern", "Folk", "Classic")
RELEASED_BACKBONE = {
    "hidden_size": 2048,
    "num_hidden_layers": 16,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 64,
    "intermediate_size": 8192,
    "rms_norm_eps": 1e-5,
    "attention_dropout": 0.1,
    "max_position_embeddings": 131072,
    "rope_parameters": {
        "rope_type": "llama3",
        "rope_theta": 500000.0,
        "factor": 32.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    },
    "tie_word_embeddings": True,
}
"""LLaMA-3.2-1B, whose vocabulary the release replaces."""


@strict
class ReleaseCodecConfig(PreTrainedConfig):
    """Sizes of a [`ReleaseCodecModel`], the released residual-VQ autoencoder of 264-channel motion features.

    Args:
        feature_dim (`int`, *optional*, defaults to 264):
            Channels of a frame.
        width (`int`, *optional*, defaults to 1024):
            Channels of the convolutions.
        code_dim (`int`, *optional*, defaults to 1024):
            Size of a codebook vector.
        num_codes (`int`, *optional*, defaults to 512):
            Codes of a level.
        num_quantizers (`int`, *optional*, defaults to 3):
            Levels of the residual quantizer.
        depth (`int`, *optional*, defaults to 3):
            Residual blocks behind each change of the rate.
        down_t (`int`, *optional*, defaults to 2):
            How many times the rate is divided by `stride`.
        stride (`int`, *optional*, defaults to 2):
            Frames that become one, each time; even.
        dilation_growth_rate (`int`, *optional*, defaults to 3):
            The blocks have the dilations `g ** (depth - 1), ..., g, 1`. Like `activation`, it is in no weight: a wrong
            value loads without an error and changes most codes. The file `args.json` beside the weights states both.
        activation (`str`, *optional*, defaults to `"relu"`):
            `"relu"`, `"gelu"` or `"silu"`, of the residual blocks.
        velocity_slice (`tuple[int, int]`, *optional*, defaults to `(3, 5)`):
            First channel of the root's velocity, and the one after the last: the velocity decoder writes them.
        frame_rate (`float`, *optional*, defaults to 30.0):
            Frames per second, Hz.
        reconstruction_loss (`str`, *optional*, defaults to `"l2"`):
            `"l2"`, `"l1"` or `"l1_smooth"`, of features and velocities in `loss`.
    """

    model_type = "choreollama_release_codec"

    feature_dim: int = 264
    width: int = 1024
    code_dim: int = 1024
    num_codes: int = 512
    num_quantizers: int = 3
    depth: int = 3
    down_t: int = 2
    stride: int = 2
    dilation_growth_rate: int = 3
    activation: str = "relu"
    velocity_slice: list[int] | tuple[int, ...] = (3, 5)
    frame_rate: float = 30.0
    reconstruction_loss: str = "l2"

    def validate_sizes(self) -> None:
        """Raise `ValueError` for sizes that build no network."""
        sizes = ("feature_dim", "width", "code_dim", "num_codes", "num_quantizers", "depth", "down_t")
        for name in (*sizes, "dilation_growth_rate"):
            if getattr(self, name) < 1:
                raise ValueError(f"`{name}` must be at least 1, got {getattr(self, name)}.")
        if self.stride < 2 or self.stride % 2:
            raise ValueError(f"`stride` must be even and at least 2, got {self.stride}.")
        if self.activation not in ("relu", "gelu", "silu"):
            raise ValueError(f'`activation` must be "relu", "gelu" or "silu", got {self.activation!r}.')
        if self.reconstruction_loss not in ("l2", "l1", "l1_smooth"):
            raise ValueError(
                f'`reconstruction_loss` must be "l2", "l1" or "l1_smooth", got {self.reconstruction_loss!r}.'
            )
        if len(self.velocity_slice) != 2 or not 0 <= self.velocity_slice[0] < self.velocity_slice[1]:
            raise ValueError(f"`velocity_slice` must be two rising channels, got {self.velocity_slice}.")

    @property
    def frames_per_token(self) -> int:
        """Frames of motion that one row of codes spans."""
        return self.stride**self.down_t

    @property
    def dilations(self) -> list[int]:
        """Dilation of each residual block, in their order: the largest first."""
        return [self.dilation_growth_rate**power for power in reversed(range(self.depth))]


@strict
class ReleaseRetrieverConfig(PreTrainedConfig):
    """Sizes of a [`ReleaseRetriever`], the released two towers of retrieval.

    Args:
        motion_dim (`int`, *optional*, defaults to 264):
            Channels of a frame of motion.
        music_dim (`int`, *optional*, defaults to 55):
            Channels of a frame of music.
        hidden (`int`, *optional*, defaults to 256):
            Width of the towers, and size of an embedding.
        layers (`int`, *optional*, defaults to 4):
            Layers of each tower.
        heads (`int`, *optional*, defaults to 4):
            Heads of an attention.
        feed_forward (`int`, *optional*, defaults to 1024):
            Width of the feed-forward part.
        max_frames (`int`, *optional*, defaults to 384):
            Learned positions: frames of the longest window (12.8 s).
        dropout (`float`, *optional*, defaults to 0.2):
            Dropout inside the feed-forward part.
        frame_rate (`float`, *optional*, defaults to 30.0):
            Frames per second of motion and of music, Hz.
    """

    model_type = "choreollama_release_retriever"

    motion_dim: int = 264
    music_dim: int = 55
    hidden: int = 256
    layers: int = 4
    heads: int = 4
    feed_forward: int = 1024
    max_frames: int = 384
    dropout: float = 0.2
    frame_rate: float = 30.0

    def validate_sizes(self) -> None:
        """Raise `ValueError` for sizes that build no network."""
        for name in ("motion_dim", "music_dim", "hidden", "layers", "heads", "feed_forward", "max_frames"):
            if getattr(self, name) < 1:
                raise ValueError(f"`{name}` must be at least 1, got {getattr(self, name)}.")
        if self.hidden % self.heads:
            raise ValueError(f"`hidden` must be a multiple of `heads`, got {self.hidden} and {self.heads}.")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"`dropout` must lie in [0, 1), got {self.dropout}.")


@strict
class ChoreoLlamaReleaseConfig(PreTrainedConfig):
    """Sizes of a [`ChoreoLlamaReleaseModel`], the released generator.

    Args:
        text_config (`PreTrainedConfig` or `dict`, *optional*):
            The LLaMA that writes the codes; LLaMA-3.2-1B by default. Its `vocab_size` is set here, to that of the
            fields below: the released weights have another one than the file that names their LLaMA.
        codec_config (`PreTrainedConfig` or `dict`, *optional*):
            The codec, whose codebook vectors the generator reads.
        music_dim (`int`, *optional*, defaults to 1024):
            Channels of a frame of music features (MuQ).
        style_dim (`int`, *optional*, defaults to 64):
            Size of the style embedding.
        condition_dim (`int`, *optional*, defaults to 264):
            Channels of a frame of the retrieved dance.
        condition_frames (`int`, *optional*, defaults to 384):
            Frames of the retrieved dance in a window: 12.8 s at 30 Hz.
        music_frames (`int`, *optional*, defaults to 320):
            Frames of music in a window: 12.8 s at 25 Hz.
        music_frame_rate (`float`, *optional*, defaults to 25.0):
            Frames of music per second, Hz.
        dance_bridge_dim (`int`, *optional*, defaults to 2048):
            Width between the two layers that map a codebook vector to an input of the LLaMA.
        styles (`list[str]`, *optional*):
            Names of the styles in the order of their ids; the six of the release by default.
        num_bridge_heads (`int`, *optional*, defaults to 8):
            Attention heads of the experts of the music bridge. It is in no file and in no shape of the release.
        band_edges_hz (`list[float]`, *optional*, defaults to `[7.5]`):
            Inner edges of the bands into which the condition is split, Hz; each band has an expert of its own.
        mamba_state_size (`int`, *optional*, defaults to 16), mamba_conv_size (`int`, *optional*, defaults to 4),
            mamba_expand (`int`, *optional*, defaults to 2): Sizes of the Mamba layer of each expert.
        dance_token_start (`int`, *optional*, defaults to 4096):
            Id of code 0 of level 0; the ids below stand for music and are used nowhere.
        num_special_tokens (`int`, *optional*, defaults to 256):
            Ids behind those of the codes, used nowhere.
        style_loss_weight (`float`, *optional*, defaults to 0.15):
            Weight of the cross entropy of the style.
        initializer_range (`float`, *optional*, defaults to 0.02):
            Standard deviation of the initial matrices.
    """

    model_type = "choreollama_release"
    sub_configs = {"text_config": LlamaConfig, "codec_config": ReleaseCodecConfig}

    text_config: Any = None
    codec_config: Any = None
    music_dim: int = 1024
    style_dim: int = 64
    condition_dim: int = 264
    condition_frames: int = 384
    music_frames: int = 320
    music_frame_rate: float = 25.0
    dance_bridge_dim: int = 2048
    styles: list[str] | tuple[str, ...] = RELEASED_STYLES
    num_bridge_heads: int = 8
    band_edges_hz: list[float] | tuple[float, ...] = (7.5,)
    mamba_state_size: int = 16
    mamba_conv_size: int = 4
    mamba_expand: int = 2
    dance_token_start: int = 4096
    num_special_tokens: int = 256
    style_loss_weight: float = 0.15
    initializer_range: float = 0.02
    tie_word_embeddings: bool = True

    def __post_init__(self, **kwargs: Any) -> None:
        """Build the nested configurations and set the vocabulary, which follows from the codebooks."""
        self.codec_config = _nested(self.codec_config or {}, ReleaseCodecConfig)
        text = self.text_config = copy.deepcopy(_nested(self.text_config or RELEASED_BACKBONE, LlamaConfig))
        super().__post_init__(**kwargs)
        self.styles, self.band_edges_hz = list(self.styles), [float(edge) for edge in self.band_edges_hz]
        self.vocab_size = text.vocab_size = self.dance_token_start + self.num_dance_tokens + self.num_special_tokens
        text.tie_word_embeddings = self.tie_word_embeddings
        text.bos_token_id = text.eos_token_id = text.pad_token_id = None
        self.bos_token_id = self.eos_token_id = self.pad_token_id = None

    def validate_sizes(self) -> None:
        """Raise `ValueError` for fields that contradict each other."""
        if not isinstance(self.text_config, LlamaConfig):
            raise ValueError(f"`text_config` must be a `LlamaConfig`, got {type(self.text_config).__name__}.")
        edges = [0.0, *self.band_edges_hz, self.condition_rate / 2]
        if any(low >= high for low, high in pairwise(edges)):
            raise ValueError(
                f"`band_edges_hz` must rise between 0 and {self.condition_rate / 2} Hz, got {self.band_edges_hz}."
            )
        if self.hidden_size % self.num_bridge_heads:
            raise ValueError(
                f"The LLaMA's width must be a multiple of `num_bridge_heads`, got {self.hidden_size} and "
                f"{self.num_bridge_heads}."
            )
        if not self.styles or len(set(self.styles)) != len(self.styles):
            raise ValueError(f"`styles` must be distinct names, at least one, got {self.styles}.")
        if self.condition_frames % self.codec_config.frames_per_token:
            raise ValueError(f"`condition_frames` must be whole tokens of the codec, got {self.condition_frames}.")

    def get_text_config(self, decoder: bool | None = None, encoder: bool | None = None) -> PreTrainedConfig:
        """Return the LLaMA's configuration, from which transformers sizes the cache."""
        return self.text_config

    @property
    def hidden_size(self) -> int:
        """Width of the LLaMA."""
        return self.text_config.hidden_size

    @property
    def num_styles(self) -> int:
        """Number of styles."""
        return len(self.styles)

    @property
    def num_quantizers(self) -> int:
        """Levels of the codec."""
        return self.codec_config.num_quantizers

    @property
    def num_codes(self) -> int:
        """Codes of one level; code `c` of level `q` has the id `dance_token_start + q * num_codes + c`."""
        return self.codec_config.num_codes

    @property
    def num_dance_tokens(self) -> int:
        """Ids of the codes of all levels."""
        return self.num_quantizers * self.num_codes

    @property
    def condition_rate(self) -> float:
        """Frames of motion per second, Hz; the release takes it for the rate of the resampled condition as well."""
        return self.codec_config.frame_rate

    @property
    def window_tokens(self) -> int:
        """Ids that a window of dance has: one a level for each row of codes."""
        return self.condition_frames // self.codec_config.frames_per_token * self.num_quantizers


def _nested(config: Any, config_class: type[PreTrainedConfig]) -> Any:
    """Return a nested configuration, built from its fields if it is a dictionary."""
    return config_class(**config) if isinstance(config, dict) else config
