"""Where the parts of the layer map stand, in the units of its view box.

368 units wide, so that a narrow phone shows it without shrinking its letters. Output
layers are as high as the number of them allows: 40 are easy to point at, 525 fit on
a sheet of paper. Models stand left and right of the output in turn, since two in
alternation, as most published merges have, then never cross each other's ribbons.
Source columns are stretched to the output's height, which keeps ribbons flat.
"""

from dataclasses import dataclass, field

from distexpand.report.layer_map.layers import LayerMap, MapModel

WIDTH = 368.0
LABEL_HEIGHT = 11.0
BOX_HEIGHT = 15.0
ROW = 16.0
_STACK_HEIGHT = 760.0
_HIGHEST, _LOWEST = 12.0, 2.0
_MODEL_GAP = 18.0
_GAPS = ((5.0, 0.8), (3.0, 0.4))
_KIND_WIDTH = 9.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceColumn:
    """A model's column: `x` is its left edge, `facing` the edge that ribbons leave from."""

    model: int
    left: bool
    x: float
    width: float
    y: float
    layer_height: float
    depth: int

    @property
    def facing(self) -> float:
        """The edge towards the output."""
        return self.x + self.width if self.left else self.x

    @property
    def height(self) -> float:
        """The whole column's height."""
        return self.layer_height * self.depth

    def at(self, layer: float) -> float:
        """Return where a source layer begins."""
        return self.y + layer * self.layer_height


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """The output's column from `x` to `right`, its first layer at `y`, and the columns of its sources.

    `kinds_x` is where the strip of layer types begins, if there is one.
    """

    x: float
    right: float
    y: float
    count: int
    layer_height: float
    kinds_x: float | None
    columns: tuple[SourceColumn, ...] = field(default=())

    @property
    def height(self) -> float:
        """The output column's height."""
        return self.layer_height * self.count

    @property
    def end(self) -> float:
        """Where the output column ends."""
        return self.y + self.height

    @property
    def edge(self) -> float:
        """What ribbons from the right end at, beyond the strip of types."""
        return self.right if self.kinds_x is None else self.kinds_x + _KIND_WIDTH

    @property
    def gap(self) -> float:
        """What is left free below each layer; nothing where they are too thin for it."""
        return next((gap for height, gap in _GAPS if self.layer_height >= height), 0.0)

    def at(self, layer: float) -> float:
        """Return where an output layer begins."""
        return self.y + layer * self.layer_height

    def entry(self, column: SourceColumn) -> float:
        """Return the edge of the output that ribbons of a column end at."""
        return self.x if column.left else self.edge


def frame(shown: LayerMap, *, top: float) -> Frame:
    """Return where everything of a map with at least one layer stands, with the stack from `top` on."""
    two_sides = len(shown.models) > 1
    x, right = (142.0, 224.0) if two_sides else (186.0, 296.0)
    count = len(shown.layers)
    height = max(min(_STACK_HEIGHT / count, _HIGHEST), _LOWEST)
    columns = _columns(shown.models, top, height * count, two_sides=two_sides)
    return Frame(
        x=x,
        right=right,
        y=top,
        count=count,
        layer_height=height,
        kinds_x=right + 2 if shown.kinds else None,
        columns=columns,
    )


def _columns(
    models: tuple[MapModel, ...], y: float, height: float, *, two_sides: bool
) -> tuple[SourceColumn, ...]:
    numbered = list(enumerate(models))
    left, right = (numbered[::2], numbered[1::2]) if two_sides else (numbered, [])
    columns = [*_side(left, y, height, left=True), *_side(right, y, height, left=False)]
    return tuple(sorted(columns, key=lambda column: column.model))


def _side(models: list[tuple[int, MapModel]], y: float, height: float, *, left: bool) -> list[SourceColumn]:
    """Return the columns of one side, one below the other, all layers of the same height."""
    gap = min(_MODEL_GAP, height / (2 * len(models))) if models else 0.0
    each = (height - gap * (len(models) - 1)) / max(sum(model.depth for _, model in models), 1)
    columns = []
    for number, model in models:
        columns.append(
            SourceColumn(
                model=number,
                left=left,
                x=26.0 if left else 328.0,
                width=14.0,
                y=y,
                layer_height=each,
                depth=model.depth,
            )
        )
        y += model.depth * each + gap
    return columns
