/** How long a link works, in words. Pure. */

/** Say when a link ends: "expires in 14 minutes, at 23:10". */
export function expiryOf(expiresAt: Date, now: Date, at = timeOfDay): string {
  const left = (expiresAt.getTime() - now.getTime()) / 1000;
  if (left <= 0) return `expired at ${at(expiresAt)}`;
  return `expires in ${inWords(left)}, at ${at(expiresAt)}`;
}

/** Say how long, to the minute, and to the second at the end. */
function inWords(seconds: number): string {
  if (seconds < 60) return several(Math.ceil(seconds), "second");
  if (seconds < 5400) return several(Math.round(seconds / 60), "minute");
  if (seconds < 129_600) return several(Math.round(seconds / 3600), "hour");
  return several(Math.round(seconds / 86_400), "day");
}

/** Return after how many milliseconds the words change. */
export function nextLook(expiresAt: Date, now: Date): number {
  const left = expiresAt.getTime() - now.getTime();
  return left > 90_000 ? 10_000 : 1000;
}

function several(amount: number, unit: string): string {
  return `${amount} ${unit}${amount === 1 ? "" : "s"}`;
}

function timeOfDay(instant: Date): string {
  return instant.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
}
