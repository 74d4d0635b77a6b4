// @ts-check
// The session, the models and the workers of the service, and how the page looks.
import { html, useEffect, useState } from "../lib/html.js";
import { SERVICE_URL } from "../lib/client.js";
import { reloads } from "../lib/events.js";
import { bytes, duration, moment } from "../lib/format.js";
import { isHelpOpen } from "../lib/keys.js";
import { loadModels, models } from "../lib/models.js";
import { session, signOut } from "../lib/session.js";
import { useSystem } from "../lib/system.js";
import { RadioGroup } from "../components/controls.js";
import { attempt } from "../components/toasts.js";

/** The screen. */
export function Settings() {
  useEffect(() => {
    document.title = "Settings – Jukebox";
    void attempt(loadModels);
  }, [reloads.value]);
  const system = useSystem();
  return html`<div class="screen screen-settings">
    <div class="screen-head"><h1>Settings</h1></div>
    <div class="settings-grid">
      <${Look} /><${Key} /><${Workers} system=${system} />
      <${Disk} disk=${system?.disk ?? null} /><${Models} />
    </div>
    ${system ? html`<p class="hint">Jukebox ${system.version} · <a href=${new URL("docs", SERVICE_URL).href}>API</a></p>` : null}
  </div>`;
}

function Look() {
  const [theme, setTheme] = useState(document.documentElement.dataset.theme ?? "system");
  const choose = (/** @type {string} */ value) => {
    setTheme(value);
    try {
      localStorage.setItem("jukebox.theme", value);
    } catch {
      // The choice holds until the page is closed.
    }
    if (value === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = value;
  };
  return html`<section class="panel" aria-labelledby="look"><h2 id="look">Appearance</h2>
    <${RadioGroup} label="Colors" value=${theme} onValue=${choose}
      options=${[{ value: "system", label: "System" }, { value: "light", label: "Light" }, { value: "dark", label: "Dark" }]} />
    <button type="button" onClick=${() => { isHelpOpen.value = true; }}>Keyboard shortcuts</button></section>`;
}

function Key() {
  const { owner, scopes, expiresAt } = session.value;
  return html`<section class="panel" aria-labelledby="key"><h2 id="key">Access</h2>
    ${owner ? html`<dl><div><dt>Key</dt><dd>${owner}</dd></div><div><dt>May</dt><dd>${scopes.join(", ")}</dd></div>
      ${expiresAt ? html`<div><dt>Signed in until</dt><dd>${moment(expiresAt)}</dd></div>` : null}</dl>
      <button type="button" onClick=${() => attempt(signOut)}>Sign out</button>`
    : html`<p>This service runs on this machine and needs no key.</p>`}</section>`;
}

/** @param {{system: import("../../types").System | null}} props */
function Workers({ system }) {
  return html`<section class="panel" aria-labelledby="workers"><h2 id="workers">Workers</h2>
    ${system && system.workers.length === 0 ? html`<p>No worker is running. Songs wait until one starts.</p>` : null}
    <ul class="workers">${(system?.workers ?? []).map((worker) => html`<li key=${worker.name}>
      <strong>${worker.device}</strong><span class="hint">${worker.name}: ${worker.models.join(", ")}</span></li>`)}</ul></section>`;
}

/** @param {{disk: import("../../types").Disk | null}} props */
function Disk({ disk }) {
  if (!disk) return null;
  const { free_bytes: free, total_bytes: all, reserved_bytes: reserved } = disk;
  const isFull = free <= reserved;
  return html`<section class="panel" aria-labelledby="disk"><h2 id="disk">Disk</h2>
    <div class="bar" role="meter" aria-label="Used disk" aria-valuemin="0" aria-valuemax="100"
      aria-valuenow=${Math.round((1 - free / all) * 100)}>
      <div class="bar-done" style=${{ transform: `scaleX(${1 - free / all})` }}></div></div>
    <p class=${isFull ? "error" : ""}>${bytes(free)} free of ${bytes(all)}${isFull ? ": too little for new songs" : ""}</p>
  </section>`;
}

/** @param {import("../../types").Model} model */
function takes(model) {
  const { memory_bytes: memory, estimated_seconds_per_second_of_music: exact, estimated_seconds_per_second_in_parallel: fast } = model;
  return [
    memory && `${bytes(memory)} of memory`,
    model.limits && `up to ${duration(model.limits.max_duration_seconds)}`,
    exact && `about ${duration(exact)} for a second of music${fast ? `, ${duration(fast)} in parallel` : ""}`,
  ].filter(Boolean);
}

function Models() {
  return html`<section class="panel panel-wide" aria-labelledby="models"><h2 id="models">Models</h2>
    <ul class="models">${(models.value ?? []).map((model) => html`<li key=${model.name}>
      <div class="model-head"><strong>${model.name}</strong><span class=${`tag tag-${model.state}`}>${model.state}</span>
        <span class="hint">${[bytes(model.bytes), ...takes(model)].join(", ")}</span></div>
      <p>${model.error ?? model.description}</p>
      ${model.state === "absent" ? html`<p class="hint">To fetch it: <code>jukebox models pull ${model.name}</code></p>` : null}
    </li>`)}</ul></section>`;
}
