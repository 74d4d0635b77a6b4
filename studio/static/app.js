// @ts-check
// Where the page begins.
import { effect, html, render } from "./lib/html.js";
import { Shell } from "./components/shell.js";
import { SignIn } from "./components/sign_in.js";
import { Problem } from "./lib/client.js";
import { followEvents } from "./lib/events.js";
import { forgetJobs } from "./lib/jobs.js";
import { listenToKeys } from "./lib/keys.js";
import { forgetSongs } from "./lib/library.js";
import { followNames } from "./lib/names.js";
import { eject } from "./lib/player.js";
import { route } from "./lib/router.js";
import { loadSession, session } from "./lib/session.js";
import { NewSong } from "./screens/new_song.js";
import { Queue } from "./screens/queue.js";
import { Settings } from "./screens/settings.js";
import { SongScreen } from "./screens/song.js";
import { Songs } from "./screens/songs.js";

const RETRY_MS = 1500;

function App() {
  if (session.value.state === "key_needed") return html`<${SignIn} />`;
  const { screen, id } = route.value;
  return html`<${Shell}>${screenOf(screen, id)}<//>`;
}

/** @param {string} screen @param {string} id */
function screenOf(screen, id) {
  if (screen === "songs" && id) return html`<${SongScreen} key=${id} id=${id} />`;
  if (screen === "new") return html`<${NewSong} />`;
  if (screen === "queue") return html`<${Queue} />`;
  if (screen === "settings") return html`<${Settings} />`;
  return html`<${Songs} />`;
}

async function begin() {
  if (session.value.state === "key_needed") return;
  try {
    await loadSession();
  } catch (error) {
    if (error instanceof Problem && error.status === 401) return;
    setTimeout(begin, RETRY_MS);
  }
}

/** What one key may see stays out of the sight of the next. */
function forgetOthers() {
  let seen = /** @type {string | null | undefined} */ (undefined);
  effect(() => {
    const { state, owner } = session.value;
    if (state !== "open") return;
    if (seen !== undefined && seen !== owner) {
      eject();
      forgetSongs();
      forgetJobs();
    }
    seen = owner;
  });
}

const root = document.getElementById("app");
if (root) {
  root.replaceChildren();
  render(html`<${App} />`, root);
}
forgetOthers();
followEvents();
followNames();
listenToKeys();
void begin();
