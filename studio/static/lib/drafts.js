// @ts-check
// What is typed into forms survives a reload, a crash and a lost connection. Each tab has its own
// draft; a new tab begins with the last one of any tab.
import { effect, signal } from "./html.js";
import { session } from "./session.js";
import { recall, remember } from "./storage.js";

/**
 * A signal whose value is kept in this browser, for each API key apart.
 *
 * @template T
 * @param {string} name
 * @param {() => T} initial an object; fields that a stored draft lacks are taken from it
 */
export function draft(name, initial) {
  const value = signal(initial());
  let key = "";
  effect(() => {
    const wanted = `draft.${session.value.owner ?? ""}.${name}`;
    const present = value.value;
    if (wanted === key) {
      remember(key, present, sessionStorage);
      remember(key, present);
      return;
    }
    key = wanted;
    const stored = recall(key, sessionStorage) ?? recall(key);
    const isUsable = stored !== null && typeof stored === "object";
    value.value = isUsable ? { ...initial(), ...stored } : initial();
  });
  return value;
}
