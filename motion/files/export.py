"""Write a dance in any format, as the ending of the file says."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from ..drawing.body_mesh import BodyMesh, capsule_body
from ..drawing.clothes import human_body
from ..motion import Motion
from ..skeleton import Skeleton
from .bone_names import FINGER_BONE_NAMES, bone_names
from .bvh import write_bvh
from .fbx import write_fbx
from .gltf import write_glb, write_vrma
from .npz import save_motion
from .tables import write_csv, write_smplx
from .usd import write_usd
from .vmd import write_vmd

EXPORT_FORMATS: Mapping[str, str] = {
    ".bvh": "BVH, centimetres",
    ".glb": "animated glTF 2.0",
    ".vrma": "VRM animation 1.0",
    ".usd": "USD, binary",
    ".usda": "USD, text",
    ".usdc": "USD, binary",
    ".fbx": "FBX, needs Blender",
    ".csv": "positions of the joints",
    ".vmd": "MikuMikuDance",
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

_MESH_WRITERS: Mapping[str, Callable[..., None]] = {
    ".glb": write_glb,
    ".usd": write_usd,
    ".usda": write_usd,
    ".usdc": write_usd,
    ".fbx": write_fbx,
}
_PLAIN_WRITERS: Mapping[str, Callable[[Motion, str | os.PathLike], None]] = {
    ".vrma": write_vrma,
    ".vmd": write_vmd,
    ".npz": save_motion,
    ".smplx.npz": write_smplx,
}


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


def export_motion(
    motion: Motion, path: str | os.PathLike, *, names: str | None = None, body: str | None = None
) -> None:
    """Write a dance in the format of the file's ending, in full or not at all.

    Args:
        motion: The dance.
        path: Ends in one of `EXPORT_FORMATS`.
        names: Preset of `BONE_NAMES`, `"smpl"` by default; VRMA, VMD and `.npz` have names of their own.
        body: One of `BODIES`, `"human"` by default; only for GLB, USD and FBX.

    Raises:
        ValueError: If the ending, the preset or the body is unknown, or the format does not take it.
        ImportError: If USD or FBX is asked for without its extra.
        OSError: As `atomic_path`.
    """
    suffix = check_export_path(path)
    writes_mesh = _MESH_WRITERS.get(suffix)
    if names is not None and suffix in _PLAIN_WRITERS:
        raise ValueError(f"`names` must not be given for {suffix}, whose joints have names of their own, got {names}.")
    if body is not None and writes_mesh is None:
        raise ValueError(f"`body` must be given for {', '.join(_MESH_WRITERS)} only, got {body!r} for {suffix}.")
    names, body = names or "smpl", body or "human"
    joints = bone_names(names)
    if body not in BODIES:
        raise ValueError(f"`body` must be one of {', '.join(BODIES)}, got {body!r}.")
    if writes_mesh is not None:
        build = BODIES[body]
        writes_mesh(motion, path, body=None if build is None else build(motion.skeleton), names=names)
    elif suffix == ".bvh":
        write_bvh(motion, path, names=joints, finger_names=FINGER_BONE_NAMES[names])
    elif suffix == ".csv":
        write_csv(motion, path, names=names)
    else:
        _PLAIN_WRITERS[suffix](motion, path)
