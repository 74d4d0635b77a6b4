// @ts-check
// The library: every song, found again.
import { html, useEffect, useLayoutEffect, useRef } from "../lib/html.js";
import { reloads } from "../lib/events.js";
import { counted } from "../lib/format.js";
import { addKeys } from "../lib/keys.js";
import {
  NO_FILTERS, filters, isFiltered, isLoaded, isLoading, libraryError, loadMore, reload,
  reloadIfChanged, songIds,
  total,
} from "../lib/library.js";
import { loadModels, models } from "../lib/models.js";
import { go, hrefOf, route } from "../lib/router.js";
import { maySubmit } from "../lib/session.js";
import { Empty, Field, Notice } from "../components/controls.js";
import { Icon } from "../components/icon.js";
import { SongRow } from "../components/song_row.js";
import { attempt } from "../components/toasts.js";
import { VirtualList } from "../components/virtual_list.js";

const ROW_PX = 76;
const TYPING_MS = 200;
const VIEWS = /** @type {const} */ ([
  ["all", "All"], ["favorites", "Favorites"], ["running", "Being sung"], ["failed", "Failed"],
  ["trash", "Trash"],
]);

/** The screen. */
export function Songs() {
  const count = reloads.value;
  const { view, sort, tag, model, artist, genre } = filters.value;
  useEffect(() => {
    document.title = "Songs – Jukebox";
  }, []);
  useEffect(() => {
    void reloadIfChanged(count);
  }, [count, view, sort, tag, model, artist, genre]);
  const isEmpty = isLoaded.value && songIds.value.length === 0 && !isLoading.value;
  if (isEmpty && !isFiltered()) return html`<${FirstSong} />`;
  return html`<div class="screen screen-songs">
    <div class="screen-head"><h1>Songs</h1><${Count} />
      ${maySubmit() ? html`<a class="button primary" href=${hrefOf("new")}><${Icon} name="plus" />New song</a>` : null}</div>
    <${FilterBar} />
    ${libraryError.value ? html`<${Notice} title="The list could not be loaded" kind="bad" role="alert">
      <p>${libraryError.value}</p><//>` : null}
    ${isEmpty ? html`<${NothingFound} />` : html`<${VirtualList} label="Songs" ids=${songIds.value}
      total=${total.value} rowPx=${ROW_PX} onNearEnd=${() => loadMore()}
      renderRow=${(/** @type {string} */ id) => html`<${SongRow} id=${id} isTrashed=${view === "trash"} />`} />`}
    ${isLoaded.value ? null : html`<${Skeleton} />`}
  </div>`;
}

function Count() {
  if (total.value === null) return null;
  return html`<p class="count" aria-live="polite">${counted(total.value, "song")}</p>`;
}

function FilterBar() {
  const box = useRef(/** @type {HTMLInputElement | null} */ (null));
  const timer = useRef(0);
  useLayoutEffect(() => addKeys({ "/": () => box.current?.focus() }), []);
  const { query } = route.value;
  useEffect(() => {
    if (query.has("search")) box.current?.focus();
    if (query.has("tag")) filters.value = { ...NO_FILTERS, tag: query.get("tag") ?? "" };
  }, [query]);
  const type = (/** @type {any} */ event) => {
    filters.value = { ...filters.value, q: event.currentTarget.value };
    clearTimeout(timer.current);
    timer.current = window.setTimeout(reload, TYPING_MS);
  };
  return html`<div class="filters" role="search">
    <label class="search"><span class="visually-hidden">Search songs</span><${Icon} name="search" />
      <input type="search" ref=${box} placeholder="Title, artist, genre, tag, words of the lyrics"
        value=${filters.value.q} maxlength="200" onInput=${type} /></label>
    <div class="chips" role="group" aria-label="Show">
      ${VIEWS.map(([view, label]) => html`<button key=${view} type="button" class="chip"
        aria-pressed=${String(filters.value.view === view)}
        onClick=${() => { filters.value = { ...filters.value, view }; }}>${label}</button>`)}
    </div>
    ${filters.value.tag ? html`<button type="button" class="chip" aria-label=${`Remove the tag ${filters.value.tag}`}
      onClick=${() => { filters.value = { ...filters.value, tag: "" }; go(hrefOf("songs")); }}>
      <bdi>${filters.value.tag}</bdi><${Icon} name="close" /></button>` : null}
    <label class="sort"><span class="visually-hidden">Order</span>
      <select value=${filters.value.sort} onChange=${(/** @type {any} */ event) => {
        filters.value = { ...filters.value, sort: event.currentTarget.value };
      }}>
        <option value="-created_at">Newest first</option><option value="created_at">Oldest first</option>
        <option value="title">By title</option>
      </select></label>
    <${MoreFilters} />
  </div>`;
}

/** Exact names, and the model where there are several. */
function MoreFilters() {
  const { artist, genre, model } = filters.value;
  const names = (models.value ?? []).map(({ name }) => name);
  useEffect(() => {
    if (models.value === null) void attempt(loadModels);
  }, []);
  const set = (/** @type {Partial<import("../lib/library.js").Filters>} */ part) => {
    filters.value = { ...filters.value, ...part };
  };
  return html`<details class="more-filters" open=${Boolean(artist || genre || model)}><summary>More filters</summary>
    <div class="filter-fields">
      ${/** @type {const} */ (["artist", "genre"]).map((name) => html`<${Field} key=${name} label=${name === "artist" ? "Artist" : "Genre"}>
        ${(/** @type {any} */ { id }) => html`<input id=${id} type="search" maxlength="200" dir="auto" value=${filters.value[name]}
          onChange=${(/** @type {any} */ event) => set({ [name]: event.currentTarget.value })} />`}<//>`)}
      ${names.length > 1 ? html`<${Field} label="Model">${(/** @type {any} */ { id }) => html`<select id=${id} value=${model}
          onChange=${(/** @type {any} */ event) => set({ model: event.currentTarget.value })}>
          <option value="">Any</option>${names.map((name) => html`<option key=${name} value=${name}>${name}</option>`)}
        </select>`}<//>` : null}
    </div></details>`;
}

function FirstSong() {
  return html`<div class="screen">
    <div class="screen-head"><h1>Songs</h1></div>
    <${Empty} title="No songs yet" picture=${html`<${Tubes} />`}>
      <p>Choose a voice and a style, write a few lines, and listen while it is sung.</p>
      ${maySubmit() ? html`<button type="button" class="primary large" onClick=${() => go(hrefOf("new"))}>
        Make your first song</button>` : html`<p>Your key may listen, but not make songs.</p>`}
    <//>
  </div>`;
}

/** An arch of light, as on the front of a jukebox. */
function Tubes() {
  return html`<svg class="tubes" viewBox="0 0 240 150" aria-hidden="true" focusable="false">
    ${[100, 80, 60, 40].map((radius, place) => html`<path key=${radius} class=${`tube tube-${place}`}
      d=${`M${120 - radius} 150V${20 + 100}a${radius} ${radius} 0 0 1 ${2 * radius} 0v30`} />`)}
    <circle class="tube-dot" cx="120" cy="122" r="9" />
  </svg>`;
}

function NothingFound() {
  const { view } = filters.value;
  const clear = () => {
    filters.value = { ...NO_FILTERS };
    void reload();
  };
  const titles = { trash: "The trash is empty", favorites: "No favorites yet", running: "Nothing is being sung", failed: "Nothing failed", all: "No song fits" };
  return html`<${Empty} title=${filters.value.q ? "No song fits" : titles[view]}>
    ${view === "trash" ? html`<p>Deleted songs stay here for a while before they are gone.</p>` : null}
    <button type="button" onClick=${clear}>Show all songs</button>
  <//>`;
}

function Skeleton() {
  return html`<div class="skeletons" aria-hidden="true">
    ${[0, 1, 2, 3, 4].map((row) => html`<div class="skeleton" key=${row}></div>`)}</div>`;
}
