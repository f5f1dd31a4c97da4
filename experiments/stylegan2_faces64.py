"""StyleGAN2 on small grey faces, 64x64, narrow enough for a CPU.

    python experiments/stylegan2_faces64.py --data olivetti-faces-64.zip --out runs/faces64
    python experiments/stylegan2_faces64.py --data faces/ --channels 3              # colour
    python experiments/stylegan2_faces64.py --data faces/ --image-size 96 64        # another shape

`--data` is a folder or a zip of images, such as the 400 Olivetti faces of AT&T Laboratories Cambridge. Mirrored images
count as data. `--help` explains every field.

Hardware and time: see the README for the grid of a run on two CPU cores. No FID is claimed: 400 pictures are few, and
without augmentation the discriminator learns them by heart after about 150,000 images.
"""

import sys

from ganzoo.cli import run_script
from ganzoo.experiment import experiments

if __name__ == "__main__":
    sys.exit(run_script(experiments()["stylegan2-faces64"]))
