/** What each number means, in a sentence: docs/measurements.md in short. */

export const MEANS = {
  integrated:
    "Loudness of the whole file after K-weighting. Blocks of 0.4 s under −70 LUFS, and those 10 LU under the mean of the rest, do not count (ITU-R BS.1770-5).",
  truePeak:
    "The highest level of the signal between its samples, too, found by interpolation (ITU-R BS.1770-5, annex 2). Over the ceiling, a converter or a lossy encoder may clip.",
  range:
    "How far the quiet and the loud parts are apart: the 10th to the 95th percentile of the short-term loudness (EBU Tech 3342). To be relied on from 60 s on.",
  plr: "Peak to loudness ratio: true peak minus integrated loudness: the less, the more the file was limited.",
  psr: "Peak to short-term ratio: sample peak minus short-term loudness of the same 3 s, where that is least: how squashed the densest part is.",
  momentary: "The loudest 0.4 s, not gated (EBU Tech 3341).",
  shortTerm: "The loudest 3 s, not gated (EBU Tech 3341).",
  samplePeak: "The largest sample, without looking between them.",
  clipped: "Samples at 0.9999 of full scale or over, in all channels.",
  correlation: "How much left and right have in common: 1 is mono, 0 is nothing, under 0 they cancel out in mono.",
  balance: "How much stronger one channel is than the other.",
  dc: "The mean of each channel, which should be zero: anything else takes headroom. The largest one is shown.",
  silence: "Before the first and after the last sample over −60 dBFS.",
  speechGated: "Loudness where there is speech, and only there. Music under the speech is measured with it.",
  speechRatio: "How much of the file is speech.",
} as const;
