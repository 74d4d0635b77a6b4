// @ts-check
// The names of a song: title, tags, notes. They are saved while they are typed.
import { html, useEffect, useRef, useState } from "../../lib/html.js";
import { urlOf } from "../../lib/client.js";
import { annotate } from "../../lib/jobs.js";
import { maySubmit } from "../../lib/session.js";
import { Field } from "../../components/controls.js";

const TYPING_MS = 350;

/** @param {{job: import("../../../types").Job}} props */
export function About({ job }) {
  const [title, setTitle] = useState(job.title ?? "");
  const [tags, setTags] = useState(job.tags.join(", "));
  const [notes, setNotes] = useState(job.notes ?? "");
  const { save, problem } = useSaving(job.id);
  const place = useRef(/** @type {HTMLElement | null} */ (null));
  useEffect(() => {
    // Another tab may have changed them. Whoever types here is not interrupted.
    if (place.current?.contains(document.activeElement)) return;
    setTitle(job.title ?? "");
    setTags(job.tags.join(", "));
    setNotes(job.notes ?? "");
  }, [job.title, job.tags.join(), job.notes]);
  const isFixed = !maySubmit();
  const value = (/** @type {any} */ event) => event.currentTarget.value;
  return html`<section class="panel about" ref=${place} aria-labelledby="about-heading"><h2 id="about-heading">About</h2>
    <${Field} label="Title" error=${problem?.of("title")}>
      ${(/** @type {any} */ { id, describedBy, isInvalid }) => html`<input id=${id} type="text" dir="auto" maxlength="200"
        value=${title} readonly=${isFixed} aria-describedby=${describedBy} aria-invalid=${isInvalid ? "true" : undefined}
        onInput=${(/** @type {any} */ event) => { setTitle(value(event)); save({ title: value(event) }); }} />`}<//>
    <${Field} label="Tags" hint="Separated by commas" error=${problem?.of("tags")}>
      ${(/** @type {any} */ { id, describedBy, isInvalid }) => html`<input id=${id} type="text" dir="auto" value=${tags}
        readonly=${isFixed} aria-describedby=${describedBy} aria-invalid=${isInvalid ? "true" : undefined}
        onInput=${(/** @type {any} */ event) => { setTags(value(event)); save({ tags: tagsOf(value(event)) }); }} />`}<//>
    <${Field} label="Notes" error=${problem?.of("notes")}>
      ${(/** @type {any} */ { id, describedBy, isInvalid }) => html`<textarea id=${id} rows="3" dir="auto" maxlength="2000"
        value=${notes} readonly=${isFixed} aria-describedby=${describedBy} aria-invalid=${isInvalid ? "true" : undefined}
        onInput=${(/** @type {any} */ event) => { setNotes(value(event)); save({ notes: value(event) }); }}></textarea>`}<//>
  </section>`;
}

/** @param {string} text */
function tagsOf(text) {
  return [...new Set(text.split(",").map((tag) => tag.trim()).filter(Boolean))];
}

/** Saves a moment after the last letter, and at once when the page is left. @param {string} id */
function useSaving(id) {
  const [problem, setProblem] = useState(/** @type {any} */ (null));
  const pending = useRef(/** @type {Record<string, unknown>} */ ({}));
  const timer = useRef(0);
  const flush = async () => {
    const names = pending.current;
    pending.current = {};
    clearTimeout(timer.current);
    if (Object.keys(names).length === 0) return;
    try {
      await annotate(id, names);
      setProblem(null);
    } catch (error) {
      setProblem(error);
    }
  };
  useEffect(() => {
    const leave = () => {
      if (Object.keys(pending.current).length === 0) return;
      // The answer is not waited for: the page is gone by then.
      const body = JSON.stringify(pending.current);
      pending.current = {};
      const headers = { "Content-Type": "application/json" };
      void fetch(urlOf("updateJob", { path: { job_id: id } }), { method: "PATCH", headers, body, keepalive: true });
    };
    addEventListener("pagehide", leave);
    return () => {
      removeEventListener("pagehide", leave);
      void flush();
    };
  }, [id]);
  const save = (/** @type {Record<string, unknown>} */ names) => {
    pending.current = { ...pending.current, ...names };
    clearTimeout(timer.current);
    timer.current = window.setTimeout(flush, TYPING_MS);
  };
  return { save, problem };
}
