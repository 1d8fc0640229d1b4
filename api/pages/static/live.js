// Keeps parts of a page current while a job runs:
//   <body or section data-events="/v1/jobs/job_1/events"> and <section data-fragment="/jobs/job_1/progress">
// Events of the job say that something changed; each fragment is then fetched again, at most once per `PAUSE_MS`,
// and not while the page is in the background. An event
// stream reconnects by itself and continues after the last event; a reloaded page begins with the current state.
import {localTimes} from "./page.js";

const PAUSE_MS = 3000;
const source = document.querySelector("[data-events]");
let isWaiting = false, isDue = false;

// Replaces the children of `current`. An input that has the focus stays the same element, with its text and selection.
function replace(current, next) {
  const input = current.querySelector("input:focus");
  const counterpart = input && next.querySelector(`#${CSS.escape(input.id)}`);
  if (!counterpart) { current.replaceChildren(...next.childNodes); return; }
  const kept = [...current.children].find(one => one.contains(input));
  const place = [...next.children].find(one => one.contains(counterpart));
  for (const one of [...current.childNodes]) if (one !== kept) one.remove();
  const nodes = [...next.childNodes], at = nodes.indexOf(place);
  kept.before(...nodes.slice(0, at));
  kept.after(...nodes.slice(at + 1));
  if (kept !== input) replace(kept, place);
}

async function refresh() {
  if (isWaiting || document.hidden) { isDue = true; return; }
  isWaiting = true;
  for (const section of document.querySelectorAll("[data-fragment]")) {
    try {
      const response = await fetch(section.dataset.fragment, {headers: {Accept: "text/html"}});
      if (response.redirected) { location.reload(); return; } // the session has ended
      if (!response.ok) continue;
      const html = new DOMParser().parseFromString(await response.text(), "text/html");
      const focused = document.activeElement?.id;
      const edited = [...section.querySelectorAll("input")].filter(one => one.value !== one.defaultValue);
      const hasJobEnded = html.querySelector("[data-ended]") !== null;
      replace(section, html.body);
      for (const {id, value} of edited) if (document.getElementById(id)) document.getElementById(id).value = value;
      localTimes(section);
      if (focused) document.getElementById(focused)?.focus();
      if (hasJobEnded) { hasEnded = true; stream?.close(); }
    } catch { /* the connection is lost: the next event, or the reconnected stream, tries again */ }
  }
  setTimeout(() => { isWaiting = false; if (isDue) { isDue = false; refresh(); } }, PAUSE_MS);
}

let stream = null, hasEnded = false;

function listen() {
  if (hasEnded) return;
  stream = new EventSource(source.dataset.events);
  for (const type of ["message", "metrics", "state"]) stream.addEventListener(type, refresh);
  stream.onopen = refresh;
  // A browser reconnects after a lost connection, but not after an error status, such as that of a proxy during a restart.
  stream.onerror = () => { if (stream.readyState === EventSource.CLOSED) { refresh(); setTimeout(listen, 2 * PAUSE_MS); } };
}

if (source) {
  listen();
  document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
}
