import dataclasses
import math
import re

import pytest

from cssa_mm.visualization.pages.report_data import PARTS, ClassRow, PseudoLabelEpoch, Report
from cssa_mm.visualization.pages.report_page import gain_in_words, number, render_report


def cells(text: str, name: str) -> list[str]:
    """The cells of the row of a class."""
    row = re.search(rf'<th scope="row">{re.escape(name)}</th>(.*?)</tr>', text, re.S).group(1)
    return re.findall(r'<td[^>]*>(.*?)</td>', row)


def test_names_of_classes_images_and_settings_are_escaped(make_report):
    text = render_report(make_report())
    assert '<b>' not in text
    assert text.count('</script>') == 1  # of the page's own
    assert '&lt;b&gt;&amp;&#34;&#39;&lt;/script&gt;.jpg' in text
    assert '<title>run &lt;1&gt; - report</title>' in text


def test_the_table_shows_every_figure_of_a_class_in_per_cent(make_report):
    text = render_report(make_report())
    row = make_report().classes[3]
    found = cells(text, 'traffic light')
    expected = [100 * value for value in (row.ap, row.zero_shot_ap, row.precision, row.recall)]
    assert [found[0], found[1], found[3], found[4]] == [f'{value:.1f}' for value in expected]
    assert found[2] == f'{100 * (row.ap - row.zero_shot_ap):+.1f}'
    assert found[5] == f'{100 * row.threshold:.1f}'
    assert found[7:9] == ['9', '4']  # test images and labelled images
    assert f'data-value="{row.ap:.6g}"' in text


def test_a_figure_that_does_not_exist_is_a_dash_and_sorts_last(make_report):
    nan = math.nan
    row = ClassRow('never', None, 0, nan, 0.5, nan, nan, nan, '', nan, nan, nan)
    text = render_report(make_report(classes=(row,)))
    found = cells(text, 'never')
    assert found[0] == found[2] == found[5] == '–'
    assert 'pseudo recall' not in text
    assert 'data-value=""' in text
    assert 'nan' not in re.sub(r'base64,[^"]*', '', text)


def test_a_threshold_that_leans_on_other_classes_has_a_star(make_report):
    rows = make_report().classes
    assert 'Thresholds with a star' not in render_report(make_report())
    rows = (dataclasses.replace(rows[0], name='few', source='pooled', threshold=0.25), *rows[1:])
    text = render_report(make_report(classes=rows))
    assert cells(text, 'few')[5] == '25.0*'
    assert 'Thresholds with a star' in text


def test_the_gain_is_paired_by_class():
    rows = [
        ClassRow(str(c), 1, 1, ap, before, *[0.5] * 3, 'own', *[0.5] * 3)
        for c, (ap, before) in enumerate([(0.8, 0.5), (0.6, 0.7), (math.nan, 0.2)])
    ]
    assert gain_in_words(Report('a', 'b', classes=tuple(rows))) == (
        'Paired by class, average precision changes by +10.0 ± 20.0 (standard error over classes): 1 of 2 classes '
        'gain, 1 lose.'
    )


@pytest.mark.parametrize('part', PARTS)
def test_a_part_that_a_run_lacks_is_said_in_its_place(make_report, part):
    empty = dict(
        scores=dict(classes=(), pictures=(), error_pairs=(), metrics={}),
        curves=dict(curves={}),
        pseudo_labels=dict(pseudo_labels=()),
        contexts=dict(contexts=None),
        suspects=dict(suspects=()),
        split=dict(split=()),
    )[part]
    text = render_report(make_report(**empty, missing={part: f'No {part}: killed & gone.'}))
    assert f'No {part}: killed &amp; gone.' in text


def test_a_run_that_left_nothing_has_a_page():
    text = render_report(Report('killed', 'cssa_mm', missing=dict.fromkeys(PARTS, 'It was killed.')))
    assert text.count('It was killed.') >= len(PARTS)
    assert 'None' not in text


def test_pseudo_labels_whose_truth_nobody_knows_have_no_precision(make_report):
    nan = math.nan
    text = render_report(
        make_report(pseudo_labels=(PseudoLabelEpoch(1, nan, nan, 0.5), PseudoLabelEpoch(2, nan, nan, 0.25)))
    )
    assert 'Nobody knows the truth of the unlabelled images' in text
    assert 'masked share' in text


def test_a_page_of_a_thousand_classes_stays_under_five_megabytes(make_report):
    pictures = make_report().pictures * 48
    assert len(render_report(make_report(1000, pictures=pictures)).encode()) < 5e6


def test_a_page_names_no_other_place(make_report):
    text = render_report(make_report())
    assert set(re.findall(r'https?://[^"\s]+', text)) == set()
    assert not re.search(r'(?:src|href)="(?!data:|#)', text)


def test_numbers_are_written_for_readers():
    assert [number(value, 1) for value in (None, math.nan, 1234.56, -0.04)] == ['–', '–', '1,234.6', '-0.0']
