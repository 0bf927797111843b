// The beat as clicks, placed by the clock of the sound card.

const AHEAD_SECONDS = 0.12; // how early a click is placed: drawing is less regular than sound
const CLICK_SECONDS = 0.05;

export class Metronome {
  #context;
  #placedUntil = -1; // beats up to this time have their click
  isOn = false;
  numClicks = 0;

  // Browsers let only what a person does begin to sound.
  wake() {
    this.#context ??= new AudioContext();
    this.#context.resume();
  }

  // Place the clicks that come next, of a song that is at `time` and plays at `rate`.
  follow(time, rate, { beats, downbeats }) {
    if (!this.isOn) return;
    const horizon = time + AHEAD_SECONDS * rate;
    if (this.#placedUntil < time - 0.05 || this.#placedUntil > horizon + 0.05) this.#placedUntil = time - 1e-3; // moved
    for (const beat of beats) {
      if (beat > this.#placedUntil && beat <= horizon) this.click((beat - time) / rate, downbeats.has(beat));
    }
    this.#placedUntil = horizon;
  }

  // Click in so many seconds, higher and louder on the first beat of a bar.
  click(delay, isFirst) {
    this.numClicks += 1;
    this.#context ??= new AudioContext();
    const { currentTime, destination } = this.#context;
    const start = currentTime + Math.max(0, delay);
    const tone = new OscillatorNode(this.#context, { frequency: isFirst ? 1760 : 1175 });
    const gain = new GainNode(this.#context, { gain: isFirst ? 0.5 : 0.3 });
    gain.gain.setValueAtTime(isFirst ? 0.5 : 0.3, start);
    gain.gain.exponentialRampToValueAtTime(1e-3, start + CLICK_SECONDS);
    tone.connect(gain).connect(destination);
    tone.start(start);
    tone.stop(start + CLICK_SECONDS);
  }

  dispose() {
    this.#context?.close();
    this.#context = undefined;
  }
}
