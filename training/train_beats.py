"""Train the beat network on synthesized songs, from BeatNet's weights.

```bash
pip install --no-deps BeatNet==1.1.3
accelerate launch --num_cpu_threads_per_process 1 -m infinitedance.training.train_beats \
    --config training/configs/beats_cpu.yaml --output_dir runs/beats
```
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import numpy as np
import soundfile
import soxr
import torch
from torch import nn
from torch.nn.functional import log_softmax
from tqdm import tqdm
from transformers.utils import ModelOutput

from ..audio.bar_pointer import ACTIVATION_RATE, best_bars
from ..audio.beat_network import CLASS_WEIGHTS, HOP_SAMPLES, BeatNetwork, beat_features
from ..audio.loading import load_audio
from ..audio.loudness import hop_powers, integrated_loudness
from ..audio.spectra import SAMPLING_RATE, reference_gain
from ..audio.tempo_map import DEFAULT_TEMPO_RANGE, counted_octave
from ..utils.atomic import atomic_path
from .arguments import LoopArguments, parse_arguments
from .beat_songs import BeatSong, synthesize_song
from .loop import build_accelerator, build_optimizer, train, write_run_record

FIRST_EVALUATION_SEED = 1 << 40
SETTLING_SECONDS, SETTLING_WEIGHT = 3.0, 0.3
"""The first seconds of an excerpt weigh less: nobody knows the bar there yet."""
LEVEL_SPREAD_DB = 4.0
REHEARSED_SECONDS = 74
REHEARSED_SUFFIXES = (".ogg", ".mp3", ".flac", ".wav")
BEATNET_NAMES = {"conv1": "conv", "linear0": "projection", "lstm": "lstm", "linear": "causal_head"}


@dataclass(kw_only=True)
class BeatArguments:
    """What the beat network learns from."""

    song_seconds: float = field(default=20.0, metadata={"help": "Length of an excerpt."})
    num_eval_songs: int = field(default=64, metadata={"help": "Synthesized songs of other seeds to evaluate on."})
    rehearsal_dir: str | None = field(
        default=None,
        metadata={
            "help": "Folder of songs, searched with its folders, on which the network must go on hearing what BeatNet "
            "hears: it would forget real music over synthesized songs."
        },
    )
    num_rehearsed: int = field(
        default=3, metadata={"help": "Excerpts of these songs in each batch, beside the others."}
    )
    from_beatnet: bool = field(
        default=True, metadata={"help": "Begin with BeatNet's weights (CC BY 4.0), from the wheel BeatNet 1.1.3."}
    )

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.song_seconds <= SETTLING_SECONDS:
            raise ValueError(f"`song_seconds` must be more than {SETTLING_SECONDS:.0f}, got {self.song_seconds}.")
        if self.num_eval_songs < 1:
            raise ValueError(f"`num_eval_songs` must be at least 1, got {self.num_eval_songs}.")


@dataclass
class BeatOutput(ModelOutput):
    """Loss of the network, and of its two outputs."""

    loss: torch.Tensor | None = None
    causal_loss: torch.Tensor | None = None
    whole_loss: torch.Tensor | None = None


class BeatTraining(nn.Module):
    """Beat network with the loss that it learns by, as the training loop expects a model."""

    def __init__(self) -> None:
        super().__init__()
        self.network = BeatNetwork()

    def forward(self, features: torch.Tensor, targets: torch.Tensor) -> BeatOutput:
        """Return the losses.

        Args:
            features: `(batch, frames, 272)`.
            targets: `(batch, frames, 3)` share of a beat, a downbeat and neither in each frame.
        """
        logits = self.network(features)
        causal, whole = (beat_loss(each, targets) for each in logits)
        return BeatOutput(0.5 * causal + whole, causal, whole)

    def save_pretrained(self, folder: str | Path, **_: object) -> None:
        """Write the weights of the network in half precision."""
        from safetensors.torch import save_file

        with atomic_path(Path(folder) / "model.safetensors") as path:
            save_file({name: weight.half() for name, weight in self.network.state_dict().items()}, path)


def beat_loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return the cross-entropy, in which the rare classes weigh more."""
    weights = torch.tensor(CLASS_WEIGHTS, device=logits.device)
    losses = -(targets * weights * log_softmax(logits, dim=-1)).sum(dim=-1)
    settled = torch.ones(losses.shape[-1], device=logits.device)
    settled[: round(SETTLING_SECONDS * ACTIVATION_RATE)] = SETTLING_WEIGHT
    return (losses * settled).mean()


def beat_targets(song: BeatSong, num_frames: int) -> np.ndarray:
    """Return the share of a beat, a downbeat and neither in each frame, `(num_frames, 3)` float32.

    A beat between two frames is shared between them, so that the network says where between them it lies.
    """
    targets = np.zeros((num_frames, 3), np.float32)
    positions = song.beat_times * ACTIVATION_RATE
    below = np.floor(positions).astype(int)
    for frames, shares in ((below, 1 - (positions - below)), (below + 1, positions - below)):
        inside = frames < num_frames
        np.add.at(targets, (frames[inside], song.is_downbeat[inside].astype(int)), shares[inside])
    targets[:, 2] = np.maximum(0, 1 - targets[:, :2].sum(axis=1))
    return targets / targets.sum(axis=1, keepdims=True)


def make_example(seed: int, seconds: float) -> tuple[np.ndarray, np.ndarray]:
    """Return features `(frames, 272)` and targets `(frames, 3)` of the song of a seed, at about the usual level."""
    song = synthesize_song(seed, seconds)
    num_frames = round(seconds * ACTIVATION_RATE)
    spread = np.random.default_rng(seed).uniform(-LEVEL_SPREAD_DB, LEVEL_SPREAD_DB)
    loudness = integrated_loudness(hop_powers(song.waveform, SAMPLING_RATE))
    gain = reference_gain(loudness) * 10 ** (spread / 20)
    return beat_features(song.waveform, 0, num_frames, gain), beat_targets(song, num_frames)


def make_batch(
    first_seed: int, batch_size: int, seconds: float, others: Sequence[tuple[np.ndarray, np.ndarray]] = ()
) -> dict[str, torch.Tensor]:
    """Return the songs of consecutive seeds, and other examples, as a batch for `BeatTraining`."""
    examples = [make_example(first_seed + index, seconds) for index in range(batch_size)]
    features, targets = zip(*examples, *others, strict=True)
    return {"features": torch.from_numpy(np.stack(features)), "targets": torch.from_numpy(np.stack(targets))}


class Rehearsal:
    """Excerpts of real songs, with what the three networks of BeatNet hear in them.

    Songs that are shorter than an excerpt, or whose beat BeatNet hears faster than it is counted, are left out.

    Args:
        folder: Of audio files, searched with its folders.
        seconds: Length of an excerpt.
        seed: Chooses a passage of each song, its speeds and the excerpts.
    """

    def __init__(self, folder: Path, seconds: float, seed: int):
        self.num_frames = round(seconds * ACTIVATION_RATE)
        self.seed = seed
        teachers = []
        for model in (1, 2, 3):
            network = BeatNetwork()
            network.load_state_dict(read_beatnet_weights(model), strict=False)
            teachers.append(network.eval())
        random = np.random.default_rng(seed)
        self.passages: list[tuple[np.ndarray, np.ndarray]] = []
        files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in REHEARSED_SUFFIXES)
        files = [path for path in files if soundfile.info(path).duration > seconds]
        for path in tqdm(files, desc="listening", unit="song"):
            song = load_audio(path)
            begin = int(random.uniform(0, max(0, len(song) - REHEARSED_SECONDS * SAMPLING_RATE)))
            song = song[begin : begin + REHEARSED_SECONDS * SAMPLING_RATE]
            for speed in (1.0, random.uniform(0.8, 1.3)):
                self._listen(teachers, soxr.resample(song, speed * SAMPLING_RATE, SAMPLING_RATE))
        if not self.passages:
            raise ValueError(f"{folder} holds no song of {seconds:.0f} s or more with a beat that BeatNet hears.")

    @torch.inference_mode()
    def _listen(self, teachers: list[BeatNetwork], song: np.ndarray) -> None:
        num_frames = len(song) // HOP_SAMPLES
        if num_frames < self.num_frames:
            return
        gain = reference_gain(integrated_loudness(hop_powers(song, SAMPLING_RATE)))
        features = beat_features(song, 0, num_frames, gain)
        heard = [teacher.causal_head(teacher.hear(torch.from_numpy(features)[None])[0])[0] for teacher in teachers]
        activations = torch.stack([logits.log_softmax(dim=-1) for logits in heard]).mean(dim=0).softmax(dim=-1).numpy()
        path = best_bars(activations[:, :2], (2, 3, 4), *DEFAULT_TEMPO_RANGE)
        interval = float(np.median(np.diff(path.frames))) / ACTIVATION_RATE
        if counted_octave(60 / interval, path.meter, None) == 1:
            shares = activations / np.array(CLASS_WEIGHTS, np.float32)  # the loss weighs them again
            self.passages.append((features, shares / shares.sum(axis=1, keepdims=True)))

    def draw(self, index: int, num_excerpts: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return features and targets of the excerpts of a batch, always the same for the same number."""
        random = np.random.default_rng((self.seed, index))
        excerpts = []
        for passage in random.integers(len(self.passages), size=num_excerpts):
            features, targets = self.passages[passage]
            begin = int(random.integers(len(features) - self.num_frames + 1))
            excerpts.append(tuple(each[begin : begin + self.num_frames] for each in (features, targets)))
        return excerpts


def read_beatnet_weights(model: int = 1) -> dict[str, torch.Tensor]:
    """Read the weights of BeatNet, named as those of `BeatNetwork`, from its installed wheel.

    Args:
        model: 1, 2 or 3: which of its networks.

    Raises:
        ImportError: If the wheel is not installed.
    """
    try:
        wheel = distribution("BeatNet")
    except PackageNotFoundError as error:
        raise ImportError("BeatNet's weights are in its wheel: `pip install --no-deps BeatNet==1.1.3`.") from error
    path = wheel.locate_file(f"BeatNet/models/model_{model}_weights.pt")
    weights = torch.load(Path(str(path)), weights_only=True)
    return {f"{BEATNET_NAMES[name.split('.')[0]]}.{name.split('.', 1)[1]}": each for name, each in weights.items()}


def main(command_line: list[str] | None = None) -> None:
    """Train the beat network."""
    arguments, beat_arguments = parse_arguments((LoopArguments, BeatArguments), command_line)
    accelerator = build_accelerator(arguments)
    if accelerator.is_main_process:
        write_run_record(arguments.output_dir, asdict(arguments) | asdict(beat_arguments))
    model = BeatTraining()
    if beat_arguments.from_beatnet:
        model.network.load_state_dict(read_beatnet_weights(), strict=False)
        nn.init.zeros_(model.network.whole_head.weight)
        nn.init.zeros_(model.network.whole_head.bias)
    seconds, batch_size = beat_arguments.song_seconds, arguments.batch_size
    first_seed = (arguments.seed << 32) + accelerator.process_index * batch_size
    stride = accelerator.num_processes * batch_size
    rehearsal = None
    if beat_arguments.rehearsal_dir is not None:
        rehearsal = Rehearsal(Path(beat_arguments.rehearsal_dir), seconds, arguments.seed)

    def batch_of(index: int) -> dict[str, torch.Tensor]:
        number = index * accelerator.num_processes + accelerator.process_index
        others = rehearsal.draw(number, beat_arguments.num_rehearsed) if rehearsal is not None else []
        return make_batch(first_seed + index * stride, batch_size, seconds, others)

    evaluation = make_batch(FIRST_EVALUATION_SEED, beat_arguments.num_eval_songs, seconds)
    train(
        accelerator,
        model,
        build_optimizer(model, arguments),
        arguments,
        make_batch=batch_of,
        before_step=lambda fraction: None,
        evaluate=lambda trained: {"whole_loss": float(trained(**evaluation).whole_loss)},
    )


if __name__ == "__main__":
    main()
