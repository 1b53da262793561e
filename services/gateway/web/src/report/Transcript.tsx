import type { ComponentChildren } from "preact";
import { useId, useMemo, useRef, useState } from "preact/hooks";

import type { Report, Timeline, Transcript as Heard } from "../api/types";
import type { Playhead } from "../charts/playhead";
import { count } from "../charts/say";
import { percent } from "../format";
import { Copy } from "../parts/Copy";
import { Words } from "./Reader";
import { matchesOf, type Spoken } from "./words";

/** The model that ships with decibus, so that it works without a network: it knows 57 words. */
const DEMO_MODEL = "decibus-demo";

interface TranscriptProps {
  report: Report;
  transcript: Heard;
  playhead: Playhead;
  spoken: readonly Spoken[];
  timeline: Timeline | null;
  numbers: ComponentChildren;
}

/** What was said, to be read, searched and pointed at. */
export function Transcript(props: TranscriptProps) {
  const { report, transcript, playhead, spoken, timeline, numbers } = props;
  const id = useId();
  const reader = useRef<HTMLOListElement>(null);
  const [query, setQuery] = useState("");
  const matches = useMemo(() => matchesOf(spoken, query), [spoken, query]);
  const [chosen, setChosen] = useState(0);
  const text = transcript.segments.map((segment) => segment.text.trim()).join("\n");
  const isOver = report.status === "done" || report.status === "failed";
  const find = (which: number) => {
    const match = matches[which];
    setChosen(which);
    if (!match) return;
    const word = reader.current?.querySelector<HTMLElement>(`[data-word="${match.first}"]`);
    word?.scrollIntoView({ block: "nearest" });
    playhead.seek(spoken[match.first]?.start ?? 0);
  };
  return (
    <section class="panel transcript" aria-labelledby={id}>
      <header class="section-head">
        <div>
          <h3 id={id}>Transcript</h3>
          <p class="muted">{about(transcript, isOver)}</p>
        </div>
        {transcript.segments.length > 0 && (
          <div class="row">
            <Search
              query={query}
              found={matches.length}
              chosen={chosen}
              onQuery={(wanted) => {
                setQuery(wanted);
                setChosen(0);
              }}
              onFind={find}
            />
            <Copy text={text} what="the transcript" />
          </div>
        )}
      </header>
      {transcript.model === DEMO_MODEL && <DemoNote />}
      {numbers}
      {transcript.segments.length ? (
        <Words
          {...{ transcript, spoken, playhead, timeline, reader, matches }}
          speech={report.speech}
          chosen={matches[chosen] ?? null}
        />
      ) : (
        <p class="muted">{isOver ? "No speech was found." : "Listening …"}</p>
      )}
    </section>
  );
}

function DemoNote() {
  return (
    <p class="demo-note">
      <strong>Heard by the demo model.</strong> It ships with decibus so that everything works without a network, and
      knows 57 words: the numbers, and a few commands. It takes whatever it hears for one of them. Set{" "}
      <code>DECIBUS_MODEL=small</code> for a real transcript.
    </p>
  );
}

interface SearchProps {
  query: string;
  found: number;
  chosen: number;
  onQuery: (query: string) => void;
  onFind: (which: number) => void;
}

function Search({ query, found, chosen, onQuery, onFind }: SearchProps) {
  const step = (by: number) => found && onFind((chosen + by + found) % found);
  return (
    <div class="find-words" role="search">
      <input
        type="search"
        class="field"
        placeholder="Search"
        aria-label="Search the transcript"
        value={query}
        onInput={(event) => onQuery(event.currentTarget.value)}
        onKeyDown={(event) => {
          if (event.key !== "Enter" || !found) return;
          event.preventDefault();
          step(event.shiftKey ? -1 : 1);
        }}
      />
      <span class="muted found-count" role="status">
        {query.trim() && (found ? `${chosen + 1} of ${found}` : "not found")}
      </span>
    </div>
  );
}

function about({ language, language_probability, model, segments }: Heard, isOver: boolean): string {
  if (!isOver) return `${count(segments.length, "segment")} so far: words appear as they are heard`;
  const parts = [];
  if (language) {
    const sure = language_probability === null ? "" : ` (${percent(language_probability)} sure)`;
    parts.push(`${languageName(language)}${sure}`);
  }
  if (model) parts.push(`model ${model}`);
  if (segments.length) parts.push(count(segments.length, "segment"));
  return parts.join(" · ");
}

function languageName(code: string): string {
  try {
    return new Intl.DisplayNames(["en"], { type: "language" }).of(code) ?? code;
  } catch {
    return code;
  }
}
