"""Images in messages: figures and pictures of the usual packages as parts of OpenAI's protocol."""

from __future__ import annotations

import base64
import inspect
import io
import sys
from collections.abc import Mapping
from typing import Any

from nbretry._errors import ConfigError
from nbretry._utils.optional_types import is_a
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
    """A message's part with an image.

    Args:
        data: a PNG, JPEG, GIF or WebP file.

    Raises:
        ConfigError: the data is none of these, or has more than 20 MB.
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
    """Whether a message of a conversation has an image part, as OpenAI's protocols or Anthropic's have it."""
    return any(
        isinstance(part, Mapping) and part.get("type") in _IMAGE_TYPES
        for message in messages
        if isinstance(content := message.get("content"), list | tuple)
        for part in content
    )


def images_in(value: Any) -> list[dict[str, Any]]:
    """The image parts of a figure, a picture, or a list of nothing but those; empty for anything else.

    Known are matplotlib's figures and what is drawn on one, PIL's images, IPython's, bytes, and whatever has a
    ``_repr_png_`` or ``_repr_jpeg_``.

    Raises:
        ConfigError: it is an image that cannot be sent: bytes of another kind, more than 20 MB, a plotly figure.
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
    """For a list or an array of axes, as ``plt.subplots`` gives it, the first: they are of one figure."""
    if isinstance(value, list | tuple):
        first = value[0] if value else None
    else:
        is_array = is_a(value, "numpy", "ndarray") and value.dtype == object and value.size
        first = value.flat[0] if is_array else None
    return first if is_a(first, "matplotlib.axes", "Axes") else value


def _figure_of(value: Any) -> Any:
    """The matplotlib figure that a value is, has, or is drawn on; None where there is none."""
    if "matplotlib.figure" not in sys.modules:
        return None
    for _ in range(5):  # axes, one figure within another, the figure
        if is_a(value, "matplotlib.figure", "Figure"):
            return value
        # Without asking an instance that answers to every name, as a frame does to those of its columns.
        if inspect.getattr_static(value, "figure", None) is None:
            return None
        value = getattr(value, "figure", None)
    return None


def _file_of_pil(image: Any) -> bytes:
    file = io.BytesIO()
    if image.format in _PHOTOGRAPHS and image.mode in ("RGB", "L"):
        image.save(file, format="JPEG", quality=95)  # as a PNG it would be many times as large
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
        except Exception:  # then it is shown otherwise, as IPython does it
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
