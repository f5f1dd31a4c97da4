"""Times by hand: a kernel takes as long as what it uses up first."""

from dataclasses import replace

import pytest

from ganzoo.forecast.counts import Kernel, Product
from ganzoo.forecast.devices import DEVICES, target_config
from ganzoo.forecast.roofline import COMPUTE, MEMORY, roofline

H100, V5E = DEVICES["h100"], DEVICES["v5e"]
PRODUCT = Product(1e12, (64, 128), "bf16", "default")
KERNEL = Kernel("k", times=3, stored=1e9, products=(), cycles=0)


def seconds(kernel: Kernel, device=H100, devices: int = 1) -> float:
    found = roofline([kernel], device, devices)
    assert found is not None
    return found.seconds


def test_each_limit_alone() -> None:
    assert seconds(KERNEL) == pytest.approx(3 * 1e9 / (MEMORY * 3.35e12))
    assert seconds(replace(KERNEL, products=(PRODUCT,))) == pytest.approx(3 * 1e12 / (COMPUTE["gpu"] * 989e12))
    assert seconds(replace(KERNEL, stored=0)) == pytest.approx(3 * 2e-6)
    ring = 3 * 2 * 7 / 8 * 1e9 / (MEMORY * 450e9)
    sent = replace(KERNEL, stored=0, sent=10**9)
    assert seconds(sent, devices=8) == pytest.approx(3 * 2e-6 + ring)
    assert seconds(sent, devices=1) == pytest.approx(3 * 2e-6)


def test_types_have_their_peaks() -> None:
    whole = replace(KERNEL, products=(replace(PRODUCT, kind="f32"),))
    exact = replace(KERNEL, products=(replace(PRODUCT, kind="f32", precision="highest"),))
    assert seconds(whole) == pytest.approx(3 * 1e12 / (COMPUTE["gpu"] * 494e12))
    assert seconds(exact, V5E) == pytest.approx(6 * seconds(whole, V5E))


def test_a_matrix_unit_pads_channels() -> None:
    found = roofline([replace(KERNEL, stored=0, products=(PRODUCT,), cycles=1500)], V5E, 1)
    assert found is not None
    assert found.useful == 0.5
    assert found.seconds == pytest.approx(3 * 2e12 / (COMPUTE["tpu"] * 197e12))
    assert found.compiler_seconds == pytest.approx(3 * 1500 / 1.5e9)
    assert found.bound == "compute"


def test_a_processor_has_no_roofline() -> None:
    assert roofline([KERNEL], DEVICES["cpu"], 1) is None


def test_every_gpu_has_a_target_for_the_compiler() -> None:
    for device in DEVICES.values():
        if device.platform == "gpu":
            assert f"memory_bandwidth: {int(device.bandwidth)}" in target_config(device)
