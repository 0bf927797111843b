"""Names of bones, bone by bone against the lists that the programs publish."""

import pytest

from infinitedance.motion.files.bone_names import BONE_NAMES, FINGER_BONE_NAMES
from infinitedance.motion.fingers import FINGER_JOINT_NAMES
from infinitedance.motion.skeleton import JOINT_NAMES

FINGERS = ("Thumb", "Index", "Middle", "Ring", "Little")

# Adobe's rigs, as downloaded from mixamo.com: 65 bones, of which the ends carry nothing.
MIXAMO = (
    """
    Hips Spine Spine1 Spine2 Neck Head HeadTop_End
    {Side}Shoulder {Side}Arm {Side}ForeArm {Side}Hand {Side}UpLeg {Side}Leg {Side}Foot {Side}ToeBase {Side}Toe_End
""".split()
    + [f"{{Side}}Hand{finger}{bone}" for finger in (*FINGERS[:4], "Pinky") for bone in (1, 2, 3, 4)]
)

# VRMC_vrm 1.0, https://github.com/vrm-c/vrm-specification, humanoid.md.
VRM = (
    """
    hips spine chest upperChest neck head leftEye rightEye jaw
    {side}UpperLeg {side}LowerLeg {side}Foot {side}Toes {side}Shoulder {side}UpperArm {side}LowerArm {side}Hand
    {side}ThumbMetacarpal {side}ThumbProximal {side}ThumbDistal
""".split()
    + [f"{{side}}{finger}{bone}" for finger in FINGERS[1:] for bone in ("Proximal", "Intermediate", "Distal")]
)

# UnityEngine.HumanBodyBones, https://docs.unity3d.com/ScriptReference/HumanBodyBones.html.
UNITY = (
    """
    Hips Spine Chest UpperChest Neck Head {Side}Eye Jaw
    {Side}UpperLeg {Side}LowerLeg {Side}Foot {Side}Toes {Side}Shoulder {Side}UpperArm {Side}LowerArm {Side}Hand
""".split()
    + [f"{{Side}}{finger}{bone}" for finger in FINGERS for bone in ("Proximal", "Intermediate", "Distal")]
)

# Epic's SK_Mannequin of Unreal Engine 5, without twist, correction and IK bones.
UNREAL = (
    """
    root pelvis spine_01 spine_02 spine_03 spine_04 spine_05 neck_01 neck_02 head
    clavicle_{s} upperarm_{s} lowerarm_{s} hand_{s} thigh_{s} calf_{s} foot_{s} ball_{s}
""".split()
    + [
        f"{finger}_{bone}_{{s}}"
        for finger in ("thumb", "index", "middle", "ring", "pinky")
        for bone in ("metacarpal", "01", "02", "03")
    ]
)
LISTS = {"mixamo": [f"mixamorig:{name}" for name in MIXAMO], "vrm": VRM, "unity": UNITY, "unreal": UNREAL}

PAIRS = """
    pelvis mixamorig:Hips hips Hips pelvis
    spine1 mixamorig:Spine spine Spine spine_01
    spine2 mixamorig:Spine1 chest Chest spine_02
    spine3 mixamorig:Spine2 upperChest UpperChest spine_03
    neck mixamorig:Neck neck Neck neck_01
    head mixamorig:Head head Head head
    left_collar mixamorig:LeftShoulder leftShoulder LeftShoulder clavicle_l
    left_shoulder mixamorig:LeftArm leftUpperArm LeftUpperArm upperarm_l
    left_elbow mixamorig:LeftForeArm leftLowerArm LeftLowerArm lowerarm_l
    left_wrist mixamorig:LeftHand leftHand LeftHand hand_l
    left_hip mixamorig:LeftUpLeg leftUpperLeg LeftUpperLeg thigh_l
    left_knee mixamorig:LeftLeg leftLowerLeg LeftLowerLeg calf_l
    left_ankle mixamorig:LeftFoot leftFoot LeftFoot foot_l
    left_foot mixamorig:LeftToeBase leftToes LeftToes ball_l
    right_collar mixamorig:RightShoulder rightShoulder RightShoulder clavicle_r
    right_shoulder mixamorig:RightArm rightUpperArm RightUpperArm upperarm_r
    right_elbow mixamorig:RightForeArm rightLowerArm RightLowerArm lowerarm_r
    right_wrist mixamorig:RightHand rightHand RightHand hand_r
    right_hip mixamorig:RightUpLeg rightUpperLeg RightUpperLeg thigh_r
    right_knee mixamorig:RightLeg rightLowerLeg RightLowerLeg calf_r
    right_ankle mixamorig:RightFoot rightFoot RightFoot foot_r
    right_foot mixamorig:RightToeBase rightToes RightToes ball_r
    left_thumb1 mixamorig:LeftHandThumb1 leftThumbMetacarpal LeftThumbProximal thumb_01_l
    right_thumb3 mixamorig:RightHandThumb3 rightThumbDistal RightThumbDistal thumb_03_r
    left_index1 mixamorig:LeftHandIndex1 leftIndexProximal LeftIndexProximal index_01_l
    right_ring2 mixamorig:RightHandRing2 rightRingIntermediate RightRingIntermediate ring_02_r
    left_pinky3 mixamorig:LeftHandPinky3 leftLittleDistal LeftLittleDistal pinky_03_l
"""


@pytest.mark.parametrize("preset", LISTS)
def test_every_bone_of_a_preset_is_on_the_published_list(preset):
    published = {
        pattern.format(side=side, Side=side.capitalize(), s=side[0])
        for pattern in LISTS[preset]
        for side in ("left", "right")
    }
    names = (*BONE_NAMES[preset], *FINGER_BONE_NAMES[preset])
    assert set(names) <= published
    assert len(set(names)) == len(JOINT_NAMES) + len(FINGER_JOINT_NAMES)


@pytest.mark.parametrize("row", PAIRS.strip().splitlines())
def test_a_bone_has_the_name_of_the_same_bone_elsewhere(row):
    joint, *names = row.split()
    index = {name: place for place, name in enumerate((*JOINT_NAMES, *FINGER_JOINT_NAMES))}[joint]
    found = [(*BONE_NAMES[preset], *FINGER_BONE_NAMES[preset])[index] for preset in LISTS]
    assert found == names


def test_bones_that_a_humanoid_must_have_are_there():
    required = "hips spine head leftUpperLeg leftLowerLeg leftFoot leftUpperArm leftLowerArm leftHand".split()
    required += [name.replace("left", "right") for name in required if name.startswith("left")]
    assert set(required) <= set(BONE_NAMES["vrm"])
    assert {name[0].upper() + name[1:] for name in required} <= set(BONE_NAMES["unity"])  # Unity's are the same
