"""Which engine writes the recaptions: the one that the settings name, never another."""

from typing import Any

import dagster as dg

from s1mm_assets.recaptioning import Captioner, ContextCaptioner
from s1mm_assets.resources.settings import Settings


class Captioners(dg.ConfigurableResource[Any]):
    """The recaption engines of this installation."""

    settings: dg.ResourceDependency[Settings]

    def configured(self) -> Captioner:
        """Return the engine that `recaptioning.engine` names."""
        engines = {"context": ContextCaptioner}
        return engines[self.settings.recaptioning.engine]()
