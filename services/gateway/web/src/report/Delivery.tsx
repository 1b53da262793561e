import { useId } from "preact/hooks";

import type { Delivery as Target, Report } from "../api/types";
import { over } from "../charts/Meter";
import { level, signed } from "../format";
import { Sign } from "./Sign";

/** What becomes of the file where it may be delivered to. */
export function Delivery({ report, targets }: { report: Report; targets: Target[] }) {
  const id = useId();
  return (
    <section class="panel delivery" aria-labelledby={id}>
      <header class="section-head">
        <div>
          <h3 id={id}>Where it goes</h3>
          <p class="muted">
            Gain is what a streaming service does to this file; for a specification, what you would have to do.
          </p>
        </div>
      </header>
      <div class="table-scroll" tabIndex={0} role="region" aria-label="Table of targets">
        <table class="targets">
          <thead>
            <tr>
              <th scope="col">Target</th>
              <th scope="col">Loudness</th>
              <th scope="col">Ceiling</th>
              <th scope="col">Gain</th>
              <th scope="col">Result</th>
            </tr>
          </thead>
          <tbody>
            {targets.map((target) => (
              <tr>
                <th scope="row">{target.name}</th>
                <td>
                  {level(target.lufs, 0)} <span class="unit">LUFS</span>
                </td>
                <td>
                  {level(target.ceiling_dbtp, 0)} <span class="unit">dBTP</span>
                </td>
                <td>
                  {signed(target.gain_db)} {target.gain_db !== null && <span class="unit">dB</span>}
                </td>
                <td class="passes">
                  <Result target={target} why={reasonOf(target, report)} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <details>
        <summary>Who says so</summary>
        <dl class="sources">
          {targets.map(({ name, source }) => (
            <div>
              <dt>{name}</dt>
              <dd>{source}</dd>
            </div>
          ))}
        </dl>
      </details>
    </section>
  );
}

function Result({ target: { pass }, why }: { target: Target; why: string }) {
  if (pass === null) return <>–</>;
  return (
    <>
      {why} <Sign level={pass ? "ok" : "note"} isAlone={false} />
    </>
  );
}

/** Say why a file does not pass: a peak over the ceiling first, as lowering that lowers all. */
export function reasonOf(
  { lufs, ceiling_dbtp, pass }: Target,
  { loudness, peak }: Pick<Report, "loudness" | "peak">,
): string {
  if (pass) return "passes";
  if (peak?.true_peak_dbtp != null && over(peak.true_peak_dbtp, ceiling_dbtp)) return "peak too high";
  return (loudness?.integrated_lufs ?? lufs) < lufs ? "too quiet" : "too loud";
}
