"""The examples in README and docs run, and what they name exists."""

import importlib
import os
import pkgutil
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import krakenex
import pytest

import krakenonce
from krakenonce import errors
from krakenonce.cli.main import main
from krakenonce.testing import FakeAccount, FakeKraken, FakeKrakenServer
from tests.integration.pages import PAGES, ROOT, blocks, modules, programs


@pytest.fixture
def fake() -> Iterator[tuple[FakeKrakenServer, FakeAccount]]:
    """A fake Kraken with one account."""
    kraken = FakeKraken()
    account = kraken.add_account("MASTER")
    with FakeKrakenServer(kraken) as server:
        yield server, account


@pytest.fixture
def environment(fake: tuple[FakeKrakenServer, FakeAccount], tmp_path: Path) -> dict[str, str]:
    """What a reader would have set, with the fake Kraken's keys."""
    server, account = fake
    return os.environ | {
        "KRAKEN_MASTER_API_KEY": account.key,
        "KRAKEN_MASTER_API_SECRET": account.secret,
        "KRAKENONCE_STATE_DIR": str(tmp_path / "state"),
        "KRAKEN_URL": server.url,
        "CALLS": "30",
        "KRAKEN_MASTER_API_TIER": "none",
        "PYTHONWARNINGS": "error",
    }


@pytest.fixture
def redirected(
    fake: tuple[FakeKrakenServer, FakeAccount], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[FakeAccount]:
    """Each krakenex API made by an example has the fake Kraken's address and keys."""
    server, account = fake
    real = krakenex.API.__init__
    made: list[krakenex.API] = []

    def with_our_keys(self: krakenex.API, *_: str, **__: str) -> None:
        real(self, key=account.key, secret=account.secret)
        self.uri = server.url
        made.append(self)

    monkeypatch.setattr(krakenex.API, "__init__", with_our_keys)
    monkeypatch.setattr("krakenonce.global_manager._manager", None)
    monkeypatch.setenv("KRAKENONCE_STATE_DIR", str(tmp_path))
    yield account
    for api in made:
        api.close()


def run(page: Path, number: int, **names: object) -> None:
    """Run one Python block of a page in this process."""
    exec(compile(blocks(page, "python")[number], page.name, "exec"), names)  # noqa: S102 - our own page


def test_the_readme_s_example_makes_a_real_call(
    fake: tuple[FakeKrakenServer, FakeAccount], redirected: FakeAccount, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first screen's program, with the fake Kraken's address and keys, prints a balance."""
    run(ROOT / "README.md", 0)
    assert "'error': []" in capsys.readouterr().out
    assert len(str(NonceOf(fake[0]).last())) == 19


def test_the_readme_s_example_as_it_stands_says_what_to_put_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Its placeholders are no key and no secret: the error is ours, and nothing was sent."""
    monkeypatch.setenv("KRAKENONCE_STATE_DIR", str(tmp_path))
    with pytest.raises(errors.ConfigError, match=r"^The API secret is not base64: copy .* again\. Nothing was sent\.$"):
        run(ROOT / "README.md", 0)


def test_the_reference_s_examples_make_real_calls(
    fake: tuple[FakeKrakenServer, FakeAccount], redirected: FakeAccount, capsys: pytest.CaptureFixture[str]
) -> None:
    """The global manager's page: the call under the lock, and the broker's balance."""
    page = ROOT / "docs" / "reference" / "global-manager.md"
    assert len(blocks(page, "python")) == 2
    run(page, 0, api=krakenex.API())
    assert len(str(NonceOf(fake[0]).last())) == 13  # as the page says: krakenex by itself sends its own
    run(page, 1, key=redirected.key, secret=redirected.secret)
    assert len(str(NonceOf(fake[0]).last())) == 19
    assert "Kraken Balance (MASTER)" in capsys.readouterr().out


class NonceOf:
    """The arrivals at a fake Kraken, read over HTTP as another process would."""

    def __init__(self, server: FakeKrakenServer) -> None:
        self.url = f"{server.url}/fake/arrivals"

    def last(self) -> int:
        """The nonce of the last call."""
        import urllib3

        with urllib3.PoolManager() as pool:
            return int(pool.request("GET", self.url).json()[-1]["nonce"])


@pytest.mark.parametrize(
    ("page", "number"),
    [(page, i) for page in PAGES if page.parent.name == "how-to" for i in range(len(programs(page)))],
    ids=lambda value: value.name if isinstance(value, Path) else str(value),
)
def test_the_how_tos_examples_run(page: Path, number: int, tmp_path: Path) -> None:
    """Each Python block of a how-to runs by itself, beside the files that the page has a reader write."""
    for name, source in modules(page).items():
        (tmp_path / name).write_text(source)
    program = programs(page)[number].replace("/tmp/krakenonce-example", str(tmp_path / "state"))  # noqa: S108
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, cwd=tmp_path)


def test_the_backend_of_the_how_to_keeps_the_contract(tmp_path: Path) -> None:
    """The page's example passes the tests that the built-in backends pass. It syncs nothing here, to save time."""
    source = modules(ROOT / "docs" / "how-to" / "write-a-backend.md")["my_backend.py"]
    assert "synchronous = FULL" in source
    (tmp_path / "my_backend.py").write_text(source.replace("synchronous = FULL", "synchronous = OFF"))
    tests = [
        "backends/test_contract.py",
        "backends/test_sent_calls.py",
        "backends/test_shared.py",
        "key/test_backends.py",
    ]
    paths = [ROOT / "tests" / "integration" / test for test in tests]
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--backend", "my_backend:SqliteBackend", *paths],
        env=os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT / 'src'}"},
        cwd=ROOT,
        check=True,
    )


def test_the_commands_for_moving_a_key_print_what_the_page_says(tmp_path: Path, environment: dict[str, str]) -> None:
    """The console block, command by command."""
    (block,) = blocks(ROOT / "docs" / "how-to" / "move-a-key.md", "console")
    expected = [line for line in block.splitlines() if not line.startswith("$ ")]
    told: list[str] = []
    for line in block.splitlines():
        if line.startswith("$ "):
            told += run_line(line, environment, tmp_path)
    assert told[-len(expected) :] == expected


def run_line(line: str, environment: dict[str, str], directory: Path) -> list[str]:
    """Run one `$ krakenonce ...` line of a page and return what it prints."""
    line = line.removeprefix("$ ").replace("/tmp/krakenonce-example", str(directory / "state"))  # noqa: S108
    line = line.replace("http://127.0.0.1:8080", environment["KRAKEN_URL"])
    program, *arguments = shlex.split(line)
    assert program.removeprefix(".venv/bin/") == "krakenonce"
    answer = subprocess.run(
        [sys.executable, "-m", "krakenonce", *arguments],
        env=environment,
        cwd=directory,
        capture_output=True,
        text=True,
        check=True,
    )
    return answer.stdout.splitlines()


def test_the_log_prints_what_the_page_says(tmp_path: Path, environment: dict[str, str]) -> None:
    """With other times and another process."""
    page = blocks(ROOT / "docs" / "reference" / "cli.md", "console")
    (block,) = [each for each in page if "krakenonce log" in each]
    raised, said, log, logged = block.splitlines()
    assert run_line(raised, environment, tmp_path) == [said]
    (line,) = run_line(log, environment, tmp_path)
    assert [re.sub("[0-9]", "0", line[:19]), line[25:].partition(" (")[0]] == [
        re.sub("[0-9]", "0", logged[:19]),
        logged[25:].partition(" (")[0],
    ]
    assert re.search(r" \(krakenonce [0-9]+ on .+\)$", line)


def test_the_doctor_prints_what_the_page_says(tmp_path: Path, environment: dict[str, str]) -> None:
    """Of a state in which all is fine; with another nonce and another directory."""
    (block,) = [
        each for each in blocks(ROOT / "docs" / "reference" / "cli.md", "console") if "krakenonce doctor" in each
    ]
    next_, nonce, doctor, *said, dots = block.splitlines()
    (issued,) = run_line(next_, environment, tmp_path)
    assert (len(issued), dots) == (len(nonce), "...")
    told = run_line(doctor, environment, tmp_path)[: len(said)]
    assert [line.replace(str(tmp_path / "state"), doctor.split()[-1]) for line in told] == said


def test_the_tutorial_s_commands_run(environment: dict[str, str], tmp_path: Path) -> None:
    """The calls of step 3 answer."""
    lines = [line for block in blocks(ROOT / "docs" / "tutorial.md", "console") for line in block.splitlines()]
    calls = [line for line in lines if "--base-url" in line]
    assert len(calls) == 2
    for line in calls:
        assert run_line(line, environment, tmp_path)


def test_the_tutorial_s_bot_runs_three_times_at_once(environment: dict[str, str], tmp_path: Path) -> None:
    """Step 4's program, in three processes on one key: not one call refused."""
    (program,) = blocks(ROOT / "docs" / "tutorial.md", "python")
    (tmp_path / "mybot.py").write_text(program)
    bots = [
        subprocess.Popen([sys.executable, "mybot.py"], env=environment, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    told = [bot.communicate()[0] for bot in bots]
    assert told == ["refused: 0\n"] * 3


def test_the_tutorial_s_bot_survives_kill_9(
    fake: tuple[FakeKrakenServer, FakeAccount], environment: dict[str, str], tmp_path: Path
) -> None:
    """Step 5: one of two is killed in the middle of its calls and started again; nobody is refused."""
    (program,) = blocks(ROOT / "docs" / "tutorial.md", "python")
    (tmp_path / "mybot.py").write_text(program)

    def start(calls: int) -> subprocess.Popen[str]:
        settings = environment | {"CALLS": str(calls)}
        return subprocess.Popen(
            [sys.executable, "mybot.py"], env=settings, cwd=tmp_path, stdout=subprocess.PIPE, text=True
        )

    victim, other = start(100_000), start(200)
    while len(fake[0].fake.arrivals) < 50:
        assert victim.poll() is None
    with victim:
        victim.kill()
    again = start(50)
    assert [bot.communicate()[0] for bot in (other, again)] == ["refused: 0\n"] * 2


def test_every_command_is_in_the_reference() -> None:
    """A command that is not documented is not finished."""
    page = (ROOT / "docs" / "reference" / "cli.md").read_text(encoding="utf-8")
    for name, command in commands(main_group()):
        assert f"`{name}" in page, name
        for parameter in command.params:
            for option in parameter.opts:
                if option.startswith("--") and option != "--help" and not getattr(parameter, "hidden", False):
                    assert option in page, f"{name} {option}"


def commands(group: click.Group, prefix: str = "") -> Iterator[tuple[str, click.Command]]:
    """All commands of a group and of the groups in it, by their full names."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", command


def main_group() -> click.Group:
    """The command line's root."""
    from krakenonce.cli.main import cli

    assert callable(main)
    return cli


def test_every_error_is_in_the_reference() -> None:
    """Each error a user can catch is on the API page."""
    page = (ROOT / "docs" / "reference" / "api.md").read_text(encoding="utf-8")
    abstract = {"NonceError", "KrakenError"}
    assert [
        name for name in errors.__all__ if name not in abstract and f"`{name}" not in page and name not in page
    ] == []


def test_every_public_name_is_in_the_reference() -> None:
    """What a package offers in __all__ has an entry on the API page."""
    page = (ROOT / "docs" / "reference" / "api.md").read_text(encoding="utf-8")
    code = " ".join(re.findall(r"`[^`\n]+`", page))
    inside = pkgutil.walk_packages(krakenonce.__path__, "krakenonce.")
    names = [found.name for found in inside if found.ispkg and "__pyinstaller" not in found.name]
    packages = [krakenonce, errors, *map(importlib.import_module, names)]
    offered = {(each.__name__, name) for each in packages for name in getattr(each, "__all__", ())}
    assert len(offered) > 80
    assert {each for each in offered if not re.search(rf"(?<!\w){each[1]}(?!\w)", code)} == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    """No broken link to a file of ours."""
    for target in re.findall(r"\]\(([^)#:]+)[^):]*\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page.name} -> {target}"
