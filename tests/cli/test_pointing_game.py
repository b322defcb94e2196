"""The pointing game as a command, on six images in VOC's layout. Oracle: the maps again, image by image."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmpretrain.registry import MODELS
from PIL import Image

from cssa_mm.apis.pointing import play, pointing_game

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / 'shared'
CONFIG = ROOT / 'configs' / 'cssa_voc_p05.py'
# Width, height and the objects: names with boxes as VOC writes them, pixels from 1.
IMAGES = [
    (90, 60, [('dog', (1, 1, 45, 60)), ('person', None)]),
    (60, 90, [('dog', (20, 10, 60, 50)), ('cat', (1, 50, 30, 90))]),
    (64, 64, [('cat', (1, 1, 64, 64)), ('cat', (5, 5, 6, 6))]),
    (120, 50, [('sofa', None)]),
    (50, 50, [('dog', None), ('dog', (26, 1, 50, 50))]),
    (70, 64, [('tvmonitor', (30, 20, 60, 40))]),
]
TITLES = {'label attention': 'attention', 'cosine map of CLIP': 'cosine', 'dot-product map of CLIP': 'dot'}
CLASSES = {'dog': 'dog', 'cat': 'cat', 'tvmonitor': 'tv monitor'}

pytestmark = pytest.mark.cli


def write(root: Path, images: list) -> Path:
    rng = np.random.default_rng(0)
    for folder in ('Annotations', 'JPEGImages', 'ImageSets/Main'):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for number, (width, height, objects) in enumerate(images):
        pixels = rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((width, height)).save(root / 'JPEGImages' / f'{number}.jpg')
        lines = [f'<annotation><size><width>{width}</width><height>{height}</height></size>']
        for name, box in objects:
            corners = ''
            if box is not None:
                pairs = zip(('xmin', 'ymin', 'xmax', 'ymax'), box, strict=True)
                corners = '<bndbox>' + ''.join(f'<{key}>{value}</{key}>' for key, value in pairs) + '</bndbox>'
            lines.append(f'<object><name>{name}</name><difficult>0</difficult>{corners}</object>')
        (root / 'Annotations' / f'{number}.xml').write_text('\n'.join([*lines, '</annotation>']))
    for part in ('train', 'val'):
        (root / 'ImageSets' / 'Main' / f'{part}.txt').write_text('\n'.join(map(str, range(len(images)))))
    return root


@pytest.fixture(scope='module')
def voc(tmp_path_factory) -> Path:
    return write(tmp_path_factory.mktemp('voc'), IMAGES)


@pytest.fixture(scope='module')
def tower(clip_dir) -> list[str]:
    options = dict(model_name='tiny-rn', pretrained=clip_dir / 'tiny-rn.pt', config_dir=clip_dir)
    return [f'model.backbone.{key}={value}' for key, value in options.items()] + ['test_dataloader.num_workers=0']


@pytest.fixture(scope='module')
def game(quick_run, voc, tower, tmp_path_factory):
    """game(*arguments, options=()) -> the finished process of the command on the six images."""

    work_dir = tmp_path_factory.mktemp('work')

    def play(*arguments, checkpoint='none', data=voc, config=CONFIG, options=()):
        command = [
            'tools/pointing_game.py',
            config,
            checkpoint,
            '--data-root',
            data,
            '--work-dir',
            work_dir,
            *arguments,
        ]
        return quick_run(*command, '--cfg-options', *tower, *options)

    return play


def error_of(done) -> str:
    (line,) = [line for line in done.stderr.splitlines() if line.startswith('error: ')]
    assert done.returncode == 2
    return line


@torch.no_grad()
def points(voc: Path, backbone_config, checkpoint: str | None = None) -> dict[str, list[tuple]]:
    """For each method and image with boxes: the class, and where its map points, in pixels."""
    from cssa_mm.apis.config import load_config

    config = load_config(str(CONFIG))
    config.model.backbone = backbone_config()
    torch.manual_seed(1)  # the config's seed: 12 of the 16 context vectors start at random
    model = MODELS.build(config.model).eval()
    if checkpoint:
        model.load_state_dict(torch.load(checkpoint, weights_only=True)['state_dict'])
        for name, parameter in model.head.named_parameters():
            if parameter.requires_grad:
                parameter.copy_(dict(model.teacher.named_buffers())[name.replace('.', '__')])
    mean = 255 * torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(3, 1, 1)
    std = 255 * torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(3, 1, 1)
    found = {'attention': [], 'cosine': [], 'dot': []}
    for number, (width, height, objects) in enumerate(IMAGES):
        picture = Image.open(voc / 'JPEGImages' / f'{number}.jpg').resize((224, 224), Image.Resampling.BICUBIC)
        pixels = torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1).float()
        local = model.backbone(((pixels - mean) / std)[None])[0][0]
        for name in {name for name, box in objects if box is not None}:
            index = model.class_names.index(CLASSES[name])
            zero_shot = model.text_encoder.encode([f'a photo of a {CLASSES[name]}.'])[0]
            semantic = model.head.semantic_prompts(model.text_encoder)[index]
            unit = local / local.norm(dim=1, keepdim=True)
            for key, scores in (
                ('attention', unit @ semantic),
                ('cosine', unit @ zero_shot),
                ('dot', local @ zero_shot),
            ):
                row, column = divmod(int(scores[1:].argmax()), 7)  # token 0 is the global one
                found[key].append((number, name, (column + 0.5) * width / 7, (row + 0.5) * height / 7))
    return found


def is_hit(number: int, name: str, x: float, y: float) -> bool:
    boxes = [box for other, box in IMAGES[number][2] if other == name and box is not None]
    return any(left - 1 <= x <= right and top - 1 <= y <= bottom for left, top, right, bottom in boxes)


@pytest.mark.smoke
def test_the_shares_of_hits_are_those_of_maps_made_by_hand(game, voc, backbone_config, tmp_path):
    done = game('--out', tmp_path / 'new' / 'figures.json')
    assert done.returncode == 0, done.stderr[-2000:]
    report = json.loads((tmp_path / 'new' / 'figures.json').read_text())
    assert {title: entry['count'] for title, entry in report.items()} == {'cat': 2, 'dog': 3, 'tv monitor': 1, 'all': 6}
    for method, all_points in points(voc, backbone_config).items():
        for title, entry in report.items():
            mine = [point for point in all_points if title in ('all', CLASSES[point[1]])]
            assert entry[method]['hit'] == pytest.approx(np.mean([is_hit(*point) for point in mine])), (method, title)
    grid = [(i + 0.5) / 7 for i in range(7)]
    trials = [(number, name) for number, name, _, _ in points(voc, backbone_config)['dot']]
    cells = [is_hit(n, name, x * IMAGES[n][0], y * IMAGES[n][1]) for n, name in trials for x in grid for y in grid]
    assert report['all']['random']['hit'] == pytest.approx(np.mean(cells))
    centres = [is_hit(n, name, IMAGES[n][0] / 2, IMAGES[n][1] / 2) for n, name in trials]
    assert report['all']['centre']['hit'] == pytest.approx(np.mean(centres))
    assert len({entry['hit'] for entry in list(report['all'].values())[1:]}) > 2
    assert 'Left out, without boxes: aeroplane, bicycle,' in done.stdout
    assert ', person,' in done.stdout
    assert ', sofa, train\n' in done.stdout


def test_the_attention_is_that_of_the_checkpoint_s_teacher(game, voc, backbone_config, tmp_path):
    from cssa_mm.apis.config import load_config

    config = load_config(str(CONFIG))
    config.model.backbone = backbone_config()
    model = MODELS.build(config.model)
    generator = torch.Generator().manual_seed(3)
    for value in model.teacher.buffers():
        if value.is_floating_point():
            value.add_(torch.randn(value.shape, generator=generator))
    path = tmp_path / 'model.pth'
    torch.save(dict(state_dict=model.state_dict()), path)
    out = tmp_path / 'figures.json'
    assert game('--out', out, checkpoint=path).returncode == 0
    report = json.loads(out.read_text())
    for method, all_points in points(voc, backbone_config, str(path)).items():
        assert report['all'][method]['hit'] == pytest.approx(np.mean([is_hit(*point) for point in all_points])), method


@pytest.fixture
def drawn(voc, tower, monkeypatch, tmp_path):
    """drawn(photos=6, data=voc, **options) -> trials, shares, count, path of the picture, and the report of a game."""

    def play(photos: int = 6, data: Path = voc, **options) -> tuple:
        calls = []
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr('cssa_mm.apis.pointing.draw_pointing_game', lambda *call: calls.append(call))
        monkeypatch.setattr('cssa_mm.apis.pointing.PHOTOS', photos)
        overrides = dict(option.split('=', 1) for option in tower) | {'test_dataloader.num_workers': 0}
        arguments = dict(checkpoint='none', tolerance=0.0, max_box_share=1.0, out=None, work_dir=None)
        arguments |= dict(config=str(CONFIG), data_root=str(data), cfg_options=overrides)
        report = pointing_game(SimpleNamespace(**arguments | options))
        return (*calls[0], report) if calls else (None, None, None, None, report)

    return play


def test_a_picture_lies_in_the_work_directory(game, tmp_path):
    done = game('--work-dir', tmp_path / 'new')
    picture = tmp_path / 'new' / 'pointing_game.png'
    assert done.stdout.endswith(f'picture: {picture}\n')
    assert [path.name for path in picture.parent.iterdir()] == ['pointing_game.png']
    with Image.open(picture) as image:
        assert image.width > image.height > 500


def test_the_picture_shows_the_trials_as_they_were_counted(drawn, voc, backbone_config, tmp_path):
    trials, shares, count, path, report = drawn(work_dir=str(tmp_path))
    assert path == tmp_path / 'pointing_game.png'
    assert count == len(trials) == 6  # all that there are
    expected = points(voc, backbone_config)
    for title, method in TITLES.items():
        assert shares[title] == report['all'][method]['hit']
        for number, name, x, y in expected[method]:
            (trial,) = [t for t in trials if (t.image_id, t.class_name) == (str(number), CLASSES[name])]
            width, height, objects = IMAGES[number]
            assert trial.is_hit[title] is is_hit(number, name, x, y)
            row, column = divmod(int(trial.maps[title].argmax()), 7)
            assert (x, y) == pytest.approx(((column + 0.5) * width / 7, (row + 0.5) * height / 7))
            boxes = [np.subtract(box, (1, 1, 0, 0)) for other, box in objects if other == name and box is not None]
            np.testing.assert_allclose(trial.boxes * (width, height, width, height), boxes)
            np.testing.assert_array_equal(trial.image, np.asarray(Image.open(voc / 'JPEGImages' / f'{number}.jpg')))


def test_half_of_the_photos_hit_and_the_seed_draws_them(drawn, tmp_path):
    """Twenty dogs: the boxes of the first ten fill their images, the others are out of the reach of any cell."""
    boxes = [(1, 1, 50, 50)] * 10 + [(1, 1, 2, 2)] * 10
    data = write(tmp_path, [(50, 50, [('dog', box)]) for box in boxes])
    trials = drawn(data=data)[0]
    assert [trial.is_hit['label attention'] for trial in trials] == [True] * 3 + [False] * 3
    shown = [trial.image_id for trial in trials]
    assert len(set(shown)) == 6
    assert [int(image_id) < 10 for image_id in shown] == [True] * 3 + [False] * 3
    assert shown != ['0', '1', '2', '10', '11', '12']
    assert shown == [trial.image_id for trial in drawn(data=data)[0]]
    few, _, count, *_ = drawn(data=data, max_box_share=0.9)
    assert count == 10
    assert not any(trial.is_hit['label attention'] for trial in few)
    assert all(int(trial.image_id) >= 10 for trial in few)
    assert len(few) == 6


def test_every_row_of_the_picture_has_the_hits_of_its_own_method(drawn, monkeypatch):
    before = drawn()[0]
    turned = lambda *args: (found := play(*args)) | dict(dot=1 - found['dot'])  # noqa: E731
    monkeypatch.setattr('cssa_mm.apis.pointing.play', turned)
    for one, other in zip(before, drawn()[0], strict=True):
        changed = [title for title in TITLES if one.is_hit[title] is not other.is_hit[title]]
        assert changed == ['dot-product map of CLIP']


def test_the_picture_s_place_is_named_after_the_config(drawn):
    assert drawn()[3] == Path('work_dirs', 'cssa_voc_p05', 'pointing_game.png')


def test_where_no_trial_is_left_there_is_no_picture(drawn, capsys):
    trials, *_, report = drawn(max_box_share=0.0)
    assert (trials, report) == (None, {})
    assert 'picture' not in capsys.readouterr().out


def test_tolerance_and_large_boxes_are_options(game, tmp_path):
    reports = {}
    for name, arguments in (('all', []), ('small', ['--max-box-share', '0.6']), ('near', ['--tolerance', '500'])):
        assert game('--out', tmp_path / name, *arguments).returncode == 0
        reports[name] = json.loads((tmp_path / name).read_text())
    assert reports['small']['cat']['count'] == 1  # the cat that fills its image is left out
    assert reports['small']['all']['count'] == 5
    assert reports['small']['all']['random']['hit'] < reports['all']['all']['random']['hit'] < 1
    assert all(entry['hit'] == 1 for entry in list(reports['near']['all'].values())[1:])


def test_wrong_input_is_named_in_one_line(game, voc, tmp_path, write_config):
    assert "found no file 'nowhere.pth'" in error_of(game(checkpoint='nowhere.pth'))
    assert 'no attention, expected True' in error_of(game(options=['model.head.label_specific=False']))
    bare = write(tmp_path / 'bare', [(50, 50, [('dog', None)])])
    assert 'found no box (bndbox) in the files of 1 images' in error_of(game(data=bare))
    broken = write(tmp_path / 'broken', [(50, 50, [('dog', (1, 'x', 30, 40))])])
    assert "0.xml: found 'x' as ymin, expected a number" in error_of(game(data=broken))


def test_data_of_another_form_is_named(quick_run, write_config, tmp_path):
    done = quick_run('tools/pointing_game.py', write_config(tmp_path / 'coco.py'), 'none')
    assert 'found a COCOMultiLabelDataset, expected a VOCMultiLabelDataset' in error_of(done)
