"""Reading any audio file as one mono waveform, in blocks, with errors that name the file and the reason."""

from collections.abc import Generator
from contextlib import closing
from pathlib import Path

import numpy as np

from ..utils.extras import require_extra

AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".m4a", ".aif", ".aiff", ".opus")
"""Endings of the files that are looked for in folders; of songs with one name the earliest here is read."""
MIN_SECONDS = 0.5
MAX_SECONDS = 3600.0
SILENCE_PEAK = 1e-5  # -100 dB below full scale, under the smallest step of 16-bit audio
HEADER_TOLERANCE_SECONDS = 0.1  # headers of sound mp3 files are off by a frame or two of 26 ms
BLOCK_SAMPLES = 1 << 18


def load_audio(path: str | Path, sampling_rate: int = 24000) -> np.ndarray:
    """Read an audio file as a mono waveform at one sampling rate.

    soundfile reads wav, mp3, flac and ogg; PyAV (extra `video`) reads the rest, such as m4a or the sound of a video.
    Channels are averaged. Decoding and resampling run in blocks: of the whole song only the result is in memory.

    Args:
        path: The audio file; 0.5 s to 60 min, any rate, any number of channels.
        sampling_rate: Rate of the result, in Hz.

    Returns:
        `(samples,)` float32, full scale is 1, `samples == round(seconds * sampling_rate)`.

    Raises:
        FileNotFoundError: If `path` does not exist.
        ValueError: If it is a directory, empty, not audio, broken, too short, too long, silent, or has samples that
            are not finite.
    """
    import soxr

    path = _checked_file(path)
    blocks: list[np.ndarray] = []
    resampler = None
    num_samples, peak = 0, 0.0
    with closing(_decode(path)) as decoded:
        for block, file_rate in decoded:
            if resampler is None:
                resampler = soxr.ResampleStream(file_rate, sampling_rate, 1, dtype="float32")
            mono = block.mean(axis=1)
            if not np.isfinite(mono).all():
                raise ValueError(f"{path} has samples that are NaN or infinite. Export it again from its source.")
            num_samples += len(mono)
            if num_samples > MAX_SECONDS * file_rate:
                raise ValueError(f"{path} is longer than {MAX_SECONDS / 60:.0f} minutes. Cut it into shorter files.")
            peak = max(peak, float(np.abs(mono).max(initial=0.0)))
            blocks.append(resampler.resample_chunk(mono))
    if resampler is None:
        raise ValueError(f"{path} holds no sound: it is broken or no audio file.")
    if num_samples < MIN_SECONDS * file_rate:
        raise ValueError(
            f"{path} is too short: at least {MIN_SECONDS} s are needed, it has {num_samples / file_rate:.3f} s."
        )
    if peak < SILENCE_PEAK:
        raise ValueError(f"{path} is silent: its mono mix never exceeds {peak:.1e} of full scale.")
    blocks.append(resampler.resample_chunk(np.zeros(0, dtype=np.float32), last=True))
    # The resampler may round the last sample up or down; the length decides the number of dance frames.
    missing = round(num_samples * sampling_rate / file_rate) - sum(map(len, blocks))
    blocks.append(np.zeros(max(0, missing), dtype=np.float32))
    waveform = np.concatenate(blocks)
    return waveform[: len(waveform) + min(0, missing)]


def audio_duration_seconds(path: str | Path) -> float:
    """Return the length of an audio file in seconds.

    The length comes from the header where soundfile reads the file; other formats are decoded and counted, because
    their headers are not exact.

    Args:
        path: The audio file.

    Returns:
        Seconds of sound.

    Raises:
        FileNotFoundError: If `path` does not exist.
        ValueError: If it is a directory, empty, not audio, or broken.
    """
    import soundfile

    path = _checked_file(path)
    try:
        info = soundfile.info(str(path))
        return info.frames / info.samplerate
    except soundfile.LibsndfileError:
        return sum(len(block) / file_rate for block, file_rate in _decode(path))


def _checked_file(path: str | Path) -> Path:
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist.")
    if not path.is_file():
        raise ValueError(f"{path} is not a file. Pass one audio file, not a directory.")
    if path.stat().st_size == 0:
        raise ValueError(f"{path} is empty (0 bytes).")
    return path


def _decode(path: Path) -> Generator[tuple[np.ndarray, int], None, None]:
    """Yield blocks `(samples, channels)` float32 with the file's own sampling rate in Hz."""
    import soundfile

    try:
        sound = soundfile.SoundFile(str(path))
    except soundfile.LibsndfileError:
        yield from _decode_with_av(path)
        return
    with sound:
        num_read = 0
        try:
            while len(block := sound.read(BLOCK_SAMPLES, dtype="float32", always_2d=True)):
                num_read += len(block)
                yield block, sound.samplerate
        except soundfile.LibsndfileError as error:
            raise ValueError(
                f"{path} is broken: reading stopped after {num_read / sound.samplerate:.2f} s ({error.error_string})."
            ) from error
        if sound.frames - num_read > HEADER_TOLERANCE_SECONDS * sound.samplerate:
            raise ValueError(
                f"{path} is broken: its header promises {sound.frames / sound.samplerate:.2f} s of sound, it holds "
                f"{num_read / sound.samplerate:.2f} s. Copy or download it again."
            )


def _decode_with_av(path: Path) -> Generator[tuple[np.ndarray, int], None, None]:
    try:
        require_extra("av", "video", "Audio that soundfile cannot read, such as m4a,")
    except ImportError as error:
        raise ValueError(f"{path} cannot be read as audio by soundfile. {error}") from error
    import av

    try:
        with av.open(str(path)) as container:
            if not container.streams.audio:
                raise ValueError(f"{path} holds no audio stream.")
            resampler = av.AudioResampler(format="fltp")
            for frame in container.decode(audio=0):
                for converted in resampler.resample(frame):
                    yield converted.to_ndarray().T, converted.sample_rate
    except av.FFmpegError as error:
        raise ValueError(
            f"{path} cannot be read as audio: it is broken or no audio file (FFmpeg: {error.strerror})."
        ) from error
