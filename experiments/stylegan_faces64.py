"""StyleGAN on small grey faces, grown from 8x8 to 64x64, narrow enough for a CPU.

    python experiments/stylegan_faces64.py --data olivetti-faces-64.zip --mirror --out runs/grown-faces
    python experiments/stylegan_faces64.py --data faces/ --channels 3               # colour

`--data` is a folder or a zip of images, such as the 400 Olivetti faces of AT&T Laboratories Cambridge; `--mirror` adds
their mirror images. The run folder holds `samples.webp`, a film of how the pictures grow.
`--help` explains every field.

Hardware and time: 19 minutes on two CPU cores for 84,000 images, 100 s of compilation among them. No FID is claimed.
"""

import sys

from ganzoo.cli import run_script
from ganzoo.runs.config import find_experiment

if __name__ == "__main__":
    sys.exit(run_script(find_experiment("stylegan-faces64")))
