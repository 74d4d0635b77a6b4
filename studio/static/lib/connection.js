// @ts-check
// Whether the service answers. The event stream and every request report here.
import { signal } from "./html.js";

/** False from the first request that nobody answered until the next that is answered. */
export const isConnected = signal(true);

/** A request was not answered. */
export function connectionIsLost() {
  isConnected.value = false;
}

/** A request was answered. */
export function connectionIsBack() {
  isConnected.value = true;
}
