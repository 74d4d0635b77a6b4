// @ts-check
// Every job that the page knows, each as a signal: one place that events write to and screens read.
import { signal } from "./html.js";
import { call, idempotencyKey, Problem } from "./client.js";

/** @typedef {import("../../types").Job} Job */

export const ENDED = new Set(["succeeded", "failed", "canceled", "expired"]);

const JOB_ID = /^job_[0-9a-f]{32}$/;

/** @type {Map<string, {value: Job | null | undefined}>} */
const known = new Map();
/** @type {Set<(job: Job) => void>} */
const arrivals = new Set();

/** Ids of jobs that have not ended, in no order. @type {{value: ReadonlySet<string>}} */
export const activeIds = signal(new Set());

/**
 * Call `listener` with each job that is new or changed; returns what ends it.
 *
 * @param {(job: Job) => void} listener
 */
export function onJob(listener) {
  arrivals.add(listener);
  return () => {
    arrivals.delete(listener);
  };
}

/**
 * The signal of a job: undefined until it is loaded, null if there is none.
 *
 * @param {string} id
 */
export function jobSignal(id) {
  let found = known.get(id);
  if (!found) {
    found = signal(/** @type {Job | null | undefined} */ (undefined));
    known.set(id, found);
  }
  return found;
}

/** How many events there were, and with which of them the last news of a job came. */
let numEvents = 0;
/** @type {Map<string, number>} */
const toldWith = new Map();

/** Take in what an event says about a job. @param {Job} job */
export function takeJob(job) {
  numEvents += 1;
  toldWith.set(job.id, numEvents);
  hold(job);
}

/**
 * What takes in the answer to a request that is sent now. A song may end before the answer about it
 * has come: what events said meanwhile is newer.
 *
 * @returns {(job: Job) => void}
 */
export function takingAnswer() {
  const begun = numEvents;
  return (job) => {
    if ((toldWith.get(job.id) ?? 0) <= begun) hold(job);
  };
}

/**
 * Send a request that is answered with a job, and take that in.
 *
 * @param {Parameters<typeof call>[0]} operation
 * @param {Parameters<typeof call>[1]} parts
 * @returns {Promise<Job>}
 */
async function ask(operation, parts) {
  const take = takingAnswer();
  const job = await call(operation, parts);
  take(job);
  return job;
}

/** @param {Job} job */
function hold(job) {
  jobSignal(job.id).value = job;
  noteActive(job.id, !ENDED.has(job.status));
  for (const listener of arrivals) listener(job);
}

/**
 * Take in progress, which comes without the whole job.
 *
 * @param {string} id
 * @param {{value: number, level: string | null, eta_seconds: number | null,
 *   levels: Record<string, object>}} news
 */
export function takeProgress(id, news) {
  const job = jobSignal(id).value;
  if (!job || ENDED.has(job.status)) return;
  const progress = {
    value: Math.max(news.value, job.progress.value),
    level: news.level,
    levels: job.progress.levels.map((each) => ({ ...each, ...news.levels[each.level] })),
  };
  jobSignal(id).value = { ...job, eta_seconds: news.eta_seconds, progress };
}

/** @type {Set<(id: string) => void>} */
const departures = new Set();

/** Call `listener` with the id of each job that is gone. @param {(id: string) => void} listener */
export function onGone(listener) {
  departures.add(listener);
}

/** A job is gone. @param {string} id */
export function dropJob(id) {
  jobSignal(id).value = null;
  noteActive(id, false);
  for (const listener of departures) listener(id);
}

/** Forget everything, for another caller. */
export function forgetJobs() {
  for (const each of known.values()) each.value = undefined;
  toldWith.clear();
  activeIds.value = new Set();
}

/** @param {string} id @param {boolean} isActive */
function noteActive(id, isActive) {
  if (activeIds.value.has(id) === isActive) return;
  const ids = new Set(activeIds.value);
  if (isActive) ids.add(id);
  else ids.delete(id);
  activeIds.value = ids;
}

/**
 * Load a job. Its signal is null afterwards if there is none (or not for this key).
 *
 * @param {string} id
 */
export async function loadJob(id) {
  if (!JOB_ID.test(id)) {
    dropJob(id);
    return;
  }
  try {
    await ask("getJob", { path: { job_id: id } });
  } catch (error) {
    if (error instanceof Problem && [404, 410, 422].includes(error.status)) dropJob(id);
    else if (!(error instanceof Problem && error.status <= 0)) throw error;
  }
}

/** Make a song. @param {object} body of `POST /jobs` @returns {Promise<Job>} */
export async function createJob(body) {
  return ask("createJob", { json: body, headers: { "Idempotency-Key": idempotencyKey() } });
}

/** @param {string} id */
export async function cancelJob(id) {
  await ask("cancelJob", { path: { job_id: id } });
}

/** @param {string} id */
export async function retryJob(id) {
  await ask("retryJob", { path: { job_id: id } });
}

/**
 * Change names: any of title, tags, favorite, notes.
 *
 * @param {string} id
 * @param {object} names
 */
export async function annotate(id, names) {
  await ask("updateJob", { path: { job_id: id }, json: names });
}

/** Move an ended job to the trash, or remove it for good. @param {string} id */
export async function deleteJob(id, permanent = false) {
  await call("deleteJob", { path: { job_id: id }, query: permanent ? { permanent: true } : {} });
  dropJob(id);
}

/** Bring a job back from the trash. @param {string} id */
export async function restoreJob(id) {
  await ask("restoreJob", { path: { job_id: id } });
}
