"""How each code block is tested, where it isn't simply run in its page's folder after those before it.

A block is named by its page and the beginning of its text. An entry that names no block fails the tests,
so the table stays true.
"""

from dataclasses import dataclass

from tests.docs.blocks import Block


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """The block of a page that begins so."""

    page: str
    start: str

    def names(self, block: Block) -> bool:
        """Whether a block is this entry's."""
        return block.page == self.page and block.text.startswith(self.start)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed(Entry):
    """A block that can't be run here, and why; its form, options, targets and files are checked."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared(Entry):
    """A block that is run after something that its page takes for granted: shell, or Python for Python."""

    before: str


_INDEX = "installs from a package index"
_KUBERNETES = "needs a Kubernetes cluster; tests/cluster_files checks the manifests"
_CLOUD = "starts machines in a cloud; tests/cluster_files checks the files"

PARSED = (
    Parsed(page="README.md", start="make demo", reason=_INDEX),
    Parsed(page="README.md", start="make test", reason="is what runs this test"),
    Parsed(page="README.md", start="pip install .", reason=_INDEX),
    Parsed(page="docs/quick-start.md", start="pip install", reason=_INDEX),
    Parsed(
        page="docs/how-to/goliath-on-a-laptop.md",
        start="distexpand eval",
        reason="137 layers take long; the README and docs/training.md have the same, where it is run",
    ),
    Parsed(
        page="docs/how-to/nightly-batches.md",
        start="distexpand batch nightly.yml --address",
        reason="the README has the same, where it is run",
    ),
    Parsed(page="docs/scaling.md", start="python -m benchmarks", reason="measures for half an hour, as root"),
    Parsed(page="docs/how-to/hub-to-hub.md", start="pip install", reason=_INDEX),
    Parsed(page="docs/places.md", start="pip install", reason=_INDEX),
    Parsed(page="docs/training.md", start="python docs/examples", reason="tests/handoff runs it, smaller"),
    Parsed(page="cluster/one-machine/README.md", start="make cluster", reason=_INDEX),
    Parsed(page="cluster/one-machine/README.md", start="export", reason="what `make cluster` prints"),
    Parsed(page="cluster/autoscaler/README.md", start="ray get-auth-token", reason=_CLOUD),
    Parsed(page="cluster/container/README.md", start="podman", reason="builds an image from a registry"),
    Parsed(page="cluster/kuberay/README.md", start="kubectl create", reason=_KUBERNETES),
    Parsed(page="cluster/kuberay/README.md", start="kubectl port-forward", reason=_KUBERNETES),
    Parsed(page="cluster/kubernetes/README.md", start="kubectl", reason=_KUBERNETES),
    Parsed(page="cluster/prometheus/README.md", start="promtool", reason="needs Prometheus"),
    Parsed(
        page="cluster/slurm/README.md",
        start="cd cluster/slurm",
        reason="needs Slurm; tests/cluster_files runs the script on a stand-in",
    ),
    Parsed(page="cluster/systemd/README.md", start="sudo", reason="changes the machine's services"),
)

PREPARED = (
    Prepared(page="README.md", start="distexpand adapter export", before="rm -r out"),
    Prepared(page="README.md", start="distexpand jobs list", before="rm -r out"),
    Prepared(
        page="README.md",
        start="distexpand batch",
        before="cp configs/goliath-120b.yml configs/solar-10.7b.yml .\n"
        "mkdir bin; printf '#!/bin/sh\\n' > bin/rclone; chmod +x bin/rclone; PATH=$PWD/bin:$PATH",
    ),
    Prepared(
        page="README.md",
        start="import distexpand\n\nmodel = distexpand.load_virtual",
        before="from transformers import AutoModelForCausalLM\n"
        "places = {'mistralai/Mistral-7B-v0.1': '/models/mistral-7b'}\n"
        "expanded = AutoModelForCausalLM.from_pretrained('out')",
    ),
    Prepared(
        page="README.md",
        start="import distexpand\n\nplaces =",
        before="import shutil; shutil.rmtree('out')",
    ),
    Prepared(
        page="docs/adapters.md",
        start="distexpand adapter export",
        before="echo 'layer_map: [[0, 20], [10, 30]]' > recipe.yml",
    ),
    Prepared(
        page="docs/adapters.md",
        start="slices:\n- sources: [{model: base+lora",
        before="cp -r /models/base base; cp -r runs/lora lora",
    ),
    Prepared(page="docs/places.md", start="distexpand plan", before="cp configs/goliath-120b.yml ."),
    Prepared(
        page="docs/terminal.md",
        start="distexpand run solar.yml",
        before="cp configs/solar-10.7b.yml solar.yml",
    ),
    Prepared(page="docs/terminal.md", start="distexpand doctor", before="mkdir -p /scratch"),
    Prepared(
        page="docs/training.md",
        start="distexpand eval",
        before="cp -r /models/model model-a; cp -r /models/model model-b\n"
        "echo '{model: org/model, block_expansion: {blocks: 2, where: end}}' > candidate.yml",
    ),
    Prepared(
        page="docs/training.md",
        start="import distexpand\n\nmodel = distexpand.load_virtual",
        before="from transformers import AutoTokenizer\n"
        "tokens = AutoTokenizer.from_pretrained('/models/model')('a b c', return_tensors='pt')",
    ),
    Prepared(
        page="docs/training.md",
        start="distexpand verify out --load",
        before="distexpand run candidate.yml out --model org/model=/models/model",
    ),
    Prepared(page="docs/training.md", start="distexpand init", before="cp -r out trained"),
)

PROGRAMS = frozenset(
    (
        *("distexpand", "python", "make", "cat", "cd", "cp", "diff", "echo", "eval", "export", "ls", "mkdir"),
        *("dd", "kill", "printf", "sleep", "test", "wait"),
    )
)
"""What a block may call that isn't listed above: programs that change nothing outside their folder."""

TEXTS = ("", "text")
"""Languages of blocks that are pictures, layouts or output: nothing in them is meant to be run."""
