import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";

import { Refusal } from "../api/client";
import { follow } from "../api/live";
import type { Report, Segment, Update } from "../api/types";
import { world } from "../api/world";
import { hear, sendingOf } from "../desk";
import { Bar } from "../parts/Bar";
import { Heading } from "../parts/Heading";
import { LateReport } from "../parts/Report";
import { Trouble } from "../parts/Trouble";
import { Expiry } from "./Expiry";
import { stage } from "./stages";

interface State {
  update: Update | null;
  heard: readonly Segment[];
  report: Report | null;
  refusal: Refusal | null;
}

const NOTHING_YET: State = { update: null, heard: [], report: null, refusal: null };

/** A report by its private link: as it is, and as it becomes. */
export function ReportPage({ token }: { token: string }) {
  const state = useFollowed(token);
  const { report, refusal, update, heard } = state;
  const name = report?.filename ?? (refusal ? "This report is not here" : "Report");
  return (
    <>
      <header class="report-head">
        <div>
          <p class="label">Report</p>
          <Heading>
            {name}
          </Heading>
          {report && (
            <p class="muted">
              <Expiry at={report.expires_at} />
            </p>
          )}
        </div>
      </header>
      {refusal && (
        <Trouble refusal={refusal}>
          <a class="button" href="#/">
            Measure a file
          </a>
        </Trouble>
      )}
      {!refusal && update && !isOver(update) && <Under token={token} update={update} heard={heard} />}
      {!refusal && report && isOver(report) && <LateReport report={report} file={sendingOf(token)?.file} />}
      {!refusal && !report && <p class="muted">Reading the report …</p>}
    </>
  );
}

function useFollowed(token: string): State {
  const state = useSignal(NOTHING_YET);
  useEffect(() => {
    const ending = new AbortController();
    const change = (next: Partial<State>) => {
      state.value = { ...state.peek(), ...next };
    };
    state.value = NOTHING_YET;
    const onUpdate = (update: Update) => {
      const { heard, report } = state.peek();
      change({ update, heard: hear(heard, update.segments), report: update.report ?? report });
    };
    const known = sendingOf(token)?.phase.peek();
    if (known?.name === "over") {
      change({ report: known.report }); // what is read once is not read again
      return;
    }
    follow(world, token, onUpdate, ending.signal).then(
      (end) => end === "gone" && change({ refusal: gone() }),
      (error: unknown) => {
        if (ending.signal.aborted) return;
        if (!(error instanceof Refusal)) throw error;
        change({ refusal: error });
      },
    );
    return () => ending.abort();
  }, [token]);
  return state.value;
}

function Under({ update, heard, token }: { update: Update; heard: readonly Segment[]; token: string }) {
  const now = stage({ name: "working", token, update, heard, via: "socket" }, "loudness,transcribe");
  if (!now) return null;
  return (
    <section class="panel card-progress" aria-label="Progress">
      <Bar label={now.title} share={now.share} />
      <p class="card-stage" role="status">
        <strong>{now.title}</strong>
        <span class="muted">{now.detail}</span>
      </p>
      {heard.length > 0 && <p class="heard">{heard.map(({ text }) => text).join(" ")}</p>}
    </section>
  );
}

function isOver({ status }: { status: Report["status"] }): boolean {
  return status === "done" || status === "failed";
}

function gone(): Refusal {
  return new Refusal({ status: 404, code: "not_found", detail: "the link has expired, or the report was deleted" });
}
