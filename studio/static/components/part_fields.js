// @ts-check
// Where a part of a sound begins and ends, as two numbers that can be typed.
import { mistakeIn } from "../lib/edits.js";
import { hundredths } from "../lib/format.js";
import { html, useState } from "../lib/html.js";
import { NumberField } from "./controls.js";

/** @typedef {import("./waveform.js").Part} Part */

/**
 * @param {{part: Part, durationSec: number, onPart: (part: Part) => void, labels?: [string, string]}} props
 */
export function PartFields({ part, durationSec, onPart, labels = ["From", "To"] }) {
  const [emptied, setEmptied] = useState(/** @type {keyof Part | ""} */ (""));
  const mistakes = { startSec: "", endSec: mistakeIn(part, durationSec) ?? "" };
  if (emptied) mistakes[emptied] = "Enter a number.";
  const take = (/** @type {keyof Part} */ end, /** @type {number | ""} */ value) => {
    setEmptied(value === "" ? end : "");
    if (value !== "") onPart({ ...part, [end]: value });
  };
  return /** @type {const} */ (["startSec", "endSec"]).map((end, place) => html`<${NumberField} key=${end} label=${labels[place]}
    unit="s" min=${0} max=${durationSec} step="any" value=${emptied === end ? "" : hundredths(part[end])}
    error=${mistakes[end]} onValue=${(/** @type {number | ""} */ value) => take(end, value)} />`);
}
