"""Write dances as USD (UsdSkel), with a skinned body or the bare skeleton."""

from __future__ import annotations

import json
import os

import numpy as np

from ..body_mesh import INFLUENCES, BodyMesh, rest_positions
from ..extras import require_extra
from ..motion import Motion
from ..skeleton import NUM_JOINTS, PARENTS
from .atomic import atomic_path
from .bone_names import bone_names
from .gltf import continuous_quaternions, standing_pelvis
from .notes import copyright_line, export_notes


def write_usd(motion: Motion, path: str | os.PathLike, *, body: BodyMesh | None = None, names: str = "smpl") -> None:
    """Write a dance as USD: `.usda` is text, `.usdc` and `.usd` binary; metres, Y up, one time code a frame.

    The layer's `customLayerData["infinitedance"]` holds provenance, units, beats and bars as JSON.

    Args:
        motion: The dance.
        path: The file, written in full or not at all.
        body: A mesh in the rest pose of the dance's skeleton; `None` for the bare skeleton.
        names: Preset of `BONE_NAMES`; what USD does not allow in names becomes `_`.

    Raises:
        ImportError: Without the extra `usd`.
        ValueError: If there is no such preset.
        OSError: As `atomic_path`.
    """
    joints = bone_names(names)
    require_extra("pxr", "usd", "Writing USD")
    from pxr import Gf, Tf, Usd, UsdGeom, UsdSkel, Vt

    with atomic_path(path) as temporary:
        temporary.unlink()  # USD makes its own
        stage = Usd.Stage.CreateNew(str(temporary))
        UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.y)
        UsdGeom.SetStageMetersPerUnit(stage, 1.0)
        stage.SetTimeCodesPerSecond(motion.frame_rate)
        stage.SetFramesPerSecond(motion.frame_rate)
        stage.SetStartTimeCode(0)
        stage.SetEndTimeCode(motion.num_frames - 1)
        layer = stage.GetRootLayer()
        layer.customLayerData = {"infinitedance": json.dumps(export_notes(motion))}
        layer.comment = copyright_line(motion, "" if body is None else body.note)

        root = UsdSkel.Root.Define(stage, "/dance")
        stage.SetDefaultPrim(root.GetPrim())
        skeleton = UsdSkel.Skeleton.Define(stage, "/dance/skeleton")
        animation = UsdSkel.Animation.Define(stage, "/dance/skeleton/animation")
        paths: list[str] = []
        for joint, parent in enumerate(PARENTS):
            own = Tf.MakeValidIdentifier(joints[joint])
            paths.append(own if parent < 0 else f"{paths[parent]}/{own}")
        pelvis = standing_pelvis(motion)
        rest = motion.skeleton.offsets.copy()
        rest[0] = pelvis
        bind = rest_positions(motion.skeleton) + pelvis
        moves = [[Gf.Matrix4d().SetTranslate(Gf.Vec3d(*row)) for row in rows.tolist()] for rows in (rest, bind)]
        skeleton.CreateJointsAttr(paths)
        skeleton.CreateRestTransformsAttr(Vt.Matrix4dArray(moves[0]))
        skeleton.CreateBindTransformsAttr(Vt.Matrix4dArray(moves[1]))
        UsdSkel.BindingAPI.Apply(skeleton.GetPrim()).CreateAnimationSourceRel().SetTargets([animation.GetPath()])

        animation.CreateJointsAttr(paths)
        animation.CreateScalesAttr(Vt.Vec3hArray([Gf.Vec3h(1, 1, 1)] * NUM_JOINTS))
        translations, rotations = animation.CreateTranslationsAttr(), animation.CreateRotationsAttr()
        offsets = rest.astype(np.float32)
        for frame, quaternions in enumerate(continuous_quaternions(motion.joint_rotations).tolist()):
            offsets[0] = motion.root_positions[frame]
            translations.Set(Vt.Vec3fArray.FromNumpy(offsets), frame)
            rotations.Set(Vt.QuatfArray([Gf.Quatf(*quaternion) for quaternion in quaternions]), frame)
        if body is not None:
            mesh = UsdGeom.Mesh.Define(stage, "/dance/body")
            points = (body.vertices + pelvis).astype(np.float32)
            mesh.CreatePointsAttr(Vt.Vec3fArray.FromNumpy(points))
            mesh.CreateExtentAttr(Vt.Vec3fArray.FromNumpy(np.stack([points.min(axis=0), points.max(axis=0)])))
            mesh.CreateFaceVertexCountsAttr([3] * len(body.triangles))
            mesh.CreateFaceVertexIndicesAttr(Vt.IntArray.FromNumpy(body.triangles.reshape(-1).astype(np.int32)))
            mesh.CreateSubdivisionSchemeAttr(UsdGeom.Tokens.none)
            mesh.CreateNormalsAttr(Vt.Vec3fArray.FromNumpy(body.normals().astype(np.float32)))
            mesh.SetNormalsInterpolation(UsdGeom.Tokens.vertex)
            binding = UsdSkel.BindingAPI.Apply(mesh.GetPrim())
            binding.CreateSkeletonRel().SetTargets([skeleton.GetPath()])
            binding.CreateJointIndicesPrimvar(False, INFLUENCES).Set(
                Vt.IntArray.FromNumpy(body.joints.reshape(-1).astype(np.int32))
            )
            binding.CreateJointWeightsPrimvar(False, INFLUENCES).Set(
                Vt.FloatArray.FromNumpy(body.weights.reshape(-1).astype(np.float32))
            )
            binding.CreateGeomBindTransformAttr(Gf.Matrix4d(1))
        stage.Save()
