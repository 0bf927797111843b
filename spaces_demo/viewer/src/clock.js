// The one clock of a page: the song's own time while it sounds, the browser's clock where there is no song.

const LONGEST_GUESS_SECONDS = 0.05; // how far to count on between two values of a coarse `currentTime`

export class Clock extends EventTarget {
  #audio;
  #position = 0; // seconds, at `#anchor`
  #anchor = 0; // milliseconds of performance.now()
  #lastAudioTime = 0;
  #audioMoves = false; // `currentTime` has changed since the song was started or moved
  #rate = 1;
  isPlaying = false;
  isLooping = false;
  range = null; // [start, end] of what is played, in seconds; all of it if null

  constructor(audio, duration) {
    super();
    this.#audio = audio;
    this.duration = duration;
    if (audio) audio.preservesPitch = true; // slow music is not low music
    audio?.addEventListener("pause", () => {
      // Paused by a media key or by the system, not by us and not because it ended.
      if (this.isPlaying && !audio.ended && this.#position < this.#audioDuration) this.pause();
    });
    audio?.addEventListener("play", () => this.isPlaying || this.play());
    audio?.addEventListener("error", () => {
      this.#audio = null;
      this.#moveTo(this.#position);
    });
  }

  get rate() {
    return this.#rate;
  }

  set rate(rate) {
    this.#moveTo(this.time());
    this.#rate = rate;
    if (this.#audio) this.#audio.playbackRate = rate;
  }

  get #span() {
    return this.range ?? [0, this.duration];
  }

  get #audioDuration() {
    if (!this.#audio) return 0;
    return Number.isNaN(this.#audio.duration) ? Infinity : this.#audio.duration;
  }

  // Seconds of the dance that are heard now.
  time(now = performance.now()) {
    if (!this.isPlaying) return this.#position;
    const elapsed = ((now - this.#anchor) / 1000) * this.#rate;
    if (!this.#audio || this.#audio.paused || this.#audio.ended) return this.#position + elapsed;
    const audioTime = this.#audio.currentTime;
    if (audioTime !== this.#lastAudioTime) {
      this.#lastAudioTime = audioTime;
      this.#audioMoves = true;
      this.#position = audioTime;
      this.#anchor = now;
      return audioTime;
    }
    const isStalled = !this.#audioMoves || this.#audio.seeking || this.#audio.readyState < 3;
    return this.#position + (isStalled ? 0 : Math.min(elapsed, LONGEST_GUESS_SECONDS));
  }

  // Read the time, and stop or begin again at the end.
  tick() {
    const time = this.time();
    const [start, end] = this.#span;
    if (!this.isPlaying || time < end) return time;
    if (this.isLooping) {
      this.seek(start);
      return start;
    }
    this.pause();
    this.#moveTo(end);
    return end;
  }

  play() {
    const [start, end] = this.#span;
    if (this.#position < start - 1e-3 || this.#position >= end - 1e-3) this.#moveTo(start);
    this.isPlaying = true;
    this.seek(this.#position);
    this.dispatchEvent(new Event("change"));
  }

  pause() {
    const time = this.time();
    this.isPlaying = false;
    this.#audio?.pause();
    this.#moveTo(time);
    this.dispatchEvent(new Event("change"));
  }

  seek(seconds) {
    const time = Math.max(0, Math.min(seconds, this.duration));
    this.#moveTo(time);
    if (!this.#audio) return;
    if (time >= this.#audioDuration) {
      this.#audio.pause(); // the dance goes on without the song
      return;
    }
    if (Math.abs(this.#audio.currentTime - time) > 1e-4) this.#audio.currentTime = time;
    this.#lastAudioTime = this.#audio.currentTime;
    if (this.isPlaying && this.#audio.paused) {
      this.#audio.play().catch((error) => {
        if (error.name === "NotAllowedError") this.pause(); // no gesture yet; other failures raise `error`
      });
    }
  }

  #moveTo(time) {
    this.#position = time;
    this.#anchor = performance.now();
    this.#audioMoves = false;
  }
}
