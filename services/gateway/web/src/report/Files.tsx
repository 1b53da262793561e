import { useEffect, useId, useState } from "preact/hooks";

import { at } from "../api/client";
import type { Report } from "../api/types";
import { Copy } from "../parts/Copy";
import { expiryOf, nextLook } from "./expiry";
import { fileName } from "./names";

interface FilesProps {
  report: Report;
  /** Where the API has it. */
  path: string;
}

/** The report as files, and as a link for as long as that works. */
export function Files({ report, path }: FilesProps) {
  const id = useId();
  const expiry = useExpiry(report.expires_at);
  const link = new URL(`#/report/${report.token}`, location.href).href;
  return (
    <section class="panel files" aria-labelledby={id}>
      <header class="section-head">
        <div>
          <h3 id={id}>Take it with you</h3>
          <p class={expiry.isOver ? "expired" : "muted"} role={expiry.isOver ? "alert" : undefined}>
            {about(report, expiry)}
          </p>
        </div>
        {!expiry.isOver && report.token && <Copy text={link} what="the link" wide />}
      </header>
      {!expiry.isOver && <Downloads {...{ report, path }} />}
    </section>
  );
}

interface Expiry {
  words: string;
  isOver: boolean;
}

function about({ expires_at }: Report, { words, isOver }: Expiry): string {
  if (isOver) return `The report ${words}: its link and its files are gone. What you see is this page’s copy.`;
  if (expires_at) return `Whoever has the link can read this report. It ${words}.`;
  return "Kept in the library until it is deleted.";
}

function Downloads({ report, path }: { report: Report; path: string }) {
  const [hasCurve, hasWords] = [!!report.loudness?.timeline, !!report.transcript?.segments.length];
  const files: [suffix: string, ending: string, what: string, label: string, isThere: boolean][] = [
    ["", "json", "report", "The report", true],
    [".csv", "csv", "loudness", "Loudness over time", hasCurve],
    [".txt", "txt", "transcript", "Transcript", hasWords],
    [".srt", "srt", "transcript", "Subtitles, SubRip", hasWords],
    [".vtt", "vtt", "transcript", "Subtitles, WebVTT", hasWords],
    [".json", "json", "transcript", "Words and times", hasWords],
  ];
  return (
    <ul class="downloads">
      {report.output && (
        <li>
          <a href={at(report.output.download_url)} download>
            <span class="ending">{report.output.format.codec.toUpperCase()}</span>
            The converted file
          </a>
        </li>
      )}
      {files.map(
        ([suffix, ending, what, label, isThere]) =>
          isThere && (
            <li>
              <a href={at(path + suffix)} download={fileName(report.filename, what, ending)}>
                <span class="ending">{ending.toUpperCase()}</span>
                {label}
              </a>
            </li>
          ),
      )}
    </ul>
  );
}

/** Say when the link ends, for as long as it is looked at. */
function useExpiry(expiresAt: string | null): Expiry {
  const [now, setNow] = useState(() => new Date());
  const end = expiresAt === null ? null : new Date(expiresAt);
  const isOver = end !== null && end <= now;
  useEffect(() => {
    if (end === null || isOver) return;
    const timer = setTimeout(() => setNow(new Date()), nextLook(end, now));
    return () => clearTimeout(timer);
  }, [expiresAt, now, isOver]);
  return { words: end ? expiryOf(end, now) : "", isOver };
}
