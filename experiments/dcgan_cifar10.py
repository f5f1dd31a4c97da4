"""DCGAN on CIFAR-10, 32x32, without labels.

    python experiments/dcgan_cifar10.py --data cifar10.zip --out runs/dcgan-cifar10
    python experiments/dcgan_cifar10.py --data tfds:cifar10
    python experiments/dcgan_cifar10.py --data cifar10.zip --label-size 10        # class-conditional

`--data` is a folder or a zip of images, or a TFDS data set. `--help` explains every field.

Hardware and time: 38 minutes on two CPU cores, beside other work, for 600,000 images (12 epochs, `--images 600000`, the
grid in the README); so about two hours for the default 2,000,000. No FID is claimed.
"""

import sys

from ganzoo.cli import run_script
from ganzoo.runs.config import find_experiment

if __name__ == "__main__":
    sys.exit(run_script(find_experiment("dcgan-cifar10")))
