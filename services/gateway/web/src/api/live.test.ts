import { describe, expect, it } from "vitest";

import { follow, type Socket, type Via, type World } from "./live";
import type { Report, State } from "./types";

/** A world in which what happens is written down beforehand: a list for each socket and each poll. */
function world(sockets: (State | number)[][], polls: (State | null | Error)[] = []) {
  const pauses: number[] = [];
  const waits: number[] = [];
  const made: World = {
    open() {
      const events = sockets.shift() ?? [1006];
      const socket: Socket = { onmessage: null, onclose: null, close: () => undefined };
      queueMicrotask(() => {
        for (const event of events)
          if (typeof event === "number") socket.onclose?.call({} as WebSocket, { code: event } as CloseEvent);
          else socket.onmessage?.call({} as WebSocket, { data: JSON.stringify(update(event)) } as MessageEvent);
      });
      return socket;
    },
    async poll(_, waitS) {
      waits.push(waitS);
      const next = polls.shift();
      if (next instanceof Error) throw next;
      return next === undefined || next === null ? null : ({ ...update(next) } as unknown as Report);
    },
    async pause(ms) {
      pauses.push(ms);
    },
  };
  return { made, waits, pauses };
}

function update(status: State) {
  return { type: "state", revision: 1, status, progress: 0.5, queue: null, segments: [], report: null };
}

async function told(made: World) {
  const seen: [State, Via][] = [];
  const end = await follow(made, "t", ({ status }, via) => seen.push([status, via]), new AbortController().signal);
  return { end, seen };
}

describe("following a report", () => {
  it("ends with the socket's last message", async () => {
    const { made } = world([["queued", "running", "done", 1000]]);

    const { end, seen } = await told(made);

    expect(end).toBe("over");
    expect(seen).toEqual([
      ["queued", "socket"],
      ["running", "socket"],
      ["done", "socket"],
    ]);
  });

  it("asks when the socket is cut, and then goes back to one", async () => {
    const { made, waits } = world(
      [
        ["running", 1006],
        ["running", "done", 1000],
      ],
      ["running", "running"],
    );

    const { end, seen } = await told(made);

    expect(end).toBe("over");
    expect(waits).toEqual([0, 2]);
    expect(seen.map(([, via]) => via)).toEqual(["socket", "polling", "polling", "socket", "socket"]);
  });

  it("waits longer each time where no socket ever opens, and still gets the report", async () => {
    const { made, waits } = world([], ["queued", "queued", "running", "running", "running", "done"]);

    const { end, seen } = await told(made);

    expect(end).toBe("over");
    expect(waits).toEqual([0, 2, 0, 4, 0, 8]);
    expect(seen.at(-1)).toEqual(["done", "polling"]);
  });

  it("outlasts a network that is away", async () => {
    const away = Object.assign(new Error("away"), { status: 0 });
    const { made, pauses } = world([["running", 1006], [1006], ["done", 1000]], [away, away]);

    const { end } = await told(made);

    expect(end).toBe("over");
    expect(pauses).toEqual([2000, 4000]);
  });

  it.each([
    [[[4404]], []],
    [[["running", 1012]], [null]],
  ] as [(State | number)[][], null[]][])("tells that a report has gone: %j", async (sockets, polls) => {
    const { made } = world(sockets, polls);

    const { end } = await told(made);

    expect(end).toBe("gone");
  });

  it("stops when it is told to", async () => {
    const ending = new AbortController();
    const { made } = world([["running"]]);

    const following = follow(made, "t", () => ending.abort(new Error("enough")), ending.signal);

    await expect(following).rejects.toThrow("enough");
  });
});
