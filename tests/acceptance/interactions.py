"""The data of the acceptance path: ML-100K when it lies beside the checkout, else a generated set of the same form."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

ML_100K = Path(__file__).parents[3] / "shared" / "data" / "ml-100k" / "u.data"
GENERATED_USERS = 120
GENERATED_ITEMS = 60


@dataclass(frozen=True)
class InteractionFile:
    """A headerless TSV of user, item, rating, timestamp, and what is known about it."""

    label: str
    path: Path
    num_sequences: int
    num_events: int
    vocab_size: int


def provide_interactions(directory: Path) -> InteractionFile:
    """Return ML-100K, or write the generated set into ``directory`` and return that."""
    if ML_100K.exists():
        return InteractionFile("ml-100k", ML_100K, num_sequences=943, num_events=100_000, vocab_size=1682)
    path = directory / "generated.tsv"
    rows = list(_generate_rows(random.Random(0)))
    path.write_text("".join(f"{user}\t{item}\t{rating}\t{at}\n" for user, item, rating, at in rows))
    return InteractionFile(
        "generated",
        path,
        num_sequences=GENERATED_USERS,
        num_events=len(rows),
        vocab_size=len({item for _, item, _, _ in rows}),
    )


def _generate_rows(random_numbers: random.Random) -> list[tuple[int, int, int, int]]:
    """Walk round a ring of items, so that the next event can be learned."""
    rows = []
    for user in range(1, GENERATED_USERS + 1):
        item = random_numbers.randrange(GENERATED_ITEMS)
        for at in range(random_numbers.randrange(30, 60)):
            item = (item + random_numbers.choice((1, 1, 1, 2, 5))) % GENERATED_ITEMS
            rows.append((user, item + 1, random_numbers.randint(1, 5), 874_000_000 + at))
    return rows
