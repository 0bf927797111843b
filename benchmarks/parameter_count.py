"""Print the sizes of the configurations: `python -m benchmarks.parameter_count`."""

from __future__ import annotations

import torch

from infinitedance.assets import MODELS
from infinitedance.modeling.choreollama.configuration_choreollama import ChoreoLlamaConfig
from infinitedance.modeling.choreollama.modeling_choreollama import ChoreoLlamaForConditionalGeneration


def count_parameters(config: ChoreoLlamaConfig) -> dict[str, int]:
    """Count the parameters of a model without allocating it.

    Args:
        config: The configuration.

    Returns:
        The parameters of each part, and `total`.
    """
    with torch.device("meta"):
        model = ChoreoLlamaForConditionalGeneration(config)
    parts = {"backbone": model.model.backbone, "cadence_moe": model.model.cadence_moe, "codec": model.codec}
    counts = {
        name: sum(parameter.numel() for parameter in part.parameters())
        for name, part in parts.items()
        if part is not None
    }
    total = sum(parameter.numel() for parameter in model.parameters())
    return {**counts, "embedding and heads": total - sum(counts.values()), "total": total}


def main() -> None:
    """Print the table."""
    configs = {name: ChoreoLlamaConfig.from_pretrained(folder) for name, folder in MODELS.items()}
    for name, config in {**configs, "paper_1b": ChoreoLlamaConfig.paper_1b()}.items():
        counts = count_parameters(config)
        print(f"{name}: " + ", ".join(f"{part} {count / 1e6:,.2f} M" for part, count in counts.items()))


if __name__ == "__main__":
    main()
