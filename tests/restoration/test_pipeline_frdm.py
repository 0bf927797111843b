"""`FrdmPipeline` and the posing of legs: what holds for any weights of the model."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tqdm import tqdm

from infinitedance.dataset_builder.procedural.dance import synthesize_dance
from infinitedance.motion.features import POSITIONS, ROTATIONS, VELOCITIES, joint_channels, motion_to_features
from infinitedance.motion.feet.fusion import FusedFeet, FusionWeights, fuse_feet
from infinitedance.motion.feet.grounding import level_floor
from infinitedance.motion.motion import Motion
from infinitedance.motion.skeleton import CONTACT_JOINTS, JOINT_INDEX, PARENTS
from infinitedance.restoration import foot_placer, pipeline_frdm
from infinitedance.restoration.foot_placer import (
    FOOT_LOCKS,
    HELD_WITHIN_METRES,
    MAX_DROP_METRES,
    TURNED_JOINTS,
    FootLock,
    FootPlacer,
)
from infinitedance.restoration.paper_guidance import PaperSettings
from infinitedance.restoration.pipeline_frdm import SAMPLERS, ClipWindows, FrdmPipeline, divide_clip

FEET = list(CONTACT_JOINTS)
KEPT = [joint for joint in range(1, 22) if joint not in TURNED_JOINTS]


def sliding(dance: Motion) -> Motion:
    """Let a clean dance glide and hover a little."""
    seconds = np.arange(dance.num_frames) / 30
    error = np.stack([0.03 * np.sin(3 * seconds), 0.01 * np.sin(2 * seconds), 0.03 * np.cos(2 * seconds)], axis=1)
    return replace(dance, root_positions=dance.root_positions + error, foot_contacts=None)


@pytest.fixture(scope="module")
def slid(dance) -> Motion:
    return sliding(dance)


@pytest.fixture(scope="module")
def pipeline(make_frdm) -> FrdmPipeline:
    """A model that changes its legs little and calls every foot touching."""
    model = make_frdm()
    with torch.no_grad():
        model.head.bias[-4:] = 2.0
    return FrdmPipeline(model)


@pytest.fixture(scope="module")
def echo(make_frdm) -> FrdmPipeline:
    """A model that believes what it observes."""
    model = make_frdm()
    with torch.no_grad():
        model.head.weight.zero_()
    return FrdmPipeline(model)


def feet(motion: Motion) -> np.ndarray:
    return motion.joint_positions()[:, FEET].astype(float)


def steps_on_contact(motion: Motion) -> np.ndarray:
    """Return how far feet that touch in two frames move over the floor between them, metres."""
    both = motion.foot_contacts[1:] & motion.foot_contacts[:-1]
    return np.linalg.norm(np.diff(feet(motion)[..., [0, 2]], axis=0), axis=-1)[both]


@pytest.mark.parametrize("foot_lock", FOOT_LOCKS)
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_upper_body_stays_to_the_bit_and_bones_keep_their_lengths(pipeline, slid, sampler, foot_lock):
    restored = pipeline(slid, sampler=sampler, foot_lock=foot_lock).motion
    np.testing.assert_array_equal(restored.joint_rotations[:, KEPT], slid.joint_rotations[:, KEPT])
    if sampler == "default" and foot_lock != "grounding":
        np.testing.assert_array_equal(restored.joint_rotations[:, 0], slid.joint_rotations[:, 0])
    assert restored.skeleton == slid.skeleton and restored.num_frames == slid.num_frames
    positions = restored.joint_positions().astype(float)
    lengths = np.linalg.norm(positions[:, 1:] - positions[:, list(PARENTS[1:])], axis=-1)
    np.testing.assert_allclose(lengths, slid.skeleton.bone_lengths[None, 1:].repeat(len(lengths), 0), atol=1e-6)


@pytest.mark.parametrize("foot_lock", ["auto", "always"])
def test_a_planted_foot_has_no_slide_and_stands_on_the_floor(pipeline, slid, foot_lock):
    restored = pipeline(slid, foot_lock=foot_lock).motion
    assert restored.foot_contacts.mean() > 0.3
    assert steps_on_contact(replace(slid, foot_contacts=restored.foot_contacts)).mean() > 1e-3
    assert steps_on_contact(restored).max() < 2 * HELD_WITHIN_METRES
    assert steps_on_contact(restored).mean() < 0.1 * HELD_WITHIN_METRES
    heights = feet(restored)[..., 1] - slid.skeleton.contact_rest_heights
    assert heights.min() > -2 * HELD_WITHIN_METRES


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_never_holds_nothing(pipeline, slid, sampler):
    everywhere = np.ones((slid.num_frames, 4), bool)
    for given in (None, everywhere):
        assert not pipeline(slid, sampler=sampler, foot_lock="never", foot_contacts=given).motion.foot_contacts.any()


def test_always_holds_every_low_foot(pipeline, slid):
    held = pipeline(slid, foot_lock="always").motion.foot_contacts
    loose = pipeline(slid, foot_lock="never").motion
    low = feet(loose)[..., 1] < slid.skeleton.contact_rest_heights + 0.03
    assert held[low].mean() > 0.95 and not held[feet(loose)[..., 1] > 0.25].any()


def test_grounding_levels_the_floor_and_asks_no_model(pipeline, slid):
    restored = pipeline(slid, foot_lock="grounding")
    np.testing.assert_array_equal(restored.motion.root_positions, level_floor(slid).root_positions)
    np.testing.assert_array_equal(restored.motion.joint_rotations[:, 1:], slid.joint_rotations[:, 1:])
    assert restored.contact_probabilities is None


def test_strength_goes_from_never_holding_to_holding(pipeline, slid):
    never = pipeline(slid, foot_lock="never").motion.joint_positions()
    results = {strength: pipeline(slid, strength=strength).motion for strength in (0.0, 0.5, 1.0)}
    np.testing.assert_allclose(results[0.0].joint_positions(), never, atol=1e-6)
    contacts = results[1.0].foot_contacts
    slides = [steps_on_contact(replace(motion, foot_contacts=contacts)).mean() for motion in results.values()]
    assert 0.2 * slides[0] < slides[1] < 0.8 * slides[0] and slides[2] < 1e-4


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_given_contacts_replace_the_models_and_come_back(pipeline, slid, sampler):
    given = np.zeros((slid.num_frames, 4), bool)
    given[20:50, [0, 2]] = True
    given[60:90, 3] = True
    restored = pipeline(slid, sampler=sampler, foot_contacts=given).motion
    assert not (restored.foot_contacts & ~given).any()
    if sampler == "default":
        np.testing.assert_array_equal(restored.foot_contacts, given)
        assert steps_on_contact(restored).max() < HELD_WITHIN_METRES


def test_the_same_seed_gives_the_same_dance_and_another_seed_another(pipeline, slid):
    first, again, other = (pipeline(slid, seed=seed).motion for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.joint_rotations, again.joint_rotations)
    np.testing.assert_array_equal(first.root_positions, again.root_positions)
    assert not np.array_equal(first.joint_rotations, other.joint_rotations)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_each_dance_of_a_batch_equals_the_dance_restored_alone(pipeline, slid, sampler):
    batch = [slid, slid.cut(7, 40), slid.mirror()]
    given = [None, np.ones((33, 4), bool), None]
    together = pipeline.restore_all(batch, sampler=sampler, foot_contacts=given)
    for motion, contacts, restored in zip(batch, given, together, strict=True):
        alone = pipeline(motion, sampler=sampler, foot_contacts=contacts).motion
        np.testing.assert_array_equal(alone.joint_rotations, restored.motion.joint_rotations)
        np.testing.assert_array_equal(alone.root_positions, restored.motion.root_positions)
        np.testing.assert_array_equal(alone.foot_contacts, restored.motion.foot_contacts)


@pytest.mark.parametrize("num_frames", [1, 2, 5, 95, 96, 97])
def test_a_dance_of_any_length_is_restored(pipeline, slid, num_frames):
    for sampler in SAMPLERS:
        restored = pipeline(slid.cut(0, num_frames), sampler=sampler)
        assert restored.motion.num_frames == num_frames
        assert restored.contact_probabilities.shape == (num_frames, 4)
        assert ((restored.contact_probabilities > 0) & (restored.contact_probabilities < 1)).all()


def test_a_long_clean_dance_comes_back_from_a_model_that_believes_it(echo):
    dance = synthesize_dance("rumba", 96, 500 / 30, seed=0)
    assert dance.num_frames == 500
    restored = echo(dance, foot_lock="never").motion
    # Windows that overlap must add up to what they hold; only the straight leg is softened.
    apart = np.linalg.norm(restored.joint_positions() - dance.joint_positions(), axis=-1)
    assert np.quantile(apart, 0.99) < 2e-3 and apart.max() < 2e-2


@pytest.mark.parametrize("num_frames", [1, 96, 97, 160, 161, 500])
def test_windows_cover_a_clip_and_constant_ones_add_up_to_a_constant(num_frames):
    windows = ClipWindows(num_frames, window_frames=96, overlap_frames=32)
    frames = torch.arange(num_frames).float()
    cut = windows.cut(frames[:, None])
    assert set(cut.flatten().tolist()) == set(range(num_frames))
    torch.testing.assert_close(windows.mix(cut)[:, 0], frames)
    constant = torch.full((len(cut), 96, 3), 7.0)
    torch.testing.assert_close(windows.mix(constant), torch.full((num_frames, 3), 7.0))


def test_windows_that_contradict_each_other_are_cross_faded():
    windows = ClipWindows(500, window_frames=96, overlap_frames=32)
    contradicting = windows.cut(torch.zeros(500, 1))
    contradicting[::2] = 1.0
    assert 0 < windows.mix(contradicting)[:, 0].diff().abs().max() < 2 / 32


@pytest.mark.parametrize("num_frames", [1, 4096, 4352, 4353, 12000])
def test_blocks_keep_every_frame_once_and_margins_hold_windows_in_place(num_frames):
    blocks = divide_clip(num_frames, 64)
    assert [frame for *_, first, last in blocks for frame in range(first, last)] == list(range(num_frames))
    for start, end, first, last in blocks:
        assert start % 64 == 0 and (start == 0 or first - start == 256)
        assert end == num_frames or end - last == 256


def test_a_long_clip_in_blocks_equals_the_clip_in_one_piece(pipeline, monkeypatch):
    dance = sliding(synthesize_dance("rumba", 96, 1100 / 30, seed=0))
    given = np.random.default_rng(0).random((dance.num_frames, 4)) < 0.5
    whole = [pipeline(dance), pipeline(dance, foot_contacts=given)]
    monkeypatch.setattr(pipeline_frdm, "BLOCK_STRIDES", 5)
    assert len(divide_clip(dance.num_frames, 64)) == 3
    for expected, in_blocks in zip(whole, [pipeline(dance), pipeline(dance, foot_contacts=given)], strict=True):
        np.testing.assert_allclose(in_blocks.motion.joint_positions(), expected.motion.joint_positions(), atol=1e-5)
        unturned = [joint for joint in range(22) if joint not in TURNED_JOINTS]
        np.testing.assert_array_equal(
            in_blocks.motion.joint_rotations[:, unturned], dance.joint_rotations[:, unturned]
        )
        np.testing.assert_array_equal(in_blocks.motion.foot_contacts, expected.motion.foot_contacts)
        np.testing.assert_allclose(in_blocks.contact_probabilities, expected.contact_probabilities, atol=1e-5)


class Algorithm2:
    """The paper's Algorithm 2 for one window, as it is printed in its section 3.4: joint by joint, frame by frame."""

    def __init__(self, model, num_steps: int, threshold_share: float, corrected: bool):
        self.model, self.num_steps, self.corrected = model, num_steps, corrected
        self.total = model.config.num_train_timesteps
        self.threshold = threshold_share * self.total

    def run(self, features: torch.Tensor, noise: torch.Tensor, alphas: torch.Tensor) -> torch.Tensor:
        sample = noise
        times = [self.total * (self.num_steps - index) // self.num_steps for index in range(self.num_steps + 1)]
        for time, next_time in zip(times, times[1:], strict=False):
            # Merge(x_t, x), then f: legs that were observed are never seen.
            output = self.model(sample[None], torch.tensor([time]), features[None], torch.tensor([False]))
            estimate = self.model.merge(features, output.clean_sample[0]).double()
            weight = time / self.total
            if time >= self.threshold:
                for block in (POSITIONS, ROTATIONS):
                    estimate[:, block] = (1 - weight) * features[:, block] + weight * estimate[:, block]
            else:
                estimate = self.guide_feet(estimate, weight)
            clean = self.model.normalized_legs(estimate.float())
            alpha = float(alphas[next_time])
            sample = alpha**0.5 * clean + (1 - alpha) ** 0.5 * noise
        return self.model.merge(features, clean)

    def guide_feet(self, estimate: torch.Tensor, weight: float) -> torch.Tensor:
        headings, path = self.integrate_root(estimate)
        touching = self.touching(estimate)
        guided = estimate.clone()
        for frame in range(len(estimate)):
            for column, joint in enumerate(CONTACT_JOINTS):
                if touching[frame][column]:
                    guided[frame, self.velocity(joint)] *= weight
        legs = [JOINT_INDEX[f"{side}_{part}"] for side in ("left", "right") for part in ("knee", "ankle", "foot")]
        velocities = guided if self.corrected else estimate
        for joint in CONTACT_JOINTS if self.corrected else legs:
            place, step = None, None
            for frame in range(len(estimate)):
                turn = self.turn(headings[frame])
                believed = turn @ estimate[frame, self.position(joint)] + path[frame]
                runs_on = place is not None and (not self.corrected or self.both(touching, frame, joint))
                place = place + step if runs_on else believed
                guided[frame, self.position(joint)] = turn.T @ (place - path[frame])
                step = turn @ velocities[frame, self.velocity(joint)] / 30
        return guided

    @staticmethod
    def both(touching, frame: int, joint: int) -> bool:
        column = CONTACT_JOINTS.index(joint)
        return touching[frame][column] and touching[frame - 1][column]

    def touching(self, estimate: torch.Tensor) -> list[list[bool]]:
        rest = [0.066, 0.066, 0.02, 0.02]
        return [
            [
                bool(
                    frame[self.position(joint)][1] < rest[column] + 0.05 and frame[self.velocity(joint)].norm() < 0.35
                )
                for column, joint in enumerate(CONTACT_JOINTS)
            ]
            for frame in estimate
        ]

    @staticmethod
    def integrate_root(estimate: torch.Tensor) -> tuple[list[float], list[torch.Tensor]]:
        headings, path = [0.0], [torch.zeros(3).double()]
        for yaw_velocity, x, z, _ in estimate[:-1, :4].tolist():
            turn = Algorithm2.turn(headings[-1])
            path.append(path[-1] + turn @ torch.tensor([x, 0.0, z]).double() / 30)
            headings.append(headings[-1] + yaw_velocity / 30)
        return headings, path

    @staticmethod
    def turn(heading: float) -> torch.Tensor:
        cosine, sine = np.cos(heading), np.sin(heading)
        return torch.tensor([[cosine, 0, sine], [0, 1, 0], [-sine, 0, cosine]]).double()

    @staticmethod
    def position(joint: int) -> list[int]:
        return joint_channels([joint])["positions"]

    @staticmethod
    def velocity(joint: int) -> list[int]:
        return joint_channels([joint])["velocities"]


@pytest.mark.parametrize("corrected", [False, True])
def test_the_paper_sampler_is_algorithm_2(make_frdm, slid, corrected):
    model = make_frdm(initializer_range=0.05)
    pipeline = FrdmPipeline(model, paper_settings=PaperSettings(num_steps=5, threshold_share=0.5))
    features = motion_to_features(slid.cut(0, 96))
    noise = torch.randn(96, len(model.restored_channels), generator=torch.Generator().manual_seed(4))
    sampled, _ = pipeline.sample_by_paper(
        features, noise, FootLock(), corrected=corrected, progress=tqdm(disable=True)
    )
    with torch.no_grad():
        loop = Algorithm2(model, 5, 0.5, corrected)
        expected = loop.run(features, noise, pipeline.scheduler.alphas_cumprod)
    assert any(map(any, loop.touching(expected.double())))
    torch.testing.assert_close(sampled, expected, atol=2e-3, rtol=1e-3)


def test_what_a_clean_dance_says_of_its_feet_is_true(dance):
    estimate = FootPlacer(dance).estimate(motion_to_features(dance), np.zeros((dance.num_frames, 4)))
    root, places = dance.root_positions, feet(dance)
    np.testing.assert_allclose(estimate.root_positions, root)
    np.testing.assert_allclose(estimate.root_heights, root[:, 1], atol=1e-6)
    np.testing.assert_allclose(estimate.root_steps, np.diff(root, axis=0), atol=1e-5)
    np.testing.assert_allclose(estimate.ankle_offsets, places[:, :2] - root[:, None], atol=1e-5)
    np.testing.assert_allclose(estimate.foot_steps, np.diff(places, axis=0), atol=1e-5)
    np.testing.assert_allclose(estimate.foot_vectors, places[:, 2:] - places[:, :2], atol=1e-5)


def test_placed_feet_are_written_to_where_they_are_read(dance, slid):
    placer, features = FootPlacer(slid), motion_to_features(slid)
    truth = motion_to_features(dance)
    places = feet(dance)
    placed = FusedFeet(dance.root_positions.astype(float), places)
    written = placer.write(features, placed)
    read = placer.estimate(written, np.zeros((dance.num_frames, 4)))
    np.testing.assert_allclose(
        read.root_positions[0] + read.root_steps.sum(0),
        slid.root_positions[0] + np.diff(dance.root_positions, axis=0).sum(0),
        atol=1e-4,
    )
    np.testing.assert_allclose(read.ankle_offsets + placed.root_positions[:, None], places[:, :2], atol=1e-5)
    np.testing.assert_allclose(read.foot_steps, np.diff(places, axis=0), atol=1e-5)
    # Nothing but root, ankles and toes is written; the heading did not change, so the rest is the truth.
    changed = set(np.flatnonzero((written != features).any(dim=0)))
    moving = joint_channels([0, *CONTACT_JOINTS])
    assert changed <= {1, 2, 3, *moving["positions"], *moving["velocities"]}
    for block in (POSITIONS, VELOCITIES):
        assert torch.isfinite(written[:, block]).all() and written.shape == truth.shape


def placed_feet(motion: Motion) -> FusedFeet:
    estimate = FootPlacer(motion).estimate(motion_to_features(motion), np.ones((motion.num_frames, 4)))
    return fuse_feet(estimate, FusionWeights(), motion.skeleton)


def test_posed_feet_are_within_a_millimetre_of_where_they_are_held(slid):
    fused = placed_feet(slid)
    contacts = np.ones((slid.num_frames, 4), bool)
    posed = FootPlacer(slid).pose_legs(motion_to_features(slid), fused, contacts)
    missed = np.linalg.norm(feet(posed) - fused.joint_positions, axis=-1)
    assert posed.foot_contacts.mean() > 0.9
    assert missed[posed.foot_contacts].max() < HELD_WITHIN_METRES


def test_a_contact_that_no_leg_reaches_is_given_up(slid):
    fused = placed_feet(slid)
    far = fused.joint_positions.copy()
    far[30:40, [0, 2]] += [1.5, 0, 0]
    contacts = np.ones((slid.num_frames, 4), bool)
    posed = FootPlacer(slid).pose_legs(motion_to_features(slid), replace(fused, joint_positions=far), contacts)
    assert not posed.foot_contacts[30:40, [0, 2]].any() and posed.foot_contacts[:20].mean() > 0.9


def test_the_root_sinks_smoothly_to_let_a_leg_stand(slid, monkeypatch):
    lift = np.array([0, 0.02, 0], dtype=np.float32)
    high = replace(slid, root_positions=slid.root_positions + lift)
    fused = replace(placed_feet(slid), root_positions=high.root_positions.astype(float))
    placer, features = FootPlacer(high), motion_to_features(high)
    contacts = np.ones((slid.num_frames, 4), bool)
    posed = placer.pose_legs(features, fused, contacts)
    drop = (high.root_positions - posed.root_positions)[:, 1]
    assert 1e-3 < drop.max() <= MAX_DROP_METRES + 1e-6 and drop.min() > -1e-6
    assert np.abs(np.diff(drop)).max() < 0.3 * drop.max()
    np.testing.assert_array_equal(posed.root_positions[:, [0, 2]], high.root_positions[:, [0, 2]])
    unheld = placer.pose_legs(features, fused, 0 * contacts)
    np.testing.assert_array_equal(unheld.root_positions, high.root_positions)
    monkeypatch.setattr(foot_placer, "MAX_DROP_METRES", 0.0)
    upright = placer.pose_legs(features, fused, contacts)
    assert upright.foot_contacts.mean() < posed.foot_contacts.mean()


def test_a_saved_pipeline_restores_the_same(pipeline, slid, tmp_path):
    pipeline.save_pretrained(tmp_path / "model")
    first, second = (FrdmPipeline.from_pretrained(tmp_path / "model")(slid.cut(0, 40)).motion for _ in range(2))
    np.testing.assert_array_equal(first.joint_rotations, second.joint_rotations)
    # Where weights lie in memory decides in which order they are added up.
    np.testing.assert_allclose(first.joint_rotations, pipeline(slid.cut(0, 40)).motion.joint_rotations, atol=1e-5)


def test_progress_is_shown_where_it_is_asked_for(pipeline, slid, capfd):
    pipeline(slid.cut(0, 40))
    assert capfd.readouterr().err == ""
    pipeline(slid.cut(0, 40), show_progress=True)
    steps = pipeline.settings.num_steps
    assert f"{steps}/{steps}" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sampler": "ddpm"}, "`sampler` must be one of default, paper, paper_corrected, got 'ddpm'"),
        ({"foot_lock": "sometimes"}, "`foot_lock` must be one of auto, always, never, grounding"),
        ({"strength": 1.5}, "`strength` must be between 0 and 1, got 1.5"),
        ({"strength": float("nan")}, "`strength` must be between 0 and 1, got nan"),
        ({"foot_contacts": np.zeros((3, 4), bool)}, r"`foot_contacts` must have shape \(120, 4\), got \(3, 4\)"),
    ],
)
def test_wrong_options_are_refused(pipeline, slid, options, message):
    with pytest.raises(ValueError, match=message):
        pipeline(slid, **options)


def test_other_bodies_rates_and_numbers_of_contacts_are_refused(pipeline, slid):
    with pytest.raises(ValueError, match=r"30 frames per second, got 60. Convert it with `motion.resample\(30\)`"):
        pipeline(replace(slid, frame_rate=60.0))
    with pytest.raises(ValueError, match=r"on the neutral body .* Convert it with `retarget\(motion\)`"):
        pipeline(replace(slid, skeleton=slid.skeleton.scaled(1.1)))
    with pytest.raises(ValueError, match="one entry for each of the 2 dances, got 1"):
        pipeline.restore_all([slid, slid], foot_contacts=[None])


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(ValueError, match="holds no model"):
        FrdmPipeline.from_pretrained(tmp_path)
    with pytest.raises(FileNotFoundError, match="There is no model folder"):
        FrdmPipeline.from_pretrained(tmp_path / "nothing" / "here")
