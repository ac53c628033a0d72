"""A study whose notebooks were run, as the report finds it."""

from pathlib import Path

import pytest
from made_site import make_study


@pytest.fixture
def made(tmp_path, monkeypatch) -> Path:
    """Return the root of a made-up study, which `lib.config` then uses."""
    monkeypatch.setenv("STUDY_ROOT", str(tmp_path))
    return make_study(tmp_path)
