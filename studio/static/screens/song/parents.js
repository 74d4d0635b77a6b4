// @ts-check
// The songs that a splice was put together from.
import { html, useEffect } from "../../lib/html.js";
import { clock, titleOf } from "../../lib/format.js";
import { jobSignal, loadJob } from "../../lib/jobs.js";
import { hrefOf } from "../../lib/router.js";
import { attempt } from "../../components/toasts.js";

/** @typedef {import("../../../types").SongPart} SongPart */

/** @param {{job: import("../../../types").Job}} props */
export function Parents({ job }) {
  const { parts } = job;
  if (!parts || parts.length === 0) return null;
  return html`<section class="panel" aria-labelledby="parents-heading"><h2 id="parents-heading">Made from</h2>
    <ol class="parents">${parts.map((part, place) => html`<${Parent} key=${place} part=${part} />`)}</ol></section>`;
}

/** @param {{part: SongPart}} props */
function Parent({ part }) {
  const isJob = part.source.startsWith("job_");
  const job = isJob ? jobSignal(part.source).value : null;
  useEffect(() => {
    if (isJob && job === undefined) void attempt(() => loadJob(part.source));
  }, [part.source]);
  const name = job ? titleOf(job) : isJob ? "A song that is gone" : "Uploaded codes";
  return html`<li>
    ${job ? html`<a href=${hrefOf("songs", job.id)}><bdi>${name}</bdi></a>` : html`<span>${name}</span>`}
    <span class="hint">take ${part.sample + 1}, ${clock(part.start_seconds)} to ${clock(part.end_seconds)}</span>
  </li>`;
}
