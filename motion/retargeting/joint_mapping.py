"""Guess which joint of a foreign rig plays the part of each of our 22 joints."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from ..skeleton import JOINT_INDEX, JOINT_NAMES

OPTIONAL_JOINTS = ("spine1", "spine2", "left_foot", "right_foot", "left_collar", "right_collar")
"""Joints that a rig may lack. Of neck and head it may lack one."""

_WORD = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")
_SIDES = {"l": "left", "left": "left", "r": "right", "right": "right"}
# Helper bones that follow or drive the joint they are named after.
_HELPERS = {"twist", "roll", "ik", "pole", "target", "ctrl", "end", "nub", "adj", "sec", "dummy"}
_MEANINGLESS = {"bip", "c", "bend", "joint", "jnt", "bone"}

# Words for a joint, the least ambiguous first. Each list is read after those above it, and no joint is used twice:
# "leg" is the shank in Mixamo and the thigh beside a "knee"; "shoulder" is the collar beside an "arm" or "upper arm".
_LIMB_WORDS = {
    "knee": ("knee", "lowerleg", "lowleg", "leglower", "calf", "shin", "shank", "leg"),
    "hip": ("upleg", "upperleg", "legupper", "thigh", "hip", "leg"),
    "ankle": ("ankle", "foot"),
    "foot": ("toebase", "toe", "toes", "ball", "foot"),
    "elbow": ("elbow", "lowerarm", "lowarm", "armlower", "forearm"),
    "shoulder": ("upperarm", "uparm", "armupper", "arm", "shldr", "shoulder"),
    "collar": ("collar", "clavicle", "scapula", "shoulder"),
    "wrist": ("wrist", "hand"),
}


class JointMappingError(ValueError):
    """Error: some of our joints have no counterpart in a rig, or a mapping by hand names a joint that does not exist.

    Args:
        missing: Our joints that could not be mapped.
        joint_names: The rig's joints.
        problem: What is wrong, one sentence.
    """

    def __init__(self, missing: Sequence[str], joint_names: Sequence[str], problem: str) -> None:
        self.missing = tuple(missing)
        self.joint_names = tuple(joint_names)
        super().__init__(
            f"{problem} The file's joints are: {', '.join(joint_names)}. Name the right ones by hand, for example "
            f"`overrides={{{(missing or ['pelvis'])[0]!r}: {joint_names[0] if joint_names else ''!r}}}`."
        )


def guess_joint_mapping(
    joint_names: Sequence[str], parents: Sequence[int], overrides: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Find our joints in a rig by its names (limbs, head) and by its tree (pelvis, spine, neck).

    The pelvis is where the legs and the trunk meet, `spine3` is where the arms and the trunk meet, whatever they are
    called; `spine1` and `spine2` are spread over the joints between. Rigs known to work: Mixamo, CMU, SMPL, Unreal,
    Rokoko, Character Creator, Unity and VRM humanoids, Rigify, 3ds Max Biped, Daz, Xsens, Bandai-Namco.

    Args:
        joint_names: The rig's joints, parents before children.
        parents: Index of each joint's parent, -1 for a root.
        overrides: Our joint name to the rig's, where the guess is wrong or impossible.

    Returns:
        Our joint name to the rig's, in our order. `OPTIONAL_JOINTS` and one of neck and head may be absent.

    Raises:
        JointMappingError: If another joint cannot be found, or an override names an unknown joint.
    """
    for ours, theirs in (overrides or {}).items():
        if ours not in JOINT_INDEX:
            raise JointMappingError([], joint_names, f"{ours!r} is none of our joints ({', '.join(JOINT_NAMES)}).")
        if theirs not in joint_names:
            raise JointMappingError([ours], joint_names, f"The file has no joint {theirs!r} to use as {ours!r}.")
    found = {ours: list(joint_names).index(theirs) for ours, theirs in (overrides or {}).items()}
    words = _words_of_joints(joint_names)
    _find_limbs(words, found)
    _find_trunk(words, list(parents), found)

    missing = [name for name in JOINT_NAMES if name not in found and name not in OPTIONAL_JOINTS]
    if missing in (["neck"], ["head"]):
        missing = []
    if missing:
        raise JointMappingError(missing, joint_names, f"Could not find these of our joints: {', '.join(missing)}.")
    return {name: joint_names[found[name]] for name in JOINT_NAMES if name in found}


def _words_of_joints(joint_names: Sequence[str]) -> list[tuple[str, str] | None]:
    """Split each name into side ("left", "right" or "") and the rest in lower case; `None` for helper bones."""
    # A name space ("mixamorig:", "Armature|") carries no information.
    split = [[word.lower() for word in _WORD.findall(re.split(r"[:|]", name)[-1])] for name in joint_names]
    while True:
        # Neither does a first word that nearly all names share ("CC_Base_", "DEF-", "Bip01 ", "f_avg_").
        first = [words[0] for words in split if words]
        shared = max(set(first), key=first.count, default="")
        if shared in _SIDES or first.count(shared) <= 0.8 * len(split):
            break
        split = [words[1:] if words[:1] == [shared] else words for words in split]

    result: list[tuple[str, str] | None] = []
    all_names = {"".join(words) for words in split}
    for words in split:
        side = next((_SIDES[word] for word in words if word in _SIDES), "")
        rest = [word for word in words if word not in _SIDES and word not in _MEANINGLESS and not word.isdigit()]
        name = "".join(rest)
        if not side:  # written without a separator, as "leftupleg" or "lhip", and so on the other side
            for left, right in (("left", "right"), ("l", "r")):
                for prefix, other, meaning in ((left, right, "left"), (right, left, "right")):
                    if not side and name.startswith(prefix) and other + name[len(prefix) :] in all_names:
                        side, name = meaning, name[len(prefix) :]
        # The neck of Character Creator consists of twist bones only.
        helper = bool(_HELPERS & set(words)) and not (name == "necktwist" and not side)
        result.append(None if helper else (side, name))
    return result


def _find_limbs(words: list[tuple[str, str] | None], found: dict[str, int]) -> None:
    """Find the sided joints by their names."""
    for side in ("left", "right"):
        for part, synonyms in _LIMB_WORDS.items():
            if f"{side}_{part}" in found:
                continue
            for synonym in synonyms:
                # The first of several equal names is the nearest to the root ("upper_arm.L", "upper_arm.L.001").
                index = next((i for i, word in enumerate(words) if word == (side, synonym)), None)
                if index is not None and index not in found.values():
                    found[f"{side}_{part}"] = index
                    break


def _find_trunk(words: list[tuple[str, str] | None], parents: list[int], found: dict[str, int]) -> None:
    """Find pelvis, spine, neck and head by the place in the tree where limbs meet."""

    def path_to_root(joint: int) -> list[int]:
        path = [joint]
        while parents[path[-1]] >= 0:
            path.append(parents[path[-1]])
        return path

    def meeting_joint(first: int, second: int) -> int | None:
        return next((joint for joint in path_to_root(first) if joint in path_to_root(second)), None)

    def set_default(name: str, joint: int | None) -> None:
        if joint is not None and name not in found and joint not in found.values():
            found[name] = joint

    if "left_shoulder" in found and "right_shoulder" in found:
        chest = meeting_joint(found["left_shoulder"], found["right_shoulder"])
        # The clavicles of a 3ds Max biped hang from the neck.
        set_default("spine3", parents[chest] if chest is not None and words[chest] == ("", "neck") else chest)
    if "spine3" not in found or "left_hip" not in found or "right_hip" not in found:
        return
    hips = meeting_joint(found["left_hip"], found["right_hip"])
    if hips is not None:
        set_default("pelvis", meeting_joint(hips, found["spine3"]))
    path = path_to_root(found["spine3"])
    spine = path[: path.index(found["pelvis"])][::-1] if found.get("pelvis") in path else []
    if len(spine) > 1:
        set_default("spine1", spine[0])
    if len(spine) > 2:
        set_default("spine2", spine[len(spine) // 2])

    # Rigify calls neck and head "spine" too: then the end of that chain is the head.
    above = {}
    for joint, word in enumerate(words):
        if word is not None and not word[0] and word[1] in ("head", "neck", "necktwist", "spine"):
            path = path_to_root(joint)
            if found["spine3"] in path[1:]:
                above[joint] = path[: path.index(found["spine3"])][::-1]
    heads = [joint for joint in above if words[joint] == ("", "head")]
    spines = [joint for joint in above if words[joint] == ("", "spine")]
    if heads or len(spines) > 1:
        set_default("head", heads[0] if heads else max(spines, key=lambda joint: len(above[joint])))
    top = found.get("head")
    if top is not None and top in above:
        set_default("neck", above[top][0])  # refused where the head itself is next to the chest
    elif above:
        set_default("neck", min(above))
