/** What to do about a refusal, by its stable code: the problem's own words say what is wrong. */

const ADVICE: Record<string, string> = {
  unauthorized: "Enter the key that the gateway’s operator gave you.",
  not_audio: "Send audio: WAV, FLAC, MP3, AAC, Ogg or Opus, or a video that has a sound track.",
  too_large: "Send a shorter piece, or one in a compressed format such as FLAC.",
  too_long: "Send a shorter piece: by default six minutes are measured.",
  bad_audio: "Export it again: the file seems damaged, or it holds no sound.",
  unsupported: "Choose another language, or let it be detected.",
  conflict: "The first try may still be arriving. Try again in a minute.",
  rate_limited: "Wait a little, then try again.",
  backlog_full: "Too much is waiting. Try again in a minute.",
  storage_full: "It makes room by itself. Try again in a few minutes.",
  unavailable: "It usually comes back by itself. Try again in a moment.",
  unreachable: "Check the connection, then try again.",
  not_found: "Reports go after a quarter of an hour, unless they are kept in the library. Send the file again.",
  worker_lost: "Try again; if it fails again, something in this file is too much for the workers.",
};

/** Return what to do, as a sentence; nothing where we do not know better. */
export function advice(code: string, retryAfterS: number | null = null): string {
  const known = ADVICE[code] ?? "";
  if (retryAfterS === null || !["rate_limited", "backlog_full", "unavailable", "storage_full"].includes(code))
    return known;
  return `Try again in ${retryAfterS} s.`;
}

/** Make a sentence of a problem's detail: details begin small, as they stand after a colon. */
export function sentence(detail: string): string {
  const text = detail.trim();
  if (!text) return "";
  const begun = text[0]!.toUpperCase() + text.slice(1);
  return /[.!?…]$/.test(begun) ? begun : `${begun}.`;
}
