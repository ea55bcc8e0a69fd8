"""A setting of a config as a text of the command line."""

from lewel_plugins.errors import SetupError


def split_setting(text: str, option: str) -> tuple[str, str]:
    """Return key and value of a setting.

    Args:
        text: ``KEY=VALUE``.
        option: The option that it belongs to, for the error.

    Raises:
        SetupError: It has another form, or its value is a dict.
    """
    key, equals, value = text.partition('=')
    if not equals or not key:
        raise SetupError(f'{option} takes KEY=VALUE, got {text!r}')
    value = value.strip('\'"')
    if 'dict(' in value or value.startswith(('{', '[{', '({')):
        raise SetupError(f'{option} {key}: a value must be a number, a word or a list; put {value!r} into a config')
    return key, value
