"""The ways in which large runs move between a file and memory."""

from enum import StrEnum


class Way(StrEnum):
    """Past the page cache, or through it and out of it again at once."""

    DIRECT = "direct"
    BUFFERED = "buffered"
