import pytest
import torch
from safetensors.torch import load_file

from infinitedance.tokenization.configuration_motion_codec import MotionCodecConfig
from infinitedance.tokenization.modeling_motion_codec import MotionCodecResidualQuantizer


def make_quantizer(codebooks: torch.Tensor, **fields) -> MotionCodecResidualQuantizer:
    """A quantizer with given codebooks, `(num_quantizers, codebook_size, codebook_dim)`, each code used once."""
    num_quantizers, codebook_size, codebook_dim = codebooks.shape
    config = MotionCodecConfig(
        num_quantizers=num_quantizers, codebook_size=codebook_size, codebook_dim=codebook_dim, **fields
    )
    quantizer = MotionCodecResidualQuantizer(config)
    quantizer.codebooks.copy_(codebooks)
    quantizer.cluster_sums.copy_(codebooks)
    quantizer.cluster_sizes.fill_(1.0)
    quantizer.initialized.fill_(True)
    return quantizer


def mask_for(latents: torch.Tensor) -> torch.Tensor:
    return torch.ones(latents.shape[:2], dtype=torch.bool)


def test_each_level_quantizes_what_the_levels_before_left_over():
    codebooks = torch.tensor([[[0.0], [10.0]], [[-1.0], [2.0]], [[0.25], [-0.25]]])
    quantizer = make_quantizer(codebooks).eval()
    latents = torch.tensor([[[11.8], [-0.9]]])
    quantized, codes, _, _ = quantizer(latents, mask_for(latents))
    assert codes.tolist() == [[[1, 0], [1, 0], [1, 0]]]
    torch.testing.assert_close(quantized, torch.tensor([[[10 + 2 - 0.25], [0 - 1 + 0.25]]]))
    torch.testing.assert_close(quantizer.lookup(codes), quantized)


@pytest.mark.parametrize("width, expected", [(1, [1, 0]), (2, [0, 1])])
def test_a_wide_search_finds_a_better_sum_than_the_nearest_code_of_each_level(width, expected):
    # 7 is nearest to 10, but 0 + 6 comes closer than 10 + 0.
    quantizer = make_quantizer(torch.tensor([[[0.0], [10.0]], [[0.0], [6.0]]]), search_width=width)
    latents = torch.tensor([[[7.0]]])
    assert quantizer.search_codes(latents)[0, :, 0].tolist() == expected
    quantized, codes, _, _ = quantizer(latents, mask_for(latents))
    assert codes[0, :, 0].tolist() == expected
    assert quantized.item() == pytest.approx(10.0 if width == 1 else 6.0)


def test_the_widest_search_finds_the_best_of_all_sums():
    torch.manual_seed(0)
    codebooks, latents = torch.randn(3, 5, 4), torch.randn(2, 30, 4)
    quantizer = make_quantizer(codebooks, search_width=125).eval()
    sums = (codebooks[0][:, None, None] + codebooks[1][:, None] + codebooks[2]).reshape(-1, 4)
    best = (latents.unsqueeze(2) - sums).norm(dim=-1).min(dim=-1).values
    found = (latents - quantizer.lookup(quantizer.search_codes(latents))).norm(dim=-1)
    torch.testing.assert_close(found, best)


def test_commitment_loss_and_perplexity_have_their_closed_forms():
    quantizer = make_quantizer(torch.tensor([[[0.0], [10.0], [20.0], [30.0]]])).eval()
    latents = torch.tensor([[[1.0], [9.0], [1.0], [10.0]]])
    _, _, loss, perplexity = quantizer(latents, mask_for(latents))
    assert loss.item() == pytest.approx((1 + 1 + 1 + 0) / 4)
    assert perplexity.item() == pytest.approx(2.0)  # two codes, each used twice


def test_the_gradient_goes_straight_through():
    quantizer = make_quantizer(torch.tensor([[[0.0, 0.0], [5.0, 5.0]]])).eval()
    latents = torch.randn(1, 3, 2, requires_grad=True)
    weights = torch.randn(1, 3, 2)
    (quantizer(latents, mask_for(latents))[0] * weights).sum().backward()
    torch.testing.assert_close(latents.grad, weights)


def test_moving_averages_carry_a_code_to_the_mean_of_its_residuals():
    quantizer = make_quantizer(torch.tensor([[[0.0], [100.0]]]), ema_decay=0.9).train()
    latents = torch.tensor([[[1.0], [3.0], [104.0]]])
    for _ in range(200):
        quantizer(latents, mask_for(latents))
    torch.testing.assert_close(quantizer.codebooks[0], torch.tensor([[2.0], [104.0]]))


def test_one_update_is_the_printed_formula():
    quantizer = make_quantizer(torch.tensor([[[0.0], [100.0]]]), ema_decay=0.9).train()
    latents = torch.tensor([[[1.0], [3.0], [104.0]]])
    quantizer(latents, mask_for(latents))
    size, total = 0.9 * 1 + 0.1 * 2, 0.9 * 0 + 0.1 * (1 + 3)
    assert quantizer.codebooks[0, 0].item() == pytest.approx(total / size)


def test_padded_tokens_move_no_code():
    quantizer = make_quantizer(torch.tensor([[[0.0], [100.0]]])).train()
    padded = torch.tensor([[[1.0], [99.0], [55.0]]])
    quantizer(padded, torch.tensor([[True, True, False]]))
    other = make_quantizer(torch.tensor([[[0.0], [100.0]]])).train()
    other(padded[:, :2], torch.tensor([[True, True]]))
    torch.testing.assert_close(quantizer.codebooks, other.codebooks)


def test_a_code_out_of_use_is_seeded_anew_from_the_batch():
    quantizer = make_quantizer(torch.tensor([[[0.0], [1000.0]]]), ema_decay=0.5).train()
    latents = torch.tensor([[[7.0], [7.0], [7.0], [7.0]]])
    for _ in range(10):
        quantizer(latents, mask_for(latents))
    assert quantizer.codebooks[0, 1].item() == pytest.approx(7.0, abs=0.1)


def test_without_resets_a_code_out_of_use_keeps_its_place():
    quantizer = make_quantizer(torch.tensor([[[0.0], [1000.0]]]), ema_decay=0.5).train()
    quantizer.resets_dead_codes = False
    latents = torch.tensor([[[7.0], [7.0]]])
    for _ in range(300):
        quantizer(latents, mask_for(latents))
    assert quantizer.codebooks[0, 1].item() == pytest.approx(1000.0)


def test_the_first_training_batch_seeds_all_levels():
    torch.manual_seed(0)
    config = MotionCodecConfig(codebook_dim=4, codebook_size=8, num_quantizers=2)
    quantizer = MotionCodecResidualQuantizer(config).train()
    latents = 5 + torch.randn(4, 16, 4)
    quantizer(latents, mask_for(latents))
    assert bool(quantizer.initialized)
    assert (quantizer.codebooks[0] - 5).abs().mean() < 1.5
    assert quantizer.codebooks[1].abs().mean() < 1.5
    assert all(len(codebook.unique(dim=0)) > 2 for codebook in quantizer.codebooks)


def test_quantizer_dropout_drops_the_last_levels_in_training_only():
    torch.manual_seed(0)
    codebooks = torch.tensor([[[0.0], [10.0]], [[1.0], [2.0]], [[0.25], [0.5]]])
    quantizer = make_quantizer(codebooks, quantizer_dropout=1.0)
    latents = torch.full((200, 1, 1), 12.5)
    quantized = quantizer.train()(latents, mask_for(latents))[0].flatten()
    assert {round(value) for value in quantized.tolist()} == {10, 12}  # one level or two, never all three
    kept = make_quantizer(codebooks, quantizer_dropout=1.0).eval()(latents, mask_for(latents))[0]
    torch.testing.assert_close(kept, latents)


@pytest.mark.shared_data
def test_codes_in_use_move_as_those_of_the_release_do(repository_root):
    """The release draws codes anew that are chosen less than once; all others follow the same averages."""
    path = repository_root.parent / "shared" / "parity" / "release" / "rvqvae" / "ema_update.safetensors"
    if not path.is_file():
        pytest.skip(f"golden vectors: there is no {path}")
    golden = load_file(path)
    quantizer = make_quantizer(golden["codebook_after_init"][None], ema_decay=0.99)
    quantizer.resets_dead_codes = False
    num_codes = len(golden["codebook_after_init"])
    is_used = torch.ones(num_codes, dtype=torch.bool)
    for step in range(3):
        codes = golden[f"step{step}_idx"]
        usage = torch.bincount(codes, minlength=num_codes).float()
        quantizer._update_codebook(0, golden[f"step{step}_x"], codes, usage)
        is_used &= golden[f"step{step}_code_count"] >= 1
        torch.testing.assert_close(quantizer.cluster_sizes[0], golden[f"step{step}_code_count"], atol=1e-5, rtol=0)
        expected = golden[f"step{step}_codebook"][is_used]
        torch.testing.assert_close(quantizer.codebooks[0][is_used], expected, atol=1e-5, rtol=0)
    assert is_used.sum() == 7
