import torch

from infinitedance.motion.skeleton import JOINT_INDEX
from infinitedance.training.varied_dances import vary_dances

UPPER = [
    index
    for name, index in JOINT_INDEX.items()
    if any(part in name for part in ("spine", "neck", "head", "collar", "shoulder", "elbow", "wrist"))
]
LOWER = [index for index in range(22) if index not in UPPER]


def vary(count: int = 200) -> tuple[torch.Tensor, torch.Tensor]:
    rotations = torch.eye(3).expand(count, 8, 22, 3, 3)
    others = torch.diag(torch.tensor([1.0, -1.0, -1.0])).expand(count, 8, 22, 3, 3)
    return vary_dances(rotations, others, 30.0, torch.Generator().manual_seed(0)), others


def test_legs_and_pelvis_stay_as_they_were_danced():
    varied, _ = vary()
    torch.testing.assert_close(varied[:, :, LOWER], torch.eye(3).expand(200, 8, len(LOWER), 3, 3))


def test_arms_and_trunk_are_of_other_dances_each_by_itself():
    varied, _ = vary()
    is_other = varied[..., 1, 1].mean(dim=1) < 0
    left, right, trunk = (is_other[:, JOINT_INDEX[name]] for name in ("left_elbow", "right_elbow", "spine2"))
    for part in (left, right, trunk):
        assert 0.2 < part.float().mean() < 0.4
    assert torch.equal(left, is_other[:, JOINT_INDEX["left_collar"]])
    assert (left & ~right).any() and (left & ~trunk).any() and (right & ~left).any()


def test_half_of_the_dances_sway_smoothly():
    varied, others = vary()
    still = torch.where(varied[:, :1, :, 1:2, 1:2] < 0, others, torch.eye(3))
    angles = torch.acos((((varied * still).sum(dim=(-1, -2)) - 1) / 2).clamp(-1, 1))
    swaying = angles[:, :, JOINT_INDEX["left_shoulder"]].amax(dim=1) > 1e-2
    assert 0.4 < swaying.float().mean() < 0.6
    assert 0.2 < angles[swaying][:, :, JOINT_INDEX["left_shoulder"]].mean() < 0.8
    assert (varied.diff(dim=1).abs().amax() < 0.35) and (varied[swaying].diff(dim=1).abs().amax() > 1e-3)
