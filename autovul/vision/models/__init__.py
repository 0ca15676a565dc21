"""Models by name: what people designed, what architecture search found, and your own."""

from autovul.vision.models.base import ImageModel
from autovul.vision.models.factory import create, from_options, group, list, relative, require_known
from autovul.vision.models.options import ModelOptions
from autovul.vision.models.weights import find_pretrained

__all__ = [
    "ImageModel",
    "ModelOptions",
    "create",
    "find_pretrained",
    "from_options",
    "group",
    "list",
    "relative",
    "require_known",
]
