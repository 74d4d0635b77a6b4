// @ts-check
// The names of a song: title, tags, notes. They are saved while they are typed.
import { html, useEffect, useRef, useState } from "../../lib/html.js";
import { saveNow, saveProblems, saveSoon, unsaved } from "../../lib/names.js";
import { maySubmit } from "../../lib/session.js";
import { Field } from "../../components/controls.js";

/** @param {{job: import("../../../types").Job}} props */
export function About({ job }) {
  const typed = unsaved.value[job.id] ?? {};
  const [title, setTitle] = useState(typed.title ?? job.title ?? "");
  const [tags, setTags] = useState((typed.tags ?? job.tags).join(", "));
  const [notes, setNotes] = useState(typed.notes ?? job.notes ?? "");
  const place = useRef(/** @type {HTMLElement | null} */ (null));
  useEffect(() => {
    // Another tab may have changed them. Whoever types here is not interrupted.
    if (place.current?.contains(document.activeElement)) return;
    if (typed.title === undefined) setTitle(job.title ?? "");
    if (typed.tags === undefined) setTags(job.tags.join(", "));
    if (typed.notes === undefined) setNotes(job.notes ?? "");
  }, [job.title, job.tags.join(), job.notes]);
  useEffect(() => saveNow, []);
  const problem = saveProblems.value[job.id];
  const save = (/** @type {import("../../lib/names.js").Names} */ names) => saveSoon(job.id, names);
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
    ${problem && problem.fields.length === 0 ? html`<p class="error" role="status">Not saved: ${problem.message}</p>` : null}
  </section>`;
}

/** @param {string} text */
function tagsOf(text) {
  return [...new Set(text.split(",").map((tag) => tag.trim()).filter(Boolean))];
}
