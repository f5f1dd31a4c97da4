"""StyleGAN2 on small grey faces, 64x64, narrow enough for a CPU.

    python experiments/stylegan2_faces64.py --data olivetti-faces-64.zip --mirror
    python experiments/stylegan2_faces64.py --data faces/ --channels 3              # colour
    python experiments/stylegan2_faces64.py --data faces/ --image-size 96 64        # another shape

`--data` is a folder or a zip of images, such as the 400 Olivetti faces of AT&T Laboratories Cambridge; `--mirror` adds
their mirror images. `--help` explains every field.

Hardware and time: 25 minutes on two CPU cores, 64,000 images at 42 a second with the three largest sizes in bfloat16
(`--low-precision-levels 3`), without which a CPU is a third faster. No FID is claimed.
"""

import sys

from ganzoo.cli import run_script
from ganzoo.runs.config import find_experiment

if __name__ == "__main__":
    sys.exit(run_script(find_experiment("stylegan2-faces64")))
