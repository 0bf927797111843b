// The viewer: `mount(element, dances, audioUrl, options)` fills an element with a player of one dance or two.
import { Clock } from "./clock.js";
import { Dance } from "./dance.js";
import markup from "./markup.html";
import { Metronome } from "./metronome.js";
import { SongEditor } from "./song_editor.js";
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
  e: "countIn",
  f: "follow",
  g: "together",
  i: "loopFrom",
  l: "loop",
  m: "mute",
  n: "counts",
  o: "loopTo",
  p: "practice",
  r: "reset",
  t: "clicks",
  v: "front",
  x: "mirror",
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
 * @param {boolean} [options.together] Two dancers share one floor at first.
 * @returns {{play, pause, seek, state, dispose}} Handle; `state()` tells what is shown at this moment.
 */
export function mount(element, dances, audioUrl, options = {}) {
  if (!Array.isArray(dances) || dances.length < 1 || dances.length > MAX_DANCES) {
    throw new Error(`The viewer shows one dance or ${MAX_DANCES}, got ${dances?.length ?? typeof dances}.`);
  }
  mounted.get(element)?.dispose();
  const viewer = new Viewer(element, dances.map((packed) => new Dance(packed)), audioUrl, options);
  const handle = {
    play: () => viewer.play(),
    pause: () => viewer.pause(),
    seek: (seconds) => viewer.clock.seek(seconds),
    state: () => viewer.state(),
    dispose: () => viewer.dispose(),
  };
  mounted.set(element, handle);
  return handle;
}

/**
 * Show a whole song with the part that is danced to and its beats, which can be corrected.
 *
 * @param {HTMLElement} element Where to show it.
 * @param {object} heard As `song_editor_value` of spaces_demo/components.py gives it.
 * @param {object} [options]
 * @param {"dark"|"light"} [options.theme]
 * @param {(correction: object) => void} [options.onCorrect] Told what is to be heard instead.
 * @returns {{state, dispose}} Handle.
 */
export function editSong(element, heard, options = {}) {
  mounted.get(element)?.dispose();
  const editor = new SongEditor(element, heard, options);
  mounted.set(element, editor);
  return editor;
}

class Viewer {
  #showsContacts = true;
  #showsCounts = false;
  #countsIn = false;
  #counting = null; // while a bar is counted before the start: { began, seconds, told }
  #bars = null; // [first, last], counted from 0, that are played again and again
  #metronome = new Metronome();
  #lastTick = performance.now();
  #shown = { time: -1, isPlaying: null };
  #needsDrawing = true;
  #frameRequest = 0;
  #listeners = new AbortController(); // ends those on objects that outlive the viewer

  constructor(element, dances, audioUrl, { fillsPage = false, theme, together = false } = {}) {
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
    this.theatre.isTogether = together;
    this.#listen(fillsPage ? window : this.section, theme);
    this.#press("together", this.theatre.isTogether);
    this.theatre.resetView();
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
      isCounting: this.#counting !== null,
      range: this.clock.range,
      numClicks: this.#metronome.numClicks,
      keepsPitch: this.audio?.preservesPitch ?? null,
      cameraYaw: this.theatre.cameraYaw,
      audioTime: this.audio?.currentTime ?? null,
      rootPositions: this.theatre.stages.map((stage) => stage.figure.jointPosition(0).toArray()),
    };
  }

  // Start; where a bar is counted in, at the beginning of a bar and after one bar.
  play() {
    if (!this.#countsIn || !this.timeline.beats.length) return this.clock.play();
    const { clock, timeline } = this;
    const [start, end] = clock.range ?? [0, clock.duration];
    const time = clock.time() >= end - 1e-3 ? start : Math.max(clock.time(), start);
    clock.seek(timeline.bars[timeline.barAt(time)] ?? time);
    this.#counting = { began: performance.now(), seconds: timeline.beatSeconds(time) / clock.rate, told: 0 };
    return this.#showPlaying();
  }

  pause() {
    this.#counting = null;
    this.clock.pause();
  }

  dispose() {
    cancelAnimationFrame(this.#frameRequest);
    this.#listeners.abort();
    this.resizing?.disconnect();
    this.clock.isPlaying = false;
    this.#metronome.dispose();
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
    this.button("together").hidden = this.dances.length < 2;
    const { beats, bars } = this.timeline;
    for (const element of [this.find(".beat"), ...["counts", "countIn", "clicks"].map((name) => this.button(name))]) {
      element.hidden = !beats.length;
    }
    for (const label of this.root.querySelectorAll(".bars")) label.hidden = bars.length < 2;
    for (const name of ["first", "last"]) {
      this.button(name).add(new Option(name === "first" ? "all" : "–", ""));
      bars.forEach((_, bar) => this.button(name).add(new Option(String(bar + 1), String(bar))));
    }
    for (const speed of SPEEDS) this.button("speed").add(new Option(`${speed}×`, speed, speed === 1, speed === 1));
  }

  #listen(keyTarget, theme) {
    const { signal } = this.#listeners;
    for (const bar of this.root.querySelectorAll(".bar")) {
      bar.addEventListener("click", (event) => {
        const action = event.target.closest("button")?.dataset.action;
        if (action) this.#act(action);
      });
    }
    for (const name of ["first", "last"]) {
      this.button(name).addEventListener("change", ({ target }) => {
        const bar = target.value === "" ? null : Number(target.value);
        this.#loopBars(name === "first" ? bar : undefined, name === "last" ? bar : undefined);
      });
    }
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
        return clock.isPlaying || this.#counting ? this.pause() : this.play();
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
      case "front":
        return theatre.frontView(clock.time());
      case "together":
        theatre.isTogether = !theatre.isTogether;
        theatre.resetView();
        this.#resize();
        return this.#press("together", theatre.isTogether);
      case "mirror":
        theatre.isMirrored = !theatre.isMirrored;
        return this.#press("mirror", theatre.isMirrored);
      case "counts":
        this.#showsCounts = !this.#showsCounts;
        return this.#press("counts", this.#showsCounts);
      case "countIn":
        this.#countsIn = !this.#countsIn;
        this.#metronome.wake();
        return this.#press("countIn", this.#countsIn);
      case "clicks":
        this.#metronome.isOn = !this.#metronome.isOn;
        this.#metronome.wake();
        return this.#press("clicks", this.#metronome.isOn);
      case "loopFrom":
        return this.#loopBars(Math.max(0, this.timeline.barAt(clock.time())));
      case "loopTo":
        return this.#loopBars(undefined, Math.max(0, this.timeline.barAt(clock.time())));
      case "practice": {
        const practice = this.find(".practice");
        practice.hidden = !practice.hidden;
        return this.button("practice").setAttribute("aria-expanded", String(!practice.hidden));
      }
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

  // Play bars again and again, counted from 0; what is not given stays, `null` ends it.
  #loopBars(first = this.#bars?.[0] ?? 0, last = Math.max(first, this.#bars?.[1] ?? this.timeline.bars.length - 1)) {
    if (!this.timeline.bars.length) return;
    this.#bars = first === null || last === null ? null : [Math.min(first, last), last];
    const span = this.#bars && this.timeline.spanOfBars(...this.#bars);
    this.clock.range = span;
    this.clock.isLooping = span !== null;
    this.timeline.markLoop(span);
    this.#press("loop", this.clock.isLooping);
    this.button("first").value = String(this.#bars?.[0] ?? "");
    this.button("last").value = String(this.#bars?.[1] ?? "");
    if (span && (this.clock.time() < span[0] || this.clock.time() >= span[1])) this.clock.seek(span[0]);
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
    const isPlaying = this.clock.isPlaying || this.#counting !== null;
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
    if (this.#counting) this.#countIn(now);
    const time = this.clock.tick();
    if (this.clock.isPlaying) this.#metronome.follow(time, this.clock.rate, this.timeline);
    const isNew = time !== this.#shown.time || this.clock.isPlaying !== this.#shown.isPlaying;
    if (isNew || isMoving || this.#needsDrawing) this.#draw(time);
  }

  // Tell the beats of a bar, then start.
  #countIn(now) {
    const { began, seconds, told } = this.#counting;
    const beat = Math.floor((now - began) / 1000 / seconds) + 1;
    if (beat > this.timeline.meter) {
      this.#counting = null;
      this.clock.play();
    } else if (beat > told) {
      this.#counting.told = beat;
      this.#metronome.click(0, beat === 1);
    } else {
      return;
    }
    this.#needsDrawing = true;
  }

  #draw(time) {
    this.#needsDrawing = false;
    const count = this.#counting ? this.#counting.told : this.#showsCounts ? this.timeline.countAt(time) : 0;
    this.find(".count").hidden = !count;
    this.find(".count").textContent = count;
    this.find(".count").classList.toggle("is-first", count === 1);
    this.find(".count").classList.toggle("is-ahead", this.#counting !== null);
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
