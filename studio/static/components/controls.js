// @ts-check
// Small controls that every screen uses: fields with their errors, radio groups, bars, messages.
import { html, useId } from "../lib/html.js";
import { Icon } from "./icon.js";

/**
 * A label, a control and what is wrong with it. `children` is called with the ids that the control
 * needs.
 *
 * @param {{label: string, hint?: string, error?: string | null, children: (ids: {id: string,
 *   describedBy: string | undefined, isInvalid: boolean}) => unknown}} props
 */
export function Field({ label, hint = "", error = null, children }) {
  const id = useId();
  const described = [error ? `${id}-error` : "", hint ? `${id}-hint` : ""].filter(Boolean);
  const describedBy = described.join(" ") || undefined;
  return html`<div class="field">
    <label for=${id}>${label}</label>
    ${children({ id, describedBy, isInvalid: Boolean(error) })}
    ${hint ? html`<p class="hint" id=${`${id}-hint`}>${hint}</p>` : null}
    ${error ? html`<p class="error" id=${`${id}-error`} role="alert">${error}</p>` : null}
  </div>`;
}

/**
 * A number with its unit.
 *
 * @param {{label: string, value: number | "", onValue: (value: number | "") => void, min: number,
 *   max: number, step?: number | "any", unit?: string, hint?: string, error?: string | null,
 *   isDisabled?: boolean}} props
 */
export function NumberField({
  label, value, onValue, min, max, step = 1, unit = "", hint = "", error = null, isDisabled = false,
}) {
  const take = (/** @type {InputEvent} */ event) => {
    const { value: text } = /** @type {HTMLInputElement} */ (event.currentTarget);
    onValue(text === "" ? "" : Number(text));
  };
  return html`<${Field} label=${label} hint=${hint} error=${error}>
    ${(/** @type {any} */ { id, describedBy, isInvalid }) => html`<span class="number">
      <input id=${id} type="number" inputmode="decimal" min=${min} max=${max} step=${step}
        value=${value} disabled=${isDisabled} onInput=${take} aria-describedby=${describedBy}
        aria-invalid=${isInvalid ? "true" : undefined} />
      ${unit ? html`<span class="unit" aria-hidden="true">${unit}</span>` : null}</span>`}
  <//>`;
}

/** Put the focus into a field that says what is wrong with it; whether there is one. @param {string} within selector */
export function goToMistake(within) {
  const field = document.querySelector(/** @type {"input"} */ (`${within} [aria-invalid=true]`));
  field?.focus();
  return field !== null;
}

/**
 * Radio buttons that look like one switch.
 *
 * @param {{label: string, value: string, onValue: (value: string) => void, isLabelHidden?: boolean,
 *   options: {value: string, label: string, isDisabled?: boolean}[]}} props
 */
export function RadioGroup({ label, value, onValue, options, isLabelHidden = false }) {
  const name = useId();
  return html`<div class="segmented-field" role="radiogroup" aria-labelledby=${`${name}-label`}>
    <span class=${isLabelHidden ? "visually-hidden" : "label"} id=${`${name}-label`}>${label}</span>
    <div class="segmented">
      ${options.map((option) => html`<label key=${option.value}>
        <input type="radio" name=${name} value=${option.value} checked=${value === option.value}
          disabled=${option.isDisabled ?? false} onChange=${() => onValue(option.value)} />
        <span>${option.label}</span>
      </label>`)}
    </div>
  </div>`;
}

/**
 * @param {{label: string, value: number, isHidden?: boolean}} props value from 0 to 1
 */
export function ProgressBar({ label, value }) {
  const percent = Math.round(value * 100);
  return html`<div class="bar" role="progressbar" aria-label=${label} aria-valuemin="0"
    aria-valuemax="100" aria-valuenow=${percent}>
    <div class="bar-done" style=${{ transform: `scaleX(${value})` }}></div>
  </div>`;
}

/**
 * A message with an icon: something went wrong, or needs attention.
 *
 * @param {{title: string, kind?: "bad" | "calm", role?: string, children?: unknown}} props
 */
export function Notice({ title, kind = "calm", role = "", children = null }) {
  return html`<div class=${`notice notice-${kind}`} role=${role || undefined}>
    <${Icon} name="warning" />
    <div><strong>${title}</strong>${children}</div>
  </div>`;
}

/**
 * What a screen shows when it has nothing to show.
 *
 * @param {{title: string, picture?: unknown, children?: unknown}} props
 */
export function Empty({ title, picture = null, children = null }) {
  return html`<div class="empty">${picture}<h2>${title}</h2>${children}</div>`;
}

/**
 * A button that shows only an icon.
 *
 * @param {{name: string, icon: string, onClick: (event: MouseEvent) => void, isPressed?: boolean,
 *   isFilled?: boolean, kind?: string}} props
 */
export function IconButton({ name, icon, onClick, isPressed, isFilled = false, kind = "" }) {
  return html`<button type="button" class=${`icon-button ${kind}`} aria-label=${name} title=${name}
    aria-pressed=${isPressed === undefined ? undefined : String(isPressed)} onClick=${onClick}>
    <${Icon} name=${icon} isFilled=${isFilled} />
  </button>`;
}
