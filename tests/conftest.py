"""Fixtures for every test."""

import json
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"  # a mistaken look-up would wait 25 seconds for the network
# What numba compiles for librosa lies apart for each process of the tests: two that write it at once can leave files
# that do not belong together, and end every later process with a segmentation fault.
os.environ["NUMBA_CACHE_DIR"] = str(  # not only as a default: workers inherit that of the process that starts them
    Path(__file__).parents[1] / f".pytest_cache/numba-{os.environ.get('PYTEST_XDIST_WORKER', 'main')}"
)

import numpy as np
import pytest
import roma
import torch

import infinitedance
from infinitedance.audio.features import MUSIC_FEATURES_VERSION, MusicFeatureLayout
from infinitedance.capture.camera import Camera
from infinitedance.capture.landmarks import LANDMARK_INDEX, LANDMARK_NAMES, LandmarkTrack
from infinitedance.capture.lifting import LiftedMotion
from infinitedance.dataset_builder.build import build_dataset
from infinitedance.dataset_builder.clip_folder import read_clip_folder
from infinitedance.dataset_builder.manifest import BuiltClip, write_manifest
from infinitedance.dataset_builder.procedural.dance import synthesize_dance
from infinitedance.dataset_builder.procedural.dataset import make_procedural_dataset
from infinitedance.dataset_builder.stages import SourceFolder
from infinitedance.modeling.choreollama.configuration_choreollama import ChoreoLlamaConfig
from infinitedance.modeling.choreollama.modeling_choreollama import ChoreoLlamaForConditionalGeneration
from infinitedance.modeling.frdm.configuration_frdm import FrdmConfig
from infinitedance.modeling.frdm.modeling_frdm import FrdmModel
from infinitedance.modeling.music_dance.configuration_music_dance import MusicDanceConfig
from infinitedance.modeling.music_dance.modeling_music_dance import MusicDanceEncoder
from infinitedance.motion.features import motion_to_features
from infinitedance.motion.kinematics import matrix_to_quaternion
from infinitedance.motion.motion import Motion
from infinitedance.motion.normalization import fit_feature_statistics
from infinitedance.motion.release_features import joints_to_features264
from infinitedance.motion.skeleton import JOINT_INDEX
from infinitedance.restoration.pipeline_frdm import RestoredMotion

REPOSITORY_ROOT = Path(__file__).resolve().parent.parent
# pytest imports the root `__init__.py` under the name of its folder; a second copy would take over the Auto classes.
sys.modules.setdefault(REPOSITORY_ROOT.name, infinitedance)


RATE = 24_000


@pytest.fixture(scope="session")
def click_song() -> Callable[..., np.ndarray]:
    """Make `(channels, samples)` soft noise with a click at 0.25 s and every half second after it."""

    def make(rate: int, seconds: float = 4.0, channels: int = 2) -> np.ndarray:
        song = np.random.default_rng(0).normal(size=round(rate * seconds)) * 1e-3
        times = np.arange(round(0.02 * rate)) / rate
        click = 0.8 * np.sin(2 * np.pi * 1000 * times) * np.exp(-times / 0.005)
        for start in np.round(np.arange(0.25, seconds - 0.05, 0.5) * rate).astype(int):
            song[start : start + len(click)] += click
        return np.repeat(song[None], channels, axis=0).astype(np.float32)

    return make


@pytest.fixture(scope="session")
def click_times() -> Callable[[np.ndarray, int], np.ndarray]:
    """Find when the clicks of `samples (samples,)` sound, in seconds."""

    def find(samples: np.ndarray, rate: int) -> np.ndarray:
        loud = np.flatnonzero(np.abs(samples) > 0.25) / rate
        return loud[np.diff(loud, prepend=-1.0) > 0.1]

    return find


@pytest.fixture(scope="session")
def write_sound() -> Callable[..., Path]:
    """Write sound with PyAV: `write_sound(path, "mp4", "aac", song (channels, samples), rate)`.

    `start` is the time of its first sample, `gaps` are pairs of a time and by how much the time stamps jump there,
    `video` is the length of a track of black pictures that begins at 0 s, `pictures` is another one, 30 a second.
    """
    import av

    def encode(container: Any, stream: Any, frame: Any) -> None:
        for packet in stream.encode(frame):
            container.mux(packet)

    def write(
        path: Path,
        container_format: str,
        codec: str,
        song: np.ndarray,
        rate: int,
        *,
        layout: str = "stereo",
        start: float = 0.0,
        gaps: Sequence[tuple[float, float]] = (),
        video: float = 0.0,
        pictures: Sequence[np.ndarray] = (),
        options: Mapping[str, str] | None = None,
    ) -> Path:
        with av.open(str(path), "w", format=container_format, options=dict(options or {})) as container:
            shown = pictures or [np.zeros((64, 64, 3), np.uint8)] * round(25 * video)
            frame_rate = 30 if len(pictures) else 25
            screen: Any = None
            if len(shown):
                screen = container.add_stream("libvpx" if container_format == "webm" else "mpeg4", rate=frame_rate)
                screen.height, screen.width = shown[0].shape[:2]
                screen.pix_fmt, screen.bit_rate = "yuv420p", 4_000_000
            sound: Any = container.add_stream(codec, rate=rate, layout=layout)
            for index, picture in enumerate(shown):
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
                frame.pts, frame.time_base = index, Fraction(1, frame_rate)
                encode(container, screen, frame)
            if len(shown):
                encode(container, screen, None)
            resampler = av.AudioResampler(format=sound.codec_context.format.name, layout=layout, rate=rate)
            size = sound.codec_context.frame_size or 1024
            for begin in range(0, song.shape[1], size):
                block = np.ascontiguousarray(song[:, begin : begin + size], np.float32)
                frame = av.AudioFrame.from_ndarray(block, format="fltp", layout=layout)
                frame.sample_rate = rate
                jumps = sum(jump for at, jump in gaps if begin >= at * rate)
                for converted in resampler.resample(frame):
                    converted.pts, converted.time_base = begin + round((start + jumps) * rate), Fraction(1, rate)
                    encode(container, sound, converted)
            encode(container, sound, None)
        return path

    return write


@pytest.fixture(scope="session")
def wheel(tmp_path_factory) -> Path:
    """Return the wheel of the checkout, built offline as `infinitedance space --write-folder` builds it."""
    from infinitedance.spaces_demo.deployment import build_wheel

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIP_NO_BUILD_ISOLATION", "0")  # pip reads it so: build with the setuptools that is here
        patch.setenv("PIP_NO_INDEX", "1")
        return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def dockerfile() -> dict[str, Any]:
    """Return the instructions of the Dockerfile by their names; those in JSON as lists of words."""
    text = (REPOSITORY_ROOT / "Dockerfile").read_text(encoding="utf-8")
    found: dict[str, Any] = {}
    for name, words in re.findall(r"^([A-Z]+) (.+)$", text, re.M):
        found.setdefault(name, []).append(words)
    found["CMD"], found["HEALTHCHECK"] = (
        json.loads(re.search(r"\[.*\]", found[name][0])[0]) for name in ("CMD", "HEALTHCHECK")
    )
    return found


@pytest.fixture(autouse=True)
def same_end_on_sigterm() -> Iterator[None]:
    """Put back what ends a process: Ray takes SIGTERM over, and a pool of forked processes then may wait for ever."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    if signal.getsignal(signal.SIGTERM) is not before:
        signal.signal(signal.SIGTERM, before)


@pytest.fixture(autouse=True)
def fresh_accelerate() -> Iterator[None]:
    """Let every test choose its precision: accelerate keeps that of the first run of a process."""
    yield
    if state := sys.modules.get("accelerate.state"):
        state.AcceleratorState._reset_state(reset_partial_state=True)
        state.GradientState._reset_state()


TINY_FIELDS = {
    "backbone_config": {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "intermediate_size": 48,
    },
    "music_feature_size": 6,
    "clock_feature_size": 2,
    "motion_feature_size": 5,
    "genres": ["waltz", "rumba"],
    "genre_embedding_size": 4,
    "codebook_size": 8,
    "codebook_dim": 4,
    "expert_hidden_size": 16,
    "expert_num_heads": 2,
    "expert_attention_tokens": 4,
    "mamba_state_size": 4,
    "max_window_tokens": 8,
    "max_references": 3,
    # Weights of this size make a random model react visibly to everything it reads.
    "initializer_range": 0.3,
}


def make_motion(num_frames: int = 120, seed: int = 0, strength: float = 0.5, frame_rate: float = 30.0) -> Motion:
    """Return smooth random rotations and a root that walks along a curve while it turns."""
    generator = torch.Generator().manual_seed(seed)
    knots = torch.randn(num_frames // 15 + 2, 22 * 3, generator=generator) * strength
    rotation_vectors = torch.nn.functional.interpolate(
        knots.T[None], size=num_frames, mode="linear", align_corners=True
    )
    rotations = roma.rotvec_to_rotmat(rotation_vectors[0].T.unflatten(1, (22, 3)).double())
    seconds = torch.arange(num_frames).double() / frame_rate
    turn = roma.rotvec_to_rotmat(torch.stack([0 * seconds, 1.5 * seconds, 0 * seconds], dim=-1))
    rotations[:, 0] = turn @ rotations[:, 0]
    root = torch.stack([seconds.sin(), 0.97 + 0.05 * (2 * seconds).cos(), 0.5 * seconds], dim=-1).numpy()
    return Motion(frame_rate, root, matrix_to_quaternion(rotations).numpy())


SEEN_SIZE = (640, 480)
_SEEN_JOINTS = {
    "head": ("nose", "eye_inner", "eye", "eye_outer", "ear", "mouth"),
    "left_wrist": ("left_pinky", "left_index", "left_thumb"),
    "right_wrist": ("right_pinky", "right_index", "right_thumb"),
    "left_ankle": ("left_heel",),
    "right_ankle": ("right_heel",),
    "left_foot": ("left_foot_index",),
    "right_foot": ("right_foot_index",),
}


def _joint_of_landmark(name: str) -> int:
    """Return the joint that stands for a landmark where a dance is seen without errors."""
    for joint, words in _SEEN_JOINTS.items():
        if any(word in name for word in words):
            return JOINT_INDEX[joint]
    return JOINT_INDEX[name]


@pytest.fixture(scope="session")
def see_dance() -> Callable[..., tuple[LiftedMotion, LandmarkTrack]]:
    """See a dance by a camera 1.2 m high: what a perfect estimator finds, and what a perfect lifter makes of it."""

    def see(motion: Motion, **place: int) -> tuple[LiftedMotion, LandmarkTrack]:
        middle = motion.joint_positions()[:, 0].mean(axis=0)
        toward_us = np.diag([1.0, -1.0, -1.0])[None]  # looks along -z: x right, y down
        camera = Camera(SEEN_SIZE, 520.0, toward_us, np.array([middle[0], 1.2, middle[2] + 4.5]))
        joints = [_joint_of_landmark(name) for name in LANDMARK_NAMES]
        positions = motion.joint_positions()[:, joints].astype(np.float64)
        in_camera = camera.to_camera(positions)
        hips = in_camera[:, [LANDMARK_INDEX["left_hip"], LANDMARK_INDEX["right_hip"]]].mean(axis=1, keepdims=True)
        track = LandmarkTrack(
            **{"person": 0, "shot": 0, "first_frame": 0, **place},
            image_size=SEEN_SIZE,
            image_points=camera.project(positions),
            confidences=np.full(positions.shape[:2], 0.9),
            world_points=in_camera - hips,
        )
        frames = motion.num_frames
        return LiftedMotion(motion, camera, np.zeros((frames, 4)), np.zeros(frames)), track

    return see


@dataclass(frozen=True)
class SeenFacts:
    """Facts on a video, as far as a capture needs them."""

    notes: tuple[str, ...] = ()
    sound_offset_seconds: float = 0.0


@pytest.fixture
def seeing_tools(see_dance) -> Any:
    """Return tools of a capture that see dances without errors in any video: who dances, its name says.

    `nobody` holds nobody, `pair` two people and then one in another shot, `short` one for too short a time. `tracked`
    lists the videos that were looked at.
    """

    class Tools:
        def __init__(self) -> None:
            self.tracked: list[str] = []
            self.version = "1"

        def digests(self) -> dict[str, str]:
            return {"lifter_sha256": self.version}

        def licenses(self) -> dict[str, str]:
            return {"lifter": "cc-by-4.0"}

        def track(self, video: Path, person: str) -> tuple[SeenFacts, list[LandmarkTrack]]:
            self.tracked.append(video.name)
            if "nobody" in video.name:
                raise ValueError(f"{video}: nobody dances in it. Film a person from head to feet.")
            if "broken" in video.name:
                raise ZeroDivisionError("of a defect")
            return SeenFacts((f"{video.name} was filmed upright.",)), [track for _, track in self._seen(video)]

        def pictures(self, video: Path, frames: Sequence[int]) -> Iterator[tuple[int, np.ndarray]]:
            for frame in frames:
                yield frame, np.full((240, 320, 3), 90, np.uint8)  # half the size in which landmarks count

        def lift(self, track: LandmarkTrack, **_: Any) -> LiftedMotion:
            place = {"shot": track.shot, "person": track.person, "first_frame": track.first_frame}
            seen = see_dance(synthesize_dance("waltz", 100, track.num_frames / 30, seed=track.person), **place)
            return seen[0]

        def restore(self, motion: Motion) -> Any:
            return RestoredMotion(motion, None)

        def _seen(self, video: Path) -> list[tuple[LiftedMotion, LandmarkTrack]]:
            places = [(0, 0, 15)] + [(0, 1, 0), (1, 0, 90)] * ("pair" in video.name)
            seconds = 0.1 if "short" in video.name else 2.0
            return [
                see_dance(
                    synthesize_dance("waltz", 100, seconds, seed=person), shot=shot, person=person, first_frame=first
                )
                for shot, person, first in places
            ]

    return Tools()


@pytest.fixture(scope="session")
def write_video(write_sound, click_song) -> Callable[..., Path]:
    """Write a small video of 5 s with a click at 0.25 s and every half second after it."""

    def write(path: Path, seed: int = 0) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        song = click_song(RATE, 5.0) + 1e-4 * seed
        return write_sound(path, "matroska", "flac", song, RATE, video=5.0)

    return write


@pytest.fixture(scope="session")
def repository_root() -> Path:
    return REPOSITORY_ROOT


@pytest.fixture(scope="session")
def shared_data_dir() -> Path:
    """The real clips beside the checkout; the tests that ask for it are skipped where they are absent."""
    path = REPOSITORY_ROOT.parent / "shared" / "data"
    if not (path / "metadata.csv").is_file():
        pytest.skip(f"real data: {path} has no metadata.csv")
    return path


@pytest.fixture(scope="session")
def built_clip() -> Callable[..., BuiltClip]:
    """Make an entry of a built data set: `built_clip("waltz_1_mirror", genre="waltz", num_frames=90)`."""

    def make(clip_id: str, **fields: Any) -> BuiltClip:
        name = clip_id.removesuffix("_mirror")
        defaults = {"song_id": name, "performer_id": "", "source": "stage", "license": "", "genre": "waltz"}
        defaults |= {"coarse_genre": "waltz", "bpm": None, "is_mirrored": name != clip_id, "num_frames": 1}
        defaults |= {"motion_file": f"{clip_id}.npy", "music_file": None, "codes_file": None, "audio_file": None}
        defaults |= {"clock_file": None, "units": (), "side": "natural" if name == clip_id else "mirrored"}
        defaults |= {"flags": (), "sha256": "", "split": "train"}
        defaults["music_features_version"] = None if fields.get("music_file") is None else MUSIC_FEATURES_VERSION
        return BuiltClip(clip_id=clip_id, **{**defaults, **fields})

    return make


@pytest.fixture(scope="session")
def write_built(built_clip) -> Callable[..., Path]:
    """Write a built data set by hand: `write_built(folder, features, fields)`, both by clip id."""

    def write(folder: Path, features: Mapping[str, np.ndarray], fields: Mapping[str, dict[str, Any]]) -> Path:
        for clip_id, values in features.items():
            np.save(folder / f"{clip_id}.npy", values)
        clips = [
            built_clip(clip_id, num_frames=len(values), **fields.get(clip_id, {}))
            for clip_id, values in features.items()
        ]
        for file in {clip.music_file for clip in clips} - {None}:
            if not (folder / file).exists():
                np.save(folder / file, np.zeros((10, MusicFeatureLayout.size), np.float32))
        write_manifest([replace(clip, sha256=clip.contents_sha256(folder) or "") for clip in clips], folder)
        return folder

    return write


@pytest.fixture(scope="session")
def build_procedural() -> Callable[..., Path]:
    """Build a data set of procedural dances without quality gates: `build_procedural(root, 4, 3.0, test=[3])`."""

    def build(
        root: Path, num_clips: int, seconds: float, validation: Sequence[int] = (), test: Sequence[int] = ()
    ) -> Path:
        clips = make_procedural_dataset(root / "clips", num_clips, seconds)
        songs = [f"clip_folder/{record.song_id}" for record in read_clip_folder(clips)]
        named = {"validation": [songs[index] for index in validation], "test": [songs[index] for index in test]}
        source = SourceFolder("clip_folder", str(clips))
        return build_dataset([source], root / "built", split_songs=named)

    return build


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture(scope="session")
def save_tiny_pipeline() -> Callable[..., Path]:
    """Save an untrained model: `save_tiny_pipeline(folder, genres=["waltz"])`."""
    return _save_tiny_pipeline


def _save_tiny_pipeline(folder: Path, **fields: Any) -> Path:
    """Save an untrained model of the real layout, 269 motion and 109 music channels, with its processor."""
    from infinitedance import (
        ChoreoLlamaProcessor,
        MotionCodecConfig,
        MotionCodecModel,
        MusicFeatureExtractor,
        MusicToDancePipeline,
    )

    torch.manual_seed(0)
    codec = MotionCodecModel(
        MotionCodecConfig(hidden_size=24, codebook_dim=8, codebook_size=16, residual_dilations=[1, 3])
    )
    codec.codebooks.normal_(std=0.3)
    codec.feature_mean[3] = 0.95  # the root's height
    backbone = {
        "hidden_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "intermediate_size": 48,
    }
    sizes = {"codebook_size": 16, "codebook_dim": 8, "expert_hidden_size": 16, "expert_num_heads": 2}
    sizes |= {"expert_attention_tokens": 8, "max_window_tokens": 16, "initializer_range": 0.3}
    config = ChoreoLlamaConfig(backbone_config=backbone, **{**sizes, **fields})
    model = ChoreoLlamaForConditionalGeneration(config)
    model.set_codec(codec)
    processor = ChoreoLlamaProcessor(MusicFeatureExtractor(), genres=config.genres)
    MusicToDancePipeline(model, processor).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_pipeline_dir(tmp_path_factory) -> Path:
    """A folder with an untrained model of two genres."""
    return _save_tiny_pipeline(tmp_path_factory.mktemp("tiny") / "model", genres=["rumba", "waltz"])


@pytest.fixture(scope="session")
def controlled_pipeline_dir(tmp_path_factory) -> Path:
    """A folder with an untrained model that controls side and energy and writes in depth."""
    controls = {"controls_side": True, "controls_energy": True, "code_pattern": "depth", "depth_hidden_size": 24}
    folder = tmp_path_factory.mktemp("controlled") / "model"
    return _save_tiny_pipeline(folder, genres=["contemporary", "rumba", "waltz"], **controls)


@pytest.fixture(scope="session")
def parity_dir() -> Path:
    """The golden vectors beside the checkout; the tests that ask for them are skipped where they are absent."""
    path = REPOSITORY_ROOT.parent / "shared" / "parity"
    if not (path / "release" / "README.md").is_file():
        pytest.skip(f"golden vectors: {path} has no release/README.md")
    return path


RELEASE_LLAMA = {
    "model_type": "llama",
    "vocab_size": 700,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 8,
    "intermediate_size": 24,
    "rope_theta": 500000.0,
    "tie_word_embeddings": True,
}
RELEASE_CODEC_SETTINGS = {
    "nb_code": 512,
    "code_dim": 8,
    "output_emb_width": 8,
    "width": 4,
    "down_t": 2,
    "stride_t": 2,
    "depth": 3,
    "num_quantizers": 3,
    "dilation_growth_rate": 4,
    "vq_act": "gelu",
    "vq_norm": None,
}
RELEASE_MUSIC_SIZE = 6


@pytest.fixture(scope="session")
def write_published() -> Callable[[Path], Path]:
    """Write small random weights as the authors publish theirs, and the features of four dances."""

    def write(folder: Path) -> Path:
        from infinitedance import (
            ChoreoLlamaReleaseConfig,
            ChoreoLlamaReleaseModel,
            ReleaseRetriever,
            ReleaseRetrieverConfig,
        )

        torch.manual_seed(0)
        config = ChoreoLlamaReleaseConfig(
            text_config={**RELEASE_LLAMA, "initializer_range": 0.3},
            codec_config={"width": 4, "code_dim": 8, "dilation_growth_rate": 4, "activation": "gelu"},
            music_dim=RELEASE_MUSIC_SIZE,
            style_dim=3,
            dance_bridge_dim=10,
            num_bridge_heads=2,
            initializer_range=0.3,
        )
        weights = ChoreoLlamaReleaseModel(config).state_dict()
        of_codec = [name for name in weights if name.startswith("codec.")]
        codec = {name.removeprefix("codec."): weights.pop(name) for name in of_codec if ".feature_" not in name}
        del weights["codec.feature_mean"], weights["codec.feature_std"]
        generator = {name: tensor.bfloat16() for name, tensor in weights.items() if not name.startswith("condition_")}
        generator["llama.lm_head.weight"] = generator["llama.model.embed_tokens.weight"].clone()
        retriever = ReleaseRetriever(ReleaseRetrieverConfig(hidden=8, layers=1, feed_forward=12))
        lightning = {f"model.{name}": tensor for name, tensor in retriever.state_dict().items()}
        data = folder / "InfiniteDanceData" / "dance"
        dances = make_motion(1600, strength=0.2).joint_positions()
        features = joints_to_features264(dances)
        for name, shift in (("alldata_new_joint_vecs264", 0.0), ("alldata_new_joint_vecs264_ft_balanced", 0.5)):
            (data / name / "meta").mkdir(parents=True)
            np.save(data / name / "meta" / "Mean.npy", features.mean(axis=0) + shift)
            np.save(data / name / "meta" / "Std.npy", features.std(axis=0) + 0.05)
        torch.save(generator, folder / "dance.pt")
        (folder / "vq").mkdir()
        torch.save({"net": codec}, folder / "vq" / "net_last.pth")
        (folder / "vq" / "args.json").write_text(json.dumps(RELEASE_CODEC_SETTINGS))
        torch.save({"epoch": 1, "state_dict": lightning, "optimizer_states": [{}]}, folder / "clip.ckpt")
        (folder / "llama.json").write_text(json.dumps(RELEASE_LLAMA))
        tokens = data / "Infinite_MotionTokens_512x1024_3layer_cleandata"
        tokens.mkdir()
        ids = np.random.default_rng(0).integers(0, 512, (100, 3)) + np.array([4096, 4608, 5120])
        for index, clip in enumerate(("Popular-Jazz1", "Popular2", "Folk3", "clip")):
            np.save(data / "alldata_new_joint_vecs264_ft_balanced" / f"{clip}.npy", features[index * 399 :][:400])
            np.save(tokens / f"{clip}.npy", ids.ravel() if index else ids.ravel()[:60])
        names = [
            "Popular-Jazz1@0_384",
            "Popular2@16_400",
            "Popular2@17_401",
            "Folk3@0_384",
            "clip@0_384",
            "lost@0_384",
        ]
        embeddings = np.random.default_rng(1).normal(size=(len(names), 8)).astype(np.float32)
        np.savez(data / "retrievalnet_motion_embeddings.npz", names=np.array(names), embeddings=embeddings)
        (folder / "InfiniteDanceData" / "styles").mkdir()
        styles = json.dumps({"clip": 1, "lost": "Popular"})
        (folder / "InfiniteDanceData" / "styles" / "all_style_map.json").write_text(styles)
        return folder

    return write


@pytest.fixture(scope="session")
def published_release(tmp_path_factory, write_published) -> Path:
    """A folder as the authors publish their model; tests that change it copy it first."""
    return write_published(tmp_path_factory.mktemp("published"))


@pytest.fixture(scope="session")
def imported_release(tmp_path_factory, published_release) -> Path:
    """The same model as `infinitedance import-release` writes it."""
    from infinitedance.modeling.choreollama_release.conversion_release import find_published_files, import_release

    output = tmp_path_factory.mktemp("imported") / "released"
    files = find_published_files(published_release)
    import_release(files, output, llama_config=published_release / "llama.json", bridge_heads=2)
    return output


@pytest.fixture(scope="session")
def clicks() -> np.ndarray:
    """Seven seconds of clicks at 120 bpm, 24 kHz."""
    waveform = np.zeros(7 * 24_000, dtype=np.float32)
    click = np.exp(-np.arange(1200) / 200) * np.sin(np.arange(1200) * 0.3)
    for start in range(0, len(waveform), 12_000):
        waveform[start : start + 1200] = 0.8 * click
    return waveform


@pytest.fixture
def tiny_fields() -> dict:
    return dict(TINY_FIELDS)


@pytest.fixture
def make_model():
    """Build a tiny model with random codebooks; fields of the configuration can be overridden."""

    def build(**overrides) -> ChoreoLlamaForConditionalGeneration:
        torch.manual_seed(0)
        config = ChoreoLlamaConfig(**{**TINY_FIELDS, **overrides})
        model = ChoreoLlamaForConditionalGeneration(config).eval()
        model.set_codebooks(torch.randn(config.num_quantizers, config.codebook_size, config.codebook_dim))
        return model

    return build


@pytest.fixture(scope="session")
def dance() -> Motion:
    """Return a rumba of 4 seconds with true contacts, on our body at 30 Hz."""
    return synthesize_dance("rumba", 96, 4.0, seed=0)


@pytest.fixture(scope="session")
def make_frdm(dance):
    """Build a tiny denoiser with the dance's statistics; fields of the configuration can be overridden."""
    statistics = fit_feature_statistics([motion_to_features(dance)])

    def build(**overrides) -> FrdmModel:
        torch.manual_seed(0)
        sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
        model = FrdmModel(FrdmConfig(**{**sizes, **overrides})).eval()
        model.set_feature_statistics(*statistics)
        return model

    return build


@pytest.fixture(scope="session")
def make_encoder():
    """Build tiny towers for retrieval whose windows have the given length: `make_encoder(window_frames=64)`."""

    def build(window_frames: int = 64) -> MusicDanceEncoder:
        torch.manual_seed(0)
        sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
        windows = {"window_frames": window_frames, "stride_frames": window_frames // 2}
        return MusicDanceEncoder(MusicDanceConfig(**sizes, **windows, initializer_range=1)).eval()

    return build


@pytest.fixture
def moving() -> Motion:
    return make_motion()


@pytest.fixture(scope="session")
def make_moving():
    """Make smooth random motions: `make_moving(num_frames=120, seed=0, strength=0.5, frame_rate=30.0)`."""
    return make_motion


@pytest.fixture
def make_clicks() -> Callable[..., np.ndarray]:
    """Clicks at given times, in seconds; `accents` scales each of them."""

    def make(
        times: np.ndarray, seconds: float, accents: np.ndarray | None = None, pitch_hz: float = 1000
    ) -> np.ndarray:
        song = np.zeros(round(seconds * RATE), dtype=np.float32)
        age = np.arange(1200) / RATE
        click = np.sin(2 * np.pi * pitch_hz * age) * np.exp(-age / 0.01)
        for index, time in enumerate(times):
            start = round(time * RATE)
            piece = song[start : start + len(click)]
            piece += click[: len(piece)] * (0.5 if accents is None else accents[index])
        return song

    return make


@pytest.fixture
def make_drums() -> Callable[..., np.ndarray]:
    """A drum loop: a kick on the beat, loudest on the first of the bar, and a hi-hat on the half beats."""

    def make(bpm: float, seconds: float, first_downbeat: float = 0.0, meter: int = 4) -> np.ndarray:
        generator = np.random.default_rng(0)
        song = generator.normal(size=round(seconds * RATE)) * 1e-3
        age = np.arange(3600) / RATE
        kick = np.sin(2 * np.pi * 60 * age) * np.exp(-age / 0.05)
        hat = generator.normal(size=3600) * np.exp(-age / 0.01) * 0.2
        first = -int(first_downbeat * bpm / 60)
        for beat in range(first, int((seconds - first_downbeat) * bpm / 60) + 1):
            hits = ((0.0, kick * (0.8 if beat % meter == 0 else 0.3) + 0.6 * hat), (0.5, 0.5 * hat))
            for part_of_beat, sound in hits:
                start = round((first_downbeat + (beat + part_of_beat) * 60 / bpm) * RATE)
                if 0 <= start < len(song):
                    song[start : start + len(sound)] += sound[: len(song) - start]
        return song.astype(np.float32)

    return make
