import dataclasses
import re

from cssa_mm.visualization.pages.comparison_page import cells, render_comparison
from cssa_mm.visualization.pages.report_data import Curve, Report


def test_runs_stand_side_by_side_with_the_best_in_bold_and_differences_to_the_first(make_report):
    first = make_report()
    second = dataclasses.replace(first, title='other', metrics=dict(first.metrics, mAP=0.8, ECE=0.03))
    text = render_comparison([first, second])
    row = re.search(r'<th scope="row">mAP (.*?)</tr>', text, re.S).group(1)
    assert re.findall(r'class="number( best)?"[^>]*>([\d.]+)', row) == [('', '78.1'), (' best', '80.0')]
    assert '+1.9' in row
    assert '<b>' not in text
    assert '1 run &lt;1&gt;' in text
    assert '2 other' in text
    assert 'their figures cannot be compared' not in text


def test_of_an_error_the_smaller_is_the_better_and_equal_figures_have_no_best():
    assert [cell.is_best for cell in cells([0.02, 0.03, float('nan')], larger_is_better=False)] == [True, False, False]
    assert [cell.is_best for cell in cells([0.5, 0.50001])] == [False, False]
    assert [cell.difference for cell in cells([0.5, 0.25, float('nan')])] == ['', '-25.0', '']


def test_a_panel_has_the_same_curve_of_every_run(make_report):
    loss = Curve('labelled', (1.0, 2.0), (3.0, 2.0))
    other = dict(make_report().curves, loss=(Curve('context', (1.0,), (9.0,)), loss))
    text = render_comparison([make_report(), make_report(curves=other)])
    assert re.findall('<h3>(.*?)</h3>', text) == ['mAP', 'loss (labelled)']


def test_what_makes_runs_incomparable_is_said(make_report):
    first = make_report()
    other = dataclasses.replace(first, split=(('rule', 'cap'), ('hash of the test images', 'ffff')))
    text = render_comparison([first, other])
    assert 'The runs were tested on different images' in text
    assert '<td class=best>ffff</td>' in text


def test_runs_that_left_nothing_have_a_page_that_says_why(make_report):
    text = render_comparison([make_report(), Report('killed', 'cssa_mm', missing=dict(scores='It has no checkpoint.'))])
    assert '2 killed: It has no checkpoint.' in text
    assert len(render_comparison([Report('a', 'b'), Report('c', 'd')])) > 1000
