"""TABLE 4: what happened -> the kinds of job it makes; `apps.jobs` finds it by the setting EVENT_KINDS."""

from collections.abc import Mapping, Sequence
from datetime import timedelta

from apps.jobs.outbox import Reaction
from apps.mpps import forwarding
from apps.mpps.procedure_step import PERFORMED_CHANGED
from apps.routing import occasions
from apps.storage.index import INSTANCE_STORED, STUDY_CHANGED
from apps.worklist.schedule import STEP_CHANGED

EVENTS: Mapping[str, Sequence[Reaction]] = {
    STUDY_CHANGED: [
        Reaction("warm_up", once=True, delay=timedelta(minutes=1), priority=-10),
        # Not before a study has begun to be whole; a shorter delay would have it told of with each image.
        Reaction("link_studies", gathers="study_instance_uid", delay=timedelta(seconds=10)),
        # A rule's own patience begins with the last image, and may well be over by then.
        Reaction("route", key=("study_instance_uid",), delay=timedelta(seconds=10), wanted=occasions.studies_awaited),
    ],
    # Written only while it is wanted.
    INSTANCE_STORED: [Reaction("route", gathers="sop_instance_uid", wanted=occasions.images_awaited)],
    PERFORMED_CHANGED: [Reaction(forwarding.KIND, key=("performed",), wanted=forwarding.wanted)],
    STEP_CHANGED: [Reaction("link_orders", gathers="step"), Reaction("link_performed", gathers="step")],
}
