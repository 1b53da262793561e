/** A transcript as things to point at: words with their times, and where they are found. Pure. */

import type { Segment, Timeline } from "../api/types";
import { MOMENTARY_S, readingAt } from "../charts/readings";

/** A word, or a whole segment where words have no times of their own. */
export interface Spoken {
  /** Its number among all, from 0. */
  index: number;
  /** The segment's number in the transcript, from 0: not its id. */
  segment: number;
  start: number;
  end: number;
  /** The space before it, which some languages do without. */
  lead: string;
  text: string;
}

/** Return all that is spoken, in order. */
export function spokenOf(segments: readonly Segment[]): Spoken[] {
  const spoken: Spoken[] = [];
  segments.forEach((segment, number) => {
    const words = segment.words?.length
      ? segment.words
      : [{ start: segment.start, end: segment.end, word: segment.text }];
    let read = 0;
    for (const { start, end, word } of words) {
      const text = word.trim();
      if (!text) continue;
      // Some models give words their space, some do not: the segment's text has it in any case.
      const found = segment.text.indexOf(text, read);
      const before = found < 0 ? word : segment.text.slice(read, found + 1);
      const lead = spoken.at(-1)?.segment === number && /^\s/u.test(before) ? " " : "";
      if (found >= 0) read = found + text.length;
      spoken.push({ index: spoken.length, segment: number, start, end, lead, text });
    }
  });
  return spoken;
}

/** Return what is spoken at a time, or was last; null before anything is. */
export function spokenAt(spoken: readonly Spoken[], time: number): Spoken | null {
  let [low, high] = [0, spoken.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((spoken[middle]?.start ?? 0) <= time + 1e-6) low = middle + 1;
    else high = middle;
  }
  return spoken[low - 1] ?? null;
}

/** Whether it is spoken just now. */
export function isHeard({ start, end }: Spoken, time: number): boolean {
  return time >= start - 1e-6 && time < end;
}

/** Return the momentary loudness in the middle of a word, in LUFS. */
export function loudnessOf({ start, end }: Spoken, timeline: Timeline | null): number | null {
  if (!timeline) return null;
  return readingAt(timeline.momentary, timeline.step_s, MOMENTARY_S, (start + end) / 2);
}

/** A place that a search has found: from the first word to the last, both included. */
export interface Match {
  first: number;
  last: number;
}

/** Find what somebody looks for, also across words; case, accents and punctuation do not matter. */
export function matchesOf(spoken: readonly Spoken[], query: string): Match[] {
  const wanted = plain(query);
  if (!wanted) return [];
  const matches: Match[] = [];
  for (const words of bySegment(spoken)) {
    const [text, owners] = joined(words);
    for (let at = text.indexOf(wanted); at >= 0; at = text.indexOf(wanted, at + wanted.length)) {
      const first = owners[at];
      const last = owners[at + wanted.length - 1];
      if (first !== undefined && last !== undefined) matches.push({ first, last });
    }
  }
  return matches;
}

/** Join what is spoken into text, with the word that each character belongs to. */
function joined(words: readonly Spoken[]): [string, number[]] {
  let text = "";
  const owners: number[] = [];
  for (const word of words) {
    const part = plain(word.text);
    if (!part) continue;
    const added = `${text && word.lead}${part}`;
    text += added;
    for (let k = 0; k < added.length; k += 1) owners.push(word.index);
  }
  return [text, owners];
}

/** Return words by their segment, in order. */
export function bySegment(spoken: readonly Spoken[]): Spoken[][] {
  const groups: Spoken[][] = [];
  for (const word of spoken) {
    const group = groups.at(-1);
    if (group?.[0]?.segment === word.segment) group.push(word);
    else groups.push([word]);
  }
  return groups;
}

function plain(text: string): string {
  return text
    .normalize("NFKD")
    .toLowerCase()
    .replace(/\p{M}/gu, "")
    .replace(/[^\p{L}\p{N}]+/gu, " ")
    .trim();
}
