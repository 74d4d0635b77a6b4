// @ts-check
// One stream of events for the whole page. A service without `/events` is asked now and then.
import { effect, signal } from "./html.js";
import { call, Problem, SERVICE_URL } from "./client.js";
import { connectionIsBack, connectionIsLost, isConnected } from "./connection.js";
import { activeIds, dropJob, loadJob, takeJob, takeProgress } from "./jobs.js";
import { loadSession, session } from "./session.js";
import { readEvents } from "./sse.js";

const POLL_MS = 1000;
const IDLE_POLL_MS = 5000;
const RETRY_MS = 1500;
/** A stream says something every 15 seconds. After three times that it is dead. */
const SILENCE_MS = 45000;

/** Increases when lists must be loaded again: something may have been missed. */
export const reloads = signal(0);

let lastEventId = "";
let run = 0;

/** Follow the service for as long as there is a session. */
export function followEvents() {
  effect(() => {
    const { state } = session.value;
    run += 1;
    lastEventId = "";
    if (state === "open") void follow(run);
  });
}

/** @param {number} mine */
async function follow(mine) {
  while (mine === run) {
    let isMissing = false;
    try {
      isMissing = !(await stream(mine));
    } catch {
      if (mine !== run) return;
      if (!isConnected.value) await reconnect(mine);
    }
    if (isMissing) await poll(mine);
    else await pause(RETRY_MS);
  }
}

/** False if the service has no such stream. @param {number} mine */
async function stream(mine) {
  const stop = new AbortController();
  let timer = setTimeout(() => stop.abort(), SILENCE_MS);
  const heard = () => {
    clearTimeout(timer);
    timer = setTimeout(() => stop.abort(), SILENCE_MS);
    if (mine !== run) stop.abort();
  };
  /** @type {Record<string, string>} */
  const headers = { Accept: "text/event-stream" };
  if (lastEventId) headers["Last-Event-ID"] = lastEventId;
  try {
    const url = new URL("events", SERVICE_URL);
    const response = await fetch(url, { headers, signal: stop.signal, cache: "no-store" });
    if (response.status === 404 || response.status === 405) return false;
    if (response.status === 401) await loadSession();
    if (!response.ok || !response.body) throw new Error(`status ${response.status}`);
    if (!isConnected.value || lastEventId === "") reloads.value += 1;
    connectionIsBack();
    await readEvents(response.body, take, heard);
    return true;
  } catch (error) {
    if (error instanceof TypeError) connectionIsLost();
    throw error;
  } finally {
    clearTimeout(timer);
    stop.abort();
  }
}

/** @param {import("./sse.js").ServerEvent} event */
function take({ event, id, data }) {
  if (id) lastEventId = id;
  if (event === "reset") {
    reloads.value += 1;
    return;
  }
  const values = JSON.parse(data);
  const jobId = values.job_id ?? values.job?.id;
  if (!jobId) return;
  if (event === "progress") takeProgress(jobId, values);
  else if (event === "deleted") dropJob(jobId);
  else if (values.job) takeJob(values.job);
  else void loadJob(jobId);
}

/** Ask for the newest jobs until the session changes. @param {number} mine */
async function poll(mine) {
  while (mine === run) {
    try {
      const before = activeIds.value;
      const { data } = await call("listJobs", { query: { limit: 20 } });
      if (mine !== run) return;
      data.forEach(takeJob);
      const seen = new Set(data.map((/** @type {{id: string}} */ job) => job.id));
      await Promise.all([...before].filter((id) => !seen.has(id)).map(loadJob));
      await pause(activeIds.value.size > 0 ? POLL_MS : IDLE_POLL_MS);
    } catch (error) {
      if (error instanceof Problem && error.status === 0) await reconnect(mine);
      else await pause(IDLE_POLL_MS);
    }
  }
}

/** Ask until somebody answers. @param {number} mine */
async function reconnect(mine) {
  while (mine === run && !isConnected.value) {
    await pause(RETRY_MS);
    try {
      await loadSession();
      reloads.value += 1;
    } catch {
      // Still away; the alert says so.
    }
  }
}

/** @param {number} milliseconds */
function pause(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
