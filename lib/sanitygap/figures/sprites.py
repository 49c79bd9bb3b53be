"""Many small pictures in one compact file, inside the page."""

import base64
import io
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

#: heights in pixels that are tried where pictures take too much room as they are
HEIGHTS = (160, 128, 112, 96, 80, 64)

#: of JPEG, 0 to 95; maps are noisy, and more would double their size for no visible gain
QUALITY = 55


def strip(pictures: Sequence[np.ndarray], height: int | None = None) -> bytes:
    """Pictures side by side, in their order.

    Args:
        pictures: RGB, ``(H, W, 3)`` in ``[0, 1]``, all of one shape.
        height: of each in the strip, in pixels; the width follows. As they are by default.

    Returns:
        A JPEG file. Its colours have the full resolution: red and blue pixels of a map lie side
        by side, and what most formats do to colours would make them grey.
    """
    rows, columns = pictures[0].shape[:2]
    height = height or rows
    width = max(1, round(height * columns / rows))
    sheet = Image.new("RGB", (width * len(pictures), height))
    for place, picture in enumerate(pictures):
        small = Image.fromarray((np.clip(picture, 0, 1) * 255).round().astype(np.uint8))
        if small.size != (width, height):
            small = small.resize((width, height), Image.Resampling.LANCZOS)
        sheet.paste(small, (place * width, 0))
    buffer = io.BytesIO()
    sheet.save(buffer, "JPEG", quality=QUALITY, subsampling=0, optimize=True)
    return buffer.getvalue()


def strips(rows: Mapping[str, Sequence[np.ndarray]], budget: int) -> dict[str, bytes]:
    """One strip a row, all of one height: as they are, or the largest that fits the budget.

    Args:
        rows: name -> pictures, all of one shape.
        budget: bytes that all strips may take together; the smallest height may take more.
    """
    full = next(iter(rows.values()))[0].shape[0]
    made: dict[str, bytes] = {}
    for height in (full, *(height for height in HEIGHTS if height < full)):
        made = {name: strip(pictures, height) for name, pictures in rows.items()}
        if sum(map(len, made.values())) <= budget:
            break
    return made


def data_uri(jpeg: bytes) -> str:
    """The address of a JPEG file that is written into the page itself.

    The slashes of base64 are percent-encoded, so that no chance run of letters between two of
    them is taken for a folder of this machine (see :mod:`sanitygap.book.publishable`).
    """
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode().replace("/", "%2F")
