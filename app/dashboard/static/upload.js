// Upload a file as one body, with progress. A data set that was declared is uploaded to again after a failure, not declared anew.
// A failure here may have been none there: a file can have arrived whole before "Stop", or before the connection broke.
import { csrfToken, problemOf } from "./problem.js";

const form = document.getElementById("upload");
const drop = document.getElementById("drop");
const input = document.getElementById("file");
const problem = document.getElementById("upload-problem");
const progress = document.getElementById("upload-progress");
const bar = document.getElementById("upload-bar");
const said = document.getElementById("upload-said");
const start = document.getElementById("upload-start");
const stop = document.getElementById("upload-stop");
const formats = { csv: "csv", tsv: "tsv", jsonl: "jsonl", ndjson: "jsonl", parquet: "parquet", inter: "inter", txt: "text" };

let sent = null; // the file of the attempt before
let declared = form.dataset.content ? { content: form.dataset.content, page: form.dataset.page } : null;

for (const name of ["dragenter", "dragover"]) {
  drop.addEventListener(name, (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
}
for (const name of ["dragleave", "drop"]) {
  drop.addEventListener(name, (event) => {
    event.preventDefault();
    drop.classList.remove("over");
  });
}
drop.addEventListener("drop", (event) => {
  if (event.dataTransfer.files.length) {
    input.files = event.dataTransfer.files;
    guess();
  }
});
input.addEventListener("change", guess);

function guess() {
  const file = input.files[0];
  if (!file || !form.elements.name) {
    return;
  }
  const parts = file.name.replace(/\.(gz|zst)$/, "").split(".");
  const format = formats[parts.at(-1).toLowerCase()];
  if (format) {
    form.elements.format.value = format;
    if (format === "text") {
      form.elements.task.value = "language_modeling";
    }
  }
  if (!form.elements.name.value) {
    form.elements.name.value = (parts.length > 1 ? parts.slice(0, -1).join(".") : file.name).slice(0, 200);
  }
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const file = input.files[0];
  if (!file) {
    return refuse("Choose a file first.");
  }
  problem.hidden = true;
  start.disabled = true;
  try {
    declared ??= await declare();
    const isRepeated = sent === file;
    sent = file;
    await send(file, declared.content).catch((error) => {
      if (!(isRepeated && error.code === "dataset_already_uploaded")) {
        throw error;
      }
    });
    location.assign(declared.page);
    return;
  } catch (error) {
    if (error.code === "dataset_already_uploaded" && !form.dataset.content) {
      declared = null; // another file needs a data set of its own, declared by another request
      form.elements.idempotency_key.value += "+";
    }
    refuse(error.message);
  }
  start.disabled = false;
});

async function declare() {
  const fields = new URLSearchParams(new FormData(form));
  const headers = { Accept: "application/json", "X-CSRF-Token": csrfToken() };
  const answer = await fetch(form.action, { method: "POST", body: fields, headers }).catch(() => {
    throw new Error("The service does not answer. Try again.");
  });
  const text = await answer.text();
  if (!answer.ok) {
    throw problemOf(answer.status, text);
  }
  return JSON.parse(text);
}

function send(file, target) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const began = performance.now();
    const end = (finish) => {
      stop.hidden = true;
      finish();
    };
    request.open("PUT", target);
    request.setRequestHeader("Accept", "application/json");
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.setRequestHeader("X-CSRF-Token", csrfToken());
    request.upload.addEventListener("progress", (event) => show(event.loaded, file.size, performance.now() - began));
    request.addEventListener("load", () =>
      end(() => (request.status < 300 ? resolve() : reject(problemOf(request.status, request.responseText)))),
    );
    request.addEventListener("error", () => end(() => reject(new Error("The connection broke. Upload again to start anew."))));
    request.addEventListener("abort", () => end(() => reject(new Error("Stopped. Upload again to start anew."))));
    stop.onclick = () => request.abort();
    stop.hidden = false;
    progress.hidden = false;
    show(0, file.size, 0);
    request.send(file);
  });
}

function show(loaded, total, elapsedMs) {
  bar.value = total ? loaded / total : 1;
  const rate = elapsedMs > 500 ? `, ${megabytes((loaded * 1000) / elapsedMs)} a second` : "";
  said.textContent = loaded < total ? `${megabytes(loaded)} of ${megabytes(total)}${rate}` : "All sent; the service stores it.";
}

function megabytes(bytes) {
  return bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

function refuse(message) {
  problem.textContent = message;
  problem.hidden = false;
  progress.hidden = true;
}
