/** Send one file to `POST /analyze`, and tell how much of it has gone. */

import { at, keyHeaders, Refusal, refusalOf, unreachable } from "./client";
import { size } from "../format";
import type { Report, Retention } from "./types";

export type Tasks = "loudness,transcribe" | "loudness" | "transcribe";

/** What is asked for; what is empty is left to the gateway. */
export interface Wishes {
  tasks: Tasks;
  genre: string;
  target: string;
  language: string;
  retention: Retention;
}

const USUAL_LIMIT = 100_000_000;

/**
 * Upload; resolves with the report as it stands then, usually queued.
 *
 * `key` is the Idempotency-Key: sent again with the same one, an upload that had arrived after all
 * is not done twice. XMLHttpRequest, because `fetch` does not tell how much was sent.
 */
export function upload(
  file: File,
  wishes: Wishes,
  { key, signal, onProgress }: { key: string; signal: AbortSignal; onProgress: (share: number) => void },
): Promise<Report> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", at("/analyze?wait=0"));
    for (const [name, value] of Object.entries({ ...keyHeaders(), "Idempotency-Key": key }))
      request.setRequestHeader(name, value);
    request.upload.onprogress = ({ loaded, total }) => onProgress(total ? loaded / total : 0);
    request.onload = () => {
      if (request.status >= 200 && request.status < 300) resolve(JSON.parse(request.responseText) as Report);
      else reject(refusalOf(request.status, request.responseText, request.getResponseHeader("Retry-After")));
    };
    request.onerror = () => reject(cutOff(file));
    request.onabort = () => reject(new DOMException("cancelled", "AbortError"));
    signal.addEventListener("abort", () => request.abort(), { once: true });
    request.send(form(file, wishes));
  });
}

function form(file: File, wishes: Wishes): FormData {
  const data = new FormData();
  for (const [name, value] of Object.entries(wishes)) if (value) data.set(name, value);
  if (wishes.tasks !== "transcribe") data.set("timeline", "true");
  if (wishes.tasks !== "loudness") data.set("words", "true");
  data.set("file", file);
  return data;
}

/** A server that has read enough of a file that is too large may close before it was read out. */
function cutOff(file: File): Refusal {
  if (file.size <= USUAL_LIMIT) return unreachable();
  return new Refusal({
    status: 413,
    code: "too_large",
    detail: `the gateway ended the upload: it has ${size(file.size)}, and usually 100 MB are taken`,
  });
}
