// What the service says of a refused request, as words for a person.
export function sayProblem(status, text) {
  let problem;
  try {
    problem = JSON.parse(text);
  } catch {
    return `The service answered with status ${status}. Try again.`;
  }
  const fields = (problem.errors ?? []).map((item) => `${item.pointer} ${item.detail}`);
  const said = fields.length > 1 ? `${problem.title}: ${fields.join("; ")}` : problem.detail;
  return `${said} (request ${problem.request_id})`;
}

export function csrfToken() {
  return document.querySelector('meta[name="csrf-token"]').content;
}
