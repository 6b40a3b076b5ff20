"""Decode server-sent events from bytes, however the bytes are split (WHATWG HTML, 9.2.6)."""

from __future__ import annotations

__all__ = ["EventDecoder"]


class EventDecoder:
    """Decoder that splits a stream into events and returns the data of each as bytes.

    Lines end only with LF or CRLF: U+2028, U+0085 and similar characters may be part of an answer's text. Splitting
    comes before decoding, so a character that arrives in two pieces is whole again in its line.
    """

    def __init__(self) -> None:
        self._rest: list[bytes] = []
        self._data: list[bytes] = []

    def feed(self, piece: bytes) -> list[bytes]:
        """Return the data of the events that these bytes complete; lines of one event are joined with line breaks."""
        if self._rest:
            # Join only once a line is complete, so that a megabyte in a thousand pieces is not copied a thousand times.
            self._rest.append(piece)
            if b"\n" not in piece:
                return []
            piece = b"".join(self._rest)
            self._rest.clear()
        lines = piece.split(b"\n")
        rest = lines.pop()
        if rest:
            self._rest.append(rest)
        events: list[bytes] = []
        data = self._data
        for line in lines:
            if line[:6] == b"data: ":
                data.append(line[6:-1] if line[-1:] == b"\r" else line[6:])
            elif not line or line == b"\r":
                if data:
                    events.append(data[0] if len(data) == 1 else b"\n".join(data))
                    data.clear()
            else:
                self._other(line)
        return events

    def close(self) -> list[bytes]:
        """Return the data of a last event that no empty line followed."""
        return self.feed(b"\n\n")

    def _other(self, line: bytes) -> None:
        name, _, value = line.rstrip(b"\r").lstrip(b"\xef\xbb\xbf").partition(b":")
        if name == b"data":
            self._data.append(value[1:] if value[:1] == b" " else value)
        elif name == b"error":
            # Not in the standard: servers based on llama.cpp report an error in a field of its own.
            self._data.append(b'{"error": ' + value + b"}")
        # Comments (whose name is empty) and the fields event, id and retry add nothing to the data, so ignore them.
