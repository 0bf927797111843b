"""Names of our 22 joints in the rigs of other tools."""

from __future__ import annotations

from ..skeleton import JOINT_NAMES

# Of the trunk and head by our names, of the limbs by our names without the side.
_VRM = {
    "pelvis": "hips",
    "spine1": "spine",
    "spine2": "chest",
    "spine3": "upperChest",
    "neck": "neck",
    "head": "head",
    "collar": "{side}Shoulder",
    "shoulder": "{side}UpperArm",
    "elbow": "{side}LowerArm",
    "wrist": "{side}Hand",
    "hip": "{side}UpperLeg",
    "knee": "{side}LowerLeg",
    "ankle": "{side}Foot",
    "foot": "{side}Toes",
}
_MIXAMO = {
    "pelvis": "Hips",
    "spine1": "Spine",
    "spine2": "Spine1",
    "spine3": "Spine2",
    "neck": "Neck",
    "head": "Head",
    "collar": "{Side}Shoulder",
    "shoulder": "{Side}Arm",
    "elbow": "{Side}ForeArm",
    "wrist": "{Side}Hand",
    "hip": "{Side}UpLeg",
    "knee": "{Side}Leg",
    "ankle": "{Side}Foot",
    "foot": "{Side}ToeBase",
}
_UNREAL = {
    "pelvis": "pelvis",
    "spine1": "spine_01",
    "spine2": "spine_02",
    "spine3": "spine_03",
    "neck": "neck_01",
    "head": "head",
    "collar": "clavicle_{s}",
    "shoulder": "upperarm_{s}",
    "elbow": "lowerarm_{s}",
    "wrist": "hand_{s}",
    "hip": "thigh_{s}",
    "knee": "calf_{s}",
    "ankle": "foot_{s}",
    "foot": "ball_{s}",
}


def _names(patterns: dict[str, str], prefix: str = "") -> tuple[str, ...]:
    names = []
    for joint in JOINT_NAMES:
        side, _, part = joint.rpartition("_")
        names.append(prefix + patterns[part].format(side=side, Side=side.capitalize(), s=side[:1]))
    return tuple(names)


BONE_NAMES: dict[str, tuple[str, ...]] = {
    "smpl": JOINT_NAMES,
    "mixamo": _names(_MIXAMO, "mixamorig:"),
    "vrm": _names(_VRM),
    "unreal": _names(_UNREAL),
}
"""Names of the joints, in our order, by preset."""


def bone_names(preset: str) -> tuple[str, ...]:
    """Return the names of our joints in a preset, in our order.

    Raises:
        ValueError: If there is no such preset.
    """
    if preset not in BONE_NAMES:
        raise ValueError(f"Names of bones must be one of {', '.join(BONE_NAMES)}, got {preset!r}.")
    return BONE_NAMES[preset]
