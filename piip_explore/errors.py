"""The one exception that means "the input is wrong, the program is not"."""


class InputError(ValueError):
    """Bad input: its message is one clear sentence that names the thing and the way out.

    The command line prints the message and exits with status 2; anything else is a failed run (status 1).
    """
