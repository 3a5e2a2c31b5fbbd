"""One described table of options, and the frozen, validated settings that are made of it."""

from clockmill.config.home import create_home, default_toml
from clockmill.config.loading import find_home, load
from clockmill.config.options import Option, Source
from clockmill.config.settings import OPTIONS, Settings

__all__ = ["OPTIONS", "Option", "Settings", "Source", "create_home", "default_toml", "find_home", "load"]
