"""Both precisions of a CPU for every test that asks for one."""

import pytest
import torch


@pytest.fixture(params=[torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def dtype(request):
    return request.param
