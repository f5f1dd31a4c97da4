"""StyleGAN2 on FFHQ at 256x256: the published configuration `paper256`, without augmentation.

    python experiments/stylegan2_ffhq256.py --data ffhq256.zip --out runs/ffhq256
    python experiments/stylegan2_ffhq256.py --data ffhq256.zip --micro-batch 16     # on one small GPU

`--data` is a folder or a zip of the 70,000 images; images of other sizes are cropped and resized.

Hardware and time: written for eight GPUs, as published: 25,000,000 images at a batch of 64. The same command runs on
one, where batch size and results stay the same. The published scores of this configuration are in Karras et al. 2020,
arXiv:2006.06676; the run has not been repeated here, and no FID is claimed for it.
"""

import sys
from dataclasses import replace

from ganzoo.cli import run_script
from ganzoo.runs.config import find_experiment

if __name__ == "__main__":
    experiment = find_experiment("stylegan2-paper256")
    mirrored = replace(experiment.data, mirror=True)
    sys.exit(run_script(replace(experiment, name="stylegan2-ffhq256", data=mirrored)))
