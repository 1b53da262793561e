/**
 * The files of this visit, from the drop to the report.
 *
 *     waiting ─▶ uploading ─▶ working ─▶ over          cancelled ◀── any of the first three
 *                    └───────────┴─────▶ refused ─▶ (try again) waiting
 *
 * It outlives the views: an upload goes on while the library is looked at.
 */

import { computed, effect, signal, type Signal } from "@preact/signals";

import { forget, Refusal } from "./api/client";
import { follow, type Via } from "./api/live";
import type { Report, Segment, Update } from "./api/types";
import { upload, type Wishes } from "./api/upload";
import { world } from "./api/world";

export type Phase =
  | { name: "waiting" }
  | { name: "uploading"; share: number }
  | { name: "working"; token: string; update: Update; heard: readonly Segment[]; via: Via }
  | { name: "over"; token: string; report: Report }
  | { name: "refused"; refusal: Refusal }
  | { name: "cancelled" };

export interface Sending {
  readonly id: number;
  readonly file: File;
  readonly wishes: Wishes;
  readonly phase: Signal<Phase>;
  /** The Idempotency-Key: a second try of the same upload is the same request. */
  key: string;
  ending: AbortController;
}

/** More at once make each slower, and the first report later. */
const AT_ONCE = 2;

export const sendings = signal<readonly Sending[]>([]);

const isAnyUnderWay = computed(() =>
  sendings.value.some(({ phase }) => ["waiting", "uploading"].includes(phase.value.name)),
);
let count = 0;

// Who closes the tab during an upload loses it, and is asked.
effect(() => {
  if (isAnyUnderWay.value) addEventListener("beforeunload", keepOpen);
  else removeEventListener("beforeunload", keepOpen);
});

function keepOpen(event: BeforeUnloadEvent): void {
  event.preventDefault();
}

/** Take files in, the newest first; two are sent at a time. */
export function take(files: readonly File[], wishes: Wishes): void {
  const taken = files.map((file): Sending => {
    const phase = signal<Phase>({ name: "waiting" });
    return { id: ++count, file, wishes, phase, key: freshKey(), ending: new AbortController() };
  });
  sendings.value = [...taken, ...sendings.value];
  sendNext();
}

/** Stop: an upload ends here, and what the gateway has of it is deleted there. */
export function cancel(sending: Sending): void {
  const phase = sending.phase.peek();
  sending.phase.value = { name: "cancelled" };
  sending.ending.abort(new DOMException("cancelled", "AbortError"));
  // Told at once: should it not be heard, the report goes by itself when its time is over.
  if (phase.name === "working") forget(`/result/${phase.token}`).catch(() => undefined);
  sendNext();
}

/** Try a refused or cancelled file again. */
export function retry(sending: Sending): void {
  const phase = sending.phase.peek();
  const mayHaveArrived = phase.name === "refused" && phase.refusal.status === 0;
  if (!mayHaveArrived) sending.key = freshKey();
  sending.ending = new AbortController();
  sending.phase.value = { name: "waiting" };
  sendNext();
}

/** Take a file off the list; its report stays where it is. */
export function dismiss(sending: Sending): void {
  sendings.value = sendings.value.filter((each) => each !== sending);
}

/** Return the sending of this visit that has this token: with its file, a report can be heard. */
export function sendingOf(token: string): Sending | undefined {
  return sendings.value.find(({ phase: { value: phase } }) => "token" in phase && phase.token === token);
}

/** Hear segments: each replaces the one with its id, and all after that one. */
export function hear(heard: readonly Segment[], segments: readonly Segment[]): readonly Segment[] {
  const first = segments[0];
  return first ? [...heard.filter(({ id }) => id < first.id), ...segments] : heard;
}

/** Not `randomUUID`: over plain http it is there on localhost alone. */
function freshKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function sendNext(): void {
  const names = sendings.peek().map((sending) => sending.phase.peek().name);
  let free = AT_ONCE - names.filter((name) => name === "uploading").length;
  for (const sending of sendings.peek().toSorted((a, b) => a.id - b.id))
    if (free > 0 && sending.phase.peek().name === "waiting") {
      free -= 1;
      void send(sending);
    }
}

async function send(sending: Sending): Promise<void> {
  const { file, wishes, phase, key, ending } = sending;
  phase.value = { name: "uploading", share: 0 };
  try {
    const onProgress = (share: number) => {
      if (phase.peek().name === "uploading") phase.value = { name: "uploading", share };
    };
    const report = await upload(file, wishes, { key, signal: ending.signal, onProgress });
    const { token } = report;
    if (ending.signal.aborted) return await forget(`/result/${token}`);
    onUpdate({ ...report, type: "state", revision: 0, segments: [], report }, "socket");
    sendNext();
    if (phase.peek().name === "over") return;
    const end = await follow(world, token, onUpdate, ending.signal);
    if (end === "gone") throw gone();

    function onUpdate(update: Update, via: Via): void {
      const before = phase.peek();
      if (ending.signal.aborted || before.name === "over") return;
      const isFinal = update.status === "done" || update.status === "failed";
      if (isFinal && update.report) phase.value = finished(token, update.report);
      else {
        const heard = before.name === "working" ? before.heard : [];
        phase.value = { name: "working", token, update, heard: hear(heard, update.segments), via };
      }
    }
  } catch (error) {
    if (ending.signal.aborted) return;
    if (!(error instanceof Refusal)) throw error;
    phase.value = { name: "refused", refusal: error };
  } finally {
    sendNext();
  }
}

/** A report of which every task has failed is a refusal: there is nothing to show but why. */
function finished(token: string, report: Report): Phase {
  const [error] = report.errors;
  if (report.status !== "failed" || !error) return { name: "over", token, report };
  return { name: "refused", refusal: new Refusal({ status: 422, code: error.code, detail: error.detail }) };
}

function gone(): Refusal {
  return new Refusal({
    status: 404,
    code: "not_found",
    detail: "the report has expired or was deleted before it was complete",
  });
}
