// The form of an operation in the API reference: sends the request and shows status, time and body as text.
import {attempt, el} from "./api.js";

const form = document.getElementById("try"), answer = document.getElementById("answer");
const MAX_CHARS = 200000;

form.addEventListener("submit", event => {
  event.preventDefault();
  attempt(async () => {
    let path = form.dataset.path;
    const query = new URLSearchParams(), headers = {};
    for (const input of form.querySelectorAll("[data-in]")) {
      if (!input.value) continue;
      if (input.dataset.in === "path") path = path.replace(`{${input.name}}`, input.value.split("/").map(encodeURIComponent).join("/"));
      else if (input.dataset.in === "query") query.append(input.name, input.value);
      else headers[input.name] = input.value;
    }
    const body = form.querySelector("#body")?.value;
    if (body !== undefined) headers["Content-Type"] = form.dataset.type;
    const csrf = document.querySelector("meta[name=csrf]").content;
    if (csrf) headers["X-CSRF-Token"] = csrf;
    const started = performance.now();
    const response = await fetch(path + (query.size ? `?${query}` : ""), {method: form.dataset.method, headers, body});
    const text = await response.text();
    const took = Math.round(performance.now() - started);
    let shown = text;
    try { shown = JSON.stringify(JSON.parse(text), null, 2); } catch { /* not JSON */ }
    const cut = shown.length > MAX_CHARS ? shown.slice(0, MAX_CHARS) + "\n… (shortened)" : shown;
    answer.replaceChildren(
      el("p", {class: response.ok ? "good" : "bad"}, `${response.status} ${response.statusText} · ${took} ms · ${response.headers.get("content-type") || "no content"}`),
      el("pre", {}, cut));
  }, form.querySelector("button"));
});
