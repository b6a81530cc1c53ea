"""Kinds of job: what has come is looked at by the rules, and what is there already when an administrator asks."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson
from django.db.models import Q
from django.utils import timezone

from apps.accounts.principal import Principal
from apps.accounts.rest import InvalidRequest
from apps.jobs import queue
from apps.jobs.kind import Planned
from apps.jobs.run import JobError, JobRun
from apps.qr.attributes import Level
from apps.qr.rows import matching
from apps.qr.search import from_qido_params
from apps.routing import deciding, sending
from apps.routing.deciding import Origins, Rule, Waits, Wish
from apps.routing.models import RoutingRule, When
from apps.storage.models import Instance, Study
from dicom.errors import DicomError, InvalidValue

KIND: Final = "route"
APPLY: Final = "apply_routing_rule"
_STUDY: Final = "series__study__study_instance_uid"


def route(run: JobRun) -> None:
    """A kind of job: `study_instance_uid`, one that changed, or `sop_instance_uid`, those that came."""
    uids = run.arguments.get("sop_instance_uid")
    if isinstance(uids, list):
        _route_images(run, uids)
    else:
        _route_study(run, run.arguments.get("study_instance_uid", ""))


def _route_images(run: JobRun, uids: Sequence[str]) -> None:
    """Study by study: what fails for one is no matter of the others."""
    came = Q(sop_instance_uid__any_of=uids)
    run.plan(sorted(Instance.objects.filter(came).values_list(_STUDY, flat=True).distinct()))
    rules = deciding.in_force()
    acting = [rule for rule in rules if rule.draft.when == When.IMAGE]
    if acting:
        _each(run, lambda uid: _wishes(rules, acting, came & Q(**{_STUDY: uid})))
    else:
        run.succeeded(*run.items())


def _route_study(run: JobRun, uid: str) -> None:
    study = Study.objects.filter(study_instance_uid=uid).first()
    if study is None:
        run.log("The study is not there any more")
        return
    rules = deciding.in_force()
    # When the index took in its latest image: while a backlog is worked off, that was received long ago.
    changed_at = datetime.fromtimestamp(study.revision / 1_000_000, UTC)
    acting, waits = deciding.quiet_enough(rules, (timezone.now() - changed_at).total_seconds())
    if waits:
        _look_again(uid, waits, changed_at, run)
    if acting:
        run.plan([uid])
        _each(run, lambda uid: _wishes(rules, acting, Q(**{_STUDY: uid})))


def _look_again(uid: str, waits: Waits, changed_at: datetime, run: JobRun) -> None:
    """One job for each wait: one that waits for longer does not stand in for it."""
    queue.submit(
        kind=KIND,
        principal=run.principal,
        arguments={"study_instance_uid": uid},
        key=f"{uid}/{waits.seconds}",
        due_at=changed_at + timedelta(seconds=waits.seconds),
        priority=run.job.priority,
    )


def check(principal: Principal, arguments: Mapping[str, Any]) -> Planned:
    """`rule`: its id; `filter`: parameters as of QIDO-RS; `again`: what was sent already, too."""
    errors = {name[:64]: "no such argument" for name in arguments if name not in ("rule", "filter", "again")}
    key, again = arguments.get("rule"), arguments.get("again", False)
    if isinstance(key, bool) or not isinstance(key, int) or not RoutingRule.objects.filter(pk=key).exists():
        errors["rule"] = "the id of a rule is needed"
    if not isinstance(again, bool):
        errors["again"] = "true or false"
    said = arguments.get("filter", {})
    try:
        studies(said, principal)
    except InvalidRequest as error:
        errors |= error.errors
    if errors:
        raise InvalidRequest(errors)
    asked = {"rule": key, "filter": said, "again": again}
    return Planned(asked, key=f"rule {key} {_digest(asked)}")


def _digest(asked: Mapping[str, Any]) -> str:
    """The same question waits once; one for other studies waits beside it."""
    return hashlib.blake2b(orjson.dumps(asked, option=orjson.OPT_SORT_KEYS), digest_size=16).hexdigest()


def apply(run: JobRun) -> None:
    """A kind of job: one rule on studies that are stored, whether it is on or not and whatever others say."""
    row = RoutingRule.objects.filter(pk=run.arguments["rule"]).first()
    if row is None:
        raise JobError("The rule was removed")
    rule = Rule(row.pk, deciding.Rule.of(row).draft)
    run.plan(studies(run.arguments["filter"], run.principal).values_list("study_instance_uid", flat=True))
    again = bool(run.arguments["again"])
    _each(run, lambda uid: _wishes([rule], [rule], Q(**{_STUDY: uid})), again=again)


def studies(said: Any, principal: Principal) -> Any:
    """Query set of studies that parameters of QIDO-RS find, in a stable order. Raises InvalidRequest."""
    if not isinstance(said, dict) or not all(isinstance(value, str | int) for value in said.values()):
        raise InvalidRequest({"filter": "an object of keywords and values is needed"})
    try:
        search = from_qido_params({name: [str(value)] for name, value in said.items()}, level=Level.STUDY)
    except InvalidValue as error:
        raise InvalidRequest({"filter": str(error)}) from error
    if search.ignored or "limit" in said or "offset" in said:
        wrong = [*search.ignored, *(name for name in ("limit", "offset") if name in said)]
        raise InvalidRequest({"filter": f"{', '.join(wrong)[:200]}: no attribute that studies are found by"})
    return matching(search.query, principal).order_by("pk")


def _wishes(rules: Sequence[Rule], acting: Sequence[Rule], which: Q) -> list[Wish]:
    return deciding.wishes(rules, deciding.images(which, rules), acting)


def _each(run: JobRun, wishes_of: Any, *, again: bool = False) -> None:
    """Study by study; what cannot be sent to one destination fails the study, after the others had theirs."""
    origins = Origins()
    for item in run.items():
        errors = []
        for wish in wishes_of(item.key):
            try:
                sent = sending.send(wish, origins, again=again)
            except DicomError as error:
                errors.append(f"{wish.rule.name} to {wish.destination.name}: {error}")
                continue
            if sent:
                run.log(f"{wish.rule.name}: {sent} images of {item.key} to {wish.destination.name}")
        if errors:
            run.failed(item, "; ".join(errors))
        else:
            run.succeeded(item)
