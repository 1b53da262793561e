/** What is asked for with every file; chosen once, it stays as it was in this browser. */

import { signal } from "@preact/signals";

import type { Wishes } from "../api/upload";

const KEPT_AS = "decibus-wishes";
const USUAL: Wishes = { tasks: "loudness,transcribe", genre: "", target: "", language: "", retention: "ttl" };

export const wishes = signal<Wishes>(kept());

export function wish(change: Partial<Wishes>): void {
  wishes.value = { ...wishes.value, ...change };
  localStorage.setItem(KEPT_AS, JSON.stringify(wishes.value));
}

function kept(): Wishes {
  try {
    return { ...USUAL, ...(JSON.parse(localStorage.getItem(KEPT_AS) ?? "{}") as Partial<Wishes>) };
  } catch {
    return USUAL;
  }
}

/** The languages that Whisper hears. Those of a model may be fewer: then it says so. */
const CODES =
  "en de fr es it pt nl pl ru uk zh ja ko ar hi tr sv da no fi cs sk hu ro bg el he hr sr sl et lv lt " +
  "af am as az ba be bn bo br bs ca cy eu fa fo gl gu ha haw hy id is jv ka kk km kn la lb ln lo mg mi " +
  "mk ml mn mr ms mt my ne nn oc pa ps sa sd si sn so sq su sw ta te tg th tk tl tt ur uz vi yi yo yue";

const NAMES = new Intl.DisplayNames("en", { type: "language" });

/** The English name of a language, by its code. */
export function languageName(code: string): string {
  return NAMES.of(code) ?? code;
}

/** Codes with their names, in the order of those. */
export function languages(): [code: string, name: string][] {
  return CODES.split(" ")
    .map((code): [string, string] => [code, languageName(code)])
    .sort(([, a], [, b]) => a.localeCompare(b));
}
