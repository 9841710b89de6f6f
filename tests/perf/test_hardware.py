"""The tables of GPUs and prices, and what is said of a bad one."""

import json
from pathlib import Path

import pytest

from libra_bench.core.errors import InputError
from libra_bench.perf.hardware import find_gpu, gpu_of_device, gpus, price_of, read_prices

ROW = {
    "gpu": "a6000",
    "usd_per_hour": 0.5,
    "provider": "here",
    "date": "2026-01-01",
    "source": "the bill",
}


def test_ratios_of_h100_and_a6000() -> None:
    fast, slow = find_gpu("H100 SXM"), find_gpu("a6000")
    assert fast.flops / slow.flops == pytest.approx(6.4, abs=0.05)
    assert fast.bandwidth / slow.bandwidth == pytest.approx(4.4, abs=0.05)


@pytest.mark.parametrize(
    ("device", "expected"),
    [
        ("NVIDIA H100 80GB HBM3", "h100-sxm"),
        ("NVIDIA H100 PCIe", "h100-pcie"),
        ("NVIDIA H200", "h200"),
        ("NVIDIA A100-SXM4-80GB", "a100"),
        ("NVIDIA L40S", "l40s"),
        ("NVIDIA RTX A6000", "a6000"),
    ],
)
def test_devices_are_recognised(device: str, expected: str) -> None:
    found = gpu_of_device(device)
    assert found is not None and found.id == expected


@pytest.mark.parametrize(
    "device", ["NVIDIA GH200 480GB", "NVIDIA H100 NVL", "NVIDIA RTX 6000 Ada", "NVIDIA L40", "cpu"]
)
def test_other_devices_are_not_mistaken_for_one(device: str) -> None:
    assert gpu_of_device(device) is None


def test_an_unknown_gpu_is_answered_with_the_nearest() -> None:
    with pytest.raises(InputError, match="Did you mean 'h100-sxm'"):
        find_gpu("h100-sx")
    with pytest.raises(InputError, match="Did you mean 'h100-sxm' or 'h100-pcie'"):
        find_gpu("H100")
    with pytest.raises(InputError, match="Known"):
        find_gpu("")


@pytest.mark.parametrize("name", ["A6000", "RTX A6000", "rtx_a6000", "NVIDIA RTX A6000"])
def test_a_gpu_is_known_by_all_its_names(name: str) -> None:
    assert find_gpu(name).id == "a6000"


def test_every_gpu_has_a_dated_price_with_a_source() -> None:
    prices = read_prices()
    assert all(price_of(one, prices) for one in gpus().values())
    assert all(one.source and one.date for one in prices)


def test_a_price_is_the_median_of_on_demand_offers(tmp_path: Path) -> None:
    rows = [ROW | {"usd_per_hour": value} for value in (1.0, 3.0, 4.0)]
    rows.append(ROW | {"usd_per_hour": 0.1, "tier": "spot"})
    path = tmp_path / "prices.json"
    path.write_text(json.dumps(rows))
    prices = read_prices(path)
    found = price_of(find_gpu("a6000"), prices)
    assert found is not None and found[0] == 3.0 and "here 4" in found[1]
    assert price_of(find_gpu("h200"), prices) is None


def test_all_faults_of_a_price_file_are_listed(tmp_path: Path) -> None:
    path = tmp_path / "prices.json"
    rows = [ROW | {"usd_per_hour": 0}, ROW | {"gpu": "a60000"}, ROW | {"date": "soon"}, ROW]
    path.write_text(json.dumps(rows))
    with pytest.raises(InputError) as error:
        read_prices(path)
    text = str(error.value)
    assert "price 1: usd_per_hour" in text and "price 2: unknown GPU" in text
    assert "price 3: date" in text and "price 4" not in text and str(path) in text
    path.write_text("{}")
    with pytest.raises(InputError, match="list of prices"):
        read_prices(path)
