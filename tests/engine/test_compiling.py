"""The compiled tower gives the features of the plain one."""

import pytest
import torch

from cssa_mm.engine.compiling import compile_tower
from cssa_mm.errors import ConfigError


def test_the_compiled_tower_gives_the_same_features(make_model):
    images = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    plain, compiled = make_model().eval(), make_model().eval()
    calls = []

    def backend(graph, inputs):
        calls.append(len(inputs))
        return graph.forward

    compile_tower(compiled, dict(backend=backend))
    assert calls
    for found, expected in zip(compiled.backbone(images), plain.backbone(images), strict=True):
        assert torch.allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert compiled.state_dict().keys() == plain.state_dict().keys()


def test_what_cannot_be_compiled_is_refused_in_one_line(make_model):
    with pytest.raises(ConfigError, match=r"compile: found \{'backend': 'nonsense'\}, which fails here") as error:
        compile_tower(make_model(), dict(backend='nonsense'))
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('option', [None, False])
def test_nothing_is_compiled_unless_it_is_asked_for(make_model, option):
    model = make_model()
    compile_tower(model, option)
    assert 'forward' not in vars(model.backbone)
