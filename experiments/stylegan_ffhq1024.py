"""StyleGAN on FFHQ at 1024x1024, grown from 8x8: configuration F of the paper (arXiv:1812.04948, table 1).

    python experiments/stylegan_ffhq1024.py --data ffhq-1024.zip --mirror --out runs/ffhq
    python experiments/stylegan_ffhq1024.py --data ffhq-256.zip --mirror --image-size 256   # the same schedule, smaller
    python experiments/stylegan_ffhq1024.py --data cats/ --image-size 256 --training-images 100000 --fading-images 50000

`--data` is a folder or a zip of images. Batch sizes and learning rates of every level are the published ones for the
number of devices (1, 2, 4 or 8). `--help` explains every field.

Hardware and time: the authors report one week on 8 Tesla V100 for 25 million images, and FID 4.40. This script has not
been run to the end; nothing is claimed for it.
"""

import sys

from ganzoo.cli import run_script
from ganzoo.runs.config import find_experiment

if __name__ == "__main__":
    sys.exit(run_script(find_experiment("stylegan-ffhq1024")))
