"""JSON Schemas of what users write and programs read: recipes, batch files, manifests, plans.

Files of their own, so that an editor can be pointed at one. The parsers stay the judges: a schema completes
and underlines while one types, and tests hold it to the parsers' own tables of keys.
"""

from importlib.resources import files

SCHEMAS = ("recipe", "batch", "manifest", "plan")


def schema_text(name: str) -> str:
    """Return the JSON text of one of `SCHEMAS`."""
    return files(__name__).joinpath(f"{name}.json").read_text(encoding="utf-8")
