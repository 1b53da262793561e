import { useEffect, useMemo } from "preact/hooks";

import { sendings, take } from "../desk";
import { example } from "../example";
import { Heading } from "../parts/Heading";
import { LateReport } from "../parts/Report";
import { Card } from "./Card";
import { DropZone } from "./DropZone";
import { Options } from "./Options";
import { wishes } from "./options";

/** Where files come in, and what has become of them. */
export function Measure() {
  const list = sendings.value;
  const isFirst = list.length === 0;
  useEffect(LateReport.prepare, []);
  return (
    <>
      <section class={isFirst ? "hero" : "hero small"} aria-labelledby="view">
        <Heading class={isFirst ? "display" : ""}>{isFirst ? "Every level. Every word." : "Measure"}</Heading>
        {isFirst && (
          <p class="lead">
            Drop a mix, a master or an episode. What comes back: its loudness and true peak by the broadcast standards,
            its tonal balance, and a transcript that shares the time axis with all of it.
          </p>
        )}
      </section>
      <section class="intake panel" aria-label="Upload">
        <DropZone onFiles={(files) => take(files, wishes.peek())} isSmall={!isFirst} />
        <Options />
      </section>
      {isFirst ? (
        <Example />
      ) : (
        <ul class="cards" aria-label="Your files">
          {list.map((sending) => (
            <Card key={sending.id} sending={sending} isAlone={list.length === 1} />
          ))}
        </ul>
      )}
    </>
  );
}

function Example() {
  const report = useMemo(example, []);
  return (
    <section class="example" aria-labelledby="example">
      <header class="example-head">
        <div>
          <p class="label">A made example</p>
          <h2 id="example">What comes back</h2>
        </div>
        <p class="muted">
          Nobody has recorded this song. Every number is one it could have. <a href="#/example">Open it alone</a>
        </p>
      </header>
      <LateReport report={report} />
    </section>
  );
}
