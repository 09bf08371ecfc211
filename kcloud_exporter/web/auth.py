"""placeholder"""
from __future__ import annotations
import ssl
from pathlib import Path


class WebAuth:
    """placeholder"""

    @classmethod
    def load(cls, path: Path) -> WebAuth:
        """placeholder"""
        raise NotImplementedError(path)

    def ssl_context(self) -> ssl.SSLContext | None:
        """placeholder"""
        return None
