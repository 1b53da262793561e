"""Models that are brought before they are needed."""

from pathlib import Path

import pytest

from services.transcriber.fetch import fetch
from services.transcriber.files import ModelError
from services.transcriber.settings import Settings


def test_what_is_there_is_content(tmp_path: Path) -> None:
    fetch(Settings(model="demo", model_cache=str(tmp_path)))

    assert not any(tmp_path.iterdir())


def test_the_demo_model_is_not_taken_for_the_one_that_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.transcriber.sources.hub.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))

    with pytest.raises(ModelError, match="nobody/none cannot be fetched"):
        fetch(Settings(model="demo,nobody/none", model_cache=str(tmp_path)))
