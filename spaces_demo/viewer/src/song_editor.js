// A whole song with the part that is danced to, and its beats: seen, heard as clicks, and corrected.
import { Metronome } from "./metronome.js";
import css from "./song_editor.css";
import markup from "./song_editor.html";

const LEAST_SECONDS = 2;
const [LEAST_BPM, MOST_BPM] = [30, 300];
const METERS = [2, 3, 4, 5, 6, 7, 8];
const LEAST_TAPS = 4;
const TAPS_END_SECONDS = 1.6; // after the last one
const CLEAR_CONFIDENCE = 0.3;
const LEAST_GAP_PIXELS = 4;

export class SongEditor {
  #listeners = new AbortController();
  #metronome = new Metronome();
  #frameRequest = 0;
  #taps = [];
  #tapsEnd = 0;
  #drag = null;

  constructor(element, heard, { theme = "light", onCorrect = () => {} } = {}) {
    this.heard = heard;
    this.onCorrect = onCorrect;
    this.part = { start: heard.start_seconds, seconds: heard.seconds };
    this.root = element.shadowRoot ?? element.attachShadow({ mode: "open" });
    this.root.innerHTML = `<style>${css}</style>${markup}`;
    this.find = (selector) => this.root.querySelector(selector);
    this.button = (action) => this.find(`[data-action="${action}"]`);
    this.find(".editor").dataset.theme = theme;
    this.audio = new Audio(heard.song.url);
    this.#metronome.isOn = true;
    this.#tell();
    this.#listen();
    this.resizing = new ResizeObserver(() => this.#paint());
    this.resizing.observe(this.find(".whole"));
  }

  state() {
    const { start, seconds } = this.part;
    const { bpm, meter, beats, downbeats } = this.heard;
    const isPlaying = !this.audio.paused;
    return { start, seconds, bpm, meter, beats, downbeats, isPlaying, numClicks: this.#metronome.numClicks };
  }

  dispose() {
    cancelAnimationFrame(this.#frameRequest);
    clearTimeout(this.#tapsEnd);
    this.#listeners.abort();
    this.resizing.disconnect();
    this.#metronome.dispose();
    this.audio.pause();
    this.audio.removeAttribute("src");
    this.root.innerHTML = "";
  }

  #tell() {
    const { heard } = this;
    const { bpm, meter, confidence, is_corrected: isCorrected, hints } = heard;
    this.find(".name b").textContent = this.find(".name b").title = heard.name;
    this.find(".name span").textContent = clock(heard.song_seconds);
    this.find(".tempo").textContent = `${Math.round(bpm)} beats a minute, ${meter} to the bar`;
    const clarity = confidence < CLEAR_CONFIDENCE ? "The beat is not clear: listen, and correct it." : "Wrong? Listen, and correct it.";
    this.find(".clarity").textContent = isCorrected ? "As you corrected it." : clarity;
    this.button("half").disabled = bpm / 2 < LEAST_BPM;
    this.button("double").disabled = bpm * 2 > MOST_BPM;
    this.button("reset").hidden = !Object.values(hints).some((hint) => hint !== null);
    this.find(".how").hidden = heard.song_seconds - heard.seconds < 1;
    for (const each of METERS) this.button("meter").add(new Option(String(each), String(each), each === meter, each === meter));
    this.#showPart();
  }

  #listen() {
    const { signal } = this.#listeners;
    this.find(".editor").addEventListener("click", (event) => {
      const action = event.target.closest("button")?.dataset.action;
      if (action) this.#act(action);
    });
    this.button("meter").addEventListener("change", ({ target }) => this.#correct({ meter: Number(target.value) }));
    this.audio.addEventListener("error", () => {
      this.button("play").disabled = true;
      this.find(".clarity").textContent = "This browser cannot play the file; it can be danced to all the same.";
    });
    for (const event of ["play", "pause"]) this.audio.addEventListener(event, () => this.#showPlaying());
    const whole = this.find(".whole");
    whole.addEventListener("pointerdown", (event) => this.#grab(event));
    addEventListener("pointermove", (event) => this.#move(event), { signal });
    addEventListener("pointerup", () => this.#release(), { signal });
    addEventListener("pointercancel", () => this.#release(), { signal });
    const part = this.find(".part");
    part.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1, ArrowDown: -1, ArrowUp: 1, PageDown: -10, PageUp: 10 }[event.key];
      if (!step) return;
      event.preventDefault();
      this.#setPart(this.part.start + step, this.part.seconds);
    });
    for (const event of ["keyup", "blur"]) part.addEventListener(event, () => this.#commitPart());
  }

  #act(action) {
    const { bpm, meter, beats, downbeats } = this.heard;
    switch (action) {
      case "play":
        return this.audio.paused ? this.#play() : this.audio.pause();
      case "tap":
        return this.#tap();
      case "half":
      case "double":
        return this.#correct({ bpm: bpm * (action === "half" ? 0.5 : 2), first_downbeat_seconds: downbeats[0] ?? null });
      case "earlier":
      case "later": {
        const first = beats.indexOf(downbeats[0] ?? beats[0]);
        const shifted = action === "later" ? first + 1 : first > 0 ? first - 1 : first + meter - 1;
        return this.#correct({ bpm: this.heard.hints.bpm, first_downbeat_seconds: beats[shifted] ?? null });
      }
      case "reset":
        return this.#correct({ bpm: null, meter: null, first_downbeat_seconds: null });
    }
  }

  // The tempo of taps, once nobody taps any more.
  #tap() {
    this.#taps.push(performance.now() / 1000);
    this.button("tap").classList.add("is-tapping");
    clearTimeout(this.#tapsEnd);
    this.#tapsEnd = setTimeout(() => {
      const taps = this.#taps;
      this.#taps = [];
      this.button("tap").classList.remove("is-tapping");
      const bpm = (60 * (taps.length - 1)) / (taps.at(-1) - taps[0]);
      if (taps.length < LEAST_TAPS) {
        this.find(".clarity").textContent = "Tap four times or more, in time with the song.";
      } else if (bpm >= LEAST_BPM && bpm <= MOST_BPM) {
        this.#correct({ bpm: Math.round(bpm * 10) / 10, first_downbeat_seconds: null });
      }
    }, 1000 * TAPS_END_SECONDS);
    if (this.#taps.length > 1) {
      const [first] = this.#taps;
      const bpm = (60 * (this.#taps.length - 1)) / (this.#taps.at(-1) - first);
      this.find(".tempo").textContent = `${Math.round(bpm)} beats a minute`;
    }
  }

  #correct(changes) {
    this.audio.pause();
    const { hints } = this.heard;
    const correction = { start_seconds: this.part.start, seconds: this.part.seconds, ...hints, ...changes };
    const { first_downbeat_seconds: downbeat, start_seconds: start, seconds } = correction;
    // A beat outside of the part says nothing about it.
    if (downbeat !== null && (downbeat < start || downbeat > start + seconds)) correction.first_downbeat_seconds = null;
    this.onCorrect(correction);
  }

  #play() {
    const { start, seconds } = this.part;
    this.#metronome.wake();
    this.audio.currentTime = start;
    this.audio.play();
    const beats = { beats: this.heard.beats, downbeats: new Set(this.heard.downbeats) };
    const tick = () => {
      const time = this.audio.currentTime;
      if (this.audio.paused) return;
      if (time >= start + seconds) {
        this.audio.pause();
        return;
      }
      this.#metronome.follow(time, 1, beats);
      this.find(".playhead").style.left = `${(100 * (time - start)) / seconds}%`;
      this.#frameRequest = requestAnimationFrame(tick);
    };
    this.#frameRequest = requestAnimationFrame(tick);
  }

  #showPlaying() {
    const isPlaying = !this.audio.paused;
    this.button("play").classList.toggle("is-on", isPlaying);
    this.find(".playhead").classList.toggle("is-on", isPlaying);
  }

  #secondsAt(event) {
    const { left, width } = this.find(".whole").getBoundingClientRect();
    return ((event.clientX - left) / width) * this.heard.song_seconds;
  }

  #grab(event) {
    if (event.button > 0) return;
    const time = this.#secondsAt(event);
    const { start, seconds } = this.part;
    const edge = event.target.dataset?.edge;
    if (!edge && event.target !== this.find(".part")) this.#setPart(time - seconds / 2, seconds);
    this.#drag = { edge, from: time, start: this.part.start, seconds };
    this.find(".part").focus({ preventScroll: true });
  }

  #move(event) {
    if (!this.#drag) return;
    const { edge, from, start, seconds } = this.#drag;
    const moved = this.#secondsAt(event) - from;
    const end = start + seconds;
    if (edge === "start") {
      const begin = Math.max(0, Math.min(start + moved, end - LEAST_SECONDS), end - this.heard.max_seconds);
      this.#setPart(begin, end - begin);
    } else if (edge === "end") this.#setPart(start, seconds + moved);
    else this.#setPart(start + moved, seconds);
  }

  #release() {
    if (!this.#drag) return;
    this.#drag = null;
    this.#commitPart();
  }

  #setPart(start, seconds) {
    const { song_seconds: whole, max_seconds: most } = this.heard;
    const begin = Math.round(Math.max(0, Math.min(start, whole - Math.min(LEAST_SECONDS, whole))) * 10) / 10;
    const length = Math.max(LEAST_SECONDS, Math.min(seconds, most, this.#drag?.edge ? whole - begin : most));
    this.part = { start: Math.max(0, Math.min(begin, whole - Math.min(length, whole))), seconds: Math.min(length, whole) };
    this.#showPart();
  }

  #commitPart() {
    const { start, seconds } = this.part;
    const isNew = Math.abs(start - this.heard.start_seconds) > 0.05 || Math.abs(seconds - this.heard.seconds) > 0.5;
    if (isNew && !this.#drag) this.#correct({ seconds: Math.round(seconds) });
  }

  #showPart() {
    const { start, seconds } = this.part;
    const whole = this.heard.song_seconds;
    const part = this.find(".part");
    part.style.left = `${(100 * start) / whole}%`;
    part.style.width = `${(100 * Math.min(seconds, whole - start)) / whole}%`;
    part.setAttribute("aria-valuemin", "0");
    part.setAttribute("aria-valuemax", String(Math.round(whole - seconds)));
    part.setAttribute("aria-valuenow", String(Math.round(start)));
    part.setAttribute("aria-valuetext", `from ${clock(start)} to ${clock(start + seconds)}`);
    this.#paint();
  }

  #paint() {
    const style = getComputedStyle(this.find(".editor"));
    const { outline, song_seconds: whole, start_seconds: start, seconds, beats, downbeats } = this.heard;
    const step = whole / outline.length;
    const isInPart = (time) => time >= this.part.start && time < this.part.start + this.part.seconds;
    paintLevels(this.find(".whole canvas"), outline, (index) =>
      style.getPropertyValue(isInPart((index + 0.5) * step) ? "--accent" : "--faint"),
    );
    const canvas = this.find(".detail canvas");
    const brush = prepared(canvas);
    if (!brush) return;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    const isDownbeat = new Set(downbeats);
    const hasRoom = width / Math.max(1, beats.length) >= LEAST_GAP_PIXELS;
    for (const beat of beats) {
      if (!hasRoom && !isDownbeat.has(beat)) continue;
      const tall = isDownbeat.has(beat) ? height - 4 : (height - 4) / 2;
      brush.fillStyle = style.getPropertyValue(isDownbeat.has(beat) ? "--accent" : "--muted");
      brush.fillRect(((beat - start) / seconds) * width, height - tall, isDownbeat.has(beat) ? 2 : 1, tall);
    }
  }
}

function prepared(canvas) {
  const { clientWidth, clientHeight } = canvas;
  if (!clientWidth || !clientHeight) return null;
  canvas.width = Math.round(clientWidth * devicePixelRatio);
  canvas.height = Math.round(clientHeight * devicePixelRatio);
  const brush = canvas.getContext("2d");
  brush.scale(devicePixelRatio, devicePixelRatio);
  return brush;
}

// Levels from 0 to 100 as bars around the middle, as many as there is room for.
function paintLevels(canvas, levels, colourOf) {
  const brush = prepared(canvas);
  if (!brush) return;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  const count = Math.min(levels.length, Math.floor(width / 3));
  for (let bar = 0; bar < count; bar++) {
    const [from, to] = [bar, bar + 1].map((each) => Math.floor((each / count) * levels.length));
    const level = Math.max(...levels.slice(from, Math.max(to, from + 1)));
    const tall = Math.max(2, (level / 100) * (height - 8));
    brush.fillStyle = colourOf(from);
    brush.fillRect((bar / count) * width, (height - tall) / 2, 2, tall);
  }
}

function clock(seconds) {
  const whole = Math.round(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}
