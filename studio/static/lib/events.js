// @ts-check
// One stream of events for the whole page: every change of every job arrives here.
import { effect, signal } from "./html.js";
import { send } from "./client.js";
import { isConnected } from "./connection.js";
import { dropJob, takeJob, takeProgress } from "./jobs.js";
import { loadSession, session } from "./session.js";
import { readEvents } from "./sse.js";

const RETRY_MS = 1000;
/** A stream says something every 15 seconds. After three times that it is dead. */
const SILENCE_MS = 45000;

/** Increases when lists must be loaded again: something may have been missed. */
export const reloads = signal(0);

let lastEventId = "";
let run = 0;
/** Ends the stream that is read now. */
let stop = new AbortController();

/** Follow the service for as long as there is a session. */
export function followEvents() {
  // When a request fails, the stream may look alive for long: it begins again as well.
  effect(() => {
    if (!isConnected.value) stop.abort();
  });
  let followed = "";
  effect(() => {
    const { state, owner } = session.value;
    const wanted = `${state} ${owner ?? ""}`;
    if (wanted === followed) return;
    followed = wanted;
    run += 1;
    lastEventId = "";
    stop.abort();
    if (state === "open") void follow(run);
  });
}

/** @param {number} mine */
async function follow(mine) {
  while (mine === run) {
    try {
      await readStream();
    } catch {
      // Told already: by the alert, or by the form that asks for a key.
    }
    if (mine !== run) return;
    await pause(RETRY_MS);
    if (!isConnected.value) await reconnect(mine);
  }
}

async function readStream() {
  stop = new AbortController();
  const mine = stop;
  let timer = 0;
  const heard = () => {
    clearTimeout(timer);
    timer = window.setTimeout(() => mine.abort(), SILENCE_MS);
  };
  heard();
  /** @type {Record<string, string>} */
  const headers = { Accept: "text/event-stream" };
  if (lastEventId) headers["Last-Event-ID"] = lastEventId;
  try {
    const response = await send("streamEvents", { headers, signal: mine.signal });
    if (response.body) await readEvents(response.body, take, heard);
  } finally {
    clearTimeout(timer);
    mine.abort();
  }
}

/** @param {import("./sse.js").ServerEvent} event */
function take({ event, id, data }) {
  if (id) lastEventId = id;
  const values = JSON.parse(data);
  if (event === "reset") reloads.value += 1;
  else if (event === "progress") takeProgress(values.job_id, values);
  else if (event === "deleted" || values.job === null) dropJob(values.job_id);
  else if (values.job) takeJob(values.job);
}

/** Ask until somebody answers. @param {number} mine */
async function reconnect(mine) {
  while (mine === run && !isConnected.value) {
    try {
      await loadSession();
      reloads.value += 1;
    } catch {
      await pause(RETRY_MS);
    }
  }
}

/** @param {number} milliseconds */
function pause(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
