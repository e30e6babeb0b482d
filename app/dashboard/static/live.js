// Keep the page of a job current: an event of its stream, or two seconds without one, and the changed parts are asked for.
import { loadDocument, replaceContent } from "./fragment.js";

const PAUSE_MS = 2000;
const SHORT_PAUSE_MS = 250;
const live = document.getElementById("live");
const said = document.getElementById("said");

let timer = 0;
let isLoading = false;
let isOutdated = false;
let isOver = false;
let source = null;

function plan(delay) {
  clearTimeout(timer);
  timer = setTimeout(update, delay);
}

async function update() {
  if (isLoading || isOver || document.hidden) {
    isOutdated = isLoading;
    return;
  }
  isLoading = true;
  isOutdated = false;
  const began = performance.now();
  try {
    const { status, page } = await loadDocument(live.dataset.parts);
    const state = page?.querySelector('[data-part="state"]');
    if (status === 200 && state) {
      show(page, state);
    } else if (status < 429) {
      // Deleted, or nobody is signed in any more: the page itself says so.
      location.reload();
      return;
    }
  } catch {
    // The next look is due in any case.
  }
  isLoading = false;
  if (!isOver) {
    // What is slow to make, or to load, is asked for less often.
    plan(isOutdated ? SHORT_PAUSE_MS : Math.max(PAUSE_MS, 10 * (performance.now() - began)));
  }
}

function show(page, state) {
  for (const newer of page.querySelectorAll("[data-part]")) {
    const current = live.querySelector(`[data-part="${newer.dataset.part}"]`);
    if (current) {
      replaceContent(current, newer);
    }
  }
  isOver = state.dataset.over === "yes";
  live.dataset.after = state.dataset.after;
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

// A browser opens six connections to a host: a stream for every tab that nobody looks at would use them up.
document.addEventListener("visibilitychange", () => {
  source?.close();
  if (!document.hidden && !isOver) {
    follow();
    plan(0);
  }
});
addEventListener("pagehide", () => source?.close());
follow();
plan(PAUSE_MS);
