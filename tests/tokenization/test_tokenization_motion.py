from dataclasses import replace

import numpy as np
import pytest
import torch

from infinitedance.motion.features import features_to_motion
from infinitedance.tokenization.tokenization_motion import MotionTokenizer


@pytest.fixture
def tokenizer(tiny_codec) -> MotionTokenizer:
    return MotionTokenizer(tiny_codec)


def random_codes(num_tokens: int, generator: torch.Generator) -> torch.Tensor:
    return torch.randint(16, (3, num_tokens), generator=generator)


def test_a_dance_keeps_its_length_and_body(tokenizer, motion):
    codes = tokenizer.encode(motion)
    assert codes.shape == (3, 23)
    again = tokenizer.decode(codes, num_frames=90)
    assert (again.num_frames, again.frame_rate, again.skeleton) == (90, 30.0, motion.skeleton)
    assert tokenizer.decode(codes).num_frames == 92


@pytest.mark.parametrize("chunk_tokens", [1, 7, 40, 64])
def test_decoding_in_chunks_equals_decoding_the_whole(tokenizer, generator, chunk_tokens):
    codes = random_codes(50, generator)
    whole = tokenizer.model.decode(codes[None])[0]
    torch.testing.assert_close(tokenizer.decode_features(codes, chunk_tokens), whole, rtol=1e-4, atol=1e-5)


def test_a_saved_tokenizer_gives_the_same_codes_and_dance(tokenizer, motion, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    loaded = MotionTokenizer.from_pretrained(tmp_path)
    codes = tokenizer.encode(motion)
    assert torch.equal(loaded.encode(motion), codes)
    np.testing.assert_array_equal(loaded.decode(codes).joint_rotations, tokenizer.decode(codes).joint_rotations)


def test_the_dance_is_that_of_the_decoded_features(tokenizer, generator):
    codes = random_codes(5, generator)
    expected = features_to_motion(tokenizer.model.decode(codes[None])[0].detach())
    np.testing.assert_allclose(tokenizer.decode(codes).joint_positions(), expected.joint_positions(), atol=1e-5)


def test_motion_of_another_rate_or_body_is_refused(tokenizer, motion):
    with pytest.raises(ValueError, match=r"30.0 frames per second, got 60.0.*resample"):
        tokenizer.encode(replace(motion, frame_rate=60.0))
    with pytest.raises(ValueError, match="neutral body.*retarget"):
        tokenizer.encode(replace(motion, skeleton=motion.skeleton.scaled(1.1)))


@pytest.mark.parametrize("num_frames", [0, 21])
def test_more_frames_than_the_codes_hold_are_refused(tokenizer, generator, num_frames):
    with pytest.raises(ValueError, match=rf"\[1, 20\] for 5 tokens, got {num_frames}"):
        tokenizer.decode(random_codes(5, generator), num_frames=num_frames)


@pytest.mark.parametrize(
    ("call", "argument", "message"),
    [
        ("decode", torch.zeros(1, 3, 5, dtype=torch.long), r"shape \(3, num_tokens\), got \(1, 3, 5\)"),
        ("decode", torch.full((3, 5), 16), r"lie in \[0, 16\)"),
    ],
)
def test_wrong_codes_are_refused(tokenizer, call, argument, message):
    with pytest.raises(ValueError, match=message):
        getattr(tokenizer, call)(argument)


def test_a_folder_with_another_model_or_none_is_refused(tmp_path):
    with pytest.raises(ValueError, match="holds no model: there is no config.json"):
        MotionTokenizer.from_pretrained(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(ValueError, match="got llama"):
        MotionTokenizer.from_pretrained(tmp_path)


def test_a_folder_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(OSError, match="missing"):
        MotionTokenizer.from_pretrained(tmp_path / "missing")
