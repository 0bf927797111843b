// The dancer, as one of two skinned meshes on the same bones: a mannequin, the convex hulls of the balls that
// motion/drawing.py draws too, and a human body.
import { Bone, BufferAttribute, BufferGeometry, Color, Float32BufferAttribute, Group, Matrix4 } from "three";
import { MeshStandardMaterial, Quaternion, Skeleton, SkinnedMesh, SRGBColorSpace, Uint16BufferAttribute } from "three";
import { Vector3 } from "three";
import { ConvexHull } from "three/addons/math/ConvexHull.js";

const DETAIL = { meridians: 24, parallels: 11 };
const LEAN_DETAIL = { meridians: 12, parallels: 7 };
const NEAR_JOINT_METRES = 0.05;

export class Figure {
  constructor(dance, isLean) {
    this.dance = dance;
    // Mirrored about the upright plane in which the dancer looks: outwards placed, flipped, and turned back.
    [this.object, this.flip, this.inner] = [new Group(), new Group(), new Group()];
    this.object.add(this.flip.add(this.inner));
    this.flip.rotation.y = dance.facing();
    this.inner.rotation.y = -dance.facing();
    this.bones = dance.offsets.map((offset) => {
      const bone = new Bone();
      bone.position.fromArray(offset);
      return bone;
    });
    dance.parents.forEach((parent, joint) => parent >= 0 && this.bones[parent].add(this.bones[joint]));
    this.inner.add(this.bones[0]);
    this.object.updateMatrixWorld(true);

    this.material = new MeshStandardMaterial({ vertexColors: true, roughness: 0.5, metalness: 0.05 });
    this.skeleton = new Skeleton(this.bones);
    this.mannequin = this.#addMesh(mannequinGeometry(dance, this.bones, isLean ? LEAN_DETAIL : DETAIL));
    this.human = this.#addMesh(humanGeometry(dance));
    this.isHuman = false;
  }

  get isHuman() {
    return this.human.visible;
  }

  set isHuman(isHuman) {
    this.human.visible = isHuman;
    this.mannequin.visible = !isHuman;
  }

  get isMirrored() {
    return this.flip.scale.x < 0;
  }

  set isMirrored(isMirrored) {
    this.flip.scale.x = isMirrored ? -1 : 1;
    this.object.updateMatrixWorld(true);
  }

  // Where a point of the dance is in the world.
  toWorld(x, y, z) {
    return new Vector3(x, y, z).applyMatrix4(this.inner.matrixWorld);
  }

  // Which way a dancer who looks at `angle` in the dance looks in the world.
  facingInWorld(angle) {
    const direction = new Vector3(Math.sin(angle), 0, Math.cos(angle)).transformDirection(this.inner.matrixWorld);
    return Math.atan2(direction.x, direction.z);
  }

  #addMesh(geometry) {
    const mesh = new SkinnedMesh(geometry, this.material);
    mesh.castShadow = true;
    mesh.frustumCulled = false; // its bounds are those of the rest pose
    mesh.bind(this.skeleton, new Matrix4());
    this.inner.add(mesh);
    return mesh;
  }

  pose(time) {
    const root = this.bones[0].position;
    this.dance.pose(
      time,
      (x, y, z) => root.set(x, y, z),
      (joint, rotation) => this.bones[joint].quaternion.fromArray(rotation),
    );
    this.object.updateMatrixWorld(true);
  }

  // World position of a joint.
  jointPosition(joint, target = new Vector3()) {
    return target.setFromMatrixPosition(this.bones[joint].matrixWorld);
  }

  // Colour the mannequin by its sides.
  paint(palette) {
    const { sides } = this.mannequin.geometry;
    setColours(this.mannequin.geometry, sides.map((side) => new Color(palette[side])));
  }

  dispose() {
    this.mannequin.geometry.dispose();
    this.human.geometry.dispose();
    this.material.dispose();
    this.skeleton.dispose();
  }
}

function humanGeometry({ human }) {
  const geometry = new BufferGeometry();
  geometry.setAttribute("position", new BufferAttribute(human.vertices, 3));
  geometry.setAttribute("skinIndex", new Uint16BufferAttribute(human.joints, 4));
  geometry.setAttribute("skinWeight", new BufferAttribute(human.weights, 4, true));
  geometry.setIndex(new BufferAttribute(human.triangles, 1));
  geometry.computeVertexNormals();
  const colours = human.colours.map(([red, green, blue]) => new Color().setRGB(red, green, blue, SRGBColorSpace));
  setColours(geometry, Array.from(human.parts, (part) => colours[part]));
  return geometry;
}

function setColours(geometry, colours) {
  geometry.setAttribute("color", new Float32BufferAttribute(colours.flatMap((colour) => colour.toArray()), 3));
}

// In the rest pose all joints' axes are those of the world, so a ball lies at its joint plus its offset.
function mannequinGeometry(dance, bones, detail) {
  const [positions, normals, skinIndices, skinWeights, indices, sides] = [[], [], [], [], [], []];
  for (const { side, balls } of dance.body) {
    const centres = balls.map(([joint, x, y, z]) => {
      const centre = new Vector3().setFromMatrixPosition(bones[joint].matrixWorld);
      return centre.add(new Vector3(x, y, z).multiplyScalar(dance.scale));
    });
    const directions = sphereDirections(centres.at(-1).clone().sub(centres[0]), detail);
    const sources = new Map(); // point of the hull -> its normal and bone
    balls.forEach((ball, index) => {
      const bone = boneOfBall(dance, side, balls[0][0], ball);
      const radius = ball[4] * dance.scale;
      for (const normal of directions) {
        sources.set(normal.clone().multiplyScalar(radius).add(centres[index]), { normal, bone });
      }
    });
    const vertices = new Map();
    for (const face of new ConvexHull().setFromPoints([...sources.keys()]).faces) {
      for (let edge = face.edge, corner = 0; corner < 3; corner++, edge = edge.next) {
        const point = edge.head().point;
        if (!vertices.has(point)) {
          vertices.set(point, sides.length);
          const { normal, bone } = sources.get(point);
          positions.push(...point);
          normals.push(...normal);
          skinIndices.push(bone, 0, 0, 0);
          skinWeights.push(1, 0, 0, 0);
          sides.push(side);
        }
        indices.push(vertices.get(point));
      }
    }
  }
  const geometry = new BufferGeometry();
  geometry.setAttribute("position", new Float32BufferAttribute(positions, 3));
  geometry.setAttribute("normal", new Float32BufferAttribute(normals, 3));
  geometry.setAttribute("skinIndex", new Uint16BufferAttribute(skinIndices, 4));
  geometry.setAttribute("skinWeight", new Float32BufferAttribute(skinWeights, 4));
  geometry.setIndex(indices);
  geometry.sides = sides;
  return geometry;
}

// A ball at the far end of a limb stays where it is in the frame of the limb's first joint, and one at a joint of the
// trunk in the frame of the parent: bound there, the turning of a joint about itself does not wring the hull.
function boneOfBall(dance, side, firstJoint, [joint, x, y, z]) {
  if (Math.hypot(x, y, z) >= NEAR_JOINT_METRES) return joint;
  return side === "left" || side === "right" ? firstJoint : Math.max(dance.parents[joint], 0);
}

// Points of a unit sphere on meridians about `axis`: all balls of a limb share them, so its hull has even strips.
function sphereDirections(axis, { meridians, parallels }) {
  const turn = new Quaternion().setFromUnitVectors(new Vector3(0, 1, 0), axis.normalize());
  const directions = [new Vector3(0, 1, 0), new Vector3(0, -1, 0)];
  for (let row = 1; row <= parallels; row++) {
    const latitude = Math.PI * (row / (parallels + 1));
    for (let column = 0; column < meridians; column++) {
      directions.push(new Vector3().setFromSphericalCoords(1, latitude, (2 * Math.PI * column) / meridians));
    }
  }
  return directions.map((direction) => direction.applyQuaternion(turn));
}
