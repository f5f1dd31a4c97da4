"""Names of the arrays of StyleGAN3's generator in NVlabs/stylegan3; its discriminator is StyleGAN2's.

The names were read from the state dicts of published networks. ``{i}`` is the number of a layer, ``{h}`` the size and
``{c}`` the channels of its result.
"""

from ganzoo.interop.families.names import CONV, DENSE, SAME, Rule, Table

# fmt: off
GENERATOR = Table("StyleGAN3 generator", (
    Rule("mapping.embed.weight",                     "params.mapping.embed.kernel",                        DENSE),
    Rule("mapping.embed.bias",                       "params.mapping.embed.bias",                          SAME),
    Rule("mapping.fc{i}.weight",                     "params.mapping.dense{i}.kernel",                     DENSE),
    Rule("mapping.fc{i}.bias",                       "params.mapping.dense{i}.bias",                       SAME),
    Rule("mapping.w_avg",                            "statistics.mapping.w_average",                       SAME),
    Rule("synthesis.input.weight",                   "params.synthesis.input.kernel",                      DENSE),
    Rule("synthesis.input.affine.weight",            "params.synthesis.input.affine.kernel",               DENSE),
    Rule("synthesis.input.affine.bias",              "params.synthesis.input.affine.bias",                 SAME),
    Rule("synthesis.input.freqs",                    "constants.synthesis.input.frequencies",              SAME),
    Rule("synthesis.input.phases",                   "constants.synthesis.input.phases",                   SAME),
    Rule("synthesis.L{i}_{h}_{c}.weight",            "params.synthesis.L{i}_{h}_{c}.kernel",               CONV),
    Rule("synthesis.L{i}_{h}_{c}.bias",              "params.synthesis.L{i}_{h}_{c}.bias",                 SAME),
    Rule("synthesis.L{i}_{h}_{c}.affine.weight",     "params.synthesis.L{i}_{h}_{c}.affine.kernel",        DENSE),
    Rule("synthesis.L{i}_{h}_{c}.affine.bias",       "params.synthesis.L{i}_{h}_{c}.affine.bias",          SAME),
    Rule("synthesis.L{i}_{h}_{c}.magnitude_ema",     "statistics.synthesis.L{i}_{h}_{c}.magnitude",        SAME),
), constants=("up_filter", "down_filter", "transform"))
# fmt: on
"""Filters and the user's transform are no weights."""
