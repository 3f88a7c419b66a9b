"""What the pages' commands find when they are run: models, a Hub, a store, a cluster; small, and real.

A block is run as it stands on its page, but for the few names of `SUBSTITUTES`.
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.docs.blocks import ROOT
from tests.support import shapes
from tests.support.adapter_files import write_adapter
from tests.support.hub_server import HubServer
from tests.support.hub_server.client import environment as hub_environment
from tests.support.ray_cluster import RayCluster, started_cluster
from tests.support.seaweedfs import SeaweedFS, started_seaweedfs
from tests.support.sparse import write_checkpoint

SUBSTITUTES = {
    "/models": "a folder of this world, since a test makes none at the root of a machine",
    "/scratch": "likewise",
    "/tmp": "likewise",
    "http://127.0.0.1:8265": "the cluster's own port, as several may run on a machine",
    "http://head:8265": "the cluster of this machine",
    "head:6379": "its other port",
    "make cluster": "nothing: the cluster is there, started as tests start them, without a package index",
    "make cluster-stop": "nothing: the test stops it",
}
"""Texts that are replaced before a block is run, and why."""

MODELS = {
    "base": ("org/base", 30),
    "model": ("org/model", 8),
    "mistral-7b": ("mistralai/Mistral-7B-v0.1", 32),
    "llama-2-7b": ("meta-llama/Llama-2-7b-hf", 32),
    "llama-3-8b": ("meta-llama/Meta-Llama-3-8B", 32),
    "xwin-70b": ("Xwin-LM/Xwin-LM-70B-V0.1", 80),
    "euryale-70b": ("Sao10K/Euryale-1.3-L2-70B", 80),
}
"""Directory below `/models` to name on the Hub and number of layers; all else about them is small."""

MATRICES = ("self_attn.q_proj", "mlp.down_proj")
"""What the adapters change."""

_CLUSTER = ("head:", "127.0.0.1:8265")
_FOREIGN = ("AWS_", "AZURE_", "GOOGLE_", "HF_", "HUGGING", "RAY_", "PYTHON", "PYTEST", "COV_", "DISTEXPAND_")


@dataclass(kw_only=True)
class World:
    """Made once for all pages; `fresh` gives a page a folder of its own in it."""

    folder: Path
    hub: HubServer
    token: str
    store: SeaweedFS
    stack: ExitStack
    _cluster: list[RayCluster] = field(default_factory=list)

    @property
    def cluster(self) -> RayCluster:
        """A cluster of two nodes, started by the first page that needs one."""
        if not self._cluster:
            nodes = {**self._places(), "PATH": _path(), "PYTHONPATH": str(ROOT)}
            self._cluster.append(self.stack.enter_context(started_cluster(dashboard=True, environment=nodes)))
            for name in ("one", "two"):
                self._cluster[0].add_node(name, cpus=2, resources={"io": 2})
        return self._cluster[0]

    def substituted(self, text: str) -> str:
        """Return a block's text as it is run here."""
        found = {f"/{name}": f"{self.folder}/{name}" for name in ("models", "scratch", "tmp")}
        found |= {"make cluster-stop": "true", "make cluster": "true"}
        if any(name in text for name in _CLUSTER):
            url = self.cluster.dashboard_url
            found |= {
                "http://127.0.0.1:8265": url,
                "http://head:8265": url,
                "head:6379": self.cluster.address,
            }
        assert found.keys() <= SUBSTITUTES.keys()
        named = "|".join(re.escape(name) for name in found)
        return re.sub(rf"(?<![\w/:.])(?:{named})(?!\w)", lambda match: found[match[0]], text)

    def environment(self, text: str = "") -> dict[str, str]:
        """Return what a command of a block finds in its environment."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
        ray = {}
        if any(name in text for name in _CLUSTER):
            found = self.cluster.driver_environment
            ray = {name: value for name, value in found.items() if name.startswith("RAY_")}
        return {
            **kept,
            **self._places(),
            **ray,
            "HOME": str(self.folder / "home"),
            "PATH": _path(),
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
            # Seconds for each of many runs; pages that are about the check ask for it.
            "DISTEXPAND_CHECK_LOAD": "0",
        }

    def _places(self) -> dict[str, str]:
        return {
            **hub_environment(self.hub, self.folder / "home", token=self.token),
            **self.store.environment(),
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }

    def fresh(self, page: str) -> Path:
        """Return an empty folder for a page, from which the repository's own files can be named."""
        shutil.rmtree(self.folder / "models" / "out", ignore_errors=True)
        (self.folder / "tmp").mkdir(exist_ok=True)
        folder = self.folder / "pages" / page.replace("/", "-").removesuffix(".md")
        folder.mkdir(parents=True)
        for name in ("cluster", "configs", "docs"):
            (folder / name).symlink_to(ROOT / name)
        words = (ROOT / "docs/examples/new-words.txt").read_text(encoding="utf-8")
        for name in ("wiki.txt", "held-out.txt"):
            (folder / name).write_text(words, encoding="utf-8")
        base = self.folder / "models" / "base"
        replicated = {"layer_replication": [[0, 20], [10, 30]]}
        write_adapter(folder / "runs" / "lora", base, MATRICES, **replicated)
        write_adapter(folder / "runs" / "code-lora", self.folder / "models" / "llama-2-7b", MATRICES)
        return folder

    def shell(self, text: str, folder: Path) -> subprocess.CompletedProcess[str]:
        """Run a shell script in a folder; any command of it that fails ends it."""
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", self.substituted(text)],
            cwd=folder,
            env=self.environment(text),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=300,
        )

    @contextmanager
    def python(self, folder: Path) -> Iterator[subprocess.Popen[str]]:
        """Start a session of Python in a folder."""
        with subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("python_session.py"))],
            cwd=folder,
            env=self.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as session:
            yield session


def _path() -> str:
    return os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath)])


@contextmanager
def made_world(folder: Path) -> Iterator[World]:
    """Make the models, and start the Hub and the store."""
    with ExitStack() as stack:
        hub = stack.enter_context(HubServer(folder / "hub"))
        store = stack.enter_context(started_seaweedfs(parent=folder))
        store.client.create_bucket(Bucket="models")
        for seed, (name, (on_hub, layers)) in enumerate(MODELS.items()):
            model = _model(folder / "models" / name, layers=layers, seed=seed)
            hub.hub.add(on_hub, {path.name: path.read_bytes() for path in model.iterdir()})
        adapter = write_adapter(folder / "math-lora", folder / "models" / "llama-2-7b", MATRICES)
        hub.hub.add("org/math-lora", {path.name: path.read_bytes() for path in adapter.iterdir()})
        (folder / "home").mkdir()
        token = hub.hub.add_user("me")
        yield World(folder=folder, hub=hub, token=token, store=store, stack=stack)


def _model(directory: Path, *, layers: int, seed: int) -> Path:
    sizes = {"hidden_size": 16, "intermediate_size": 24, "vocab_size": 160}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 128}
    shape = shapes.family("llama2-7b", num_layers=layers, dtype="BF16", **sizes, **heads)
    return write_checkpoint(directory, shape, fill="random", seed=seed, shard_size=100_000)
