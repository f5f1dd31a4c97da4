"""StyleGAN2 on CIFAR-10, 32x32, class-conditional: the published configuration `cifar`, without augmentation.

    python experiments/stylegan2_cifar10.py --data cifar10.zip --out runs/stylegan2-cifar10
    python experiments/stylegan2_cifar10.py --data tfds:cifar10
    python experiments/stylegan2_cifar10.py --data cifar10.zip --label-size 0      # without labels

`--data` is a folder or a zip of the images in one folder for each class, or a TFDS data set.

Hardware and time: written for GPUs, as published: 100,000,000 images at a batch of 64 on two of them. On a CPU it
shows that it runs, slowly. The published scores are in Karras et al. 2020, arXiv:2006.06676, figure
11; the run has not been repeated here, and no FID is claimed for it.
"""

import sys
from dataclasses import replace

from ganzoo.cli import run_script
from ganzoo.runs.config import find_experiment

if __name__ == "__main__":
    experiment = find_experiment("stylegan2-cifar")
    conditional = replace(experiment.gan, label_size=10)
    sys.exit(run_script(replace(experiment, name="stylegan2-cifar10", gan=conditional)))
