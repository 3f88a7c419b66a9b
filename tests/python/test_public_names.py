"""What `import distexpand` gives: every public name, typed, and nothing imported before it is asked for."""

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import distexpand
from distexpand import errors


def _offered_to_type_checkers() -> set[str]:
    tree = ast.parse(Path(inspect.getfile(distexpand)).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    return {alias.name for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}


def test_what_is_public_is_listed_typed_and_there() -> None:
    assert set(distexpand.__all__) == _offered_to_type_checkers()
    assert distexpand.__all__ == sorted(distexpand.__all__)
    assert set(distexpand.__all__) <= set(dir(distexpand))
    for name in distexpand.__all__:
        assert getattr(distexpand, name).__doc__


def test_every_error_is_public() -> None:
    kinds = {name for name, kind in vars(errors).items() if isinstance(kind, type)}
    assert kinds <= set(distexpand.__all__)


def test_a_name_that_isn_t_there_is_no_attribute() -> None:
    assert not hasattr(distexpand, "explode")


def test_every_parameter_is_typed_and_its_default_repeated_nowhere_else() -> None:
    for function in (
        distexpand.plan,
        distexpand.run,
        distexpand.submit,
        distexpand.verify,
        distexpand.inspect,
    ):
        signature = inspect.signature(function)
        assert signature.return_annotation is not inspect.Parameter.empty
        for parameter in signature.parameters.values():
            assert parameter.annotation is not inspect.Parameter.empty
            assert f"{parameter.name}:" in (function.__doc__ or ""), (function.__name__, parameter.name)


def test_importing_has_no_side_effects() -> None:
    program = (
        "import os, signal, sys, threading, warnings\n"
        "def state():\n"
        "    return (dict(os.environ), os.getcwd(), signal.getsignal(signal.SIGINT), sys.excepthook,\n"
        "            threading.active_count(), list(warnings.filters), sys.getrecursionlimit())\n"
        "before, known = state(), set(sys.modules)\n"
        "import distexpand\n"
        "assert state() == before\n"
        "own = {name for name in set(sys.modules) - known if name.startswith('distexpand.')}\n"
        "assert not own, own\n"
        "[getattr(distexpand, name) for name in distexpand.__all__]\n"
        "assert state() == before\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)
