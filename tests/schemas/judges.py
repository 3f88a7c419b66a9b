"""The schemas as validators, and what both judges, schema and parser, say of a recipe."""

import json
from functools import cache
from typing import Any

import jsonschema

from distexpand.errors import RecipeError
from distexpand.recipe.canonical import ModelRef
from distexpand.recipe.document import read_document
from distexpand.recipe.parse import parse_recipe
from distexpand.schemas import schema_text

_NAMING = {"model", "slices", "models", "modules", "base_model_name_or_path"}


@cache
def validator(name: str) -> jsonschema.Draft7Validator:
    schema = json.loads(schema_text(name))
    jsonschema.Draft7Validator.check_schema(schema)
    return jsonschema.Draft7Validator(schema)


def recipe_data(text: str) -> dict[str, object]:
    return read_document(text, origin="r", keywords=()).data


def schema_accepts(data: dict[str, Any]) -> bool:
    return validator("recipe").is_valid(data)


def parser_refusal(data: dict[str, Any]) -> str:
    default = ModelRef(name="given") if not _NAMING & data.keys() else None
    try:
        parse_recipe(json.dumps(data), origin="r", default_model=default)
    except RecipeError as error:
        return error.message
    return ""
