// Send bytes with progress, until they are there, the connection breaks, or a signal stops it.
import { csrfToken, problemOf } from "./problem.js";

export const STOPPED = "stopped";
export const BROKEN = "broken";

export function failure(kind, message) {
  return Object.assign(new Error(message), { kind });
}

export function throwIfStopped(signal) {
  if (signal.aborted) {
    throw failure(STOPPED, "Stopped.");
  }
}

// Returns what the service answered. A refusal is an error with its `status` and `code`; others have a `kind`.
export function send(method, target, body, { signal, type = "application/octet-stream", onProgress = () => {} }) {
  return new Promise((resolve, reject) => {
    throwIfStopped(signal);
    const request = new XMLHttpRequest();
    const stop = () => request.abort();
    request.open(method, target);
    request.setRequestHeader("Accept", "application/json");
    request.setRequestHeader("Content-Type", type);
    request.setRequestHeader("X-CSRF-Token", csrfToken());
    request.upload.addEventListener("progress", (event) => onProgress(event.loaded));
    request.addEventListener("load", () => {
      try {
        if (request.status < 300) {
          return resolve(JSON.parse(request.responseText));
        }
      } catch {
        // not the service's own words, but those of something before it
      }
      reject(problemOf(request.status, request.responseText));
    });
    request.addEventListener("error", () => reject(failure(BROKEN, "The connection broke.")));
    request.addEventListener("abort", () => reject(failure(STOPPED, "Stopped.")));
    request.addEventListener("loadend", () => signal.removeEventListener("abort", stop));
    signal.addEventListener("abort", stop);
    request.send(body);
  });
}

export function sendForm(target, fields, { signal }) {
  return send("POST", target, new URLSearchParams(fields).toString(), { signal, type: "application/x-www-form-urlencoded" });
}

export function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(failure(STOPPED, "Stopped."));
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", stop);
      resolve();
    }, milliseconds);
    signal.addEventListener("abort", stop, { once: true });
  });
}
