"""BadNets: a backdoor with a trigger that is chosen beforehand."""

from __future__ import annotations

from typing import ClassVar

from autovul.vision.attacks.backdoor.attack import BackdoorAttack
from autovul.vision.attacks.base import registry


@registry.register("badnet")
class BadNet(BackdoorAttack):
    """Train on images with a given trigger, labelled as the target class.

    Source: Gu et al., BadNets: Identifying Vulnerabilities in the Machine Learning Model Supply Chain (2017, arXiv
    1708.06733), section 4.
    Deviations from the artifact: successes are counted over images of other classes, with the artifact's figure (all
    images) and the clean network's beside it; and no success is set to 0 because accuracy fell.
    """

    name: ClassVar[str] = "badnet"
