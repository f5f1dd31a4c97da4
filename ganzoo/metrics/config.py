"""What is measured and how: the settings of an evaluation, and the feature extractor that they ask for."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

from ganzoo.config import CountOrZero, Range, check_fields, require
from ganzoo.errors import UserError
from ganzoo.metrics import inception, suite, weights
from ganzoo.metrics.extractors import INCEPTION, OFFLINE, Extractor, inception_extractor
from ganzoo.metrics.resize import Resize

ExtractorName = Literal["auto", "inception", "random-conv", "pixels"]
MOST = 10**9
"""Largest number of images of an evaluation."""
DEFAULT_METRICS = ("frechet", "kernel", "precision_recall")


@dataclass(frozen=True)
class MetricsConfig:
    """What is measured and how. Every result records all of it."""

    metrics: tuple[str, ...] = DEFAULT_METRICS
    """Metrics: fid, kid, inception_score (of Inception features only), frechet, kernel, precision_recall,
    density_coverage (of any features), ppl_z_full, ppl_z_end, ppl_w_full, ppl_w_end, modes (of stacked images), eqt,
    eqt_frac, eqr (of a StyleGAN3)."""
    samples: Annotated[int, Range(2, MOST)] = 50_000
    """Generated images, and pairs of them for path lengths. Fewer make FID higher: 50,000 is what papers take."""
    reals: Annotated[int, Range(0, MOST)] = 0
    """Real images, drawn at random without repetition; 0 takes the whole data set."""
    extractor: ExtractorName = "auto"
    """What makes features of images: "inception" (FID), "random-conv" or "pixels" (small, need no file, no FID); "auto"
    is Inception where its weights are found, else random-conv."""
    inception: str = ""
    """File of the Inception weights: the PyTorch file of pytorch-fid, or .safetensors. When absent, it is looked for in
    $GANZOO_CACHE or ~/.cache/ganzoo."""
    inception_resize: Resize = "tensorflow"
    """How images are brought to 299x299: "tensorflow" as in the original FID, NVlabs and torch-fidelity, "pytorch" as
    in pytorch-fid, "clean" (antialiased) as in clean-fid."""
    lpips: tuple[str, ...] = ()
    """Files of the LPIPS weights, as for `ganzoo project`, for path lengths as in the literature; without them, path
    lengths use the extractor. Large images may need a smaller metric_batch_size."""
    metric_batch_size: Annotated[int, Range(1, MOST)] = 64
    """Images at once, over all devices; does not change the result."""
    metric_seed: CountOrZero = 0
    """Seed of the latents, the labels and the subsets."""

    def __post_init__(self) -> None:
        check_fields(self)
        suite.check_names(self.metrics)
        require(self.reals != 1, "reals", self.reals, "be 0 (all) or at least 2")
        if self.metrics and not suite.uses_extractor(self.metrics):
            counts = suite.counts_modes(self.metrics)
            why = "has a classifier of its own" if counts else "compares no features"
            why = f"be left out: {' '.join(self.metrics)} {why}"
            require(self.extractor == "auto", "extractor", self.extractor, why)
            require(not self.inception, "inception", self.inception, why)
            why = "modes of the data are known from its labels" if counts else "no real images are compared"
            require(not self.reals, "reals", self.reals, f"be left out: {why}")
        has_paths = any(metric.has_features for metric in suite.pair_metrics(self.metrics).values())
        require(has_paths or not self.lpips, "lpips", self.lpips, "be left out: no path length is among the metrics")
        suite.check_counts(self.metrics, real=self.reals or None, fake=self.samples)
        require(self.metric_seed < 2**32, "metric_seed", self.metric_seed, "be in 0 .. 2^32 - 1")


def load_extractor(config: MetricsConfig, log: Callable[[str], None] = lambda line: None) -> Extractor:
    """Return the extractor that a config asks for; a small one, which is not used, where no metric takes features.

    Args:
      config: of the metrics.
      log: receives a line where "auto" finds no Inception weights, or where nobody can vouch for them.

    Raises:
      UserError: Inception is needed and its weights are missing or wrong: one line with where to get them.
    """
    if config.metrics and not suite.uses_extractor(config.metrics):
        return OFFLINE["pixels"]()
    needed = config.extractor == INCEPTION or bool(config.inception)
    by_name = [name for name in config.metrics if name in suite.NEED_INCEPTION]
    if config.metrics and not suite.uses_extractor(config.metrics):
        return OFFLINE["random-conv"]()  # of which nothing is asked
    if config.extractor in OFFLINE:
        require(not config.inception, "inception", config.inception, f"be left out for {config.extractor} features")
        require(not by_name, "metrics", config.metrics, f"not ask for {by_name} of {config.extractor} features")
        return OFFLINE[config.extractor]()
    path = weights.find(config.inception)
    if path is None:
        if needed or by_name:
            raise UserError(f"{by_name[0] if by_name else 'extractor inception'} needs weights; {weights.remedy()}")
        log(f"no Inception weights, so features are those of random-conv, and no FID; for FID {weights.remedy()}")
        return OFFLINE["random-conv"]()
    tensors, sha256 = weights.load(path)
    if sha256 != weights.SHA256:
        log(f"Inception weights of {path}: nobody has published their SHA-256, which is in the result")
    return inception_extractor(inception.parameters(tensors), config.inception_resize, sha256)
