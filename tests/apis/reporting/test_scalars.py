import json

from cssa_mm.apis.reporting.scalars import curves_of, read_scalars


def write(folder, start, rows):
    path = folder / start / 'vis_data' / 'scalars.json'
    path.parent.mkdir(parents=True)
    path.write_text('\n'.join(row if isinstance(row, str) else json.dumps(row) for row in rows))


def step(epoch, **losses):
    return dict(epoch=epoch, iter=10 * epoch, step=10 * epoch, **losses)


def test_a_resumed_run_takes_the_place_of_what_it_does_again_and_a_test_counts_for_nothing(tmp_path):
    write(tmp_path, '1', [step(1, loss=4.0), step(2, loss=3.0), {'ema/mAP': 50.0, 'step': 2}, step(3, loss=9.0)])
    write(tmp_path, '2', [step(3, loss=2.0), {'ema/mAP': 60.0, 'step': 3}, '{"epoch": 4, "lo'])
    write(tmp_path, '3', [{'ema/mAP': 99.0, 'step': 0}])
    (loss,) = (curves := curves_of(read_scalars(tmp_path)))['loss']
    assert (loss.epochs, loss.values) == ((1.0, 2.0, 3.0), (4.0, 3.0, 2.0))
    (teacher,) = curves['mAP']
    assert (teacher.name, teacher.epochs, teacher.values) == ('EMA teacher', (2.0, 3.0), (50.0, 60.0))


def test_a_run_that_goes_on_within_an_epoch_keeps_what_was_logged_of_it(tmp_path):
    rows = [dict(epoch=2, step=number, loss=float(number)) for number in range(10, 16)]
    write(tmp_path, '1', rows[:5])
    write(tmp_path, '2', rows[3:])
    assert [row['step'] for row in read_scalars(tmp_path).steps] == list(range(10, 16))


def test_a_run_that_starts_anew_forgets_the_one_before(tmp_path):
    write(tmp_path, '1', [step(1, loss=4.0), step(2, loss=3.0), {'ema/mAP': 50.0, 'step': 2}])
    write(tmp_path, '2', [step(1, loss=7.0)])
    curves = curves_of(read_scalars(tmp_path))
    assert curves['loss'][0].values == (7.0,)
    assert 'mAP' not in curves


def test_losses_are_parts_by_epoch_and_the_student_has_a_curve_of_its_own(tmp_path):
    rows = [step(1, loss=3.0, loss_labelled=1.0, loss_context_labelled=2.0), step(1, loss=5.0, loss_labelled=3.0)]
    write(tmp_path, '1', [*rows, {'ema/mAP': 50.0, 'student/mAP': 40.0, 'ema/CF1': 30.0, 'ema/AP/cat': 1.0, 'step': 1}])
    curves = curves_of(read_scalars(tmp_path))
    assert {curve.name: curve.values for curve in curves['loss']} == {'labelled': (2.0,), 'context_labelled': (2.0,)}
    assert {curve.name: curve.values for curve in curves['mAP']} == {'EMA teacher': (50.0,), 'student': (40.0,)}
    assert list(curves) == ['mAP', 'CF1', 'loss']


def test_what_is_no_number_is_left_out(tmp_path):
    write(tmp_path, '1', [step(1, loss=4.0), step(2, loss=None), dict(epoch='x', step=3, loss=1.0)])
    (loss,) = curves_of(read_scalars(tmp_path))['loss']
    assert (loss.epochs, loss.values) == ((1.0,), (4.0,))


def test_a_folder_without_logs_has_no_curves(tmp_path):
    assert curves_of(read_scalars(tmp_path)) == {}
