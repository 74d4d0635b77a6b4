// @ts-check
// A list of which only the rows in sight exist. Rows have one height; the page scrolls.
import { html, useEffect, useLayoutEffect, useRef, useState } from "../lib/html.js";

const OVERSCAN = 8;

/**
 * @param {{label: string, ids: string[], total: number | null, rowPx: number,
 *   renderRow: (id: string) => unknown, onNearEnd: () => void}} props
 */
export function VirtualList({ label, ids, total, rowPx, renderRow, onNearEnd }) {
  const list = useRef(/** @type {HTMLElement | null} */ (null));
  const [[first, last], setRange] = useState([0, 30]);
  const measure = () => {
    if (!list.current) return;
    const above = -list.current.getBoundingClientRect().top;
    const from = Math.max(0, Math.floor(above / rowPx) - OVERSCAN);
    const to = Math.ceil((above + innerHeight) / rowPx) + OVERSCAN;
    setRange((held) => (held[0] === from && held[1] === to ? held : [from, to]));
  };
  useLayoutEffect(measure, [ids.length, rowPx]);
  useEffect(() => {
    addEventListener("scroll", measure, { passive: true });
    addEventListener("resize", measure);
    return () => {
      removeEventListener("scroll", measure);
      removeEventListener("resize", measure);
    };
  }, [rowPx]);
  useEffect(() => {
    if (last >= ids.length - OVERSCAN) onNearEnd();
  }, [last, ids.length]);
  const shown = ids.slice(first, last);
  return html`<ul class="rows" aria-label=${label} ref=${list}
    style=${{ height: `${ids.length * rowPx}px` }}>
    ${shown.map((id, place) => html`<li key=${id} class="row" aria-setsize=${total ?? ids.length}
      aria-posinset=${first + place + 1}
      style=${{ height: `${rowPx}px`, transform: `translateY(${(first + place) * rowPx}px)` }}>
      ${renderRow(id)}
    </li>`)}
  </ul>`;
}
