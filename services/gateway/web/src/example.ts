/**
 * A made report, for the first visit: what comes back, before anything was sent.
 *
 * Nobody has recorded it. The loudness over time is drawn from the sections of a song, and every
 * number is one that such a song could have.
 */

import type { BandName, Delivery, Finding, Level, Report, Segment, Timeline, Word } from "./api/types";

const DURATION_S = 96.4;
const STEP_S = 0.1;
const INTEGRATED_LUFS = -11.3;
const TRUE_PEAK_DBTP = -1.2;

/** From when on, in seconds, and how loud: an intro, verses, choruses, a break, an ending. */
const SECTIONS: [from_s: number, lufs: number][] = [
  [0, -19],
  [9.5, -13.2],
  [28, -9.6],
  [46.5, -12.6],
  [60, -17.5],
  [67, -8.9],
  [88, -15],
  [93, -27],
];

/** When a line is sung, and how loud. */
const LINES: [start: number, end: number, lufs: number, text: string][] = [
  [9.8, 13.6, -13.3, "We took the last ferry when the lights went down"],
  [14.2, 18.4, -12.7, "with the engine humming under half the town,"],
  [19.0, 22.9, -13.0, "you counted every window that was left awake"],
  [23.3, 27.4, -13.2, "and I lost the number for the counting’s sake."],
  [28.2, 32.1, -9.4, "Hold the line, hold the line,"],
  [32.6, 37.2, -9.6, "there is more of the night than the water can hide."],
  [37.8, 41.4, -9.0, "Hold the line, hold the line,"],
  [41.9, 46.2, -9.6, "I can hear it come back from the opposite side."],
  [60.6, 65.8, -17.2, "And it’s quiet here."],
  [67.1, 71.2, -8.6, "Hold the line, hold the line,"],
  [71.6, 76.4, -9.2, "there is more of the night than the water can hide."],
];

const BANDS: [BandName, number, number, number, number, number][] = [
  ["sub", 20, 60, -9.9, -16.8, -4.8],
  ["bass", 60, 250, -2.9, -5.8, 0.2],
  ["low_mid", 250, 500, -8.9, -11.0, -5.0],
  ["mid", 500, 2000, -8.3, -10.9, -4.9],
  ["high_mid", 2000, 6000, -12.2, -16.7, -8.7],
  ["air", 6000, 20000, -12.9, -24.1, -14.1],
];

const SERVICES: [name: string, lufs: number, ceiling_dbtp: number, isSpecification: boolean][] = [
  ["Spotify", -14, -2, false],
  ["Apple Music", -16, -1, false],
  ["YouTube", -14, -1, false],
  ["Tidal", -14, -1, false],
  ["Amazon Music", -14, -2, false],
  ["Deezer", -15, -1, false],
  ["EBU R 128", -23, -1, true],
];

const FINDINGS: [Level, string, string][] = [
  [
    "note",
    "loudness",
    "Loudness is −11.3 LUFS, louder than any streaming service plays (−16 to −14 LUFS): they turn it down by 2.7 to 4.7 dB, so that it gains nothing.",
  ],
  ["ok", "true_peak", "True peak is −1.2 dBTP, under the customary ceiling of −1 dBTP."],
  ["ok", "clipping", "No sample is clipped."],
  [
    "ok",
    "balance.sub",
    "Sub bass (20–60 Hz): in range at −9.9 dB of the whole; usual is −16.8 to −4.8 dB for pop, as an orientation.",
  ],
  [
    "ok",
    "balance.bass",
    "Bass (60–250 Hz): in range at −2.9 dB of the whole; usual is −5.8 to 0.2 dB for pop, as an orientation.",
  ],
  [
    "ok",
    "balance.low_mid",
    "Low mids (250–500 Hz): in range at −8.9 dB of the whole; usual is −11.0 to −5.0 dB for pop, as an orientation.",
  ],
  [
    "ok",
    "balance.mid",
    "Mids (500 Hz–2 kHz): in range at −8.3 dB of the whole; usual is −10.9 to −4.9 dB for pop, as an orientation.",
  ],
  [
    "ok",
    "balance.high_mid",
    "High mids (2–6 kHz): in range at −12.2 dB of the whole; usual is −16.7 to −8.7 dB for pop, as an orientation.",
  ],
  [
    "note",
    "balance.air",
    "Highs (6–20 kHz): slightly strong at −12.9 dB of the whole; usual is −24.1 to −14.1 dB for pop, as an orientation.",
  ],
  ["ok", "mono", "Correlation of left and right is 0.62: it holds in mono."],
  ["ok", "sides", "The right channel is 0.3 dB stronger."],
  ["ok", "dc_offset", "DC offset is 0.0 % of full scale."],
  ["ok", "silence", "0.2 s of silence at the start, 1.1 s at the end."],
];

/** Return the example, as `GET /result/{token}` would. */
export function example(): Report {
  const created = new Date();
  const segments = LINES.map(segment);
  return {
    token: "",
    status: "done",
    progress: 1,
    queue: null,
    filename: "Night Ferry (mix 4).wav",
    sha256: "e1a7".repeat(16),
    bytes: 27_763_244,
    genre: "pop",
    target: null,
    created_at: created.toISOString(),
    expires_at: null,
    transcription: LINES.map(([, , , text]) => text).join(" "),
    audio_length: DURATION_S,
    latency: 4.81,
    audio: {
      container: "wav",
      codec: "pcm_s24le",
      sample_rate: 48_000,
      channels: 2,
      layout: "stereo",
      bit_depth: 24,
      bit_rate: 2_304_000,
      duration: DURATION_S,
    },
    loudness: {
      integrated_lufs: INTEGRATED_LUFS,
      range_lu: 9.1,
      momentary_max_lufs: -7.2,
      short_term_max_lufs: -8.1,
      threshold_lufs: -21.4,
      stable: true,
      timeline: timeline(),
    },
    peak: {
      true_peak_dbtp: TRUE_PEAK_DBTP,
      true_peak_bs1770_dbtp: -1.3,
      sample_peak_dbfs: -1.5,
      per_channel: [
        { channel: "FL", true_peak_dbtp: -1.4, sample_peak_dbfs: -1.6 },
        { channel: "FR", true_peak_dbtp: TRUE_PEAK_DBTP, sample_peak_dbfs: -1.5 },
      ],
      plr_lu: 10.1,
      psr_min_lu: 7.1,
      clipped_samples: 0,
    },
    spectrum: {
      bands: BANDS.map(([name, low_hz, high_hz, level_db, low_db, high_db]) => ({
        name,
        low_hz,
        high_hz,
        level_db,
        reference: { low_db, high_db, source: "pop, an orientation profile: not measured" },
        position: level_db < low_db ? "below" : level_db > high_db ? "above" : "in",
      })),
    },
    stereo: { correlation: 0.62, balance_db: 0.3 },
    dc_offset: [0.00002, -0.00001],
    silence: { lead_s: 0.2, tail_s: 1.1 },
    targets: SERVICES.map(delivery),
    verdict: FINDINGS.map(([level, rule, text]): Finding => ({ level, rule, text })),
    transcript: { language: "en", language_probability: 0.98, model: "small", segments },
    speech: {
      speech_gated_lufs: -10.8,
      speech_ratio: 0.48,
      loudest_segment: 9,
      quietest_segment: 8,
      found_by: "vad",
    },
    output: null,
    timings: {
      received: 0.21,
      queue_wait: 0.02,
      analyze: 0.64,
      transcribe: 4.77,
      transcode: null,
      total: 4.81,
    },
    provenance: {
      decibus: "an example",
      decoder: "libav",
      encoder: null,
      model: "small",
      standards: ["ITU-R BS.1770-5", "EBU R 128", "EBU Tech 3341", "EBU Tech 3342"],
    },
    errors: [],
  };
}

function delivery([name, lufs, ceiling_dbtp, isSpecification]: (typeof SERVICES)[number]): Delivery {
  return {
    name,
    lufs,
    ceiling_dbtp,
    gain_db: lufs - INTEGRATED_LUFS,
    pass: TRUE_PEAK_DBTP <= ceiling_dbtp && !isSpecification,
    source: "an example",
  };
}

function segment([start, end, loudness_lufs, text]: (typeof LINES)[number], id: number): Segment {
  return {
    id,
    start,
    end,
    text,
    avg_logprob: -0.21,
    no_speech_prob: 0.02,
    compression_ratio: 1.2,
    temperature: 0,
    tokens: [],
    language: null,
    words: words(text, start, end),
    loudness_lufs,
  };
}

/** Give every word a part of the line as long as its letters. */
function words(text: string, start: number, end: number): Word[] {
  const parts = text.split(" ");
  const letters = parts.reduce((sum, part) => sum + part.length + 1, 0);
  let at = start;
  return parts.map((part, number) => {
    const begun = at;
    at += ((part.length + 1) / letters) * (end - start);
    const probability = 0.9 + 0.09 * Math.cos(number * 2.7);
    return { start: begun, end: at - 0.04, word: ` ${part}`, probability };
  });
}

/** Draw the momentary loudness: the section, a beat, some chance; short-term is its mean of 3 s. */
function timeline(): Timeline {
  const chance = chances(7);
  const count = Math.floor(DURATION_S / STEP_S);
  let smooth = -40;
  const momentary = Array.from({ length: count }, (_, k) => {
    const at = (k + 1) * STEP_S;
    const section = SECTIONS.findLast(([from]) => at >= from)?.[1] ?? -40;
    const beat = 1.1 * Math.cos((2 * Math.PI * at) / 1.92) + 0.5 * Math.cos((2 * Math.PI * at) / 7.68);
    smooth += 0.28 * (section + beat + 3.2 * (chance() - 0.5) - smooth);
    return at < 0.4 ? null : round(smooth);
  });
  const short_term = momentary.map((_, k) => {
    if ((k + 1) * STEP_S < 3) return null;
    const powers = momentary.slice(k - 29, k + 1).map((lufs) => 10 ** ((lufs ?? -120) / 10));
    return round(10 * Math.log10(powers.reduce((sum, each) => sum + each, 0) / powers.length));
  });
  return { step_s: STEP_S, momentary, short_term };
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}

/** Numbers in [0, 1) that look like chance and are always the same: mulberry32. */
function chances(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
