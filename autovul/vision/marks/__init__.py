"""Triggers: marks that a backdoor answers to, built in or from an image file."""

from autovul.vision.marks.pictures import built_in as list
from autovul.vision.marks.trigger import Trigger
from autovul.vision.marks.watermark import MarkOptions, Watermark

__all__ = ["MarkOptions", "Trigger", "Watermark", "list"]
