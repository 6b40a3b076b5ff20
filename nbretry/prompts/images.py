"""Images in messages: figures and pictures of common packages as message parts in OpenAI's format."""

from __future__ import annotations

import base64
import inspect
import io
import sys
from collections.abc import Mapping
from typing import Any

from nbretry._utils.optional_types import is_a
from nbretry.errors import ConfigError
from nbretry.types import Messages

__all__ = ["has_image", "image_part", "images_in"]

_LARGEST = 20_000_000

_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)
_IMAGE_TYPES = ("image_url", "image", "input_image")
_PNG_MODES = {"1", "L", "LA", "P", "RGB", "RGBA", "I;16"}
_PHOTOGRAPHS = {"JPEG", "MPO"}


def image_part(data: bytes) -> dict[str, Any]:
    """Return a message part with an image.

    Args:
        data: the content of a PNG, JPEG, GIF or WebP file.

    Raises:
        ConfigError: the data is none of these, or is larger than 20 MB.
    """
    media_type = _media_type(data)
    if media_type is None:
        raise ConfigError(
            f"{len(data):,} bytes that are no PNG, JPEG, GIF or WebP image cannot be sent: decode them to text first"
        )
    if len(data) > _LARGEST:
        raise ConfigError(
            f"the image has {len(data) / 1_000_000:.1f} MB, and {_LARGEST // 1_000_000} MB is the most: make it smaller"
        )
    return _part(f"data:{media_type};base64,{base64.b64encode(data).decode('ascii')}")


def has_image(messages: Messages) -> bool:
    """Return whether a message of a conversation has an image part, in a format of OpenAI or Anthropic."""
    return any(
        isinstance(part, Mapping) and part.get("type") in _IMAGE_TYPES
        for message in messages
        if isinstance(content := message.get("content"), list | tuple)
        for part in content
    )


def images_in(value: Any) -> list[dict[str, Any]]:
    """Return the image parts of a figure, a picture, or a list of only those; an empty list for anything else.

    It knows matplotlib figures and what is drawn on one, PIL images, IPython images, bytes, and anything with a
    ``_repr_png_`` or ``_repr_jpeg_``.

    Raises:
        ConfigError: it is an image that cannot be sent: bytes in another format, more than 20 MB, a plotly figure.
    """
    value = _axes_among(value)
    if isinstance(value, list | tuple):
        parts = []
        for item in value:
            part = _image(item)
            if part is None:
                return []
            parts.append(part)
        return parts
    part = _image(value)
    return [] if part is None else [part]


def _image(value: Any) -> dict[str, Any] | None:
    if isinstance(value, bytes | bytearray | memoryview):
        return image_part(bytes(value))
    if is_a(value, "plotly.basedatatypes", "BaseFigure"):
        raise ConfigError(
            "a plotly figure is no image yet: put in what its .to_image(format='png') gives, for which plotly needs "
            "the package kaleido"
        )
    figure = _figure_of(value)
    if figure is not None:
        file = io.BytesIO()
        figure.savefig(file, format="png", bbox_inches="tight")
        return image_part(file.getvalue())
    if is_a(value, "PIL.Image", "Image"):
        return image_part(_file_of_pil(value))
    if is_a(value, "IPython.core.display", "Image"):
        return _part_of_ipython(value)
    return _part_of_representation(value)


def _axes_among(value: Any) -> Any:
    """Return the first of a list or array of axes; any other value as it is.

    The axes that ``plt.subplots`` returns belong to one figure, so the first stands for all.
    """
    if isinstance(value, list | tuple):
        first = value[0] if value else None
    else:
        is_array = is_a(value, "numpy", "ndarray") and value.dtype == object and value.size
        first = value.flat[0] if is_array else None
    return first if is_a(first, "matplotlib.axes", "Axes") else value


def _figure_of(value: Any) -> Any:
    """Return the matplotlib figure that a value is, has, or is drawn on; None if there is none."""
    if "matplotlib.figure" not in sys.modules:
        return None
    for _ in range(5):  # axes, nested subfigures, the figure
        if is_a(value, "matplotlib.figure", "Figure"):
            return value
        # Look at it statically: an instance may answer to any name, as a data frame to the names of its columns.
        if inspect.getattr_static(value, "figure", None) is None:
            return None
        value = getattr(value, "figure", None)
    return None


def _file_of_pil(image: Any) -> bytes:
    file = io.BytesIO()
    if image.format in _PHOTOGRAPHS and image.mode in ("RGB", "L"):
        image.save(file, format="JPEG", quality=95)  # as a PNG it would be many times larger
    else:
        (image if image.mode in _PNG_MODES else image.convert("RGB")).save(file, format="PNG")
    return file.getvalue()


def _part_of_ipython(image: Any) -> dict[str, Any]:
    data, url = image.data, getattr(image, "url", None)
    if isinstance(data, bytes):
        return image_part(data)
    if isinstance(data, str):
        return image_part(base64.b64decode(data))
    if isinstance(url, str) and url.startswith(("http://", "https://")):
        return _part(url)
    raise ConfigError("the image has no data: make it with Image(filename=…) or Image(data=…)")


def _part_of_representation(value: Any) -> dict[str, Any] | None:
    for name in ("_repr_png_", "_repr_jpeg_"):
        if not callable(getattr(type(value), name, None)):
            continue
        try:
            data = getattr(value, name)()
        except Exception:  # then another form is used, as in IPython
            continue
        if isinstance(data, tuple) and data:  # with metadata
            data = data[0]
        if isinstance(data, str) and data:
            data = base64.b64decode(data)
        if isinstance(data, bytes) and data:
            return image_part(data)
    return None


def _media_type(data: bytes) -> str | None:
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return next((media_type for signature, media_type in _SIGNATURES if data.startswith(signature)), None)


def _part(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}
