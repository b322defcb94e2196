"""The ways to quantise an ONNX file for CPUs, and which of them a tower is tried with."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cssa_mm.apis.exporting.onnx_extra import needed
from cssa_mm.apis.exporting.onnx_metadata import INPUT

# What convolutional towers consist of beside the convolutions: with its activation quantised too, a convolution is
# faster, and needs no range for what the activation cuts off.
AROUND = ('Relu', 'Clip', 'Add', 'MaxPool', 'AveragePool', 'GlobalAveragePool')
PRODUCTS = ('MatMul', 'Gemm')
LARGE = 2**20  # values of a matrix
NEIGHBOURS = 'neighbours.'  # what the buffers of that part begin with
CHUNK = 2  # images whose activations are in memory at a time


@dataclass(frozen=True)
class Kind:
    """A way to quantise.

    Attributes:
        name: for tables and metadata.
        is_static: ranges of activations come from images; else from each image as it comes.
        operators: types of the ONNX operators that are quantised; None stands for all. Behind the last convolution,
            where the scores are made, only large matrices ever are, such as those of an attention pool: scores would
            come in steps. The search for neighbours stays in float.
        is_clipped: ranges leave out the outermost values (percentile 99.999), so that a few don't spoil the rest.
    """

    name: str
    is_static: bool
    operators: tuple[str, ...] | None
    is_clipped: bool = False


DYNAMIC = Kind('dynamic, matrix products', False, PRODUCTS)
# No rule holds for every tower: activations cost a ResNet nothing, and a mobile tower 4 mAP.
STATIC = (
    Kind('static, convolutions', True, ('Conv',)),
    Kind('static, convolutions, clipped', True, ('Conv',), is_clipped=True),
    Kind('static, convolutions with activations', True, ('Conv', *AROUND)),
    Kind('static, convolutions with activations, clipped', True, ('Conv', *AROUND), is_clipped=True),
    Kind('static, all operators', True, None),
)


def kinds_for(path: Path) -> tuple[Kind, ...]:
    """The kinds that the tower in an ONNX file is tried with, by what it consists of.

    A vision transformer has one convolution, its patch embedding: its matrix products are quantised dynamically. A
    tower with many of both, such as ConvNeXt, is tried with everything.
    """
    operators = [node.op_type for node in needed('onnx', 'int8').load(str(path)).graph.node]
    convolutions, products = operators.count('Conv'), sum(operators.count(name) for name in PRODUCTS)
    static: tuple[Kind, ...] = STATIC if convolutions > 1 else ()
    return (*static, DYNAMIC) if convolutions <= 1 or products > convolutions else static


def prepare(source: Path, out: Path) -> None:
    """Bring an fp32 file into the form that quantising starts from: shapes inferred, nodes fused and named."""
    onnx = needed('onnx', 'int8')
    with _quiet():
        _quantization().shape_inference.quant_pre_process(str(source), str(out), skip_symbolic_shape=True)
    content = onnx.load(str(out))
    _keep_halves(content.graph)
    for index, node in enumerate(content.graph.node):
        node.name = f'{index}_{node.op_type}'
    onnx.save(content, str(out))


def quantise(source: Path, out: Path, kind: Kind, images: Sequence[np.ndarray]) -> None:
    """Write a quantised file of one that `prepare` wrote.

    Args:
        source: the file.
        out: the file to write.
        kind: how.
        images: those that give the ranges, each uint8 (1, 3, H, W); a dynamic kind needs none.
    """
    tools, graph = _quantization(), needed('onnx', 'int8').load(str(source)).graph
    operators = None if kind.operators is None else list(kind.operators)
    with _quiet():
        if not kind.is_static:
            tools.quantize_dynamic(
                str(source),
                str(out),
                op_types_to_quantize=operators,
                nodes_to_exclude=[node.name for node in _neighbour_nodes(graph)],
                per_channel=True,
                weight_type=tools.QuantType.QInt8,
            )
            return
        method = tools.CalibrationMethod.Percentile if kind.is_clipped else tools.CalibrationMethod.MinMax
        tools.quantize_static(
            str(source),
            str(out),
            _reader(tools, images),
            quant_format=tools.QuantFormat.QDQ,
            op_types_to_quantize=operators,
            nodes_to_exclude=_left_out(graph),
            per_channel=True,
            activation_type=tools.QuantType.QUInt8,
            weight_type=tools.QuantType.QInt8,
            calibrate_method=method,
            extra_options=dict(CalibStridedMinMax=CHUNK, CalibPercentile=99.999),
        )


def _left_out(graph: Any) -> list[str]:
    """The names of the nodes that lead to no convolution, but for products with a large matrix: they stay in float."""
    nodes = graph.node
    large = {tensor.name for tensor in graph.initializer if np.prod(tensor.dims) >= LARGE}
    makers = {output: node for node in nodes for output in node.output}
    waiting = [node for node in nodes if node.op_type == 'Conv']
    leading = {node.name for node in waiting}
    while waiting:
        for name in waiting.pop().input:
            node = makers.get(name)
            if node is not None and node.name not in leading:
                leading.add(node.name)
                waiting.append(node)
    heavy = {node.name for node in nodes if node.op_type in PRODUCTS and large & set(node.input)}
    heavy -= {node.name for node in _neighbour_nodes(graph)}
    return [node.name for node in nodes if node.name not in leading | heavy]


def _neighbour_nodes(graph: Any) -> list[Any]:
    """The nodes that look up neighbours, and all behind them."""
    reached, found = {tensor.name for tensor in graph.initializer if tensor.name.startswith(NEIGHBOURS)}, []
    for node in graph.node:  # in the order of computation
        if reached & set(node.input):
            found.append(node)
            reached.update(node.output)
    return found


def _keep_halves(graph: Any) -> None:
    """Keep stored images in float16: onnxruntime's preparation makes float32 of them, twice the size."""
    onnx = needed('onnx', 'int8')
    stored = {name for node in _neighbour_nodes(graph) for name in node.input}
    for tensor in [tensor for tensor in graph.initializer if tensor.name in stored]:
        values = onnx.numpy_helper.to_array(tensor)
        with np.errstate(over='ignore'):  # others may be larger than a float16
            halves = values.astype(np.float16)
        if values.dtype == np.float32 and values.ndim > 1 and (halves == values).all():
            cast = onnx.helper.make_node('Cast', [f'{tensor.name}_half'], [tensor.name], to=onnx.TensorProto.FLOAT)
            tensor.CopyFrom(onnx.numpy_helper.from_array(halves, f'{tensor.name}_half'))
            graph.node.insert(0, cast)


def _reader(tools: Any, images: Sequence[np.ndarray]) -> Any:
    """The images as onnxruntime asks for them, some at a time."""

    class Reader(tools.CalibrationDataReader):
        def __init__(self) -> None:
            self.count = len(images) // CHUNK * CHUNK
            self.set_range(0, self.count)

        def __len__(self) -> int:
            return self.count

        def set_range(self, start_index: int, end_index: int) -> None:
            self.rest = iter(images[start_index:end_index])

        def get_next(self) -> dict[str, np.ndarray] | None:
            image = next(self.rest, None)
            return None if image is None else {INPUT: image}

    return Reader()


def _quantization() -> Any:
    needed('onnx', 'int8')
    needed('onnxruntime', 'int8')
    needed('onnxruntime.quantization.shape_inference', 'int8')
    return needed('onnxruntime.quantization', 'int8')


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the advice that onnxruntime logs at the root, and what it prints at every step."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(before)
