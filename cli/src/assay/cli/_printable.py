"""Text of records and events, which others wrote, on somebody's terminal."""


def printable(text: str) -> str:
    """Return the text with a replacement for each control character and lone surrogate.

    The former could steer the terminal, the latter cannot be written.
    """
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
