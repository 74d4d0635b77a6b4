// @ts-check
// Line icons on a grid of 24, drawn for this page. They are decoration: buttons have names.
import { html } from "../lib/html.js";

/** @type {Record<string, string>} */
const PATHS = {
  play: "M8 5.5v13l10.5-6.5z",
  pause: "M8 5v14M16 5v14",
  plus: "M12 5v14M5 12h14",
  search: "M11 4a7 7 0 1 0 0 14 7 7 0 0 0 0-14zM20 20l-4-4",
  star: "M12 4l2.5 5.1 5.6.8-4 4 .9 5.6-5-2.7-5 2.7.9-5.6-4-4 5.6-.8z",
  trash: "M5 7h14M10 7V5h4v2M7 7l1 13h8l1-13",
  songs: "M9 18V6l10-2v12M9 18a2.5 2.5 0 1 1-5 0 2.5 2.5 0 0 1 5 0zM19 16a2.5 2.5 0 1 1-5 0 2.5 2.5 0 0 1 5 0z",
  queue: "M4 6h16M4 12h10M4 18h10M17 13v7l4-3.5z",
  settings: "M5 8h9M18 8h1M5 16h1M10 16h9M16 10a2 2 0 1 0 0-4 2 2 0 0 0 0 4zM8 18a2 2 0 1 0 0-4 2 2 0 0 0 0 4z",
  close: "M6 6l12 12M18 6L6 18",
  download: "M12 4v11M7 11l5 5 5-5M5 20h14",
  lock: "M7 11V8a5 5 0 0 1 10 0v3M6 11h12v9H6z",
  unlock: "M7 11V8a5 5 0 0 1 9.5-2M6 11h12v9H6z",
  dice: "M5 5h14v14H5zM9 9h.01M15 9h.01M12 12h.01M9 15h.01M15 15h.01",
  mic: "M12 4a2.5 2.5 0 0 1 2.5 2.5v5a2.5 2.5 0 0 1-5 0v-5A2.5 2.5 0 0 1 12 4zM6 11.5a6 6 0 0 0 12 0M12 17.5V21",
  upload: "M12 16V5M7 9l5-5 5 5M5 20h14",
  volume: "M5 10v4h3l4 4V6l-4 4zM16 9a4 4 0 0 1 0 6M18.5 6.5a8 8 0 0 1 0 11",
  warning: "M12 4l9 16H3zM12 10v4M12 17h.01",
  check: "M5 13l4 4L19 7",
  retry: "M19 12a7 7 0 1 1-2-5M19 4v4h-4",
  restore: "M5 12a7 7 0 1 0 2-5M5 4v4h4",
  chevron: "M7 10l5 5 5-5",
  back: "M14 6l-6 6 6 6",
  keyboard: "M3 7h18v11H3zM7 11h.01M11 11h.01M15 11h.01M17 11h.01M8 15h8",
  branch: "M7 4v10a4 4 0 0 0 4 4h6M14 15l3 3-3 3M7 8h6",
  wave: "M4 10v4M8 6v12M12 9v6M16 4v16M20 10v4",
  stop: "M7 7h10v10H7z",
};

/** @param {{name: string, isFilled?: boolean}} props */
export function Icon({ name, isFilled = false }) {
  return html`<svg class=${`icon${isFilled ? " icon-filled" : ""}`} viewBox="0 0 24 24"
    aria-hidden="true" focusable="false"><path d=${PATHS[name]} /></svg>`;
}

/** The mark of the page: an arch of light tubes. */
export function Logo() {
  return html`<svg class="logo" viewBox="0 0 40 40" aria-hidden="true" focusable="false">
    <path class="logo-outer" d="M6 36V20a14 14 0 0 1 28 0v16" />
    <path class="logo-inner" d="M13 36V21a7 7 0 0 1 14 0v15" />
    <circle class="logo-dot" cx="20" cy="22" r="2.6" />
    <path class="logo-grill" d="M18 30h4M18 34.5h4" />
  </svg>`;
}
