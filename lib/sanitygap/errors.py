"""The one exception that means: the input cannot be used, and here is what to do."""


class UsageError(Exception):
    """Bad input from a person: unknown name, unreadable file, unsuitable model.

    The message is one clear sentence that says what is wrong and what to do; the command line
    prints it as one line and ends with exit status 2, without a traceback.
    """


class DamagedError(UsageError):
    """A file of a run does not hold what was written to it."""


class NotRecordedError(UsageError):
    """A recorded run is asked for a table that it does not hold."""


class LackingMethodError(UsageError):
    """A table holds nothing of a method that is asked for: not defined, or left out.

    Args:
        methods: their names.
    """

    def __init__(self, *methods: str) -> None:
        super().__init__(f"the tables of this run hold no {', '.join(methods)}")


class NotDefinedError(UsageError):
    """A method, a table or a figure has no meaning for a network or for so few images."""


def unknown_name(kind: str, name: str, known: list[str]) -> UsageError:
    """An error for a name that is not in a closed list, with the nearest known names.

    Args:
        kind: what the name should have been, such as ``"method"``.
        name: the unknown name as given.
        known: all valid names.
    """
    from difflib import get_close_matches

    nearest = get_close_matches(name, known, n=3)
    hint = f"did you mean {' or '.join(nearest)}?" if nearest else f"known: {', '.join(known)}"
    return UsageError(f"unknown {kind} {name!r}; {hint}")
