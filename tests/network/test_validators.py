from collections.abc import Callable
from typing import Any

import pytest
from django.core.exceptions import ValidationError

from apps.network.validators import (
    validate_ae_title,
    validate_character_sets,
    validate_host,
    validate_networks,
    validate_services,
    validate_step_statuses,
    validate_transfer_syntaxes,
)


@pytest.mark.parametrize(
    ("validate", "value"),
    [
        (validate_ae_title, "CT 1_a-b.C"),
        (validate_ae_title, "*"),
        (validate_ae_title, "SIXTEEN-LETTERS-"),
        (validate_host, "10.0.0.1"),
        (validate_host, "fe80::1%eth0"),
        (validate_host, "ct_1.radiology.hospital-a.example."),
        (validate_networks, ""),
        (validate_networks, "10.0.0.1\n10.1.0.0/16  2001:db8::/32\n10.2.3.4/8"),
        (validate_character_sets, "ISO_IR 192"),
        (validate_character_sets, "\\ISO 2022 IR 87"),
        (validate_character_sets, "ISO 2022 IR 13\\ISO 2022 IR 87"),
        (validate_services, []),
        (validate_step_statuses, ["SCHEDULED", "CANCELLED"]),
        (validate_services, ["store", "worklist"]),
        (validate_transfer_syntaxes, ["1.2.840.10008.1.2", "1.2.840.10008.1.2.4.90"]),
    ],
)
def test_what_may_stand_stands(validate: Callable[[Any], None], value: object) -> None:
    validate(value)


@pytest.mark.parametrize(
    ("validate", "value"),
    [
        (validate_ae_title, ""),
        (validate_ae_title, "   "),
        (validate_ae_title, "SEVENTEEN-LETTERS"),
        (validate_ae_title, "A\\B"),
        (validate_ae_title, "A\tB"),
        (validate_ae_title, "RÖNTGEN"),
        (validate_host, "http://ct"),
        (validate_host, "ct:104"),
        (validate_host, "c t"),
        (validate_host, "-ct"),
        (validate_networks, "10.0.0.256"),
        (validate_step_statuses, ["DEPARTED"]),
        (validate_step_statuses, "SCHEDULED"),
        (validate_networks, "10.0.0.0/33"),
        (validate_networks, "ct.hospital.example"),
        (validate_character_sets, "UTF-8"),
        (validate_character_sets, "ISO_IR 100\\"),
        (validate_services, "store"),
        (validate_services, ["store", "telepathy"]),
        (validate_transfer_syntaxes, "1.2.840.10008.1.2"),
        (validate_transfer_syntaxes, ["1.2.3"]),
    ],
)
def test_what_may_not_stand_is_refused(validate: Callable[[Any], None], value: object) -> None:
    with pytest.raises(ValidationError):
        validate(value)
