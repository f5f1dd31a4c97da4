"""The subcommand explore."""

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ganzoo import pretrained
from ganzoo.cli.options import ModelOptions
from ganzoo.cli.parsing import parse
from ganzoo.cli.process import prepare
from ganzoo.config import require
from ganzoo.disk import user_path
from ganzoo.errors import UserError, install
from ganzoo.explore.guard import is_local

if TYPE_CHECKING:
    from ganzoo.explore.history import History


@dataclass(frozen=True)
class Explore:
    """Show a generator on a local web page: seeds, styles, directions, one's own image, the run's history."""

    source: ModelOptions
    port: int = 7860
    """Port of the server; 0 takes any that is free."""
    host: str = "127.0.0.1"
    """Address of the server; 127.0.0.1 is for this machine alone, 0.0.0.0 for everybody who can reach it."""
    lpips: tuple[str, ...] = ()
    """Weights of LPIPS, by which one's own image is then sought and tuned instead of by pixels: vgg16-397923af.pth of
    torchvision and weights/v0.1/vgg.pth of the package lpips, or one file with the arrays of both."""
    export: Path | None = None
    """New folder for a page that runs the generator in the browser, without a server; None: serve."""
    runtime: Path | None = None
    """For --export, folder or .tgz of the npm package onnxruntime-web; None: fetched by npm, once."""

    def run(self) -> None:
        """Serve until Ctrl-C, or write the page."""
        require(0 <= self.port <= 65_535, "port", self.port, "be 0 to 65,535")
        if self.export is not None:
            from ganzoo.explore.export import export_page, require_empty

            require(not self.lpips, "lpips", self.lpips, "be left out with --export, whose page tunes nothing")
            folder = user_path(self.export)
            require_empty(folder)  # before the model is read
            export_page(self.source.sampler(), folder, None if self.runtime is None else user_path(self.runtime))
            return
        require(self.runtime is None, "runtime", self.runtime, "be left out without --export")
        require_library()
        self._serve()

    def _serve(self) -> None:
        from ganzoo.explore.engine import Engine
        from ganzoo.explore.server import Site, opened, serve
        from ganzoo.metrics.lpips import lpips

        with opened(self.host, self.port) as listening:
            if not is_local(self.host):
                print(f"warning: everybody who can reach {self.host} can use this page; it has no password")
            distance = lpips(self.lpips) if self.lpips else None
            sampler = self.source.sampler()
            serve(Site(Engine(sampler), history_of(self.source.model), distance), self.host, listening)


def explore(args: Sequence[str]) -> None:
    """Answer ``ganzoo explore MODEL ...``."""
    command: Explore = parse(Explore, args, "ganzoo explore")
    prepare()
    command.run()


def history_of(model: str) -> "History | None":
    """Return the history of a run folder; None for a file."""
    from ganzoo.explore.history import History  # Orbax, which both need, takes long to import
    from ganzoo.training.selection import split

    path = pretrained.locate(model)
    return None if pretrained.is_file(path) else History(split(path)[0])


def require_library() -> None:
    """Raise ``UserError`` where the extra is not installed."""
    if any(importlib.util.find_spec(name) is None for name in ("starlette", "uvicorn")):
        raise UserError(f"explore needs the extra explore ({install('explore')})")
