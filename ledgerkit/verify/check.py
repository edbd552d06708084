"""One verification from beginning to end: log, collection, plates, what lies between them, the sample."""

from __future__ import annotations

import base64
import contextlib
import gc
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from ledgerkit import layout, merkle
from ledgerkit.canonical import sha256_hex
from ledgerkit.errors import LedgerkitError, RepositoryNotFound, UsageError
from ledgerkit.findings import sound
from ledgerkit.merkle import Checkpoint
from ledgerkit.reading import Tree
from ledgerkit.verify.collection import (
    LEDGER_FILE,
    check_collection,
    pending,
    read_collection,
    repository_id,
)
from ledgerkit.verify.crew import results
from ledgerkit.verify.cursor import Cursor
from ledgerkit.verify.files import Checker
from ledgerkit.verify.logfiles import check_log, compare_checkpoint
from ledgerkit.verify.plan import (
    DEPTHS,
    FULL,
    LOOKED,
    QUICK,
    UNREAD,
    FileResult,
    Plan,
    not_kept_yet,
)
from ledgerkit.verify.plates import expectations, state
from ledgerkit.verify.view import Total, VerifyView
from ledgerkit.verify.work import Work, compare_foreign, read_sample

Progress = Callable[[int, int], None]
ATTEMPTS = 3
SCHEMA_VERSION = "verify.v1"


def verify(
    root: Path,
    *,
    depth: str = "full",
    sample: int | None = None,
    seed: int | None = None,
    plates: list[str] | None = None,
    checkpoint: str | None = None,
    resume: str | Path | None = None,
    workers: int = 2,
    progress: Progress | None = None,
    each: Callable[[list[FileResult]], None] | None = None,
) -> VerifyView:
    """Verify a repository, read-only.

    `depth` is `structure` (names, records, log, existence and size), `quick` (XXH3-128) or `full`
    (SHA-256). `sample` files are drawn by `seed` and read in full; the others are only looked at.
    `plates` restricts it to some plates and the log. `checkpoint` is the text of one that was kept
    elsewhere: the log must extend it. `resume` is a cursor file outside the repository. `each` gets
    what became of every single file. Raises `UsageError`, `RepositoryNotFound`, `ProofInvalid`.
    """
    began = time.monotonic()
    if depth not in DEPTHS:
        raise UsageError(f"depth {depth!r} is none of {', '.join(DEPTHS)}")
    if sample is not None and (sample < 1 or resume is not None):
        raise UsageError("a sample is of one file or more, and is drawn without --resume")
    if sample is not None and seed is None:
        seed = random.SystemRandom().randrange(1 << 32)
    given = merkle.parse_checkpoint(checkpoint) if checkpoint is not None else None
    plan = Plan(
        str(root),
        level=LOOKED if sample else DEPTHS[depth],
        sample=sample or 0,
        seed=seed or 0,
        rows=each is not None,
        stamped=resume is not None,
    )
    cursor = Path(resume) if resume is not None else None
    with _uncollected():
        work = _rounds(root, plan, given, plates, cursor, depth, workers, progress)
    for found in (work.log_checker.found, work.checker.found, *work.suspects.values()):
        work.total.add([found])
    if sample:
        read_sample(work, sample)
    if each is not None:
        each(work.total.rows)
    return _view(work, depth, sample, seed, given, time.monotonic() - began)


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """Without looking for cycles: millions of small values are made, and none refer to each other."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def _rounds(
    root: Path,
    plan: Plan,
    given: Checkpoint | None,
    plates: list[str] | None,
    resume: Path | None,
    depth: str,
    workers: int,
    progress: Progress | None,
) -> Work:
    """Verify; where something was found and somebody committed meanwhile, look at that again."""
    work: Work | None = None
    for _ in range(ATTEMPTS):
        before = _marks(Tree(root))
        work = _prepare(root, plan, given, plates, work)
        cursor = _cursor(work, resume, depth, plates) if resume is not None else None
        _run(work, cursor, workers, progress)
        if before == _marks(Tree(root)) or not work.anything_found():
            break  # else what was found may be of a former state
    assert work is not None
    return work


def _marks(tree: Tree) -> list[str]:
    """What changes with every commit and every building of ledgers."""
    marks = []
    for path in (layout.CHECKPOINT, layout.INTENT, LEDGER_FILE):
        try:
            marks.append(sha256_hex(tree.read(path, 1 << 30)))
        except (LedgerkitError, OSError) as error:
            marks.append(type(error).__name__)
    return marks


def _prepare(
    root: Path,
    plan: Plan,
    given: Checkpoint | None,
    chosen: list[str] | None,
    former: Work | None,
) -> Work:
    """Read the log and the records of the collection: what is expected of every plate.

    Of a `former` round, plates without findings are not read again.
    """
    tree = Tree(root)
    if not any(entry.name == layout.PLATES and entry.is_folder for entry in tree.entries()):
        raise RepositoryNotFound(f"{root} is not a repository: it has no folder {layout.PLATES}")
    log_checker = Checker(plan, layout.LOG)
    plan = log_checker.plan = replace(plan, pending=pending(tree, log_checker))
    log = check_log(tree, log_checker, repository_id(tree))
    if given is not None:
        compare_checkpoint(log_checker, log, given)
    logged = log.logged if log.checkpoint is not None or not log.whole else None
    plan = replace(plan, logged=logged, log_whole=log.whole)
    plan = replace(plan, pending=not_kept_yet(plan.pending, logged, {}))
    checker = Checker(plan, layout.COLLECTION)
    collection = read_collection(tree, checker, log.order if log.checkpoint and log.whole else None)
    plan = replace(
        plan,
        seals=collection.seals,
        pending=not_kept_yet(plan.pending, logged, collection.seals),
        claims=collection.claims,
        evicted=frozenset(collection.evicted),
    )
    checker.plan = plan
    there, strange = _plate_folders(tree, checker)
    known = set(there) | {unit for unit in collection.seals if unit} | set(log.logged)
    known -= {layout.COLLECTION}
    wanted = layout.sort_plates([plate for plate in known if chosen is None or plate in chosen])
    lacking = sorted(set(chosen or ()) - known)
    if lacking:
        raise UsageError(f"no such plate: {', '.join(lacking[:5])}")
    work = Work(
        tree, plan, log, collection, log_checker, checker, wanted, len(known) - len(wanted), Total()
    )
    if chosen is None:
        for folder in strange:
            with tree.folder(f"{layout.PLATES}/{folder}") as inner:
                checker.tree(inner, {}, checker.unlisted)
    if former is not None:
        work.total, work.sound, work.candidates = former.total, former.sound, former.candidates
        work.foreign, work.taken_over = former.foreign, former.taken_over
    return work


def _plate_folders(tree: Tree, checker: Checker) -> tuple[list[str], list[str]]:
    """Folders of plates, and folders that are none; what else lies there is a finding."""
    plates, strange = [], []
    try:
        with tree.folder(layout.PLATES) as folder:
            for name, is_folder, is_file in folder.entries():
                path = f"{layout.PLATES}/{name}"
                if not is_folder:
                    checker.unlisted(folder, name, path, is_file)
                elif layout.is_plate_id(name):
                    plates.append(name)
                else:
                    checker.add("PLATE_ID_INVALID", path)
                    strange.append(name)
    except (LedgerkitError, OSError) as error:
        checker.add("PATH_UNREADABLE", layout.PLATES, getattr(error, "strerror", None) or error)
    return plates, strange


def _cursor(work: Work, path: Path, depth: str, plates: list[str] | None) -> Cursor:
    checkpoint = work.log.checkpoint.text() if work.log.checkpoint else None
    return Cursor(
        path,
        work.tree.root,
        {
            "checkpoint": checkpoint,
            "depth": depth,
            "plates": None if plates is None else sorted(plates),
            "rows": work.plan.rows,
        },
    )


def _run(work: Work, cursor: Cursor | None, workers: int, progress: Progress | None) -> None:
    """Check everything that is not done: the collection here, the plates in workers."""
    waiting = [plate for plate in work.plates if plate not in work.sound]
    total = len(work.plates)
    if cursor is not None:
        waiting = _take_over(work, cursor, waiting)
    done = total - len(waiting)
    finished = False

    def collection() -> None:
        if not work.left_out:
            check_collection(work.tree, work.checker, work.collection, work.log)

    try:
        for found in results(work.plan, waiting, workers, collection):
            if cursor is not None:
                cursor.add(found, expectations(work.plan, found.unit), found.state)
            work.add(found)
            done += 1
            if progress:
                progress(done, total)
        compare_foreign(work)
        finished = True
    finally:
        if cursor is not None:
            cursor.close(finished)


def _take_over(work: Work, cursor: Cursor, waiting: list[str]) -> list[str]:
    """Plates that are still to be read, for nothing or something else was verified of them."""
    left = []
    with work.tree.folder(layout.PLATES) as folder:
        for plate in waiting:
            found = None
            if plate in cursor.done:
                expected = expectations(work.plan, plate)
                found = cursor.taken_over(plate, expected, state(folder, plate))
            if found is None:
                left.append(plate)
            else:
                work.add(found)
                work.taken_over += 1
    return left


def _view(
    work: Work,
    depth: str,
    sample: int | None,
    seed: int | None,
    given: Checkpoint | None,
    seconds: float,
) -> VerifyView:
    total, head = work.total, work.log.checkpoint
    findings = sorted(set(total.findings), key=lambda one: (one.subject, one.code, one.message))
    return VerifyView(
        schema_version=SCHEMA_VERSION,
        depth=depth,
        sample=sample,
        seed=seed if sample else None,
        plates=len(work.plates),
        plates_left_out=work.left_out,
        plates_taken_over=work.taken_over,
        full=total.read(FULL),
        quick=total.read(QUICK),
        structure=total.read(LOOKED),
        unread=total.read(UNREAD),
        right=total.right,
        wrong=total.wrong,
        not_checked=sum(total.files) - total.right - total.wrong,
        log_size=head.size if head else None,
        log_root=base64.b64encode(head.root).decode() if head else None,
        extends=given.size if given else None,
        findings=findings,
        sound=sound(findings),
        seconds=round(seconds, 3),
    )
