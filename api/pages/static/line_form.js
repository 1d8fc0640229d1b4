// The form of one line: its fields, the count of tokens while a person types, and a copy of the text that outlives a
// reload or a closed connection.
import {call} from "./api.js";

const PAUSE_MS = 250;
const bar = document.getElementById("bar");
const kept = "limbeck-line:" + bar.dataset.set;

export const keptText = {
  read() { try { return JSON.parse(sessionStorage.getItem(kept)); } catch { return null; } },
  write(value) { try { sessionStorage.setItem(kept, JSON.stringify(value)); } catch { /* full, or not allowed */ } },
  drop() { sessionStorage.removeItem(kept); },
};

function valuesOf(form) {
  const values = {kind: form.elements.kind.value, text: form.elements.text.value};
  const fields = form.elements.kind.selectedOptions[0].dataset.fields.split(" ").filter(Boolean);
  for (const field of fields) values[field] = form.elements[field].value;
  return values;
}

// Build the form of a line of a label: {position, label, line, kind, values}; `line` is "" for a new line.
export function lineForm(about, {save, close}) {
  const form = document.getElementById("line-form").content.firstElementChild.cloneNode(true);
  const tokens = form.querySelector(".tokens"), message = form.querySelector("[role=alert]");
  const {kind, text} = form.elements;
  const start = {kind: about.kind || "phrase", ...about.values};
  kind.value = start.kind;
  for (const field of ["text", "part", "value", "about", "other_value"]) form.elements[field].value = start[field] || "";
  form.querySelector(".main").textContent = about.line ? "Save" : "Add";

  const initial = JSON.stringify(valuesOf(form));
  let timer, counted = 0;
  const api = {
    element: form, about,
    get isChanged() { return JSON.stringify(valuesOf(form)) !== initial || about.isKept; },
    values: () => valuesOf(form),
    focus() { text.focus(); },
    say(words) { message.textContent = words; message.hidden = !words; },
    // Another person changed or deleted the line: the text becomes a new line.
    becomeNew() { about.line = ""; form.querySelector(".main").textContent = "Add"; keep(); },
  };

  function keep() {
    if (api.isChanged) keptText.write({position: about.position, line: about.line, ...valuesOf(form)});
    else keptText.drop(); // typed and taken back
  }

  function showFields() {
    const fields = kind.selectedOptions[0].dataset.fields.split(" ");
    for (const field of ["part", "value", "about", "other_value"]) form.elements[field].hidden = !fields.includes(field);
  }

  async function count() {
    const number = ++counted;
    const lines = [{label: about.label, kind: kind.value, text: text.value}];
    try {
      const found = await call("POST", "/v1/token-counts", {teacher: bar.dataset.teacher || null, lines});
      if (number !== counted) return;
      const [used] = found.num_tokens, limit = found.context_length;
      const note = document.getElementById("token-note").content.textContent;
      tokens.textContent = `${used} of ${limit} tokens${used > limit ? ": the teacher does not read the end" : ""}, ${note}`;
      tokens.classList.toggle("over", used > limit);
    } catch { if (number === counted) tokens.textContent = ""; } // the count is a help, not a condition
  }

  form.addEventListener("input", () => { showFields(); keep(); clearTimeout(timer); timer = setTimeout(count, PAUSE_MS); });
  form.addEventListener("submit", event => { event.preventDefault(); save(api); });
  form.addEventListener("keydown", event => {
    if (event.key === "Escape") { event.preventDefault(); event.stopPropagation(); close(api); }
    if (event.key === "Enter" && event.target === text && !event.shiftKey && !event.isComposing) { event.preventDefault(); form.requestSubmit(); }
  });
  form.querySelector("[data-do=cancel]").addEventListener("click", () => close(api));
  showFields();
  count();
  return api;
}
