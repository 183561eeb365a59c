"""Squares of LANES×LANES numbers that compiled loops keep in the registers of a CPU.

A compiler cannot know that the rows of two arrays do not overlap, so that it checks this before
each short loop over them, and stores sums after every term. A tile is a value instead of a part of
an array: sums over many terms stay in registers, a row of the tile in a vector each.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic, models, register_model

# Loops call what it makes of a function of types; numba's own annotations say that of the function.
operation: Any = intrinsic
# Rows and columns of a tile; eight float32 are a vector register of most CPUs.
LANES = 8


class TileType(types.Type):
    """The type of a tile of numbers of one type."""

    def __init__(self, number: Any) -> None:
        super().__init__(name=f"tile of {number}")
        self.number = number


@register_model(TileType)
class TileModel(models.PrimitiveModel):
    """A tile is an array of vectors, one for each row."""

    def __init__(self, dmm: Any, fe_type: TileType) -> None:
        vector = ir.VectorType(dmm.lookup(fe_type.number).get_value_type(), LANES)
        super().__init__(dmm, fe_type, ir.ArrayType(vector, LANES))  # type: ignore[no-untyped-call]


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, row: Any, column: Any) -> Any:
    """Where a number of a matrix in C order lies."""
    struct = context.make_array(array_type)(context, builder, array)
    shape = cgutils.unpack_tuple(builder, struct.shape)
    place = builder.add(builder.mul(row, shape[1]), column)
    return builder.gep(struct.data, [place])


def _rows(context: Any, builder: Any, array_type: Any, values: Any) -> list[Any]:
    """Pointers to the rows of the tile of a matrix that begins at a row and a column."""
    array, row, column = values
    rows = [builder.add(row, row.type(step)) for step in range(LANES)]
    return [_pointer(context, builder, array_type, array, one, column) for one in rows]


def _vector(builder: Any, pointer: Any) -> Any:
    """The same pointer, to a vector of numbers."""
    return builder.bitcast(pointer, ir.VectorType(pointer.type.pointee, LANES).as_pointer())


def _bytes(array_type: Any) -> int:
    return int(array_type.dtype.bitwidth) // 8


@operation
def load_tile(typing: Any, array: Any, row: Any, column: Any) -> tuple[Any, Callable[..., Any]]:
    """The tile that begins at a row and a column of a matrix in C order."""
    tile = TileType(array.dtype)

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        rows = [
            builder.load(_vector(builder, pointer), align=_bytes(array))
            for pointer in _rows(context, builder, array, values)
        ]
        return _tile_of(builder, context.get_value_type(tile), rows)

    return tile(array, types.intp, types.intp), generate


@operation
def store_tile(
    typing: Any, array: Any, row: Any, column: Any, tile: Any
) -> tuple[Any, Callable[..., Any]]:
    """Write a tile to a matrix in C order."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        for k, pointer in enumerate(_rows(context, builder, array, values[:3])):
            row = builder.extract_value(values[3], k)
            builder.store(row, _vector(builder, pointer), align=_bytes(array))
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, tile), generate


@operation
def zero_tile(typing: Any, array: Any) -> tuple[Any, Callable[..., Any]]:
    """A tile of zeros of the type of a matrix."""
    tile = TileType(array.dtype)

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return ir.Constant(context.get_value_type(tile), None)

    return tile(array), generate


@operation
def transposed(typing: Any, tile: Any) -> tuple[Any, Callable[..., Any]]:
    """The transpose of a tile, by exchanges of ever smaller squares in it."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        rows = [builder.extract_value(values[0], i) for i in range(LANES)]
        half = LANES // 2
        while half:
            upper = _lanes([j if not j & half else LANES + j - half for j in range(LANES)])
            lower = _lanes([j + half if not j & half else LANES + j for j in range(LANES)])
            for i in range(LANES):
                if not i & half:
                    pair = rows[i], rows[i + half]
                    rows[i] = builder.shuffle_vector(*pair, upper)
                    rows[i + half] = builder.shuffle_vector(*pair, lower)
            half //= 2
        return _tile_of(builder, values[0].type, rows)

    return tile(tile), generate


@operation
def elimination(typing: Any, tile: Any) -> tuple[Any, Callable[..., Any]]:
    """How Gauss-Jordan elimination turns a positive definite tile into the identity.

    In column k of the result is what row k is multiplied by, in row k, and how much of it is then
    subtracted from each other row.
    """

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        rows = [builder.extract_value(values[0], i) for i in range(LANES)]
        vector = rows[0].type
        one = ir.Constant(vector.element, 1.0)
        for k in range(LANES):
            at = ir.IntType(32)(k)
            scale = builder.fdiv(one, builder.extract_element(rows[k], at))
            row = builder.fmul(rows[k], _filled(builder, vector, scale), flags=("fast",))
            # Columns up to k are done with; they keep their factors.
            done = ir.Constant(ir.VectorType(ir.IntType(1), LANES), [j <= k for j in range(LANES)])
            for i in range(LANES):
                if i != k:
                    factor = builder.shuffle_vector(rows[i], rows[i], _lanes([k] * LANES))
                    taken = builder.fmul(factor, row, flags=("fast",))
                    rest = builder.fsub(rows[i], taken, flags=("fast",))
                    rows[i] = builder.select(done, rows[i], rest)
            rows[k] = builder.select(done, builder.insert_element(rows[k], scale, at), row)
        return _tile_of(builder, values[0].type, rows)

    return tile(tile), generate


@operation
def eliminate(typing: Any, tile: Any, factors: Any) -> tuple[Any, Callable[..., Any]]:
    """The inverse of a tile, times this one; `factors` is a matrix with its `elimination`."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        rows = [builder.extract_value(values[0], i) for i in range(LANES)]
        zero = context.get_constant(types.intp, 0)
        places = _rows(context, builder, factors, (values[1], zero, zero))

        def times_factor(i: int, k: int) -> Any:
            number = builder.load(builder.gep(places[i], [ir.IntType(32)(k)]))
            factor = _filled(builder, rows[k].type, number)
            return builder.fmul(factor, rows[k], flags=("fast",))

        for k in range(LANES):
            rows[k] = times_factor(k, k)
            for i in range(LANES):
                if i != k:
                    rows[i] = builder.fsub(rows[i], times_factor(i, k), flags=("fast",))
        return _tile_of(builder, values[0].type, rows)

    return tile(tile, factors), generate


def _lanes(numbers: list[int]) -> Any:
    return ir.Constant(ir.VectorType(ir.IntType(32), LANES), numbers)


def _filled(builder: Any, vector: Any, number: Any) -> Any:
    """A vector with one number in all lanes."""
    blank = ir.Constant(vector, ir.Undefined)
    one = builder.insert_element(blank, number, ir.IntType(32)(0))
    return builder.shuffle_vector(one, blank, _lanes([0] * LANES))


def _tile_of(builder: Any, tile_type: Any, rows: list[Any]) -> Any:
    tile = ir.Constant(tile_type, ir.Undefined)
    for k, row in enumerate(rows):
        tile = builder.insert_value(tile, row, k)
    return tile


def _adding_product(transposed: bool) -> Callable[..., tuple[Any, Callable[..., Any]]]:
    """What makes `add_product` or `add_transposed_product`."""

    def add(
        typing: Any, tile: Any, left: Any, row: Any, column: Any, right: Any, k: Any, j: Any
    ) -> tuple[Any, Callable[..., Any]]:
        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            result, a, row, column, b, k, j = values
            lefts = _rows(context, builder, left, (a, row, column))
            rights = _rows(context, builder, right, (b, k, j))
            vector = ir.VectorType(rights[0].type.pointee, LANES)
            totals = [builder.extract_value(result, i) for i in range(LANES)]
            for term, pointer in enumerate(rights):
                factors = builder.load(_vector(builder, pointer), align=_bytes(right))
                for i in range(LANES):
                    first, second = (term, i) if transposed else (i, term)
                    number = builder.load(builder.gep(lefts[first], [ir.IntType(32)(second)]))
                    factor = _filled(builder, vector, number)
                    product = builder.fmul(factor, factors, flags=("fast",))
                    totals[i] = builder.fadd(totals[i], product, flags=("fast",))
            return _tile_of(builder, result.type, totals)

        indices = types.intp, types.intp
        return tile(tile, left, *indices, right, *indices), generate

    return add


# add_product(tile, left, i, k, right, l, j) is the tile plus the product of those that begin at
# left[i, k] and right[l, j]; the other one takes the tile of `left` transposed.
add_product = operation(_adding_product(transposed=False))
add_transposed_product = operation(_adding_product(transposed=True))
