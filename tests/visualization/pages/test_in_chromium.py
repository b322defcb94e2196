"""The pages in a real browser; skipped where Chromium or playwright is missing."""

import pytest

from cssa_mm.visualization.pages.comparison_page import render_comparison
from cssa_mm.visualization.pages.report_page import render_report

VIEWS = {
    'desktop': dict(viewport=dict(width=1400, height=900)),
    'phone': dict(viewport=dict(width=390, height=844), is_mobile=True, has_touch=True),
    'dark': dict(viewport=dict(width=1400, height=900), color_scheme='dark'),
}
TIMEOUT = 120_000  # milliseconds, on a machine that is busy


@pytest.fixture
def open_page(chromium, tmp_path):
    """open_page(text, view) -> the page, and what it complained of and asked for, as lists that grow."""
    contexts = []

    def open_(text: str, view: str):
        path = tmp_path / 'page.html'
        path.write_text(text, encoding='utf-8')
        context = chromium.new_context(**VIEWS[view])
        contexts.append(context)
        context.set_default_timeout(TIMEOUT)
        page = context.new_page()
        complaints, requests = [], []
        page.on('console', lambda message: complaints.append(message.text))
        page.on('pageerror', lambda error: complaints.append(str(error)))
        page.on('request', lambda request: requests.append(request.url))
        page.goto(path.as_uri())
        return page, complaints, requests

    yield open_
    for context in contexts:
        context.close()


def first_names(page) -> list[str]:
    return page.eval_on_selector_all('#class-table tbody th', 'heads => heads.map(head => head.textContent)')


@pytest.mark.parametrize('view', VIEWS)
def test_a_report_opens_without_complaint_or_request_is_legible_and_fits(open_page, make_report, lowest_contrast, view):
    page, complaints, requests = open_page(render_report(make_report()), view)
    assert page.evaluate('document.documentElement.scrollWidth') <= VIEWS[view]['viewport']['width']
    assert complaints == []
    contrast, text = lowest_contrast(page)
    assert contrast >= 4.5, text
    assert [url for url in requests if not url.startswith(('file:', 'data:'))] == []
    paper, ink = page.evaluate(
        '[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]'
    )
    assert (sum(map(int, paper[4:-1].split(','))) < sum(map(int, ink[4:-1].split(',')))) == (view == 'dark')


def test_the_keyboard_sorts_the_table_and_filters_find_classes_and_images(open_page, make_report):
    report = make_report()
    page, complaints, _ = open_page(render_report(report), 'desktop')
    head = page.locator('#class-table thead th', has_text='AP').first
    head.locator('button').focus()
    page.keyboard.press('Enter')
    assert first_names(page) == [row.name for row in sorted(report.classes, key=lambda row: -row.ap)]
    assert head.get_attribute('aria-sort') == 'descending'
    page.keyboard.press('Enter')
    assert first_names(page) == [row.name for row in sorted(report.classes, key=lambda row: row.ap)]

    page.fill('#class-filter', 'LIGHT')
    assert page.locator('#class-table tbody tr:visible').count() == 1
    pictures = page.locator('#gallery .pictures > li:visible')
    assert pictures.count() == 2
    page.select_option('#kind-filter', 'best')
    assert pictures.count() == 1
    page.select_option('#label-filter', '<b>&"\'</script>')
    assert pictures.count() == 0
    page.select_option('#kind-filter', '')
    assert pictures.count() == 1

    page.locator('[data-overlay]').click()
    assert page.locator('.frame .overlay').count() == 1
    page.locator('[data-overlay]').click()
    assert page.locator('.frame .overlay').count() == 0
    assert complaints == []


def test_runs_side_by_side_open_without_complaint_and_are_legible(open_page, make_report, lowest_contrast):
    page, complaints, _ = open_page(render_comparison([make_report(), make_report(title='other')]), 'phone')
    assert page.evaluate('document.documentElement.scrollWidth') <= 390
    page.locator('#class-table thead button').last.click()
    for scheme in ('light', 'dark'):
        page.emulate_media(color_scheme=scheme)
        contrast, text = lowest_contrast(page)
        assert contrast >= 4.5, text
    assert complaints == []
