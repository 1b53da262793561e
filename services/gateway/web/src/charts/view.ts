/** Which part of the audio a chart shows, in seconds: zooming and following. Pure. */

export interface View {
  start: number;
  end: number;
}

/** So little is shown at most: a word or two. */
const MIN_SPAN_S = 2;

/** Show all of it; nothing has no length either. */
export function whole(duration: number): View {
  return { start: 0, end: Math.max(duration, 0.1) };
}

/** Show `factor` times less, so that `at` stays where it is. */
export function zoomed(view: View, factor: number, at: number, duration: number): View {
  const { start, end } = view;
  const all = whole(duration).end;
  const span = Math.min(all, Math.max(Math.min(MIN_SPAN_S, all), (end - start) / factor));
  const place = (clamp(at, start, end) - start) / (end - start);
  return from(at - place * span, span, all);
}

/** Move by `by` seconds, up to the ends. */
export function panned(view: View, by: number, duration: number): View {
  return from(view.start + by, view.end - view.start, whole(duration).end);
}

/** Turn the page when `time` has left it; the same view when it has not. */
export function following(view: View, time: number, duration: number): View {
  if (time >= view.start && time <= view.end) {
    return view;
  }
  const span = view.end - view.start;
  return from(time - span / 10, span, whole(duration).end);
}

/** Keep a value within its bounds. */
export function clamp(value: number, low: number, high: number): number {
  return Math.min(Math.max(value, low), high);
}

function from(start: number, span: number, all: number): View {
  const first = clamp(start, 0, all - span);
  return { start: first, end: first + span };
}
