from typing import Any

from django.db import migrations, models
from django.db.models import Q

import apps.fields
from apps.storage.columns import keys_of_names

_FEW = 500


def fill(state: Any, editor: Any) -> None:
    """The keys of the rows that have ideographs, or several names: few, in most archives none."""
    for model, name, is_one in (
        ("Study", "referring_physician_name", True),
        ("Series", "performing_physician_name", False),
    ):
        columns = [f"{name}_key", f"{name}_ideographic_key", f"{name}_phonetic_key"]
        told = Q(**{f"{name}__contains": "="}) | (Q() if is_one else Q(**{f"{name}__contains": "\\"}))
        rows = state.get_model("storage", model).objects
        ids = list(rows.filter(told).values_list("pk", flat=True))
        for start in range(0, len(ids), _FEW):
            some = list(rows.filter(pk__in=ids[start : start + _FEW]).only(name))
            for row in some:
                text = getattr(row, name)
                keys = keys_of_names(text.partition("\\")[0] if is_one else text)
                for column, key in zip(columns, keys, strict=True):
                    setattr(row, column, key)
            rows.bulk_update(some, columns)


class Migration(migrations.Migration):
    dependencies = [
        ("storage", "0005_damaged_files"),
    ]

    operations = [
        *(
            migrations.AddField(
                model_name=model,
                name=f"{name}_{group}_key",
                field=apps.fields.KeyField(blank=True, db_default="", default="", max_length=400),
            )
            for model, name in (("series", "performing_physician_name"), ("study", "referring_physician_name"))
            for group in ("ideographic", "phonetic")
        ),
        migrations.AddIndex(
            model_name="study",
            index=models.Index(
                condition=models.Q(("referring_physician_name_ideographic_key", ""), _negated=True),
                fields=["referring_physician_name_ideographic_key"],
                name="storage_study_ideographic",
            ),
        ),
        migrations.RunPython(fill, migrations.RunPython.noop),
    ]
