"""Versions that don't work together are known by the installed distributions."""

import pytest

from cssa_mm.apis.known_pairs import bad_pairs, installed_versions

GOOD = {
    'torch': '2.13.0+cpu',
    'torchvision': '0.28.0',
    'mmpretrain': '1.2.0',
    'mmcv-lite': '2.2.0',
    'setuptools': '81.0.0',
    'opencv-python': '5.0.0.93',
}


def test_the_pinned_versions_are_good():
    assert bad_pairs(GOOD) == []
    assert bad_pairs(dict(GOOD, torch='2.6.0', torchvision='0.21.0')) == []
    assert bad_pairs({}) == []
    assert {'torch', 'numpy', 'setuptools'} <= installed_versions().keys()


@pytest.mark.parametrize(
    ('changed', 'words', 'is_fatal'),
    [
        ({'onedl-mmpretrain': '1.3.6'}, 'mmpretrain and onedl-mmpretrain', True),
        ({'mmcv': '2.1.0'}, 'mmcv and mmcv-lite', False),
        ({'torchvision': '0.27.1'}, 'torchvision of another torch', False),
        ({'torchvision': '0.29.0'}, 'torchvision of another torch', False),
        ({'setuptools': '84.0.0'}, 'without pkg_resources', False),
        ({'opencv-python-headless': '4.14.0'}, 'several builds of OpenCV', False),
        ({'openmim': '0.3.9'}, 'openmim', False),
    ],
)
def test_a_bad_pair_is_found_alone(changed, words, is_fatal):
    (pair,) = bad_pairs(GOOD | changed)
    assert words in pair.found
    assert pair.is_fatal is is_fatal
    assert 'pip' in pair.remedy


def test_the_living_family_needs_no_pkg_resources():
    versions = {name: version for name, version in GOOD.items() if not name.startswith('mm')}
    assert bad_pairs(versions | {'onedl-mmpretrain': '1.3.6', 'setuptools': '84.0.0'}) == []
