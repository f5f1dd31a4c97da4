"""Model cards: what the Hugging Face Hub shows of a repository, as Markdown with a head in YAML.

Fields of the head: https://huggingface.co/docs/hub/model-cards.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ganzoo.errors import install, printable
from ganzoo.interop.convert import Converted

MOST_TEXT = 20_000
"""Largest number of characters of a list of facts."""


def model_card(
    converted: Converted,
    name: str,
    *,
    training: Mapping[str, Any] | None = None,
    metrics: Sequence[Mapping[str, Any]] = (),
    licence: str = "other",
) -> str:
    """Return the text of a model card.

    Args:
      converted: the model, with all fields of its config.
      name: under which it can be loaded, such as ``hf:owner/name``.
      training: what is known of its training, as JSON types.
      metrics: results with their ``values`` by name, and the ``images`` seen by then.
      licence: of the weights, as the Hub abbreviates it, such as ``cc-by-4.0``.
    """
    size = converted.fields.get("image_size", "?")
    values = sum(array.size for key, array in converted.weights.items() if key.startswith("ema."))
    title = name.removeprefix("hf:").split("/")[1] if name.count("/") else name
    facts = dict(training or {}) | ({"facts": converted.facts} if converted.facts else {})
    return f"""---
library_name: ganzoo
pipeline_tag: unconditional-image-generation
license: {json.dumps(licence)}
tags: [gan, jax, {json.dumps(converted.model)}]
---

# {_line(title)}

A {_line(converted.model)} of {_line(size)} pixels with {values:,} values in its generator, for ganzoo, a library of
generative adversarial networks in JAX.

## Use

With ganzoo and its extra `hub` ({install("hub")}):

```python
import ganzoo, jax

gan, state = ganzoo.load({json.dumps(name)})
images = gan.sample(state, jax.random.key(0), 16)
```

or `ganzoo sample {_line(name)}`.

## Metrics

{_table(metrics)}

## Training

{_block(facts) if facts else "Nothing is known of its training."}

## Config

{_block(converted.fields)}

## Licence

{_licence(licence)}
"""


def _line(text: Any) -> str:
    """Return a text of unknown origin so that Markdown shows it as it is."""
    return "".join(f"\\{letter}" if letter in "\\`*_{}[]<>()#|!" else letter for letter in printable(text, 200))


def _block(facts: Mapping[str, Any]) -> str:
    text = json.dumps(facts, indent=2, default=str)
    return f"```json\n{text if len(text) <= MOST_TEXT else text[:MOST_TEXT] + ' ...'}\n```"


def _table(metrics: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        f"| {_line(name)} | {value:.5g} | {_line(result.get('images', '?'))} | {_line(result.get('samples', '?'))} |"
        for result in metrics
        for name, value in result["values"].items()
    ]
    if not rows:
        return "None were measured."
    return "\n".join(["| metric | value | images seen | generated images |", "|---|---|---|---|", *rows])


def _licence(licence: str) -> str:
    if licence == "other":
        return "Not stated. Say here, and in the field `license` above, under what terms the weights may be used."
    return f"The weights: {_line(licence)}."
