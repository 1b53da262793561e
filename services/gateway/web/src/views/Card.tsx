import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";

import type { Report } from "../api/types";
import { cancel, dismiss, type Phase, retry, type Sending } from "../desk";
import { duration, level, size } from "../format";
import { Bar } from "../parts/Bar";
import { toHeading } from "../parts/Heading";
import { Icon } from "../parts/Icon";
import { LateReport } from "../parts/Report";
import { Trouble } from "../parts/Trouble";
import { said, stage } from "./stages";

/** One file, from the drop to the report. */
export function Card({ sending, isAlone }: { sending: Sending; isAlone: boolean }) {
  const { file } = sending;
  const phase = sending.phase.value;
  const isShown = useSignal<boolean | null>(null);
  const card = useRef<HTMLElement>(null);
  const isOpen = phase.name === "over" && (isShown.value ?? isAlone);
  return (
    <li>
      <article ref={card} class={`card panel ${phase.name}`} aria-label={file.name} tabIndex={-1}>
        <header class="card-head">
          <div class="card-name">
            <h2>{file.name}</h2>
            <p class="muted">{about(file, phase)}</p>
          </div>
          <div class="row">
            <Buttons
              sending={sending}
              phase={phase}
              isOpen={isOpen}
              onToggle={() => (isShown.value = !isOpen)}
              onAct={() => card.current?.focus()}
            />
          </div>
        </header>
        <Progress phase={phase} sending={sending} />
        {phase.name === "over" && !isOpen && <Readings report={phase.report} />}
        {phase.name === "refused" && <Trouble refusal={phase.refusal} />}
        <p class="sr-only" role="status">
          {said(file.name, phase)}
        </p>
      </article>
      {isOpen && (
        <div class="card-report">
          <LateReport report={phase.report} file={file} />
        </div>
      )}
    </li>
  );
}

function about(file: File, phase: Phase): string {
  const of = [size(file.size)];
  if (phase.name === "over") {
    if (phase.report.audio_length !== null) of.push(duration(phase.report.audio_length));
    const { latency } = phase.report;
    if (latency !== null) of.push(latency ? `done in ${duration(latency)}` : "known already");
  }
  if (phase.name === "cancelled") of.push("cancelled");
  return of.join(" · ");
}

interface ButtonsProps {
  sending: Sending;
  phase: Phase;
  isOpen: boolean;
  onToggle: () => void;
  /** Called when the button itself goes, as its file is somewhere else then. */
  onAct: () => void;
}

function Buttons({ sending, phase, isOpen, onToggle, onAct }: ButtonsProps) {
  const { name } = sending.file;
  const act = (what: (sending: Sending) => void) => () => {
    what(sending);
    onAct();
  };
  const remove = () => {
    dismiss(sending);
    toHeading();
  };
  switch (phase.name) {
    case "over":
      return (
        <>
          <button type="button" class="button quiet" aria-expanded={isOpen} onClick={onToggle}>
            {isOpen ? "Fold" : "Show here"}
          </button>
          <a class="button quiet" href={`#/report/${phase.token}`}>
            <span>
              Open the report<span class="sr-only"> of {name}</span>
            </span>
            <Icon name="arrow" />
          </a>
        </>
      );
    case "refused":
    case "cancelled":
      return (
        <>
          <button type="button" class="button quiet" onClick={act(retry)}>
            Try again
          </button>
          <button type="button" class="button quiet" onClick={remove} aria-label={`Remove ${name}`}>
            <Icon name="cross" />
          </button>
        </>
      );
    default:
      return (
        <button type="button" class="button quiet" onClick={act(cancel)}>
          Cancel
        </button>
      );
  }
}

function Progress({ phase, sending }: { phase: Phase; sending: Sending }) {
  const now = stage(phase, sending.wishes.tasks);
  if (!now) return null;
  return (
    <div class="card-progress">
      <Bar label={now.title} share={now.share} />
      <p class="card-stage">
        <strong>{now.title}</strong>
        <span class="muted">{now.detail}</span>
      </p>
      {phase.name === "working" && phase.heard.length > 0 && <Heard text={phase.heard.map(({ text }) => text)} />}
    </div>
  );
}

/** What was heard so far; it stays at its end unless somebody scrolls back. */
function Heard({ text }: { text: string[] }) {
  const box = useRef<HTMLParagraphElement>(null);
  const isAtEnd = useRef(true);
  useEffect(() => {
    if (box.current && isAtEnd.current) box.current.scrollTop = box.current.scrollHeight;
  }, [text.length]);
  const look = ({ currentTarget: { scrollHeight, scrollTop, clientHeight } }: { currentTarget: HTMLElement }) => {
    isAtEnd.current = scrollHeight - scrollTop - clientHeight < 8;
  };
  return (
    <p class="heard" ref={box} tabIndex={0} role="group" aria-label="Heard so far" onScroll={look}>
      {text.join(" ")}
    </p>
  );
}

/** The report in a line. */
function Readings({ report }: { report: Report }) {
  const { loudness, peak, transcript, verdict } = report;
  const warnings = verdict?.filter(({ level }) => level !== "ok").length ?? 0;
  return (
    <dl class="readings">
      {loudness && <Reading label="Loudness" value={level(loudness.integrated_lufs)} unit="LUFS" />}
      {peak && <Reading label="True peak" value={level(peak.true_peak_dbtp)} unit="dBTP" />}
      {loudness && <Reading label="Range" value={level(loudness.range_lu)} unit="LU" />}
      {verdict && <Reading label="Remarks" value={String(warnings)} unit="" />}
      {transcript && <Words text={report.transcription ?? ""} />}
    </dl>
  );
}

function Reading({ label, value, unit }: { label: string; value: string; unit: string }) {
  return (
    <div>
      <dt class="label">{label}</dt>
      <dd class="reading">
        {value}
        <span class="unit">{unit}</span>
      </dd>
    </div>
  );
}

function Words({ text }: { text: string }) {
  return (
    <div class="words">
      <dt class="label">Words</dt>
      <dd>{text || "No speech"}</dd>
    </div>
  );
}
