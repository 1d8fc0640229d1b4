// The form of an enrichment: the estimate is shown before the job can start, and belongs to exactly what will be sent.
import {attempt, call, el} from "./api.js";

const by = id => document.getElementById(id);
const form = by("enrich"), shown = by("estimate"), start = by("start");
const whole = new Intl.NumberFormat();
const money = usd => `$${Number(usd) < 0.01 && Number(usd) > 0 ? Number(usd).toPrecision(2) : Number(usd).toFixed(2)}`;

function request() {
  const body = {
    kind: "enrich",
    vocabulary_id: form.dataset.vocabulary,
    strategies: [...form.querySelectorAll("[name=strategy]:checked")].map(box => box.value),
    endpoint: by("endpoint").value,
  };
  if (by("model").value.trim()) body.model = by("model").value.trim();
  if (by("budget").value.trim()) body.budget_usd = by("budget").value.trim();
  return body;
}

function range(name, one, format) {
  return el("div", {}, el("dt", {}, name), el("dd", {}, format(one.expected), el("span", {class: "soft"}, ` at most ${format(one.at_most)}`)));
}

async function estimate() {
  const found = await call("POST", "/v1/jobs/estimate", request());
  const answered = found.strategies.reduce((sum, one) => sum + (one.answered ?? 0), 0);
  shown.replaceChildren(el("dl", {class: "facts"},
    el("div", {}, el("dt", {}, "Model"), el("dd", {}, el("bdi", {}, found.model))),
    el("div", {}, el("dt", {}, "Calls"), el("dd", {}, whole.format(found.calls))),
    range("Prompt tokens", found.prompt_tokens, value => whole.format(value)),
    range("Response tokens", found.completion_tokens, value => whole.format(value)),
    found.usd ? range("Money", found.usd, money) : el("div", {}, el("dt", {}, "Money"), el("dd", {class: "warn"}, found.usd_unknown ?? "unknown"))),
    answered ? el("p", {class: "soft"}, `${whole.format(answered)} questions have a stored response and cost nothing.`) : "");
  start.disabled = false;
}

form.addEventListener("input", () => { start.disabled = true; shown.replaceChildren(); });
by("check").addEventListener("click", event => attempt(estimate, event.currentTarget));
form.addEventListener("submit", event => {
  event.preventDefault();
  attempt(async () => {
    const job = await call("POST", "/v1/jobs", request());
    location.assign(`/jobs/${encodeURIComponent(job.id)}`);
  }, start);
});
