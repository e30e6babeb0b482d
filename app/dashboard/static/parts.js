// A large file goes up in parts: what has arrived is not sent again, after a broken connection, a reload, or from another browser.
// The SHA-256 of the whole says whether a file is the one whose upload was begun; the service compares it again at the end.
import { BROKEN, failure, pause, send, sendForm, throwIfStopped } from "./sending.js";
import { Sha256 } from "./sha256.js";

export const ANOTHER_FILE = "another file";
const MEBIBYTE = 2 ** 20;
const LEAST_PART_BYTES = 8 * MEBIBYTE;
const MOST_PARTS = 1000;
const PAUSES_MS = [1000, 3000];
const COMPLETING_PAUSE_MS = 2000;
const PASSING = new Set([408, 429, 500, 502, 503, 504]);

const digests = new WeakMap(); // of files that were read already

export function goesInParts(file) {
  return file.size > LEAST_PART_BYTES;
}

// `report` is told what is done with how many bytes: {doing: "reading" | "sending" | "completing", bytes}.
export async function sendInParts(file, target, { signal, report, instead }) {
  const sha256 = digests.get(file) ?? (await digest(file, signal, report));
  digests.set(file, sha256);
  let partBytes = LEAST_PART_BYTES;
  while (partBytes * MOST_PARTS < file.size) {
    partBytes *= 2;
  }
  const fields = { size_bytes: file.size, sha256, part_size_bytes: partBytes, ...(instead ? { instead: "yes" } : {}) };
  const { upload, other } = await sendForm(target, fields, { signal });
  if (other) {
    throw failure(ANOTHER_FILE, other);
  }
  let arrived = file.size - upload.missing.reduce((sum, part) => sum + part.size_bytes, 0);
  for (const part of upload.missing) {
    const bytes = file.slice(part.offset_bytes, part.offset_bytes + part.size_bytes);
    const onProgress = (loaded) => report({ doing: "sending", bytes: arrived + loaded });
    onProgress(0);
    await again(() => send("PUT", part.target, bytes, { signal, onProgress }), signal, () => onProgress(0));
    arrived += part.size_bytes;
  }
  report({ doing: "completing", bytes: file.size });
  await again(() => complete(upload.complete, signal), signal);
}

async function digest(file, signal, report) {
  const whole = new Sha256();
  for (let at = 0; at < file.size; at += MEBIBYTE) {
    throwIfStopped(signal);
    report({ doing: "reading", bytes: at });
    const piece = await file.slice(at, at + MEBIBYTE).arrayBuffer();
    whole.update(new Uint8Array(piece));
  }
  return whole.hex();
}

// What passes by itself is tried again a few times.
async function again(attempt, signal, onFailure = () => {}) {
  for (let number = 0; ; number++) {
    try {
      return await attempt();
    } catch (error) {
      if (number === PAUSES_MS.length || !(error.kind === BROKEN || PASSING.has(error.status))) {
        throw error;
      }
    }
    onFailure();
    await pause(PAUSES_MS[number], signal);
  }
}

// Another request may be completing it still: one whose answer was lost on the way.
async function complete(target, signal) {
  for (;;) {
    try {
      return await sendForm(target, {}, { signal });
    } catch (error) {
      if (error.code !== "upload_completing") {
        throw error;
      }
    }
    await pause(COMPLETING_PAUSE_MS, signal);
  }
}
