// The page of an attribute set: edits of lines in the draft, by mouse and by keys. The service renders every label; after
// a change the script exchanges that label. Texts are never parsed as markup by this script.
//
// A change names the version of the draft that it starts from. If another person changed the draft meanwhile (412), the
// label is fetched: if its lines are as shown, the change is sent again; else the new lines are shown, and the text that
// was typed stays in its form.
import {Problem, attempt, call} from "./api.js";
import {keptText, lineForm} from "./line_form.js";
import {localTimes} from "./page.js";

const bar = document.getElementById("bar"), list = document.getElementById("list");
const base = "/v1/attribute-sets/" + encodeURIComponent(bar.dataset.set);
const ATTEMPTS = 5;
let version = Number(bar.dataset.version);
let form = null; // at most one is open, so that no typed text is replaced

class Conflict extends Problem {
  constructor(label) { super(412, {detail: "Another person changed this label. It is shown as it is now, and your change was not applied: look at it, and try again."}); this.label = label; }
}

const position = label => Number(label.dataset.position);
const linesOf = label => [...label.querySelectorAll(".line[data-line]")];
const labelsShown = () => (list ? [...list.querySelectorAll(".label")] : []);
const say = text => { document.getElementById("said").textContent = text; };

function showDraft(count) {
  bar.dataset.edited = count;
  document.getElementById("draft").textContent = count ? `${count.toLocaleString("en")} label${count === 1 ? "" : "s"} changed, not sealed` : "No changes yet";
  for (const id of ["seal", "discard"]) document.getElementById(id).disabled = !count;
}

async function pageOf(address) {
  let response;
  try { response = await fetch(address, {headers: {Accept: "text/html"}}); } catch { throw new Problem(0, {detail: "The service cannot be reached. Your text is kept in this page; try again."}); }
  if (response.redirected) throw new Problem(401, {detail: "Your session has ended: sign in in another tab, then try again. Your text is kept in this page."});
  if (!response.ok) throw new Problem(response.status, {title: `The service responded with status ${response.status}`});
  return new DOMParser().parseFromString(await response.text(), "text/html");
}

async function fetched(label) {
  const address = `${bar.dataset.path}/label?position=${position(label)}&line=${label.dataset.first}`;
  const found = document.adoptNode((await pageOf(address)).querySelector(".label"));
  version = Number(found.dataset.version);
  showDraft(Number(found.dataset.edited));
  return found;
}

// Put the label as it is now in the place of the one that is shown; an open form moves into it.
function exchange(label, now) {
  label.replaceWith(now);
  if (form && label.contains(form.element)) place(now, form);
  return now;
}

function place(label, opened) {
  const line = opened.about.line && linesOf(label).find(one => one.dataset.line === opened.about.line);
  if (line) line.append(opened.element);
  else label.querySelector(".lines").after(opened.element);
  return Boolean(line) || !opened.about.line;
}

// The keys of requests that were sent, so that a repetition after a lost response changes nothing twice.
const keys = new Map();
function keyOf(text) {
  if (!keys.has(text)) keys.set(text, crypto.getRandomValues(new Uint32Array(4)).join("-"));
  return keys.get(text);
}

// Apply an operation to a label, and return the label as it is then. Throws a Conflict if its lines are not as shown.
async function change(label, operation) {
  const body = {operations: [{...operation, position: position(label)}]};
  for (let number = 0; number < ATTEMPTS; number++) {
    try {
      const draft = await call("PATCH", base + "/draft", body, {"If-Match": `"${version}"`, "Idempotency-Key": keyOf(version + JSON.stringify(body))});
      const now = await fetched(label);
      version = Math.max(version, draft.version);
      return now;
    } catch (problem) {
      if (problem.status !== 412) throw problem;
      const now = await fetched(label);
      if (now.dataset.state !== label.dataset.state) throw new Conflict(now);
    }
  }
  throw new Problem(412, {detail: "Other people change this draft all the time. Your change was not applied; try again in a moment."});
}

function focusLine(label, index) {
  const lines = linesOf(label);
  (lines[Math.min(index, lines.length - 1)] || label).focus();
}

// Changes are sent one after another, each from the state that the one before left.
let last = Promise.resolve();
function inTurn(action) {
  const mine = last.then(action);
  last = mine.catch(() => {});
  return mine;
}
const current = label => document.getElementById(label.id);

function save(opened) { return inTurn(() => saveNow(opened)); }

async function saveNow(opened) {
  const label = opened.element.closest(".label"), {about} = opened;
  if (form !== opened) return;
  const index = about.line ? linesOf(label).findIndex(line => line.dataset.line === about.line) : linesOf(label).length;
  const button = opened.element.querySelector(".main");
  opened.say("");
  button.disabled = true;
  try {
    const now = await change(label, about.line ? {op: "edit", line: about.line, ...opened.values()} : {op: "add", ...opened.values()});
    form = null;
    keptText.drop();
    label.replaceWith(now);
    focusLine(now, index);
    say("Saved in the draft.");
  } catch (problem) {
    if (problem instanceof Conflict) {
      const isThere = place(exchange(label, problem.label), opened);
      if (!isThere) opened.becomeNew();
      opened.say(isThere ? "Another person changed this label while you typed. Its lines are shown as they are now, and your text is kept here: save again to apply it, or press Escape to drop it."
        : "Another person changed or deleted this line while you typed. Your text is kept here: add it as a new line, or press Escape to drop it.");
    } else opened.say(problem.message);
    opened.focus();
  } finally { button.disabled = false; }
}

function close(opened) {
  const label = opened.element.closest(".label"), line = opened.element.closest(".line");
  opened.element.remove();
  form = null;
  keptText.drop();
  (line || label).focus();
}

function open(label, line, values) {
  if (form) {
    if (form.isChanged) { form.say("Save this line first, or press Escape to drop it."); form.focus(); return; }
    form.element.remove();
  }
  const fields = line ? Object.fromEntries([...line.querySelectorAll("[data-field]")].map(one => [one.dataset.field, one.textContent])) : {};
  const about = {position: position(label), label: label.dataset.label, line: line?.dataset.line || "", kind: line?.dataset.kind, values: {...fields, ...values}, isKept: Boolean(values)};
  form = lineForm(about, {save, close});
  place(label, form);
  form.focus();
}

// Apply a change that needs no form. The focus stays on the line, or on the label to which it moved meanwhile.
function act(shown, operation) {
  return attempt(() => inTurn(async () => {
    const label = current(shown);
    if (operation.line && !linesOf(label).some(line => line.dataset.line === operation.line)) return; // an earlier key deleted it
    const put = now => {
      const focused = document.activeElement, index = linesOf(label).indexOf(focused.closest(".line"));
      const isInside = label.contains(focused) && !form?.element.contains(focused);
      exchange(label, now);
      if (isInside) { if (index >= 0) focusLine(now, index); else now.focus(); }
    };
    try { put(await change(label, operation)); } catch (problem) {
      if (problem instanceof Conflict) put(problem.label);
      throw problem;
    }
  }));
}

function move(label, step) {
  const labels = labelsShown(), next = labels[labels.indexOf(label) + step];
  if (next) next.focus();
  else if (step > 0 && bar.dataset.next) location.assign(bar.dataset.next);
  else say(step > 0 ? "This is the last label." : "This is the first label of the page.");
}

const ACTIONS = {
  edit: (label, line) => { const one = line || linesOf(label)[0]; if (one) open(label, one); else open(label, null); },
  add: label => open(label, null),
  lock: (label, line) => line && act(label, {op: "locked" in line.dataset ? "unlock" : "lock", line: line.dataset.line}),
  delete: (label, line) => line && act(label, {op: "delete", line: line.dataset.line}),
  revert: label => act(label, {op: "revert"}),
  accept: async label => {
    const labels = labelsShown(), isLast = label === labels[labels.length - 1];
    if (!isLast) move(label, 1);
    if (linesOf(label).length) await act(label, {op: "lock"});
    if (isLast) move(current(label), 1);
  },
  source: (label, line) => line?.querySelector(".source")?.click(),
};

list?.addEventListener("click", event => {
  const button = event.target.closest("[data-do]"), label = event.target.closest(".label");
  if (button && label && button.dataset.do !== "cancel") ACTIONS[button.dataset.do](label, event.target.closest(".line"));
});

// A link to the source of a line opens it in a dialog.
const dialog = document.getElementById("source");
list?.addEventListener("click", event => {
  const link = event.target.closest("a.source");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  attempt(async () => {
    const found = (await pageOf(link.href)).getElementById("main");
    dialog.querySelector("div").replaceChildren(...[...found.childNodes].map(node => document.adoptNode(node)));
    localTimes(dialog);
    dialog.showModal();
    dialog.scrollTop = 0;
  });
});
dialog.querySelector("button").addEventListener("click", () => dialog.close());

const useKeys = document.getElementById("use-keys"), KEYS_OFF = "limbeck-keys-off";
useKeys.checked = !localStorage.getItem(KEYS_OFF);
useKeys.addEventListener("change", () => { if (useKeys.checked) localStorage.removeItem(KEYS_OFF); else localStorage.setItem(KEYS_OFF, "1"); });

const KEYS = {e: "edit", a: "add", d: "delete", l: "lock", A: "accept", u: "revert", o: "source"};

function stepLine(label, line, step) {
  const stops = [label, ...linesOf(label)];
  const next = stops[stops.indexOf(line || label) + step];
  if (next) next.focus(); else move(label, step);
}

function onKey(event) {
  if (!useKeys.checked || event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || dialog.open) return;
  const {key, target} = event;
  if (target.closest("input, textarea, select") || !(target === document.body || list?.contains(target) || bar.contains(target))) return;
  const label = target.closest(".label"), line = target.closest(".line");
  const isOnRow = target === label || target === line;
  if (key === "j") { if (label) move(label, 1); else labelsShown()[0]?.focus(); }
  else if (key === "k") { if (label) move(label, -1); }
  else if (key === "/") document.querySelector("[name=q]").focus();
  else if (key === "s") { const seal = document.getElementById("seal"); if (seal.disabled) say("There is nothing to seal: change a line first."); else seal.focus(); }
  else if (key === "?") { const shown = document.getElementById("keys"); shown.open = !shown.open; if (shown.open) shown.scrollIntoView({block: "nearest"}); }
  else if (label && key === "Enter" && isOnRow) ACTIONS.edit(label, line);
  else if (label && (key === "ArrowDown" || key === "ArrowUp") && isOnRow) stepLine(label, line, key === "ArrowDown" ? 1 : -1);
  else if (label && KEYS[key]) ACTIONS[KEYS[key]](label, line);
  else return;
  event.preventDefault();
}
document.addEventListener("keydown", onKey);

// The address names the label that has the focus, so that a reload and a shared link come back to it. It changes at most
// every `ADDRESS_MS`, because browsers refuse more than 100 changes in 30 seconds, and also while the focus moves on.
const ADDRESS_MS = 300;
let addressTimer, namedAt = 0;
list?.addEventListener("focusin", event => {
  const label = event.target.closest(".label");
  clearTimeout(addressTimer);
  if (!label) return;
  addressTimer = setTimeout(() => {
    namedAt = performance.now();
    history.replaceState(null, "", "#" + label.id);
  }, namedAt + ADDRESS_MS - performance.now());
});

async function withDraft(button, action) {
  if (form?.isChanged) { form.say("Save this line first, or press Escape to drop it."); form.focus(); return; }
  await attempt(async () => {
    try { await action(); } catch (problem) {
      if (problem.status !== 412) throw problem;
      const draft = await call("GET", base + "/draft");
      version = draft.version;
      showDraft(draft.num_edited);
      throw new Problem(412, {detail: "Another person changed the draft. Nothing was done: look at the changed labels, then try again."});
    }
  }, button);
}

document.getElementById("seal").addEventListener("click", event => withDraft(event.target, async () => {
  await last;
  const sealed = await call("POST", base + "/draft/seal", undefined, {"If-Match": `"${version}"`, "Idempotency-Key": keyOf("seal" + version)});
  const query = new URLSearchParams(location.search);
  query.delete("gate"); // the new set was not checked yet
  if (query.get("only") === "changed") query.delete("only");
  location.assign("/attributes/" + encodeURIComponent(sealed.id) + (query.size ? "?" + query : "") + location.hash);
}));
document.getElementById("discard").addEventListener("click", event => withDraft(event.target, async () => {
  if (!confirm("Discard all changes that are not sealed?")) return;
  await call("DELETE", base + "/draft", undefined, {"If-Match": `"${version}"`});
  location.reload();
}));

addEventListener("beforeunload", event => { if (form?.isChanged) event.preventDefault(); });

// A text that was typed before a reload, a crash or a new sign-in.
function begin() {
  const text = keptText.read();
  const owner = text && labelsShown().find(label => position(label) === text.position);
  if (owner) {
    open(owner, linesOf(owner).find(line => line.dataset.line === text.line) || null, text);
    form.say("This text was typed before the page was loaded again, and is not saved yet.");
  } else if (text) {
    const link = document.createElement("a");
    link.href = `${bar.dataset.path}?start=${text.position}#label-${text.position}`;
    link.textContent = `label ${text.position}`;
    document.getElementById("said").append("A text that is not saved yet belongs to ", link, ".");
  } else if (location.hash === "#labels") labelsShown()[0]?.focus();
  else document.getElementById(location.hash.slice(1))?.closest(".label")?.focus();
}

// A browser that goes to the place that the address names takes the focus from other elements.
if (document.readyState === "complete") begin();
else addEventListener("load", () => setTimeout(begin));
