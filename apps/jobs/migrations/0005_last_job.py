from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("jobs", "0004_cron")]

    operations = [
        migrations.AddField(
            model_name="schedule",
            name="last_job",
            field=models.BigIntegerField(editable=False, help_text="Key of the job it made last.", null=True),
        ),
    ]
