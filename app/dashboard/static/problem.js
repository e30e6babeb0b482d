// What the service says of a refused request: an error with words for a person, the status, and the service's own code.
export function problemOf(status, text) {
  let problem;
  try {
    problem = JSON.parse(text);
  } catch {
    return Object.assign(new Error(`The service answered with status ${status}. Try again.`), { status });
  }
  const fields = (problem.errors ?? []).map((item) => `${item.pointer} ${item.detail}`);
  const said = fields.length > 1 ? `${problem.title}: ${fields.join("; ")}` : problem.detail;
  return Object.assign(new Error(`${said} (request ${problem.request_id})`), { status, code: problem.code });
}

export function csrfToken() {
  return document.querySelector('meta[name="csrf-token"]').content;
}
