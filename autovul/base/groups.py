"""The groups of networks that results are compared by, in the order in which they are shown."""

from __future__ import annotations

GROUPS = {"manual": "Manual", "nas": "NAS", "mitigated": "Mitigated", "variant": "Variants", "yours": "Yours"}
"""Names, as in a record, and titles for readers."""
