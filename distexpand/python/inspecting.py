"""`distexpand.inspect`: what a model is made of, from headers and config only."""

from distexpand.api import inspect_model
from distexpand.python.arguments import Place, place_text
from distexpand.report.inspection import Inspection


def inspect(model: Place, *, stack: str = "") -> Inspection:
    """Say how a model can be expanded: its stacks and kinds of layers, sizes, dtypes, what is unusual.

    Args:
        model: a path, an address, or a name on the Hub.
        stack: another stack than the language model's or decoder's, by a part of its tensors' names.

    Returns:
        What was found; `print` it for the text of the command line.

    Raises:
        DistexpandError: it can't be read, or its layers can't be found.
    """
    return inspect_model(place_text(model, "model"), stack=stack)
