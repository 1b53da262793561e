import { useId } from "preact/hooks";

import type { Finding, Level, Report } from "../api/types";
import { count } from "../charts/say";
import { Sign } from "./Sign";

/** Say what was found: first what matters, and what is in order behind a line. */
export function Verdict({ findings }: { findings: Finding[] }) {
  const id = useId();
  const by = (level: Level) => findings.filter((finding) => finding.level === level);
  const [warnings, notes, fine] = [by("warn"), by("note"), by("ok")];
  return (
    <section class="panel verdict" aria-labelledby={id}>
      <h3 id={id}>{inShort(warnings.length, notes.length)}</h3>
      <Findings findings={[...warnings, ...notes]} />
      {fine.length > 0 && (
        <details open={!warnings.length && !notes.length}>
          <summary>{count(fine.length, "check")} in order</summary>
          <Findings findings={fine} />
        </details>
      )}
      <p class="fine-print">Orientation, not mastering advice: your ears have the last word.</p>
    </section>
  );
}

/** Say which of the two tasks have failed; what the other found stands on its own. */
export function Failures({ errors }: Pick<Report, "errors">) {
  const names = { analyze: "No loudness", transcribe: "No transcript", transcode: "No converted file" };
  return (
    <>
      {errors.map(({ task, detail }) => (
        <p class="panel failure" role="alert">
          <Sign level="warn" />
          <span>
            {names[task]}: {detail}.
          </span>
        </p>
      ))}
    </>
  );
}

function Findings({ findings }: { findings: Finding[] }) {
  if (!findings.length) return null;
  return (
    <ul class="findings">
      {findings.map(({ level, text }) => (
        <li class={level}>
          <Sign level={level} />
          <span>{text}</span>
        </li>
      ))}
    </ul>
  );
}

/** The verdict in a line. */
export function inShort(warnings: number, notes: number): string {
  const things = (amount: number) => (amount === 1 ? "One thing" : `${amount} things`);
  if (warnings && notes) return `${things(warnings)} to mend, ${notes} more to look at`;
  if (warnings) return `${things(warnings)} to mend`;
  return notes ? `${things(notes)} to look at` : "Nothing stands out";
}
