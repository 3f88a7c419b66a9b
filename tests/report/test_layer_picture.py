import io

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.console import Console

from distexpand.report.glyphs import ASCII, UNICODE, cell_width, printable, shorten
from distexpand.report.picture.colours import LayerPicture
from distexpand.report.picture.drawing import labels
from distexpand.report.picture.picture import layer_picture
from tests.report.stacks import GOLIATH, SOLAR, interleaved, names, origin, stack, stacks, tall


def strip_of(picture):
    """The strip's characters: the line below each ruler, up to the chart."""
    lines = picture.splitlines()
    rows = [
        lines[n + 1][8:]
        for n, line in enumerate(lines)
        if line.startswith("output  0 ") or line[8:9].isdigit()
    ]
    return "".join(row for row in rows if row and not row[0].isdigit())


def chart_of(picture):
    lines = picture.splitlines()
    begin = next(n for n, line in enumerate(lines) if line.split()[:2] == ["output", "source"])
    rows = lines[begin + 1 :]
    return rows[: rows.index("")]


LAST_ALONE = stack([("a", 0, 1)] * 6 + [("a", 0, 23)] + [("a", 0, 40)] * 4 + [("a", 10, 11)])


@example(LAST_ALONE, 198, False)
@given(stacks(), st.integers(60, 200), st.booleans())
def test_no_line_is_wider_than_asked(layers, width, ascii_only):
    picture = layer_picture(layers, width=width, ascii_only=ascii_only)
    assert max(map(cell_width, picture.splitlines())) <= width
    assert picture.isascii() or not ascii_only


@given(names(), st.booleans())
def test_any_name_stays_on_its_line(name, ascii_only):
    picture = layer_picture(stack([(name, 0, 3)]), ascii_only=ascii_only)
    assert max(map(cell_width, picture.splitlines())) <= 100
    assert all(character.isprintable() for character in picture.replace("\n", ""))
    assert len(picture.splitlines()) == len(layer_picture(stack([("m", 0, 3)])).splitlines())


@pytest.mark.parametrize("width", [80, 100, 120])
@pytest.mark.parametrize(
    ("layers", "strip"),
    [
        (stack(SOLAR), "A" * 24 + "a" * 16 + "A" * 8),
        (interleaved("m", 32, 8), "AAAA=" * 8),
        (stack(GOLIATH), "".join("AB"[n % 2] * (stop - first) for n, (_, first, stop) in enumerate(GOLIATH))),
    ],
)
def test_the_strip_has_each_layer_once(layers, strip, width):
    assert strip_of(layer_picture(layers, width=width)) == strip


def test_the_chart_of_goliath_is_a_staircase():
    rows = chart_of(layer_picture(stack(GOLIATH), width=120))
    assert len(rows) == 9
    bars = [row[18:].rstrip() for row in rows]
    assert [bar.count("AB"[n % 2]) for n, bar in enumerate(bars)] == [16, 16, 15, 15, 15, 15, 15, 15, 15]
    assert [bar.index("AB"[n % 2]) for n, bar in enumerate(bars)] == [first for _, first, _ in GOLIATH]
    assert rows[3].split()[:3] == ["47\N{EN DASH}61", "B", "25\N{EN DASH}39"]


def test_what_applies_is_in_the_legend_and_no_more():
    goliath, solar = layer_picture(stack(GOLIATH)), layer_picture(stack(SOLAR))
    pro = layer_picture(interleaved("m", 32, 8))
    assert "lower case" in solar
    assert "lower case" not in goliath + pro
    assert "identity block" in pro
    assert "identity block" not in goliath + solar
    assert "[1] zero: o_proj, down_proj" in pro
    assert "Sao10K/Euryale-1.3-L2-70B  61 layers" in goliath


def test_tall_stacks_stay_readable():
    picture = layer_picture(tall())
    assert len(chart_of(picture)) == 21
    assert len(picture.splitlines()) < 60
    alternating = stack([("ab"[n % 2], n, n + 1) for n in range(500)])
    rows = chart_of(layer_picture(alternating))
    assert len(rows) == 40
    assert any("461 more runs, output layers 26\N{EN DASH}486" in row for row in rows)


def test_kinds_have_a_line_of_their_own():
    layers = tuple(
        origin("m", n, kind="full_attention" if n % 6 == 5 else "sliding_attention") for n in range(12)
    )
    picture = layer_picture(layers)
    assert "  kind  .....f.....f" in picture
    assert "f  kind full_attention" in picture


def test_more_models_than_letters():
    layers = stack([(f"model-{n}", n, n + 1) for n in range(30)])
    assert "*  model-29" in layer_picture(layers)


def test_no_layers():
    assert layer_picture(()) == "no layers\n"


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
@pytest.mark.parametrize("layers", [stack(GOLIATH), interleaved("m", 30, 8), tall()])
def test_the_terminal_shows_the_same_text(layers, encoding):
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    Console(file=stream, width=100, color_system=None).print(LayerPicture(layers=layers))
    stream.flush()
    shown = stream.buffer.getvalue().decode(encoding)
    wanted = layer_picture(layers, width=100, ascii_only=encoding != "utf-8")
    assert [line.rstrip() for line in shown.splitlines()] == wanted.splitlines()


def test_colours_tell_models_repeats_and_identity_apart():
    console = Console(file=io.StringIO(), width=100, force_terminal=True, color_system="truecolor")
    layers = (origin("a", 0), origin("b", 0), origin("a", 0, copy=1), origin("a", 0, copy=2, identity=True))
    cells = {segment.text: segment.style for segment in console.render(LayerPicture(layers=layers))}
    assert len({str(cells[mark].bgcolor) for mark in "ABa="}) == 4


@given(st.text(max_size=60), st.integers(0, 40), st.sampled_from([UNICODE, ASCII]))
def test_shortening_keeps_to_the_width(text, width, glyphs):
    shortened = shorten(text, width, glyphs)
    assert cell_width(shortened) <= width
    assert shortened == text or cell_width(text) > width

    assert printable("a\x1b[31m\nb", UNICODE) == "a?[31m?b"


@given(st.dictionaries(st.integers(0, 50), st.integers(0, 999).map(str)))
def test_labels_stand_at_their_columns(marks):
    line = labels(marks)
    shown = {column for column, text in marks.items() if line[column : column + len(text)] == text}
    assert not marks or min(marks) in shown
