"""Line drawings as SVG text: boxes, arrows, words. Colours are variables, so that a page can choose them for light and dark."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape

# A file that is looked at by itself goes by the system's preference; the site's style sheet goes by its own switch.
STYLE = (
    ".figure{--ink:#1f2328;--quiet:#57606a;--line:#8c959f;--soft:#eef1f4;--mark:#0a58ca;--warm:#b35900;"
    "max-width:100%;height:auto}"
    "@media (prefers-color-scheme:dark){"
    ".figure{--ink:#e6e9ed;--quiet:#9aa4b0;--line:#6e7781;--soft:#1f262d;--mark:#79b8ff;--warm:#f0a35e}}"
    ".figure text{font:14px system-ui,sans-serif;fill:var(--ink)}.figure .small{font-size:12px;fill:var(--quiet)}"
    ".figure .bold{font-weight:600}.figure .mark{fill:var(--mark)}.figure .warm{fill:var(--warm)}"
)


@dataclass
class Drawing:
    """A drawing of ``width`` x ``height`` pixels; ``title`` is what a reader who cannot see it is told."""

    width: int
    height: int
    title: str
    parts: list[str] = field(default_factory=list)

    def text(self, x: float, y: float, words: str, kind: str = "", anchor: str = "middle") -> None:
        self.parts.append(f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" class="{kind}">{escape(words)}</text>')

    def box(self, x: float, y: float, width: float, height: float, *lines: str, accent: bool = False, note: str = "") -> None:
        """Draw a box with its lines in the middle, the first one bold, and a small note below them."""
        stroke = "--mark" if accent else "--line"
        self.rectangle(x, y, width, height, fill="var(--soft)", stroke=f"var({stroke})", radius=6)
        top = y + height / 2 + 5 - 9 * (len(lines) - 1 + bool(note))
        for number, line in enumerate(lines):
            self.text(x + width / 2, top + 18 * number, line, "bold" if number == 0 else "")
        if note:
            self.text(x + width / 2, top + 18 * len(lines), note, "small")

    def rectangle(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        *,
        fill: str,
        stroke: str = "none",
        radius: float = 2,
        opacity: float = 1,
    ) -> None:
        self.parts.append(
            f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="{radius:g}" fill="{fill}" '
            f'fill-opacity="{opacity:.2f}" stroke="{stroke}"/>'
        )

    def arrow(self, *points: tuple[float, float], dashed: bool = False, warm: bool = False) -> None:
        """Draw a line through the points, with a head at the last one."""
        colour = "var(--warm)" if warm else "var(--quiet)"
        (x0, y0), (x1, y1) = points[-2:]
        length = max(((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5, 1e-9)
        dx, dy = (x1 - x0) / length, (y1 - y0) / length
        path = "M" + " L".join(f"{x:g} {y:g}" for x, y in points)
        dashes = ' stroke-dasharray="5 4"' if dashed else ""
        self.parts.append(f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="1.6"{dashes}/>')
        head = [(x1, y1), (x1 - 9 * dx - 4 * dy, y1 - 9 * dy + 4 * dx), (x1 - 9 * dx + 4 * dy, y1 - 9 * dy - 4 * dx)]
        self.parts.append(f'<polygon points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in head)}" fill="{colour}"/>')

    def svg(self) -> str:
        inner = "\n".join(self.parts)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="figure" viewBox="0 0 {self.width} {self.height}" '
            f'width="{self.width}" height="{self.height}" role="img" aria-label="{escape(self.title)}">\n'
            f"<style>{STYLE}</style>\n{inner}\n</svg>\n"
        )
