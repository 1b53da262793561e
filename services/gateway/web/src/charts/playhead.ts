/**
 * Where in the audio we are: one time for the chart, the words and the sound.
 *
 * A pointer over the chart shows another time than the one that is heard, as long as it is there.
 */

import { useEffect, useState } from "preact/hooks";

type Listener = () => void;

/** What it needs of an `<audio>`. */
export type Sound = Pick<
  HTMLMediaElement,
  "currentTime" | "paused" | "play" | "pause" | "addEventListener" | "removeEventListener"
>;

export class Playhead {
  #sound: Sound | null = null;
  #time = 0;
  #pointed: number | null = null;
  #frame = 0;
  readonly #listeners = new Set<Listener>();

  /** `end` is the last instant, in seconds. */
  constructor(readonly end: number) {}

  /** Where the sound is, or was left. */
  get time(): number {
    return this.#time;
  }

  /** What is looked at: where the pointer is, else where the sound is. */
  get shown(): number {
    return this.#pointed ?? this.#time;
  }

  get isPointed(): boolean {
    return this.#pointed !== null;
  }

  get isPlaying(): boolean {
    return this.#sound !== null && !this.#sound.paused;
  }

  get canPlay(): boolean {
    return this.#sound !== null;
  }

  /** Follow a sound; returns how to let go of it. */
  attach(sound: Sound): () => void {
    const events = ["play", "pause", "seeked", "ended"];
    const heard = () => this.#follow();
    this.#sound = sound;
    for (const event of events) sound.addEventListener(event, heard);
    this.#tell();
    return () => {
      for (const event of events) sound.removeEventListener(event, heard);
      sound.pause();
      cancelAnimationFrame(this.#frame);
      this.#sound = null;
      this.#tell();
    };
  }

  /** Go to a time; the sound goes with us. */
  seek(time: number): void {
    this.#time = Math.min(Math.max(0, time), this.end);
    if (this.#sound) this.#sound.currentTime = this.#time;
    this.#tell();
  }

  /** Look at a time without going there; null looks back at the sound. */
  point(time: number | null): void {
    this.#pointed = time;
    this.#tell();
  }

  /** Go to a time and hear it from there, where there is something to be heard. */
  playFrom(time: number): void {
    this.seek(time);
    // A browser that may not play yet says so by a rejection: we stay paused.
    this.#sound?.play().catch(() => undefined);
  }

  toggle(): void {
    if (!this.#sound) return;
    if (!this.#sound.paused) this.#sound.pause();
    else this.playFrom(this.#time >= this.end - 0.05 ? 0 : this.#time);
  }

  listen(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #follow(): void {
    cancelAnimationFrame(this.#frame);
    if (!this.#sound) return;
    this.#time = Math.min(this.#sound.currentTime, this.end);
    this.#tell();
    if (!this.#sound.paused) this.#frame = requestAnimationFrame(() => this.#follow());
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }
}

/** Render again whenever what is selected of a playhead has changed, and only then. */
export function usePlayhead<T>(playhead: Playhead, select: (playhead: Playhead) => T): T {
  const [selected, setSelected] = useState(() => select(playhead));
  useEffect(() => {
    const look = () => setSelected(() => select(playhead));
    look();
    return playhead.listen(look);
  }, [playhead, select]);
  return selected;
}
