// Ask for a page as a document. XMLHttpRequest parses HTML without running scripts, and without a sink that trusted types forbid.
export function loadDocument(target, options = {}) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open(options.method ?? "GET", target);
    request.responseType = "document";
    request.setRequestHeader("Accept", "text/html");
    request.addEventListener("load", () => resolve({ status: request.status, url: request.responseURL, page: request.response }));
    request.addEventListener("error", () => reject(new Error("The service does not answer.")));
    request.send(options.body ?? null);
  });
}

// Put newer content into an element; what has not changed stays, and whatever had the focus keeps it.
export function replaceContent(current, newer) {
  if (current.innerHTML === newer.innerHTML) {
    return false;
  }
  const focused = current.contains(document.activeElement) ? document.activeElement.id : "";
  current.replaceChildren(...[...newer.childNodes].map((node) => document.importNode(node, true)));
  for (const name of newer.getAttributeNames()) {
    current.setAttribute(name, newer.getAttribute(name));
  }
  if (focused) {
    (document.getElementById(focused) ?? document.getElementById("main")).focus();
  }
  return true;
}
