import type { Problem } from "./types";

/** Where the API is: where the page came from, unless its `decibus-api` says otherwise. */
const given = document.querySelector<HTMLMetaElement>('meta[name="decibus-api"]')?.content;
export const API = new URL(given || import.meta.env.VITE_API || "/", document.baseURI);

/** Return the address of a path of the API, such as `/result/{token}.srt`. */
export function at(path: string): string {
  return new URL(path.replace(/^\//, ""), API).href;
}

export type { Problem };
