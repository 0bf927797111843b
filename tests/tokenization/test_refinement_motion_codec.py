import pytest
import torch

from infinitedance.tokenization import refinement_motion_codec as refinement
from infinitedance.tokenization.refinement_motion_codec import refine_codes, synthesis_loss
from infinitedance.tokenization.tokenization_motion import MotionTokenizer


@torch.no_grad()
def loss_of(codec, codes, features):
    return float(synthesis_loss(codec, codec.decode(codes[None])[0, : len(features)], features))


@pytest.mark.parametrize("num_frames", [90, 30])
def test_refined_codes_decode_nearer_to_the_motion(tiny_codec, motion_features_90, num_frames):
    features = motion_features_90[:num_frames]
    codes = tiny_codec.encode(features[None])[0]
    refined = refine_codes(tiny_codec, features, codes, 20)
    assert refined.shape == codes.shape and refined.dtype == codes.dtype
    assert loss_of(tiny_codec, refined, features) < loss_of(tiny_codec, codes, features)


def test_a_single_frame_can_be_refined(tiny_codec, motion_features_90):
    codes = tiny_codec.encode(motion_features_90[None, :1])[0]
    refined = refine_codes(tiny_codec, motion_features_90[:1], codes, 3)
    assert loss_of(tiny_codec, refined, motion_features_90[:1]) <= loss_of(tiny_codec, codes, motion_features_90[:1])


def test_codes_that_cannot_be_improved_are_kept(tiny_codec, motion_features_90):
    codes = tiny_codec.encode(motion_features_90[None])[0]
    best = tiny_codec.decode(codes[None])[0, :90]
    assert torch.equal(refine_codes(tiny_codec, best, codes, 5), codes)


def test_a_chunk_is_refined_between_its_neighbors(tiny_codec, motion_features_90, monkeypatch):
    # Frames near the end of a chunk are posed by the next chunk's codes too: refining must see them.
    monkeypatch.setattr(refinement, "CHUNK_TOKENS", 8)
    codes = tiny_codec.encode(motion_features_90[None])[0]
    refined = refine_codes(tiny_codec, motion_features_90, codes, 20)
    assert (refined != codes).any(dim=0).view(-1)[:8].any() and (refined != codes).any(dim=0)[16:].any()
    assert loss_of(tiny_codec, refined, motion_features_90) < loss_of(tiny_codec, codes, motion_features_90)


def test_refinement_leaves_the_codec_as_it_is(tiny_codec, motion_features_90):
    before = {name: tensor.clone() for name, tensor in tiny_codec.state_dict().items()}
    refine_codes(tiny_codec, motion_features_90, tiny_codec.encode(motion_features_90[None])[0], 3)
    assert all(torch.equal(before[name], tensor) for name, tensor in tiny_codec.state_dict().items())
    assert all(parameter.grad is None for parameter in tiny_codec.parameters())


def test_the_loss_counts_every_frame(tiny_codec, motion_features_90):
    for frame in (0, 63, 64, 89):
        changed = motion_features_90.clone()
        changed[frame, 3] += 1  # the root's height
        assert synthesis_loss(tiny_codec, changed, motion_features_90) > 1e-3


def test_the_tokenizer_refines_on_demand(tiny_codec, motion):
    tokenizer = MotionTokenizer(tiny_codec)
    codes = tokenizer.encode(motion)
    assert torch.equal(codes, tokenizer.encode(motion, refinement_steps=0))
    assert not torch.equal(codes, tokenizer.encode(motion, refinement_steps=10))
    with pytest.raises(ValueError, match="at least 0, got -1"):
        tokenizer.encode(motion, refinement_steps=-1)
