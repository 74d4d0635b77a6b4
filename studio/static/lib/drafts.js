// @ts-check
// What is typed into forms survives a reload, a crash and a lost connection. Each tab has its own
// draft; a new tab begins with the last one of any tab, unless only the tab keeps it.
import { effect, signal } from "./html.js";
import { session } from "./session.js";
import { recall, remember } from "./storage.js";

/**
 * A signal whose value is kept in this browser, for each API key apart.
 *
 * @template T
 * @param {string} name
 * @param {() => T} initial an object; fields that a stored draft lacks are taken from it
 * @param {{isOfTab?: boolean}} [where]
 */
export function draft(name, initial, { isOfTab = false } = {}) {
  const value = signal(initial());
  let key = "";
  effect(() => {
    const wanted = `draft.${session.value.owner ?? ""}.${name}`;
    const present = value.value;
    if (wanted === key) {
      remember(key, present, sessionStorage);
      if (!isOfTab) remember(key, present);
      return;
    }
    key = wanted;
    const stored = recall(key, sessionStorage) ?? (isOfTab ? null : recall(key));
    const isUsable = stored !== null && typeof stored === "object";
    value.value = isUsable ? { ...initial(), ...stored } : initial();
  });
  return value;
}
