"""TABLE 5: REST: collection -> address below it -> view."""

from collections.abc import Mapping

from django.urls import path
from rest_framework.views import APIView

from apps.accounts.api import NoSuchResource
from apps.commitment.api import commitments
from apps.jobs.api import jobs, schedules
from apps.mpps.api import report
from apps.mpps.api import steps as performed
from apps.network.api import listeners, peers, servers
from apps.qr.api import exports
from apps.qr.api import remote as archives
from apps.routing.api import rules
from apps.worklist.api import links, remote, steps

COLLECTIONS: Mapping[str, Mapping[str, type[APIView]]] = {
    "jobs": {
        "": jobs.Jobs,
        "kinds/": jobs.Kinds,
        "<int:key>/": jobs.JobResource,
        "<int:key>/items/": jobs.Items,
        "<int:key>/result/": exports.Result,
        "<int:key>/log/": jobs.Log,
        "<int:key>/cancel/": jobs.Cancel,
        "<int:key>/pause/": jobs.Pause,
        "<int:key>/resume/": jobs.Resume,
        "<int:key>/retry/": jobs.Retry,
    },
    "peers": {"": peers.Peers, "<int:key>/": peers.PeerResource, "<int:key>/echo/": peers.Echo},
    "listeners": {"": listeners.Listeners, "<int:key>/": listeners.ListenerResource},
    "schedules": {"": schedules.Schedules, "<int:key>/": schedules.ScheduleResource, "<int:key>/run/": schedules.Run},
    "dicomweb-servers": {"": servers.Servers, "<int:key>/": servers.ServerResource},
    "remote": {"query/": archives.Query},
    "worklist": {
        "": steps.Steps,
        "bulk/": steps.Bulk,
        "remote/": remote.Remote,
        "<int:key>/": steps.Step,
        "<int:key>/cancel/": steps.Cancel,
        "<int:key>/status/": steps.Status,
        "<int:key>/history/": steps.History,
    },
    "routing-rules": {
        "": rules.Rules,
        "attributes/": rules.Attributes,
        "dry-run/": rules.DryRun,
        "<int:key>/": rules.Rule,
        "<int:key>/move/": rules.Move,
        "<int:key>/dry-run/": rules.DryRunOfRule,
        "<int:key>/apply/": rules.Apply,
    },
    "study-links": {
        "": links.StudyLinks,
        "<int:key>/": links.StudyLinkView,
        "<int:key>/link/": links.Link,
        "<int:key>/unlink/": links.Unlink,
        "<int:key>/dismiss/": links.Dismiss,
    },
    "commitments": {
        "": commitments.Commitments,
        "<int:key>/": commitments.Commitment,
        "<int:key>/references/": commitments.References,
    },
    "procedure-steps": {
        "": performed.Steps,
        "report/": report.Report,
        "<int:key>/": performed.Step,
        "<int:key>/complete/": performed.Complete,
        "<int:key>/discontinue/": performed.Discontinue,
        "<int:key>/close/": performed.Close,
        "<int:key>/scheduled/": performed.Attach,
        "<int:key>/history/": performed.History,
    },
}

urlpatterns = [
    *(
        path(f"{collection}/{address}", view.as_view())
        for collection, addresses in COLLECTIONS.items()
        for address, view in addresses.items()
    ),
    path("<path:other>", NoSuchResource.as_view()),
]
