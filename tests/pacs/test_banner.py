"""What the first lines of a server say."""

import pytest

from apps.network.models import Listener
from pacs import banner


@pytest.mark.django_db
def test_a_given_password_is_not_shown_but_its_user_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PACS_ADMIN_PASSWORD", "correct horse battery")
    shown = "\n".join(banner.lines(Listener(ae_title="PACS", host="127.0.0.1", port=11112), None))
    assert "/ as admin" in shown
    assert "correct horse" not in shown
