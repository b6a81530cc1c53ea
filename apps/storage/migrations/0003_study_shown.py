"""Pages of studies far down are counted off in an index that holds those which are shown, and nothing else."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("storage", "0002_statistics")]
    operations = [
        migrations.AddIndex(
            model_name="study",
            index=models.Index(
                fields=["id"],
                name="storage_study_shown",
                condition=models.Q(number_of_study_related_instances__gt=0),
            ),
        ),
    ]
