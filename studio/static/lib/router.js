// @ts-check
// Where we are: the part of the address after `#`, so that any path prefix and any reload works.
import { signal } from "./html.js";

/**
 * @typedef {object} Route
 * @property {string} screen
 * @property {string} id of what the screen shows; may be empty
 * @property {URLSearchParams} query
 */

/** @returns {Route} */
function read() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [screen, id = ""] = path.split("/");
  return { screen: screen || "songs", id: safelyDecoded(id), query: new URLSearchParams(query) };
}

/** @param {string} text */
function safelyDecoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** @type {{value: Route}} */
export const route = signal(read());

addEventListener("hashchange", () => {
  route.value = read();
});

/**
 * The address of a screen.
 *
 * @param {string} screen
 * @param {string} [id]
 * @param {Record<string, string>} [query]
 */
export function hrefOf(screen, id = "", query = {}) {
  const search = new URLSearchParams(query).toString();
  return `#/${screen}${id ? `/${encodeURIComponent(id)}` : ""}${search ? `?${search}` : ""}`;
}

/** Go to an address made by `hrefOf`. @param {string} href */
export function go(href) {
  location.hash = href;
}
