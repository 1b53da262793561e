import { useCallback, useEffect, useMemo, useState } from "preact/hooks";

import type { Report, Segment, Timeline, Transcript } from "../api/types";
import { usePlayhead, type Playhead } from "../charts/playhead";
import { measure } from "../charts/say";
import { clock, level } from "../format";
import { bySegment, isHeard, loudnessOf, spokenAt, type Match, type Spoken } from "./words";

/** Of so many lines, those that are far away are not laid out. */
const LONG = 300;

interface WordsProps {
  transcript: Transcript;
  speech: Report["speech"];
  spoken: readonly Spoken[];
  playhead: Playhead;
  timeline: Timeline | null;
  reader: { current: HTMLOListElement | null };
  matches: readonly Match[];
  chosen: Match | null;
}

/** The words, a line a segment. One stop for the tab key, from which the arrows go on. */
export function Words(props: WordsProps) {
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
