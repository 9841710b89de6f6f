import threading

import pytest
import torch

from libra_bench.metrics.neural import side_by_side


def threads_of_a_new_thread() -> int:
    found: list[int] = []
    asked = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    asked.start()
    asked.join()
    return found[0]


def test_results_come_in_order_and_torch_keeps_its_threads() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert list(side_by_side(lambda item: item * 2, range(50))) == list(range(0, 100, 2))
        assert (torch.get_num_threads(), threads_of_a_new_thread()) == (2, 2)
        with pytest.raises(ZeroDivisionError):
            list(side_by_side(lambda item: 1 // item, [1, 0]))
        assert threads_of_a_new_thread() == 2
    finally:
        torch.set_num_threads(before)
