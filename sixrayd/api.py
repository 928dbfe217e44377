"""The Python API: one function and one settings class a stage, imported when first asked for.

`api.pyi` lists them.

Example:
    from sixrayd.api import MineSettings, Workspace, mine

    result = mine(Workspace("workspace"), MineSettings(threshold=0.1))
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub("sixrayd", __file__)
