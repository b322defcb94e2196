import re

from cssa_mm.visualization.pages.charts import contexts_chart, curves_chart, pseudo_label_chart, zero_shot_chart


def charts_of(report):
    return [
        curves_chart('mAP', report.curves['mAP'], 'per cent'),
        curves_chart('loss', report.curves['loss']),
        pseudo_label_chart(report.pseudo_labels),
        zero_shot_chart(report.classes),
        contexts_chart(report.contexts),
    ]


def test_the_same_values_give_the_same_bytes(make_report):
    assert charts_of(make_report()) == charts_of(make_report())


def test_no_two_charts_of_a_page_share_an_id_and_every_reference_has_its_own(make_report):
    seen = set()
    for text in charts_of(make_report()):
        ids = re.findall(r'\bid="([^"]+)"', text)
        assert len(ids) == len(set(ids))
        assert not seen & set(ids)
        seen |= set(ids)
        assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', text)) <= set(ids)


def test_charts_take_the_colours_of_the_page_and_say_what_they_show(make_report):
    for text in charts_of(make_report()):
        assert '#000000' not in text
        assert '#1f2430' not in text
        assert 'currentColor' in text
        assert re.match(r'<svg viewBox="[\d. ]+" role="img" aria-label="[^"]+"', text)
        assert '<metadata' not in text


def test_names_are_texts_that_are_neither_mathematics_nor_markup(make_report):
    text = zero_shot_chart(make_report().classes)
    assert '>$x_1$<' in text
    assert '&lt;b&gt;' in text
    assert '_hidden' in text


def test_of_many_classes_those_that_changed_most_are_shown(make_report):
    classes = make_report(300).classes
    text = zero_shot_chart(classes)
    largest = max(classes, key=lambda row: abs(row.ap - row.zero_shot_ap))
    assert f'>{largest.name}<' in text
    assert len(re.findall(r'>class \d+<', text)) <= 40
