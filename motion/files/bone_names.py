"""Names of our 22 joints, and of those of the fingers, in the rigs of other tools."""

from __future__ import annotations

from ..fingers import FINGER_JOINT_NAMES
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
_FINGER_PATTERNS = {
    "mixamo": "mixamorig:{Side}Hand{Finger}{number}",
    "vrm": "{side}{VrmFinger}{VrmBone}",
    "unity": "{Side}{VrmFinger}{UnityBone}",
    "unreal": "{finger}_0{number}_{s}",
}
_FINGER_BONES, _VRM_THUMB_BONES = ("Proximal", "Intermediate", "Distal"), ("Metacarpal", "Proximal", "Distal")


def _names(patterns: dict[str, str], prefix: str = "") -> tuple[str, ...]:
    names = []
    for joint in JOINT_NAMES:
        side, _, part = joint.rpartition("_")
        names.append(prefix + patterns[part].format(side=side, Side=side.capitalize(), s=side[:1]))
    return tuple(names)


def _finger_names(pattern: str) -> tuple[str, ...]:
    names = []
    for joint in FINGER_JOINT_NAMES:
        side, _, bone = joint.partition("_")
        finger, number = bone[:-1], int(bone[-1])
        parts = {"side": side, "Side": side.capitalize(), "s": side[0], "finger": finger, "number": number}
        vrm_bones = _VRM_THUMB_BONES if finger == "thumb" else _FINGER_BONES
        parts |= {"Finger": finger.capitalize(), "VrmBone": vrm_bones[number - 1]}
        parts["UnityBone"] = _FINGER_BONES[number - 1]
        parts["VrmFinger"] = "Little" if finger == "pinky" else finger.capitalize()
        names.append(pattern.format(**parts))
    return tuple(names)


BONE_NAMES: dict[str, tuple[str, ...]] = {
    "smpl": JOINT_NAMES,
    "mixamo": _names(_MIXAMO, "mixamorig:"),
    "vrm": _names(_VRM),
    "unity": tuple(name[0].upper() + name[1:] for name in _names(_VRM)),
    "unreal": _names(_UNREAL),
}
"""Names of the joints, in our order, by preset."""
FINGER_BONE_NAMES: dict[str, tuple[str, ...]] = {
    "smpl": FINGER_JOINT_NAMES,
    **{preset: _finger_names(pattern) for preset, pattern in _FINGER_PATTERNS.items()},
}
"""Names of the fingers' joints, in our order, by preset."""


def bone_names(preset: str) -> tuple[str, ...]:
    """Return the names of our joints in a preset, in our order.

    Raises:
        ValueError: If there is no such preset.
    """
    if preset not in BONE_NAMES:
        raise ValueError(f"Names of bones must be one of {', '.join(BONE_NAMES)}, got {preset!r}.")
    return BONE_NAMES[preset]
