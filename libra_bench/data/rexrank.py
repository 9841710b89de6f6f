"""What ReXrank's files have in common: whose a study is, and its images' places."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from libra_bench.core.ids import known_id, of_key, whose

# MIMIC-CXR's files name images from the root of its `files/`: `/p10/p10000032/s50414267/….jpg`.
_FROM_FILES = re.compile(r"/p\d\d/")


def identity(key: str, row: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Patient and study: from the fields, the images' paths, or the key of the study.

    Raises:
        ValueError: a field holds what can be no id.
    """
    paths = [row.get("key_image_path"), row.get("img_root_dir")]
    several = row.get("image_path")
    paths += several if isinstance(several, list) else [several]
    subject, study = whose(row, [one for one in paths if isinstance(one, str)])
    if subject is None:
        subject, _ = of_key(key)
    return subject, known_id(key) or study


def image_place(path: Any) -> Any:
    """An image's path below the image root; MIMIC-CXR's begin with a slash there.

    Every other absolute path stays one, and is refused when the image is read.
    """
    return path[1:] if isinstance(path, str) and _FROM_FILES.match(path) else path
