"""A small shop of one's own as a table: products with words of their own, several brands, no photos."""

import csv
import hashlib
from pathlib import Path

KINDS = {
    ("Home", "Kitchen"): {
        "Kettles": "kettle spout boils litre cordless whistles limescale enamel",
        "Knives": "blade edge carbon steel handle slicing honed tang",
        "Pans": "pan non-stick hob induction frying lid rivets cast",
    },
    ("Home", "Bedroom"): {
        "Duvets": "duvet feather tog quilted filling king breathable down",
        "Pillows": "pillow neck memory foam sleeper cover ticking firm",
    },
    ("Garden", "Tools"): {
        "Spades": "spade digging soil tread ash shaft border roots",
        "Shears": "shears hedge clip branches wavy grips pruning twigs",
        "Hoses": "hose reel nozzle metres connector spray tap burst",
    },
    ("Garden", "Furniture"): {
        "Benches": "bench teak slats seats terrace oiled armrests park",
        "Parasols": "parasol shade canopy crank tilt pole ribs sun",
    },
}  # fmt: skip
BRANDS = ["Alder", "Brook & Sons", "Cobalt", "Dunmore", "Elmfield", "Fallow"]
NOISE = """
sturdy bright gift boxed washable modern classic compact family everyday premium quiet light heavy tall wide small large
green blue red grey white black natural smooth matte bold handy robust elegant simple folding portable
"""


def rows(count: int, names: bool = False) -> list[dict[str, str]]:
    """Make products: no two share much of their descriptions.

    Parameters
    ----------
    names
        Let the third level of every sixth product be its own title.
    """
    kinds = [(*above, last, words) for above, below in KINDS.items() for last, words in below.items()]
    made, others = [], NOISE.split()
    for number in range(count):
        digits = hashlib.sha256(str(number).encode()).digest()
        level_1, level_2, level_3, words = kinds[number % len(kinds)]
        if digits[11] % 5 == 0:  # some products read like those of another category
            words = kinds[digits[12] % len(kinds)][3]
        own = sorted(words.split(), key=lambda word: hashlib.sha256(f"{number}{word}".encode()).digest())[:3]
        noise = [others[digit % len(others)] for digit in digits[:9]]
        brand = BRANDS[digits[10] % len(BRANDS)]
        title = f"{brand} {noise[0]} {noise[1]} {own[0]} {noise[2]} {own[1]} {noise[3]} number {number}"
        last = title if names and number % 60 < len(kinds) else level_3
        made.append({
            "id": f"{number:05}",
            "brand": brand,
            "title": title,
            "description": f"A {' '.join(noise[:4])} thing with {own[0]} and {' '.join(noise[4:])}, {own[1]} {own[2]}.",
            "category": f"{level_1} > {level_2} > {last}",
        })  # fmt: skip
    return made


def write(path: Path, products: list[dict[str, str]]) -> None:
    """Write products as CSV."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(products[0]))
        writer.writeheader()
        writer.writerows(products)
