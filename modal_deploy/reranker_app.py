"""The reranker on Modal, for ``modal deploy modal_deploy/reranker_app.py`` and ``modal run``.

What it is made of is in the plugin (``rerankit_modal.app``), so that ``rerankit modal deploy`` works after a
``pip install "rerankit[modal]"`` too. Settings are environment variables; see ``docs/modal.md``.
"""

from rerankit_modal.app import Scorer, app, inference_api, main

__all__ = ["Scorer", "app", "inference_api", "main"]
