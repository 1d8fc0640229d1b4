// The form of a training: the service checks everything before a job exists, and names the field that it refuses.
import {attempt, call} from "./api.js";

const by = id => document.getElementById(id);

by("distill")?.addEventListener("submit", event => {
  event.preventDefault();
  const body = {
    kind: "distill",
    dataset_id: by("distill").dataset.dataset,
    teacher: by("teacher").value.trim(),
    text: by("text").value,
    recipe: by("recipe").value,
    config: {},
  };
  if (by("set").value) body.attribute_set_id = by("set").value;
  if (by("student").value.trim()) body.config.student = {architecture: by("student").value.trim()};
  if (by("epochs").value) body.config.schedule = {epochs: Number(by("epochs").value)};
  attempt(async () => {
    const job = await call("POST", "/v1/jobs", body);
    location.assign(`/jobs/${encodeURIComponent(job.id)}`);
  }, by("train"));
});
by("set")?.addEventListener("change", () => { if (!by("set").value) by("text").value = "names"; });
