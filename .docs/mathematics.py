"""Equations as MathML, which browsers draw by themselves: no script, no font and no network."""

import html
import re

from latex2mathml.converter import convert

INLINE = re.compile(r'<span class="arithmatex">\\\((.*?)\\\)</span>', flags=re.DOTALL)
DISPLAY = re.compile(r'<div class="arithmatex">\\\[(.*?)\\\]</div>', flags=re.DOTALL)


def drawn(page: str) -> str:
    """Return the HTML of a page with MathML in the place of the TeX that pymdownx.arithmatex has marked."""
    page = INLINE.sub(lambda tex: convert(html.unescape(tex[1]).strip()), page)
    return DISPLAY.sub(
        lambda tex: f'<div class="equation">{convert(html.unescape(tex[1]).strip(), display="block")}</div>', page
    )
