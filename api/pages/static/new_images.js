// The form that registers images: a folder of the service, or an upload. The service opens every image before it answers,
// which can take minutes.
import {attempt, call, Problem} from "./api.js";
import {archiveOf, dropped, folderOf, isArchive, sizeOf, upload} from "./uploads.js";

const by = id => document.getElementById(id);
const SPLITS = {
  seed: {by: "seed"},
  seen: {by: "seed", id_fraction: 1},
  parts: {by: "parts"},
  all: {by: "all"},
  test: {by: "all", part: "test"},
};
const form = by("images");
let selection = null, sent = null, isStopped = false;

const place = () => form.querySelector("input[name=place]:checked").value;

function size(bytes) {
  const unit = bytes < 1e6 ? [1e3, "kB"] : bytes < 1e9 ? [1e6, "MB"] : [1e9, "GB"];
  return `${(bytes / unit[0]).toFixed(1)} ${unit[1]}`;
}

function time(seconds) {
  if (seconds < 90) return `${Math.ceil(seconds)} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

function showPlace() {
  for (const part of form.querySelectorAll("[data-place]")) {
    part.hidden = part.dataset.place !== place();
    for (const input of part.querySelectorAll("input, select")) input.disabled = part.hidden;
  }
}

function choose(found) {
  sent = null;
  selection = found && found.files.length ? found : null;
  by("chosen").textContent = selection
    ? `${selection.name}: ${selection.files.length.toLocaleString()} ${selection.files.length === 1 ? "file" : "files"}, ${size(sizeOf(selection))}`
    : "Nothing that can be uploaded: choose a folder, or a .zip, .tar or .tar.gz.";
}

function report({done, total, rate, left, text}) {
  const bar = by("progress");
  if (total) { bar.hidden = false; bar.max = total; bar.value = done; }
  const figures = total ? [`${size(done)} of ${size(total)}`] : [];
  if (rate > 0) figures.push(`${size(rate)}/s`, `${time(left)} left`);
  by("state").textContent = [...figures, text].filter(Boolean).join(", ");
}

async function uploaded() {
  if (!selection) throw new Problem(0, {detail: "Choose a folder or an archive first."});
  if (sent) return sent;
  isStopped = false;
  by("stop").hidden = false;
  try {
    sent = (await upload(selection, report, () => isStopped)).id;
  } finally {
    by("stop").hidden = true;
    by("progress").hidden = true;
    by("state").textContent = "";
  }
  return sent;
}

async function add() {
  const body = {vocabulary_id: by("vocabulary").value, split: SPLITS[by("split").value]};
  if (by("unmatched").value === "skip") body.images = {layout: "class_folders", unmatched: "skip"};
  if (by("name").value.trim()) body.name = by("name").value.trim();
  if (place() === "folder") body.path = by("path").value.trim();
  if (place() === "uploaded") body.upload_id = by("uploaded").value;
  if (place() === "upload") body.upload_id = await uploaded();
  const started = performance.now();
  const tick = setInterval(() => { by("state").textContent = `checking every image: ${Math.round((performance.now() - started) / 1000)} s`; }, 1000);
  try {
    const made = await call("POST", "/v1/datasets", body);
    location.assign(`/images/${encodeURIComponent(made.id)}`);
  } finally {
    clearInterval(tick);
    by("state").textContent = "";
  }
}

if (form) {
  form.addEventListener("change", event => { if (event.target.name === "place") showPlace(); });
  form.addEventListener("submit", event => { event.preventDefault(); attempt(add, by("add")); });
  showPlace();
}
if (by("drop")) {
  by("folder").addEventListener("change", () => choose(folderOf(by("folder").files)));
  by("archive").addEventListener("change", () => choose(by("archive").files[0] && isArchive(by("archive").files[0]) ? archiveOf(by("archive").files[0]) : null));
  by("drop").addEventListener("dragover", event => event.preventDefault());
  by("drop").addEventListener("drop", event => {
    event.preventDefault();
    const found = dropped(event.dataTransfer); // now: the transfer is empty after the event
    attempt(async () => choose(await found)); // a folder may be unreadable
  });
  by("stop").addEventListener("click", () => { isStopped = true; });
}
