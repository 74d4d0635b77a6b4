// @ts-check
// The list of songs on the screen "Songs": what is asked for, and as much of it as was scrolled to.
import { signal } from "./html.js";
import { call, Problem } from "./client.js";
import { draft } from "./drafts.js";
import { jobSignal, onGone, onJob, takingAnswer } from "./jobs.js";

const PAGE_SIZE = 100;

/**
 * @typedef {object} Filters
 * @property {string} q
 * @property {"all" | "favorites" | "running" | "failed" | "trash"} view
 * @property {string} sort
 * @property {string} tag
 * @property {string} model
 * @property {string} artist
 * @property {string} genre
 */

/** @type {Filters} */
export const NO_FILTERS = { q: "", view: "all", sort: "-created_at", tag: "", model: "", artist: "", genre: "" };
/** Kept over reloads of the tab. @type {{value: Filters}} */
export const filters = draft("filters", () => NO_FILTERS, { isOfTab: true });
/** @type {{value: string[]}} */
export const songIds = signal([]);
/** How many there are in all; null if the service did not count. @type {{value: number | null}} */
export const total = signal(null);
export const isLoaded = signal(false);
export const isLoading = signal(false);
export const libraryError = signal("");

let cursor = /** @type {string | null} */ (null);
let generation = 0;
/** What the list was loaded for, and whether it has missed something since. */
let loadedFor = "";
let isStale = false;

/**
 * Load the list unless it shows this already, so that whoever comes back from a song finds it as it was.
 *
 * @param {number} count of the times that something may have been missed
 */
export async function reloadIfChanged(count) {
  const wanted = JSON.stringify([count, filters.value]);
  if (isLoaded.value && wanted === loadedFor && !isStale) return;
  await reload();
  loadedFor = wanted;
}

/** Load the list from its beginning. */
export async function reload() {
  isStale = false;
  generation += 1;
  cursor = null;
  isLoading.value = false;
  await loadMore(true);
}

/** Forget everything, for another caller. */
export function forgetSongs() {
  generation += 1;
  cursor = null;
  filters.value = NO_FILTERS;
  songIds.value = [];
  total.value = null;
  isLoaded.value = false;
  isLoading.value = false;
}

/** Load the next page. */
export async function loadMore(isFirst = false) {
  if (isLoading.value || (!isFirst && cursor === null)) return;
  const mine = generation;
  const take = takingAnswer();
  isLoading.value = true;
  try {
    const answer = await call("listJobs", { query: queryOf(filters.value) });
    if (mine !== generation) return;
    const ids = answer.data.map((/** @type {{id: string}} */ job) => job.id);
    cursor = answer.next_cursor;
    total.value = answer.total ?? null;
    // The ids first: jobs that are in the list already are not counted as new ones.
    songIds.value = isFirst ? ids : [...new Set([...songIds.value, ...ids])];
    answer.data.forEach(take);
    isLoaded.value = true;
    libraryError.value = "";
  } catch (error) {
    if (mine !== generation) return;
    if (!(error instanceof Problem)) throw error;
    if (error.status !== 0 && error.status !== 401) libraryError.value = error.message;
  } finally {
    if (mine === generation) isLoading.value = false;
  }
}

/** Whether there is more to load. */
export function hasMore() {
  return cursor !== null;
}

/** @param {Filters} wanted */
function queryOf({ q, view, sort, tag, model, artist, genre }) {
  /** @type {Record<string, string | number | boolean | null>} */
  const query = { limit: PAGE_SIZE, cursor, q: q.trim(), tag, model, artist: artist.trim(), genre: genre.trim() };
  if (sort !== NO_FILTERS.sort) query.sort = sort;
  if (view === "favorites") query.favorite = true;
  if (view === "trash") query.trashed = true;
  if (view === "running" || view === "failed") query.status = view;
  return query;
}

/** Take a song out of the list, as when it went into the trash. @param {string} id */
export function removeFromList(id) {
  if (!songIds.value.includes(id)) return;
  songIds.value = songIds.value.filter((each) => each !== id);
  if (total.value !== null) total.value -= 1;
}

/** Whether anything is filtered at all. */
export function isFiltered() {
  const { q, view, tag, model, artist, genre } = filters.value;
  return Boolean(q.trim() || tag || model || artist || genre || view !== "all");
}

onJob((job) => {
  if (!isLoaded.value || songIds.value.includes(job.id)) return;
  if (isFiltered() || filters.value.sort !== NO_FILTERS.sort) {
    isStale = true;
    return;
  }
  const place = songIds.value.findIndex((id) => {
    const other = jobSignal(id).value;
    return other !== null && other !== undefined && other.created_at < job.created_at;
  });
  // Older jobs come with the pages that are scrolled to.
  if (place < 0 && hasMore()) return;
  songIds.value = songIds.value.toSpliced(place < 0 ? songIds.value.length : place, 0, job.id);
  if (total.value !== null) total.value += 1;
});

onGone((id) => {
  // The trash is where it went.
  if (filters.value.view === "trash") isStale = true;
  else removeFromList(id);
});
