import { useId } from "preact/hooks";

import type { AudioFormat, Report } from "../api/types";
import { measure } from "../charts/say";
import { duration, size } from "../format";

/** What made the numbers, and of what: enough to have them again. */
export function Provenance({ report }: { report: Report }) {
  const id = useId();
  const { audio, provenance, timings } = report;
  const rows: [string, string | null][] = [
    ["File", `${size(report.bytes)} (${report.bytes.toLocaleString("en")} bytes)`],
    ["SHA-256", report.sha256],
    ["Format", audio && formatOf(audio)],
    ["Decoder", provenance.decoder],
    ["Speech model", provenance.model],
    ["Standards", provenance.standards.join(", ") || null],
    ["True peak by BS.1770-5’s own filter", bs1770(report)],
    ["Relative gate", gate(report)],
    ["decibus", provenance.decibus],
    ["Received", new Date(report.created_at).toLocaleString()],
    ["Time taken", taken(timings)],
  ];
  return (
    <section class="panel provenance" aria-labelledby={id}>
      <h3 id={id}>Where the numbers come from</h3>
      <dl>
        {rows.map(
          ([name, value]) =>
            value && (
              <div>
                <dt>{name}</dt>
                <dd>{value}</dd>
              </div>
            ),
        )}
      </dl>
    </section>
  );
}

function formatOf({ container, codec, bit_depth, bit_rate, sample_rate, layout, duration: long }: AudioFormat): string {
  const parts = [
    container === codec ? container : `${container}, ${codec}`,
    bit_depth ? `${bit_depth} bit` : bit_rate && `${Math.round(bit_rate / 1000)} kbit/s`,
    `${(sample_rate / 1000).toLocaleString("en")} kHz`,
    layout,
    `${long.toFixed(2)} s`,
  ];
  return parts.filter(Boolean).join(" · ");
}

function bs1770({ peak }: Report): string | null {
  const value = peak?.true_peak_bs1770_dbtp;
  return value == null ? null : measure(value, "dBTP");
}

function gate({ loudness }: Report): string | null {
  const value = loudness?.threshold_lufs;
  return value == null ? null : measure(value, "LUFS");
}

function taken({ queue_wait, analyze, transcribe, total }: Report["timings"]): string | null {
  const parts = [
    total !== null && `${duration(total)} in all`,
    queue_wait !== null && `queue ${duration(queue_wait)}`,
    analyze !== null && `loudness ${duration(analyze)}`,
    transcribe !== null && `speech ${duration(transcribe)}`,
  ].filter(Boolean);
  return parts.join(" · ") || null;
}
