"""`distexpand inspect`: what a model is made of, from headers and config only."""

from dataclasses import asdict

import click

from distexpand.cli.messages import print_json
from distexpand.cli.options import json_option


@click.command("inspect", short_help="Show the layers, sizes, dtypes and config of MODEL.")
@click.argument("model")
@json_option
def inspect_command(model: str, as_json: bool) -> None:
    """Show the layer stack, sizes, dtypes and per-layer config of MODEL."""
    from distexpand.api import inspect_model
    from distexpand.report.sizes import bytes_text, count_text, plural

    found = inspect_model(model)
    if as_json:
        print_json(asdict(found))
        return
    dtypes = ", ".join(f"{name} {bytes_text(size)}" for name, size in found.dtypes.items())
    rows = {
        "layers": f"{found.stack.num_layers}, named {found.stack.prefix}0 and so on",
        "count": f"config.json: {'.'.join(found.stack.count_path)}",
        "parameters": count_text(found.parameters),
        "tensors": f"{found.tensors} in {plural(found.files, 'file')}, {bytes_text(found.bytes)}",
        "dtypes": dtypes,
        "per layer": ", ".join(found.per_layer_keys) or "nothing in config.json",
        "outside": ", ".join(found.outside),
    }
    for name, text in rows.items():
        click.echo(f"{name:<11} {text}")
