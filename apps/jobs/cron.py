"""Times as cron has them: five fields, each a list of values, ranges, steps and names."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo

from cronsim import CronSim, CronSimError
from django.core.exceptions import ValidationError

_AROUND = timedelta(hours=3)  # no zone shifts its clocks by more
_SAID = (
    "Five fields: minute, hour, day of the month, month, day of the week. 30 2 * * 1-5 is half past two on weekdays."
)


class Never(ValueError):
    """Nothing matches, such as the 30th of February."""


def validate(expression: str) -> None:
    if len(expression.split()) != 5:
        raise ValidationError(_SAID)
    try:
        next(CronSim(expression, datetime(2024, 1, 1)))
    except CronSimError as error:
        raise ValidationError(f"{error}. {_SAID}") from error
    except (StopIteration, OverflowError) as error:
        raise ValidationError("No day matches.") from error


def described(expression: str) -> str:
    """In words, for who does not read cron."""
    try:
        return CronSim(expression, datetime(2024, 1, 1)).explain()
    except (CronSimError, StopIteration, OverflowError):
        return expression


def following(expression: str, now: datetime, zone: tzinfo) -> datetime:
    """The first moment after `now`, by the clocks on the wall. What they leave out in spring comes an hour later; what
    they show twice in autumn counts once, or twice where every hour counts. Raises Never."""
    later: set[datetime] = set()
    last: datetime | None = None
    for shown in _shown(expression, now.astimezone(zone).replace(tzinfo=None) - _AROUND):
        if last is not None and shown > last:
            break
        later |= {each for each in _moments(shown, zone, twice=expression.split()[1].startswith("*")) if each > now}
        if later and last is None:
            last = shown + _AROUND  # where clocks shift, one that they show later may come earlier
    if not later:
        raise Never(expression)
    return min(later)


def _shown(expression: str, after: datetime) -> Iterator[datetime]:
    try:
        yield from CronSim(expression, after)
    except (CronSimError, OverflowError):
        return


def _moments(shown: datetime, zone: tzinfo, *, twice: bool) -> set[datetime]:
    """By way of UTC: a clock time that is left out becomes the one an hour later."""
    folds = (0, 1) if twice else (0,)
    return {shown.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in folds}
