"""The pointing game on six images in VOC's layout. Oracle: the maps again, image by image."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmpretrain.registry import MODELS
from PIL import Image

from cssa_mm.apis.pointing import SEVERAL, SHARES, pointing_game
from cssa_mm.apis.pointing_trials import play
from cssa_mm.datasets.voc import VOC_CLASSES
from cssa_mm.demo.scenes import generate_demo
from cssa_mm.errors import CheckpointError, ConfigError, DataError

ROOT = Path(__file__).parents[2]
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
TITLES = {
    'map that is shown': 'shown',
    'label attention': 'attention',
    'cosine map of CLIP': 'cosine',
    'dot-product map of CLIP': 'dot',
}
CLASSES = {'dog': 'dog', 'cat': 'cat', 'tvmonitor': 'tv monitor'}


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
def game(voc, backbone_config):
    """game(pictures=None, **options) -> the report on the six images; what would be drawn goes into `pictures`."""

    def play(pictures: list | None = None, overrides: dict | None = None, **options):
        pictures = [] if pictures is None else pictures
        tower = {f'model.backbone.{key}': value for key, value in backbone_config().items() if key != 'type'}
        overrides = tower | {'test_dataloader.num_workers': 0} | (overrides or {})
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr('cssa_mm.apis.pointing.draw_pointing_game', lambda *call: pictures.append(call))
            return pointing_game(**dict(config=CONFIG, data_root=voc) | options, overrides=overrides)

    return play


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
    found = {'shown': [], 'attention': [], 'cosine': [], 'dot': []}
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
                ('shown', unit @ semantic),  # a CLIP ResNet: the cosine, each cell in its middle
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


def is_in(title: str, number: int, name: str) -> bool:
    """Whether a trial belongs to a row of the table."""
    width, height, objects = IMAGES[number]
    if title == SEVERAL:
        return len({other for other, box in objects if box is not None}) > 1
    if title in SHARES:
        grid = [(i + 0.5) / 7 for i in range(7)]
        return np.mean([is_hit(number, name, x * width, y * height) for x in grid for y in grid]) <= SHARES[title]
    return title in ('all', CLASSES[name])


@pytest.mark.smoke
def test_the_shares_of_hits_are_those_of_maps_made_by_hand(game, voc, backbone_config, tmp_path):
    result = game(out=tmp_path / 'new' / 'figures.json')
    report = result.classes
    written = json.loads((tmp_path / 'new' / 'figures.json').read_text())
    assert written == json.loads(json.dumps(report))
    counts = {'cat': 2, 'dog': 3, 'tv monitor': 1, 'all': 6} | dict.fromkeys(SHARES, 5) | {SEVERAL: 2}
    counts['boxes up to 30 %'] = 2
    assert {title: entry['count'] for title, entry in report.items()} == counts
    for method, all_points in points(voc, backbone_config).items():
        for title, entry in report.items():
            mine = [point for point in all_points if is_in(title, *point[:2])]
            assert entry[method]['hit'] == pytest.approx(np.mean([is_hit(*point) for point in mine])), (method, title)
    grid = [(i + 0.5) / 7 for i in range(7)]
    trials = [(number, name) for number, name, _, _ in points(voc, backbone_config)['dot']]
    cells = [is_hit(n, name, x * IMAGES[n][0], y * IMAGES[n][1]) for n, name in trials for x in grid for y in grid]
    assert report['all']['random']['hit'] == pytest.approx(np.mean(cells))
    centres = [is_hit(n, name, IMAGES[n][0] / 2, IMAGES[n][1] / 2) for n, name in trials]
    assert report['all']['centre']['hit'] == pytest.approx(np.mean(centres))
    assert len({entry['hit'] for entry in list(report['all'].values())[1:]}) > 2
    assert set(result.left_out) == set(VOC_CLASSES) - {'cat', 'dog', 'tv monitor'}


def test_the_text_is_a_table_of_the_report(game):
    result = game()
    lines = result.text().splitlines()
    assert lines[0].split() == 'hits in per cent n shown attention cosine dot random centre'.split()
    assert [line.split('  ')[0] for line in lines[1:8]] == list(result.classes)
    total = result.classes['all']
    low, high = total['attention']['interval']
    assert f'{100 * total["attention"]["hit"]:.1f} ({100 * low:.0f}-{100 * high:.0f})' in lines[4]
    assert f'{100 * total["random"]["hit"]:.1f}' in lines[4].split()
    assert f'Left out, without trials: {", ".join(result.left_out)}' in lines
    assert lines[-1] == f'picture: {result.picture}'


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
    report = game(checkpoint=path).classes
    for method, all_points in points(voc, backbone_config, str(path)).items():
        assert report['all'][method]['hit'] == pytest.approx(np.mean([is_hit(*point) for point in all_points])), method


@pytest.fixture
def drawn(game, voc, monkeypatch, tmp_path):
    """drawn(photos=6, data=voc, **options) -> trials, shares, count, path of the picture, and the report of a game."""

    def play(photos: int = 6, data: Path = voc, **options) -> tuple:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr('cssa_mm.apis.pointing_trials.PHOTOS', photos)
        calls: list[tuple] = []
        report = game(calls, data_root=data, **options)
        return (*calls[0], report)

    return play


def test_the_picture_shows_the_trials_as_they_were_counted(drawn, voc, backbone_config, tmp_path):
    trials, shares, count, path, report = drawn(work_dir=str(tmp_path))
    assert path == tmp_path / 'pointing_game.png'
    assert count == len(trials) == 6  # all that there are
    expected = points(voc, backbone_config)
    for title, method in TITLES.items():
        assert shares[title] == report.classes['all'][method]['hit']
        for number, name, x, y in expected[method]:
            (trial,) = [t for t in trials if (t.image_id, t.class_name) == (str(number), CLASSES[name])]
            width, height, objects = IMAGES[number]
            assert trial.is_hit[title] is is_hit(number, name, x, y)
            assert trial.maps[title].peak((height, width)) == pytest.approx((x, y))
            boxes = [np.subtract(box, (1, 1, 0, 0)) for other, box in objects if other == name and box is not None]
            np.testing.assert_allclose(trial.boxes * (width, height, width, height), boxes)
            np.testing.assert_array_equal(trial.image, np.asarray(Image.open(voc / 'JPEGImages' / f'{number}.jpg')))


def test_half_of_the_photos_hit_and_the_seed_draws_them(drawn, tmp_path):
    """Twenty dogs: the boxes of the first ten fill their images, the others are out of the reach of any cell."""
    boxes = [(1, 1, 50, 50)] * 10 + [(1, 1, 2, 2)] * 10
    data = write(tmp_path, [(50, 50, [('dog', box)]) for box in boxes])
    trials = drawn(data=data)[0]
    assert [trial.is_hit['map that is shown'] for trial in trials] == [True] * 3 + [False] * 3
    shown = [trial.image_id for trial in trials]
    assert len(set(shown)) == 6
    assert [int(image_id) < 10 for image_id in shown] == [True] * 3 + [False] * 3
    assert shown != ['0', '1', '2', '10', '11', '12']
    assert shown == [trial.image_id for trial in drawn(data=data)[0]]
    few, _, count, *_ = drawn(data=data, max_box_share=0.9)
    assert count == 10
    assert not any(trial.is_hit['map that is shown'] for trial in few)
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


def test_where_no_trial_is_left_there_is_no_picture(game):
    report = game(max_box_share=0.0)
    assert (report.classes, report.picture) == ({}, None)
    assert 'picture' not in report.text()


def test_tolerance_and_large_boxes_are_options(game):
    everything, small, near = (
        game(**options).classes for options in ({}, dict(max_box_share=0.6), dict(tolerance=500))
    )
    assert small['cat']['count'] == 1  # the cat that fills its image is left out
    assert small['all']['count'] == 5
    assert small['all']['random']['hit'] < everything['all']['random']['hit'] < 1
    assert all(entry['hit'] == 1 for entry in list(near['all'].values())[1:])


def test_wrong_input_is_named(game, tmp_path, write_config):
    with pytest.raises(CheckpointError, match="found no file 'nowhere.pth'"):
        game(checkpoint='nowhere.pth')
    with pytest.raises(ConfigError, match='no attention, expected True'):
        game(overrides={'model.head.label_specific': False})
    with pytest.raises(DataError, match='instances|size|box'):  # in COCO form, without any box
        pointing_game(config=write_config(tmp_path / 'coco.py'))
    bare = write(tmp_path / 'bare', [(50, 50, [('dog', None)])])
    with pytest.raises(DataError, match='found no box in the annotations of 1 images'):
        game(data_root=bare)
    broken = write(tmp_path / 'broken', [(50, 50, [('dog', (1, 'x', 30, 40))])])
    with pytest.raises(DataError, match="0.xml: found 'x' as ymin, expected a number"):
        game(data_root=broken)


def test_the_demo_s_scenes_can_be_played_with(tmp_path):
    """As drawn: the point of a map is the peak of its picture."""
    root = generate_demo(tmp_path / 'icons', num_train=2, num_test=12)
    result = pointing_game(
        config='cssa_demo', data_root=root, work_dir=tmp_path, device='cpu',
        overrides={'test_dataloader.num_workers': 0},
    )  # fmt: skip
    total = result.classes['all']
    assert total['count'] > 20
    assert total['shown']['hit'] > 3 * total['random']['hit']  # the prompts start as the names
    assert SEVERAL in result.classes
    assert result.picture.is_file()
