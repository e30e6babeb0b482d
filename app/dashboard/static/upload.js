// The upload form: a file that is chosen or dropped, the data set that is declared for it, and how far it is.
// A data set that was declared is uploaded to again after a failure, not declared anew; its page takes the same form.
import { ANOTHER_FILE, goesInParts, sendInParts } from "./parts.js";
import { BROKEN, STOPPED, send, sendForm } from "./sending.js";

const form = document.getElementById("upload");
const drop = document.getElementById("drop");
const input = document.getElementById("file");
const problem = document.getElementById("upload-problem");
const progress = document.getElementById("upload-progress");
const bar = document.getElementById("upload-bar");
const said = document.getElementById("upload-said");
const announced = document.getElementById("upload-announced");
const start = document.getElementById("upload-start");
const instead = document.getElementById("upload-instead");
const stop = document.getElementById("upload-stop");
const formats = { csv: "csv", tsv: "tsv", jsonl: "jsonl", ndjson: "jsonl", parquet: "parquet", inter: "inter", txt: "text" };
const formPage = location.href;

let sent = null; // the file of the attempt before
let declared = form.dataset.content ? { ...form.dataset } : null;
let declaredAs = null; // what the form said then

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
    choose();
  }
});
input.addEventListener("change", choose);

function choose() {
  instead.hidden = true;
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
  const stopping = new AbortController();
  stop.onclick = () => stopping.abort();
  problem.hidden = instead.hidden = true;
  start.disabled = true;
  stop.hidden = progress.hidden = false;
  try {
    await upload(file, stopping.signal, event.submitter === instead);
    location.assign(declared.page);
    return;
  } catch (error) {
    explain(error, file);
  }
  stop.hidden = true;
  start.disabled = false;
});

async function upload(file, signal, isInstead) {
  const report = reporter(file.size);
  report({ doing: "sending", bytes: 0 });
  if (declaredAs !== null && declaredAs !== filledIn()) {
    forget(); // what the form says now is another data set
  }
  declared ??= await declare(signal);
  // A failure here may have been none there: a file can have arrived whole before "Stop", or before the connection broke.
  const isRepeated = sent === file;
  sent = file;
  try {
    if (goesInParts(file)) {
      await sendInParts(file, declared.uploads, { signal, report, instead: isInstead });
    } else {
      await send("PUT", declared.content, file, { signal, onProgress: (bytes) => report({ doing: "sending", bytes }) });
    }
  } catch (error) {
    if (!(isRepeated && error.code === "dataset_already_uploaded")) {
      throw error;
    }
  }
}

async function declare(signal) {
  const said = filledIn();
  const answer = await sendForm(form.action, new FormData(form), { signal });
  declaredAs = said;
  history.replaceState(null, "", answer.page); // where a page that is loaded anew goes on
  return answer;
}

function forget() {
  declared = declaredAs = null; // another data set is declared by another request
  form.elements.idempotency_key.value += "+";
  history.replaceState(null, "", formPage);
}

function filledIn() {
  const fields = new URLSearchParams(new FormData(form));
  fields.delete("idempotency_key");
  return fields.toString();
}

function explain(error, file) {
  if (error.code === "dataset_already_uploaded" && declaredAs !== null) {
    forget();
  }
  const goesOn = goesInParts(file) && declared ? "Upload again to send what is missing." : "Upload again to start anew.";
  if (error.kind === BROKEN || error.kind === STOPPED) {
    refuse(`${error.message} ${goesOn}`);
  } else if (error.kind === ANOTHER_FILE) {
    instead.hidden = false;
    refuse(error.message);
  } else if (error instanceof DOMException) {
    refuse("The file cannot be read any more. Choose it again.");
  } else {
    refuse(error.message);
  }
}

// Tells how far it is; the rate is that of this attempt. Who hears the page is told every quarter.
function reporter(total) {
  let began = null;
  let told = "";
  return ({ doing, bytes }) => {
    bar.value = total ? bytes / total : 1;
    const telling = `${doing === "reading" ? "read" : "sent"} ${25 * Math.floor(4 * bar.value)} %`;
    if (telling !== told) {
      announced.textContent = told = telling;
    }
    if (doing !== "sending" || bytes === total) {
      began = null;
      const all = bytes === total ? "All sent; the service stores it." : "";
      said.textContent = doing === "reading" ? `Reading the file: ${megabytes(bytes)} of ${megabytes(total)}` : all;
      return;
    }
    const now = performance.now();
    began ??= { at: now, bytes };
    const seconds = (now - began.at) / 1000;
    const perSecond = seconds > 0.5 ? (bytes - began.bytes) / seconds : 0;
    const left = perSecond > 0 ? `, ${megabytes(perSecond)} a second, ${timeOf((total - bytes) / perSecond)} left` : "";
    said.textContent = `${megabytes(bytes)} of ${megabytes(total)}${left}`;
  };
}

function megabytes(bytes) {
  return bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

function timeOf(seconds) {
  return seconds < 90 ? `${Math.ceil(seconds)} s` : `${Math.ceil(seconds / 60)} min`;
}

function refuse(message) {
  problem.textContent = message;
  problem.hidden = false;
  progress.hidden = true;
}

start.disabled = false; // before this file is here, the browser would send the form by itself
