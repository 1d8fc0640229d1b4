import {call as send} from "./api.js";
// The text of labels, lines and responses is inserted only as text nodes: text from an LLM is never parsed as HTML.
const setId = decodeURIComponent(location.pathname.split("/").pop());
const base = "/v1/attribute-sets/" + encodeURIComponent(setId);
const KINDS = {phrase: ["part", "value"], sentence: [], answer: ["about"], contrast: ["about", "part", "value", "other_value"], caption: []};
const byId = id => document.getElementById(id);
let version = 0, after = null, comparedWith = null, lastLoad = 0;

function el(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {}))
    name === "onclick" || name === "onsubmit" ? element.addEventListener(name.slice(2), value) : element.setAttribute(name, value);
  element.append(...children.filter(child => child !== null && child !== ""));
  return element;
}

function showStatus(text, good) { byId("status").textContent = text; byId("status").className = good ? "good" : ""; }

async function attempt(action) {
  try { showStatus(""); await action(); } catch (problem) {
    showStatus(problem.status === 412 ? "The draft was changed by someone else. It is reloaded; your change was not applied." : problem.message);
    if (problem.status === 412) { await loadDraft(); await load(); }
  }
}

function name(label) { return label.sense ? `${label.label} (${label.sense})` : label.label; }

function lineView(label, line, editable) {
  const about = ["part", "value", "about", "other_value"].filter(field => line[field]).map(field => `${field.replace("_", " ")}: ${line[field]}`);
  const badges = [el("span", {class: "badge " + line.origin}, line.origin)];
  if (line.locked) badges.push(el("span", {class: "badge locked"}, "locked"));
  const buttons = [];
  if (line.call) buttons.push(el("button", {class: "quiet", title: "messages and response of the LLM", onclick: () => attempt(() => showResponse(line.call))}, "source"));
  if (editable) {
    const op = line.locked ? "unlock" : "lock";
    buttons.push(
      el("button", {class: "quiet", onclick: () => row.replaceWith(lineForm(label, line))}, "edit"),
      el("button", {class: "quiet", onclick: () => change(label, {op, line: line.id})}, op),
      el("button", {class: "quiet", onclick: () => change(label, {op: "delete", line: line.id})}, "delete"));
  }
  const row = el("div", {class: "line", "data-line": line.id}, el("span", {class: "kind"}, line.kind),
    el("span", {class: "text"}, line.text, about.length ? el("span", {class: "more"}, `  ${about.join(", ")}`) : ""), ...badges, ...buttons);
  return row;
}

function lineForm(label, line) {
  const kind = el("select", {"aria-label": "kind"}, ...Object.keys(KINDS).map(key => el("option", {}, key)));
  kind.value = line ? line.kind : "phrase";
  const fields = {text: el("input", {class: "grow", placeholder: "text", "aria-label": "text"})};
  for (const field of ["part", "value", "about", "other_value"]) fields[field] = el("input", {placeholder: field.replace("_", " "), "aria-label": field});
  for (const [field, input] of Object.entries(fields)) input.value = line ? line[field] : "";
  const showFields = () => { for (const field in fields) fields[field].hidden = field !== "text" && !KINDS[kind.value].includes(field); };
  kind.addEventListener("change", showFields); showFields();
  const form = el("form", {class: "form", onsubmit: event => {
    event.preventDefault();
    const values = {kind: kind.value};
    for (const field in fields) if (!fields[field].hidden) values[field] = fields[field].value;
    change(label, line ? {op: "edit", line: line.id, ...values} : {op: "add", ...values});
  }}, kind, ...Object.values(fields), el("button", {class: "main"}, line ? "Save" : "Add"),
    el("button", {type: "button", onclick: () => form.replaceWith(line ? lineView(label, line, true) : addButton(label))}, "Cancel"));
  setTimeout(() => fields.text.focus());
  return form;
}

function addButton(label) {
  const button = el("button", {class: "quiet", onclick: () => button.replaceWith(lineForm(label, null))}, "+ add a line");
  return button;
}

function labelView(label) {
  const flags = label.flags.map(flag => el("span", {class: "badge flag"}, flag));
  const revert = label.edited ? el("button", {class: "quiet", onclick: () => change(label, {op: "revert"})}, "undo edits") : "";
  return el("section", {class: "label" + (label.edited ? " edited" : ""), "data-position": label.position},
    el("div", {class: "row"}, el("h2", {class: "grow"}, name(label)), ...flags, el("span", {class: "id"}, `label ${label.position}`), revert),
    ...label.lines.map(line => lineView(label, line, true)), addButton(label));
}

function showDraft(draft) {
  version = draft.version;
  const none = draft.num_edited === 0;
  byId("draft").textContent = none ? "No edits yet." : `${draft.num_edited} label${draft.num_edited === 1 ? "" : "s"} edited, not sealed`;
  byId("seal").disabled = byId("discard").disabled = none;
}

async function loadDraft() { showDraft(await send("GET", base + "/draft")); }

function change(label, operation) {
  return attempt(async () => {
    const draft = await send("PATCH", base + "/draft", {operations: [{...operation, position: label.position}]}, {"If-Match": `"${version}"`});
    showDraft(draft);
    const page = await send("GET", `${base}/labels?draft=true&limit=1` + (label.position ? `&after=${label.position - 1}` : ""));
    document.querySelector(`[data-position="${label.position}"]`).replaceWith(labelView(page.data[0]));
  });
}

async function load(more) {
  const loadId = ++lastLoad;
  const query = new URLSearchParams({draft: "true", limit: "50"});
  for (const field of ["q", "gate", "origin"]) if (byId(field).value) query.set(field, byId(field).value);
  for (const field of ["locked", "undescribed"]) if (byId(field).checked) query.set(field, "true");
  if (more && after !== null) query.set("after", after);
  if (comparedWith) { await showDifferences(more, loadId); return; }
  const page = await send("GET", `${base}/labels?${query}`);
  if (loadId !== lastLoad) return;
  show(page, page.data.map(labelView), more, "No label matches.");
}

async function showDifferences(more, loadId) {
  const query = new URLSearchParams({with: comparedWith, limit: "50"});
  if (more && after !== null) query.set("after", after);
  const page = await send("GET", `${base}/compare?${query}`);
  if (loadId !== lastLoad) return;
  const views = page.data.map(label => {
    const lines = [["removed", label.removed], ["added", label.added], ["locked", label.locked], ["unlocked", label.unlocked]].flatMap(
      ([change, changed]) => changed.map(line => { const view = lineView(label, line, false); view.classList.add(change); view.prepend(el("span", {class: "more"}, change)); return view; }));
    return el("section", {class: "label"}, el("h2", {}, name(label)), ...lines,
      label.other.length ? el("div", {class: "more"}, "other " + label.other.join(", ")) : "");
  });
  show(page, views, more, "The sets have the same attributes.");
}

function show(page, views, more, empty) {
  if (!more) byId("list").replaceChildren();
  byId("list").append(...views);
  if (!more && !views.length) byId("list").append(el("p", {class: "more"}, empty));
  after = page.last_id;
  byId("next").hidden = !page.has_more;
}

async function showResponse(call) {
  const result = await send("GET", "/v1/answers/" + encodeURIComponent(call));
  const messages = result.messages.map(message => `${message.role}:\n${message.content}`);
  byId("response").textContent = [`${result.model}, ${result.strategy}`, ...messages, `response:\n${result.answer}`].join("\n\n");
  byId("dialog").showModal();
}

async function loadReport() {
  let gates = [];
  try { gates = (await send("GET", base + "/report")).gates; } catch (problem) { if (problem.status !== 404) throw problem; }
  byId("check").hidden = gates.length > 0;
  byId("gate").hidden = !gates.length;
  byId("gate").append(...gates.filter(gate => gate.num_labels).map(gate => el("option", {value: gate.gate}, `${gate.tells} (${gate.num_labels})`)));
}

async function loadRelated() {
  const students = (await send("GET", `/v1/checkpoints?limit=100&attribute_set_id=${encodeURIComponent(setId)}`)).data;
  const children = (await send("GET", `/v1/attribute-sets?limit=100&parent_id=${encodeURIComponent(setId)}`)).data;
  if (students.length) byId("about").append(` · students: ${students.map(student => `${student.id} (${student.student})`).join(", ")}`);
  if (children.length) byId("about").append(" · child sets: ", ...children.flatMap((child, index) => [index ? ", " : "",
    el("a", {href: "/attributes/" + encodeURIComponent(child.id)}, child.id)]));
}

async function start() {
  const set = await send("GET", base);
  const described = `${set.num_described} of ${set.num_labels} labels described, ${set.num_flagged} flagged. `;
  byId("about").replaceChildren(el("code", {}, set.id), " · ", described,
    set.parent_id ? el("a", {href: "/attributes/" + encodeURIComponent(set.parent_id)}, "parent") : "");
  byId("compare").hidden = !set.parent_id;
  byId("compare").onclick = () => attempt(async () => {
    comparedWith = comparedWith ? null : set.parent_id;
    byId("compare").textContent = comparedWith ? "Back to the labels" : "Compare with parent";
    await load();
  });
  document.title = "Attributes " + set.id;
  const vocabulary = await send("GET", "/v1/vocabularies/" + encodeURIComponent(set.vocabulary_id));
  byId("title").textContent = "Attributes of " + vocabulary.name;
  await loadDraft();
  await load();
  await loadReport();
  await loadRelated();
}

let typing;
byId("q").addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(() => attempt(() => load()), 200); });
for (const field of ["gate", "origin", "locked", "undescribed"]) byId(field).addEventListener("change", () => attempt(() => load()));
byId("next").onclick = () => attempt(() => load(true));
byId("close").onclick = () => byId("dialog").close();
byId("discard").onclick = () => attempt(async () => {
  if (!confirm("Discard all edits that are not sealed?")) return;
  showDraft(await send("DELETE", base + "/draft", undefined, {"If-Match": `"${version}"`}));
  await load();
});
byId("seal").onclick = () => attempt(async () => {
  const sealed = await send("POST", base + "/draft/seal", undefined, {"If-Match": `"${version}"`});
  location.assign("/attributes/" + encodeURIComponent(sealed.id));
});
byId("check").onclick = () => attempt(async () => {
  const job = await send("POST", base + "/report", {});
  showStatus(`Job ${job.id} checks the set. Reload this page when it has finished.`, true);
});
attempt(start);
