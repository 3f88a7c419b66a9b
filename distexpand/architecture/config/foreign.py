"""Lists by layer that a source has and the base model, whose config the output gets, has not."""

from collections.abc import Collection, Sequence

from distexpand.architecture.config.lists import by_layer, is_known
from distexpand.architecture.config.sources import Sources
from distexpand.architecture.layer_rules.paths import look_up
from distexpand.architecture.layer_rules.rule import LayerRule
from distexpand.errors import ArchitectureError


def refuse_foreign_lists(sources: Sources, known: Collection[str], rules: Sequence[LayerRule]) -> None:
    """Refuse layers that a list of their own config tells apart, where the output's config can't.

    A list whose entries are all the same is what a class takes where there is none, as a rule.

    Raises:
        ArchitectureError: names the source and the list.
    """
    judged = {*known, *(rule.overruled_by for rule in rules), *(key for rule in rules for key in rule.keys)}
    for number, source in sources.completed.items():
        for path in by_layer(source.level, source.num_layers, rules) if number else ():
            value = look_up(source.level, path)
            told_apart = isinstance(value, list) and any(entry != value[0] for entry in value)
            if path not in judged and is_known(path) and told_apart:
                raise ArchitectureError(
                    f"{sources.names[number]}: tells layers apart by {path!r}, which the base model's "
                    "config, the output's, doesn't have",
                    hint="Name as base_model a model whose config has it.",
                )
