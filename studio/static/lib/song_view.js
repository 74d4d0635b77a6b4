// @ts-check
// What the screen of a song shows of it: which take, which level, which section. Kept while the tab
// is open, so that it is the same after a look elsewhere and after a reload.
import { effect, signal } from "./html.js";
import { bestLevel, outputOf } from "./outputs.js";
import { switchTo } from "./player.js";
import { recall, remember } from "./storage.js";

/** @typedef {import("../../types").Job} Job */
/** @typedef {{startSec: number, endSec: number}} Section */

/**
 * @typedef {object} SongView
 * @property {{value: number}} sample the chosen take
 * @property {{value: string | null}} level the chosen level; null: the finest
 * @property {{value: Section | null}} section the chosen section of the waveform
 * @property {{value: boolean}} isSelecting whether dragging on the waveform chooses a section
 * @property {{value: string}} lyrics other words for the section
 */

/** @type {Map<string, SongView>} */
const views = new Map();

/** @param {string} id @returns {SongView} */
export function songView(id) {
  let view = views.get(id);
  if (!view) {
    view = keptView(`view.${id}`);
    views.set(id, view);
  }
  return view;
}

/** @param {string} key @returns {SongView} */
function keptView(key) {
  const kept = recall(key, sessionStorage) ?? {};
  const view = {
    sample: signal(kept.sample ?? 0), level: signal(kept.level ?? null), section: signal(kept.section ?? null),
    isSelecting: signal(Boolean(kept.section)), lyrics: signal(kept.lyrics ?? ""),
  };
  effect(() => {
    const [sample, level, section, lyrics] = [view.sample.value, view.level.value, view.section.value, view.lyrics.value];
    const isUntouched = !sample && !level && !section && !lyrics;
    remember(key, isUntouched ? null : { sample, level, section, lyrics }, sessionStorage);
  });
  return view;
}

/** The level that is shown and heard: the chosen one if this take has it. @param {Job} job */
export function levelOf(job) {
  const view = songView(job.id);
  const chosen = view.level.value;
  if (chosen && outputOf(job, view.sample.value, chosen)) return chosen;
  return bestLevel(job);
}

/** Choose a take; what is heard changes with it, where it is. @param {Job} job @param {number} sample */
export function chooseTake(job, sample) {
  const view = songView(job.id);
  view.sample.value = sample;
  switchTo(job, { sample, level: view.level.value });
}

/** Choose a level; what is heard changes with it, where it is. @param {Job} job @param {string} level */
export function chooseLevel(job, level) {
  const view = songView(job.id);
  view.level.value = level;
  switchTo(job, { sample: view.sample.value, level });
}
