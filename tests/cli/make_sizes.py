"""Write the numbers that ``ganzoo list`` shows, so that no networks are traced: python tests/cli/make_sizes.py."""

import json
from pathlib import Path

from ganzoo.cli import listing
from ganzoo.models import MODELS


def sizes() -> dict[str, list]:
    """Shape of the images and parameters of G and D of every preset, by the digest of its config."""
    found = {}
    for model in MODELS.values():
        for preset in model.presets.values():
            shape, *counts = listing.count(model, preset)
            found[listing.digest(model, preset)] = [list(shape), *counts]
    return found


if __name__ == "__main__":
    rows = ",\n".join(f"  {json.dumps(key)}: {json.dumps(row)}" for key, row in sizes().items())
    (Path(listing.__file__).parent / listing.SIZES).write_text(f"{{\n{rows}\n}}\n")
