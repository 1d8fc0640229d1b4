// The form that registers a folder. The service opens every image before it answers, which can take minutes.
import {attempt, call} from "./api.js";

const by = id => document.getElementById(id);
const SPLITS = {
  seed: {by: "seed"},
  seen: {by: "seed", id_fraction: 1},
  parts: {by: "parts"},
  all: {by: "all"},
  test: {by: "all", part: "test"},
};

by("images")?.addEventListener("submit", event => {
  event.preventDefault();
  const body = {
    vocabulary_id: by("vocabulary").value,
    path: by("path").value.trim(),
    split: SPLITS[by("split").value],
  };
  if (by("unmatched").value === "skip") body.images = {layout: "class_folders", unmatched: "skip"};
  if (by("name").value.trim()) body.name = by("name").value.trim();
  const started = performance.now();
  const tick = setInterval(() => { by("state").textContent = `checking every image: ${Math.round((performance.now() - started) / 1000)} s`; }, 1000);
  attempt(async () => {
    const made = await call("POST", "/v1/datasets", body);
    location.assign(`/images/${encodeURIComponent(made.id)}`);
  }, by("add")).finally(() => { clearInterval(tick); by("state").textContent = ""; });
});
