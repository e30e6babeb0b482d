"""An operation as a shell command: with the example of its body, and as the caller that ``FARZI_API_KEY`` names."""

from __future__ import annotations

import json
import shlex
from typing import Any

_CONTINUED = " \\\n  "


def curl_of(method: str, path: str, operation: dict[str, Any]) -> str:
    """Return the command; ids in the path are those of the examples, files are called FILE."""
    for parameter in operation.get("parameters", ()):
        if parameter["in"] == "path":
            path = path.replace(f"{{{parameter['name']}}}", str(parameter.get("example", parameter["name"].upper())))
    words = ["curl" if method == "get" else f"curl -X {method.upper()}", f'"$URL{path}"']
    if operation.get("security"):
        words.append('-H "Authorization: Bearer $FARZI_API_KEY"')
    content = operation.get("requestBody", {}).get("content", {})
    if "application/json" in content:
        body = json.dumps(content["application/json"]["example"], indent=2, ensure_ascii=False)
        words += ['-H "Content-Type: application/json"', f"-d {shlex.quote(body)}"]
    elif content:
        words += ['-H "Content-Type: application/octet-stream"', "--data-binary @FILE"]
    return words[0] + " " + _CONTINUED.join(words[1:])
