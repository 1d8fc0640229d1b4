// Runs the plan of the example: vocabulary, images, enrichment, training. The page of the training opens at the end.
// `sessionStorage.example` says that it was started in this tab, so that a reloaded page continues. Each step that exists is
// found again by the service.
import {attempt, call, el} from "./api.js";

const POLL_MS = 1000;
const form = document.getElementById("example"), button = document.getElementById("start");
const plan = JSON.parse(form.dataset.plan);
const ENDED = ["succeeded", "failed", "cancelled"];

function show(step, text, address) {
  const place = form.querySelector(`[data-step=${step}]`);
  place.replaceChildren(text, address ? " " : "", address ? el("a", {href: address}, "open") : "");
}

async function job(body) {
  const made = await call("POST", "/v1/jobs?reuse=true", body);
  return {id: made.id, address: `/jobs/${encodeURIComponent(made.id)}`};
}

async function ended(step, {id, address}) {
  for (;;) {
    const now = await call("GET", `/v1/jobs/${encodeURIComponent(id)}`);
    const progress = now.progress?.total ? `, ${now.progress.done} of ${now.progress.total} ${now.progress.unit}` : "";
    show(step, now.status + progress, address);
    if (now.status === "succeeded") return now;
    if (ENDED.includes(now.status)) throw new Error(`The job ${now.status}. Its page says why, and can try it again.`);
    await new Promise(resolve => setTimeout(resolve, POLL_MS));
  }
}

async function run() {
  const [enrich, distill] = plan.jobs;
  show("vocabulary", "…");
  const vocabulary = await call("POST", "/v1/vocabularies", plan.vocabulary);
  show("vocabulary", "done", `/vocabularies/${encodeURIComponent(vocabulary.id)}`);
  show("dataset", "checking …");
  const dataset = await call("POST", "/v1/datasets", {...plan.dataset, vocabulary_id: vocabulary.id});
  show("dataset", "done", `/images/${encodeURIComponent(dataset.id)}`);
  const {result} = await ended("enrich", await job({...enrich, vocabulary_id: vocabulary.id}));
  show("enrich", "done", `/attributes/${encodeURIComponent(result.attribute_set_id)}`);
  const training = await job({...distill, dataset_id: dataset.id, attribute_set_id: result.attribute_set_id});
  sessionStorage.removeItem("example");
  location.assign(training.address);
}

function start() {
  sessionStorage.setItem("example", "started");
  attempt(async () => {
    try { await run(); } catch (error) { sessionStorage.removeItem("example"); throw error; }
  }, button);
}

form.addEventListener("submit", event => { event.preventDefault(); start(); });
if (sessionStorage.getItem("example")) start();
