/** What files are called that are saved from a report. Pure. */

import type { Report } from "../api/types";
import type { Picture } from "../charts/picture";

const LONGEST = 80;

/** Return a file name without its ending, of which no file system minds anything. */
export function baseOf(filename: string | null): string {
  const bare = (filename ?? "").split(/[/\\]/u).at(-1) ?? "";
  const kept = bare
    .replace(/\.[^.]{1,5}$/u, "")
    .replace(/[\p{C}<>:"|?*%]/gu, "_")
    .replace(/^[.\s]+|[.\s]+$/gu, "");
  return [...kept].slice(0, LONGEST).join("") || "report";
}

/** Return the name of one of a report's files: "take 4 - loudness.csv". */
export function fileName(filename: string | null, what: string, ending: string): string {
  return `${baseOf(filename)} - ${what}.${ending}`;
}

/** Return what a picture of a report shows, and of which file. */
export function pictureOf({ filename }: Pick<Report, "filename">, what: string): Picture {
  return { of: baseOf(filename), what };
}
