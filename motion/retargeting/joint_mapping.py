"""Guess which joint of a foreign rig plays the part of each of our 22 joints."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from ..skeleton import JOINT_INDEX, JOINT_NAMES
from .joint_words import SIDES, english_words

OPTIONAL_JOINTS = ("spine1", "spine2", "left_foot", "right_foot", "left_collar", "right_collar")
"""Joints that a rig may lack. Of neck and head it may lack one."""

# Helper bones that follow or drive the joint they are named after.
_HELPERS = {"twist", "roll", "ik", "pole", "target", "ctrl", "end", "nub", "adj", "sec", "dummy", "finger", "eye"}
# The middle is "C" of VRoid, "M" of Advanced Skeleton and "x" of Auto-Rig Pro, whose "stretch" bones are the limbs.
_MEANINGLESS = {"bip", "c", "m", "x", "bend", "stretch", "joint", "jnt", "bone"}
_SIDE_PREFIXES = (("left", "right"), ("l", "r"), ("lf", "rt"), ("lt", "rt"))

# Words for a joint, the least ambiguous first. Each list is read after those above it, and no joint is used twice:
# "leg" is the shank in Mixamo and the thigh beside a "knee"; "shoulder" is the collar beside an "arm" or "upper arm".
_LIMB_WORDS = {
    "knee": ("knee", "lowerleg", "lowleg", "leglower", "loleg", "calf", "shin", "shank", "tibia", "leg"),
    "hip": ("upleg", "upperleg", "legupper", "thigh", "femur", "hip", "leg", "ashi", "pelvis"),
    "ankle": ("ankle", "foot", "ashi"),
    "foot": ("toebase", "toe", "toes", "ball", "foot", "ashi"),
    "elbow": ("elbow", "lowerarm", "lowarm", "armlower", "loarm", "forearm", "farm", "radius"),
    "shoulder": ("upperarm", "uparm", "armupper", "uarm", "humerus", "arm", "shldr", "shoulder"),
    "collar": ("collar", "collarbone", "clavicle", "clav", "scapula", "shoulder"),
    "wrist": ("wrist", "hand"),
}

_ABOVE_CHEST = (("", "neck"), ("", "necktwist"), ("", "head"))
_LISTED_JOINTS, _LISTED_LETTERS = 120, 60
"""Of a rig in an error message."""


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
        self.problem = problem
        listed = ", ".join(name[:_LISTED_LETTERS] for name in joint_names[:_LISTED_JOINTS])
        more = f" and {len(joint_names) - _LISTED_JOINTS} more" if len(joint_names) > _LISTED_JOINTS else ""
        example = {(missing or ["pelvis"])[0]: joint_names[0][:_LISTED_LETTERS] if joint_names else ""}
        super().__init__(
            f"{problem} The file's joints are: {listed}{more}. Name the right ones, for example "
            f"`{json.dumps(example, ensure_ascii=False)}`, in a JSON file for `--joint-map` (`overrides=` in Python)."
        )


def guess_joint_mapping(
    joint_names: Sequence[str],
    parents: Sequence[int],
    overrides: Mapping[str, str] | None = None,
    on_parent: Collection[int] = (),
) -> dict[str, str]:
    """Find our joints in a rig by its names (limbs, head) and by its tree (pelvis, spine, neck).

    The pelvis is where the legs and the trunk meet, `spine3` is where the arms and the trunk meet, whatever they are
    called; `spine1` and `spine2` are spread over the joints between. Rigs known to work: Mixamo, CMU, SMPL, Unreal,
    Rokoko, Character Creator, Unity and VRM humanoids, Rigify, 3ds Max Biped, Daz, Xsens, Bandai-Namco, MikuMikuDance,
    OptiTrack Motive, Acclaim (ASF), Advanced Skeleton, Auto-Rig Pro.
    Names may be Chinese, Japanese, Korean, Russian, German, French, Spanish, Italian or Portuguese. The rig may be
    rooted anywhere, at the head or at a foot.

    Args:
        joint_names: The rig's joints, parents before children.
        parents: Index of each joint's parent, -1 for a root.
        overrides: Our joint name to the rig's, where the guess is wrong or impossible.
        on_parent: Joints that lie on their parent, as those of the CMU library do: those of spine and neck are as good
            as absent.

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
    _find_trunk(words, list(parents), found, on_parent)

    missing = [name for name in JOINT_NAMES if name not in found and name not in OPTIONAL_JOINTS]
    if missing in (["neck"], ["head"]):
        missing = []
    if missing:
        raise JointMappingError(missing, joint_names, f"Could not find these of our joints: {', '.join(missing)}.")
    return {name: joint_names[found[name]] for name in JOINT_NAMES if name in found}


def _words_of_joints(joint_names: Sequence[str]) -> list[tuple[str, str] | None]:
    """Split each name into side ("left", "right" or "") and the rest in lower case; `None` for helper bones."""
    # A name space ("mixamorig:", "Armature|") carries no information.
    split = [english_words(re.split(r"[:|]", name)[-1]) for name in joint_names]
    while True:
        # Neither does a first word that nearly all names share ("CC_Base_", "DEF-", "Bip01 ", "f_avg_").
        first = Counter(words[0] for words in split if words)
        shared, count = first.most_common(1)[0] if first else ("", 0)
        if shared in SIDES or count <= 0.8 * len(split):
            break
        split = [words[1:] if words[:1] == [shared] else words for words in split]

    result: list[tuple[str, str] | None] = []
    all_names = {"".join(words) for words in split}
    for words in split:
        side = next((SIDES[word] for word in words if word in SIDES), "")
        rest = [word for word in words if word not in SIDES and word not in _MEANINGLESS and not word.isdigit()]
        name = "".join(rest)
        if not side:  # written without a separator, as "leftupleg" or "lhip", and so on the other side
            for left, right in _SIDE_PREFIXES:
                for prefix, other, meaning in ((left, right, "left"), (right, left, "right")):
                    if not side and name.startswith(prefix) and other + name[len(prefix) :] in all_names:
                        side, name = meaning, name[len(prefix) :]
        # The neck of Character Creator consists of twist bones only.
        helper = bool(_HELPERS & set(words)) and not (name == "necktwist" and not side)
        result.append(None if helper else (side, name))
    return result


def _find_limbs(words: list[tuple[str, str] | None], found: dict[str, int]) -> None:
    """Find the sided joints by their names."""
    places: dict[tuple[str, str] | None, list[int]] = {}
    for joint, word in enumerate(words):
        places.setdefault(word, []).append(joint)
    for side in ("left", "right"):
        for part, synonyms in _LIMB_WORDS.items():
            if f"{side}_{part}" in found:
                continue
            for synonym in synonyms:
                # The first of several equal names is the nearest to the root ("upper_arm.L", "upper_arm.L.001").
                index = next(iter(places.get((side, synonym), ())), None)
                if index is not None and index not in found.values():
                    found[f"{side}_{part}"] = index
                    break


def path_to_root(joint: int, parents: Sequence[int]) -> list[int]:
    """Return a joint, its parent, and so on to the root."""
    path = [joint]
    while parents[path[-1]] >= 0:
        path.append(parents[path[-1]])
    return path


def _meeting_joint(joints: Sequence[int], parents: Sequence[int]) -> int:
    """Return the joint at which the ways between three joints of a tree meet, wherever its root is."""
    first, second, third = (path_to_root(joint, parents) for joint in joints)
    # Of the three lowest common ancestors two are the same; the other one, farther from the root, is where they meet.
    meetings = [_lowest_common(*pair) for pair in ((first, second), (first, third), (second, third))]
    return max(meetings, key=lambda joint: len(path_to_root(joint, parents)))


def _lowest_common(first: list[int], second: list[int]) -> int:
    others = set(second)
    return next(joint for joint in first if joint in others)


def _find_trunk(
    words: list[tuple[str, str] | None], parents: list[int], found: dict[str, int], on_parent: Collection[int]
) -> None:
    """Find pelvis, spine, neck and head by the place in the tree where limbs meet."""

    def set_default(name: str, joint: int | None) -> None:
        if joint is not None and name not in found and joint not in found.values():
            found[name] = joint

    limbs = ("left_shoulder", "right_shoulder", "left_hip", "right_hip")
    if not all(limb in found for limb in limbs):
        return
    left_arm, right_arm, left_leg, right_leg = (found[limb] for limb in limbs)
    chest = _meeting_joint((left_arm, right_arm, left_leg), parents)
    # The clavicles of a 3ds Max biped hang from the neck, those of some headsets' rigs from the head.
    below = (joint for joint in way_between(chest, left_leg, parents) if words[joint] not in _ABOVE_CHEST)
    set_default("spine3", next(below, None))
    if "spine3" not in found:
        return
    hips = _meeting_joint((left_leg, right_leg, found["spine3"]), parents)
    above = _lowest_common(path_to_root(hips, parents), path_to_root(found["spine3"], parents))
    # Legs and trunk may hang from the hips side by side (Character Creator), but not from a control on the floor.
    set_default("pelvis", hips if above == found["spine3"] or words[hips] == ("", "lowerbody") else above)
    _find_spine(parents, found, on_parent)
    _find_neck_and_head(words, parents, found, on_parent)


def way_between(start: int, end: int, parents: Sequence[int]) -> list[int]:
    """Return the joints of the way from one joint of a tree to another, both included."""
    first, second = path_to_root(start, parents), path_to_root(end, parents)
    common = _lowest_common(first, second)
    return first[: first.index(common) + 1] + second[: second.index(common)][::-1]


def _find_spine(parents: list[int], found: dict[str, int], on_parent: Collection[int]) -> None:
    """Spread `spine1` and `spine2` over the joints between pelvis and chest."""
    if "pelvis" not in found:
        return
    pelvis, chest = found["pelvis"], found["spine3"]
    # What carries pelvis and trunk alike, as the waist of MikuMikuDance does, is no part of the trunk.
    left_out = {pelvis, _lowest_common(path_to_root(pelvis, parents), path_to_root(chest, parents)), *on_parent}
    spine = [joint for joint in way_between(pelvis, chest, parents) if joint not in left_out or joint == chest]
    if len(spine) > 1 and "spine1" not in found and spine[0] not in found.values():
        found["spine1"] = spine[0]
    middle = spine[len(spine) // 2] if len(spine) > 2 else None
    if middle is not None and "spine2" not in found and middle not in found.values():
        found["spine2"] = middle


def _find_neck_and_head(
    words: list[tuple[str, str] | None], parents: list[int], found: dict[str, int], on_parent: Collection[int]
) -> None:
    """Find the head by its name and the neck next to the chest on the way to it."""
    chest = found["spine3"]
    limbs = {found[name] for name in ("pelvis", "left_shoulder", "right_shoulder") if name in found}
    above = {}
    for joint, word in enumerate(words):
        # Rigify calls neck and head "spine" too: then the end of that chain is the head.
        if word is not None and not word[0] and word[1] in ("head", "neck", "necktwist", "spine") and joint != chest:
            way = way_between(chest, joint, parents)
            if not limbs & set(way):
                above[joint] = way[1:]
    heads = [joint for joint in above if words[joint] == ("", "head")]
    spines = [joint for joint in above if words[joint] == ("", "spine")]
    if "head" not in found and (heads or len(spines) > 1):
        head = heads[0] if heads else max(spines, key=lambda joint: len(above[joint]))
        if head not in found.values():
            found["head"] = head
    top = found.get("head", -1)
    if top in above:
        way = [joint for joint in above[top] if joint not in on_parent and joint != top]
    else:
        way = sorted(above)[:1]
    if way and "neck" not in found and way[0] not in found.values():
        found["neck"] = way[0]
