"""Runs in each Python process of ``krakenonce run``, before the program: Python imports it from ``PYTHONPATH``.

It has the syntax of old Pythons, to tell them that they are too old.
"""

import os
import sys


def _guard():
    # type: () -> None
    """Let the clients be guarded that the program makes, by the krakenonce that was started, wherever it is."""
    import importlib.util

    here = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    if "krakenonce" not in sys.modules:
        found = importlib.util.spec_from_file_location(
            "krakenonce", os.path.join(here, "__init__.py"), submodule_search_locations=[here]
        )
        assert found is not None and found.loader is not None  # noqa: S101, PT018 - the file is ours
        sys.modules["krakenonce"] = package = importlib.util.module_from_spec(found)
        found.loader.exec_module(package)
    from krakenonce.running.hook import begin

    begin(os.environ["KRAKENONCE_RUN"])


def _user_s_own():
    # type: () -> None
    """Run the sitecustomize that Python would have run without us, in our place."""
    from importlib.machinery import PathFinder
    from importlib.util import module_from_spec

    here = os.path.dirname(os.path.abspath(__file__))
    elsewhere = [each for each in sys.path if os.path.abspath(each) != here]
    found = PathFinder.find_spec("sitecustomize", elsewhere)
    if found is not None and found.loader is not None:
        sys.modules["sitecustomize"] = module = module_from_spec(found)
        found.loader.exec_module(module)


if __name__ == "sitecustomize":
    if os.environ.get("KRAKENONCE_RUN"):
        if sys.version_info >= (3, 11):
            try:
                _guard()
            except Exception as error:
                sys.stderr.write(
                    "krakenonce: NOT guarded: process %d could not begin (%s). Its calls may be refused.\n"
                    % (os.getpid(), type(error).__name__)
                )
        else:
            sys.stderr.write(
                "krakenonce: NOT guarded: process %d is Python %d.%d, and krakenonce needs 3.11. Its calls may be "
                "refused: let it use the gateway, docs/how-to/run-the-gateway.md.\n"
                % ((os.getpid(),) + tuple(sys.version_info[:2]))
            )
    if sys.version_info >= (3, 4):
        _user_s_own()
