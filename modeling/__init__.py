"""ChoreoLLaMA and its parts."""

from .configuration_choreollama import ChoreoLlamaConfig
from .modeling_choreollama import (
    ChoreoLlamaConditionOutput,
    ChoreoLlamaForConditionalGeneration,
    ChoreoLlamaModel,
    ChoreoLlamaOutput,
    ChoreoLlamaPreTrainedModel,
)

__all__ = [
    "ChoreoLlamaConditionOutput",
    "ChoreoLlamaConfig",
    "ChoreoLlamaForConditionalGeneration",
    "ChoreoLlamaModel",
    "ChoreoLlamaOutput",
    "ChoreoLlamaPreTrainedModel",
]
