// The timeline: beats as ticks, downbeats taller, one lane a foot that shows when it touches, and the place in time.

const LANE_PIXELS = 3;
const DANCE_GAP_PIXELS = 3;
const TRACK_TOP = 17;
const LEAST_GAP_PIXELS = 4; // beats that lie closer are not drawn, bars remain

export class Timeline {
  constructor(element, dances, duration) {
    this.canvas = element.querySelector("canvas");
    this.played = element.querySelector(".played");
    this.playhead = element.querySelector(".playhead");
    this.slider = element.querySelector("input");
    this.dances = dances;
    this.duration = duration;
    const withBeats = dances.find((dance) => dance.beats.length);
    this.beats = withBeats?.beats.filter((beat) => beat >= 0 && beat <= duration) ?? [];
    this.downbeats = withBeats?.downbeats ?? new Set();
    this.bars = this.beats.filter((beat) => this.downbeats.has(beat));
    this.loop = element.querySelector(".loop");
    this.slider.max = duration;
    this.slider.step = 1 / dances[0].frameRate;
    const numWithLanes = dances.filter((dance) => dance.contacts).length;
    this.height = TRACK_TOP + 12 + numWithLanes * (2 * (LANE_PIXELS + 1) + DANCE_GAP_PIXELS);
    element.style.height = `${this.height}px`;
  }

  // The last beat at or before `time`, or the next one after it, by `step` -1 or 1; undefined if there is none.
  beatFrom(time, step) {
    const tolerance = 0.02;
    if (step > 0) return this.beats.find((beat) => beat > time + tolerance);
    return this.beats.findLast((beat) => beat < time - tolerance);
  }

  // The bar, counted from 0, at `time`; -1 before the first.
  barAt(time) {
    return this.bars.findLastIndex((bar) => bar <= time + 0.02);
  }

  // Start and end of the bars `first` to `last`, both included, in seconds.
  spanOfBars(first, last) {
    return [this.bars[first], this.bars[last + 1] ?? this.duration];
  }

  // Show which part is played again and again; none if null.
  markLoop(span) {
    this.loop.hidden = !span;
    if (!span) return;
    this.loop.style.left = `${(100 * span[0]) / this.duration}%`;
    this.loop.style.width = `${(100 * (span[1] - span[0])) / this.duration}%`;
  }

  // What a dancer counts at `time`, from 1 on; 0 where nothing is counted.
  countAt(time) {
    const beat = this.beats.findLastIndex((each) => each <= time + 0.02);
    if (beat < 0) return 0;
    const bar = this.bars.findLast((each) => each <= this.beats[beat]);
    if (bar !== undefined) return beat - this.beats.indexOf(bar) + 1;
    const meter = this.meter;
    const upbeats = this.beats.indexOf(this.bars[0] ?? this.beats[0]);
    return meter - ((upbeats - beat - 1) % meter);
  }

  get meter() {
    const [first, second] = this.bars.map((bar) => this.beats.indexOf(bar));
    return second - first || 4;
  }

  // Seconds from one beat to the next around `time`.
  beatSeconds(time) {
    const after = Math.max(1, Math.min(this.beats.findIndex((beat) => beat > time), this.beats.length - 1));
    return this.beats.length > 1 ? this.beats[after] - this.beats[after - 1] : 0.5;
  }

  // How bright a light that flashes on the beat is, 0 to 1.
  beatLight(time) {
    const last = this.beats.findLast((beat) => beat <= time);
    return last === undefined ? 0 : Math.exp(-(time - last) / 0.12);
  }

  move(time) {
    this.slider.value = time;
    this.played.style.transform = `scaleX(${time / this.duration})`;
    this.playhead.style.setProperty("--share", time / this.duration);
  }

  // Paint what does not move.
  paint(style, pixelRatio) {
    const width = this.canvas.clientWidth;
    this.canvas.width = Math.round(width * pixelRatio);
    this.canvas.height = Math.round(this.height * pixelRatio);
    const brush = this.canvas.getContext("2d");
    brush.scale(pixelRatio, pixelRatio);
    const at = (seconds) => (seconds / this.duration) * width;
    const gap = this.beats.length > 1 ? width / this.beats.length : Infinity;
    for (const beat of this.beats) {
      const isDownbeat = this.downbeats.has(beat);
      if (!isDownbeat && gap < LEAST_GAP_PIXELS) continue;
      brush.fillStyle = style.getPropertyValue(isDownbeat ? "--text" : "--faint");
      const tall = isDownbeat ? 10 : 6;
      brush.fillRect(Math.round(at(beat)) - 0.5, TRACK_TOP - 4 - tall, isDownbeat ? 1.5 : 1, tall);
    }
    let top = TRACK_TOP + 10;
    for (const dance of this.dances.filter((dance) => dance.contacts)) {
      for (const [bits, colour] of [
        [0b0101, "--left"],
        [0b1010, "--right"],
      ]) {
        brush.fillStyle = style.getPropertyValue(colour);
        for (const [start, end] of touches(dance.contacts, bits)) {
          const left = at(start / dance.frameRate);
          brush.fillRect(left, top, Math.max(at(end / dance.frameRate) - left, 0.5), LANE_PIXELS);
        }
        top += LANE_PIXELS + 1;
      }
      top += DANCE_GAP_PIXELS;
    }
  }
}

// Runs of frames `[start, end)` in which one of `bits` is set.
function touches(contacts, bits) {
  const runs = [];
  let start = -1;
  for (let frame = 0; frame <= contacts.length; frame++) {
    const isTouching = frame < contacts.length && (contacts[frame] & bits) !== 0;
    if (isTouching && start < 0) start = frame;
    if (!isTouching && start >= 0) {
      runs.push([start, frame]);
      start = -1;
    }
  }
  return runs;
}
