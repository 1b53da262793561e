/** The network and the clock, as `live` needs them. */

import { ask, Refusal, socketAt } from "./client";
import type { World } from "./live";
import type { Report } from "./types";

export const world: World = {
  open: (token) => new WebSocket(socketAt(`/ws/${token}`)),

  async poll(token, waitS, signal) {
    try {
      return await ask<Report>(`/result/${token}?wait=${waitS}`, { signal });
    } catch (error) {
      if (error instanceof Refusal && error.isGone) return null;
      throw error;
    }
  },

  pause: (ms, signal) =>
    new Promise((resolve, reject) => {
      const end = () => {
        clearTimeout(timer);
        removeEventListener("online", end);
        signal.removeEventListener("abort", end);
        if (signal.aborted) reject(signal.reason);
        else resolve();
      };
      const timer = setTimeout(end, ms);
      addEventListener("online", end);
      signal.addEventListener("abort", end);
      if (signal.aborted) end();
    }),
};
