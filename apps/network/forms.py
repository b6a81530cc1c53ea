"""How an administrator edits lists, boxes to tick and lines to write, not JSON; and secrets, which are never shown."""

from typing import Any

from django import forms

from apps.network.models import DicomwebServer, Listener, Peer, statuses_shown
from apps.network.validators import STEP_STATUSES
from dicom.sop_classes import Service

LABELS = {
    Service.ECHO: "Verification (C-ECHO), always allowed",
    Service.STORE: "Store images (C-STORE)",
    Service.FIND: "Query (C-FIND)",
    Service.MOVE: "Retrieve to a destination (C-MOVE)",
    Service.GET: "Retrieve on the same association (C-GET)",
    Service.WORKLIST: "Modality worklist",
    Service.MPPS: "Modality performed procedure step",
    Service.COMMITMENT: "Storage commitment",
}


class ServicesField(forms.MultipleChoiceField):
    widget = forms.CheckboxSelectMultiple

    def __init__(self, **options: Any) -> None:
        super().__init__(choices=[(str(service), label) for service, label in LABELS.items()], **options)


class LinesField(forms.CharField):
    """A list of words, one a line."""

    widget = forms.Textarea(attrs={"rows": 3})

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        return (super().to_python(value) or "").split()

    def validate(self, value: Any) -> None:
        """The column's validators look at the words."""

    def run_validators(self, value: Any) -> None:
        """As above; those of a text do not fit a list."""

    def has_changed(self, initial: Any, data: Any) -> bool:
        return (initial or []) != (data or "").split()


class SecretField(forms.CharField):
    """Never in a page."""

    def __init__(self, **options: Any) -> None:
        widget = forms.PasswordInput(attrs={"autocomplete": "new-password"}, render_value=False)
        super().__init__(**{"required": False, "strip": True, "widget": widget, **options})


class KeyForm(forms.ModelForm):  # type: ignore[type-arg]
    """A private key stays as it is while its certificate does and none is given."""

    private_key = SecretField(
        widget=forms.Textarea(attrs={"rows": 4, "autocomplete": "off", "spellcheck": "false"}),
        help_text="Of the certificate (PEM, no passphrase). Kept encrypted, never shown; empty: stays as it is.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._kept = self.instance.private_key
        self.initial["private_key"] = ""

    def clean(self) -> dict[str, Any]:
        said: dict[str, Any] = super().clean() or self.cleaned_data
        if said.get("certificate"):
            said["private_key"] = said.get("private_key") or self._kept
        return said


class ListenerForm(KeyForm):
    services = ServicesField(required=False, help_text="What callers may ask here, if their peer row allows it too.")

    class Meta:
        model = Listener
        fields: list[str] = []  # the admin's fieldsets name them
        widgets = {
            "balancers": forms.Textarea(attrs={"rows": 3}),
            "certificate": forms.Textarea(attrs={"rows": 4}),
            "client_certificate_authority": forms.Textarea(attrs={"rows": 4}),
        }


class PeerForm(KeyForm):
    services = ServicesField(required=False, help_text="What it may ask of us.")
    worklist_statuses = forms.MultipleChoiceField(
        label="Statuses",
        widget=forms.CheckboxSelectMultiple,
        choices=[(status, status.capitalize()) for status in STEP_STATUSES],
        initial=statuses_shown,
        required=False,
        help_text="Of the steps in its worklist. Completed is answered as DEPARTED, the last two without a status.",
    )
    preferred_transfer_syntaxes = LinesField(
        required=False, help_text="UIDs, one a line, best first; chosen before our own order."
    )

    class Meta:
        model = Peer
        fields: list[str] = []
        widgets = {
            "address_ranges": forms.Textarea(attrs={"rows": 3}),
            "certificate_authority": forms.Textarea(attrs={"rows": 4}),
            "certificate": forms.Textarea(attrs={"rows": 4}),
        }


class DicomwebServerForm(forms.ModelForm):  # type: ignore[type-arg]
    password = SecretField(help_text="Kept encrypted, never shown; empty: stays as it is while there is a user name.")
    token = SecretField(help_text="Or a bearer token; empty: stays as it is while there is no user name.")

    class Meta:
        model = DicomwebServer
        fields: list[str] = []
        widgets = {"certificate_authority": forms.Textarea(attrs={"rows": 4})}

    def clean(self) -> dict[str, Any]:
        said: dict[str, Any] = super().clean() or self.cleaned_data
        if said.get("username"):
            said["password"] = said.get("password") or self.instance.password
        else:
            said["token"] = said.get("token") or self.instance.token
        return said
