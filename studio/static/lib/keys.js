// @ts-check
// Keys for what buttons do as well. None works while somebody types.
import { signal } from "./html.js";
import { positionSec, seek, toggle, track } from "./player.js";
import { go, hrefOf, route } from "./router.js";

const STEP_SEC = 5;

/** Whether the list of keys is shown. */
export const isHelpOpen = signal(false);

/** What the screen in sight adds: a function for a key. @type {Map<string, (key: string) => void>} */
const ofScreen = new Map();

/**
 * Add keys for as long as a screen is in sight; returns what removes them.
 *
 * @param {Record<string, (key: string) => void>} keys
 */
export function addKeys(keys) {
  for (const [key, run] of Object.entries(keys)) ofScreen.set(key, run);
  return () => {
    for (const [key, run] of Object.entries(keys)) if (ofScreen.get(key) === run) ofScreen.delete(key);
  };
}

/** The keys, for people. */
export const KEYS = [
  ["Space", "Play or pause"],
  ["← →", "Back or forward 5 seconds"],
  ["1 – 9", "Play a take"],
  ["L", "Next quality"],
  ["E", "Continue the song"],
  ["R", "Redo a section"],
  ["/", "Search songs"],
  ["N", "New song"],
  ["?", "Show these keys"],
];

/** Listen to the keyboard. */
export function listenToKeys() {
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    const target = /** @type {HTMLElement} */ (event.target);
    if (takesText(target) || document.querySelector("dialog[open]")) return;
    if (run(event.key, target)) event.preventDefault();
  });
}

/** @param {HTMLElement} target */
function takesText(target) {
  if (target.isContentEditable || target.closest("textarea, select, [role=combobox]")) return true;
  if (!(target instanceof HTMLInputElement)) return false;
  return !["checkbox", "radio", "range", "button"].includes(target.type);
}

/** Whether the list of songs is in sight, not one of them. */
function isLibrary() {
  return route.value.screen === "songs" && !route.value.id;
}

/** @param {string} key @param {HTMLElement} target @returns {boolean} whether the key was used */
function run(key, target) {
  const isControl = target.closest("button, a, input, summary, [role=tree]") !== null;
  const own = ofScreen.get(key.toLowerCase());
  if (key === " ") {
    if (isControl || !track.value) return false;
    toggle();
  } else if (key === "ArrowLeft" || key === "ArrowRight") {
    if (target.closest("input, [role=tree], [role=radiogroup]") || !track.value) return false;
    seek(positionSec.value + (key === "ArrowLeft" ? -STEP_SEC : STEP_SEC));
  } else if (key === "?") isHelpOpen.value = true;
  // Before those of the screen: the one that is left may not have taken back its own yet.
  else if (key === "/" && !isLibrary()) go(hrefOf("songs", "", { search: "1" }));
  else if (own) own(key);
  else if (key.toLowerCase() === "n") go(hrefOf("new"));
  else return false;
  return true;
}
