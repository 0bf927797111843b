// A dance as `viewer_dance` of motion/viewing.py packs it, unpacked, and its pose at any time.
import { Quaternion } from "three";

const FOCUS_SMOOTHING_SECONDS = 0.7;
const REQUIRED = [
  "frame_rate",
  "num_frames",
  "joint_names",
  "parents",
  "offsets",
  "body",
  "human",
  "root_positions",
  "joint_rotations",
];

function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0)).buffer;
}

export class Dance {
  constructor(packed) {
    for (const key of REQUIRED) {
      if (packed?.[key] === undefined) throw new Error(`A dance for the viewer must have \`${key}\`.`);
    }
    this.name = packed.name ?? "";
    this.detail = packed.detail ?? "";
    this.frameRate = packed.frame_rate;
    this.numFrames = packed.num_frames;
    this.numJoints = packed.parents.length;
    this.parents = packed.parents;
    this.offsets = packed.offsets;
    this.contactJoints = packed.contact_joints;
    this.body = packed.body;
    this.human = unpackHuman(packed.human);
    this.scale = packed.scale;
    this.beats = packed.beat_times_seconds ?? [];
    this.downbeats = new Set(packed.downbeat_times_seconds ?? []);
    this.rootPositions = new Float32Array(bytesOf(packed.root_positions));
    this.rotations = unpackRotations(new Int16Array(bytesOf(packed.joint_rotations)));
    this.contacts = packed.foot_contacts ? new Uint8Array(bytesOf(packed.foot_contacts)) : null;
    if (
      this.rootPositions.length !== 3 * this.numFrames ||
      this.rotations.length !== 4 * this.numFrames * this.numJoints
    ) {
      throw new Error(`The dance ${this.name} does not hold ${this.numFrames} frames: it is cut short.`);
    }
    this.focusPath = smoothPath(this.rootPositions, FOCUS_SMOOTHING_SECONDS * this.frameRate);
  }

  get duration() {
    return this.numFrames / this.frameRate;
  }

  frameAt(time) {
    return Math.max(0, Math.min(Math.floor(time * this.frameRate + 1e-4), this.numFrames - 1));
  }

  // Call `setRoot(x, y, z)` and `setRotation(joint, [x, y, z, w])` with the pose at `time`, between frames by slerp.
  pose(time, setRoot, setRotation) {
    const position = Math.max(0, Math.min(time * this.frameRate, this.numFrames - 1));
    const before = Math.floor(position);
    const after = Math.min(before + 1, this.numFrames - 1);
    const weight = position - before;
    setRoot(...interpolated(this.rootPositions, before, after, weight));
    const rotation = [0, 0, 0, 1];
    for (let joint = 0; joint < this.numJoints; joint++) {
      const at = (frame) => 4 * (frame * this.numJoints + joint);
      Quaternion.slerpFlat(rotation, 0, this.rotations, at(before), this.rotations, at(after), weight);
      setRotation(joint, rotation);
    }
  }

  // Where the camera looks while it follows: the root's path on the floor, smoothed without delay.
  focus(time) {
    const position = Math.max(0, Math.min(time * this.frameRate, this.numFrames - 1));
    const before = Math.floor(position);
    return interpolated(this.focusPath, before, Math.min(before + 1, this.numFrames - 1), position - before);
  }

  // The way the pelvis looks on average from `start` to `end`, in seconds, as an angle about the vertical axis.
  facing(start = 0, end = this.duration) {
    let [x, z] = [0, 0];
    for (let frame = this.frameAt(start); frame <= this.frameAt(end); frame++) {
      const [qx, qy, qz, qw] = this.rotations.subarray(4 * frame * this.numJoints);
      x += 2 * (qx * qz + qw * qy);
      z += 1 - 2 * (qx * qx + qy * qy);
    }
    return Math.atan2(x, z);
  }
}

function unpackHuman({ vertices, vertex_unit_metres: unit, triangles, joints, weights, parts, materials }) {
  return {
    vertices: Float32Array.from(new Int16Array(bytesOf(vertices)), (value) => value * unit),
    triangles: new Uint16Array(bytesOf(triangles)),
    joints: new Uint8Array(bytesOf(joints)),
    weights: new Uint8Array(bytesOf(weights)),
    parts: new Uint8Array(bytesOf(parts)),
    colours: materials.map(({ color }) => color),
  };
}

// From 16-bit wxyz to unit quaternions xyzw.
function unpackRotations(packed) {
  const rotations = new Float32Array(packed.length);
  for (let at = 0; at < packed.length; at += 4) {
    const length = Math.hypot(packed[at], packed[at + 1], packed[at + 2], packed[at + 3]);
    for (let channel = 0; channel < 4; channel++) rotations[at + channel] = packed[at + ((channel + 1) % 4)] / length;
  }
  return rotations;
}

function interpolated(points, before, after, weight) {
  return [0, 1, 2].map((axis) => points[3 * before + axis] * (1 - weight) + points[3 * after + axis] * weight);
}

// Filter x and z forwards and backwards by an exponential, which has no delay; y becomes 0.
function smoothPath(positions, windowFrames) {
  const share = 1 / (1 + windowFrames);
  const path = Float32Array.from(positions, (value, index) => (index % 3 === 1 ? 0 : value));
  for (let at = 3; at < path.length; at++) path[at] = path[at - 3] + share * (path[at] - path[at - 3]);
  for (let at = path.length - 4; at >= 0; at--) path[at] = path[at + 3] + share * (path[at] - path[at + 3]);
  return path;
}
