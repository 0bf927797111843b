// One dance in its own scene: dancer, lights, floor with a grid that fades, and marks below feet that touch.
import { CanvasTexture, CircleGeometry, DirectionalLight, HemisphereLight, Mesh, MeshBasicMaterial } from "three";
import { Color, PlaneGeometry, Scene, ShaderMaterial, ShadowMaterial, Vector3 } from "three";

import { Figure } from "./figure.js";

const GRID_RADIUS_METRES = 8; // it has faded there
const SHADOW_REACH_METRES = 2.2;
const MARK_RADIUS_METRES = 0.13;

export const PALETTES = {
  dark: {
    body: { left: "#48b8e8", right: "#f58454", trunk: "#bec6cd", visor: "#28303e" },
    grid: "#8fa0b8",
    gridOpacity: 0.34,
    shadowOpacity: 0.5,
    sky: "#dfe8f5",
    ground: "#3b3f4c",
    skyIntensity: 1.5,
    keyIntensity: 2.4,
  },
  light: {
    body: { left: "#1f9ad6", right: "#ee6c3a", trunk: "#a9b3bf", visor: "#28303e" },
    grid: "#5c6b82",
    gridOpacity: 0.3,
    shadowOpacity: 0.22,
    sky: "#ffffff",
    ground: "#b9bfca",
    skyIntensity: 2.1,
    keyIntensity: 2.2,
  },
};

const GRID_VERTEX = `
  varying vec2 floorPoint;
  void main() {
    floorPoint = (modelMatrix * vec4(position, 1.0)).xz;
    gl_Position = projectionMatrix * viewMatrix * modelMatrix * vec4(position, 1.0);
  }`;
const GRID_FRAGMENT = `
  varying vec2 floorPoint;
  uniform vec3 colour;
  uniform vec2 centre;
  uniform float opacity;
  float lines(vec2 point, float width) {
    vec2 distance = abs(fract(point - 0.5) - 0.5) / fwidth(point);
    return 1.0 - min(min(distance.x, distance.y) / width, 1.0);
  }
  void main() {
    float grid = max(0.45 * lines(floorPoint * 2.0, 1.0), lines(floorPoint, 1.4));
    float away = length(floorPoint - centre);
    gl_FragColor = vec4(colour, grid * opacity * exp(-away * away / 9.0));
    #include <colorspace_fragment>
  }`;

export class Stage {
  constructor(dance, isLean) {
    this.dance = dance;
    this.scene = new Scene();
    this.focus = new Vector3();
    this.figure = new Figure(dance, isLean);
    this.sky = new HemisphereLight();
    this.key = new DirectionalLight("#fff6ea");
    this.rim = new DirectionalLight("#bcd4ff");
    this.key.castShadow = true;
    this.key.shadow.mapSize.setScalar(isLean ? 512 : 1024);
    this.key.shadow.radius = isLean ? 2 : 5;
    this.key.shadow.normalBias = 0.02;
    const reach = SHADOW_REACH_METRES * dance.scale;
    const extent = { left: -reach, right: reach, top: reach, bottom: -reach, near: 1, far: 12 };
    Object.assign(this.key.shadow.camera, extent);

    this.shadow = new Mesh(new PlaneGeometry(2 * reach, 2 * reach).rotateX(-Math.PI / 2), new ShadowMaterial({ depthWrite: false }));
    this.shadow.receiveShadow = true;
    this.grid = new Mesh(
      new CircleGeometry(GRID_RADIUS_METRES, 48).rotateX(-Math.PI / 2),
      new ShaderMaterial({
        vertexShader: GRID_VERTEX,
        fragmentShader: GRID_FRAGMENT,
        uniforms: { colour: { value: new Color() }, centre: { value: null }, opacity: { value: 0 } },
        transparent: true,
        depthWrite: false,
      }),
    );
    this.grid.position.y = -0.002;
    this.marks = dance.contacts ? dance.contactJoints.map((_, index) => contactMark(index, dance.scale)) : [];
    this.scene.add(this.figure.object, this.sky, this.key, this.key.target, this.rim, this.rim.target);
    this.scene.add(this.grid, this.shadow, ...this.marks);
  }

  // Show the dance at `time`, in seconds, with the light and the grid around `focus`.
  pose(time, focus, showsContacts) {
    this.figure.pose(time);
    const bits = this.dance.contacts?.[this.dance.frameAt(time)] ?? 0;
    this.marks.forEach((mark, index) => {
      mark.visible = showsContacts && Boolean((bits >> index) & 1);
      const { x, z } = this.figure.jointPosition(this.dance.contactJoints[index]);
      mark.position.set(x, 0.004, z);
    });
    this.grid.material.uniforms.centre.value = { x: focus.x, y: focus.z };
    this.shadow.position.set(focus.x, 0, focus.z);
    this.grid.position.set(focus.x, -0.002, focus.z);
    for (const [light, offset] of [
      [this.key, new Vector3(2.2, 5.5, 2.4)],
      [this.rim, new Vector3(-3, 3, -4)],
    ]) {
      light.target.position.copy(focus);
      light.position.copy(focus).add(offset);
      light.target.updateMatrixWorld();
    }
  }

  paint(palette) {
    this.figure.paint(palette.body);
    this.sky.color.set(palette.sky);
    this.sky.groundColor.set(palette.ground);
    this.sky.intensity = palette.skyIntensity;
    this.key.intensity = palette.keyIntensity;
    this.rim.intensity = 1.1;
    this.grid.material.uniforms.colour.value.set(palette.grid);
    this.grid.material.uniforms.opacity.value = palette.gridOpacity;
    this.shadow.material.opacity = palette.shadowOpacity;
    this.marks.forEach((mark, index) => mark.material.color.set(palette.body[index % 2 ? "right" : "left"]));
  }

  dispose() {
    this.figure.dispose();
    this.key.dispose();
    for (const mesh of [this.grid, this.shadow, ...this.marks]) {
      mesh.geometry.dispose();
      mesh.material.map?.dispose();
      mesh.material.dispose();
    }
  }
}

// A ring with a glow inside, flat on the floor; even ones are the left foot's.
function contactMark(index, scale) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 128;
  const brush = canvas.getContext("2d");
  const glow = brush.createRadialGradient(64, 64, 8, 64, 64, 58);
  glow.addColorStop(0, "rgba(255, 255, 255, 0.75)");
  glow.addColorStop(1, "rgba(255, 255, 255, 0.12)");
  brush.fillStyle = glow;
  brush.strokeStyle = "white";
  brush.lineWidth = 6;
  brush.arc(64, 64, 58, 0, 2 * Math.PI);
  brush.fill();
  brush.stroke();
  const material = new MeshBasicMaterial({ map: new CanvasTexture(canvas), transparent: true, depthWrite: false });
  const radius = MARK_RADIUS_METRES * scale * (index < 2 ? 1 : 0.8); // ankles, then the balls of the feet
  const mark = new Mesh(new CircleGeometry(radius, 40).rotateX(-Math.PI / 2), material);
  mark.renderOrder = 1;
  return mark;
}
