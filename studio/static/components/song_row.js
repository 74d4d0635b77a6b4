// @ts-check
// One song in a list.
import { html } from "../lib/html.js";
import { bylineOf, clock, counted, quoted, titleOf, when } from "../lib/format.js";
import { ENDED, annotate, deleteJob, jobSignal, restoreJob } from "../lib/jobs.js";
import { removeFromList } from "../lib/library.js";
import { QUALITY, bestLevel, canBeHeard, isActive } from "../lib/outputs.js";
import { eject, isPlaying, pause, play, track } from "../lib/player.js";
import { hrefOf } from "../lib/router.js";
import { maySubmit } from "../lib/session.js";
import { IconButton, ProgressBar } from "./controls.js";
import { Cover } from "./cover.js";
import { Icon } from "./icon.js";
import { attempt, say } from "./toasts.js";

/** @typedef {import("../../types").Job} Job */

/** @param {{id: string, isTrashed?: boolean}} props */
export function SongRow({ id, isTrashed = false }) {
  const job = jobSignal(id).value;
  if (!job) return html`<div class="song-row song-row-gone"></div>`;
  const title = titleOf(job);
  return html`<article class="song-row">
    <${CoverButton} job=${job} title=${title} />
    <a class="song-link" href=${hrefOf("songs", id)}>
      <bdi class="song-title">${title}</bdi>
      <span class="song-byline"><bdi>${bylineOf(job)}</bdi></span>
    </a>
    <${Standing} job=${job} />
    <span class="song-length">${clock(job.duration_seconds)}</span>
    <time class="song-date" datetime=${job.created_at}>${when(job.created_at)}</time>
    ${isTrashed ? html`<${TrashActions} job=${job} title=${title} />`
      : html`<${Actions} job=${job} title=${title} />`}
  </article>`;
}

/** @param {{job: Job, title: string}} props */
function CoverButton({ job, title }) {
  const isHere = isPlaying.value && track.value?.jobId === job.id;
  const press = () => (isHere ? pause() : play(job));
  return html`<span class="cover-button">
    <${Cover} id=${job.root_id} />
    ${canBeHeard(job) ? html`<button type="button" class=${isHere ? "is-playing" : ""}
      aria-label=${`${isHere ? "Stop" : "Play"} ${title}`} onClick=${press}>
      <${Icon} name=${isHere ? "pause" : "play"} isFilled=${!isHere} /></button>` : null}
  </span>`;
}

/** What there is of a song. @param {{job: Job}} props */
function Standing({ job }) {
  if (isActive(job)) {
    const label = job.status === "queued" ? "Waiting" : "Singing";
    return html`<span class="song-standing">
      <span>${label}</span><${ProgressBar} label=${`${label}, ${titleOf(job)}`} value=${job.progress.value} />
    </span>`;
  }
  if (job.status !== "succeeded") {
    const words = { failed: "Failed", canceled: "Canceled", expired: "Expired" };
    return html`<span class=${`song-standing tag tag-${job.status}`}>
      ${words[/** @type {keyof typeof words} */ (job.status)] ?? job.status}</span>`;
  }
  const level = bestLevel(job);
  const takes = job.input.num_samples > 1 ? `${counted(job.input.num_samples, "take")}` : "";
  return html`<span class="song-standing">
    ${level ? html`<span class=${`tag tag-${level}`}>${QUALITY[level]}</span>` : null}
    ${takes ? html`<span class="tag">${takes}</span>` : null}
  </span>`;
}

/** @param {{job: Job, title: string}} props */
function Actions({ job, title }) {
  if (!maySubmit()) return html`<span class="song-actions"></span>`;
  const { favorite } = job;
  const remove = () => attempt(async () => {
    await trash(job, title);
  });
  return html`<span class="song-actions">
    <${IconButton} name=${`Favorite, ${title}`} icon="star" isPressed=${favorite} isFilled=${favorite}
      kind=${favorite ? "is-favorite" : ""} onClick=${() => attempt(() => annotate(job.id, { favorite: !favorite }))} />
    ${ENDED.has(job.status) ? html`<${IconButton} name=${`Delete ${title}`} icon="trash" onClick=${remove} />` : null}
  </span>`;
}

/** @param {{job: Job, title: string}} props */
function TrashActions({ job, title }) {
  const bringBack = () => attempt(async () => {
    await restoreJob(job.id);
    removeFromList(job.id);
    say(`${quoted(title)} is back.`);
  });
  const remove = () => attempt(async () => {
    await deleteJob(job.id, true);
    removeFromList(job.id);
  });
  return html`<span class="song-actions in-trash">
    <${IconButton} name=${`Restore ${title}`} icon="restore" onClick=${bringBack} />
    <${IconButton} name=${`Delete ${title} for good`} icon="close" onClick=${remove} />
  </span>`;
}

/** Move a song to the trash, and offer the way back. @param {Job} job @param {string} title */
export async function trash(job, title) {
  await deleteJob(job.id);
  removeFromList(job.id);
  if (track.value?.jobId === job.id) eject();
  say(`${quoted(title)} is in the trash.`, { label: "Undo", run: () => attempt(() => restoreJob(job.id)) });
}
