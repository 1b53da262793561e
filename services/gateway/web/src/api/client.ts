/** Requests to the gateway; what it refuses becomes a `Refusal`, in its own words. */

import { signal } from "@preact/signals";

import type { Problem } from "./types";

/** Where the API is: where the page came from, unless its `decibus-api` says otherwise. */
const named = document.querySelector<HTMLMetaElement>('meta[name="decibus-api"]')?.content;
export const API = new URL(named || import.meta.env.VITE_API || "/", document.baseURI);

const KEPT_AS = "decibus-key";

/** The API key, for as long as the tab is open; empty where the gateway asks for none. */
export const apiKey = signal(sessionStorage.getItem(KEPT_AS) ?? "");

/** Whether the gateway has asked for a key that it does not have. */
export const isKeyWanted = signal(false);

/** Return the address of a path of the API, such as `/result/{token}.srt`. */
export function at(path: string): string {
  return new URL(path.replace(/^\//, ""), API).href;
}

/** Return the address of a WebSocket of the API. */
export function socketAt(path: string): string {
  return at(path).replace(/^http/, "ws");
}

export function keepKey(key: string): void {
  apiKey.value = key;
  isKeyWanted.value = false;
  if (key) sessionStorage.setItem(KEPT_AS, key);
  else sessionStorage.removeItem(KEPT_AS);
}

export function keyHeaders(): Record<string, string> {
  return apiKey.value ? { "X-API-Key": apiKey.value } : {};
}

/** What went wrong, and in `advice` what to do about it. */
export class Refusal extends Error {
  readonly status: number;
  readonly code: string;
  readonly retryAfterS: number | null;

  constructor(problem: Pick<Problem, "status" | "code" | "detail">, retryAfterS: number | null = null) {
    super(problem.detail);
    this.status = problem.status;
    this.code = problem.code;
    this.retryAfterS = retryAfterS;
    if (problem.status === 401) isKeyWanted.value = true;
  }

  get isGone(): boolean {
    return this.status === 404;
  }
}

/** Read what an answer that is not a success says; also when it is from a proxy, and no problem. */
export function refusalOf(status: number, body: string, retryAfter: string | null): Refusal {
  const retryAfterS = retryAfter && /^\d+$/.test(retryAfter) ? Number(retryAfter) : null;
  try {
    const problem = JSON.parse(body) as Partial<Problem>;
    if (typeof problem.detail === "string" && typeof problem.code === "string")
      return new Refusal({ status, code: problem.code, detail: problem.detail }, retryAfterS);
  } catch {
    // Not JSON: told by its status alone.
  }
  return new Refusal({ status, code: "unknown", detail: `the server answered ${status}` }, retryAfterS);
}

export function unreachable(): Refusal {
  return new Refusal({ status: 0, code: "unreachable", detail: "the gateway cannot be reached" });
}

/** Ask for JSON. Throws `Refusal`, and `AbortError` when the signal says so. */
export async function ask<T>(path: string, init: RequestInit = {}): Promise<T> {
  const answer = await send(path, init);
  return (await answer.json()) as T;
}

/** Delete what is at a path; that it is gone already is as good. */
export async function forget(path: string): Promise<void> {
  try {
    await send(path, { method: "DELETE" });
  } catch (error) {
    if (!(error instanceof Refusal && error.isGone)) throw error;
  }
}

async function send(path: string, init: RequestInit): Promise<Response> {
  let answer: Response;
  try {
    answer = await fetch(at(path), { ...init, headers: { ...keyHeaders(), ...init.headers } });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw unreachable();
  }
  // A gateway that is not ready says so with a 503 that has a body of its own: /readyz.
  if (answer.ok || (answer.status === 503 && path === "/readyz")) return answer;
  throw refusalOf(answer.status, await answer.text(), answer.headers.get("Retry-After"));
}
