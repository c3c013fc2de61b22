"""The recipes for two gateways on one database, compared with what the gateway takes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from krakenonce.backends.state_name import read_state
from krakenonce.cli.gateway import run

yaml = pytest.importorskip("yaml")  # which builds the documentation

DEPLOY = Path(__file__).parents[3] / "deploy"
RECIPES = ["compose.yaml", "kubernetes.yaml"]


def parts(name: str) -> list[Any]:
    """What is in a recipe."""
    return list(yaml.safe_load_all((DEPLOY / name).read_text(encoding="utf-8")))


def all_in(part: Any, key: str) -> list[Any]:
    """All values with this key, wherever they are."""
    if isinstance(part, list):
        return [found for each in part for found in all_in(each, key)]
    if not isinstance(part, dict):
        return []
    return [*([part[key]] if key in part else []), *(found for each in part.values() for found in all_in(each, key))]


@pytest.mark.parametrize("name", RECIPES)
def test_images_are_pinned_by_name_and_version(name: str) -> None:
    """From wherever the machine takes its images."""
    images = all_in(parts(name), "image")
    assert {image.partition(":")[0] for image in images} == {"krakenonce", "postgres"}
    assert all(re.fullmatch(r"[a-z]+:[0-9][0-9.]*", image) for image in images)


@pytest.mark.parametrize("name", RECIPES)
def test_two_gateways_share_the_database_of_the_recipe(name: str) -> None:
    """By a URL without a password."""
    pytest.importorskip("psycopg")
    text = (DEPLOY / name).read_text(encoding="utf-8")
    (url,) = set(re.findall(r"postgresql://\S+", text))
    assert read_state(url, "the recipe").server is not None
    parts_of = urlsplit(url)
    host, database = parts_of.hostname, parts_of.path.strip("/")
    assert (parts_of.username, parts_of.password) == ("krakenonce", None)
    services = parts(name)[0].get("services") or {each["metadata"]["name"] for each in parts(name)}
    assert host in services
    assert database == "krakenonce"
    gateways = [each for each in all_in(parts(name), "image") if each.startswith("krakenonce:")]
    assert len(gateways) * max([1, *all_in(parts(name)[0], "replicas")]) == 2


def test_the_container_is_started_with_options_that_the_gateway_has() -> None:
    """Also where Kubernetes gives others. The state is named by the variable, so that a recipe can name another."""
    text = (DEPLOY / "Containerfile").read_text(encoding="utf-8")
    given = {*re.findall(r'"(--[a-z-]+)"', text), *(word for word in all_in(parts("kubernetes.yaml"), "args")[0][::2])}
    assert given <= {option for each in run.params for option in each.opts}
    assert "--state" not in given
    assert "KRAKENONCE_STATE_DIR=/state" in text
    assert "[gateway,postgres]" in text
