"""Names of StyleGAN2's arrays in NVlabs/stylegan2-ada-pytorch and in NVlabs/stylegan2 (TensorFlow).

The names were read from the state dicts and variables of published networks; the layouts follow from what the layers
compute. ``{r}`` is the resolution of a block, ``{i}`` the number of a layer.
"""

from ganzoo.interop.families.names import (
    CONSTANT,
    CONV,
    DENSE,
    SAME,
    TF_CONSTANT,
    TF_NOISE,
    TF_STYLE,
    TF_UP,
    UP,
    Rule,
    Table,
    flat,
    tf_flat,
)

# fmt: off
GENERATOR = Table("StyleGAN2 generator", (
    Rule("mapping.embed.weight",                   "params.mapping.embed.kernel",                       DENSE),
    Rule("mapping.embed.bias",                     "params.mapping.embed.bias",                         SAME),
    Rule("mapping.fc{i}.weight",                   "params.mapping.dense{i}.kernel",                    DENSE),
    Rule("mapping.fc{i}.bias",                     "params.mapping.dense{i}.bias",                      SAME),
    Rule("mapping.w_avg",                          "statistics.mapping.w_average",                      SAME),
    Rule("synthesis.b{r}.const",                   "params.synthesis.b{r}.constant",                    CONSTANT),
    Rule("synthesis.b{r}.conv0.weight",            "params.synthesis.b{r}.conv0.kernel",                UP),
    Rule("synthesis.b{r}.conv1.weight",            "params.synthesis.b{r}.conv1.kernel",                CONV),
    Rule("synthesis.b{r}.conv{i}.bias",            "params.synthesis.b{r}.conv{i}.bias",                SAME),
    Rule("synthesis.b{r}.conv{i}.affine.weight",   "params.synthesis.b{r}.conv{i}.affine.kernel",       DENSE),
    Rule("synthesis.b{r}.conv{i}.affine.bias",     "params.synthesis.b{r}.conv{i}.affine.bias",         SAME),
    Rule("synthesis.b{r}.conv{i}.noise_strength",  "params.synthesis.b{r}.conv{i}.noise_strength",      SAME),
    Rule("synthesis.b{r}.conv{i}.noise_const",     "noise.synthesis.b{r}.conv{i}.constant",             SAME),
    Rule("synthesis.b{r}.torgb.weight",            "params.synthesis.b{r}.to_rgb.kernel",               CONV),
    Rule("synthesis.b{r}.torgb.bias",              "params.synthesis.b{r}.to_rgb.bias",                 SAME),
    Rule("synthesis.b{r}.torgb.affine.weight",     "params.synthesis.b{r}.to_rgb.affine.kernel",        DENSE),
    Rule("synthesis.b{r}.torgb.affine.bias",       "params.synthesis.b{r}.to_rgb.affine.bias",          SAME),
    Rule("synthesis.b{r}.skip.weight",             "params.synthesis.b{r}.skip.kernel",                 UP),
), constants=("resample_filter",))

_DISCRIMINATOR = (
    Rule("b{r}.fromrgb.weight",                    "params.b{r}.from_rgb.kernel",                       CONV),
    Rule("b{r}.fromrgb.bias",                      "params.b{r}.from_rgb.bias",                         SAME),
    Rule("b{r}.conv{i}.weight",                    "params.b{r}.conv{i}.kernel",                        CONV),
    Rule("b{r}.conv{i}.bias",                      "params.b{r}.conv{i}.bias",                          SAME),
    Rule("b{r}.skip.weight",                       "params.b{r}.skip.kernel",                           CONV),
    Rule("b{r}.conv.weight",                       "params.b{r}.conv.kernel",                           CONV),
    Rule("b{r}.conv.bias",                         "params.b{r}.conv.bias",                             SAME),
    Rule("b{r}.fc.bias",                           "params.b{r}.dense.bias",                            SAME),
    Rule("b{r}.out.weight",                        "params.b{r}.out.kernel",                            DENSE),
    Rule("b{r}.out.bias",                          "params.b{r}.out.bias",                              SAME),
    Rule("mapping.embed.weight",                   "params.mapping.embed.kernel",                       DENSE),
    Rule("mapping.embed.bias",                     "params.mapping.embed.bias",                         SAME),
    Rule("mapping.fc{i}.weight",                   "params.mapping.dense{i}.kernel",                    DENSE),
    Rule("mapping.fc{i}.bias",                     "params.mapping.dense{i}.bias",                      SAME),
)

TF_GENERATOR = Table("StyleGAN2 generator (TensorFlow)", (
    Rule("G_mapping/LabelEmbed/weight",            "params.mapping.embed.kernel",                       SAME),
    Rule("G_mapping/LabelEmbed/bias",              "params.mapping.embed.bias",                         SAME),
    Rule("G_mapping/Dense{i}/weight",              "params.mapping.dense{i}.kernel",                    SAME),
    Rule("G_mapping/Dense{i}/bias",                "params.mapping.dense{i}.bias",                      SAME),
    Rule("dlatent_avg",                            "statistics.mapping.w_average",                      SAME),
    Rule("G_synthesis/4x4/Const/const",            "params.synthesis.b4.constant",                      TF_CONSTANT),
    *(rule for theirs, ours in (("4x4/Conv", "b4.conv1"), ("{r}x{r}/Conv1", "b{r}.conv1")) for rule in (
        Rule(f"G_synthesis/{theirs}/weight",         f"params.synthesis.{ours}.kernel",                 SAME),
        Rule(f"G_synthesis/{theirs}/bias",           f"params.synthesis.{ours}.bias",                   SAME),
        Rule(f"G_synthesis/{theirs}/mod_weight",     f"params.synthesis.{ours}.affine.kernel",          SAME),
        Rule(f"G_synthesis/{theirs}/mod_bias",       f"params.synthesis.{ours}.affine.bias",            TF_STYLE),
        Rule(f"G_synthesis/{theirs}/noise_strength", f"params.synthesis.{ours}.noise_strength",         SAME),
    )),
    Rule("G_synthesis/{r}x{r}/Conv0_up/weight",    "params.synthesis.b{r}.conv0.kernel",                TF_UP),
    Rule("G_synthesis/{r}x{r}/Conv0_up/bias",      "params.synthesis.b{r}.conv0.bias",                  SAME),
    Rule("G_synthesis/{r}x{r}/Conv0_up/mod_weight", "params.synthesis.b{r}.conv0.affine.kernel",        SAME),
    Rule("G_synthesis/{r}x{r}/Conv0_up/mod_bias",  "params.synthesis.b{r}.conv0.affine.bias",           TF_STYLE),
    Rule("G_synthesis/{r}x{r}/Conv0_up/noise_strength", "params.synthesis.b{r}.conv0.noise_strength",   SAME),
    Rule("G_synthesis/{r}x{r}/ToRGB/weight",       "params.synthesis.b{r}.to_rgb.kernel",               SAME),
    Rule("G_synthesis/{r}x{r}/ToRGB/bias",         "params.synthesis.b{r}.to_rgb.bias",                 SAME),
    Rule("G_synthesis/{r}x{r}/ToRGB/mod_weight",   "params.synthesis.b{r}.to_rgb.affine.kernel",        SAME),
    Rule("G_synthesis/{r}x{r}/ToRGB/mod_bias",     "params.synthesis.b{r}.to_rgb.affine.bias",          TF_STYLE),
    Rule("G_synthesis/{r}x{r}/Skip/weight",        "params.synthesis.b{r}.skip.kernel",                 TF_UP),
    # noise0 belongs to the convolution at 4 x 4; each larger size has two noise inputs
    Rule("G_synthesis/noise0",                     "noise.synthesis.b4.conv1.constant",                 TF_NOISE),
    *(Rule(f"G_synthesis/noise{2 * k - 1 + i}",    f"noise.synthesis.b{4 << k}.conv{i}.constant",        TF_NOISE)
      for k in range(1, 10) for i in (0, 1)),
), constants=("lod",))  # of stylegan2, where only the older architectures grow

_TF_DISCRIMINATOR = (
    Rule("{r}x{r}/FromRGB/weight",                 "params.b{r}.from_rgb.kernel",                       SAME),
    Rule("{r}x{r}/FromRGB/bias",                   "params.b{r}.from_rgb.bias",                         SAME),
    Rule("{r}x{r}/Conv0/weight",                   "params.b{r}.conv0.kernel",                          SAME),
    Rule("{r}x{r}/Conv0/bias",                     "params.b{r}.conv0.bias",                            SAME),
    Rule("{r}x{r}/Conv1_down/weight",              "params.b{r}.conv1.kernel",                          SAME),
    Rule("{r}x{r}/Conv1_down/bias",                "params.b{r}.conv1.bias",                            SAME),
    Rule("{r}x{r}/Skip/weight",                    "params.b{r}.skip.kernel",                           SAME),
    Rule("4x4/Conv/weight",                        "params.b4.conv.kernel",                             SAME),
    Rule("4x4/Conv/bias",                          "params.b4.conv.bias",                               SAME),
    Rule("4x4/Dense0/bias",                        "params.b4.dense.bias",                              SAME),
    Rule("Output/weight",                          "params.b4.out.kernel",                              SAME),
    Rule("Output/bias",                            "params.b4.out.bias",                                SAME),
    Rule("LabelEmbed/weight",                      "params.mapping.embed.kernel",                       SAME),
    Rule("LabelEmbed/bias",                        "params.mapping.embed.bias",                         SAME),
    Rule("Mapping{i}/weight",                      "params.mapping.dense{i}.kernel",                    SAME),
    Rule("Mapping{i}/bias",                        "params.mapping.dense{i}.bias",                      SAME),
)
# fmt: on


def discriminator_table(height: int, width: int) -> Table:
    """Return the table of a discriminator whose smallest feature map has ``height`` x ``width`` pixels."""
    dense = Rule("b{r}.fc.weight", "params.b{r}.dense.kernel", flat(height, width))
    return Table("StyleGAN2 discriminator", (*_DISCRIMINATOR, dense), constants=("resample_filter",))


def tensorflow_table(height: int, width: int) -> Table:
    """Return the table of a TensorFlow discriminator whose smallest feature map has ``height`` x ``width`` pixels."""
    dense = Rule("4x4/Dense0/weight", "params.b4.dense.kernel", tf_flat(height, width))
    return Table("StyleGAN2 discriminator (TensorFlow)", (*_TF_DISCRIMINATOR, dense))
