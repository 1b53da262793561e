import type { ComponentChildren } from "preact";

import type { Report } from "../api/types";
import { count } from "../charts/say";
import { duration, level, percent, signed } from "../format";
import { MEANS } from "./definitions";
import { Term } from "./Term";

/** All other numbers, each with what it means. What was not measured is left out. */
export function Numbers({ report }: { report: Report }) {
  const { loudness, peak, stereo, dc_offset, silence } = report;
  return (
    <dl class="numbers panel">
      {loudness && (
        <>
          <Number name="Loudness range" means={MEANS.range} note={loudness.stable ? "LRA" : "LRA; a short file"}>
            <Value value={loudness.range_lu} unit="LU" />
          </Number>
          <Number name="Short-term max" means={MEANS.shortTerm} note="loudest 3 s">
            <Value value={loudness.short_term_max_lufs} unit="LUFS" />
          </Number>
          <Number name="Momentary max" means={MEANS.momentary} note="loudest 0.4 s">
            <Value value={loudness.momentary_max_lufs} unit="LUFS" />
          </Number>
        </>
      )}
      {peak && (
        <>
          <Number name="PLR" means={MEANS.plr} note="peak to loudness">
            <Value value={peak.plr_lu} unit="LU" />
          </Number>
          <Number name="Least PSR" means={MEANS.psr} note="in the densest 3 s">
            <Value value={peak.psr_min_lu} unit="LU" />
          </Number>
          <Number name="Sample peak" means={MEANS.samplePeak} note="the largest sample">
            <Value value={peak.sample_peak_dbfs} unit="dBFS" />
          </Number>
          <Number name="Clipped" means={MEANS.clipped} note="at full scale">
            <Count amount={peak.clipped_samples} />
          </Number>
        </>
      )}
      {stereo && (
        <>
          <Number name="Correlation" means={MEANS.correlation} note={wide(stereo.correlation)}>
            <Value value={stereo.correlation} unit="" digits={2} />
          </Number>
          <Number name="Balance" means={MEANS.balance} note={side(stereo.balance_db)}>
            <Value value={stereo.balance_db === null ? null : Math.abs(stereo.balance_db)} unit="dB" />
          </Number>
        </>
      )}
      {dc_offset && dc_offset.length > 0 && (
        <Number name="DC offset" means={MEANS.dc} note="of full scale">
          <span class="value">{level(100 * largest(dc_offset), 2)}</span>
          <span class="unit">%</span>
        </Number>
      )}
      {silence && (
        <Number name="Silence" means={MEANS.silence} note={`at the start, ${duration(silence.tail_s)} at the end`}>
          <Value value={silence.lead_s} unit="s" />
        </Number>
      )}
    </dl>
  );
}

/** The loudness of the speech itself, which needs the results of both tasks. */
export function SpeechNumbers({ report }: { report: Report }) {
  const { speech, loudness } = report;
  if (!speech) return null;
  const [speaks, all] = [speech.speech_gated_lufs, loudness?.integrated_lufs ?? null];
  const off = speaks === null || all === null ? "" : `${signed(speaks - all)} LU next to the whole file`;
  return (
    <dl class="numbers">
      <Number name="Speech-gated" means={MEANS.speechGated} note={off}>
        <Value value={speaks} unit="LUFS" />
      </Number>
      <Number
        name="Speech"
        means={MEANS.speechRatio}
        note={speech.found_by === "vad" ? "of the file" : "of the file, by the segments"}
      >
        <span class="value">{percent(speech.speech_ratio).replace(/\s?%/u, "")}</span>
        <span class="unit">%</span>
      </Number>
    </dl>
  );
}

interface NumberProps {
  name: string;
  means: string;
  note: string;
  children: ComponentChildren;
}

function Number({ name, means, note, children }: NumberProps) {
  return (
    <div class="number">
      <dt>
        <Term means={means}>{name}</Term>
      </dt>
      <dd>
        {children}
        {note && <span class="note">{note}</span>}
      </dd>
    </div>
  );
}

function Value({ value, unit, digits = 1 }: { value: number | null; unit: string; digits?: number }) {
  if (value === null) return <span class="value none">none</span>;
  return (
    <>
      <span class="value">{level(value, digits)}</span>
      {unit && <span class="unit">{unit}</span>}
    </>
  );
}

function Count({ amount }: { amount: number }) {
  const [value, unit] = count(amount, "sample").split("\u00a0");
  return (
    <>
      <span class="value">{value}</span>
      <span class="unit">{unit}</span>
    </>
  );
}

function largest(offsets: number[]): number {
  return offsets.reduce((most, each) => (Math.abs(each) > Math.abs(most) ? each : most), 0);
}

function wide(correlation: number | null): string {
  if (correlation === null) return "one channel is silent";
  if (correlation > 0.995) return "the same on both sides";
  return correlation < 0 ? "cancels out in mono" : "left with right";
}

function side(balance: number | null): string {
  if (balance === null) return "one channel is silent";
  if (Math.abs(balance) < 0.05) return "equally strong";
  return balance > 0 ? "more on the right" : "more on the left";
}
