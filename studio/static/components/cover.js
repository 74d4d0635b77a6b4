// @ts-check
// A label for every song, drawn from its id: the same song looks the same everywhere.
import { html } from "../lib/html.js";

const PALETTES = [
  ["#2b1e3f", "#f2603c", "#ffc27a"], ["#0f3d4c", "#f4a259", "#f6e7cb"],
  ["#4a1d2f", "#e8607a", "#ffd9a0"], ["#173b2f", "#7fc29b", "#f3e9c9"],
  ["#2d2a5c", "#8f8cf0", "#ffd27f"], ["#5a2a17", "#ff9b54", "#ffe8c8"],
  ["#1d3557", "#e76f51", "#f1d8a7"], ["#3b2147", "#d58cff", "#ffe0b3"],
];

/** @param {{id: string}} props id of a job, or of the first of its family */
export function Cover({ id }) {
  const seed = [...id.slice(-10)].map((digit) => Number.parseInt(digit, 16) || 0);
  const [ground, first, second] = PALETTES[(seed[0] + seed[1]) % PALETTES.length];
  const turn = (seed[2] * 16 + seed[3]) * 1.4;
  const radii = [15 + seed[4] / 4, 22 + seed[5] / 4, 30 + seed[6] / 3];
  return html`<svg class="cover" viewBox="0 0 80 80" aria-hidden="true" focusable="false">
    <rect width="80" height="80" fill=${ground} />
    <g transform=${`rotate(${turn} 40 40)`} fill="none" stroke-linecap="round">
      ${radii.map((radius, place) => html`<circle key=${place} cx="40" cy="40" r=${radius}
        stroke=${place === 1 ? second : first} stroke-width=${3 + (seed[7 + (place % 3)] % 4)}
        stroke-dasharray=${`${radius * (2 + (seed[place] % 3))} ${radius * 1.4}`} />`)}
    </g>
    <circle cx="40" cy="40" r="7" fill=${second} /><circle cx="40" cy="40" r="2.2" fill=${ground} />
  </svg>`;
}
