// @ts-check
// Where a part of a sound begins and ends, as two numbers that can be typed.
import { mistakeIn } from "../lib/edits.js";
import { hundredths } from "../lib/format.js";
import { html } from "../lib/html.js";
import { NumberField } from "./controls.js";

/** @typedef {import("./waveform.js").Part} Part */

/**
 * @param {{part: Part, durationSec: number, onPart: (part: Part) => void, labels?: [string, string]}} props
 */
export function PartFields({ part, durationSec, onPart, labels = ["From", "To"] }) {
  const { startSec, endSec } = part;
  const mistake = mistakeIn(part, durationSec);
  return html`<${NumberField} label=${labels[0]} unit="s" min=${0} max=${endSec} step="any" value=${hundredths(startSec)}
      onValue=${(/** @type {number | ""} */ value) => value !== "" && onPart({ startSec: value, endSec })} />
    <${NumberField} label=${labels[1]} unit="s" min=${startSec} max=${durationSec} step="any" value=${hundredths(endSec)} error=${mistake}
      onValue=${(/** @type {number | ""} */ value) => value !== "" && onPart({ startSec, endSec: value })} />`;
}
