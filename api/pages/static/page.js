// What every page does: local times, and buttons and forms that call the API.
//   <button data-method="POST" data-path="/v1/jobs/job_1/cancel" data-confirm="Cancel the job?" data-then="reload">
// `data-body` is the JSON to send, or `data-input` the id of a number input that is sent under its name. `data-then` is `reload`, an address, or an address with {id} of the created resource.
import {attempt, call} from "./api.js";

export function localTimes(root = document) {
  for (const element of root.querySelectorAll("time[datetime]:not([data-local])")) {
    const moment = new Date(element.dateTime);
    element.dataset.local = "";
    element.textContent = moment.toLocaleString(undefined, {dateStyle: "medium", timeStyle: "short"});
  }
}

export function go(then, result) {
  if (!then || then === "reload") location.reload();
  else location.assign(then.replaceAll("{id}", encodeURIComponent(result?.id ?? "")));
}

document.addEventListener("click", event => {
  const button = event.target.closest("button[data-method]");
  if (!button || (button.dataset.confirm && !confirm(button.dataset.confirm))) return;
  const input = button.dataset.input && document.getElementById(button.dataset.input);
  if (input && !input.reportValidity()) return;
  const body = input ? {[input.name]: input.valueAsNumber} : button.dataset.body ? JSON.parse(button.dataset.body) : undefined;
  attempt(async () => go(button.dataset.then, await call(button.dataset.method, button.dataset.path, body)), button);
});

// A copy button beside a code block: <button data-copy="ID OF THE ELEMENT">
document.addEventListener("click", async event => {
  const button = event.target.closest("button[data-copy]");
  if (!button) return;
  await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
  button.textContent = "Copied";
});

localTimes();
