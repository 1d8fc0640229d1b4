// The form of a training. After a change the service checks it without storing anything: the page shows what the training
// would do, first without its time, then with the time that the service measures. An error is shown at its field.
import {attempt, call, el, Problem} from "./api.js";

const SECONDS = {s: 1, m: 60, h: 3600, d: 86_400, w: 604_800};
// The beginning of the pointer of an error, and the field that it is about.
const FIELDS = [
  ["/teacher", "teacher"], ["/attribute_set_id", "set"], ["/text", "text"], ["/recipe", "recipe"], ["/config/student", "student"],
  ["/config/time_budget_s", "time"], ["/config/schedule/time_budget_s", "time"], ["/config/epochs", "epochs"], ["/config/schedule/epochs", "epochs"],
];
const by = id => document.getElementById(id);
const form = by("distill"), shown = by("training"), whole = new Intl.NumberFormat();
let latest = 0, refused = "", measuring = Promise.resolve();

function timeText(seconds) {
  if (seconds < 90) return `${seconds >= 10 || seconds === 0 ? Math.round(seconds) : seconds.toFixed(1)} s`;
  const minutes = Math.round(seconds / 60), hours = Math.floor(minutes / 60);
  if (!hours) return `${minutes} min`;
  return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
}

function seconds(text) {
  const match = /^(\d{1,6})([smhdw])$/.exec(text);
  if (match) return Number(match[1]) * SECONDS[match[2]];
  const detail = `“${text}” is no time: write a number and a unit, such as 90s, 30m, 2h or 1d.`;
  throw new Problem(0, {detail, errors: [{pointer: "/config/time_budget_s", detail}]});
}

function request() {
  const body = {
    kind: "distill",
    dataset_id: form.dataset.dataset,
    teacher: by("teacher").value.trim(),
    text: by("text").value,
    recipe: by("recipe").value,
    config: {},
  };
  if (by("set").value) body.attribute_set_id = by("set").value;
  if (by("student").value.trim()) body.config.student = {architecture: by("student").value.trim()};
  if (by("epochs").value) body.config.epochs = Number(by("epochs").value);
  if (by("time").value.trim()) body.config.time_budget_s = seconds(by("time").value.trim());
  return body;
}

function clearErrors() {
  for (const message of form.querySelectorAll(".error")) message.remove();
  for (const field of form.querySelectorAll("[aria-invalid]")) {
    field.removeAttribute("aria-invalid");
    describe(field, field.dataset.note);
  }
}

function describe(field, ids) {
  if (ids) field.setAttribute("aria-describedby", ids);
  else field.removeAttribute("aria-describedby");
}

// Show each error at its field; returns the first of these fields, or undefined if an error is about none of them.
function showErrors(problem) {
  const errors = problem.errors.map(({pointer, detail}) => [FIELDS.find(([start]) => `${pointer}/`.startsWith(`${start}/`))?.[1], detail]);
  if (!errors.length || !errors.every(([id]) => id)) return undefined;
  clearErrors();
  for (const [id, detail] of errors) {
    const field = by(id), note = field.dataset.note, message = by(`${id}-error`);
    if (message) { message.append(`\n${detail}`); continue; }
    (note ? by(note) : field).after(el("span", {id: `${id}-error`, class: "bad error", role: "alert"}, detail));
    field.setAttribute("aria-invalid", "true");
    describe(field, [note, `${id}-error`].filter(Boolean).join(" "));
  }
  return by(errors[0][0]);
}

const fact = (name, value, more) => el("div", {}, el("dt", {}, name), el("dd", {}, value, more ? el("span", {class: "soft"}, more) : ""));

function timeFact(training) {
  const {steps_s: steps, views_s: views} = training;
  if (steps === null) return fact("Time", "not known", " until the first steps: the page of the job shows it");
  if (training.teacher_cached && views === null) return fact("Time", `${timeText(steps)} for the steps`, ", and that of the teacher, whose weights are not here yet");
  if (!views) return fact("Time", `about ${timeText(steps)}`);
  return fact("Time", `about ${timeText(views + steps)}`, `: ${timeText(views)} for the teacher (less if cached), ${timeText(steps)} for the steps`);
}

function show(training, isMeasured) {
  const epochs = training.total_steps / training.steps_per_epoch;
  // Only a measurement says how many steps fit into a time budget.
  // The evaluation compares with the teacher, which encodes the measured images too; a closed-set baseline has none.
  const ofTraining = training.teacher_cached + training.teacher_live;
  const passes = ofTraining && ofTraining + training.measured;
  const isFitted = !by("time").value.trim() || training.steps_s !== null;
  const steps = isFitted
    ? [fact("Steps", whole.format(training.total_steps), ` of ${whole.format(training.batch_size)} images, ${whole.format(epochs)} epochs`),
      fact("Teacher passes", whole.format(passes), training.teacher_cached ? ", less if cached" : "")]
    : isMeasured ? [fact("Steps", "as many as fit", ": the worker measures the first ones")] : [];
  const time = isMeasured ? timeFact(training) : fact("Time", "is being measured …");
  shown.replaceChildren(el("dl", {class: "facts"}, ...steps, time));
}

function fail(problem) {
  const field = showErrors(problem);
  shown.replaceChildren(field ? "" : el("p", {class: "bad"}, problem.message));
  return field;
}

// Check the form as it is now. Measurements run one after the other, and only of the latest state of the form.
async function check() {
  const number = ++latest, isLatest = () => number === latest;
  clearErrors();
  refused = "";
  let body;
  const dryRun = async query => (await call("POST", `/v1/jobs?dry_run=true${query}`, body)).training;
  try {
    body = request();
    if (!body.teacher) { shown.replaceChildren(); return; }
    const planned = await dryRun("");
    if (!isLatest()) return;
    show(planned, false);
    measuring = measuring.catch(() => null).then(() => (isLatest() ? dryRun("&measure=true") : null));
    const measured = await measuring;
    if (isLatest() && measured) show(measured, true);
  } catch (problem) {
    if (isLatest() && fail(problem)) refused = JSON.stringify(body);
  }
}

async function start() {
  try {
    const body = request();
    if (JSON.stringify(body) === refused) { form.querySelector("[aria-invalid]").focus(); return; }
    const job = await call("POST", "/v1/jobs", body);
    location.assign(`/jobs/${encodeURIComponent(job.id)}`);
  } catch (problem) {
    const field = showErrors(problem);
    if (!field) throw problem;
    field.focus();
  }
}

if (form) {
  by("set").addEventListener("change", () => { if (!by("set").value) by("text").value = "names"; });
  form.addEventListener("change", check);
  form.addEventListener("focusin", event => { if (!latest && event.target !== by("train")) check(); });
  form.addEventListener("submit", event => { event.preventDefault(); attempt(start, by("train")); });
}
