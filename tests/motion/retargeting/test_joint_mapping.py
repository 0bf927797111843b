"""Real rigs, typed by hand as chains from the root, and what each joint of ours is called in them."""

import csv

import numpy as np
import pytest

from infinitedance.motion.retargeting.joint_mapping import OPTIONAL_JOINTS, JointMappingError, guess_joint_mapping
from infinitedance.motion.skeleton import JOINT_NAMES


def rig(*chains):
    """Build names and parents; the first name of each chain but the first is a joint of an earlier chain."""
    names, parents = [], []
    for chain in chains:
        joints = chain.split() if "," not in chain else [name.strip() for name in chain.split(",")]
        for previous, joint in zip([None, *joints], joints, strict=False):
            if joint not in names:
                names.append(joint)
                parents.append(-1 if previous is None else names.index(previous))
    return names, parents


def both_sides(left, right, *chains):
    """Write each chain once for the left and once for the right; `~` stands for the side."""
    return [chain.replace("~", side) for chain in chains for side in (left, right)]


def trunk_and_limbs(trunk, limbs, left, right):
    """`trunk`: pelvis to head without absent joints; `limbs`: hip to foot and collar to wrist with `~` as the side."""
    expected = dict(trunk)
    for part, name in limbs.items():
        expected[f"left_{part}"], expected[f"right_{part}"] = name.replace("~", left), name.replace("~", right)
    return expected


RIGS = {
    "mixamo": (
        rig(
            "mixamorig:Hips mixamorig:Spine mixamorig:Spine1 mixamorig:Spine2 mixamorig:Neck mixamorig:Head "
            "mixamorig:HeadTop_End",
            *both_sides(
                "Left",
                "Right",
                "mixamorig:Spine2 mixamorig:~Shoulder mixamorig:~Arm mixamorig:~ForeArm mixamorig:~Hand "
                "mixamorig:~HandThumb1 mixamorig:~HandThumb2",
                "mixamorig:~Hand mixamorig:~HandIndex1 mixamorig:~HandIndex2 mixamorig:~HandIndex3",
                "mixamorig:Hips mixamorig:~UpLeg mixamorig:~Leg mixamorig:~Foot mixamorig:~ToeBase mixamorig:~Toe_End",
            ),
        ),
        trunk_and_limbs(
            {
                "pelvis": "mixamorig:Hips",
                "spine1": "mixamorig:Spine",
                "spine2": "mixamorig:Spine1",
                "spine3": "mixamorig:Spine2",
                "neck": "mixamorig:Neck",
                "head": "mixamorig:Head",
            },
            {
                "hip": "mixamorig:~UpLeg",
                "knee": "mixamorig:~Leg",
                "ankle": "mixamorig:~Foot",
                "foot": "mixamorig:~ToeBase",
                "collar": "mixamorig:~Shoulder",
                "shoulder": "mixamorig:~Arm",
                "elbow": "mixamorig:~ForeArm",
                "wrist": "mixamorig:~Hand",
            },
            "Left",
            "Right",
        ),
    ),
    "cmu": (
        rig(
            "Hips LowerBack Spine Spine1 Neck Neck1 Head",
            "Hips LHipJoint LeftUpLeg LeftLeg LeftFoot LeftToeBase",
            "Hips RHipJoint RightUpLeg RightLeg RightFoot RightToeBase",
            "Spine1 LeftShoulder LeftArm LeftForeArm LeftHand LeftFingerBase LeftHandIndex1",
            "LeftHand LThumb",
            "Spine1 RightShoulder RightArm RightForeArm RightHand RightFingerBase RightHandIndex1",
            "RightHand RThumb",
        ),
        trunk_and_limbs(
            {
                "pelvis": "Hips",
                "spine1": "LowerBack",
                "spine2": "Spine",
                "spine3": "Spine1",
                "neck": "Neck",
                "head": "Head",
            },
            {
                "hip": "~UpLeg",
                "knee": "~Leg",
                "ankle": "~Foot",
                "foot": "~ToeBase",
                "collar": "~Shoulder",
                "shoulder": "~Arm",
                "elbow": "~ForeArm",
                "wrist": "~Hand",
            },
            "Left",
            "Right",
        ),
    ),
    "smpl": (
        rig(
            "Pelvis Spine1 Spine2 Spine3 Neck Head",
            *both_sides(
                "L", "R", "Pelvis ~_Hip ~_Knee ~_Ankle ~_Foot", "Spine3 ~_Collar ~_Shoulder ~_Elbow ~_Wrist ~_Hand"
            ),
        ),
        trunk_and_limbs(
            {
                "pelvis": "Pelvis",
                "spine1": "Spine1",
                "spine2": "Spine2",
                "spine3": "Spine3",
                "neck": "Neck",
                "head": "Head",
            },
            {
                part: f"~_{part.title()}"
                for part in ("hip", "knee", "ankle", "foot", "collar", "shoulder", "elbow", "wrist")
            },
            "L",
            "R",
        ),
    ),
    "our own": (
        rig(
            "pelvis spine1 spine2 spine3 neck head",
            *both_sides(
                "left", "right", "pelvis ~_hip ~_knee ~_ankle ~_foot", "spine3 ~_collar ~_shoulder ~_elbow ~_wrist"
            ),
        ),
        {name: name for name in JOINT_NAMES},
    ),
    "unreal": (
        rig(
            "root pelvis spine_01 spine_02 spine_03 spine_04 spine_05 neck_01 neck_02 head",
            *both_sides(
                "l",
                "r",
                "pelvis thigh_~ thigh_twist_01_~",
                "thigh_~ calf_~ foot_~ ball_~",
                "calf_~ calf_twist_01_~",
                "spine_05 clavicle_~ upperarm_~ upperarm_twist_01_~",
                "upperarm_~ lowerarm_~ hand_~ index_01_~ index_02_~",
                "root ik_foot_root ik_foot_~",
                "root ik_hand_root ik_hand_gun ik_hand_~",
            ),
        ),
        trunk_and_limbs(
            {
                "pelvis": "pelvis",
                "spine1": "spine_01",
                "spine2": "spine_03",
                "spine3": "spine_05",
                "neck": "neck_01",
                "head": "head",
            },
            {
                "hip": "thigh_~",
                "knee": "calf_~",
                "ankle": "foot_~",
                "foot": "ball_~",
                "collar": "clavicle_~",
                "shoulder": "upperarm_~",
                "elbow": "lowerarm_~",
                "wrist": "hand_~",
            },
            "l",
            "r",
        ),
    ),
    "vrm": (
        rig(
            "Root J_Bip_C_Hips J_Bip_C_Spine J_Bip_C_Chest J_Bip_C_UpperChest J_Bip_C_Neck J_Bip_C_Head J_Adj_L_Eye",
            *both_sides(
                "L",
                "R",
                "J_Bip_C_Hips J_Bip_~_UpperLeg J_Bip_~_LowerLeg J_Bip_~_Foot J_Bip_~_ToeBase",
                "J_Bip_C_Hips J_Sec_~_SkirtSide1",
                "J_Bip_C_UpperChest J_Bip_~_Shoulder J_Bip_~_UpperArm J_Bip_~_LowerArm J_Bip_~_Hand J_Bip_~_Index1",
            ),
        ),
        trunk_and_limbs(
            {
                "pelvis": "J_Bip_C_Hips",
                "spine1": "J_Bip_C_Spine",
                "spine2": "J_Bip_C_Chest",
                "spine3": "J_Bip_C_UpperChest",
                "neck": "J_Bip_C_Neck",
                "head": "J_Bip_C_Head",
            },
            {
                "hip": "J_Bip_~_UpperLeg",
                "knee": "J_Bip_~_LowerLeg",
                "ankle": "J_Bip_~_Foot",
                "foot": "J_Bip_~_ToeBase",
                "collar": "J_Bip_~_Shoulder",
                "shoulder": "J_Bip_~_UpperArm",
                "elbow": "J_Bip_~_LowerArm",
                "wrist": "J_Bip_~_Hand",
            },
            "L",
            "R",
        ),
    ),
    "unity humanoid": (
        rig(
            "hips spine chest upperChest neck head",
            *both_sides(
                "left",
                "right",
                "hips ~UpperLeg ~LowerLeg ~Foot ~Toes",
                "upperChest ~Shoulder ~UpperArm ~LowerArm ~Hand ~IndexProximal",
            ),
        ),
        trunk_and_limbs(
            {
                "pelvis": "hips",
                "spine1": "spine",
                "spine2": "chest",
                "spine3": "upperChest",
                "neck": "neck",
                "head": "head",
            },
            {
                "hip": "~UpperLeg",
                "knee": "~LowerLeg",
                "ankle": "~Foot",
                "foot": "~Toes",
                "collar": "~Shoulder",
                "shoulder": "~UpperArm",
                "elbow": "~LowerArm",
                "wrist": "~Hand",
            },
            "left",
            "right",
        ),
    ),
    "rigify": (
        rig(
            "spine spine.001 spine.002 spine.003 spine.004 spine.005 spine.006 face nose",
            *both_sides(
                "L",
                "R",
                "spine pelvis.~",
                "spine thigh.~ thigh.~.001 shin.~ shin.~.001 foot.~ toe.~",
                "foot.~ heel.02.~",
                "spine.003 shoulder.~ upper_arm.~ upper_arm.~.001 forearm.~ forearm.~.001 hand.~ palm.01.~",
                "spine.003 breast.~",
            ),
        ),
        trunk_and_limbs(
            {
                "pelvis": "spine",
                "spine1": "spine.001",
                "spine2": "spine.002",
                "spine3": "spine.003",
                "neck": "spine.004",
                "head": "spine.006",
            },
            {
                "hip": "thigh.~",
                "knee": "shin.~",
                "ankle": "foot.~",
                "foot": "toe.~",
                "collar": "shoulder.~",
                "shoulder": "upper_arm.~",
                "elbow": "forearm.~",
                "wrist": "hand.~",
            },
            "L",
            "R",
        ),
    ),
    "3ds max biped": (
        rig(
            "Bip01, Bip01 Pelvis, Bip01 Spine, Bip01 Spine1, Bip01 Spine2, Bip01 Neck, Bip01 Head, Bip01 HeadNub",
            *both_sides(
                "L",
                "R",
                "Bip01 Pelvis, Bip01 ~ Thigh, Bip01 ~ Calf, Bip01 ~ Foot, Bip01 ~ Toe0",
                "Bip01 Neck, Bip01 ~ Clavicle, Bip01 ~ UpperArm, Bip01 ~ Forearm, Bip01 ~ Hand",
            ),
        ),
        trunk_and_limbs(
            {
                "pelvis": "Bip01 Pelvis",
                "spine1": "Bip01 Spine",
                "spine2": "Bip01 Spine1",
                "spine3": "Bip01 Spine2",
                "neck": "Bip01 Neck",
                "head": "Bip01 Head",
            },
            {
                "hip": "Bip01 ~ Thigh",
                "knee": "Bip01 ~ Calf",
                "ankle": "Bip01 ~ Foot",
                "foot": "Bip01 ~ Toe0",
                "collar": "Bip01 ~ Clavicle",
                "shoulder": "Bip01 ~ UpperArm",
                "elbow": "Bip01 ~ Forearm",
                "wrist": "Bip01 ~ Hand",
            },
            "L",
            "R",
        ),
    ),
    "daz": (
        rig(
            "hip pelvis",
            "hip abdomenLower abdomenUpper chestLower chestUpper neckLower neckUpper head",
            *both_sides(
                "l",
                "r",
                "pelvis ~ThighBend ~ThighTwist ~Shin ~Foot ~Metatarsals ~Toe ~BigToe",
                "chestUpper ~Collar ~ShldrBend ~ShldrTwist ~ForearmBend ~ForearmTwist ~Hand",
            ),
        ),
        trunk_and_limbs(
            {
                "pelvis": "hip",
                "spine1": "abdomenLower",
                "spine2": "chestLower",
                "spine3": "chestUpper",
                "neck": "neckLower",
                "head": "head",
            },
            {
                "hip": "~ThighBend",
                "knee": "~Shin",
                "ankle": "~Foot",
                "foot": "~Toe",
                "collar": "~Collar",
                "shoulder": "~ShldrBend",
                "elbow": "~ForearmBend",
                "wrist": "~Hand",
            },
            "l",
            "r",
        ),
    ),
    "biovision": (
        rig(
            "Hips Chest Neck Head",
            *both_sides("Left", "Right", "Hips ~Hip ~Knee ~Ankle", "Chest ~Collar ~Shoulder ~Elbow ~Wrist"),
        ),
        trunk_and_limbs(
            {"pelvis": "Hips", "spine3": "Chest", "neck": "Neck", "head": "Head"},
            {part: f"~{part.title()}" for part in ("hip", "knee", "ankle", "collar", "shoulder", "elbow", "wrist")},
            "Left",
            "Right",
        ),
    ),
    "upper case without separators": (
        rig(
            "HIPS SPINE CHEST HEAD",
            *both_sides("LEFT", "RIGHT", "HIPS ~UPLEG ~LEG ~FOOT", "CHEST ~ARM ~FOREARM ~HAND"),
        ),
        trunk_and_limbs(
            {"pelvis": "HIPS", "spine1": "SPINE", "spine3": "CHEST", "head": "HEAD"},
            {
                "hip": "~UPLEG",
                "knee": "~LEG",
                "ankle": "~FOOT",
                "shoulder": "~ARM",
                "elbow": "~FOREARM",
                "wrist": "~HAND",
            },
            "LEFT",
            "RIGHT",
        ),
    ),
}


@pytest.mark.parametrize("name", RIGS)
def test_every_joint_of_a_known_rig_is_found(name):
    (names, parents), expected = RIGS[name]
    assert guess_joint_mapping(names, parents) == expected


@pytest.mark.shared_data
def test_every_rig_of_the_real_data_with_rotations_is_mapped(shared_data_dir):
    rigs = set()
    with open(shared_data_dir / "metadata.csv") as file:
        for row in csv.DictReader(file):
            if row["rotations"] == "1":
                clip = np.load(shared_data_dir / row["file"])
                rigs.add((tuple(map(str, clip["joint_names"])), tuple(clip["parents"].tolist())))
    assert len(rigs) >= 4
    for names, parents in rigs:
        mapping = guess_joint_mapping(names, parents)
        assert set(JOINT_NAMES) - set(mapping) <= set(OPTIONAL_JOINTS)
        assert len(set(mapping.values())) == len(mapping)
        for left, right in (("left_knee", "right_knee"), ("left_elbow", "right_elbow")):
            left_name, right_name = mapping[left], mapping[right]
            pairs = (("Left", "Right"), ("left", "right"), ("_L", "_R"), ("l", "r"))
            assert right_name in [left_name.replace(own, other, 1) for own, other in pairs]


def test_a_rig_without_legs_is_refused_with_all_that_is_missing():
    names, parents = rig("Hips Spine Neck Head", "Spine LeftArm LeftForeArm LeftHand", "Spine RightArm RightForeArm")
    with pytest.raises(JointMappingError) as error:
        guess_joint_mapping(names, parents)
    assert {"left_hip", "right_knee", "left_ankle", "right_wrist"} <= set(error.value.missing)
    assert "left_wrist" not in error.value.missing
    assert "LeftForeArm" in str(error.value) and "overrides=" in str(error.value)


def test_an_override_wins_over_the_guess():
    names, parents = RIGS["cmu"][0]
    mapping = guess_joint_mapping(names, parents, overrides={"neck": "Neck1", "left_foot": "LeftToeBase"})
    assert mapping == RIGS["cmu"][1] | {"neck": "Neck1"}


def test_overrides_can_map_a_rig_of_meaningless_names():
    (names, parents), expected = RIGS["smpl"]
    renamed = [f"joint{index:02d}" for index in range(len(names))]
    overrides = {ours: renamed[names.index(theirs)] for ours, theirs in expected.items()}
    assert guess_joint_mapping(renamed, parents, overrides=overrides) == overrides


@pytest.mark.parametrize(
    ("overrides", "message"),
    [({"tail": "Hips"}, "'tail' is none of our joints"), ({"pelvis": "Tail"}, "has no joint 'Tail'")],
)
def test_an_impossible_override_is_refused(overrides, message):
    with pytest.raises(JointMappingError, match=message):
        guess_joint_mapping(*RIGS["cmu"][0], overrides=overrides)
