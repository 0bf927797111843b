// What others make of our files: three.js, three-vrm and the Khronos validator, for tests/browser/test_exports.py.
// Files come as base64; places are [x, y, z] in metres.
import { VRMLoaderPlugin } from "@pixiv/three-vrm";
import { createVRMAnimationClip, VRMAnimationLoaderPlugin } from "@pixiv/three-vrm-animation";
import { validateBytes } from "gltf-validator";
import * as THREE from "three";
import { FBXLoader } from "three/addons/loaders/FBXLoader.js";
import { GLTFLoader } from "three/addons/loaders/GLTFLoader.js";

const bytesOf = (base64) => Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));

function gltf(base64) {
  const loader = new GLTFLoader();
  loader.register((parser) => new VRMLoaderPlugin(parser));
  loader.register((parser) => new VRMAnimationLoaderPlugin(parser));
  return loader.parseAsync(bytesOf(base64).buffer, "");
}

// Places of `points(time)` at each of some times, in seconds of the clip.
function sample(root, clip, times, points) {
  const mixer = new THREE.AnimationMixer(root);
  const action = mixer.clipAction(clip).play();
  action.loop = THREE.LoopOnce;
  action.clampWhenFinished = true;
  return times.map((time) => {
    action.reset();
    mixer.setTime(time);
    root.updateMatrixWorld(true);
    return points();
  });
}

const placeOf = (object) => object.getWorldPosition(new THREE.Vector3()).toArray();
// Three.js makes a mesh of each material.
const skinnedMeshes = (root) => {
  const meshes = [];
  root.traverse((object) => object.isSkinnedMesh && meshes.push(object));
  return meshes;
};
const around = (meshes) => meshes.reduce((box, mesh) => box.expandByObject(mesh, true), new THREE.Box3());
const boxOf = (meshes) => {
  const { min, max } = around(meshes);
  return [min.toArray(), max.toArray()];
};

export async function validate(base64) {
  const report = await validateBytes(bytesOf(base64));
  return { ...report.issues, info: report.info };
}

// Joints by the indices of their nodes, every `step`th vertex of the body as it is drawn, and the box around it.
export async function readGlb(base64, times, nodes, step) {
  const { animations, parser, scene } = await gltf(base64);
  const joints = await Promise.all(nodes.map((node) => parser.getDependency("node", node)));
  const meshes = skinnedMeshes(scene);
  const places = sample(scene, animations[0], times, () => {
    const vertices = [];
    for (const mesh of meshes) {
      for (let index = 0; index < mesh.geometry.attributes.position.count; index += step) {
        vertices.push(mesh.localToWorld(mesh.getVertexPosition(index, new THREE.Vector3())).toArray());
      }
    }
    return { joints: joints.map(placeOf), vertices, box: boxOf(meshes) };
  });
  return { places, duration: animations[0].duration, notes: scene.userData };
}

// What `points(humanoid)` returns at each of some times when a VRM model dances a VRM animation.
async function danceVrm(animation, model, times, points) {
  const {
    scene,
    userData: { vrm },
  } = await gltf(model);
  const { vrmAnimations } = (await gltf(animation)).userData;
  const clip = createVRMAnimationClip(vrmAnimations[0], vrm);
  const places = sample(scene, clip, times, () => {
    vrm.humanoid.update();
    scene.updateMatrixWorld(true);
    return points(vrm.humanoid);
  });
  return { places, duration: clip.duration, scene };
}

// Joints of a VRM model, by the names of its humanoid bones, when it dances a VRM animation.
export async function readVrma(animation, model, times, bones) {
  const joints = (humanoid) => bones.map((bone) => placeOf(humanoid.getRawBoneNode(bone)));
  const { places, duration } = await danceVrm(animation, model, times, joints);
  return { places, duration };
}

// A picture, as `picture`, of a VRM model that dances a VRM animation at a time.
export async function pictureOfVrm(animation, model, time, options = {}) {
  return draw((await danceVrm(animation, model, [time], () => null)).scene, options);
}

// Joints by name, and the box around the body, in the file's units.
export async function readFbx(base64, times, names) {
  const scene = new FBXLoader().parse(bytesOf(base64).buffer, "");
  const joints = names.map((name) => scene.getObjectByName(THREE.PropertyBinding.sanitizeNodeName(name)));
  const scales = [];
  scene.traverse((object) => scales.push(...object.scale.toArray()));
  scene.updateMatrixWorld(true);
  const rest = joints.map(placeOf);
  const meshes = skinnedMeshes(scene);
  const box = () => (meshes.length ? boxOf(meshes) : null);
  const places = sample(scene, scene.animations[0], times, () => ({ joints: joints.map(placeOf), box: box() }));
  const { duration, name } = scene.animations[0];
  return { places, rest, scales, unit: scene.userData.unitScaleFactor, duration, name };
}

// A picture of a GLB's body at a time, from the front left, as a PNG in base64; without a time in its rest pose.
export async function picture(base64, { time = null, ...options } = {}) {
  const { animations, scene } = await gltf(base64);
  if (time !== null) sample(scene, animations[0], [time], () => null);
  return draw(scene, options);
}

function draw(scene, { width = 480, height = 640, view = [1.2, 1.3, 2.6] } = {}) {
  scene.updateMatrixWorld(true);
  const middle = around(skinnedMeshes(scene)).getCenter(new THREE.Vector3());
  const floor = new THREE.GridHelper(4, 16, 0x888888, 0xcccccc);
  floor.position.set(middle.x, 0, middle.z);
  const sun = new THREE.DirectionalLight(0xffffff, 2.2);
  sun.position.set(middle.x + 1, 4, middle.z + 2);
  sun.target.position.copy(middle);
  scene.add(floor, sun, sun.target, new THREE.HemisphereLight(0xffffff, 0x999999, 1.2));
  const camera = new THREE.PerspectiveCamera(40, width / height, 0.1, 20);
  camera.position.set(middle.x, 0.9, middle.z).add(new THREE.Vector3(view[0], view[1] - 0.9, view[2]));
  camera.lookAt(middle.x, 0.9, middle.z);
  const renderer = new THREE.WebGLRenderer({ antialias: true, preserveDrawingBuffer: true });
  renderer.setSize(width, height);
  renderer.setClearColor(0xf4f4f0);
  renderer.render(scene, camera);
  const png = renderer.domElement.toDataURL("image/png").split(",")[1];
  renderer.dispose();
  return png;
}
