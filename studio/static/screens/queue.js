// @ts-check
// What is being sung, what waits, and what failed lately.
import { html, useEffect, useState } from "../lib/html.js";
import { Problem, call } from "../lib/client.js";
import { reloads } from "../lib/events.js";
import { bylineOf, counted, timeLeft, titleOf } from "../lib/format.js";
import { activeIds, cancelJob, jobSignal, retryJob, takingAnswer } from "../lib/jobs.js";
import { QUALITY } from "../lib/outputs.js";
import { go, hrefOf } from "../lib/router.js";
import { maySubmit } from "../lib/session.js";
import { useWorkers } from "../lib/system.js";
import { Empty, Notice, ProgressBar } from "../components/controls.js";
import { Cover } from "../components/cover.js";
import { Icon } from "../components/icon.js";
import { attempt } from "../components/toasts.js";
import { VirtualList } from "../components/virtual_list.js";
import { activityOf } from "./song/standing.js";

/** @typedef {import("../../types").Job} Job */

const ROW_PX = 132;
const PAGE_SIZE = 100;
const MAX_PAGES = 20;
const MAX_FAILED = 5;

/** The screen. */
export function Queue() {
  const count = reloads.value;
  const workers = useWorkers();
  useEffect(() => {
    document.title = "Queue – Jukebox";
  }, []);
  const [error, setError] = useState("");
  const [isAsked, setAsked] = useState(false);
  useEffect(() => {
    void loadActive().then(setError).finally(() => setAsked(true));
  }, [count]);
  const ids = [...activeIds.value].map((id) => jobSignal(id).value).filter((job) => job !== null && job !== undefined)
    .sort(inTurn).map(({ id }) => id);
  return html`<div class="screen">
    <div class="screen-head"><h1>Queue</h1><p class="count" aria-live="polite">${ids.length > 0 ? counted(ids.length, "song") : ""}</p></div>
    ${workers !== null && workers.length === 0 ? html`<${Notice} title="No worker is running" kind="bad">
      <p>Songs wait until one starts. On this machine <code>jukebox serve</code> starts one.</p><//>` : null}
    ${error ? html`<${Notice} title="The queue could not be loaded" kind="bad" role="alert"><p>${error}</p><//>` : null}
    ${ids.length === 0 && (error || !isAsked) ? null : ids.length === 0 ? html`<${Empty} title="Nothing is being sung">
      ${maySubmit() ? html`<button type="button" onClick=${() => go(hrefOf("new"))}>New song</button>` : null}<//>`
    : html`<${VirtualList} label="Queue" ids=${ids} total=${ids.length} rowPx=${ROW_PX} onNearEnd=${() => {}}
      renderRow=${(/** @type {string} */ id) => html`<${QueueRow} id=${id} />`} />`}
    <${Failures} />
  </div>`;
}

/** Running ones first, then by their turn. @param {Job} one @param {Job} other */
function inTurn(one, other) {
  const turn = (/** @type {Job} */ job) => (job.status === "queued" ? 1 + (job.queue_position ?? 0) : 0);
  return turn(one) - turn(other) || one.created_at.localeCompare(other.created_at);
}

/** @param {{id: string}} props */
function QueueRow({ id }) {
  const job = jobSignal(id).value;
  if (!job) return null;
  return html`<article class="queue-row">
    <${Cover} id=${job.root_id} />
    <div class="queue-names"><a href=${hrefOf("songs", id)}><bdi>${titleOf(job)}</bdi></a>
      <span class="hint"><bdi>${bylineOf(job)}</bdi></span></div>
    <div class="queue-state"><strong>${job.status === "queued" ? "Waiting" : activityOf(job)}</strong>
      <span class="hint">${job.status === "queued" ? placeText(job) : timeLeft(job.eta_seconds)}</span></div>
    ${maySubmit() ? html`<button type="button" class="quiet" disabled=${job.status === "canceling"}
      aria-label=${`Cancel ${titleOf(job)}`} onClick=${() => attempt(() => cancelJob(id))}>Cancel</button>` : null}
    <div class="queue-levels">${job.progress.levels.map((level) => html`<${Level} key=${level.level} level=${level} job=${job} />`)}</div>
  </article>`;
}

/** @param {{level: import("../../types").LevelProgress, job: Job}} props */
function Level({ level, job }) {
  const done = level.tokens_total > 0 ? level.tokens_done / level.tokens_total : 0;
  const name = QUALITY[level.level];
  return html`<div class="queue-level"><span>${name}</span>
    <${ProgressBar} label=${`${name}, ${titleOf(job)}`} value=${Math.min(1, done)} /></div>`;
}

/** @param {Job} job */
function placeText(job) {
  if (job.queue_position === null) return "";
  return job.queue_position === 0 ? "next" : `${counted(job.queue_position, "song")} before it`;
}

function Failures() {
  const ids = failedIds();
  if (ids.length === 0) return null;
  return html`<section class="failures" aria-labelledby="failures"><h2 id="failures">Failed</h2>
    <ul>${ids.map((job) => html`<li key=${job.id} class="failure"><a href=${hrefOf("songs", job.id)}><bdi>${titleOf(job)}</bdi></a>
      <span class="hint">${job.error?.message}</span>
      ${job.error?.retryable && maySubmit() ? html`<button type="button" aria-label=${`Retry ${titleOf(job)}`}
        onClick=${() => attempt(() => retryJob(job.id))}><${Icon} name="retry" />Retry</button>` : null}</li>`)}</ul></section>`;
}

/** @type {Set<string>} */
const seenFailed = new Set();

/** @returns {Job[]} */
function failedIds() {
  return [...seenFailed].map((id) => jobSignal(id).value).filter((job) => job?.status === "failed")
    .map((job) => /** @type {Job} */ (job));
}

/** Everything that is sung or waits, in its order; returns what went wrong. */
async function loadActive() {
  const take = takingAnswer();
  try {
    for (const job of (await call("listJobs", { query: { status: "failed", limit: MAX_FAILED } })).data) {
      seenFailed.add(job.id);
      take(job);
    }
    for (const status of ["running", "canceling", "queued"]) await loadAll(status);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    // A lost connection and a missing key are told elsewhere.
    if (error.status !== 0 && error.status !== 401) return error.message;
  }
  return "";
}

/** Oldest first, which is the order of the queue. @param {string} status */
async function loadAll(status) {
  let cursor = null;
  let numPages = 0;
  do {
    const take = takingAnswer();
    const page = await call("listJobs", { query: { status, sort: "created_at", limit: PAGE_SIZE, cursor } });
    page.data.forEach(take);
    cursor = page.next_cursor;
    numPages += 1;
  } while (cursor && numPages < MAX_PAGES);
}
