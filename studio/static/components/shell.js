// @ts-check
// The frame around every screen: navigation, what is wrong with the connection, and the player.
import { html, useEffect, useRef } from "../lib/html.js";
import { isConnected } from "../lib/connection.js";
import { activeIds } from "../lib/jobs.js";
import { hrefOf, route } from "../lib/router.js";
import { KeyHelp } from "./key_help.js";
import { Icon, Logo } from "./icon.js";
import { PlayerBar } from "./player_bar.js";
import { Toasts } from "./toasts.js";

const PLACES = [
  { screen: "songs", label: "Songs", icon: "songs" },
  { screen: "new", label: "New song", icon: "plus" },
  { screen: "queue", label: "Queue", icon: "queue" },
  { screen: "settings", label: "Settings", icon: "settings" },
];

/** @param {{children: unknown}} props */
export function Shell({ children }) {
  return html`
    <a class="skip" href="#main" onClick=${skip}>Skip to content</a>
    <div class="shell">
      <header class="side">
        <a class="brand" href=${hrefOf("songs")} aria-label="Jukebox"><${Logo} /><span>Jukebox</span></a>
        <nav aria-label="Main">${PLACES.map((place) => html`<${Place} key=${place.screen} ...${place} />`)}
        </nav>
      </header>
      <${Screen}>${children}<//>
      <${Toasts} />
      <${PlayerBar} />
      <${KeyHelp} />
    </div>`;
}

/** @param {{screen: string, label: string, icon: string}} props */
function Place({ screen, label, icon }) {
  const isHere = route.value.screen === screen;
  const count = screen === "queue" ? activeIds.value.size : 0;
  return html`<a class=${`place place-${screen}`} href=${hrefOf(screen)}
    aria-current=${isHere ? "page" : undefined}>
    <${Icon} name=${icon} /><span>${label}</span>
    ${count > 0 ? html`<span class="badge"><span class="visually-hidden">, running: </span>${count}</span>` : null}
  </a>`;
}

/**
 * Moves the focus to a new screen, so that screen readers say where they are.
 *
 * @param {{children: unknown}} props
 */
function Screen({ children }) {
  const main = useRef(/** @type {HTMLElement | null} */ (null));
  const { screen, id } = route.value;
  const isFirst = useRef(true);
  const heights = useRef(/** @type {Record<string, number>} */ ({}));
  useEffect(() => {
    const note = () => { heights.current[route.value.screen + route.value.id] = scrollY; };
    addEventListener("scroll", note, { passive: true });
    return () => removeEventListener("scroll", note);
  }, []);
  useEffect(() => {
    if (!isFirst.current) {
      // A screen may have put the focus where it is wanted.
      if (!main.current?.contains(document.activeElement)) main.current?.focus({ preventScroll: true });
      // Lists are found where they were left; a song begins at its top.
      scrollTo(0, id ? 0 : heights.current[screen] ?? 0);
    }
    isFirst.current = false;
  }, [screen, id]);
  return html`<main id="main" tabindex="-1" ref=${main}><${ConnectionAlert} />${children}</main>`;
}

function ConnectionAlert() {
  if (isConnected.value) return null;
  return html`<div class="connection" role="alert">
    <${Icon} name="warning" />
    <div><strong>Connection lost</strong>
    <span>Nothing is lost: what you typed stays here, and songs go on. Trying again …</span></div>
  </div>`;
}

/** @param {MouseEvent} event */
function skip(event) {
  event.preventDefault();
  document.getElementById("main")?.focus();
}
