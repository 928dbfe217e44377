"""Libraries that come with an extra of the package, imported when first used."""

import importlib
from types import ModuleType

from sixrayd.core.errors import ServiceError


def import_extra(name: str, extra: str) -> ModuleType:
    """A module that the package alone does not bring.

    Raises:
        ServiceError: it cannot be imported; the message names the extra to install.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ServiceError(
            f"{name} cannot be imported ({error}); install it with `pip install 'sixrayd[{extra}]'`"
        ) from error
