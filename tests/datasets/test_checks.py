"""File names on the disk and in an annotation."""

import unicodedata

import pytest

from cssa_mm.datasets.checks import names_on_disk, refuse_missing_images

FORMS = [unicodedata.normalize(form, 'Café é.jpg') for form in ('NFC', 'NFD')]


@pytest.mark.parametrize('stored', FORMS)
@pytest.mark.parametrize('written', FORMS)
def test_names_are_found_in_the_other_unicode_form(tmp_path, stored, written):
    (tmp_path / stored).touch()
    (tmp_path / 'a.jpg').touch()
    found = names_on_disk([str(tmp_path / written), str(tmp_path / 'a.jpg')])
    assert found == [str(tmp_path / stored), str(tmp_path / 'a.jpg')]
    refuse_missing_images(found)


def test_names_that_are_nowhere_stay_as_they_are_written(tmp_path):
    paths = [str(tmp_path / FORMS[1]), f's3://bucket/{FORMS[0]}', str(tmp_path / 'no' / FORMS[0])]
    assert names_on_disk(paths) == paths
