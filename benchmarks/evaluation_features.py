"""Compare the features of FID with plain loops over frames and joints: `python benchmarks/evaluation_features.py`.

The loops handle one vector of three numbers at a time in NumPy, as the published extractors do; the tests of the
features use them too, as the obvious version.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np

from infinitedance.evaluation.metrics.geometric_features import geometric_features
from infinitedance.evaluation.metrics.kinetic_features import kinetic_features

FRAME_RATE = 30.0
HALF = 1  # frames to each side in the corrected formulae at 30 Hz
KINETIC_FRAME_SECONDS = 1 / 60
ROOT, L_HIP, R_HIP, BELLY, L_KNEE, R_KNEE, L_ANKLE, R_ANKLE, CHEST, L_TOES, R_TOES, NECK = (
    *(0, 1, 2, 3, 4, 5),
    *(7, 8, 9, 10, 11, 12),
)
L_SHOULDER, R_SHOULDER, L_ELBOW, R_ELBOW, L_WRIST, R_WRIST = 16, 17, 18, 19, 20, 21


def walking_clip(num_frames: int, seed: int) -> np.ndarray:
    """Return `(num_frames, 22, 3)` metres: a body that walks about, each joint on a random smooth path."""
    random = np.random.default_rng(seed)
    seconds = np.arange(num_frames)[:, None, None] / FRAME_RATE
    place = random.normal(0, [0.3, 0.4, 0.3], (22, 3)) + [0, 1, 0]
    speed, start = random.uniform(1, 12, (2, 22, 3)), random.uniform(0, 6, (2, 22, 3))
    swing = sum(random.uniform(0, 0.2, (22, 3)) * np.sin(speed[k] * seconds + start[k]) for k in range(2))
    return (place + swing + [1, 0, -1] * np.sin(seconds)).astype(np.float32)


def root_relative_by_loop(positions: np.ndarray) -> np.ndarray:
    """Subtract the root of its frame from each joint, from the root that of frame 0."""
    result = np.zeros(positions.shape)
    for frame in range(len(positions)):
        result[frame, ROOT] = positions[frame, ROOT] - positions[0, ROOT]
        for joint in range(1, positions.shape[1]):
            result[frame, joint] = positions[frame, joint] - positions[frame, ROOT]
    return result


def kinetic_by_loop(positions: np.ndarray, mode: str) -> np.ndarray:
    """Return `kinetic_features`, one vector at a time."""
    p = positions.astype(np.float64) if mode == "compat_world" else root_relative_by_loop(positions.astype(np.float64))
    if mode != "corrected":
        p = p[:1024]
    differences = corrected_differences if mode == "corrected" else published_differences
    features = []
    for joint in range(p.shape[1]):
        velocities, accelerations = differences(p, joint)
        horizontal = [v[0] ** 2 + v[2] ** 2 for v in velocities]
        vertical = [v[1] ** 2 for v in velocities]
        effort = [np.sqrt(a[0] ** 2 + a[1] ** 2 + a[2] ** 2) for a in accelerations]
        features += [sum(values) / len(values) for values in (horizontal, vertical, effort)]
    return np.array(features)


def published_differences(p: np.ndarray, joint: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return windowed velocities and accelerations of a joint, with the misplaced bracket."""
    dt, num_frames = KINETIC_FRAME_SECONDS, len(p)
    velocities, accelerations = [], []
    for i in range(1, num_frames):
        velocity, acceleration, num_velocities, num_accelerations = np.zeros(3), np.zeros(3), 0, 0
        for k in range(i - 2, i + 3):
            if 1 <= k <= num_frames - 1:
                velocity = velocity + (p[k, joint] - p[k - 1, joint]) / dt
                num_velocities += 1
            if 1 <= k <= num_frames - 2:
                after = (p[k + 1, joint] - p[k, joint]) / dt
                before = p[k, joint] - p[k - 1, joint] / dt
                acceleration = acceleration + (after - before) / dt
                num_accelerations += 1
        velocities.append(velocity / num_velocities)
        accelerations.append(acceleration / num_accelerations)
    return velocities, accelerations


def corrected_differences(p: np.ndarray, joint: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return central differences of a joint at 30 Hz."""
    velocities, accelerations = [], []
    for k in range(HALF, len(p) - HALF):
        before, now, after = p[k - HALF, joint], p[k, joint], p[k + HALF, joint]
        velocities.append((after - before) * FRAME_RATE / (2 * HALF))
        accelerations.append((after - 2 * now + before) * FRAME_RATE**2 / HALF**2)
    return velocities, accelerations


def geometric_by_loop(positions: np.ndarray, mode: str) -> np.ndarray:
    """Return `geometric_features`, one frame and one relation at a time."""
    p = positions.astype(np.float64)
    if mode == "corrected":
        humerus = (median_length(p, L_SHOULDER, L_ELBOW) + median_length(p, R_SHOULDER, R_ELBOW)) / 2
        lengths = humerus, median_length(p, L_SHOULDER, R_SHOULDER), median_length(p, L_HIP, R_HIP)
        frames, back, ahead, rate = range(HALF, len(p) - HALF), HALF, HALF, FRAME_RATE / (2 * HALF)
    else:
        p = (p if mode == "compat_world" else root_relative_by_loop(p))[:1024]
        lengths = 0.2568381092, 0.3908483585, 0.1192470659
        frames, back, ahead, rate = range(1, len(p)), 1, 0, 120.0
    counts = [0] * 32
    for frame in frames:
        velocities = [(p[frame + ahead, joint] - p[frame - back, joint]) * rate for joint in range(22)]
        for number, holds in enumerate(relations_of_frame(p[frame], velocities, lengths, mode == "corrected")):
            counts[number] += bool(holds)
    return np.array(counts) / len(frames)


def median_length(p: np.ndarray, joint: int, other: int) -> float:
    """Return the median distance of two joints."""
    return float(np.median([np.sqrt(((frame[joint] - frame[other]) ** 2).sum()) for frame in p]))


def relations_of_frame(c: np.ndarray, v: list[np.ndarray], lengths: tuple[float, ...], corrected: bool) -> list[bool]:
    """Return the 32 relations in one frame; `c` holds the joints, `v` their velocities."""
    hl, sw, hw = lengths
    lowest = min(joint[1] for joint in c)

    def unit(vector):
        return vector / np.sqrt(vector.dot(vector))

    def normal(a, b, c_):
        return unit(np.cross(c[c_] - c[a], c[b] - c[a]))

    def nmove(a, b, c_, d, threshold):
        return (v[d] - v[a]).dot(normal(a, b, c_)) > threshold

    def move(a, b, other, d, threshold):
        return (v[d] - v[other]).dot(unit(c[b] - c[a])) > threshold

    def nplane(a, b, c_, d, threshold):
        return (c[d] - c[c_]).dot(unit(c[b] - c[a])) > threshold

    def plane(a, b, c_, d, threshold):
        return (c[d] - c[a]).dot(normal(a, b, c_)) > threshold

    def angle(first, second, low, high):
        return low < np.degrees(np.arccos(np.clip(unit(first).dot(unit(second)), -1, 1))) < high

    def fast(a, threshold):
        return np.sqrt(v[a].dot(v[a])) > threshold

    spine = c[ROOT] - c[NECK]
    relations = [
        nmove(NECK, R_HIP, L_HIP, R_WRIST, 1.8 * hl),
        nmove(NECK, L_HIP, R_HIP, L_WRIST, 1.8 * hl),
        nplane(CHEST, NECK, NECK, R_WRIST, 0.2 * hl),
        nplane(CHEST, NECK, NECK, L_WRIST, 0.2 * hl),
        move(BELLY, CHEST, BELLY, CHEST, 1.8 * hl),
        move(BELLY, CHEST, BELLY, CHEST, 1.8 * hl),
        angle(c[R_SHOULDER] - c[R_ELBOW], c[R_WRIST] - c[R_ELBOW], 0, 110),
        angle(c[L_SHOULDER] - c[L_ELBOW], c[L_WRIST] - c[L_ELBOW], 0, 110),
        nplane(L_SHOULDER, R_SHOULDER, L_WRIST, R_WRIST, 2.5 * sw),
        move(L_WRIST, R_WRIST, L_WRIST, R_WRIST, 1.4 * hl),
        move(R_WRIST, ROOT, R_WRIST, L_WRIST, 1.4 * hl),
        move(L_WRIST, ROOT, L_WRIST, R_WRIST, 1.4 * hl),
        fast(R_WRIST, 2.5 * hl),
        fast(L_WRIST, 2.5 * hl),
        plane(ROOT, L_HIP, L_TOES, R_ANKLE, 0.38 * hl),
        plane(ROOT, R_HIP, R_TOES, L_ANKLE, 0.38 * hl),
        c[R_ANKLE][1] - lowest > 1.2 * hl,
        c[L_ANKLE][1] - lowest > 1.2 * hl,
        nplane(L_HIP, R_HIP, L_ANKLE, R_ANKLE, 2.1 * hw),
        angle(c[R_HIP] - c[R_KNEE], c[R_ANKLE] - c[R_KNEE], 0, 110),
        angle(c[L_HIP] - c[L_KNEE], c[L_ANKLE] - c[L_KNEE], 0, 110),
        fast(R_ANKLE, 2.5 * hl),
        fast(L_ANKLE, 2.5 * hl),
        angle(spine, c[R_ELBOW] - c[R_SHOULDER], 25, 180),
        angle(spine, c[L_ELBOW] - c[L_SHOULDER], 25, 180),
        angle(spine, c[R_KNEE] - c[R_HIP], 50, 180),
        angle(spine, c[L_KNEE] - c[L_HIP], 50, 180),
        plane(R_ANKLE, NECK, L_ANKLE, ROOT, 0.5 * hl),
        angle(spine, np.array([0.0, 1.0, 0.0]), 70, 110),
        -(c[R_WRIST][1] - lowest) > -1.2 * hl,
        -(c[L_WRIST][1] - lowest) > -1.2 * hl,
        fast(ROOT, 2.3 * hl),
    ]
    if corrected:
        relations[0] = (v[R_WRIST] - v[NECK]).dot(-normal(NECK, R_HIP, L_HIP)) > 1.8 * hl
        relations[4] = move(BELLY, CHEST, CHEST, R_WRIST, 1.8 * hl)
        relations[5] = move(BELLY, CHEST, CHEST, L_WRIST, 1.8 * hl)
        relations[9] = move(L_WRIST, R_WRIST, R_WRIST, L_WRIST, 1.4 * hl)
        relations[10] = move(R_WRIST, ROOT, R_WRIST, ROOT, 1.4 * hl)
        relations[11] = move(L_WRIST, ROOT, L_WRIST, ROOT, 1.4 * hl)
        relations[14] = -(c[R_ANKLE] - c[ROOT]).dot(normal(ROOT, L_HIP, L_TOES)) > 0.38 * hl
        relations[27] = -(c[ROOT] - c[R_ANKLE]).dot(normal(R_ANKLE, NECK, L_ANKLE)) > 0.5 * hl
    return relations


def timed(compute: Callable[..., np.ndarray], clips: list[np.ndarray], *args, **kwargs) -> tuple[np.ndarray, float]:
    """Return the features of all clips and the seconds of processor time they took."""
    start = time.process_time()
    features = np.array([compute(clip, *args, **kwargs) for clip in clips])
    return features, time.process_time() - start


def report(name: str, ours_seconds: float, loop_seconds: float) -> None:
    """Print both times and their ratio."""
    print(f"{name}: {ours_seconds:.2f} s, loop {loop_seconds:.0f} s: {loop_seconds / ours_seconds:.0f} times faster")


def main() -> None:
    """Time both ways in both modes, check that they agree, and print seconds and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=500)
    parser.add_argument("--frames", type=int, default=1024)
    parser.add_argument("--loop-clips", type=int, default=5, help="clips for the loops; their time is scaled to all")
    arguments = parser.parse_args()
    clips = [walking_clip(arguments.frames, seed) for seed in range(arguments.clips)]
    loop_clips = clips[: arguments.loop_clips]
    scale = len(clips) / len(loop_clips)
    print(
        f"Processor time for {len(clips)} clips of {arguments.frames} frames. The loops ran on {len(loop_clips)} of "
        f"them with equal results; their time is multiplied by {scale:.1f}."
    )
    pairs = {"kinetic": (kinetic_features, kinetic_by_loop), "geometric": (geometric_features, geometric_by_loop)}
    for mode in ("compat", "corrected"):
        totals = np.zeros(2)
        for name, (vectorized, loop) in pairs.items():
            features, ours_seconds = timed(vectorized, clips, FRAME_RATE, mode=mode)
            expected, loop_seconds = timed(loop, loop_clips, mode)
            np.testing.assert_allclose(features[: len(loop_clips)], expected, rtol=1e-9, atol=1e-12)
            report(f"{mode} {name}", ours_seconds, loop_seconds * scale)
            totals += ours_seconds, loop_seconds * scale
        report(f"{mode}, all features", *totals)


if __name__ == "__main__":
    main()
