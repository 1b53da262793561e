import type { ComponentChildren } from "preact";
import { useCallback, useEffect, useId, useMemo, useRef, useState } from "preact/hooks";

import type { Report, Segment, Timeline, Transcript as Heard } from "../api/types";
import { usePlayhead, type Playhead } from "../charts/playhead";
import { count, measure } from "../charts/say";
import { clock, level, percent } from "../format";
import { Copy } from "../parts/Copy";
import { bySegment, isHeard, loudnessOf, matchesOf, spokenAt, type Match, type Spoken } from "./words";

/** The model that ships with decibus, so that it works without a network: it knows 57 words. */
const DEMO_MODEL = "decibus-demo";

const LONG = 300;

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

interface WordsProps {
  transcript: Heard;
  speech: Report["speech"];
  spoken: readonly Spoken[];
  playhead: Playhead;
  timeline: Timeline | null;
  reader: { current: HTMLOListElement | null };
  matches: readonly Match[];
  chosen: Match | null;
}

/** The words, a line a segment. One stop for the tab key, from which the arrows go on. */
function Words(props: WordsProps) {
  const { transcript, speech, spoken, playhead, timeline, reader, matches, chosen } = props;
  const [reached, setReached] = useState(0);
  const lines = useMemo(() => bySegment(spoken), [spoken]);
  useSpokenMark(reader, playhead, spoken);
  const wordOf = (event: Event) => {
    const button = (event.target as Element).closest<HTMLElement>("[data-word]");
    return button ? spoken[Number(button.dataset.word)] : undefined;
  };
  const goTo = (index: number) => {
    const next = Math.min(Math.max(0, index), spoken.length - 1);
    reader.current?.querySelector<HTMLElement>(`[data-word="${next}"]`)?.focus();
  };
  const key = (event: KeyboardEvent) => {
    const word = wordOf(event);
    if (!word || event.ctrlKey || event.metaKey || event.altKey) return;
    const line = (by: number) => lines[lines.findIndex((each) => each.includes(word)) + by]?.[0]?.index;
    const next: Record<string, number | undefined> = {
      ArrowRight: word.index + 1,
      ArrowLeft: word.index - 1,
      ArrowDown: line(1),
      ArrowUp: line(-1),
      Home: 0,
      End: spoken.length - 1,
    };
    // A button would take the space for a click, which is to play from here, and not to pause.
    if (event.key === " ") {
      event.preventDefault();
      playhead.toggle();
    } else if (event.key in next) {
      event.preventDefault();
      goTo(next[event.key] ?? word.index);
    }
  };
  return (
    <ol
      ref={reader}
      class={lines.length > LONG ? "words-read long" : "words-read"}
      lang={transcript.language ?? undefined}
      onKeyDown={key}
      onClick={(event) => {
        const word = wordOf(event);
        playhead.point(null);
        if (word) playhead.playFrom(word.start);
      }}
      onPointerOver={(event) => {
        const word = wordOf(event);
        playhead.point(word ? (word.start + word.end) / 2 : null);
      }}
      onPointerLeave={() => playhead.point(null)}
      onFocusIn={(event) => {
        const word = wordOf(event);
        if (!word) return;
        setReached(word.index);
        if (!playhead.isPlaying) playhead.seek(word.start);
      }}
    >
      {lines.map((words) => {
        const segment = transcript.segments[words[0]?.segment ?? 0];
        if (!segment) return null;
        return (
          <Line
            key={segment.id}
            {...{ segment, words, timeline, reached, matches, chosen }}
            rank={rankOf(segment, speech)}
          />
        );
      })}
    </ol>
  );
}

interface LineProps {
  segment: Segment;
  words: readonly Spoken[];
  timeline: Timeline | null;
  reached: number;
  matches: readonly Match[];
  chosen: Match | null;
  rank: string;
}

function Line({ segment, words, timeline, reached, matches, chosen, rank }: LineProps) {
  const kind = ({ index }: Spoken) => {
    if (chosen && index >= chosen.first && index <= chosen.last) return "word found chosen";
    return matches.some(({ first, last }) => index >= first && index <= last) ? "word found" : "word";
  };
  return (
    <li class="spoken-line">
      <span class="line-time">
        {clock(segment.start, 1)}
        {segment.loudness_lufs != null && <span class="line-level">{measure(segment.loudness_lufs, "LUFS")}</span>}
      </span>
      <span class="line-words" dir="auto">
        {rank && (
          <span class="rank" lang="en">
            {rank}
          </span>
        )}
        {words.map((word) => (
          <>
            {word.lead}
            <button
              type="button"
              class={kind(word)}
              data-word={word.index}
              tabIndex={word.index === reached ? 0 : -1}
              aria-label={`${word.text}${loudly(loudnessOf(word, timeline))}`}
            >
              {word.text}
            </button>
          </>
        ))}
      </span>
    </li>
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

/**
 * Mark the word that is heard. By hand: while it plays, a transcript of thousands of words is not
 * rendered again sixty times a second.
 */
function useSpokenMark(
  reader: { current: HTMLOListElement | null },
  playhead: Playhead,
  spoken: readonly Spoken[],
): void {
  const now = usePlayhead(
    playhead,
    useCallback(
      ({ time }: Playhead) => {
        const word = spokenAt(spoken, time);
        return word && isHeard(word, time) ? word.index : -1;
      },
      [spoken],
    ),
  );
  useEffect(() => {
    const button = reader.current?.querySelector<HTMLElement>(`[data-word="${now}"]`);
    button?.classList.add("now");
    if (button && playhead.isPlaying) keepInSight(button);
    return () => button?.classList.remove("now");
  }, [now, reader, playhead]);
}

/** Scroll the reader itself, never the page under somebody's hands. */
function keepInSight(button: HTMLElement): void {
  const box = button.closest<HTMLElement>(".words-read");
  if (!box) return;
  const [outer, inner] = [box.getBoundingClientRect(), button.getBoundingClientRect()];
  if (inner.bottom > outer.bottom - 8 || inner.top < outer.top)
    box.scrollTop += inner.top - outer.top - outer.height / 3;
}

function rankOf({ id }: Segment, speech: Report["speech"]): string {
  if (!speech || speech.loudest_segment === speech.quietest_segment) return "";
  if (id === speech.loudest_segment) return "▲ loudest";
  return id === speech.quietest_segment ? "▼ quietest" : "";
}

function loudly(lufs: number | null): string {
  return lufs === null ? "" : `, ${level(lufs)} LUFS`;
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
