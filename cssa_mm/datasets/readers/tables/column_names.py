"""What people call the columns of their tables; all names plain, as `plain_name` makes them."""

from __future__ import annotations

import re

# The first ones are surest.
IMAGES = (
    'image', 'images', 'filename', 'filenames', 'file', 'fname', 'imagename', 'imagefile', 'imagefilename', 'imgname',
    'filepath', 'imagepath', 'imgpath', 'path', 'relpath', 'relativepath', 'imagefilepath', 'pathtoimage', 'img',
    'imageindex', 'imageid', 'imgid', 'imagesid', 'idcode', 'imagekey', 'photo', 'photoname', 'photoid', 'picture',
    'pic', 'fileid', 'uri', 'imageuri', 'gcsuri', 'imagegcsuri', 'imageurl', 'sourceref', 'url', 'src', 'id', 'name',
    'key', 'imageidclassid', 'imagelabel', 'bild', 'datei', 'dateiname', 'archivo', 'imagen', 'fichier',
)  # fmt: skip
LABELS = (
    'labels', 'label', 'tags', 'tag', 'classes', 'class', 'classnames', 'classname', 'categories', 'category',
    'categoryname', 'labelname', 'labelnames', 'targets', 'target', 'findinglabels', 'findings', 'finding', 'genres',
    'genre', 'annotation', 'annotations', 'attributes', 'attribute', 'attributeids', 'keywords', 'topics', 'topic',
    'choice', 'choices', 'groundtruth', 'gt', 'gtlabel', 'gtlabels', 'species', 'objects', 'object', 'concepts', 'y',
    'classid', 'classids', 'labelid', 'labelids', 'categoryid', 'categoryids', 'diagnosis', 'disease', 'displayname',
    'classificationannotations', 'classificationannotation', 'boundingboxannotations', 'multilabel', 'multilabels',
    'imagelabels', 'imagelabel', 'imagetags', 'regionattributes', 'fileattributes', 'etiketten',
    'klasse', 'klassen', 'etiquetas',
)  # fmt: skip
VALUES = (
    'confidence', 'score', 'scores', 'probability', 'prob', 'present', 'ispresent', 'presence', 'value',
    'positive', 'ispositive', 'shown', 'truth', 'answer', 'label', 'target', 'encodedpixels', 'conf', 'exists',
)  # fmt: skip
SPLITS = (
    'split', 'splits', 'splitname', 'subset', 'partition', 'set', 'dataset', 'part', 'phase', 'mode', 'usage', 'mluse',
    'isvalid', 'isvalidation', 'isval', 'istest', 'istrain', 'istraining', 'dataitemresourcelabels',
)  # fmt: skip
# Columns that hold no class, even where they hold 1 and 0.
NO_CLASS = frozenset(
    ('', 'index', 'idx', 'rowid', 'row', 'rownumber', 'level0', 'fold', 'folds', 'kfold', 'cvfold', 'id', 'uid', 'uuid',
     'imageid', 'imgid', 'annotationid', 'patientid', 'userid', 'regionid', 'regioncount', 'isoccluded', 'istruncated',
     'isgroupof', 'isdepiction', 'isinside', 'iscrowd', *SPLITS)
)  # fmt: skip
# Columns of 1 and 0 that tell of the labelling rather than of the image, as a rule.
DOUBTFUL = frozenset(
    ('score', 'confidence', 'quality', 'status', 'done', 'reviewed', 'verified', 'checked', 'labeled', 'labelled',
     'annotated', 'skip', 'skipped', 'valid', 'train', 'test', 'val', 'label', 'labels', 'target', 'difficult',
     'occluded', 'truncated', 'sex', 'gender', 'patientsex', 'patientgender')
)  # fmt: skip
# Columns of text or numbers that are no labels.
NO_LABELS = NO_CLASS | DOUBTFUL | frozenset(
    ('width', 'height', 'imagewidth', 'imageheight', 'imgwidth', 'imgheight', 'xmin', 'ymin', 'xmax', 'ymax', 'bbox',
     'bboxes', 'boxes', 'bboxx', 'bboxy', 'bboxwidth', 'bboxheight', 'url', 'urls', 'imageurl', 'link', 'date',
     'datetime', 'timestamp', 'createdat', 'updatedat', 'annotator', 'annotatedby', 'md5', 'sha1', 'sha256', 'hash',
     'phash', 'filesize', 'imagesize', 'latitude', 'longitude', 'lat', 'lon', 'lng', 'leadtime', 'filename', 'filepath',
     'path', 'area', 'license', 'licence', 'caption', 'captions', 'comment', 'comments', 'remark', 'remarks', 'note',
     'notes', 'description', 'photographer', 'author', 'regionshapeattributes', 'patientage',
     'source', 'text', 'year', 'month', 'day', 'hour', 'time', 'size', 'x', 'y', 'w', 'h', 'x1', 'y1', 'x2', 'y2',
     'count', 'number', 'num', 'rating', 'user', 'title', 'type', 'name', 'camera', 'location', 'site', 'age',
     'viewposition')
)  # fmt: skip
BOXES = frozenset(
    ('regionshapeattributes', 'xmin', 'ymin', 'xmax', 'ymax', 'x1', 'y1', 'x2', 'y2', 'bbox', 'boxes', 'bboxx', 'bboxy')
)
# Columns with the person who wrote a row.
ANNOTATORS = frozenset(
    ('annotator', 'annotatorid', 'annotatedby', 'annotatorname', 'labeler', 'labeller', 'labelerid', 'labeledby',
     'labelledby', 'worker', 'workerid', 'rater', 'raterid', 'radid', 'reader', 'readerid', 'coder', 'expert', 'user',
     'userid', 'username', 'reviewer', 'completedby', 'createdby')
)  # fmt: skip
UNNAMED = re.compile(r'unnamed:\d+(level\d+)?')
PARTS = frozenset(
    ('train', 'training', 'trainval', 'test', 'testing', 'val', 'valid', 'validation', 'dev', 'eval', 'unassigned',
     'holdout', 'query', 'gallery', 'private', 'public')
)  # fmt: skip
# More than are read: a photo of a form that is not read is an image, too.
IMAGE_ENDINGS = (
    '.jpg', '.jpeg', '.jpe', '.jfif', '.png', '.webp', '.bmp', '.gif', '.tif', '.tiff', '.ppm', '.pgm', '.avif', '.jp2',
    '.heic', '.heif', '.mpo', '.tga', '.dcm', '.svg',
)  # fmt: skip
