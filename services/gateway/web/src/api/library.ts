/** The library: reports that are kept until somebody deletes them. */

import { ask, forget } from "./client";
import type { Report } from "./types";

/** A line of the list: `services/gateway/shelf.py`. */
export interface Entry {
  id: string;
  filename: string | null;
  created_at: string;
  audio_length: number | null;
  integrated_lufs: number | null;
  language: string | null;
  excerpt: string;
}

export interface Entries {
  data: Entry[];
  next: string | null;
}

export interface Query {
  words: string;
  inText: boolean;
}

const PAGE = 20;

/** Return a page of the list, newest first: the first one, or the one at a cursor. */
export function list({ words, inText }: Query, cursor: string | null, signal: AbortSignal): Promise<Entries> {
  const asked = new URLSearchParams({ limit: String(PAGE) });
  if (words) asked.set("q", words);
  if (words && inText) asked.set("in", "text");
  if (cursor) asked.set("cursor", cursor);
  return ask<Entries>(`/transcripts?${asked}`, { signal });
}

export function open(id: string, signal: AbortSignal): Promise<Report> {
  return ask<Report>(`/transcripts/${id}`, { signal });
}

export function remove(id: string): Promise<void> {
  return forget(`/transcripts/${id}`);
}
