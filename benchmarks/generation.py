"""Measure how fast codes are written, by ours and by transformers' loop: `python benchmarks/generation.py`."""

import argparse
import time
from collections.abc import Callable

import torch

from infinitedance import MusicToDancePipeline
from infinitedance.assets import DEFAULT_MODEL


def seconds_per_token(write: Callable[[], object], num_tokens: int, repeats: int) -> float:
    """Return the best of several runs, after one to warm up."""
    write()
    durations = []
    for _ in range(repeats):
        start = time.perf_counter()
        write()
        durations.append(time.perf_counter() - start)
    return min(durations) / num_tokens


def main() -> None:
    """Time one window of the model both ways and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    model = MusicToDancePipeline.from_pretrained(arguments.model).model
    num_tokens, config = model.config.max_window_tokens, model.config
    music = torch.randn(1, num_tokens * config.frames_per_token, config.music_feature_size)
    ours = seconds_per_token(lambda: model.generate_codes(music, seeds=[0]), num_tokens, arguments.repeats)
    theirs = seconds_per_token(lambda: model.generate(input_features=music, seeds=[0]), num_tokens, arguments.repeats)
    real_time = config.frames_per_token / config.frame_rate
    for name, seconds in (("generate_codes", ours), ("generate", theirs)):
        print(f"{name}: {1 / seconds:.1f} tokens/s, {real_time / seconds:.1f} times real time")
    print(f"ratio: {theirs / ours:.2f}")


if __name__ == "__main__":
    main()
