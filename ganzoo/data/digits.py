"""The built-in data set: 1,797 handwritten digits of 8 x 8 pixels, for tests and first steps without a download.

E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998,
https://doi.org/10.24432/C50P49, CC BY 4.0; see ``digits_ATTRIBUTION.md``.
"""

from importlib.resources import files

import numpy as np

from ganzoo.data.config import LabelMode
from ganzoo.data.images import Look, Target, fit
from ganzoo.data.labels import of_classes
from ganzoo.data.source import Source, digest


def open_digits(labels: LabelMode) -> Source:
    """Open the digits as a `Source` of 1,797 images [8, 8]; their classes are "0" to "9"."""
    with files("ganzoo.data").joinpath("digits.npz").open("rb") as file, np.load(file) as arrays:
        images, classes = arrays["images"], arrays["labels"]
    grey = np.round(images.astype(np.float32) * (255 / 16)).astype(np.uint8)

    def picture(index: int, target: Target) -> np.ndarray:
        from PIL import Image

        return fit(Image.fromarray(grey[index]), target)

    content = digest(images.tobytes())
    return Source(
        title="digits (built in)",
        names=[f"digit {index}" for index in range(len(images))],
        picture=picture,
        look=lambda index: Look(*grey[index].shape, channels=1),
        labels=of_classes(classes, "0123456789") if labels == "auto" else None,
        content=content,
        revision=content,
        why_unlabelled="leave out --labels none to use those of the digits" if labels == "none" else "",
    )
