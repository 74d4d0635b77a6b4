// @ts-check
// Numbers, times and names as people read them.

const DATE = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const FULL_DATE = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const TIME = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });

/** 75.2 -> "1:15". @param {number} seconds */
export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds + 0.05));
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

/** 75 -> "1 min 15 s". @param {number} seconds */
export function duration(seconds) {
  const whole = Math.round(seconds);
  if (whole < 60) return `${Number(seconds.toFixed(1))} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min${whole % 60 ? ` ${whole % 60} s` : ""}`;
  const minutes = Math.round(whole / 60);
  return `${Math.floor(minutes / 60)} h${minutes % 60 ? ` ${minutes % 60} min` : ""}`;
}

/** @param {number | null} seconds */
export function timeLeft(seconds) {
  if (seconds === null) return "";
  return seconds < 1.5 ? "a second left" : `about ${duration(Math.ceil(seconds))} left`;
}

/** @param {number} count */
export function bytes(count) {
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  let value = count;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit > 1 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

/** Today as a time, anything else as a date. @param {string} moment RFC 3339 */
export function when(moment) {
  const date = new Date(moment);
  return date.toDateString() === new Date().toDateString() ? TIME.format(date) : DATE.format(date);
}

/** @param {string} moment RFC 3339 */
export function moment(moment) {
  return FULL_DATE.format(new Date(moment));
}

/**
 * The words of a whole song. The request of a redone section has only those of the section.
 *
 * @param {import("../../types").Job} job
 */
export function lyricsOf(job) {
  return job.input.mode === "redo" ? (job.lyrics_as_read ?? job.input.lyrics) : job.input.lyrics;
}

/** What a song is called, with or without a title. @param {import("../../types").Job} job */
export function titleOf(job) {
  const { title } = job;
  if (title) return title;
  const line = lyricsOf(job).split("\n").find((each) => each.trim());
  // Letters, not halves of them.
  if (line) return [...line.trim().replace(/[,;:.\s]+$/, "")].slice(0, 60).join("");
  return job.input.artist ? `Song by ${job.input.artist}` : "Untitled song";
}

/** "orlavane · tidedub". @param {import("../../types").Job} job */
export function bylineOf(job) {
  return [job.input.artist, job.input.genre].filter(Boolean).join(" · ") || job.input.model;
}

/** "1 take", "3 takes". @param {number} count @param {string} word */
export function counted(count, word) {
  return `${count} ${word}${count === 1 ? "" : "s"}`;
}

/** What somebody typed within a sentence, whatever its direction. @param {string} text */
export function isolated(text) {
  return `\u2068${text}\u2069`;
}

/** The same in quotation marks. @param {string} text */
export function quoted(text) {
  return `“${isolated(text)}”`;
}

/** As fields show it. @param {number} seconds */
export function hundredths(seconds) {
  return Math.round(seconds * 100) / 100;
}
