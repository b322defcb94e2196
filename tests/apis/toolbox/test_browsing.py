"""Names of pictures."""

from cssa_mm.apis.toolbox.browsing import FreeNames


def test_no_picture_overwrites_another():
    name = FreeNames()
    paths = ['a/1.jpg', 'b/1.jpg', 'c/1_2.jpg', 'd/1.JPG', 'e/2.jpg']
    assert [name(path) for path in paths] == ['1.jpg', '1_2.jpg', '1_2_2.jpg', '1_3.JPG', '2.jpg']
