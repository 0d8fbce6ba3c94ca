"""The user's folders for this program, where each operating system keeps them."""

from pathlib import Path

__all__ = ["cache_folder", "config_folder", "data_folder"]


def cache_folder() -> Path:
    """For files that can be made again, as compiled kernels: ``~/.cache/edvr`` on Linux. XDG_CACHE_HOME moves it."""
    import platformdirs  # noqa: PLC0415 (networks are loaded from files without it)

    return platformdirs.user_cache_path("edvr", appauthor=False)


def config_folder() -> Path:
    """For files that the user writes, as settings: ``~/.config/edvr`` on Linux. XDG_CONFIG_HOME moves it."""
    import platformdirs  # noqa: PLC0415 (likewise)

    return platformdirs.user_config_path("edvr", appauthor=False)


def data_folder() -> Path:
    """For files that the user fetched or added, as models: ``~/.local/share/edvr`` on Linux. XDG_DATA_HOME moves it."""
    import platformdirs  # noqa: PLC0415 (likewise)

    return platformdirs.user_data_path("edvr", appauthor=False)
