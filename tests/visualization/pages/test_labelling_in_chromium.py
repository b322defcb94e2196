"""The labelling page as people use it: by keyboard, on a phone, after a reload, and where the browser keeps nothing.

It runs where playwright and Chromium are installed: `pip install playwright` and the distribution's chromium.
"""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cssa_mm.datasets.images.thumbnails import thumbnail
from cssa_mm.datasets.table import TableDataset
from cssa_mm.visualization.pages.labelling import LabelPhoto, labelling_page

pytestmark = pytest.mark.cli
WIDE = dict(viewport=dict(width=1400, height=900))
PHONE = dict(viewport=dict(width=390, height=844), is_mobile=True, has_touch=True)
CLASSES = ['dog', 'cat, grey', 'red "bicycle"', '<b>&amp;</b>', 'fold', 'zebra']
NAMES = ['a.jpg', 'b c.jpg', 'd,e.jpg', 'sub/f.jpg', 'ü"g.jpg']


@pytest.fixture(scope='module')
def project(tmp_path_factory) -> Path:
    """Five photos, and a page that predicts the first class for the first photo, the second for the second, ..."""
    root = tmp_path_factory.mktemp('project')
    photos = []
    for number, name in enumerate(NAMES):
        pixels = np.full((90, 120, 3), 40 * number + 20, np.uint8)
        path = root / 'images' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
        scores = np.linspace(0.1, 0.9, len(CLASSES))
        photos.append(LabelPhoto(name, thumbnail(pixels, 10**5), [number], scores.tolist(), f'in doubt: {CLASSES[0]}'))
    (root / 'label.html').write_text(labelling_page(photos, CLASSES, model='model.pth', notes=['a note']), 'utf-8')
    (root / 'classes.txt').write_text(''.join(f'{name}\n' for name in CLASSES), 'utf-8')
    others = labelling_page(photos, [*CLASSES[:-1], 'horse'])
    (root / 'other.html').write_text(others, 'utf-8')
    return root


@pytest.fixture
def opened(chromium, project):
    """opened(**options of a context) -> the page; at the end nothing was logged and nothing was asked for."""
    contexts, wrong = [], []

    def call(name='label.html', context=None, script=None, **options):
        if context is None:
            context = chromium.new_context(**options)
            contexts.append(context)
        if script:
            context.add_init_script(script)
        page = context.new_page()
        page.on('console', lambda message: wrong.append(message.text))
        page.on('pageerror', lambda error: wrong.append(str(error)))
        page.on('request', lambda request: wrong.append(request.url[:80]) if request.url.startswith('http') else None)
        page.goto((project / name).as_uri())
        return page

    yield call
    for context in contexts:
        context.close()
    assert wrong == []


def press(page, *keys):
    for key in keys:
        page.keyboard.press(key)


def chosen(page) -> list[str]:
    return page.eval_on_selector_all('.class[aria-pressed="true"] .label', 'all => all.map((one) => one.textContent)')


def saved(page, project, tmp_path) -> dict[str, list[str]]:
    """Photo -> its classes, as our own reader reads the download."""
    with page.expect_download() as download:
        page.keyboard.press('s')
    assert download.value.suggested_filename == 'labels.csv'
    root = tmp_path / 'read'
    shutil.copytree(project, root, dirs_exist_ok=True)
    download.value.save_as(root / 'labels.csv')
    data = TableDataset(data_root=str(root), ann_file='labels.csv', include_unlisted=False)
    assert (data.labels >= 0).all()
    rows = zip(data.image_ids, data.labels, strict=True)
    return {image: [data.class_names[c] for c in np.flatnonzero(row == 1)] for image, row in rows}


def test_three_photos_are_labelled_by_keyboard_survive_a_reload_and_are_read_back_equal(opened, project, tmp_path):
    page = opened(**WIDE, accept_downloads=True)
    assert chosen(page) == ['dog']
    assert page.inner_text('#state') == 'Predicted by model.pth, not confirmed'
    assert page.locator('.class.predicted').count() == 1
    press(page, '2', '4', 'Enter')  # the first photo: dog is right, two more
    press(page, '2', 'Enter')  # the second one: what was predicted is wrong, and nothing else is there
    press(page, 'ArrowRight', '1', 'Enter')  # the third one is left, the fourth has a class more
    page.reload()
    assert page.inner_text('#progress') == '3 of 5 confirmed, not saved'
    assert page.inner_text('#place') == '3 of 5'
    expected = {NAMES[0]: [CLASSES[0], CLASSES[1], CLASSES[3]], NAMES[1]: [], NAMES[3]: [CLASSES[0], CLASSES[3]]}
    assert saved(page, project, tmp_path) == expected
    assert page.inner_text('#progress') == '3 of 5 confirmed'
    press(page, 'ArrowLeft', 'ArrowLeft')
    assert page.inner_text('#state') == 'Confirmed'
    assert page.locator('.class.predicted').count() == 0


def test_a_changed_photo_that_is_not_confirmed_is_kept_and_not_saved(opened, project, tmp_path):
    page = opened(**WIDE, accept_downloads=True)
    press(page, 'Enter', '6')
    page.reload()
    press(page, 'ArrowLeft', 'ArrowRight')
    assert chosen(page) == [CLASSES[1], CLASSES[5]]
    assert page.inner_text('#state').startswith('Changed, not confirmed')
    assert saved(page, project, tmp_path) == {NAMES[0]: [CLASSES[0]]}
    assert '1 photo changed but not confirmed' in page.inner_text('#said')


def test_undo_goes_back_step_by_step(opened):
    page = opened(**WIDE)
    press(page, '3', 'Enter', '1', 'z')
    assert chosen(page) == [CLASSES[1]]
    press(page, 'z')
    assert (page.inner_text('#place'), page.inner_text('#progress')) == ('1 of 5', '0 of 5 confirmed')
    assert chosen(page) == [CLASSES[0], CLASSES[2]]
    press(page, 'Control+z')
    assert chosen(page) == [CLASSES[0]]
    assert page.locator('#undo').is_disabled()


def test_a_class_is_found_by_search(opened):
    page = opened(**WIDE)
    press(page, '/')
    page.keyboard.type('e')  # the classes that begin so come first, and none does
    page.keyboard.type('b')
    assert page.locator('.class:visible').count() == 1
    press(page, 'Enter')
    assert chosen(page) == ['dog', 'zebra']
    assert page.locator('.class:visible').count() == 6
    press(page, '/')
    page.keyboard.type('no such')
    assert page.locator('#no-class').is_visible()
    press(page, 'Escape', '1')
    assert chosen(page) == ['zebra']


def test_a_click_leaves_enter_to_confirm(opened):
    page = opened(**WIDE)
    page.click('.class >> nth=1')
    press(page, 'Enter')
    assert page.inner_text('#progress').startswith('1 of 5 confirmed')
    press(page, 'ArrowLeft')
    assert chosen(page) == CLASSES[:2]


def test_what_is_kept_belongs_to_the_project(opened):
    page = opened(**WIDE)
    press(page, 'Enter')
    other = opened('other.html', context=page.context)
    assert other.inner_text('#progress') == '0 of 5 confirmed'
    same = opened(context=page.context)
    assert same.inner_text('#progress') == '1 of 5 confirmed, not saved'
    press(same, 'Enter')
    page.wait_for_function("document.getElementById('progress').textContent.startsWith('2 of 5')")
    assert 'another tab' in page.inner_text('#said')


def test_nothing_is_lost_in_silence_where_the_browser_keeps_nothing(opened):
    full = "Storage.prototype.setItem = () => { throw new DOMException('full', 'QuotaExceededError'); };"
    page = opened(**WIDE, script=full)
    assert 'This browser keeps nothing (QuotaExceededError)' in page.inner_text('#warning')
    press(page, 'Enter')
    assert page.locator('#warning').is_visible()
    asked, other = [], page.context.new_page()
    page.on('dialog', lambda dialog: (asked.append(dialog.type), dialog.accept()))
    page.close(run_before_unload=True)
    other.wait_for_timeout(500)
    assert asked == ['beforeunload']


def test_what_cannot_be_read_is_put_aside(opened):
    page = opened(**WIDE)
    press(page, 'Enter')
    page.evaluate("localStorage.setItem(storageKey, '{broken')")
    page.reload()
    assert 'cannot be read' in page.inner_text('#warning')
    assert page.evaluate('localStorage.getItem(`${storageKey}-unreadable`)') == '{broken'


@pytest.mark.parametrize('scheme', ['light', 'dark'])
def test_the_phone_page_fits_and_is_labelled_by_taps_and_swipes(opened, scheme):
    page = opened(**PHONE, color_scheme=scheme)
    assert page.evaluate('document.documentElement.scrollWidth') <= 390
    page.tap('.class >> nth=2')
    assert chosen(page) == [CLASSES[0], CLASSES[2]]
    page.tap('#confirm')
    assert page.inner_text('#place') == '2 of 5'
    swipe = """(right) => { const touch = (x) => new Touch({identifier: 1, target: stage, clientX: x, clientY: 200});
      const stage = document.getElementById('stage');
      stage.dispatchEvent(new TouchEvent('touchstart', {touches: [touch(200)]}));
      stage.dispatchEvent(new TouchEvent('touchend', {changedTouches: [touch(200 + right)]})); }"""
    page.evaluate(swipe, -120)
    assert page.inner_text('#place') == '3 of 5'
    page.evaluate(swipe, 120)
    assert page.inner_text('#place') == '2 of 5'
    page.evaluate(swipe, 20)
    assert page.inner_text('#place') == '2 of 5'
    heights = page.eval_on_selector_all('.class, .steps button', 'all => all.map((one) => one.offsetHeight)')
    assert min(heights) >= 44


@pytest.mark.parametrize('scheme', ['light', 'dark'])
def test_texts_are_legible(opened, lowest_contrast, scheme):
    page = opened(**WIDE, color_scheme=scheme)
    for keys in ((), ('Enter', 'ArrowLeft'), ('3',)):
        press(page, *keys)
        contrast, text = lowest_contrast(page)
        assert contrast >= 4.5, text


def test_every_control_is_reached_by_tab(opened):
    page = opened(**WIDE)
    seen = []
    for _ in range(16):
        press(page, 'Tab')
        seen.append(page.evaluate('document.activeElement.id || document.activeElement.className'))
    assert [name for name in seen if name][:11] == [
        'show-keys',
        'save',
        'search',
        *['class predicted', *['class'] * 5],
        'previous',
        'confirm',
    ]
