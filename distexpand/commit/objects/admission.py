"""Whether a run may begin or go on in an output's folder in an object store; nothing is changed there."""

from dataclasses import dataclass, replace

from distexpand.commit.committer import OutputMode
from distexpand.commit.complete import require_sizes
from distexpand.commit.manifest import MANIFEST_NAME, is_manifest_of
from distexpand.commit.objects.occupied import Contents, look, obsolete_files, own_manifest, require_vacant
from distexpand.commit.objects.work import read_obsolete, stored_plan
from distexpand.commit.output_files import require_same
from distexpand.planning.codec.plans import same_work
from distexpand.planning.model import Plan
from distexpand.storage.objects.files import ObjectFiles


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """What was found: the contents, the plan to execute, whether all is done, and files to replace."""

    contents: Contents
    plan: Plan
    finished: bool = False
    obsolete: tuple[str, ...] = ()


def admit(files: ObjectFiles, plan: Plan, mode: OutputMode, *, known: Admission | None = None) -> Admission:
    """Check that the mode allows what is there.

    Args:
        files: those of the output.
        plan: to execute.
        mode: what may be there.
        known: what was found before; it is still right if the folder holds the same.

    Raises:
        UsageError: it doesn't.
        OutputError: the run is finished, but files are missing since.
        StorageError: the store doesn't tell.
    """
    contents = look(files)
    if known and (contents.visible, contents.work) == (known.contents.visible, known.contents.work):
        return replace(known, contents=contents)
    match mode:
        case OutputMode.FRESH:
            require_vacant(files, contents)
            return Admission(contents=contents, plan=plan)
        case OutputMode.OVERWRITE:
            return Admission(contents=contents, plan=plan, obsolete=obsolete_files(files, contents))
        case OutputMode.RESUME:
            return _resumed(files, plan, contents)


def _resumed(files: ObjectFiles, plan: Plan, contents: Contents) -> Admission:
    output = str(files.address)
    # What an overwriting run is about to remove doesn't count as finished.
    replacing = contents.work is not None and read_obsolete(contents.work)
    if MANIFEST_NAME in contents.visible and not replacing:
        made = own_manifest(files)
        require_same(is_manifest_of(made, plan), output=output)
        require_sizes(contents.visible.get, made, plan, output=output)
        return Admission(contents=contents, plan=plan, finished=True)
    stored = stored_plan(contents.work) if contents.work is not None else None
    if stored is None:
        require_vacant(files, contents)
        return Admission(contents=contents, plan=plan)
    require_same(same_work(stored, plan), output=output)
    return Admission(contents=contents, plan=replace(stored, locations=plan.locations))
