/**
 * What the gateway answers: `services/gateway/report.py` and `decibus/messages.py`, in TypeScript.
 *
 * Times are seconds, instants ISO 8601. What silence does not have is null, and so is what a task
 * has not delivered.
 */

export type TaskName = "analyze" | "transcribe" | "transcode";
export type State = "queued" | "running" | "done" | "failed";
export type Retention = "ttl" | "library" | "once";

/** `position` 1 is next; `eta_s` is null until a worker was heard. */
export interface Place {
  position: number;
  eta_s: number | null;
}

/** What container and codec say. `bit_rate` in bit/s. */
export interface AudioFormat {
  container: string;
  codec: string;
  sample_rate: number;
  channels: number;
  layout: string;
  bit_depth: number | null;
  bit_rate: number | null;
  duration: number;
}

/** LUFS. Entry k is the window that ends `(k + 1) * step_s` after the start. */
export interface Timeline {
  step_s: number;
  momentary: (number | null)[];
  short_term: (number | null)[];
}

/** `stable`: long enough (60 s) for `range_lu`. `timeline` on request. */
export interface Loudness {
  integrated_lufs: number | null;
  range_lu: number | null;
  momentary_max_lufs: number | null;
  short_term_max_lufs: number | null;
  threshold_lufs: number | null;
  stable: boolean;
  timeline: Timeline | null;
}

export interface ChannelPeak {
  channel: string;
  true_peak_dbtp: number | null;
  sample_peak_dbfs: number | null;
}

export interface Peak {
  true_peak_dbtp: number | null;
  true_peak_bs1770_dbtp: number | null;
  sample_peak_dbfs: number | null;
  per_channel: ChannelPeak[];
  plr_lu: number | null;
  psr_min_lu: number | null;
  clipped_samples: number;
}

export type BandName = "sub" | "bass" | "low_mid" | "mid" | "high_mid" | "air";
export type Position = "below" | "in" | "above";

/** The level of a band relative to the whole; reference and position only with a genre. */
export interface Band {
  name: BandName;
  low_hz: number;
  high_hz: number;
  level_db: number | null;
  reference: { low_db: number; high_db: number; source: string } | null;
  position: Position | null;
}

/** `balance_db` is positive when the right channel is stronger. */
export interface Stereo {
  correlation: number | null;
  balance_db: number | null;
}

/** What becomes of the file at one target. */
export interface Delivery {
  name: string;
  lufs: number;
  ceiling_dbtp: number;
  gain_db: number | null;
  pass: boolean | null;
  source: string;
}

export type Level = "ok" | "note" | "warn";

/** `rule` is stable, `text` is a sentence for people. */
export interface Finding {
  rule: string;
  level: Level;
  text: string;
}

export interface Word {
  start: number;
  end: number;
  word: string;
  probability: number;
}

/** A segment as it is heard; of those the socket tells, `loudness_lufs` is not known yet. */
export interface Segment {
  id: number;
  start: number;
  end: number;
  text: string;
  avg_logprob: number;
  no_speech_prob: number;
  compression_ratio: number;
  temperature: number;
  tokens: number[];
  language: string | null;
  words: Word[] | null;
  loudness_lufs?: number | null;
}

export interface Transcript {
  language: string | null;
  language_probability: number | null;
  model: string;
  segments: Segment[];
}

/** `loudest_segment` and `quietest_segment` are ids of segments. */
export interface Speech {
  speech_gated_lufs: number | null;
  speech_ratio: number;
  loudest_segment: number | null;
  quietest_segment: number | null;
  found_by: "vad" | "segments";
}

export interface Output {
  download_url: string;
  bytes: number;
  sha256: string;
  format: AudioFormat;
  unchanged: boolean;
}

export interface Timings {
  received: number;
  queue_wait: number | null;
  analyze: number | null;
  transcribe: number | null;
  transcode: number | null;
  total: number | null;
}

export interface Provenance {
  decibus: string;
  decoder: string | null;
  encoder: string | null;
  model: string | null;
  standards: string[];
}

export interface TaskError {
  task: TaskName;
  code: string;
  detail: string;
}

export interface Report {
  token: string;
  status: State;
  progress: number;
  queue: Place | null;
  filename: string | null;
  sha256: string;
  bytes: number;
  genre: string | null;
  target: string | null;
  created_at: string;
  expires_at: string | null;
  transcription: string | null;
  audio_length: number | null;
  latency: number | null;
  audio: AudioFormat | null;
  loudness: Loudness | null;
  peak: Peak | null;
  spectrum: { bands: Band[] } | null;
  stereo: Stereo | null;
  dc_offset: number[] | null;
  silence: { lead_s: number; tail_s: number } | null;
  targets: Delivery[] | null;
  verdict: Finding[] | null;
  transcript: Transcript | null;
  speech: Speech | null;
  output: Output | null;
  timings: Timings;
  provenance: Provenance;
  errors: TaskError[];
}

/** A message of `WS /ws/{token}`: docs/live.md. `report` is there in the first and in the last. */
export interface Update {
  type: "state";
  revision: number;
  status: State;
  progress: number;
  queue: Place | null;
  segments: Segment[];
  report: Report | null;
}

/** RFC 9457. `code` is stable, `detail` for people. */
export interface Problem {
  type: string;
  title: string;
  status: number;
  detail: string;
  code: string;
  trace_id: string;
}
