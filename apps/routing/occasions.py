"""Whether there is a rule that waits for something: asked by who would tell of it."""

from apps.routing.models import RoutingRule, When


def images_awaited() -> bool:
    return RoutingRule.objects.filter(enabled=True, when=When.IMAGE).exists()


def studies_awaited() -> bool:
    return RoutingRule.objects.filter(enabled=True, when=When.QUIET).exists()
