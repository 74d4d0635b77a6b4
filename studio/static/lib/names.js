// @ts-check
// Titles, tags and notes that were typed and that the service does not have yet. They are saved while
// they are typed; a lost connection, a reload or another screen loses none of them.
import { effect, signal } from "./html.js";
import { Problem, urlOf } from "./client.js";
import { isConnected } from "./connection.js";
import { draft } from "./drafts.js";
import { annotate } from "./jobs.js";
import { session } from "./session.js";

/** @typedef {{title?: string, tags?: string[], notes?: string}} Names */

const TYPING_MS = 350;
const RETRY_MS = 5000;
/** The service will say the same again. */
const FINAL = new Set([403, 404, 409, 410, 422]);

/** By the id of the song. */
export const unsaved = draft("names", () => /** @type {Record<string, Names>} */ ({}));
/** Why they could not be saved, by the id of the song. @type {{value: Record<string, Problem | null>}} */
export const saveProblems = signal({});

/** Songs whose names are on their way: a later text must not arrive before an earlier one. */
const sending = new Set();
let timer = 0;

/** Save a moment after the last letter. @param {string} id @param {Names} names */
export function saveSoon(id, names) {
  unsaved.value = { ...unsaved.value, [id]: { ...unsaved.value[id], ...names } };
  saveIn(TYPING_MS);
}

/** Save everything now. */
export function saveNow() {
  for (const id of Object.keys(unsaved.value)) void save(id);
}

/** @param {number} milliseconds */
function saveIn(milliseconds) {
  clearTimeout(timer);
  timer = window.setTimeout(saveNow, milliseconds);
}

/** @param {string} id */
async function save(id) {
  const names = unsaved.value[id];
  if (!names || sending.has(id) || session.value.state !== "open") return;
  sending.add(id);
  let problem = /** @type {Problem | null} */ (null);
  try {
    await annotate(id, names);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    problem = error;
  } finally {
    sending.delete(id);
  }
  const fields = /** @type {(keyof Names)[]} */ (Object.keys(names));
  const refused = fields.filter((name) => problem?.of(name));
  const before = saveProblems.value[id];
  // What is wrong with one field stays in sight until that field is saved.
  if (problem || !before?.fields.length || fields.some((name) => before.of(name))) {
    saveProblems.value = { ...saveProblems.value, [id]: problem };
  }
  if (!problem || FINAL.has(problem.status)) forget(id, names, refused.length > 0 ? refused : fields);
  // Without a connection it is tried as soon as there is one.
  if (unsaved.value[id] && problem?.status !== 0) saveIn(problem && !FINAL.has(problem.status) ? RETRY_MS : 0);
}

/**
 * Let go of what was saved or refused, unless it was typed anew meanwhile. What is refused takes
 * nothing else with it.
 *
 * @param {string} id
 * @param {Names} names
 * @param {(keyof Names)[]} settled
 */
function forget(id, names, settled) {
  const { [id]: typed = {}, ...others } = unsaved.value;
  const left = { ...typed };
  for (const name of settled) if (left[name] === names[name]) delete left[name];
  unsaved.value = Object.keys(left).length > 0 ? { ...others, [id]: left } : others;
}

/** As the page is left: nobody waits for the answer, so the next page saves them again. */
function leave() {
  const headers = { "Content-Type": "application/json" };
  for (const [id, names] of Object.entries(unsaved.value)) {
    const body = JSON.stringify(names);
    void fetch(urlOf("updateJob", { path: { job_id: id } }), { method: "PATCH", headers, body, keepalive: true })
      .catch(() => {});
  }
}

/** Save what is left of an earlier page, and whatever a lost connection has held up. */
export function followNames() {
  addEventListener("pagehide", leave);
  effect(() => {
    if (isConnected.value && session.value.state === "open") saveIn(0);
  });
}
