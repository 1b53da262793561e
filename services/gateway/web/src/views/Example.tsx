import { useMemo } from "preact/hooks";

import { example } from "../example";
import { Heading } from "../parts/Heading";
import { LateReport } from "../parts/Report";

/** The made example by itself. */
export function ExamplePage() {
  const report = useMemo(example, []);
  return (
    <>
      <header class="report-head">
        <div>
          <p class="label">A made example</p>
          <Heading>{report.filename}</Heading>
          <p class="muted">Nobody has recorded this song. Every number is one it could have.</p>
        </div>
        <a class="button primary" href="#/">
          Measure your own
        </a>
      </header>
      <LateReport report={report} />
    </>
  );
}
