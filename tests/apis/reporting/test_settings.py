import pytest
from mmengine.config import Config

from cssa_mm.apis.reporting.settings import LONGEST, config_text, without_paths


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('/home/anna/photos/labels.csv', 'labels.csv'),
        ('~/photos', 'photos'),
        ('C:\\Users\\anna\\photos', 'photos'),
        ('ViT-B-32:/home/anna/weights.pt', 'ViT-B-32:weights.pt'),
        ('see /home/anna/x/notes.txt, please', 'see notes.txt, please'),
        ('file:///home/anna/x.csv', 'x.csv'),
        ('s3://bucket/photos/1.jpg', 's3://bucket/photos/1.jpg'),
        ('data/icons/', 'data/icons/'),
        ('ema/mAP', 'ema/mAP'),
        ('https://example.org/a/b.pt', 'https://example.org/a/b.pt'),
        ('a photo of a', 'a photo of a'),
    ],
)
def test_absolute_paths_are_cut_to_their_last_part(text, expected):
    assert without_paths(text) == expected


def test_the_config_is_shown_as_it_is_but_for_paths():
    config = Config(
        dict(model=dict(names=['a', 'b'], pretrained='/home/anna/w.pt'), hooks=[dict(a=1), dict(b=None)], x=2)
    )
    namespace = {}
    exec(config_text(config), namespace)  # it is a config
    assert namespace['model'] == dict(names=['a', 'b'], pretrained='w.pt')
    assert namespace['hooks'] == [dict(a=1), dict(b=None)]
    assert namespace['x'] == 2


def test_an_enormous_config_is_cut_short():
    text = config_text(Config(dict(names=['x' * 100] * 4000)))
    assert len(text) < LONGEST + 100
    assert text.endswith('more characters')
