// The viewer: `mount(element, dances, audioUrl, options)` fills an element with a player of one dance or two.
import { Clock } from "./clock.js";
import { Dance } from "./dance.js";
import markup from "./markup.html";
import css from "./style.css";
import { Theatre } from "./theatre.js";
import { Timeline } from "./timeline.js";

const SPEEDS = [0.25, 0.5, 0.75, 1, 1.25, 1.5, 2];
const MAX_DANCES = 2;
const KEYS = {
  " ": "play",
  k: "play",
  b: "human",
  c: "contacts",
  f: "follow",
  l: "loop",
  m: "mute",
  r: "reset",
  "?": "help",
};

const mounted = new WeakMap();

/**
 * Show dances that play in sync with their song; what the element showed before is removed.
 *
 * @param {HTMLElement} element Where to show them.
 * @param {object[]} dances One or two, as `viewer_dance` of motion/viewing.py packs them.
 * @param {string} [audioUrl] The song; without one the browser's clock drives the dance.
 * @param {object} [options]
 * @param {boolean} [options.fillsPage] Take the height of the window and listen to keys everywhere in the page.
 * @param {"dark"|"light"} [options.theme] Follow the system's if not given.
 * @returns {{play, pause, seek, state, dispose}} Handle; `state()` tells what is shown at this moment.
 */
export function mount(element, dances, audioUrl, options = {}) {
  if (!Array.isArray(dances) || dances.length < 1 || dances.length > MAX_DANCES) {
    throw new Error(`The viewer shows one dance or ${MAX_DANCES}, got ${dances?.length ?? typeof dances}.`);
  }
  mounted.get(element)?.dispose();
  const viewer = new Viewer(element, dances.map((packed) => new Dance(packed)), audioUrl, options);
  const handle = {
    play: () => viewer.clock.play(),
    pause: () => viewer.clock.pause(),
    seek: (seconds) => viewer.clock.seek(seconds),
    state: () => viewer.state(),
    dispose: () => viewer.dispose(),
  };
  mounted.set(element, handle);
  return handle;
}

class Viewer {
  #showsContacts = true;
  #lastTick = performance.now();
  #shown = { time: -1, isPlaying: null };
  #needsDrawing = true;
  #frameRequest = 0;
  #listeners = new AbortController(); // ends those on objects that outlive the viewer

  constructor(element, dances, audioUrl, { fillsPage = false, theme } = {}) {
    this.root = element.shadowRoot ?? element.attachShadow({ mode: "open" });
    this.root.innerHTML = `<style>${css}</style>${markup}`;
    this.find = (selector) => this.root.querySelector(selector);
    this.button = (action) => this.find(`[data-action="${action}"]`);
    this.section = this.find(".viewer");
    this.section.classList.toggle("page", fillsPage);
    this.dances = dances;
    this.audio = audioUrl ? new Audio(audioUrl) : null;
    this.clock = new Clock(this.audio, Math.max(...dances.map((dance) => dance.duration)));
    this.timeline = new Timeline(this.find(".timeline"), dances, this.clock.duration);
    this.#label();
    try {
      this.theatre = new Theatre(this.find(".stage"), dances, () => (this.#needsDrawing = true));
    } catch (error) {
      this.#tell("This browser does not draw in 3D: WebGL is off or missing.");
      console.error(error);
      return;
    }
    this.#listen(fillsPage ? window : this.section, theme);
    this.#frameRequest = requestAnimationFrame(() => this.#tick());
  }

  state() {
    const { time, isPlaying } = this.#shown;
    return {
      time,
      frame: this.dances[0].frameAt(time),
      isPlaying,
      duration: this.clock.duration,
      rate: this.clock.rate,
      isLooping: this.clock.isLooping,
      audioTime: this.audio?.currentTime ?? null,
      rootPositions: this.theatre.stages.map((stage) => stage.figure.jointPosition(0).toArray()),
    };
  }

  dispose() {
    cancelAnimationFrame(this.#frameRequest);
    this.#listeners.abort();
    this.resizing?.disconnect();
    this.clock.isPlaying = false;
    this.audio?.pause();
    this.audio?.removeAttribute("src");
    this.theatre?.dispose();
    this.root.innerHTML = "";
  }

  #label() {
    for (const dance of this.dances) {
      const label = document.createElement("div");
      for (const [tag, text] of [
        ["b", dance.name],
        ["span", dance.detail],
      ]) {
        label.append(Object.assign(document.createElement(tag), { textContent: text, title: text }));
      }
      this.find(".labels").append(label);
    }
    const names = this.dances.map((dance) => [dance.name, dance.detail].filter(Boolean).join(", ")).join("; ");
    this.find(".stage").setAttribute("aria-label", `3D figures that dance: ${names}`);
    this.button("mute").hidden = !this.audio;
    this.button("fullscreen").hidden = !document.fullscreenEnabled;
    this.button("contacts").hidden = !this.dances.some((dance) => dance.contacts);
    this.find(".beat").hidden = !this.timeline.beats.length;
    for (const speed of SPEEDS) this.button("speed").add(new Option(`${speed}×`, speed, speed === 1, speed === 1));
  }

  #listen(keyTarget, theme) {
    const { signal } = this.#listeners;
    this.find(".bar").addEventListener("click", (event) => {
      const action = event.target.closest("button")?.dataset.action;
      if (action) this.#act(action);
    });
    this.button("speed").addEventListener("change", (event) => this.#setSpeed(Number(event.target.value)));
    this.timeline.slider.addEventListener("input", (event) => this.clock.seek(Number(event.target.value)));
    keyTarget.addEventListener("keydown", (event) => this.#key(event), { signal });
    this.clock.addEventListener("change", () => this.#showPlaying());
    this.audio?.addEventListener("error", () => {
      this.#tell("This browser cannot play the song; the dance goes on without it.");
      this.button("mute").hidden = true;
    });
    const darkness = matchMedia("(prefers-color-scheme: dark)");
    const paint = () => this.#paint(theme ?? (darkness.matches ? "dark" : "light"));
    darkness.addEventListener("change", paint, { signal });
    paint();
    this.resizing = new ResizeObserver(() => this.#resize());
    this.resizing.observe(this.find(".picture"));
    this.#resize();
    this.#showPlaying();
  }

  #act(action) {
    const { clock, theatre } = this;
    switch (action) {
      case "play":
        return clock.isPlaying ? clock.pause() : clock.play();
      case "back":
      case "on":
        return this.#step(action === "on" ? 1 : -1);
      case "loop":
        clock.isLooping = !clock.isLooping;
        return this.#press("loop", clock.isLooping);
      case "follow":
        theatre.follows = !theatre.follows;
        return this.#press("follow", theatre.follows);
      case "human":
        theatre.isHuman = !theatre.isHuman;
        return this.#press("human", theatre.isHuman);
      case "contacts":
        this.#showsContacts = !this.#showsContacts;
        return this.#press("contacts", this.#showsContacts);
      case "mute":
        if (!this.audio) return undefined;
        this.audio.muted = !this.audio.muted;
        return this.#press("mute", !this.audio.muted);
      case "fullscreen":
        return document.fullscreenElement ? document.exitFullscreen() : this.root.host.requestFullscreen();
      case "reset":
        return theatre.resetView();
      case "help": {
        const help = this.find(".help");
        help.hidden = !help.hidden;
        return this.button("help").setAttribute("aria-expanded", String(!help.hidden));
      }
    }
  }

  #key(event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const focused = event.composedPath()[0];
    const tag = focused.tagName;
    if (tag === "SELECT" || tag === "TEXTAREA" || focused.isContentEditable) return;
    if (tag === "INPUT" && focused !== this.timeline.slider) return;
    if (tag === "BUTTON" && [" ", "Enter"].includes(event.key)) return; // presses the button
    const action = KEYS[event.key.toLowerCase()];
    if (action && !event.repeat) this.#act(action);
    else if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
      this.#step(event.key === "ArrowRight" ? 1 : -1, event.shiftKey);
    } else if (event.key === "Home") this.clock.seek(0);
    else if (event.key === "End") this.clock.seek(this.clock.duration);
    else if (["-", "+", "="].includes(event.key)) {
      const index = SPEEDS.indexOf(this.clock.rate) + (event.key === "-" ? -1 : 1);
      this.#setSpeed(SPEEDS[Math.max(0, Math.min(index, SPEEDS.length - 1))]);
    } else if (event.key === "Escape" && !this.find(".help").hidden) this.#act("help");
    else if (!action) return;
    event.preventDefault();
  }

  // Stop, and go one frame on or back; or to the next beat or the last one, without stopping.
  #step(direction, byBeat = false) {
    if (byBeat) {
      const time = this.clock.time();
      this.clock.seek(this.timeline.beatFrom(time, direction) ?? time + direction);
      return;
    }
    if (this.clock.isPlaying) this.clock.pause();
    const [dance] = this.dances;
    const frame = Math.max(0, Math.min(dance.frameAt(this.clock.time()) + direction, dance.numFrames - 1));
    this.clock.seek(frame / dance.frameRate);
  }

  #setSpeed(speed) {
    this.clock.rate = speed;
    this.button("speed").value = String(speed);
  }

  #press(action, isPressed) {
    this.button(action).setAttribute("aria-pressed", String(isPressed));
    this.button(action).classList.toggle("is-on", isPressed);
    this.#needsDrawing = true;
  }

  #showPlaying() {
    const { isPlaying } = this.clock;
    this.button("play").classList.toggle("is-on", isPlaying);
    this.button("play").setAttribute("aria-label", isPlaying ? "Pause" : "Play");
    this.button("mute").classList.toggle("is-on", !this.audio?.muted);
    this.#needsDrawing = true;
  }

  #tell(text) {
    this.find(".message").textContent = text;
    this.find(".message").hidden = false;
  }

  #paint(theme) {
    this.section.dataset.theme = theme;
    this.theatre.paint(theme);
    this.timeline.paint(getComputedStyle(this.section), devicePixelRatio);
    this.#needsDrawing = true;
  }

  #resize() {
    const { clientWidth, clientHeight } = this.find(".picture");
    if (!clientWidth || !clientHeight) return; // not laid out yet, or hidden
    this.theatre.resize(clientWidth, clientHeight, Math.min(devicePixelRatio, 2));
    this.find(".labels").classList.toggle("rows", this.theatre.layout.rows > 1);
    this.timeline.paint(getComputedStyle(this.section), devicePixelRatio);
    this.#draw(this.clock.time());
  }

  #tick() {
    this.#frameRequest = requestAnimationFrame(() => this.#tick());
    const now = performance.now();
    const isMoving = this.theatre.update((now - this.#lastTick) / 1000);
    this.#lastTick = now;
    const time = this.clock.tick();
    const isNew = time !== this.#shown.time || this.clock.isPlaying !== this.#shown.isPlaying;
    if (isNew || isMoving || this.#needsDrawing) this.#draw(time);
  }

  #draw(time) {
    this.#needsDrawing = false;
    this.#shown = { time, isPlaying: this.clock.isPlaying };
    this.theatre.draw(time, this.#showsContacts);
    this.timeline.move(time);
    const [dance] = this.dances;
    this.find(".clock").textContent = `${minutes(time)} / ${minutes(this.clock.duration)}`;
    this.find(".frame").textContent = `frame ${dance.frameAt(time)}`;
    this.find(".beat").style.opacity = 0.15 + 0.85 * this.timeline.beatLight(time);
    if (!this.clock.isPlaying) {
      this.timeline.slider.setAttribute("aria-valuetext", `${time.toFixed(2)} seconds, frame ${dance.frameAt(time)}`);
    }
  }
}

function minutes(seconds) {
  const tenths = Math.floor(seconds * 10 + 1e-6);
  return `${Math.floor(tenths / 600)}:${((tenths % 600) / 10).toFixed(1).padStart(4, "0")}`;
}
