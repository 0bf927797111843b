"""InfiniteDance: a song goes in, a 3D dance comes out.

The public names are loaded when they are first used, so that `import infinitedance` costs next to nothing. The models
are registered with transformers' Auto classes as soon as either of the two is used.
"""

# ruff: noqa: F401 - the imports for type checkers are the public names
from __future__ import annotations

import importlib
import warnings
from typing import TYPE_CHECKING, Any

from .utils.after_import import call_after_import
from .utils.version import __version__

if TYPE_CHECKING:
    from .audio.beats import BeatClock
    from .audio.features import MusicFeatureExtractor
    from .audio.loading import load_audio
    from .audio.muq_features import MuqFeatureExtractor
    from .modeling.choreollama.configuration_choreollama import ChoreoLlamaConfig
    from .modeling.choreollama.modeling_choreollama import ChoreoLlamaForConditionalGeneration, ChoreoLlamaModel
    from .modeling.choreollama_release.configuration_choreollama_release import (
        ChoreoLlamaReleaseConfig,
        ReleaseCodecConfig,
        ReleaseRetrieverConfig,
    )
    from .modeling.choreollama_release.modeling_choreollama_release import ChoreoLlamaReleaseModel
    from .modeling.choreollama_release.modeling_release_codec import ReleaseCodecModel
    from .modeling.choreollama_release.modeling_release_retriever import ReleaseRetriever
    from .modeling.frdm.configuration_frdm import FrdmConfig
    from .modeling.frdm.modeling_frdm import FrdmModel
    from .modeling.lifter.configuration_lifter import LifterConfig
    from .modeling.lifter.modeling_lifter import LifterModel
    from .modeling.music_dance.configuration_music_dance import MusicDanceConfig
    from .modeling.music_dance.modeling_music_dance import MusicDanceEncoder
    from .motion.drawing.rendering import render_contact_sheet, render_video
    from .motion.files import read_motion, save_motion, write_bvh
    from .motion.motion import Motion
    from .motion.skeleton import Skeleton, neutral_skeleton
    from .pipeline import Dance, MusicToDancePipeline
    from .release_pipeline import ReleaseToDancePipeline
    from .restoration.pipeline_frdm import FrdmPipeline, RestoredMotion
    from .retrieval.index import DanceRetrievalIndex
    from .tokenization.configuration_motion_codec import MotionCodecConfig
    from .tokenization.modeling_motion_codec import MotionCodecModel
    from .tokenization.processing_choreollama import ChoreoLlamaProcessor
    from .tokenization.tokenization_motion import MotionTokenizer

# Where each public name is; the block above says the same to type checkers and editors, and a test compares the two.
_MODULES = {
    "BeatClock": "audio.beats",
    "ChoreoLlamaConfig": "modeling.choreollama.configuration_choreollama",
    "ChoreoLlamaForConditionalGeneration": "modeling.choreollama.modeling_choreollama",
    "ChoreoLlamaModel": "modeling.choreollama.modeling_choreollama",
    "ChoreoLlamaProcessor": "tokenization.processing_choreollama",
    "ChoreoLlamaReleaseConfig": "modeling.choreollama_release.configuration_choreollama_release",
    "ChoreoLlamaReleaseModel": "modeling.choreollama_release.modeling_choreollama_release",
    "Dance": "pipeline",
    "DanceRetrievalIndex": "retrieval.index",
    "FrdmConfig": "modeling.frdm.configuration_frdm",
    "FrdmModel": "modeling.frdm.modeling_frdm",
    "FrdmPipeline": "restoration.pipeline_frdm",
    "LifterConfig": "modeling.lifter.configuration_lifter",
    "LifterModel": "modeling.lifter.modeling_lifter",
    "Motion": "motion.motion",
    "MotionCodecConfig": "tokenization.configuration_motion_codec",
    "MotionCodecModel": "tokenization.modeling_motion_codec",
    "MotionTokenizer": "tokenization.tokenization_motion",
    "MuqFeatureExtractor": "audio.muq_features",
    "MusicDanceConfig": "modeling.music_dance.configuration_music_dance",
    "MusicDanceEncoder": "modeling.music_dance.modeling_music_dance",
    "MusicFeatureExtractor": "audio.features",
    "MusicToDancePipeline": "pipeline",
    "ReleaseCodecConfig": "modeling.choreollama_release.configuration_choreollama_release",
    "ReleaseCodecModel": "modeling.choreollama_release.modeling_release_codec",
    "ReleaseToDancePipeline": "release_pipeline",
    "ReleaseRetriever": "modeling.choreollama_release.modeling_release_retriever",
    "ReleaseRetrieverConfig": "modeling.choreollama_release.configuration_choreollama_release",
    "RestoredMotion": "restoration.pipeline_frdm",
    "Skeleton": "motion.skeleton",
    "load_audio": "audio.loading",
    "neutral_skeleton": "motion.skeleton",
    "read_motion": "motion.files",
    "render_contact_sheet": "motion.drawing.rendering",
    "render_video": "motion.drawing.rendering",
    "save_motion": "motion.files",
    "write_bvh": "motion.files",
}

_PACKAGES = (
    "assets",
    "audio",
    "capture",
    "cli",
    "dataset_builder",
    "evaluation",
    "media",
    "modeling",
    "motion",
    "pipeline",
    "publishing",
    "release_pipeline",
    "restoration",
    "retrieval",
    "spaces_demo",
    "tokenization",
    "training",
    "utils",
)

__all__ = list(_MODULES)


def __getattr__(name: str) -> Any:
    if name in _PACKAGES:
        return importlib.import_module(f".{name}", __name__)
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_MODULES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*_MODULES, *_PACKAGES, *(name for name in globals() if name.startswith("__"))})


def _register_auto_classes() -> None:
    """Register the models; an error of ours must not break transformers, in whose import this runs."""
    try:
        _register_all()
    except Exception as error:
        warnings.warn(
            f"infinitedance cannot register its models with the Auto classes of transformers: {error!r}. Repair the "
            "installation of infinitedance, or remove it.",
            stacklevel=2,
        )


def _register_all() -> None:
    from transformers import AutoConfig, AutoFeatureExtractor, AutoModel, AutoModelForCausalLM, AutoProcessor

    models = {
        "MotionCodecConfig": "MotionCodecModel",
        "ChoreoLlamaConfig": "ChoreoLlamaModel",
        "MusicDanceConfig": "MusicDanceEncoder",
        "FrdmConfig": "FrdmModel",
        "LifterConfig": "LifterModel",
        "ReleaseCodecConfig": "ReleaseCodecModel",
        "ReleaseRetrieverConfig": "ReleaseRetriever",
        "ChoreoLlamaReleaseConfig": "ChoreoLlamaReleaseModel",
    }
    for config_name, model_name in models.items():
        config = __getattr__(config_name)
        AutoConfig.register(config.model_type, config, exist_ok=True)
        AutoModel.register(config, __getattr__(model_name), exist_ok=True)
    config = __getattr__("ChoreoLlamaConfig")
    AutoModelForCausalLM.register(config, __getattr__("ChoreoLlamaForConditionalGeneration"), exist_ok=True)
    AutoFeatureExtractor.register(config, __getattr__("MusicFeatureExtractor"), exist_ok=True)
    released = __getattr__("ChoreoLlamaReleaseConfig")
    AutoFeatureExtractor.register(released, __getattr__("MuqFeatureExtractor"), exist_ok=True)
    AutoProcessor.register(config, __getattr__("ChoreoLlamaProcessor"), exist_ok=True)


def _register_lora_targets() -> None:
    """Tell PEFT what a `LoraConfig` without `target_modules` changes of our model."""
    try:
        from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as targets
    except ImportError:  # a PEFT without this table asks for `target_modules`
        return
    from .modeling.choreollama.configuration_choreollama import LORA_TARGETS

    targets["choreollama"] = list(LORA_TARGETS)


call_after_import("transformers.models.auto.configuration_auto", (__name__, "transformers"), _register_auto_classes)
call_after_import("peft.utils.constants", (__name__, "peft", "transformers"), _register_lora_targets)
