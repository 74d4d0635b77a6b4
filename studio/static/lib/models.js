// @ts-check
// The models of the service, loaded once and again when somebody asks.
import { computed, signal } from "./html.js";
import { call } from "./client.js";

/** @typedef {import("../../types").Model} Model */

/** @type {{value: Model[] | null}} */
export const models = signal(null);
/** Those that can sing now. */
export const readyModels = computed(() => (models.value ?? []).filter(({ state }) => state === "ready"));

/** Load the list. @throws {import("./client.js").Problem} */
export async function loadModels() {
  models.value = (await call("listModels")).data;
}

/** @param {string} name @returns {Model | null} */
export function modelNamed(name) {
  return readyModels.value.find((each) => each.name === name) ?? readyModels.value[0] ?? null;
}
