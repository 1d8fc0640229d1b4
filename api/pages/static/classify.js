// Try a student on its page: choose, drop or paste a picture, and see the scores of its labels and of new words.
import {attempt, call, el} from "./api.js";

const form = document.getElementById("try");
const file = form.querySelector("input[type=file]");
const words = form.querySelector("input[name=words]");
const score = form.querySelector("select[name=score]");
const scores = document.getElementById("scores");
const shown = document.getElementById("picture");
let picture = null;

function show(result) {
  const percent = value => (100 * value).toFixed(1) + "%";
  const rows = result.labels.map(one => el("tr", {},
    el("td", {}, el("bdi", {}, one.label), one.is_new ? " (new)" : ""),
    el("td", {}, el("meter", {min: 0, max: 1, value: one.confidence, "aria-hidden": "true"})),
    el("td", {class: "num"}, percent(one.confidence))));
  scores.replaceChildren(
    result.none_of_these ? el("p", {class: "message warn"}, "Probably none of these: the picture is unlike all labels.") : "",
    el("table", {}, el("tbody", {}, ...rows)),
    score ? el("p", {class: "soft"}, verdict(result)) : "");
}

function verdict(result) {
  const judged = {true: "none of these", false: "one of the labels"}[result.none_of_these] ?? "not judged beside new words";
  const title = [...score.options].find(one => one.value === result.score).text;
  return `By ${title}: ${result.score_value.toFixed(3)}, ${judged}.`;
}

async function classify() {
  if (!picture) return;
  const query = new URLSearchParams();
  for (const word of (words?.value || "").split(",")) if (word.trim()) query.append("word", word.trim());
  if (score) query.append("score", score.value);
  scores.replaceChildren(el("p", {class: "soft"}, "Looking …"));
  const result = await attempt(() => call("POST", `${form.dataset.path}?${query}`, picture, {"Content-Type": "application/octet-stream"}), form.querySelector("button"));
  if (result) show(result); else scores.replaceChildren();
}

function take(blob) {
  if (!blob) return;
  picture = blob;
  if (shown.src) URL.revokeObjectURL(shown.src);
  shown.src = URL.createObjectURL(blob);
  shown.hidden = false;
  classify();
}

file.addEventListener("change", () => take(file.files[0]));
score?.addEventListener("change", classify);
form.addEventListener("submit", event => { event.preventDefault(); classify(); });
form.addEventListener("dragover", event => event.preventDefault());
form.addEventListener("drop", event => { event.preventDefault(); take(event.dataTransfer.files[0]); });
document.addEventListener("paste", event => take([...event.clipboardData.files][0]));
