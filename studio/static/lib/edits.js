// @ts-check
// Edits of the codes of a song, as bodies of `POST /jobs`. Nothing here asks the service.
import { hundredths } from "./format.js";
import { bestLevel } from "./outputs.js";

/** @typedef {import("../../types").Job} Job */
/** @typedef {import("./song_view.js").Section} Section */
/** @typedef {{source: string, sample: number, start_seconds: number, end_seconds: number}} Part */

/** How much of the finer levels is drawn again around a join. */
export const MEND_SEC = 0.5;
/** Shorter pieces may vanish when their ends move to the nearest token. */
const MIN_PIECE_SEC = 0.05;

/** Lengths are shown in hundredths of a second. */
const ROUNDING_SEC = 0.05;

/**
 * What is wrong with a stretch of a sound, in words for people; null if nothing is.
 *
 * @param {Section} part
 * @param {number} durationSec
 */
export function mistakeIn({ startSec, endSec }, durationSec) {
  if (startSec < 0 || endSec > durationSec + ROUNDING_SEC) return `From 0 to ${hundredths(durationSec)} seconds.`;
  return endSec - startSec < MIN_PIECE_SEC ? "The end must be after the beginning." : null;
}

/**
 * A stretch of a take.
 *
 * @param {Job} job
 * @param {number} sample
 * @param {number} startSec
 * @param {number} endSec
 * @returns {Part}
 */
export function piece(job, sample, startSec, endSec) {
  return { source: job.id, sample, start_seconds: startSec, end_seconds: Math.min(endSec, job.duration_seconds) };
}

/**
 * The pieces of a song that are left when some are empty.
 *
 * @param {Part[]} parts
 */
function withoutEmpty(parts) {
  return parts.filter((part) => part.end_seconds - part.start_seconds > MIN_PIECE_SEC);
}

/** The song up to a moment. @param {Job} job @param {number} sample @param {number} sec */
export function cutAt(job, sample, sec) {
  return withoutEmpty([piece(job, sample, 0, sec)]);
}

/** The section alone. @param {Job} job @param {number} sample @param {Section} section */
export function keepSection(job, sample, section) {
  return withoutEmpty([piece(job, sample, section.startSec, section.endSec)]);
}

/** Everything but the section. @param {Job} job @param {number} sample @param {Section} section */
export function removeSection(job, sample, section) {
  return withoutEmpty([
    piece(job, sample, 0, section.startSec), piece(job, sample, section.endSec, job.duration_seconds),
  ]);
}

/** The section twice. @param {Job} job @param {number} sample @param {Section} section */
export function repeatSection(job, sample, section) {
  return withoutEmpty([
    piece(job, sample, 0, section.endSec), piece(job, sample, section.startSec, job.duration_seconds),
  ]);
}

/**
 * A piece of another song, put in at a moment.
 *
 * @param {Job} job
 * @param {number} sample
 * @param {number} sec
 * @param {Part} other
 */
export function insertAt(job, sample, sec, other) {
  return withoutEmpty([
    piece(job, sample, 0, sec), other, piece(job, sample, sec, job.duration_seconds),
  ]);
}

/** @param {Part[]} parts @param {(Job | null | undefined)[]} sources whose sound shows their levels */
export function spliceBody(parts, sources) {
  // A draft has nothing below the top level to mend.
  const isDraft = sources.some((job) => !job || bestLevel(job) === "top");
  return { mode: "splice", parts, mend_seconds: parts.length > 1 && !isDraft ? MEND_SEC : 0 };
}

/**
 * The section, sung again.
 *
 * @param {Job} job
 * @param {number} sample
 * @param {Section} section
 * @param {number} takes
 * @param {string} lyrics
 */
export function redoBody(job, sample, section, takes, lyrics) {
  return {
    mode: "redo", parent_id: job.id, sample, start_seconds: section.startSec,
    end_seconds: Math.min(section.endSec, job.duration_seconds), num_samples: takes, ...(lyrics.trim() ? { lyrics } : {}),
  };
}

/** Finer levels twice from the same draft, left and right. @param {Job} job @param {number} sample */
export function stereoBody(job, sample) {
  return { mode: "upsample", parent_id: job.id, sample, channels: 2, levels: ["top", "middle", "bottom"] };
}
