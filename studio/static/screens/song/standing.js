// @ts-check
// Where a song stands while there is something to wait for, or to mend.
import { html } from "../../lib/html.js";
import { attempt } from "../../components/toasts.js";
import { Notice, ProgressBar } from "../../components/controls.js";
import { Icon } from "../../components/icon.js";
import { counted, timeLeft } from "../../lib/format.js";
import { cancelJob, retryJob } from "../../lib/jobs.js";
import { isActive } from "../../lib/outputs.js";
import { isHeard, pause, play } from "../../lib/player.js";
import { maySubmit } from "../../lib/session.js";
import { useWorkers } from "../../lib/system.js";

/** @param {{job: import("../../../types").Job}} props */
export function Standing({ job }) {
  if (job.status === "failed") return html`<${Failed} job=${job} />`;
  if (job.status === "canceled" || job.status === "expired") {
    return html`<${Notice} title=${job.status === "canceled" ? "Canceled" : "Expired"}>
      <p>${job.outputs.length > 0 ? "What was finished by then can be heard." : "Nothing was finished by then."}</p><//>`;
  }
  if (!isActive(job)) return html`<${Warnings} job=${job} />`;
  return html`<section class="standing" aria-label="Progress">
    <div class="standing-line"><strong>${job.status === "queued" ? "Waiting" : activityOf(job)}</strong>
      <span>${job.status === "queued" ? queueText(job) : timeLeft(job.eta_seconds)}</span></div>
    <${ProgressBar} label=${activityOf(job)} value=${job.progress.value} />
    ${job.status === "queued" ? html`<${NoWorker} job=${job} />` : null}
    <div class="standing-buttons">
      ${job.status === "running" && job.outputs.length === 0 ? html`<${Listen} job=${job} />` : null}
      ${maySubmit() ? html`<button type="button" class="quiet" disabled=${job.status === "canceling"}
        onClick=${() => attempt(() => cancelJob(job.id))}>Cancel</button>` : null}
    </div>
  </section><${Warnings} job=${job} />`;
}

/** The first take while it is sung; finished ones have their own buttons. @param {{job: import("../../../types").Job}} props */
function Listen({ job }) {
  const isPlayed = isHeard(job, 0);
  return html`<button type="button" onClick=${() => (isPlayed ? pause() : play(job))}>
    <${Icon} name=${isPlayed ? "pause" : "play"} isFilled=${!isPlayed} />${isPlayed ? "Stop listening" : "Listen while it is sung"}</button>`;
}

/** What is done just now. @param {import("../../../types").Job} job */
export function activityOf(job) {
  if (job.status === "canceling") return "Stopping";
  const level = job.progress.level ?? "top";
  if (job.input.mode === "upsample" || level !== "top") return "Refining";
  return job.input.levels.length === 1 ? "Drafting" : "Singing";
}

/** @param {import("../../../types").Job} job */
function queueText(job) {
  if (job.queue_position === null) return "";
  return job.queue_position === 0 ? "next" : `${counted(job.queue_position, "song")} before it`;
}

/** @param {{job: import("../../../types").Job}} props */
function NoWorker({ job }) {
  const workers = useWorkers();
  if (workers === null) return null;
  const title = workers.length === 0 ? "No worker is running" : `No worker has the model ${job.input.model}`;
  if (workers.some(({ models }) => models.includes(job.input.model))) return null;
  return html`<${Notice} title=${title} kind="bad">
    <p>The song waits and begins by itself when one starts.</p><//>`;
}

/** @param {{job: import("../../../types").Job}} props */
function Failed({ job }) {
  const { error } = job;
  return html`<${Notice} title="This song failed" kind="bad" role="alert">
    <p>${error?.message ?? "The service does not say why."}</p>
    ${error?.retryable && maySubmit() ? html`<button type="button" onClick=${() => attempt(() => retryJob(job.id))}>
      <${Icon} name="retry" />Retry</button>` : null}
  <//>`;
}

/** @param {{job: import("../../../types").Job}} props */
function Warnings({ job }) {
  if (job.warnings.length === 0) return null;
  return html`<ul class="warnings">${job.warnings.map((each) => html`<li key=${each.code + each.pointer}>${each.detail}</li>`)}</ul>`;
}
