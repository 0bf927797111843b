"""Configuration of ChoreoLLaMA, the model that writes motion codes for a song."""

import copy
from itertools import pairwise
from typing import Any

from huggingface_hub.dataclasses import strict
from transformers import AutoConfig, PreTrainedConfig

SMALL_BACKBONE = {
    "hidden_size": 256,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "intermediate_size": 768,
    "max_position_embeddings": 512,
}
LLAMA_3_2_1B_BACKBONE = {
    "hidden_size": 2048,
    "num_hidden_layers": 16,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "intermediate_size": 8192,
    "rms_norm_eps": 1e-5,
    "max_position_embeddings": 2048,
    "rope_parameters": {"rope_type": "default", "rope_theta": 500000.0},
}

MAX_ADDED_GENRES = 16
"""Genres that adapters can add to those of a model; their ids follow that of "any"."""
LORA_TARGETS = (
    *("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"),
    *("code_projection", "input_projection", "query_key_value", "attention_output"),
    *("in_proj", "x_proj", "out_proj", "gate", "mixing", "added_genre_embedding", "lm_head"),
)
"""Modules that adapters change: backbone, depth decoder, experts, heads and added genres, nothing of the codec."""


@strict
class ChoreoLlamaConfig(PreTrainedConfig):
    """Configuration of `ChoreoLlamaModel` and `ChoreoLlamaForConditionalGeneration` (paper section 3.3).

    The defaults are a small model that runs on a CPU, `paper_1b` is the paper's; those that ship are set in
    `training/configs/choreollama.yaml`. A *token* is one time step of the motion codec, `frames_per_token` frames
    long; a *code* is one of its `num_quantizers` indices.

    Args:
        backbone_config (`PreTrainedConfig` or `dict`, *optional*):
            The decoder that writes the codes, a LLaMA built by `AutoModel`. Its `vocab_size` and special ids follow
            from the fields below and are set here.
        codec_config (`PreTrainedConfig` or `dict`, *optional*):
            The frozen motion codec carried inside the model (`model_type` `"motion_codec"`), or none.
        music_feature_size (`int`): Channels of one frame of music features.
        motion_feature_size (`int`): Channels of one frame of a retrieved reference dance.
        frame_rate (`float`): Frames per second of music and motion, in Hz.
        frames_per_token (`int`): Frames that one motion token spans.
        genres (`list[str]`): Names of the genres; the index is the genre's id, and `num_genres` stands for "any".
        genre_embedding_size (`int`): Size of the genre embedding (paper: 256), and of that of the side.
        clock_feature_size (`int`): Last channels of the music features, the beat clock; the others are spectra.
        controls_side (`bool`): Whether a dance can be asked on its natural or on its mirrored side (ours).
        controls_energy (`bool`): Whether a curve of energy can be asked for (ours).
        num_quantizers (`int`): Levels of the residual quantizer.
        codebook_size (`int`): Codes of one level.
        codebook_dim (`int`): Size of one codebook vector.
        expert_hidden_size (`int`): Width of every Cadence-MoE expert (paper: the backbone's width).
        expert_num_heads (`int`): Attention heads of an expert.
        expert_attention_tokens (`int`):
            How far back the attention of an expert reaches, in tokens. Our value: the paper attends to its whole
            12.8 s window; a bounded reach makes the cost of a song linear in its length.
        mamba_state_size (`int`), mamba_conv_size (`int`), mamba_expand (`int`): Sizes of the expert's Mamba layer.
        cutoff_hz (`list[float]`):
            Inner edges of the frequency bands of the references, rising, in Hz on the motion time axis. Each of the
            `num_bands = len(cutoff_hz) + 1` bands has its own expert (paper: 2). The default of 1 Hz
            halves the joint-velocity energy of the ballroom dances (0.58 below, 0.42 above): figures and changes of
            weight below, beats and accents above. The released code's 7.5 Hz leaves less than 1 % above.
        gate (`str`):
            `"softmax"`: a gate read from the universal expert weights the bands at every token (paper);
            `"concat"`: the bands are concatenated without a gate (released code).
        load_balance_weight (`float`): Weight of the term that keeps the gate from ignoring a band (ours).
        condition_placement (`str`):
            `"aligned"`: the condition of a token is added to the inputs that predict its codes (ours);
            `"prefix"`: all conditions of a window stand before its codes (paper).
        code_pattern (`str`):
            In which order the codes of a token are written. `"flat"`: one step of the backbone a code, level 0 first
            (paper). `"delay"`: one step a token, which writes level `q` of the token `q` before its own, all levels
            independently of each other (MusicGen). `"depth"`: one step a token, after which a small decoder writes
            the levels of the token one after the other (Moshi, CSM).
        depth_hidden_size (`int`): `"depth"` only: width of the gated MLP that each level of that decoder has.
        lookahead_seconds (`float`):
            `"aligned"` only: music heard beyond the end of a token, in seconds; a whole number of tokens.
        max_references (`int`): Most retrieved dances accepted for one song (paper: 10).
        max_window_tokens (`int`): Length of a training window and of the context window of generation, in tokens.
        dropout (`float`):
            Dropout after the embeddings and after every attention and MLP block of the backbone (ours; 0 off).
        condition_dropout (`float`):
            Probability, per clip in training, that music, genre and references are dropped together: this is what the
            unconditional side of classifier-free guidance is trained on.
        music_dropout, spectra_dropout, genre_dropout, reference_dropout, side_dropout, energy_dropout (`float`):
            Further probabilities of dropping each condition on its own, independently of the others. Without spectra
            the beat clock is left of the music; a `spectra_dropout` of 1 makes a model that never hears them, in
            generation neither: one that learns from dances without sound.
        history_mask_prob (`float`):
            In training, a share of the past codes, drawn per clip from U(0, 2 * history_mask_prob), is replaced by a
            learned vector, so that the model listens to the music instead of only continuing the dance (ours).

    Raises:
        ValueError: If the fields contradict each other.

    Example:
        ```python
        from infinitedance import ChoreoLlamaConfig

        config = ChoreoLlamaConfig(genres=["waltz", "rumba"], backbone_config={"hidden_size": 128})
        ```
    """

    model_type = "choreollama"
    sub_configs = {"backbone_config": AutoConfig, "codec_config": AutoConfig}
    keys_to_ignore_at_inference = ["past_key_values"]

    backbone_config: dict | PreTrainedConfig | None = None
    codec_config: dict | PreTrainedConfig | None = None
    music_feature_size: int = 109
    motion_feature_size: int = 269
    frame_rate: float = 30.0
    frames_per_token: int = 4
    genres: list[str] | tuple[str, ...] = ()
    genre_embedding_size: int = 32
    clock_feature_size: int = 11
    controls_side: bool = False
    controls_energy: bool = False
    num_quantizers: int = 3
    codebook_size: int = 512
    codebook_dim: int = 128
    expert_hidden_size: int = 128
    expert_num_heads: int = 4
    expert_attention_tokens: int = 32
    mamba_state_size: int = 16
    mamba_conv_size: int = 4
    mamba_expand: int = 2
    cutoff_hz: list[float] | tuple[float, ...] = (1.0,)
    gate: str = "softmax"
    load_balance_weight: float = 0.01
    condition_placement: str = "aligned"
    code_pattern: str = "flat"
    depth_hidden_size: int = 512
    lookahead_seconds: float = 0.4
    max_references: int = 10
    max_window_tokens: int = 64
    dropout: float = 0.0
    condition_dropout: float = 0.1
    music_dropout: float = 0.0
    genre_dropout: float = 0.1
    reference_dropout: float = 0.2
    spectra_dropout: float = 0.0
    side_dropout: float = 0.1
    energy_dropout: float = 0.3
    history_mask_prob: float = 0.0
    initializer_range: float = 0.02
    tie_word_embeddings: bool = False

    def __post_init__(self, **kwargs: Any) -> None:
        """Build the nested configurations and set the ids that follow from the code book.

        Files of version 0.1.0 state `num_bands` too. It had one legal value beside the other fields, which is checked
        here and not kept.
        """
        stated_num_bands = kwargs.pop("num_bands", None)
        given = SMALL_BACKBONE if self.backbone_config is None else self.backbone_config
        backbone = self.backbone_config = copy.deepcopy(_nested_config(given, "llama"))
        if self.codec_config is not None:
            self.codec_config = _nested_config(self.codec_config, "motion_codec")
        super().__post_init__(**kwargs)
        self.genres, self.cutoff_hz = list(self.genres), [float(edge) for edge in self.cutoff_hz]
        if stated_num_bands not in (None, self.num_bands):
            raise ValueError(
                f"`num_bands` follows from `cutoff_hz`: it must be {self.num_bands} or left out, got "
                f"{stated_num_bands}."
            )
        # Codes, the start id, the placeholder, one mask id for each level.
        self.vocab_size = self.num_codes + 2 + self.num_quantizers
        self.bos_token_id, self.eos_token_id, self.pad_token_id = self.num_codes, None, None
        backbone.vocab_size = self.vocab_size
        backbone.bos_token_id = backbone.eos_token_id = backbone.pad_token_id = None

    def validate_choreollama(self) -> None:
        """Check the fields against each other; called by transformers after construction."""
        for name, allowed in (
            ("gate", ("softmax", "concat")),
            ("condition_placement", ("aligned", "prefix")),
            ("code_pattern", ("flat", "delay", "depth")),
        ):
            if getattr(self, name) not in allowed:
                raise ValueError(f"`{name}` must be one of {allowed}, got {getattr(self, name)!r}.")
        edges = [0.0, *self.cutoff_hz, self.frame_rate / 2]
        if any(low >= high for low, high in pairwise(edges)):
            raise ValueError(
                f"`cutoff_hz` must hold rising frequencies between 0 and {self.frame_rate / 2} Hz, got "
                f"{self.cutoff_hz}."
            )
        dropouts = ("condition", "music", "spectra", "genre", "reference", "side", "energy")
        for name in ("dropout", *(f"{condition}_dropout" for condition in dropouts)):
            value = getattr(self, name)
            if not (0.0 <= value < 1.0 or (name == "spectra_dropout" and value == 1.0)):
                raise ValueError(f"`{name}` must lie in [0, 1), got {value}.")
        if not 0.0 <= self.history_mask_prob <= 0.5:
            raise ValueError(f"`history_mask_prob` must lie in [0, 0.5], got {self.history_mask_prob}.")
        if not 0 <= self.clock_feature_size <= self.music_feature_size:
            raise ValueError(
                f"`clock_feature_size` must lie in [0, `music_feature_size`], got {self.clock_feature_size} of "
                f"{self.music_feature_size}."
            )
        if self.expert_hidden_size % self.expert_num_heads != 0:
            raise ValueError(
                f"`expert_hidden_size` must be a multiple of `expert_num_heads`, got {self.expert_hidden_size} and "
                f"{self.expert_num_heads}."
            )
        tokens = self.lookahead_seconds * self.frame_rate / self.frames_per_token
        if tokens < 0 or abs(tokens - round(tokens)) > 1e-6:
            raise ValueError(
                f"`lookahead_seconds` must be a whole number of tokens of {self.frames_per_token} frames at "
                f"{self.frame_rate} Hz, got {self.lookahead_seconds}."
            )
        if self.code_pattern == "depth" and self.depth_hidden_size < 1:
            raise ValueError(
                f'`depth_hidden_size` must be positive for `code_pattern="depth"`, got {self.depth_hidden_size}.'
            )
        if self.max_window_tokens < 4 or self.max_window_tokens % 2 != 0:
            raise ValueError(f"`max_window_tokens` must be even and at least 4, got {self.max_window_tokens}.")
        if len(set(self.genres)) != len(self.genres):
            raise ValueError(f"`genres` must be distinct names, got {self.genres}.")

    def get_text_config(self, decoder: bool | None = None, encoder: bool | None = None) -> PreTrainedConfig:
        """Return the backbone's configuration, from which transformers sizes the cache."""
        return self.backbone_config

    @property
    def hidden_size(self) -> int:
        """Width of the backbone."""
        return self.backbone_config.hidden_size  # type: ignore[union-attr]

    @property
    def hears_spectra(self) -> bool:
        """Whether the spectra of the music are heard, beside its beat clock."""
        return self.spectra_dropout < 1.0

    @property
    def num_codes(self) -> int:
        """Number of code ids over all levels; code `c` of level `q` has id `q * codebook_size + c`."""
        return self.num_quantizers * self.codebook_size

    @property
    def steps_per_token(self) -> int:
        """Steps of the backbone for one token."""
        return self.num_quantizers if self.code_pattern == "flat" else 1

    @property
    def num_bands(self) -> int:
        """Number of frequency bands of the references."""
        return len(self.cutoff_hz) + 1

    @property
    def music_token_id(self) -> int:
        """Id of the placeholder that a `"prefix"` condition replaces."""
        return self.num_codes + 1

    @property
    def mask_token_id(self) -> int:
        """Id of the masked code of level 0; those of the other levels follow."""
        return self.num_codes + 2

    @property
    def num_genres(self) -> int:
        """Number of named genres, and the id of "any genre"."""
        return len(self.genres)

    @property
    def lookahead_tokens(self) -> int:
        """Tokens after its own that the condition of a token may hear."""
        if self.condition_placement == "prefix":
            return self.expert_attention_tokens
        return round(self.lookahead_seconds * self.frame_rate / self.frames_per_token)

    @property
    def context_tokens(self) -> int:
        """Tokens before its own that the condition of a token is sure to hear."""
        return self.expert_attention_tokens

    @classmethod
    def paper_1b(cls, **overrides: Any) -> "ChoreoLlamaConfig":
        """Return the paper's configuration: a LLaMA-3.2-1B backbone, ten references, music as a prefix.

        The window is the released code's 96 tokens (12.8 s), the music features are MuQ's 1024 channels. The number of
        attention heads of an expert is the released code's.

        Args:
            **overrides: Fields that differ.
        """
        fields = {
            "backbone_config": dict(LLAMA_3_2_1B_BACKBONE),
            "music_feature_size": 1024,
            "genre_embedding_size": 256,
            "codebook_dim": 1024,
            "expert_hidden_size": 2048,
            "expert_num_heads": 8,
            "expert_attention_tokens": 96,
            "condition_placement": "prefix",
            "max_references": 10,
            "max_window_tokens": 96,
        }
        return cls(**{**fields, **overrides})


def _nested_config(config: dict | PreTrainedConfig, model_type: str) -> Any:
    """Return a nested configuration, built from its fields if it is a dictionary; they may name another model type."""
    return AutoConfig.for_model(**{"model_type": model_type, **config}) if isinstance(config, dict) else config
