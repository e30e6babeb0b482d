// Wait for the validation of a data set, then show its page anew.
import { loadDocument } from "./fragment.js";

const PAUSE_MS = 1000;

async function look() {
  try {
    const { status, page } = await loadDocument(location.href);
    const now = page?.getElementById("dataset-status")?.dataset.status;
    if (status !== 200 || now !== "validating") {
      location.reload();
      return;
    }
  } catch {
    // The next look is due in any case.
  }
  setTimeout(look, PAUSE_MS);
}

setTimeout(look, PAUSE_MS);
