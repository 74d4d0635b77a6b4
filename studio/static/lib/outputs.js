// @ts-check
// Takes and levels of a job.

/** @typedef {import("../../types").Job} Job */

/** Coarse to fine, with the names that the page uses. */
export const LEVELS = /** @type {const} */ (["top", "middle", "bottom"]);
/** @type {Record<string, string>} */
export const QUALITY = { top: "Draft", middle: "Middle", bottom: "Full" };

/** @param {Job} job @param {number} sample @param {string} level */
export function outputOf(job, sample, level) {
  return job.outputs.find((each) => each.sample === sample && each.level === level) ?? null;
}

/** The finest sound of a take, or null. @param {Job} job @param {number} sample */
export function bestOutput(job, sample) {
  for (const level of [...LEVELS].reverse()) {
    const output = outputOf(job, sample, level);
    if (output) return output;
  }
  return null;
}

/** The finest level that every take has, or null. @param {Job} job */
export function bestLevel(job) {
  return [...LEVELS].reverse().find((level) => outputOf(job, 0, level)) ?? null;
}

/** Numbers of the takes: 0, 1, ... @param {Job} job */
export function takesOf(job) {
  return Array.from({ length: job.input.num_samples }, (_, sample) => sample);
}

/** Whether anything can be heard now, or soon. @param {Job} job */
export function canBeHeard(job) {
  return job.outputs.length > 0 || isActive(job);
}

/** @param {Job} job */
export function isActive(job) {
  return job.status === "queued" || job.status === "running" || job.status === "canceling";
}
