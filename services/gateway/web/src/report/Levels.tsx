import { useId } from "preact/hooks";

import type { Loudness, Peak, Report } from "../api/types";
import { Meter, over, told } from "../charts/Meter";
import type { Picture } from "../charts/picture";
import { measure } from "../charts/say";
import { level } from "../format";
import { MEANS } from "./definitions";
import { pictureOf } from "./names";
import { Sign } from "./Sign";
import { Term } from "./Term";

/** What the two meters hold a file against. */
export interface Aim {
  name: string;
  lufs: number;
  ceiling_dbtp: number;
}

/** The two numbers that a delivery is judged by, each large and on a meter. */
export function Levels({ report, aim }: { report: Report; aim: Aim }) {
  const { loudness, peak } = report;
  return (
    <>
      {loudness && <Integrated {...{ loudness, aim }} picture={pictureOf(report, "loudness meter")} />}
      {peak && <TruePeak {...{ peak, aim }} picture={pictureOf(report, "true peak meter")} />}
    </>
  );
}

function Integrated({ loudness, aim, picture }: { loudness: Loudness; aim: Aim; picture: Picture }) {
  const id = useId();
  const { integrated_lufs, momentary_max_lufs, short_term_max_lufs } = loudness;
  return (
    <section class="panel level" aria-labelledby={id}>
      <h3 id={id} class="sr-only">
        Integrated loudness
      </h3>
      <Term means={MEANS.integrated}>Integrated loudness</Term>
      <Reading value={integrated_lufs} unit="LUFS" />
      <p class="muted">{loudnessNext(integrated_lufs, aim)}</p>
      <Meter
        title={`Integrated loudness: ${measure(integrated_lufs, "LUFS")}`}
        unit="LUFS"
        bars={[{ label: "Integrated", value: integrated_lufs }]}
        marks={[
          { label: "Short-term max", value: short_term_max_lufs },
          { label: "Momentary max", value: momentary_max_lufs },
        ]}
        aim={{ label: aim.name, value: aim.lufs }}
        scale={[-36, 0]}
        step={6}
        summary={told("Integrated loudness", integrated_lufs, "LUFS", {
          label: `${aim.name}’s target`,
          value: aim.lufs,
        })}
        picture={picture}
      />
    </section>
  );
}

function TruePeak({ peak, aim, picture }: { peak: Peak; aim: Aim; picture: Picture }) {
  const id = useId();
  const { true_peak_dbtp, per_channel } = peak;
  const isOver = true_peak_dbtp !== null && over(true_peak_dbtp, aim.ceiling_dbtp);
  return (
    <section class="panel level" aria-labelledby={id}>
      <h3 id={id} class="sr-only">
        True peak
      </h3>
      <Term means={MEANS.truePeak}>True peak</Term>
      <Reading value={true_peak_dbtp} unit="dBTP" />
      <p class="muted">
        {true_peak_dbtp !== null && <Sign level={isOver ? "warn" : "ok"} />}
        {peakNext(true_peak_dbtp, aim)}
      </p>
      <Meter
        title={`True peak: ${measure(true_peak_dbtp, "dBTP")}`}
        unit="dBTP"
        bars={per_channel.map(({ channel, true_peak_dbtp: value }) => ({ label: channel, value }))}
        aim={{ label: "Ceiling", value: aim.ceiling_dbtp }}
        isCeiling
        scale={[-18, 3]}
        step={3}
        summary={told("True peak", true_peak_dbtp, "dBTP", { label: "the ceiling", value: aim.ceiling_dbtp })}
        picture={picture}
      />
    </section>
  );
}

function Reading({ value, unit }: { value: number | null; unit: string }) {
  if (value === null) return <p class="reading none">none</p>;
  return (
    <p class="reading">
      {level(value)}
      <span class="unit">{unit}</span>
    </p>
  );
}

/** Say how a loudness is next to what it is held against. */
export function loudnessNext(lufs: number | null, { name, lufs: wanted }: Aim): string {
  if (lufs === null) return "Silence, or less than 0.4 s, has no loudness.";
  const off = lufs - wanted;
  if (Math.abs(off) < 0.05) return `Just what ${name} asks for.`;
  return `${level(Math.abs(off))} LU ${off > 0 ? "louder" : "quieter"} than ${name}’s ${level(wanted, 0)} LUFS.`;
}

/** Say how a peak is next to the ceiling. */
export function peakNext(dbtp: number | null, { name, ceiling_dbtp }: Aim): string {
  if (dbtp === null) return "Silence has no peak.";
  const off = Math.abs(dbtp - ceiling_dbtp);
  const where = over(dbtp, ceiling_dbtp) ? `${level(off)} dB over` : off < 0.05 ? "Just at" : `${level(off)} dB under`;
  return `${where} ${name}’s ceiling of ${level(ceiling_dbtp, 0)} dBTP.`;
}
