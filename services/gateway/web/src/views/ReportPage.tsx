import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";

import { forget, Refusal } from "../api/client";
import { follow } from "../api/live";
import type { Report, Segment, Update } from "../api/types";
import { world } from "../api/world";
import { dismiss, hear, sendingOf } from "../desk";
import { duration } from "../format";
import { Bar } from "../parts/Bar";
import { Delete } from "../parts/Delete";
import { Heading } from "../parts/Heading";
import { LateReport } from "../parts/Report";
import { Trouble } from "../parts/Trouble";
import { useTitle } from "../parts/useTitle";
import { go } from "../router";
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
  useTitle(name);
  return (
    <>
      <header class="report-head">
        <div>
          <p class="label">Report</p>
          <Heading>{name}</Heading>
          {report && (
            <p class="muted">
              {facts(report)}
              <Expiry at={report.expires_at} />
            </p>
          )}
        </div>
        {report && <Delete name={name} onDelete={() => void drop(token)} />}
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

async function drop(token: string): Promise<void> {
  await forget(`/result/${token}`);
  const sending = sendingOf(token);
  if (sending) dismiss(sending);
  go("#/");
}

/** What the file is, in a line: "WAV · 24 bit · 48 kHz · stereo · 96 s · ". */
function facts({ audio }: Report): string {
  if (!audio) return "";
  const { container, codec, bit_depth, sample_rate, layout, channels } = audio;
  const of = [
    container.split(",")[0]?.toUpperCase(),
    bit_depth ? `${bit_depth} bit` : codec,
    `${sample_rate / 1000} kHz`,
    layout || `${channels} channels`,
    duration(audio.duration),
  ];
  return of.map((fact) => `${fact} · `).join("");
}

function isOver({ status }: { status: Report["status"] }): boolean {
  return status === "done" || status === "failed";
}

function gone(): Refusal {
  return new Refusal({ status: 404, code: "not_found", detail: "the link has expired, or the report was deleted" });
}
