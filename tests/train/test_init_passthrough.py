"""The start of a network that brings frames down inside: the picture goes through whole."""

import numpy as np
import pytest
import torch
from torch import Tensor

from edvr_cli.network.edvr import EDVR, EDVRConfig
from edvr_cli.train.alignment import prepare
from edvr_cli.train.init_passthrough import let_picture_through
from edvr_cli.train.synthetic_pictures import line_art


def detail(y: Tensor) -> Tensor:
    """What a 5×5 mean leaves out."""
    return (y - torch.nn.functional.avg_pool2d(y[None, None], 5, 1, 2)[0, 0])[4:-4, 4:-4].flatten()


@pytest.mark.parametrize("tsa", [False, True])
def test_the_detail_of_a_frame_arrives_at_full_size(tsa):
    """Down to a quarter, through alignment and fusion, and up again; the output is the frame itself."""
    torch.manual_seed(0)
    window = torch.from_numpy(line_art(np.random.default_rng(0), 64)).float().expand(1, 5, -1, -1, -1) / 255
    config = EDVRConfig(features=24, tail=16, extraction_blocks=1, reconstruction_blocks=1, predeblur=True, hr_in=True)
    arrived = {}
    for start in ("random", "through"):
        model = EDVR(EDVRConfig(**{**config.__dict__, "tsa": tsa})).eval()
        if start == "through":
            let_picture_through(model)
            prepare(model, window)
        found: list[Tensor] = []
        model.upconv2.register_forward_hook(lambda _module, _inputs, output, found=found: found.append(output))
        with torch.no_grad():
            output = model(window)
        pair = torch.stack((detail(found[0][0, 0]), detail(window[0, 2].mean(dim=0))))
        arrived[start] = float(torch.corrcoef(pair)[0, 1])
    assert torch.equal(output, window[:, 2])
    assert arrived["through"] > 0.15
    assert arrived["through"] > 3 * abs(arrived["random"])


def test_networks_without_such_a_way_stay_as_they_are():
    """Super-resolution works at its input's size; few channels cannot hold sixteen pixels."""
    for config in (EDVRConfig(features=24), EDVRConfig(features=16, predeblur=True, hr_in=True)):
        model = EDVR(config)
        before = {name: value.clone() for name, value in model.state_dict().items()}
        let_picture_through(model)
        assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
