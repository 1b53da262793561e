/** Where a file is, in words. Pure. */

import type { Phase } from "../desk";
import { clock, duration } from "../format";
import type { Tasks } from "../api/upload";

export interface Stage {
  title: string;
  detail: string;
  /** 0 to 1; null while there is nothing to measure it by. */
  share: number | null;
}

/** Return what is being done; null when nothing is. */
export function stage(phase: Phase, tasks: Tasks): Stage | null {
  if (phase.name === "waiting") return { title: "Waiting", detail: "for the uploads before it", share: null };
  if (phase.name === "uploading") {
    const isSent = phase.share >= 1;
    return {
      title: isSent ? "Arriving" : "Uploading",
      detail: isSent ? "the gateway puts it away" : `${Math.round(phase.share * 100)} %`,
      share: isSent ? null : phase.share,
    };
  }
  if (phase.name !== "working") return null;
  const { update, heard, via } = phase;
  const asked = via === "polling" ? "; the live line is down, asking instead" : "";
  const last = heard.at(-1);
  // One of its tasks may be done, and the other still wait.
  if (update.status === "queued" || (update.queue && !last))
    return { title: "Queued", detail: place(update.queue) + asked, share: update.progress || null };
  const isHearing = last !== undefined || tasks === "transcribe" || (tasks !== "loudness" && update.progress >= 0.5);
  const detail = last ? `at ${clock(last.end)} of the file` : `${Math.round(update.progress * 100)} %`;
  return { title: isHearing ? "Listening" : "Measuring", detail: detail + asked, share: update.progress };
}

/** What a screen reader is told: the changes that matter, and not every percent. */
export function said(name: string, phase: Phase): string {
  switch (phase.name) {
    case "waiting":
      return "";
    case "uploading":
      return `${name}: uploading`;
    case "working":
      return phase.update.status === "queued"
        ? `${name}: queued, ${place(phase.update.queue)}`
        : `${name}: ${quarters(phase.update.progress)} done`;
    case "over":
      return `${name}: the report is ready`;
    case "refused":
      return ""; // said by the alert
    case "cancelled":
      return `${name}: cancelled`;
  }
}

function place(queue: { position: number; eta_s: number | null } | null): string {
  if (!queue) return "about to begin";
  const turn = queue.position === 1 ? "next" : `${queue.position - 1} before it`;
  return queue.eta_s === null ? turn : `${turn}, done in about ${duration(Math.max(1, queue.eta_s))}`;
}

function quarters(progress: number): string {
  return `${Math.floor(progress * 4) * 25} %`;
}
