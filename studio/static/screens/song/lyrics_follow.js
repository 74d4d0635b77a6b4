// @ts-check
// The lyrics: the line that is sung now stands out, and a click on a line goes there.
import { html, useEffect, useRef, useState } from "../../lib/html.js";
import { Problem, call } from "../../lib/client.js";
import { reloads } from "../../lib/events.js";
import { lyricsOf } from "../../lib/format.js";
import { play, positionSec, seek, track } from "../../lib/player.js";
import { songView } from "../../lib/song_view.js";

/** @typedef {{text: string, first_character: number, start_seconds: number | null, end_seconds: number | null}} Timed */
/** @typedef {{lines: Timed[], words: Timed[]}} Alignment */

/** @param {{job: import("../../../types").Job}} props */
export function LyricsFollow({ job }) {
  const view = songView(job.id);
  const sample = view.sample.value;
  const alignment = useAlignment(job, sample);
  const isLoaded = track.value?.jobId === job.id;
  const now = isLoaded ? positionSec.value : -1;
  if (!lyricsOf(job).trim()) return null;
  const lines = withStarts((alignment?.lines ?? []).filter(({ text }) => text.trim()), job.duration_seconds);
  if (lines.length === 0) {
    return html`<section class="lyrics" aria-labelledby="lyrics-heading"><h2 id="lyrics-heading">Lyrics</h2>
      <p class="lyrics-plain" dir="auto">${lyricsOf(job)}</p></section>`;
  }
  const current = lines.findLastIndex(({ startSec }) => startSec <= now + 1e-3);
  const goTo = (/** @type {number} */ seconds) => {
    if (isLoaded) seek(seconds);
    else play(job, { sample, level: view.level.value, atSec: seconds });
  };
  return html`<section class="lyrics" aria-labelledby="lyrics-heading"><h2 id="lyrics-heading">Lyrics</h2>
    <ol class="lines">${lines.map((line, place) => html`<${Line} key=${place} line=${line} now=${now}
      isCurrent=${place === current} goTo=${goTo} words=${alignment?.words ?? []} />`)}</ol>
  </section>`;
}

/**
 * Where each line begins. Lines that are not sung lie evenly between their neighbors.
 *
 * @param {Timed[]} lines
 * @param {number} durationSec
 * @returns {(Timed & {startSec: number})[]}
 */
function withStarts(lines, durationSec) {
  const starts = lines.map((line) => line.start_seconds);
  return lines.map((line, place) => {
    if (line.start_seconds !== null) return { ...line, startSec: line.start_seconds };
    const before = starts.findLastIndex((start, other) => other < place && start !== null);
    const after = starts.findIndex((start, other) => other > place && start !== null);
    const from = before < 0 ? 0 : starts[before] ?? 0;
    const to = after < 0 ? durationSec : starts[after] ?? durationSec;
    const count = (after < 0 ? lines.length : after) - before;
    return { ...line, startSec: from + ((to - from) * (place - before)) / count };
  });
}

/** @param {{line: Timed & {startSec: number}, now: number, isCurrent: boolean, goTo: (seconds: number) => void, words: Timed[]}} props */
function Line({ line, now, isCurrent, goTo, words }) {
  const element = useRef(/** @type {HTMLElement | null} */ (null));
  useEffect(() => {
    if (isCurrent) element.current?.scrollIntoView({ block: "nearest", behavior: motion() });
  }, [isCurrent]);
  const isSung = line.start_seconds !== null;
  const first = line.first_character;
  const own = words.filter((word) => word.text.trim()
    && word.first_character >= first && word.first_character < first + line.text.length);
  const shown = isCurrent && isSung && own.length > 0 ? own : null;
  return html`<li ref=${element} aria-current=${isCurrent ? "true" : undefined}>
    <button type="button" class=${`line${isSung ? "" : " line-unsung"}`} dir="auto"
      onClick=${() => goTo(line.startSec)}>${shown ? shown.map((word, place) => html`<span key=${place}
        class=${(word.start_seconds ?? line.startSec) <= now ? "word-sung" : ""}>${word.text.trim()}${" "}</span>`) : line.text.trim()}</button>
  </li>`;
}

function motion() {
  return matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth";
}

/** @param {import("../../../types").Job} job @param {number} sample */
function useAlignment(job, sample) {
  const [alignment, setAlignment] = useState(/** @type {Alignment | null} */ (null));
  // Times are measured after the top level. Asked for earlier, the service has none.
  const isTimed = job.status === "succeeded";
  useEffect(() => {
    if (!isTimed || !lyricsOf(job).trim()) return undefined;
    const stop = new AbortController();
    ask(job, sample, stop.signal).then(setAlignment, (error) => {
      if (!(error instanceof Problem) && !stop.signal.aborted) throw error;
      if (!stop.signal.aborted) setAlignment(null);
    });
    return () => stop.abort();
  }, [job.id, sample, isTimed, reloads.value]);
  return alignment;
}

/**
 * The times of the lyrics; null if nobody measured any, as with models without an alignment head.
 *
 * @param {import("../../../types").Job} job
 * @param {number} sample
 * @param {AbortSignal} signal
 * @returns {Promise<Alignment | null>}
 */
async function ask(job, sample, signal) {
  const parts = { path: { job_id: job.id }, query: { sample }, signal };
  const { sung } = await call("getLyrics", parts);
  return sung === null ? null : call("downloadAlignment", parts);
}
