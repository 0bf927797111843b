"""InfiniteDance: a song goes in, a 3D dance comes out."""

# ruff: noqa: E402
import gc

# What transformers and torch make while they are imported stays: to look through it for garbage again and again takes
# a sixth of the time of the import.
_collects_garbage = gc.isenabled()
gc.disable()

from transformers import AutoConfig, AutoFeatureExtractor, AutoModel, AutoModelForCausalLM, AutoProcessor

from .audio.beats import BeatClock
from .audio.features import MusicFeatureExtractor
from .audio.loading import load_audio
from .modeling.choreollama.configuration_choreollama import ChoreoLlamaConfig
from .modeling.choreollama.modeling_choreollama import ChoreoLlamaForConditionalGeneration, ChoreoLlamaModel
from .modeling.frdm.configuration_frdm import FrdmConfig
from .modeling.frdm.modeling_frdm import FrdmModel
from .modeling.music_dance.configuration_music_dance import MusicDanceConfig
from .modeling.music_dance.modeling_music_dance import MusicDanceEncoder
from .motion.drawing.rendering import render_contact_sheet, render_video
from .motion.files import read_motion, save_motion, write_bvh
from .motion.motion import Motion
from .motion.skeleton import Skeleton, neutral_skeleton
from .pipeline import Dance, MusicToDancePipeline
from .restoration.pipeline_frdm import FrdmPipeline, RestoredMotion
from .retrieval.index import DanceRetrievalIndex
from .tokenization.configuration_motion_codec import MotionCodecConfig
from .tokenization.modeling_motion_codec import MotionCodecModel
from .tokenization.processing_choreollama import ChoreoLlamaProcessor
from .tokenization.tokenization_motion import MotionTokenizer

__version__ = "0.1.0"

__all__ = [
    "BeatClock",
    "ChoreoLlamaConfig",
    "ChoreoLlamaForConditionalGeneration",
    "ChoreoLlamaModel",
    "ChoreoLlamaProcessor",
    "Dance",
    "DanceRetrievalIndex",
    "FrdmConfig",
    "FrdmModel",
    "FrdmPipeline",
    "Motion",
    "MotionCodecConfig",
    "MotionCodecModel",
    "MotionTokenizer",
    "MusicDanceConfig",
    "MusicDanceEncoder",
    "MusicFeatureExtractor",
    "MusicToDancePipeline",
    "RestoredMotion",
    "Skeleton",
    "load_audio",
    "neutral_skeleton",
    "read_motion",
    "render_contact_sheet",
    "render_video",
    "save_motion",
    "write_bvh",
]

AutoConfig.register(MotionCodecConfig.model_type, MotionCodecConfig, exist_ok=True)
AutoModel.register(MotionCodecConfig, MotionCodecModel, exist_ok=True)
AutoConfig.register(ChoreoLlamaConfig.model_type, ChoreoLlamaConfig, exist_ok=True)
AutoModel.register(ChoreoLlamaConfig, ChoreoLlamaModel, exist_ok=True)
AutoModelForCausalLM.register(ChoreoLlamaConfig, ChoreoLlamaForConditionalGeneration, exist_ok=True)
AutoConfig.register(MusicDanceConfig.model_type, MusicDanceConfig, exist_ok=True)
AutoModel.register(MusicDanceConfig, MusicDanceEncoder, exist_ok=True)
AutoConfig.register(FrdmConfig.model_type, FrdmConfig, exist_ok=True)
AutoModel.register(FrdmConfig, FrdmModel, exist_ok=True)
AutoFeatureExtractor.register(ChoreoLlamaConfig, MusicFeatureExtractor, exist_ok=True)
AutoProcessor.register(ChoreoLlamaConfig, ChoreoLlamaProcessor, exist_ok=True)

if _collects_garbage:
    gc.enable()
