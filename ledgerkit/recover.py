"""After a crash: finish what was promised, set aside what was not, and put on record what was done.

The order is: a plan of everything, flushed; the renames; the event `recover` with the list of them;
the plan goes. A second crash at any point leaves a state that the next `recover` takes to the same
end. A running job is left alone: the kernel lock on its staging folder is held.
"""

from __future__ import annotations

from ledgerkit.jobs import Job
from ledgerkit.leftovers import (
    Leftover,
    leftovers,
    refuse_checkpoint_set_back,
    refuse_damage_before,
)
from ledgerkit.log import refuse_log_set_back
from ledgerkit.relocation import (
    ASIDE,
    Action,
    Plan,
    alone,
    digest_of,
    finish,
    lend,
    new_id,
    unfinished,
    write_plan,
)
from ledgerkit.repository import Archive
from ledgerkit.views import RecoverView

OPERATION, EVENT_TYPE = "recover", "recovery"
PROMISED = ("intent", "plan")


def recover(
    archive: Archive, *, dry_run: bool = False, set_aside_tail: bool = False, wait: float = 60.0
) -> RecoverView:
    """Finish or set aside what a crash left, and record it; `dry_run` only lists.

    Raises `LogInvalid` when the log is damaged before its end, or when an older checkpoint was put
    back (unless `set_aside_tail`); `RepositoryBusy`.
    """
    if dry_run:
        actions = [_action(archive, "RECOVER-ID", one) for one in leftovers(archive)]
        return RecoverView(True, None, [], [one.view() for one in actions])
    archive.log.index()
    if not leftovers(archive):
        return RecoverView(False, None, [], [])
    with alone(archive, wait):
        runs: list[str] = []
        done: list[Action] = []
        plan = _begin(archive)
        with archive.job(wait) as job:
            if plan.operation != OPERATION:
                _finish(archive, job, plan, runs, done)
                plan = _new_plan()
            with archive.store.locked(wait):
                _extend(archive, plan, set_aside_tail)
            if plan.actions:
                _finish(archive, job, plan, runs, done)
        return RecoverView(
            False, plan.plan_id if runs else None, runs, [one.view() for one in done]
        )


def _new_plan() -> Plan:
    return Plan(new_id(OPERATION), OPERATION, EVENT_TYPE, {})


def _begin(archive: Archive) -> Plan:
    """The plan that a crash left, or a new one; an intent that waits is noted before it is finished."""
    plan = unfinished(archive)
    if plan is not None and plan.operation != OPERATION:
        return plan
    plan = plan or _new_plan()
    for one in leftovers(archive):
        if one.what == "intent" and not any(action.what == "intent" for action in plan.actions):
            plan.actions.append(_action(archive, plan.plan_id, one))
            write_plan(archive, plan)
    return plan


def _extend(archive: Archive, plan: Plan, set_aside_tail: bool) -> None:
    """Add what is left over now to the plan, and keep it. The repository's lock must be held."""
    index = archive.log.index()
    refuse_log_set_back(archive.tree, index.size)
    found = [one for one in leftovers(archive) if one.what not in PROMISED]
    tail = [one.path for one in found if one.what == "log-tail"]
    refuse_damage_before(archive, index)
    if not set_aside_tail:
        refuse_checkpoint_set_back(archive, tail)
    known = {action.source for action in plan.actions}
    plan.actions += [_action(archive, plan.plan_id, one) for one in found if one.path not in known]
    if plan.actions:
        lend(archive, plan)
        write_plan(archive, plan)


def _finish(archive: Archive, job: Job, plan: Plan, runs: list[str], done: list[Action]) -> None:
    run, actions = finish(archive, job, plan)
    runs += [run.run_id] if run else []
    done += actions


def _action(archive: Archive, recover_id: str, one: Leftover) -> Action:
    if one.what in PROMISED:
        return Action(one.what, one.path, None, one.why, one.bytes, one.files)
    target = f"{ASIDE}/{recover_id}/{one.path}"
    digest = digest_of(archive, one.path)
    return Action(one.what, one.path, target, one.why, one.bytes, one.files, digest)
