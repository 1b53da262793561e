import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";

import { apiKey, Refusal } from "../api/client";
import { type Entry, list, type Query, remove } from "../api/library";
import { clock, level, when } from "../format";
import { Delete } from "../parts/Delete";
import { Heading, toHeading } from "../parts/Heading";
import { Icon } from "../parts/Icon";
import { Trouble } from "../parts/Trouble";
import { languageName, wish } from "./options";

const TYPING_MS = 250;

interface Shelf {
  entries: readonly Entry[];
  next: string | null;
  refusal: Refusal | null;
  isRead: boolean;
}

const UNREAD: Shelf = { entries: [], next: null, refusal: null, isRead: false };

/** The reports that are kept: newest first, found by their names or their words, deleted by choice. */
export function Library() {
  const query = useSignal<Query>({ words: "", inText: false });
  const { shelf, more, drop } = useShelf(query.value);
  const { entries, next, refusal, isRead } = shelf;
  return (
    <>
      <section class="hero small">
        <Heading>Library</Heading>
        <p class="lead">Reports that were kept on purpose, newest first. They stay until somebody deletes them.</p>
      </section>
      <Search query={query.value} onChange={(change) => (query.value = { ...query.peek(), ...change })} />
      {refusal && <Trouble refusal={refusal} />}
      <p class="sr-only" role="status">
        {isRead && !refusal ? told(entries.length, next !== null) : ""}
      </p>
      {isRead && !entries.length && !refusal && <Empty words={query.value.words} />}
      {entries.length > 0 && (
        <ul class="shelf panel" aria-label="Kept reports">
          {entries.map((entry) => (
            <Line key={entry.id} entry={entry} onDelete={() => drop(entry)} />
          ))}
        </ul>
      )}
      {next && (
        <button type="button" class="button more" onClick={more}>
          Show more
        </button>
      )}
    </>
  );
}

/** Keep the list as the query has it; the words are waited for while they are typed. */
function useShelf(query: Query) {
  const shelf = useSignal(UNREAD);
  const key = apiKey.value;
  const { words, inText } = query;

  const read = async (cursor: string | null, signal: AbortSignal) => {
    try {
      const { data, next } = await list({ words: words.trim(), inText }, cursor, signal);
      const before = cursor ? shelf.peek().entries : [];
      shelf.value = { entries: [...before, ...data], next, refusal: null, isRead: true };
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof Refusal)) throw error;
      shelf.value = { ...shelf.peek(), refusal: error, isRead: true };
    }
  };

  useEffect(() => {
    const ending = new AbortController();
    const timer = setTimeout(() => void read(null, ending.signal), shelf.peek().isRead ? TYPING_MS : 0);
    return () => {
      clearTimeout(timer);
      ending.abort();
    };
  }, [words, inText, key]);

  const more = () => void read(shelf.peek().next, new AbortController().signal);

  const drop = (entry: Entry) => {
    toHeading();
    const before = shelf.peek();
    shelf.value = { ...before, entries: before.entries.filter(({ id }) => id !== entry.id) };
    remove(entry.id).catch((error: unknown) => {
      if (!(error instanceof Refusal)) throw error;
      shelf.value = { ...before, refusal: error };
    });
  };

  return { shelf: shelf.value, more, drop };
}

function Search({ query, onChange }: { query: Query; onChange: (change: Partial<Query>) => void }) {
  return (
    <div role="search" class="search">
      <label class="search-field">
        <span class="sr-only">Search the library</span>
        <Icon name="search" />
        <input
          type="search"
          class="field"
          placeholder="Search by file name"
          autocomplete="off"
          value={query.words}
          onInput={(event) => onChange({ words: event.currentTarget.value })}
        />
      </label>
      <label class="check">
        <input
          type="checkbox"
          checked={query.inText}
          onChange={(event) => onChange({ inText: event.currentTarget.checked })}
        />
        <span>and in what was said</span>
      </label>
    </div>
  );
}

function Line({ entry, onDelete }: { entry: Entry; onDelete: () => void }) {
  const name = nameOf(entry);
  return (
    <li class="line-of-shelf">
      <a class="shelf-link" href={`#/library/${entry.id}`}>
        <strong>{name}</strong>
        <span class="muted excerpt">{entry.excerpt || "No words"}</span>
      </a>
      <span class="shelf-fact">
        {level(entry.integrated_lufs)} <span class="unit">LUFS</span>
      </span>
      <span class="shelf-fact">{entry.audio_length === null ? "" : clock(entry.audio_length)}</span>
      <span class="shelf-fact">{entry.language ? languageName(entry.language) : ""}</span>
      <time class="shelf-fact muted" dateTime={entry.created_at}>
        {when(entry.created_at)}
      </time>
      <Delete name={name} onDelete={onDelete} isSmall />
    </li>
  );
}

function Empty({ words }: { words: string }) {
  if (words)
    return <p class="empty muted">Nothing has “{words}” in its name. Try another word, or search the words too.</p>;
  return (
    <div class="empty">
      <p class="muted">Nothing is kept yet. Choose “Keep the report: In the library” when you measure a file.</p>
      <a class="button" href="#/" onClick={() => wish({ retention: "library" })}>
        Measure a file, and keep it
      </a>
    </div>
  );
}

function nameOf({ filename }: Entry): string {
  return filename || "Without a name";
}

function told(count: number, isMore: boolean): string {
  return `${count}${isMore ? " or more" : ""} ${count === 1 ? "report" : "reports"}`;
}
