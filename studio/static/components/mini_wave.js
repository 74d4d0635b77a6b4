// @ts-check
// A small waveform without any library: one path.
import { html } from "../lib/html.js";

/** @param {{peaks: ArrayLike<number>, done?: number}} props done: the part that was played, 0 to 1 */
export function MiniWave({ peaks, done = 0 }) {
  const height = 32;
  const count = Math.min(peaks.length, 64);
  const step = count > 0 ? peaks.length / count : 1;
  const loudest = Math.max(0.02, ...Array.from(peaks));
  const bars = Array.from({ length: count }, (_, bar) => {
    const value = Math.max(...Array.from({ length: Math.ceil(step) }, (__, at) => peaks[Math.floor(bar * step) + at] ?? 0));
    return Math.max(1.5, (value / loudest) * height);
  });
  return html`<svg class="mini-wave" viewBox=${`0 0 ${Math.max(1, count) * 4} ${height}`} preserveAspectRatio="none"
    aria-hidden="true" focusable="false">
    ${bars.map((bar, place) => html`<rect key=${place} x=${place * 4} y=${(height - bar) / 2} width="2.4"
      height=${bar} rx="1.2" class=${place / count < done ? "is-done" : ""} />`)}
  </svg>`;
}
