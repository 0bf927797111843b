"""Write a dance in any format, as the ending of the file says."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from ..body_mesh import BodyMesh, capsule_body, human_body
from ..motion import Motion
from ..skeleton import Skeleton
from .bone_names import bone_names
from .bvh import write_bvh
from .fbx import write_fbx
from .gltf import write_glb, write_vrma
from .npz import save_motion
from .tables import write_csv, write_smplx
from .usd import write_usd

EXPORT_FORMATS: Mapping[str, str] = {
    ".bvh": "BVH, centimetres",
    ".glb": "animated glTF 2.0",
    ".vrma": "VRM animation 1.0",
    ".usd": "USD, binary",
    ".usda": "USD, text",
    ".usdc": "USD, binary",
    ".fbx": "FBX, needs Blender's bpy",
    ".csv": "positions of the joints",
    ".smplx.npz": "SMPL-X as AMASS has it, Z up",
    ".npz": "this package's own file",
}
"""Endings of the files that `export_motion` writes."""

BODIES: Mapping[str, Callable[[Skeleton], BodyMesh] | None] = {
    "human": human_body,
    "capsules": capsule_body,
    "none": None,
}
"""What GLB, USD and FBX show around the bones."""


def check_export_path(path: str | os.PathLike) -> str:
    """Return which of `EXPORT_FORMATS` a file's name asks for.

    Raises:
        ValueError: If none.
    """
    name = Path(path).name.lower()
    for suffix in (".smplx.npz", *EXPORT_FORMATS):
        if name.endswith(suffix):
            return suffix
    formats = ", ".join(f"{suffix} ({text})" for suffix, text in EXPORT_FORMATS.items())
    raise ValueError(f"Cannot write {path}: its name must end in one of {formats}.")


def export_motion(motion: Motion, path: str | os.PathLike, *, names: str | None = None, body: str = "human") -> None:
    """Write a dance in the format of the file's ending, in full or not at all.

    Args:
        motion: The dance.
        path: Ends in one of `EXPORT_FORMATS`.
        names: Preset of `BONE_NAMES`; `"smpl"` by default. VRMA and `.npz` have their own names.
        body: One of `BODIES`; of formats without a mesh it is left out.

    Raises:
        ValueError: If the ending, the preset or the body is unknown, or the format has its own names.
        ImportError: If USD or FBX is asked for without its extra.
        OSError: As `atomic_path`.
    """
    suffix = check_export_path(path)
    if names is not None and suffix in (".vrma", ".npz", ".smplx.npz"):
        raise ValueError(f"`names` must not be given for {suffix}, whose joints have names of their own, got {names}.")
    if body not in BODIES:
        raise ValueError(f"`body` must be one of {', '.join(BODIES)}, got {body!r}.")
    names = names or "smpl"
    joints = bone_names(names)
    if suffix in (".glb", ".fbx", ".usd", ".usda", ".usdc"):
        build = BODIES[body]
        mesh = None if build is None else build(motion.skeleton)
        writer = {".glb": write_glb, ".fbx": write_fbx}.get(suffix, write_usd)
        writer(motion, path, body=mesh, names=names)
    elif suffix == ".bvh":
        write_bvh(motion, path, names=joints)
    elif suffix == ".csv":
        write_csv(motion, path, names=names)
    else:
        {".vrma": write_vrma, ".npz": save_motion, ".smplx.npz": write_smplx}[suffix](motion, path)
