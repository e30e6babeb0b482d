// The spec builder: a preset is loaded when it is chosen, and the estimate follows the form.
import { loadDocument, replaceContent } from "./fragment.js";

const PAUSE_MS = 600;
const form = document.getElementById("builder");
const target = document.getElementById("ask-estimate").formAction;
const shown = document.getElementById("estimate");

let timer = 0;
let newest = 0;

document.getElementById("preset")?.addEventListener("change", (event) => event.target.form.requestSubmit());
document.getElementById("refusal")?.focus();

function plan(delay) {
  clearTimeout(timer);
  timer = setTimeout(estimate, delay);
}

async function estimate() {
  const number = ++newest;
  shown.setAttribute("aria-busy", "true");
  try {
    const { page } = await loadDocument(target, { method: "POST", body: new URLSearchParams(new FormData(form)) });
    const newer = page?.getElementById("estimate");
    if (number === newest && newer) {
      replaceContent(shown, newer);
    }
  } catch {
    // The button asks again.
  }
  shown.removeAttribute("aria-busy");
}

form.addEventListener("input", () => plan(PAUSE_MS));
form.addEventListener("submit", (event) => {
  if (event.submitter?.id === "ask-estimate") {
    event.preventDefault();
    plan(0);
  }
});
plan(0);
