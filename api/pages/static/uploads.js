// Sends a folder or an archive to /v1/uploads in pieces, and goes on after a lost connection or a reload.
import {call, Problem} from "./api.js";

const FIRST_CHUNK = 1 << 20, MAX_CHUNK = 16 << 20, FAST_MS = 1000, RATE_MS = 15000, MAX_PAUSE_MS = 30000;
const ARCHIVE = /\.(zip|tar|tar\.gz|tgz)$/i;
const RETRIED = new Set([0, 408, 429, 502, 503, 504]);
const OTHER_OFFSET = new Set(["offset_mismatch", "upload_taken_over", "upload_changed", "upload_busy", "connection_lost", "no_bytes", "digest_mismatch"]);
const sleep = ms => new Promise(resolve => setTimeout(resolve, ms));

export const isArchive = file => ARCHIVE.test(file.name);
export const archiveOf = file => ({name: file.name, kind: "archive", files: [{path: file.name, file}]});

// The files of <input webkitdirectory>: their paths begin with the name of the folder.
export function folderOf(list) {
  const files = [...list].map(file => ({path: file.webkitRelativePath, file}));
  const name = files.length ? files[0].path.split("/")[0] : "";
  return folder(name, files.map(({path, file}) => ({path: path.slice(name.length + 1), file})));
}

// What was dropped: one archive, one folder, or several folders and files. null if it is none of them.
export async function dropped(transfer) {
  const entries = [...transfer.items].map(item => item.webkitGetAsEntry()).filter(Boolean);
  if (!entries.length) return null;
  if (entries.length === 1 && entries[0].isFile) {
    const file = await new Promise((resolve, reject) => entries[0].file(resolve, reject));
    return isArchive(file) ? archiveOf(file) : null;
  }
  const only = entries.length === 1, found = [];
  for (const entry of entries) await collect(entry, only ? "" : entry.name, found);
  return folder(only ? entries[0].name : "images", found);
}

function folder(name, files) {
  const shown = files.filter(({path}) => !path.split("/").some(step => step.startsWith(".")));
  shown.sort((a, b) => (a.path < b.path ? -1 : 1));
  return {name, kind: "folder", files: shown};
}

async function collect(entry, path, found) {
  if (entry.isFile) {
    found.push({path, file: await new Promise((resolve, reject) => entry.file(resolve, reject))});
    return;
  }
  const reader = entry.createReader();
  for (;;) { // a reader returns some hundred entries at a time
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return;
    for (const one of some) await collect(one, path ? `${path}/${one.name}` : one.name, found);
  }
}

export const sizeOf = selection => selection.files.reduce((sum, {file}) => sum + file.size, 0);

// Send a selection and complete the upload; returns it. `report` gets {done, total, rate, left, text}; `isStopped()` ends it.
export async function upload(selection, report, isStopped) {
  const listed = selection.files.map(({path, file}) => ({path, size: file.size, modified: file.lastModified}));
  const body = JSON.stringify({name: selection.name, kind: selection.kind, files: listed});
  const made = await patiently(() => call("POST", "/v1/uploads", body, {"Content-Type": "application/json"}), report, isStopped);
  const starts = [];
  listed.reduce((sum, {size}) => { starts.push(sum); return sum + size; }, 0);
  await send(selection.files, starts, made, report, isStopped);
  report({done: made.size, total: made.size, text: "verifying" + (selection.kind === "archive" ? " and unpacking" : "")});
  return patiently(async () => {
    try { return await call("POST", `/v1/uploads/${made.id}/complete`, {}); } catch (problem) {
      if (problem.code !== "upload_damaged") throw problem;
      await send(selection.files, starts, await call("GET", `/v1/uploads/${made.id}`), report, isStopped);
      return call("POST", `/v1/uploads/${made.id}/complete`, {});
    }
  }, report, isStopped);
}

async function send(files, starts, made, report, isStopped) {
  const most = Math.min(MAX_CHUNK, made.max_chunk_bytes), path = `/v1/uploads/${made.id}`;
  const samples = [[performance.now(), made.received]];
  let offset = made.received, chunk = Math.min(FIRST_CHUNK, most);
  report({done: offset, total: made.size, text: offset ? "going on" : ""});
  while (offset < made.size) {
    if (isStopped()) throw new Problem(0, {detail: "The upload was stopped. Upload the same files again, and it goes on."});
    const data = await piece(files, starts, offset, Math.min(chunk, made.size - offset));
    const began = performance.now(), at = offset;
    offset = await patiently(async isAgain => {
      if (isAgain) {
        const now = await call("GET", path);
        if (now.received !== at) return now.received;
      }
      try {
        await call("PATCH", `${path}/content`, data, {"Upload-Offset": String(at), "Content-Type": "application/octet-stream", ...(await digest(data))});
        return at + data.size;
      } catch (problem) {
        if (!OTHER_OFFSET.has(problem.code)) throw problem;
        await sleep(200);
        return (await call("GET", path)).received;
      }
    }, report, isStopped);
    const now = performance.now();
    if (now - began < FAST_MS) chunk = Math.min(2 * chunk, most);
    samples.push([now, offset]);
    while (samples.length > 2 && now - samples[0][0] > RATE_MS) samples.shift();
    const rate = (offset - samples[0][1]) / ((now - samples[0][0]) / 1000);
    report({done: offset, total: made.size, rate, left: rate > 0 ? (made.size - offset) / rate : null, text: ""});
  }
}

// The bytes of the stream from `offset` on, read into memory so that a file that changed is noticed here.
async function piece(files, starts, offset, length) {
  let at = lastAtMost(starts, offset);
  const parts = [], end = offset + length;
  while (offset < end) {
    const first = offset - starts[at], number = Math.min(end - offset, files[at].file.size - first);
    if (number > 0) parts.push(files[at].file.slice(first, first + number));
    offset += number;
    at += 1;
  }
  try {
    return new Blob([await new Blob(parts).arrayBuffer()]);
  } catch {
    throw new Problem(0.5, {detail: "A file was changed or removed since it was chosen. Choose the files again."});
  }
}

function lastAtMost(starts, offset) {
  let low = 0, high = starts.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (starts[middle] <= offset) low = middle; else high = middle - 1;
  }
  return low;
}

// Content-Digest (RFC 9530). Browsers compute digests only on HTTPS and on this machine.
async function digest(blob) {
  if (!globalThis.crypto?.subtle) return {};
  const bytes = new Uint8Array(await crypto.subtle.digest("SHA-256", await blob.arrayBuffer()));
  return {"Content-Digest": `sha-256=:${btoa(String.fromCharCode(...bytes))}:`};
}

// Repeat an action while the service cannot be reached. The action is told whether it was tried before.
async function patiently(action, report, isStopped) {
  for (let failures = 0; ; failures += 1) {
    try { return await action(failures > 0); } catch (problem) {
      if (!RETRIED.has(problem.status) || isStopped()) throw problem;
      report({text: "no connection: trying again"});
      await sleep(Math.min(MAX_PAUSE_MS, 500 * 2 ** failures));
    }
  }
}
