"""Show text of records and events on a terminal. Its authors are not trusted."""


def printable(text: str) -> str:
    """Return the text with a replacement character for each control character and lone surrogate.

    A control character could steer the terminal; a lone surrogate cannot be encoded.
    """
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
