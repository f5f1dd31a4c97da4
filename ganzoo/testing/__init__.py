"""Tests that every model passes, for models inside and outside of this package.

Example, in a test of your own::

    def test_my_gan():
        ganzoo.testing.check_model(MODEL)

or one test for each check::

    @pytest.mark.parametrize("check", ganzoo.testing.CHECKS)
    def test_my_gan(check):
        ganzoo.testing.CHECKS[check](contract)  # contract = ganzoo.testing.Contract(gan)
"""

from ganzoo.testing.comparison import assert_near, quick_jit
from ganzoo.testing.contract import CHECKS, Contract, check_model, check_presets

__all__ = ["CHECKS", "Contract", "assert_near", "check_model", "check_presets", "quick_jit"]
