"""The one way in: the text of a recipe in any dialect to a draft.

The dialect is told from the top-level keys, never from the file's name, so that
a recipe can come from a pipe. JSON is read as the YAML that it is.
"""

import difflib

from distexpand.recipe import adapter_config, mergekit, shorthand
from distexpand.recipe.canonical import ModelRef
from distexpand.recipe.document import Document, read_document
from distexpand.recipe.draft import Draft
from distexpand.recipe.located import Located, describe

_MERGEKIT = frozenset({"slices", "models", "modules"})
_ADAPTER = frozenset(adapter_config.KEYS)
_SHORTHAND = frozenset(shorthand.FORMS)
_KEYWORDS = frozenset({*mergekit.KEYS, *shorthand.KEYS, *adapter_config.KEYS})


def parse_recipe(text: str, *, origin: str, default_model: ModelRef | None = None) -> Draft:
    """Parse a recipe.

    Args:
        text: the recipe, YAML or JSON.
        origin: the file's name, for messages.
        default_model: the model of a recipe that names none.

    Raises:
        RecipeError: naming file, key path, what was found and what would be right.
    """
    document = read_document(text, origin=origin, keywords=_KEYWORDS)
    keys = document.data.keys()
    if keys & _MERGEKIT:
        return _without_default(mergekit.parse_mergekit(document, origin=origin), default_model)
    if keys & _SHORTHAND:
        return shorthand.parse_shorthand(document, origin=origin, default_model=default_model)
    if "merge_method" in keys:
        return _without_default(mergekit.parse_mergekit(document, origin=origin), default_model)
    if keys & _ADAPTER:
        return adapter_config.parse_adapter_config(document, origin=origin, default_model=default_model)
    raise _unknown_dialect(document, origin)


def _without_default(draft: Draft, default_model: ModelRef | None) -> Draft:
    """Refuse a default model that would go unused, unless the recipe means that model anyway."""
    if default_model is None or default_model in draft.models:
        return draft
    root = Located(value=None, path="", origin=draft.origin)
    named = ", ".join(str(model) for model in draft.models[:4])
    raise root.error(
        f"the recipe names its models ({named}), so {default_model} can't be given without a name",
        hint=f"Say where a model lies with --model {draft.models[0]}=PATH.",
    )


def _unknown_dialect(document: Document, origin: str) -> Exception:
    known = sorted(_MERGEKIT | _SHORTHAND | {"layer_replication"})
    strange = [key for key in list(document.data)[:20] if key not in _KEYWORDS]
    guesses = [difflib.get_close_matches(key, known, n=1) for key in strange]
    close = next((guess[0] for guess in guesses if guess), None)
    asked = f"; did you mean `{close}`?" if close else ""
    return Located(value=document.data, path="", origin=origin).error(
        f"found {describe(document.data)}, which is no recipe{asked}",
        hint=(
            "A recipe is a mergekit config (slices, merge_method), a layer map (layer_map), an adapter "
            "config with layer_replication, or a model with block_expansion, depth_up_scaling or repeat."
        ),
    )
