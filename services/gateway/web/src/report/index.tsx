import type { Report } from "../api/types";

export interface ReportViewProps {
  report: Report;
  /** The audio itself, when the visitor has just chosen it: for the waveform and for playing. */
  file?: File | undefined;
}

/**
 * Show a report, complete or not: from the verdict to the provenance, with its downloads.
 *
 * Around it the page shows the file's name as the heading (h1; this begins at h2), the private link
 * with its expiry, deletion, and progress while the report is not complete.
 */
export function ReportView({ report }: ReportViewProps) {
  return <pre>{JSON.stringify(report, null, 2)}</pre>;
}
