import "./report.css";

import { useId, useState } from "preact/hooks";

import type { Delivery as Target, Report } from "../api/types";
import { BandChart } from "../charts/BandChart";
import { level } from "../format";
import { Delivery } from "./Delivery";
import { Files } from "./Files";
import { Levels, type Aim } from "./Levels";
import { pictureOf } from "./names";
import { Numbers } from "./Numbers";
import { OverTime } from "./OverTime";
import { Provenance } from "./Provenance";
import { Failures, Verdict } from "./Verdict";

export interface ReportViewProps {
  report: Report;
  /** The audio itself, when the visitor has just chosen it: for the waveform and for playing. */
  file?: File | undefined;
  /** Where the API has it, when not at its token: `/transcripts/{id}`. */
  path?: string | undefined;
}

/** What a file is held against when nothing else is known: the ceiling is EBU R 128's. */
const CUSTOMARY: Aim = { name: "streaming", lufs: -14, ceiling_dbtp: -1 };

/** Show a report, complete or not: each part stands alone. */
export function ReportView({ report, file, path }: ReportViewProps) {
  const [chosen, setChosen] = useState<string | null>(report.target);
  const place = path ?? (report.token && `/result/${report.token}`);
  // The made report of the first visit is nowhere: it has no files, and nobody could hear it.
  const isExample = !place;
  const targets = report.targets ?? [];
  const aim: Aim = targets.find(({ name }) => name === chosen) ?? targets[0] ?? CUSTOMARY;
  return (
    <div class="report">
      <header class="report-bar">
        <h2 class="sr-only">The report</h2>
        <Missing report={report} />
        {targets.length > 1 && <Against {...{ targets, aim }} onChange={setChosen} />}
      </header>
      <Failures errors={report.errors} />
      <div class="report-top">
        {report.verdict && <Verdict findings={report.verdict} />}
        <Levels {...{ report, aim }} />
        {report.loudness && <Numbers report={report} />}
      </div>
      {report.spectrum && report.peak?.true_peak_dbtp != null && <Balance report={report} />}
      <OverTime {...{ report, aim, isExample }} given={file ?? null} />
      <div class="report-pair">
        {targets.length > 0 && <Delivery {...{ report, targets }} />}
        <Provenance report={report} />
      </div>
      {place && <Files {...{ report }} path={place} />}
    </div>
  );
}

interface AgainstProps {
  targets: Target[];
  aim: Aim;
  onChange: (name: string) => void;
}

/** Choose what the meters and the curve are held against; nothing is measured again. */
function Against({ targets, aim, onChange }: AgainstProps) {
  const id = useId();
  return (
    <div class="against">
      <label for={id} class="label">
        Held against
      </label>
      <select id={id} class="field" value={aim.name} onChange={(event) => onChange(event.currentTarget.value)}>
        {targets.map(({ name, lufs }) => (
          <option value={name}>{`${name}, ${level(lufs, 0)} LUFS`}</option>
        ))}
      </select>
    </div>
  );
}

function Balance({ report }: { report: Report }) {
  const id = useId();
  const genre = report.genre?.replaceAll("_", " ") ?? null;
  const bands = report.spectrum?.bands ?? [];
  const source = bands.find(({ reference }) => reference)?.reference?.source;
  return (
    <section class="panel balance" aria-labelledby={id}>
      <header class="section-head">
        <h3 id={id}>Tonal balance{genre && <span class="muted"> next to {genre}</span>}</h3>
      </header>
      <BandChart {...{ bands, genre }} picture={pictureOf(report, "tonal balance")} />
      {source && <p class="fine-print">The ranges: {source}.</p>}
    </section>
  );
}

/** Say of what is not there whether it is still to come, or was not asked for. */
function Missing({ report }: { report: Report }) {
  const { status, errors, loudness, transcript, output } = report;
  if (output) return null; // a conversion, which measures nothing
  const isOver = status === "done" || status === "failed";
  const hasFailed = (task: string) => errors.some((error) => error.task === task);
  const lines = [
    !loudness && !hasFailed("analyze") && (isOver ? "Loudness was not asked for." : "Measuring …"),
    !transcript && !hasFailed("transcribe") && (isOver ? "A transcript was not asked for." : "Listening …"),
  ].filter(Boolean);
  return lines.length ? <p class="muted missing">{lines.join(" ")}</p> : null;
}
