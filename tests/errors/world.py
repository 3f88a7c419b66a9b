"""The folder in which the examples make their mistakes, and what they raise in it."""

import os
import re
from pathlib import Path

from distexpand.errors import DistexpandError
from tests.api.small import BLOCKS, small_model
from tests.errors.examples import Example


def shown(error: DistexpandError, folder: Path) -> str:
    text = f"{error.message}\n{error.hint}" if error.hint else error.message
    for place in (os.path.realpath(folder), str(folder)):
        text = text.replace(place, "/data")
    return re.sub(r"process \d+ on [^)]+", "process 4321 on host", text)


def raised_by(example: Example, folder: Path) -> tuple[type[DistexpandError], str]:
    """Return the kind and the text of what an example raises in an empty folder."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        small_model(Path("models/a"))
        Path("recipe.yml").write_text(BLOCKS)
        example()
    except DistexpandError as error:
        return type(error), shown(error, folder)
    finally:
        os.chdir(before)
    raise AssertionError("nothing was raised")
