"""REST of listeners: `/api/listeners/`."""

from drf_spectacular.utils import extend_schema_view

from apps.network.api import description
from apps.network.api.rows import ConfiguredView, Row, Rows
from apps.network.models import Listener


class ListenerView(ConfiguredView):
    model = Listener
    collection = "listeners"


@extend_schema_view(get=description.listeners.list, post=description.listeners.add)
class Listeners(ListenerView, Rows):
    pass


@extend_schema_view(
    get=description.listeners.read,
    put=description.listeners.replace,
    patch=description.listeners.change,
    delete=description.listeners.delete,
)
class ListenerResource(ListenerView, Row):
    pass
