// @ts-check
// Which section of the song is edited: drawn on the waveform, or typed.
import { hundredths } from "../../../lib/format.js";
import { html, useLayoutEffect, useRef } from "../../../lib/html.js";
import { songView } from "../../../lib/song_view.js";
import { PartFields } from "../../../components/part_fields.js";

const SUGGESTED_SHARE = 1 / 3;

/** The middle third of a song. @param {import("../../../../types").Job} job */
function suggestion(job) {
  const third = job.duration_seconds * SUGGESTED_SHARE;
  return { startSec: hundredths(third), endSec: hundredths(2 * third) };
}

/**
 * Begin to choose a section. Returns whether there was one already.
 *
 * @param {import("../../../../types").Job} job
 */
export function beginSection(job) {
  const view = songView(job.id);
  const had = view.section.value !== null;
  view.isSelecting.value = true;
  if (!had) view.section.value = suggestion(job);
  return had;
}

/** @param {{job: import("../../../../types").Job}} props */
export function SectionFields({ job }) {
  const view = songView(job.id);
  const section = view.section.value;
  const place = useRef(/** @type {HTMLElement | null} */ (null));
  const isPressed = useRef(false);
  // A button that was pressed by keyboard is gone: the keyboard goes on with what came in its place.
  useLayoutEffect(() => {
    if (isPressed.current) place.current?.querySelector(/** @type {"input"} */ ("input, button"))?.focus();
    isPressed.current = false;
  }, [section === null]);
  if (!section) {
    const choose = (/** @type {MouseEvent} */ event) => {
      isPressed.current = event.detail === 0;
      beginSection(job);
    };
    return html`<div ref=${place}><button type="button" onClick=${choose}>Choose a section</button></div>`;
  }
  const drop = (/** @type {MouseEvent} */ event) => {
    isPressed.current = event.detail === 0;
    view.section.value = null;
    view.isSelecting.value = false;
  };
  return html`<fieldset class="section-fields" ref=${place}>
    <legend>Section</legend>
    <${PartFields} part=${section} durationSec=${job.duration_seconds}
      onPart=${(/** @type {import("../../../lib/song_view.js").Section} */ part) => { view.section.value = part; }} />
    <p class="hint">Drag on the waveform, or type. <button type="button" class="link" onClick=${drop}>No section</button></p>
  </fieldset>`;
}
