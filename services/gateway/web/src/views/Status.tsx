import { useSignal } from "@preact/signals";

import { ask } from "../api/client";
import { duration, NOTHING, percent, when } from "../format";
import { Heading } from "../parts/Heading";
import { Icon } from "../parts/Icon";
import { Trouble } from "../parts/Trouble";
import { useAnswer } from "../parts/useAnswer";

interface Readiness {
  status: string;
  workers: Record<string, boolean>;
  recorder: boolean;
  queued: Record<string, number>;
}

interface TaskStats {
  total: number;
  error_rate: number | null;
  median_latency: number | null;
  p95_latency: number | null;
  p99_latency: number | null;
  median_queue_wait: number | null;
  p95_queue_wait: number | null;
  median_work: number | null;
  p95_work: number | null;
}

interface Stats {
  total_calls: number;
  median_latency: number;
  average_audio_length_seconds: number;
  p95_latency: number | null;
  p99_latency: number | null;
  error_rate: number | null;
  tasks: Record<string, TaskStats>;
  since: string;
  quantile_error: number;
}

interface Models {
  data: { id: string; root: string | null }[];
}

const EVERY_S = 5;
const DEMO = "decibus-demo";
const WINDOWS = [
  ["1h", "The last hour"],
  ["24h", "A day"],
  ["7d", "A week"],
  ["30d", "30 days"],
] as const;

/** How the pipeline is: who is there, how many calls there were, and how long they took. */
export function Status() {
  return (
    <>
      <section class="hero small">
        <Heading>Status</Heading>
        <p class="lead">Looked at every {EVERY_S} seconds, while this tab is.</p>
      </section>
      <Ready />
      <Calls />
      <ModelList />
    </>
  );
}

const ROLES: Record<string, string> = {
  analyze: "Analyzer",
  transcribe: "Transcriber",
  transcode: "Transcoder",
};

function Ready() {
  const { value, refusal } = useAnswer((signal) => ask<Readiness>("/readyz", { signal }), "ready", EVERY_S).value;
  return (
    <section class="panel" aria-labelledby="ready">
      <h2 id="ready">Who is there</h2>
      {refusal && <Trouble refusal={refusal} />}
      {value && (
        <ul class="pills">
          <Pill name="Gateway" isThere />
          <Pill name="NATS" isThere={value.status === "ready"} />
          {Object.entries(value.workers).map(([task, isThere]) => (
            <Pill key={task} name={ROLES[task] ?? task} isThere={isThere} queued={value.queued[task] ?? 0} />
          ))}
          <Pill name="Recorder" isThere={value.recorder} />
        </ul>
      )}
    </section>
  );
}

function Pill({ name, isThere, queued = 0 }: { name: string; isThere: boolean; queued?: number }) {
  return (
    <li class={`pill ${isThere ? "there" : "away"}`}>
      <Icon name={isThere ? "done" : "cross"} />
      <span>{name}</span>
      <span class="muted">
        {isThere ? "ready" : "away"}
        {queued > 0 && `, ${queued} to do`}
      </span>
    </li>
  );
}

function Calls() {
  const window = useSignal("24h");
  const { value, refusal } = useAnswer(
    (signal) => ask<Stats>(`/stats?window=${window.peek()}`, { signal }),
    window.value,
    EVERY_S,
  ).value;
  return (
    <section class="panel" aria-labelledby="calls">
      <header class="door-head">
        <h2 id="calls">Calls</h2>
        <fieldset class="segments">
          <legend class="sr-only">Since when</legend>
          {WINDOWS.map(([name, words]) => (
            <label key={name}>
              <input
                type="radio"
                name="window"
                checked={window.value === name}
                onChange={() => (window.value = name)}
              />
              <span>{words}</span>
            </label>
          ))}
        </fieldset>
      </header>
      {refusal && <Trouble refusal={refusal} />}
      {value && <Figures stats={value} />}
      {value && <Tasks tasks={value.tasks} />}
      {value && (
        <p class="muted small-print">
          Since {when(value.since)}.
          {value.quantile_error > 0 && ` A quantile may be off by ${percent(value.quantile_error)} of itself.`}
        </p>
      )}
    </section>
  );
}

function Figures({ stats }: { stats: Stats }) {
  const isAny = stats.total_calls > 0;
  const figures: [label: string, value: string][] = [
    ["Calls", stats.total_calls.toLocaleString("en")],
    ["Median", isAny ? duration(stats.median_latency) : NOTHING],
    ["95 % within", duration(stats.p95_latency)],
    ["99 % within", duration(stats.p99_latency)],
    ["Audio, on average", isAny ? duration(stats.average_audio_length_seconds) : NOTHING],
    ["Failed", percent(stats.error_rate, stats.error_rate ? 2 : 0)],
  ];
  return (
    <dl class="readings even">
      {figures.map(([label, value]) => (
        <div key={label}>
          <dt class="label">{label}</dt>
          <dd class="reading">{value}</dd>
        </div>
      ))}
    </dl>
  );
}

function Tasks({ tasks }: { tasks: Record<string, TaskStats> }) {
  const rows = Object.entries(tasks);
  if (!rows.length) return <p class="muted">Nothing was asked for in this time.</p>;
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label="Calls by task">
      <table class="table">
        <thead>
          <tr>
            <th scope="col">Task</th>
            <th scope="col">Done</th>
            <th scope="col">In the queue, median</th>
            <th scope="col">95 %</th>
            <th scope="col">Work, median</th>
            <th scope="col">95 %</th>
            <th scope="col">Failed</th>
          </tr>
        </thead>
        <tbody>
          {rows.map(([task, stats]) => (
            <tr key={task}>
              <th scope="row">{ROLES[task] ?? task}</th>
              <td>{stats.total.toLocaleString("en")}</td>
              <td>{duration(stats.median_queue_wait)}</td>
              <td>{duration(stats.p95_queue_wait)}</td>
              <td>{duration(stats.median_work)}</td>
              <td>{duration(stats.p95_work)}</td>
              <td>{percent(stats.error_rate, stats.error_rate ? 2 : 0)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function ModelList() {
  const { value, refusal } = useAnswer((signal) => ask<Models>("/v1/models", { signal }), "models", 6 * EVERY_S).value;
  return (
    <section class="panel" aria-labelledby="models">
      <h2 id="models">Speech models</h2>
      {refusal && <Trouble refusal={refusal} />}
      {value && !value.data.length && <p class="muted">No transcriber is there to say.</p>}
      {value && <Names models={value} />}
    </section>
  );
}

/** The models themselves, and the names that only stand for one of them. */
function Names({ models: { data } }: { models: Models }) {
  const aliases = data.filter(({ id, root }) => root && root !== id);
  return (
    <>
      <ul class="pills">
        {data
          .filter((model) => !aliases.includes(model))
          .map(({ id }) => (
            <li key={id} class="pill">
              {id}
            </li>
          ))}
      </ul>
      {data.some(({ id }) => id === DEMO) && (
        <p class="muted small-print">
          {DEMO} stands in where no other is to be had: it knows numbers and a few commands.
        </p>
      )}
      {aliases.length > 0 && (
        <p class="muted small-print">
          Programs may also ask for {aliases.map(({ id }) => id).join(", ")}, and get {aliases[0]?.root}.
        </p>
      )}
    </>
  );
}
