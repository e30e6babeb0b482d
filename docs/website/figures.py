"""The figures of the pages on concepts: ``python -m docs.website.figures`` writes them to docs/images, a test compares them."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable

from docs.website.drawing import Drawing
from docs.website.pages import DOCS

FOLDER = DOCS / "images"


def soft_token(position: int, event: int) -> float:
    """Return the probability of an event at a position of the schematic summary: two likely paths, and a little of all else."""
    near = math.exp(-0.9 * ((event - 2 - 0.6 * position) % 10) ** 2)
    far = 0.5 * math.exp(-0.6 * ((event - 7 + 0.3 * position) % 10) ** 2)
    return min(1.0, near + far + 0.04)


def overview() -> Drawing:
    """Many sequences, a few synthetic ones, a student."""
    drawing = Drawing(
        720, 210, "Many real sequences are distilled to a few synthetic ones; a student trains on those in seconds"
    )
    for row in range(11):
        for column in range(7 + (row * 5) % 8):
            shade = 0.25 + 0.65 * (((row * 7 + column * 3) % 10) / 10)
            drawing.rectangle(20 + 12 * column, 32 + 13 * row, 9, 9, fill="var(--quiet)", opacity=shade)
    drawing.text(105, 20, "real data: users' histories", "bold")
    drawing.text(105, 196, "328,521 flights of 4,037 aircraft", "small")
    drawing.arrow((222, 102), (306, 102))
    drawing.text(264, 92, "distil")
    drawing.text(264, 122, "once, minutes", "small")
    for row in range(3):
        for column in range(9):
            for slot in range(4):
                height = 2 + 26 * soft_token(column + 2 * row, 2 * slot + row)
                drawing.rectangle(322 + 16 * column + 3 * slot, 78 + 44 * row - height, 2.4, height, fill="var(--mark)")
    drawing.text(394, 20, "synthetic data: soft tokens", "bold")
    drawing.text(394, 196, "20 sequences of 50 positions", "small")
    drawing.arrow((482, 102), (566, 102))
    drawing.text(524, 92, "train")
    drawing.text(524, 122, "often, seconds", "small")
    drawing.box(578, 66, 124, 72, "student", "NDCG@10 .608", note="all data: .624")
    return drawing


def two_loops() -> Drawing:
    """The inner loop forwards, the meta-gradient back."""
    drawing = Drawing(
        720, 270, "A student is trained on synthetic data; its loss on real data is pulled back through the steps"
    )
    drawing.text(400, 20, "inner loop: train a student, a new one or one that earlier loops left", "small")
    drawing.box(20, 36, 150, 66, "synthetic data", "soft tokens", accent=True)
    drawing.arrow((170, 69), (230, 69))
    for index, name in enumerate(("w0", "w1", "w2", "...", "wT")):
        x = 230 + 84 * index
        drawing.box(x, 48, 50, 42, name)
        if index:
            drawing.arrow((x - 34, 69), (x, 69))
        if index in {3, 4}:
            drawing.arrow((x + 25, 180), (x + 25, 94), dashed=True, warm=True)
    drawing.text(440, 112, "one Adam step each", "small")
    drawing.box(632, 40, 78, 58, "outer", "loss")
    drawing.arrow((616, 69), (632, 69))
    drawing.box(632, 136, 78, 44, "real", "batch")
    drawing.arrow((671, 136), (671, 98))
    drawing.arrow((642, 98), (642, 118), (622, 118), (622, 180), (95, 180), (95, 102), dashed=True, warm=True)
    drawing.text(190, 172, "meta-gradient", "warm")
    drawing.text(360, 200, "back through the last steps, each by its exact transpose", "small")
    drawing.text(
        20,
        236,
        "outer loop: move the synthetic data a little, draw another length and start, and begin again;",
        "small",
        "start",
    )
    drawing.text(20, 254, "tens to hundreds of times", "small", "start")
    return drawing


def job_life() -> Drawing:
    """States of a job and what moves it."""
    drawing = Drawing(
        720, 300, "States of a job: queued, running, succeeded; paused, cancelling, cancelled and failed beside them"
    )
    drawing.text(20, 74, "POST /v1/jobs", "small", "start")
    drawing.arrow((20, 84), (118, 84))
    drawing.box(120, 60, 110, 48, "queued")
    drawing.box(350, 60, 110, 48, "running", accent=True)
    drawing.box(590, 60, 110, 48, "succeeded")
    drawing.arrow((230, 74), (350, 74))
    drawing.text(290, 66, "a worker claims it", "small")
    drawing.arrow((350, 96), (230, 96), dashed=True)
    drawing.text(290, 114, "worker lost", "small")
    drawing.arrow((460, 84), (590, 84))
    drawing.text(525, 76, "result published", "small")
    drawing.box(120, 190, 110, 48, "paused")
    drawing.arrow((370, 108), (230, 200))
    drawing.text(322, 176, "pause", "small")
    drawing.arrow((175, 190), (175, 108))
    drawing.text(170, 152, "resume", "small", "end")
    drawing.box(350, 190, 110, 48, "cancelling")
    drawing.arrow((405, 108), (405, 190))
    drawing.text(412, 152, "cancel", "small", "start")
    drawing.box(590, 190, 110, 48, "cancelled")
    drawing.arrow((460, 214), (590, 214))
    drawing.text(525, 206, "its run has ended", "small")
    drawing.box(590, 125, 110, 48, "failed")
    drawing.arrow((460, 98), (590, 142))
    drawing.text(540, 148, "error", "small", "end")
    drawing.text(
        20,
        270,
        "Paused and stopped jobs go on from their last checkpoint; failed and cancelled ones do so after a retry.",
        "small",
        "start",
    )
    return drawing


def summary() -> Drawing:
    """From latents and decoder to soft tokens, and from those to hard sequences."""
    drawing = Drawing(720, 330, "Latents times token decoder, a softmax, and events drawn from the soft tokens")
    drawing.box(20, 60, 84, 130, "latents", "(L, D)", note="S of them")
    drawing.text(122, 130, "@", "bold")
    drawing.box(140, 88, 150, 74, "token decoder", "(D, V)", note="one for all")
    drawing.arrow((292, 125), (372, 125))
    drawing.text(337, 108, "scaled", "small")
    drawing.text(332, 146, "softmax", "small")
    for position in range(14):
        drawn = max(range(10), key=lambda event: soft_token(position, event)) if position % 5 else (position + 3) % 10
        for event in range(10):
            drawing.rectangle(
                384 + 22 * position,
                44 + 16 * event,
                20,
                14,
                fill="var(--mark)",
                opacity=0.06 + 0.94 * soft_token(position, event) / 1.1,
            )
        drawing.rectangle(384 + 22 * position, 44 + 16 * drawn, 20, 14, fill="none", stroke="var(--warm)")
    drawing.text(538, 28, "soft tokens of one sequence", "bold")
    drawing.text(538, 222, "positions 1 to L; one row for each event of the vocabulary", "small")
    drawing.arrow((538, 232), (538, 266))
    drawing.text(526, 254, "draw one event of every column", "warm", "end")
    drawing.text(550, 254, "as often as you like", "warm", "start")
    drawing.text(538, 290, "hard sequences: IAH  MIA  ORD  ATL  BOS ...")
    drawing.text(155, 222, "what synthetic.safetensors holds", "small")
    return drawing


def training() -> Drawing:
    """What a student is shown and what it is asked for, by the kind of inputs."""
    drawing = Drawing(
        720, 330, "A student is shown soft tokens, or events that teachers made up, and is asked for the next soft token"
    )
    for block, (name, events) in enumerate((("inputs = soft_tokens", False), ("inputs = sampled_events", True))):
        x0 = 20 + 360 * block
        drawing.text(x0 + 160, 22, name, "bold")
        drawing.text(x0, 62, "asked", "small", "start")
        drawing.text(x0, 262, "shown", "small", "start")
        drawing.box(x0 + 60, 118, 240, 60, "student", note="sees nothing to its right")
        for position in range(4):
            x = x0 + 74 + 60 * position
            _bars(drawing, x, 84, position + 1)
            drawing.arrow((x + 14, 118), (x + 14, 90))
            drawing.arrow((x + 14, 222), (x + 14, 180))
            if events:
                drawing.rectangle(x - 2, 228, 32, 24, fill="var(--soft)", stroke="var(--warm)")
                drawing.text(x + 14, 245, ("IAH", "MIA", "ORD", "ATL")[position], "small")
            else:
                _bars(drawing, x, 256, position)
        below = "events that teachers made up, 4 bytes each" if events else "the soft tokens before it: mean of the embeddings"
        drawing.text(x0 + 180, 286, below, "small")
        drawing.text(x0 + 180, 306, "texts, many different events" if events else "few different events", "small")
    return drawing


def _bars(drawing: Drawing, x: float, bottom: float, position: int) -> None:
    for slot in range(5):
        height = 3 + 24 * soft_token(position, 2 * slot)
        drawing.rectangle(x + 6 * slot, bottom - height, 4.5, height, fill="var(--mark)")


def protocol() -> Drawing:
    """How a history is split, and what is compared."""
    drawing = Drawing(
        720,
        330,
        "The last event of each user is the test, the one before it validation; students of every side are compared",
    )
    for row in range(3):
        length = (11, 8, 10)[row]
        for column in range(length):
            colour, opacity = ("var(--quiet)", 0.45)
            if column == length - 1:
                colour, opacity = "var(--warm)", 1
            elif column == length - 2:
                colour, opacity = "var(--mark)", 1
            drawing.rectangle(110 + 24 * column, 46 + 26 * row, 19, 18, fill=colour, opacity=opacity)
        drawing.text(100, 60 + 26 * row, f"user {row + 1}", "small", "end")
    drawing.text(110, 30, "time", "small", "start")
    drawing.arrow((142, 26), (380, 26))
    drawing.text(430, 60, "train", "", "start")
    drawing.text(430, 86, "validation: the last event but one", "mark", "start")
    drawing.text(430, 112, "test: the last event, at the very end", "warm", "start")
    sides = (
        ("full data", "tuned just as hard"),
        ("distilled", "soft tokens"),
        ("hard", "sequences drawn from it"),
        ("random", "as many real sequences"),
    )
    for index, (name, note) in enumerate(sides):
        x = 20 + 172 * index
        drawing.box(x, 158, 158, 54, name, accent=name == "distilled", note=note)
        drawing.arrow((x + 79, 212), (x + 79, 244))
    drawing.box(
        20, 246, 674, 62, "fresh random students, several seeds", "rank the test event among the whole catalogue", note=""
    )
    return drawing


FIGURES: dict[str, Callable[[], Drawing]] = {
    "overview": overview,
    "two-loops": two_loops,
    "job-life": job_life,
    "summary": summary,
    "training": training,
    "protocol": protocol,
}


def main() -> int:
    """Write every figure."""
    for name, draw in FIGURES.items():
        (FOLDER / f"{name}.svg").write_text(draw().svg(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
