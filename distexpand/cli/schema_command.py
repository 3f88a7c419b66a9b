"""`distexpand schema`: the JSON Schemas, for editors and for programs that read what this one writes."""

import click

from distexpand.schemas import SCHEMAS


@click.command("schema", short_help="Print the JSON Schema of a recipe, batch file, manifest or plan.")
@click.argument("name", type=click.Choice(SCHEMAS), metavar=f"[{'|'.join(SCHEMAS)}]")
def schema_command(name: str) -> None:
    """Print a JSON Schema, by which editors complete and check as one types.

    Keep it as a file, and begin a recipe with `# yaml-language-server: $schema=recipe.json`.
    """
    from distexpand.schemas import schema_text

    click.echo(schema_text(name), nl=False)
