// Requests of the pages to the API of this service, and the problem line at the bottom of a page.
const csrf = document.querySelector("meta[name=csrf]")?.content || "";

export class Problem extends Error {
  constructor(status, body) {
    const details = (body.errors || []).map(one => `${one.pointer || one.parameter || ""} ${one.detail}`.trim());
    super([body.detail || body.title || `status ${status}`, ...details.filter(one => one !== body.detail)].join("\n"));
    this.status = status;
    this.code = body.code || "";
    this.errors = body.errors || [];
  }
}

// Send a request; `body` is sent as JSON unless it is a string, a Blob or a File. Returns the JSON of the response, or null.
export async function call(method, path, body, headers = {}) {
  const all = {Accept: "application/json", ...headers};
  if (csrf) all["X-CSRF-Token"] = csrf;
  if (method === "POST" && !all["Idempotency-Key"]) all["Idempotency-Key"] = crypto.getRandomValues(new Uint32Array(4)).join("-");
  const isRaw = typeof body === "string" || body instanceof Blob;
  if (body !== undefined && !isRaw && !all["Content-Type"]) all["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(path, {method, headers: all, body: body === undefined || isRaw ? body : JSON.stringify(body)});
  } catch {
    throw new Problem(0, {detail: "The service cannot be reached. Nothing was changed by this page; try again."});
  }
  if (response.status === 401) {
    location.assign("/sign-in?next=" + encodeURIComponent(location.pathname + location.search));
    throw new Problem(401, {detail: "Sign in to go on."});
  }
  const text = response.status === 204 ? "" : await response.text();
  let parsed = null;
  try { parsed = text ? JSON.parse(text) : null; } catch { parsed = {detail: text.slice(0, 300)}; }
  if (!response.ok) throw new Problem(response.status, parsed || {});
  return parsed;
}

export function showProblem(problem) {
  const box = document.getElementById("problem");
  box.textContent = problem ? problem.message : "";
  box.hidden = !problem;
}

// Run an action of the page; a failure is shown, and `button` is disabled meanwhile.
export async function attempt(action, button) {
  showProblem(null);
  if (button) button.disabled = true;
  try { return await action(); } catch (problem) { showProblem(problem); return undefined; } finally { if (button) button.disabled = false; }
}

// Build an element. Children are inserted as text or elements: text is never parsed as HTML.
export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name.replace(/^on/, ""), value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter(child => child !== null && child !== undefined && child !== ""));
  return element;
}
