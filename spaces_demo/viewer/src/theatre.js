// All dances in one canvas, side by side: each in its own part of the picture, seen by one camera that all share.
import { PerspectiveCamera, Vector3, WebGLRenderer } from "three";
import { OrbitControls } from "three/addons/controls/OrbitControls.js";

import { PALETTES, Stage } from "./stage.js";

const FIELD_OF_VIEW_DEGREES = 30;
const FOCUS_HEIGHT_METRES = 0.92;
const HALF_HEIGHT_METRES = 1.22; // what must fit above and below the focus
const HALF_WIDTH_METRES = 0.98;
const YAW = (30 * Math.PI) / 180; // three quarters from the front: limbs that point at the viewer show their length
const PITCH = (11 * Math.PI) / 180;
const FOLLOW_BLEND_SECONDS = 0.4;
const LEAST_GAP_METRES = 1.3; // between two dancers on one floor
const ELBOW_ROOM_METRES = 0.95;
const MOST_GAP_METRES = 4;
const BEGINNING_SECONDS = 4; // in which a dance faces its audience

export class Theatre {
  #follows = true;
  #isTogether = false;
  #size = [1, 1, 1];
  #fit = 1; // metres from the camera to the focus that show the whole body
  #held; // where each part looked when following ended
  #blend = 0; // 1: looks where it was held, 0: looks at the dancer

  constructor(canvas, dances, onChange) {
    const isLean = drawsInSoftware();
    this.renderer = new WebGLRenderer({ canvas, alpha: true, antialias: !isLean });
    this.renderer.shadowMap.enabled = true;
    this.renderer.setScissorTest(true);
    this.stages = dances.map((dance) => new Stage(dance, isLean));
    this.scale = Math.max(...dances.map((dance) => dance.scale));
    this.camera = new PerspectiveCamera(FIELD_OF_VIEW_DEGREES, 1, 0.05, 100);
    // The camera that the pointer moves orbits the origin; where a dancer is, is added when its part is drawn.
    this.handheld = this.camera.clone();
    this.controls = new OrbitControls(this.handheld, canvas);
    const limits = { maxPolarAngle: 0.495 * Math.PI, minDistance: 0.8, maxDistance: 30 };
    Object.assign(this.controls, limits, { enableDamping: true });
    this.controls.addEventListener("change", onChange);
    this.#held = this.stages.map(() => new Vector3());
    this.resetView();
    // Compiled now, marks that are not yet seen too: compiling later would hold up the dance.
    for (const stage of this.stages) this.renderer.compile(stage.scene, this.camera);
  }

  get follows() {
    return this.#follows;
  }

  set follows(follows) {
    this.#held = this.stages.map((stage) => stage.focus.clone());
    this.#follows = follows;
    this.#blend = 1;
  }

  get isHuman() {
    return this.stages[0].figure.isHuman;
  }

  set isHuman(isHuman) {
    for (const stage of this.stages) stage.figure.isHuman = isHuman;
  }

  get isMirrored() {
    return this.stages[0].figure.isMirrored;
  }

  set isMirrored(isMirrored) {
    const before = this.#homeYaw;
    for (const stage of this.stages) stage.figure.isMirrored = isMirrored;
    this.#place();
    // The camera keeps its place before the dancer.
    const offset = this.handheld.position.sub(this.controls.target);
    offset.applyAxisAngle(new Vector3(0, 1, 0), this.#homeYaw - before).add(this.controls.target);
    this.controls.update();
  }

  // Whether two dancers share one floor, or each has a part of the picture.
  get isTogether() {
    return this.#isTogether;
  }

  set isTogether(isTogether) {
    this.#isTogether = isTogether && this.stages.length > 1;
    this.#place();
    this.resize(...this.#size);
  }

  // Side by side as they are seen at first, both facing the same way, and so far apart that they never meet.
  #place() {
    for (const { figure, grid } of this.stages) {
      figure.object.position.set(0, 0, 0);
      figure.object.rotation.y = 0;
      figure.object.updateMatrixWorld(true);
      grid.visible = true;
    }
    if (!this.#isTogether) return;
    const [first, second] = this.stages;
    second.figure.object.rotation.y = beginningYaw(first) - beginningYaw(second);
    second.figure.object.updateMatrixWorld(true);
    second.grid.visible = false;
    const yaw = this.#homeYaw;
    const right = new Vector3(Math.cos(yaw), 0, -Math.sin(yaw));
    const focusOf = ({ dance, figure }, time) => figure.toWorld(...dance.focus(time));
    const starts = this.stages.map((stage) => focusOf(stage, 0));
    const times = Array.from({ length: 101 }, (_, step) => (step / 100) * Math.min(first.dance.duration, second.dance.duration));
    const apart = times.map((time) =>
      focusOf(second, time).sub(starts[1]).sub(focusOf(first, time).sub(starts[0])).dot(right),
    );
    const gap = Math.max(LEAST_GAP_METRES, Math.min(ELBOW_ROOM_METRES - Math.min(...apart), MOST_GAP_METRES));
    this.stages.forEach(({ figure }, index) => {
      figure.object.position.copy(right).multiplyScalar((index - 0.5) * gap * this.scale).sub(starts[index]).setY(0);
      figure.object.updateMatrixWorld(true);
    });
  }

  // From which side the camera looks, as an angle about the vertical axis.
  get cameraYaw() {
    return this.controls.getAzimuthalAngle();
  }

  get #homeYaw() {
    return beginningYaw(this.stages[0]) + YAW;
  }

  // Look at the beginning of the dance from three quarters in front.
  resetView() {
    this.#lookFrom(this.#homeYaw);
  }

  // Look at the dancer straight from the front, as it is turned at `time`.
  frontView(time) {
    const [{ dance, figure }] = this.stages;
    this.#lookFrom(figure.facingInWorld(dance.facing(time - 0.5, time + 0.5)));
  }

  #lookFrom(yaw) {
    const direction = new Vector3(Math.sin(yaw) * Math.cos(PITCH), Math.sin(PITCH), Math.cos(yaw) * Math.cos(PITCH));
    this.controls.target.set(0, FOCUS_HEIGHT_METRES * this.scale, 0);
    this.handheld.position.copy(this.controls.target).addScaledVector(direction, this.#fit);
    this.controls.update();
  }

  // Divide the picture into columns or rows, whichever shows the dancers larger.
  resize(width, height, pixelRatio) {
    this.#size = [width, height, pixelRatio];
    this.renderer.setPixelRatio(pixelRatio);
    this.renderer.setSize(width, height, false);
    const count = this.#isTogether ? 1 : this.stages.length;
    const layouts = [
      { columns: count, rows: 1 },
      { columns: 1, rows: count },
    ].map(({ columns, rows }) => ({ columns, rows, width: width / columns, height: height / rows }));
    const magnification = (part) => Math.min(part.width / HALF_WIDTH_METRES, part.height / HALF_HEIGHT_METRES);
    this.layout = magnification(layouts[0]) >= magnification(layouts[1]) ? layouts[0] : layouts[1];
    this.camera.aspect = this.layout.width / this.layout.height;
    this.camera.updateProjectionMatrix();
    const fit = this.#distanceToFit(HALF_WIDTH_METRES * this.scale);
    this.handheld.position.sub(this.controls.target).multiplyScalar(fit / this.#fit).add(this.controls.target);
    this.#fit = fit;
    this.controls.update();
  }

  // How far the camera must be away to show so much to the left and to the right, and a whole body.
  #distanceToFit(halfWidth) {
    const slope = Math.tan((FIELD_OF_VIEW_DEGREES * Math.PI) / 360);
    return Math.max(HALF_HEIGHT_METRES * this.scale, halfWidth / this.camera.aspect) / slope;
  }

  // How much farther back the camera must be to show two dancers at these places, one of whom may be nearer.
  #stepBack([first, second]) {
    const toCamera = this.handheld.position.clone().sub(this.controls.target).setY(0).normalize();
    const apart = second.clone().sub(first).multiplyScalar(0.5);
    const depth = Math.abs(apart.dot(toCamera));
    const aside = Math.abs(apart.x * toCamera.z - apart.z * toCamera.x);
    return Math.max(0, this.#distanceToFit(HALF_WIDTH_METRES * this.scale + aside) + depth - this.#fit);
  }

  // Advance what moves by itself; return whether it still moves.
  update(elapsedSeconds) {
    const isMoving = this.#follows && this.#blend > 0;
    if (isMoving) this.#blend = Math.max(0, this.#blend - elapsedSeconds / FOLLOW_BLEND_SECONDS);
    return this.controls.update() || isMoving;
  }

  draw(time, showsContacts) {
    const { columns, rows, width, height } = this.layout;
    const places = this.stages.map(({ dance, figure }) => figure.toWorld(...dance.focus(time)));
    let back = 0;
    if (this.#isTogether) {
      back = this.#stepBack(places);
      const middle = places[0].clone().add(places[1]).multiplyScalar(0.5);
      places.forEach((place) => place.copy(middle));
    }
    this.stages.forEach((stage, index) => {
      const eased = this.#blend * this.#blend * (3 - 2 * this.#blend);
      stage.focus = places[index].lerp(this.#held[index], eased);
      stage.pose(time, stage.focus, showsContacts);
      this.renderer.autoClear = !this.#isTogether || index === 0; // the second dancer is drawn among what is there
      const offset = this.handheld.position.clone().sub(this.controls.target);
      this.camera.position.copy(this.handheld.position).add(stage.focus).addScaledVector(offset, back / this.#fit);
      this.camera.quaternion.copy(this.handheld.quaternion);
      const place = this.#isTogether ? 0 : index;
      const part = [(place % columns) * width, (rows - 1 - Math.floor(place / columns)) * height, width, height];
      this.renderer.setViewport(...part);
      this.renderer.setScissor(...part);
      this.renderer.render(stage.scene, this.camera);
    });
  }

  paint(theme) {
    for (const stage of this.stages) stage.paint(PALETTES[theme]);
  }

  dispose() {
    this.controls.dispose();
    for (const stage of this.stages) stage.dispose();
    this.renderer.dispose();
    this.renderer.forceContextLoss();
  }
}

// Which way a dancer looks at first, in the world.
function beginningYaw({ dance, figure }) {
  return figure.facingInWorld(dance.facing(0, BEGINNING_SECONDS));
}

// Whether WebGL has no graphics card here: less detail then keeps the picture within a frame of the song.
function drawsInSoftware() {
  const context = document.createElement("canvas").getContext("webgl2");
  const info = context?.getExtension("WEBGL_debug_renderer_info");
  const name = info ? context.getParameter(info.UNMASKED_RENDERER_WEBGL) : "";
  context?.getExtension("WEBGL_lose_context")?.loseContext();
  return /swiftshader|llvmpipe|software|basic render/i.test(name);
}
