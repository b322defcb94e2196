import json

from cssa_mm.demo.curves import pseudo_label_records, validation_curve


def write(path, lines):
    path.parent.mkdir(parents=True)
    path.write_text(''.join(json.dumps(line) + '\n' for line in lines))


def test_the_curve_is_that_of_the_newest_training_and_not_of_the_test_after_it(tmp_path):
    old = [dict(loss=1.0, iter=10), {'ema/mAP': 1.0, 'step': 1}]
    new = [
        dict(loss=1.0, iter=10),
        dict(loss=1.0, iter=20),
        {'ema/mAP': 50.0, 'student/mAP': 40.0, 'step': 20},
        dict(loss=1.0, iter=30),
        {'ema/mAP': 60.0, 'student/mAP': 70.0, 'step': 30},
    ]
    write(tmp_path / '20240101' / 'vis_data' / 'scalars.json', old)
    write(tmp_path / '20240102' / 'vis_data' / 'scalars.json', new)
    write(tmp_path / '20240103' / 'vis_data' / 'scalars.json', [{'ema/mAP': 99.0, 'step': 0}])
    assert validation_curve(tmp_path) == [(20, 50.0), (30, 60.0)]
    assert validation_curve(tmp_path, 'student/mAP') == [(20, 40.0), (30, 70.0)]


def test_without_a_run_there_is_no_curve_and_no_record(tmp_path):
    assert validation_curve(tmp_path) == []
    assert pseudo_label_records(tmp_path) == []


def test_the_records_are_the_lines_of_the_file(tmp_path):
    (tmp_path / 'pseudo_labels.jsonl').write_text('{"epoch": 3}\n{"epoch": 4}\n')
    assert pseudo_label_records(tmp_path) == [dict(epoch=3), dict(epoch=4)]
