// @ts-check
// Waveforms as the service measures them: loudness without the sound itself.
import { useEffect, useState } from "./html.js";
import { SERVICE_URL } from "./client.js";
import { reloads } from "./events.js";
import { outputOf } from "./outputs.js";

/** @typedef {import("../../types").Job} Job */

const MAX_KEPT = 200;
/** @type {Map<string, Promise<Float32Array>>} */
const kept = new Map();
const NONE = new Float32Array(0);

/**
 * Loudness from 0 to 1 of equal parts of a take; empty until it is known.
 *
 * @param {Job} job
 * @param {number} sample
 * @param {string | null} level
 * @param {number} points
 */
export function usePeaks(job, sample, level, points) {
  const [peaks, setPeaks] = useState(NONE);
  const output = level ? outputOf(job, sample, level) : null;
  const { peaks: path } = job.urls;
  const url = path && output ? `${path}?sample=${sample}&level=${level}&points=${points}` : "";
  useEffect(() => {
    if (!url) {
      setPeaks(NONE);
      return undefined;
    }
    let isWanted = true;
    void fetchPeaks(url).then((found) => {
      if (isWanted) setPeaks(found);
    });
    return () => {
      isWanted = false;
    };
  }, [url, reloads.value]);
  return peaks;
}

/** @param {string} url */
function fetchPeaks(url) {
  const held = kept.get(url);
  if (held) return held;
  const found = ask(url).catch(() => {
    kept.delete(url);
    return NONE;
  });
  if (kept.size >= MAX_KEPT) kept.delete(/** @type {string} */ (kept.keys().next().value));
  kept.set(url, found);
  return found;
}

/** @param {string} url */
async function ask(url) {
  const response = await fetch(new URL(url, SERVICE_URL));
  if (!response.ok) throw new Error(`status ${response.status}`);
  const { bits, data, length, channels } = await response.json();
  const full = 2 ** (bits - 1);
  const peaks = new Float32Array(length);
  for (let point = 0; point < length; point += 1) {
    for (let value = 0; value < 2 * channels; value += 1) {
      peaks[point] = Math.max(peaks[point], Math.abs(data[2 * channels * point + value]) / full);
    }
  }
  return peaks;
}
