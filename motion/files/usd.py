"""Write dances as USD (UsdSkel), with a skinned body or the bare skeleton."""

from __future__ import annotations

import json
import os
from typing import Any

import numpy as np

from ...utils.atomic import atomic_path
from ...utils.extras import require_extra
from ..drawing.body_mesh import INFLUENCES, BodyMesh
from ..motion import Motion
from .notes import action_name, copyright_line, export_notes
from .rig import Rig, export_rig

_SKELETON = "/dance/skeleton"


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
    rig = export_rig(motion, names)
    require_extra("pxr", "usd", "Writing USD")
    from pxr import Tf, Usd, UsdGeom, UsdSkel

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
        stage.SetDefaultPrim(UsdSkel.Root.Define(stage, "/dance").GetPrim())
        _add_skeleton(stage, rig, Tf.MakeValidIdentifier(action_name(motion, path)))
        if body is not None:
            _add_body(stage, rig, body)
        stage.Save()


def _add_skeleton(stage: Any, rig: Rig, action: str) -> None:
    """Add the bones and, below them, their animation under a name."""
    from pxr import Gf, Tf, UsdSkel, Vt

    paths: list[str] = []
    for name, parent in zip(rig.names, rig.parents, strict=True):
        own = Tf.MakeValidIdentifier(name)
        paths.append(own if parent < 0 else f"{paths[parent]}/{own}")
    skeleton = UsdSkel.Skeleton.Define(stage, _SKELETON)
    animation = UsdSkel.Animation.Define(stage, f"{_SKELETON}/{action}")
    UsdSkel.BindingAPI.Apply(skeleton.GetPrim()).CreateAnimationSourceRel().SetTargets([animation.GetPath()])
    bind = rig.bind_matrices
    rest = bind.copy()
    rest[1:] = np.linalg.inv(bind[list(rig.parents[1:])]) @ bind[1:]
    skeleton.CreateJointsAttr(paths)
    # USD multiplies rows by matrices.
    skeleton.CreateRestTransformsAttr(Vt.Matrix4dArray([Gf.Matrix4d(matrix.T.tolist()) for matrix in rest]))
    skeleton.CreateBindTransformsAttr(Vt.Matrix4dArray([Gf.Matrix4d(matrix.T.tolist()) for matrix in bind]))

    animation.CreateJointsAttr(paths)
    animation.CreateScalesAttr(Vt.Vec3hArray([Gf.Vec3h(1, 1, 1)] * len(paths)))
    translations, rotations = animation.CreateTranslationsAttr(), animation.CreateRotationsAttr()
    offsets = rig.local_rest[0].astype(np.float32)
    for frame, quaternions in enumerate(rig.rotations.tolist()):
        for bone, keys in rig.paths.items():
            offsets[bone] = keys[frame]
        translations.Set(Vt.Vec3fArray.FromNumpy(offsets), frame)
        rotations.Set(Vt.QuatfArray([Gf.Quatf(*quaternion) for quaternion in quaternions]), frame)


def _add_body(stage: Any, rig: Rig, body: BodyMesh) -> None:
    from pxr import Gf, UsdGeom, UsdSkel, Vt

    mesh = UsdGeom.Mesh.Define(stage, "/dance/body")
    points = (body.vertices + rig.rest_positions[rig.first_joint]).astype(np.float32)
    mesh.CreatePointsAttr(Vt.Vec3fArray.FromNumpy(points))
    mesh.CreateExtentAttr(Vt.Vec3fArray.FromNumpy(np.stack([points.min(axis=0), points.max(axis=0)])))
    mesh.CreateFaceVertexCountsAttr([3] * len(body.triangles))
    mesh.CreateFaceVertexIndicesAttr(Vt.IntArray.FromNumpy(body.triangles.reshape(-1).astype(np.int32)))
    mesh.CreateSubdivisionSchemeAttr(UsdGeom.Tokens.none)
    mesh.CreateNormalsAttr(Vt.Vec3fArray.FromNumpy(body.normals().astype(np.float32)))
    mesh.SetNormalsInterpolation(UsdGeom.Tokens.vertex)
    binding = UsdSkel.BindingAPI.Apply(mesh.GetPrim())
    binding.CreateSkeletonRel().SetTargets([_SKELETON])
    joints = (body.joints + rig.first_joint).reshape(-1).astype(np.int32)
    binding.CreateJointIndicesPrimvar(False, INFLUENCES).Set(Vt.IntArray.FromNumpy(joints))
    weights = body.weights.reshape(-1).astype(np.float32)
    binding.CreateJointWeightsPrimvar(False, INFLUENCES).Set(Vt.FloatArray.FromNumpy(weights))
    binding.CreateGeomBindTransformAttr(Gf.Matrix4d(1))
    _add_materials(stage, mesh, body)


def _add_materials(stage: Any, mesh: Any, body: BodyMesh) -> None:
    """Add what the parts of the body look like, each a subset of the faces."""
    from pxr import Gf, Sdf, UsdGeom, UsdShade, Vt

    UsdShade.MaterialBindingAPI.Apply(mesh.GetPrim()).SetMaterialBindSubsetsFamilyType(UsdGeom.Tokens.partition)
    for index, part in enumerate(body.materials):
        material = UsdShade.Material.Define(stage, f"/dance/materials/{part.name}")
        shader = UsdShade.Shader.Define(stage, f"/dance/materials/{part.name}/surface")
        shader.CreateIdAttr("UsdPreviewSurface")
        shader.CreateInput("diffuseColor", Sdf.ValueTypeNames.Color3f).Set(Gf.Vec3f(*part.linear_color))
        shader.CreateInput("roughness", Sdf.ValueTypeNames.Float).Set(0.75)
        material.CreateSurfaceOutput().ConnectToSource(shader.ConnectableAPI(), "surface")
        faces = Vt.IntArray.FromNumpy(body.faces_of(index).astype(np.int32))
        subset = UsdGeom.Subset.CreateGeomSubset(mesh, part.name, UsdGeom.Tokens.face, faces, "materialBind")
        UsdShade.MaterialBindingAPI.Apply(subset.GetPrim()).Bind(material)
