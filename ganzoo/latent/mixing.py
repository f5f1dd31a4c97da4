"""Style mixing: some style inputs of one latent, the others of another.

Karras et al. 2018, arXiv:1812.04948, section 3.1 and figure 3.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from ganzoo.config import require
from ganzoo.typing import AnyArray


def mix(
    rows: Float[AnyArray, "r l w_dim"], columns: Float[AnyArray, "k l w_dim"], layers: Sequence[int]
) -> Float[np.ndarray, "r k l w_dim"]:
    """Return for every row and column the row's styles with those of the column at ``layers``: [R, K, L, w].

    Args:
      rows: [R, L, w].
      columns: [K, L, w].
      layers: positions of style inputs, coarse first.

    Raises:
      UserError: there is no such layer.
    """
    count = rows.shape[1]
    for layer in layers:
        require(0 <= layer < count, "layers", layer, f"be 0 to {count - 1}")
    result = np.repeat(np.asarray(rows)[:, None], len(columns), axis=1)
    result[:, :, list(layers)] = np.asarray(columns)[None][:, :, list(layers)]
    return result


def mixing_table(rows: np.ndarray, columns: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Return images as a table, row by row: a white corner, the columns' images, then each row's image and mixtures.

    Args:
      rows: [R, H, W, C].
      columns: [K, H, W, C].
      inside: [R, K, H, W, C].

    Returns:
      [(R + 1)(K + 1), H, W, C].
    """
    white = 255 if columns.dtype == np.uint8 else 1
    parts = [np.full_like(columns[:1], white), columns]
    for image, mixtures in zip(rows, inside, strict=True):
        parts += [image[None], mixtures]
    return np.concatenate(parts)
