// @ts-check
// A text field with a list of names that a model knows. Any text is allowed: the model sings what it
// does not know as unknown, and the field says so.
import { html, useEffect, useId, useRef, useState } from "../lib/html.js";
import { call, Problem } from "../lib/client.js";
import { quoted } from "../lib/format.js";

const TYPING_MS = 120;
const LIMIT = 12;

/**
 * @param {{label: string, operation: "searchArtists" | "searchGenres", model: string, value: string,
 *   onValue: (value: string) => void, error?: string | null}} props
 */
export function NameCombobox({ label, operation, model, value, onValue, error = null }) {
  const id = useId();
  const list = useRef(/** @type {HTMLElement | null} */ (null));
  const [isOpen, setOpen] = useState(false);
  const [active, setActive] = useState(-1);
  const names = useNames(operation, model, value);
  const options = names?.text === value ? names.found : (names?.found ?? []);
  const isUnknown = names !== null && names.text === value && value.trim() !== "" && !names.isKnown;
  const choose = (/** @type {string} */ name) => {
    onValue(name);
    setOpen(false);
    setActive(-1);
  };
  const press = (/** @type {KeyboardEvent} */ event) => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      const step = event.key === "ArrowDown" ? 1 : -1;
      setOpen(true);
      if (options.length > 0) setActive((active + step + options.length) % options.length);
    } else if (event.key === "Enter" && isOpen && options[active]) {
      event.preventDefault();
      choose(options[active]);
    } else if (event.key === "Escape" && isOpen) {
      event.preventDefault();
      setOpen(false);
    }
  };
  useEffect(() => {
    list.current?.querySelector("[aria-selected=true]")?.scrollIntoView({ block: "nearest" });
  }, [active]);
  const note = isUnknown ? `${quoted(value.trim())} will be sung as unknown.` : "";
  const isShown = isOpen && options.length > 0;
  return html`<div class="field combobox">
    <label for=${id}>${label}</label>
    <input id=${id} type="text" role="combobox" autocomplete="off" spellcheck=${false} dir="auto"
      maxlength="200" value=${value} aria-autocomplete="list" aria-expanded=${String(isShown)}
      aria-controls=${`${id}-list`} aria-invalid=${error ? "true" : undefined}
      aria-describedby=${`${id}-note`}
      aria-activedescendant=${isShown && active >= 0 ? `${id}-${active}` : undefined}
      onInput=${(/** @type {any} */ event) => {
        onValue(event.currentTarget.value);
        setOpen(true);
        setActive(-1);
      }}
      onFocus=${() => setOpen(true)} onClick=${() => setOpen(true)} onKeyDown=${press}
      onBlur=${() => setOpen(false)} />
    <ul id=${`${id}-list`} class="options" role="listbox" aria-label=${label} hidden=${!isShown} ref=${list}>
      ${options.map((name, place) => html`<li key=${name} id=${`${id}-${place}`} role="option"
        aria-selected=${String(place === active)} onMouseDown=${(/** @type {Event} */ event) => event.preventDefault()}
        onClick=${() => choose(name)}>${name}</li>`)}
    </ul>
    <p id=${`${id}-note`} class=${error ? "error" : "hint note"} aria-live="polite">${error ?? note}</p>
  </div>`;
}

/**
 * Names like a text: null until the service has answered.
 *
 * @param {"searchArtists" | "searchGenres"} operation
 * @param {string} model
 * @param {string} text
 */
function useNames(operation, model, text) {
  const [names, setNames] = useState(
    /** @type {{text: string, found: string[], isKnown: boolean} | null} */ (null),
  );
  useEffect(() => {
    if (!model) return undefined;
    const stop = new AbortController();
    const timer = setTimeout(async () => {
      try {
        const query = { q: text.trim(), limit: LIMIT };
        const { data } = await call(operation, { path: { name: model }, query, signal: stop.signal });
        const isKnown = data.some((/** @type {{score: number}} */ each) => each.score >= 1);
        const found = data.map((/** @type {{name: string}} */ each) => each.name);
        setNames({ text, found, isKnown });
      } catch (error) {
        // Without suggestions the field still takes text. A model without lists knows no names.
        if (error instanceof Problem) setNames({ text, found: [], isKnown: true });
      }
    }, TYPING_MS);
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [operation, model, text]);
  return names;
}
