/**
 * A report while it comes about: by WebSocket, and by asking again while there is none.
 *
 *     socket ──message──▶ onUpdate          final ─▶ over
 *       ▲  └──dropped──▶ poll ──▶ onUpdate   404, 4404 ─▶ gone
 *       └───── after a while, longer each time ┘
 *
 * Whoever connects again is told the whole state, so nothing is lost in between.
 */

import type { Report, Update } from "./types";

export type Via = "socket" | "polling";

/** The world: what is reached over the network, and time. Tests give another one. */
export interface World {
  /** Open a socket; closing it is ours. */
  open(token: string): Socket;
  /** Return the report as it stands, or once it is settled within `waitS`; null when it is gone. */
  poll(token: string, waitS: number, signal: AbortSignal): Promise<Report | null>;
  /** Resolve after `ms`, or sooner when the network seems to be back; rejects when aborted. */
  pause(ms: number, signal: AbortSignal): Promise<void>;
}

export type Socket = Pick<WebSocket, "onmessage" | "onclose" | "close">;

export type Ending = "over" | "gone";

const GONE = 4404;
const FIRST_WAIT_S = 2;
const MAX_WAIT_S = 20;

/** Tell every update until the report is final or gone. Rejects with `AbortError` when aborted. */
export async function follow(
  world: World,
  token: string,
  onUpdate: (update: Update, via: Via) => void,
  signal: AbortSignal,
): Promise<Ending> {
  let waitS = FIRST_WAIT_S;
  for (;;) {
    const { ending, wasHeard } = await listen(world, token, onUpdate, signal);
    if (ending !== "dropped") return ending;
    if (wasHeard) waitS = FIRST_WAIT_S;
    const polled = await pollOnce(world, token, waitS, onUpdate, signal);
    if (polled !== "pending") return polled;
    waitS = Math.min(2 * waitS, MAX_WAIT_S);
  }
}

function listen(
  world: World,
  token: string,
  onUpdate: (update: Update, via: Via) => void,
  signal: AbortSignal,
): Promise<{ ending: Ending | "dropped"; wasHeard: boolean }> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    let wasHeard = false;
    let isFinal = false;
    const socket = world.open(token);
    const abort = () => {
      socket.close();
      reject(signal.reason);
    };
    signal.addEventListener("abort", abort, { once: true });
    socket.onmessage = ({ data }) => {
      const update = JSON.parse(data as string) as Update;
      wasHeard = true;
      isFinal = isOver(update);
      onUpdate(update, "socket");
    };
    socket.onclose = ({ code }) => {
      signal.removeEventListener("abort", abort);
      resolve({ ending: isFinal ? "over" : code === GONE ? "gone" : "dropped", wasHeard });
    };
  });
}

/** Ask for the state now, then for the next one: the server does the waiting. */
async function pollOnce(
  world: World,
  token: string,
  waitS: number,
  onUpdate: (update: Update, via: Via) => void,
  signal: AbortSignal,
): Promise<Ending | "pending"> {
  for (const patienceS of [0, waitS]) {
    try {
      const report = await world.poll(token, patienceS, signal);
      if (report === null) return "gone";
      onUpdate(updateOf(report), "polling");
      if (isOver(report)) return "over";
    } catch (error) {
      signal.throwIfAborted();
      if (!isPassing(error)) throw error;
      await world.pause(1000 * waitS, signal);
      return "pending";
    }
  }
  return "pending";
}

/** Whether trying again may help: no network, too many requests, a gateway that restarts. */
function isPassing(error: unknown): boolean {
  const status = (error as { status?: unknown }).status;
  return status === 0 || status === 429 || (typeof status === "number" && status >= 500);
}

function isOver({ status }: { status: Update["status"] }): boolean {
  return status === "done" || status === "failed";
}

function updateOf(report: Report): Update {
  const { status, progress, queue } = report;
  return { type: "state", revision: 0, status, progress, queue, segments: [], report };
}
