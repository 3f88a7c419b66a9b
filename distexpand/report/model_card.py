"""The model card: the README.md that travels with an expanded checkpoint.

Says what the plan knows and nothing more: no dates, no machine, no claims
about quality. The same plan gives the same text everywhere, so the card can
be part of the plan and of its digest. Names come from recipes and are foreign
text: each is quoted for the place where it stands (YAML, a table, a code
block).

The layer map stands beside it as a file, since inside the text it would be fifty thousand
characters that nobody can read; the layers are in the card as text, too, for readers
without pictures.
"""

import re

from distexpand.planning.model import LayerOrigin, Plan
from distexpand.report.glyphs import UNICODE, printable
from distexpand.report.picture.picture import layer_picture
from distexpand.report.picture.runs import LayerRun, is_repeat, layer_runs, model_names, ranges
from distexpand.report.sizes import count_text, plural

PICTURE_NAME = "layers.svg"
"""The file beside the card that has the layer map."""

_HUB_NAME = re.compile(r"([A-Za-z0-9][\w.-]*/)?[A-Za-z0-9][\w.-]*", re.ASCII)
_PLAIN_NAME = re.compile(r"\w(?:[\w .+-]*\w)?")
_MARKDOWN = re.compile(r"([\\`*\[\]<>#|~&$]|(?<!\w)_|_(?!\w))")


def model_card(
    *,
    title: str,
    recipe: str,
    layers: tuple[LayerOrigin, ...],
    layer_prefix: str,
    parameters: int,
    source_parameters: int,
    base_models: tuple[str, ...],
    license_name: str | None,
) -> str:
    """Return the text of README.md; `recipe` is the canonical recipe, names are those of the recipe."""
    sections = [
        _front_matter(base_models, license_name),
        f"# {escaped(title)}",
        _introduction(layers, parameters, source_parameters),
        "## Layers",
        f"![Layer map: which source layer stands where in the output]({PICTURE_NAME})",
        fenced(layer_picture(layers), "text"),
        _runs_table(layers),
        _new_layers(layers, layer_prefix),
        "## Recipe",
        fenced(recipe, "yaml"),
        _commands(),
    ]
    return "\n\n".join(sections) + "\n"


def plan_title(plan: Plan) -> str:
    """Return what to call a plan's output: after the model of its first layer."""
    models = model_names(plan.layers)
    return expanded_title(models[0] if models else "", len(plan.layers))


def expanded_title(model: str, layers: int) -> str:
    """Return the title of a model's expansion to so many layers."""
    return f"{short_name(model)} expanded to {plural(layers, 'layer')}"


def short_name(model: str) -> str:
    """Return what to call a model in a title: the last part of its name, if that reads as a name."""
    last = model.rstrip("/").rpartition("/")[2]
    return last if _PLAIN_NAME.fullmatch(last) else "A model"


def yaml_quoted(text: str) -> str:
    """Return the text as a double-quoted YAML scalar on one line."""
    return '"' + "".join(map(_yaml_character, text)) + '"'


def escaped(text: str) -> str:
    """Return the text as one line of Markdown that reads as it is written."""
    return _MARKDOWN.sub(r"\\\1", printable(text, UNICODE)).strip()


def code_span(text: str) -> str:
    """Return the text as inline code that may stand in a table cell (so `|` becomes `¦`)."""
    line = printable(text, UNICODE).replace("|", "\N{BROKEN BAR}")
    fence = "`" * (_longest_backticks(line) + 1)
    space = " " if line.startswith(("`", " ")) or line.endswith(("`", " ")) else ""
    return f"{fence}{space}{line}{space}{fence}"


def fenced(text: str, language: str) -> str:
    """Return the text as a code block that nothing in it can close."""
    fence = "`" * max(3, _longest_backticks(text) + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def _longest_backticks(text: str) -> int:
    return max((len(run) for run in re.findall("`+", text)), default=0)


def _yaml_character(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    if character.isprintable():
        return character
    if "\ud800" <= character <= "\udfff":
        return "?"  # half a surrogate pair: no encoding can write it
    return f"\\U{ord(character):08x}"


def _front_matter(base_models: tuple[str, ...], license_name: str | None) -> str:
    """Return what the Hub reads; it refuses base models that can't be names of repositories."""
    names = [name.partition("@")[0] for name in base_models]
    on_hub = [name for name in dict.fromkeys(names) if _HUB_NAME.fullmatch(name)]
    lines = ["---"]
    if on_hub:
        lines += ["base_model:", *(f"- {yaml_quoted(name)}" for name in on_hub)]
    lines += ["library_name: transformers", "tags:", "- distexpand", "- merge"]
    if license_name is not None:
        lines.append(f"license: {yaml_quoted(license_name)}")
    return "\n".join([*lines, "---"])


def _introduction(layers: tuple[LayerOrigin, ...], parameters: int, source_parameters: int) -> str:
    models = model_names(layers)
    source = code_span(models[0]) if len(models) == 1 else plural(len(models), "model")
    parts = [
        f"{plural(sum(layer.identity for layer in layers), 'identity block')}",
        f"{sum(map(is_repeat, layers))} repeated",
    ]
    shown = [part for part in parts if not part.startswith("0 ")]
    including = f", {' and '.join(shown)} among them" if shown else ""
    return (
        f"A model of {plural(len(layers), 'layer')} and {count_text(parameters)} parameters, put together by "
        f"`distexpand` from layers of {source} "
        f"(base model: {count_text(source_parameters)} parameters){including}. "
        "No weight was trained in making it."
    )


def _runs_table(layers: tuple[LayerOrigin, ...]) -> str:
    rows = ["| output layers | source | source layers | what |", "|---|---|---|---|"]
    for run in layer_runs(layers):
        source = code_span(run.model)
        rows.append(
            f"| {_range(run.start, run.stop - 1)} | {source} | {_source_layers(run)} | {_what(run)} |"
        )
    return "\n".join(rows)


def _range(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}\N{EN DASH}{last}"


def _source_layers(run: LayerRun) -> str:
    times = len(run.origins)
    if run.first == run.last and times > 1:
        return f"{run.first} ({times} times)"
    return _range(run.first, run.last)


def _what(run: LayerRun) -> str:
    words = []
    if run.identity:
        words.append("identity")
    elif run.repeats:
        words.append("repeated" if run.repeats == len(run.origins) else f"{run.repeats} repeated")
    elif not run.others and not run.transforms:
        words.append("copied")
    words += [f"blended with {code_span(model)} {_range(first, last)}" for model, first, last in run.others]
    words += [escaped(transform) for transform in run.transforms]
    kinds = [code_span(kind) for kind, _ in run.kinds]
    return ", ".join([*words, *kinds])


def _new_layers(layers: tuple[LayerOrigin, ...], layer_prefix: str) -> str:
    new = [number for number, layer in enumerate(layers) if layer.new]
    if not new:
        return "No layer is a repeat or an identity block."
    listed = ", ".join(_range(first, last) for first, last in ranges(new))
    names = code_span(f"{layer_prefix.rstrip('.')}.{new[0]}.")
    return (
        f"New layers (repeats and identity blocks): {listed}. To train only what is new, train these and "
        f"freeze the rest; the tensors of the first of them begin with {names}."
    )


def _commands() -> str:
    return (
        "## Make it again\n\n"
        "Save the recipe above as `recipe.yml`; where its models lie on disk is said with "
        "`--model NAME=PATH`.\n\n"
        + fenced("pip install distexpand\ndistexpand run recipe.yml OUT", "sh")
        + "\n\n## Check it\n\n"
        "Checks the files against each other and against the manifest:\n\n"
        + fenced("distexpand verify OUT", "sh")
    )
