// The form of a new vocabulary: the service reads the labels without storing them, and the page shows what it read.
import {attempt, call, el} from "./api.js";

const SHOWN = 100, PAUSE_MS = 400;
const by = id => document.getElementById(id);
const form = by("vocabulary"), labels = by("labels"), file = by("file"), preview = by("preview"), create = by("create");
let chosen = null, timer = 0, latest = 0;

const source = () => chosen ?? labels.value;
const type = () => (chosen ? "application/octet-stream" : "text/plain; charset=utf-8");

function address(isDryRun) {
  const query = new URLSearchParams({name: by("name").value.trim() || "labels", domain: by("domain").value.trim()});
  if (isDryRun) query.set("dry_run", "true");
  return `/v1/vocabularies?${query}`;
}

// Lines that the service would refuse or drop, found before anything is sent: the text's own line numbers help to mend them.
function marked(text) {
  const first = new Map(), found = [];
  let blanks = 0;
  text.split(/\r?\n/).forEach((line, index, all) => {
    const label = line.trim().replace(/\s+/g, " ").toLowerCase();
    if (!label) { if (index < all.length - 1) blanks += 1; return; }
    if (first.has(label)) found.push(`line ${index + 1} repeats line ${first.get(label)}: ${line.trim()}`);
    else first.set(label, index + 1);
  });
  return {found, blanks};
}

function list(items, shape) {
  const shown = items.slice(0, SHOWN).map(item => el("li", {}, item));
  if (items.length > SHOWN) shown.push(el("li", {class: "soft"}, `and ${(items.length - SHOWN).toLocaleString()} more`));
  return items.length ? el("ul", {class: shape}, ...shown) : "";
}

function show(report, marks) {
  const rows = report.labels.map(label => el("tr", {}, el("td", {class: "num"}, String(label.position)),
    el("td", {}, el("bdi", {}, label.name)), el("td", {}, el("bdi", {}, label.sense ?? "")), el("td", {class: "id"}, label.ids ? JSON.stringify(label.ids) : "")));
  preview.replaceChildren(
    el("h2", {}, `${report.num_labels.toLocaleString()} labels`),
    report.read_as ? el("p", {}, `Read as: ${report.read_as}.`) : "",
    list(report.warnings, "warn"), list(report.notes, "soft"),
    marks.blanks ? el("p", {class: "soft"}, `${marks.blanks} blank lines are left out.`) : "",
    el("div", {class: "scroll", tabindex: "0", role: "region", "aria-label": "Labels"}, el("table", {},
      el("thead", {}, el("tr", {}, el("th", {class: "num"}, "#"), el("th", {}, "Label"), el("th", {}, "Sense"), el("th", {}, "Identifiers"))),
      el("tbody", {}, ...rows))),
    report.num_labels > rows.length ? el("p", {class: "soft"}, `The first ${rows.length} are shown.`) : "");
}

async function check() {
  const number = ++latest;
  create.disabled = true;
  if (!chosen && !labels.value.trim()) { preview.replaceChildren(); return; }
  const marks = chosen ? {found: [], blanks: 0} : marked(labels.value);
  try {
    const report = await call("POST", address(true), source(), {"Content-Type": type()});
    if (number !== latest) return;
    show(report, marks);
    create.disabled = false;
  } catch (problem) {
    if (number !== latest) return;
    const errors = problem.errors.map(error => error.detail);
    preview.replaceChildren(el("div", {class: "message bad"}, el("strong", {}, "These labels cannot be used yet."),
      list(errors.length ? errors : [problem.message], ""), list(marks.found, "")));
  }
}

function soon() { clearTimeout(timer); timer = setTimeout(check, PAUSE_MS); }

function choose(picked) {
  chosen = picked;
  labels.disabled = Boolean(picked);
  if (picked && !by("name").value) by("name").value = picked.name.replace(/\.\w+$/, "");
  check();
}

labels.addEventListener("input", soon);
by("domain").addEventListener("input", soon);
file.addEventListener("change", () => choose(file.files[0] ?? null));
labels.addEventListener("dragover", event => event.preventDefault());
labels.addEventListener("drop", event => {
  if (!event.dataTransfer.files.length) return;
  event.preventDefault();
  choose(event.dataTransfer.files[0]);
});
form.addEventListener("submit", event => {
  event.preventDefault();
  attempt(async () => {
    const made = await call("POST", address(false), source(), {"Content-Type": type()});
    location.assign(`/vocabularies/${encodeURIComponent(made.id)}`);
  }, create);
});
if (labels.value) check();
