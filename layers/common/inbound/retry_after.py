"""The header `Retry-After`. Pure. https://www.rfc-editor.org/rfc/rfc9110#field.retry-after."""

import email.utils


def seconds_asked(value: str, now: float) -> float | None:
    """Give the seconds that a header's value asks for, as seconds or as a date; None when it is neither.

    `now` is in Unix seconds. A date that is over gives a negative number.
    """
    value = value.strip()
    if value.isascii() and value.isdigit() and len(value) < 12:
        return float(value)
    try:
        return email.utils.parsedate_to_datetime(value).timestamp() - now
    except (ValueError, OverflowError):
        return None
