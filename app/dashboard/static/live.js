// Keep the page of a job current: an event of its stream, or two seconds without one, and the changed parts are asked for.
import { loadDocument, replaceContent } from "./fragment.js";

const PAUSE_MS = 2000;
const SHORT_PAUSE_MS = 250;
const live = document.getElementById("live");
const said = document.getElementById("said");

let timer = 0;
let isLoading = false;
let isOver = false;
let source = null;

function plan(delay) {
  clearTimeout(timer);
  timer = setTimeout(update, delay);
}

async function update() {
  if (isLoading || isOver || document.hidden) {
    return;
  }
  isLoading = true;
  try {
    const { status, page } = await loadDocument(live.dataset.parts);
    if (status === 200) {
      show(page);
    } else if (status === 404 || status === 401) {
      location.reload();
      return;
    }
  } catch {
    // The next look is due in any case.
  }
  isLoading = false;
  if (!isOver) {
    plan(PAUSE_MS);
  }
}

function show(page) {
  for (const newer of page.querySelectorAll("[data-part]")) {
    const current = live.querySelector(`[data-part="${newer.dataset.part}"]`);
    if (current) {
      replaceContent(current, newer);
    }
  }
  isOver = page.querySelector('[data-part="state"]').dataset.over === "yes";
  if (isOver) {
    source?.close();
    clearTimeout(timer);
  }
}

function follow() {
  source = new EventSource(`${live.dataset.events}?after=${live.dataset.after}`);
  for (const type of live.dataset.eventTypes.split(" ")) {
    source.addEventListener(type, (message) => {
      const { data } = JSON.parse(message.data);
      said.textContent = [type.replace(".", " "), data.phase ?? ""].join(" ");
      plan(SHORT_PAUSE_MS);
    });
  }
}

document.addEventListener("visibilitychange", () => {
  if (!document.hidden && !isOver) {
    plan(0);
  }
});
addEventListener("pagehide", () => source?.close());
follow();
plan(PAUSE_MS);
