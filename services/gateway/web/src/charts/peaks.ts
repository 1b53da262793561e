/** A waveform: the least and the greatest sample of each step. No audio API: samples in. */

import { clamp, type View } from "./view";

export interface Peaks {
  stepS: number;
  low: Float32Array;
  high: Float32Array;
}

export interface Column {
  low: number;
  high: number;
}

const MIN_STEP_S = 0.005;
const MAX_STEPS = 65_536;
/** Half a second of stereo at 48 kHz: some milliseconds of work, then others have their turn. */
const SLICE = 48_000;

/** Return how far apart the steps of a waveform are, for audio of this length. */
function stepOf(durationS: number): number {
  return Math.max(MIN_STEP_S, durationS / MAX_STEPS);
}

/**
 * Find the peaks of all channels together.
 *
 * `breathe` is awaited after each slice of work, so that a page stays quick to answer.
 */
export async function peaksOf(
  channels: readonly Float32Array[],
  rate: number,
  breathe: () => Promise<void>,
): Promise<Peaks> {
  const frames = channels[0]?.length ?? 0;
  const stepS = stepOf(frames / rate);
  const steps = Math.ceil(frames / rate / stepS);
  const low = new Float32Array(steps);
  const high = new Float32Array(steps);
  let since = 0;
  for (let step = 0; step < steps; step += 1) {
    const begin = Math.round(step * stepS * rate);
    const end = Math.min(frames, Math.round((step + 1) * stepS * rate));
    for (const channel of channels) {
      widen(channel, begin, end, step, low, high);
    }
    since += end - begin;
    if (since >= SLICE) {
      since = 0;
      await breathe();
    }
  }
  return { stepS, low, high };
}

/** Return what each of so many columns of a view has to show. */
export function columnsOf(peaks: Peaks, view: View, columns: number): Column[] {
  const span = (view.end - view.start) / Math.max(1, columns);
  return Array.from({ length: columns }, (_, column) => {
    const begin = Math.floor((view.start + column * span) / peaks.stepS);
    const end = Math.ceil((view.start + (column + 1) * span) / peaks.stepS);
    let low = 0;
    let high = 0;
    for (let step = Math.max(0, begin); step < Math.max(end, begin + 1); step += 1) {
      low = Math.min(low, peaks.low[step] ?? 0);
      high = Math.max(high, peaks.high[step] ?? 0);
    }
    return { low, high };
  });
}

/**
 * Return at which rate to decode, in Hz, so that the samples take some 160 MB at most.
 *
 * Null: it is too long to be drawn.
 */
export function decodeRate(durationS: number, channels: number, rate: number): number | null {
  const affordable = Math.floor(40e6 / Math.max(1, durationS * channels));
  return affordable < 8000 ? null : clamp(Math.min(rate, affordable), 8000, 96_000);
}

function widen(
  channel: Float32Array,
  begin: number,
  end: number,
  step: number,
  low: Float32Array,
  high: Float32Array,
): void {
  let least = low[step] ?? 0;
  let most = high[step] ?? 0;
  for (let frame = begin; frame < end; frame += 1) {
    const sample = channel[frame] ?? 0;
    if (sample < least) {
      least = sample;
    } else if (sample > most) {
      most = sample;
    }
  }
  low[step] = least;
  high[step] = most;
}
