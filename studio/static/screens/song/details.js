// @ts-check
// What a song was made with, for those who want to know.
import { html } from "../../lib/html.js";
import { duration, moment } from "../../lib/format.js";

/** @param {{job: import("../../../types").Job}} props */
export function Details({ job }) {
  const { input } = job;
  /** @type {[string, string][]} */
  const facts = [
    ["Model", input.model], ["Seed", String(job.seed)], ["Length", duration(job.duration_seconds)],
    ["Speed", input.speed === "parallel" ? "faster" : "exact"],
    ["Temperature", Object.values(input.sampling).map(({ temperature }) => temperature).join(" / ")],
    ["Made", moment(job.created_at)],
    ["Took", tookOf(job)],
    ["Kept until", job.expires_at ? moment(job.expires_at) : ""],
    ["Id", job.id],
  ];
  return html`<details class="panel details"><summary><h2>Details</h2></summary>
    <dl>${facts.filter(([, value]) => value).map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>
  </details>`;
}

/** @param {import("../../../types").Job} job */
function tookOf(job) {
  if (!job.started_at || !job.completed_at) return "";
  return duration((Date.parse(job.completed_at) - Date.parse(job.started_at)) / 1000);
}
