// @ts-check
// The family of a song as a tree: what was made from what.
import { html, useEffect, useRef, useState } from "../../lib/html.js";
import { Problem, call } from "../../lib/client.js";
import { reloads } from "../../lib/events.js";
import { duration, isolated, titleOf } from "../../lib/format.js";
import { jobSignal, onJob, takingAnswer } from "../../lib/jobs.js";
import { go, hrefOf } from "../../lib/router.js";

/** @typedef {import("../../../types").Job} Job */

const LIMIT = 100;

/** @param {{job: Job}} props */
export function Versions({ job }) {
  const ids = useFamily(job.root_id);
  const tree = useRef(/** @type {HTMLElement | null} */ (null));
  const jobs = ids.map((id) => jobSignal(id).value).filter((each) => each !== null && each !== undefined);
  const rows = inOrder(/** @type {Job[]} */ (jobs));
  const press = (/** @type {KeyboardEvent} */ event) => {
    const items = /** @type {HTMLElement[]} */ ([...(tree.current?.querySelectorAll("[role=treeitem]") ?? [])]);
    const place = items.indexOf(/** @type {HTMLElement} */ (document.activeElement));
    const to = { ArrowDown: place + 1, ArrowUp: place - 1, Home: 0, End: items.length - 1 }[event.key];
    if (to !== undefined) {
      event.preventDefault();
      items[Math.min(Math.max(to, 0), items.length - 1)]?.focus();
    } else if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      items[place]?.click();
    }
  };
  return html`<section class="panel" aria-labelledby="versions-heading"><h2 id="versions-heading">Versions</h2>
    <ul role="tree" aria-label="Versions" class="tree" ref=${tree} onKeyDown=${press}>
      ${rows.map(({ job: each, depth }) => html`<${Version} key=${each.id} job=${each} depth=${depth} isHere=${each.id === job.id} />`)}
    </ul></section>`;
}

/** @param {{job: Job, depth: number, isHere: boolean}} props */
function Version({ job, depth, isHere }) {
  return html`<li role="treeitem" aria-level=${depth + 1} aria-selected=${String(isHere)}
    aria-current=${isHere ? "page" : undefined} tabindex=${isHere ? 0 : -1}
    style=${{ paddingInlineStart: `${0.75 + Math.min(depth, 6) * 1.1}rem` }}
    onClick=${() => go(hrefOf("songs", job.id))}>
    <span class=${`version-dot version-${job.status}`} aria-hidden="true"></span>
    <span class="version-name">${lineage(job)}</span>
    <span class="version-length">${duration(job.duration_seconds)}</span>
  </li>`;
}

/** How a version came about: "Continues take 2 by 10 s". @param {Job} job */
export function lineage(job) {
  const { mode, sample, duration_seconds: seconds } = job.input;
  const take = sample === null || sample === undefined ? "all takes" : `take ${sample + 1}`;
  if (mode === "continue") return `Continues ${take} by ${duration(seconds ?? 0)}`;
  if (mode === "upsample") return `Refines ${take}`;
  if (mode === "redo") return `Redoes a section of ${take}`;
  if (mode === "splice") return `Spliced: ${isolated(titleOf(job))}`;
  if (mode === "primed") return "Begins with a recording";
  return job.input.levels.length === 1 ? "First draft" : "First version";
}

/**
 * Parents before their children, oldest first, each with its depth.
 *
 * @param {Job[]} jobs
 */
function inOrder(jobs) {
  const ids = new Set(jobs.map(({ id }) => id));
  /** @type {Map<string, Job[]>} */
  const children = new Map();
  for (const job of [...jobs].sort((one, other) => one.created_at.localeCompare(other.created_at))) {
    const parent = job.parent_id && ids.has(job.parent_id) ? job.parent_id : "";
    children.set(parent, [...(children.get(parent) ?? []), job]);
  }
  /** @type {{job: Job, depth: number}[]} */
  const rows = [];
  const visit = (/** @type {string} */ id, /** @type {number} */ depth) => {
    for (const job of children.get(id) ?? []) {
      rows.push({ job, depth });
      visit(job.id, depth + 1);
    }
  };
  visit("", 0);
  return rows;
}

/** Ids of a family; grows as versions are made. @param {string} rootId */
function useFamily(rootId) {
  const [ids, setIds] = useState(/** @type {string[]} */ ([]));
  const count = reloads.value;
  useEffect(() => {
    const add = (/** @type {string[]} */ more) => setIds((held) => [...new Set([...held, ...more])]);
    const stop = new AbortController();
    const take = takingAnswer();
    call("listJobs", { query: { root: rootId, limit: LIMIT }, signal: stop.signal }).then(({ data }) => {
      data.forEach(take);
      add(data.map((/** @type {Job} */ job) => job.id));
    }, (error) => {
      if (!(error instanceof Problem) && !stop.signal.aborted) throw error;
    });
    const ignore = onJob((job) => {
      if (job.root_id === rootId) add([job.id]);
    });
    return () => {
      stop.abort();
      ignore();
    };
  }, [rootId, count]);
  return ids;
}
