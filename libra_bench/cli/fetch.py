"""`libra-bench fetch`: models, the parts of metrics, and corpora, from where they are published."""

from __future__ import annotations

from typing import Annotated

import typer

from libra_bench.cli import options
from libra_bench.cli.console import print_json, say, table


def fetch(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME…",
            help="A model (libra-7b: with its tower), a metric (ratescore), all-metrics, a "
            "repository of the Hugging Face hub, or OWNER/NAME/FILE.",
        ),
    ],
    profile: Annotated[
        str | None,
        typer.Option(help="Whose form of a metric: libra, coco or rexrank; all if unset."),
    ] = None,
    metric_option: options.MetricOption = None,
    revision: Annotated[
        str | None, typer.Option(help="Branch, tag or commit; the newest if unset.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be fetched, and its size.")
    ] = False,
    json: options.Json = False,
) -> None:
    """Bring weights and corpora that are not on this machine into their caches.

    The only command that asks a network. HF_ENDPOINT, HF_HOME and HF_TOKEN are heeded. Only files
    that are read are fetched; a download that was cut is continued.
    """
    from libra_bench import fetching
    from libra_bench.hub import remote

    settings = options.metric_options(metric_option)

    def wishes() -> list[fetching.Wish]:
        return [
            wish
            for name in names
            for wish in fetching.wish(
                name, profile=profile, options=settings, revision=revision or ""
            )
        ]

    first = wishes()
    pages = fetching.plan(first)
    corpora = list(dict.fromkeys(one for wish in first for one in wish.corpora))
    if not json:
        _show(pages, corpora)
    if not dry_run:
        pages = fetching.fetch(wishes, pages, on_step=say) or pages
        say("all of it is on this machine")
    if json:
        print_json(
            {
                "cache": str(remote.cache_folder()),
                "repositories": [fetching.row(page) for page in pages],
                "corpora": corpora,
                "bytes_to_fetch": sum(page.to_fetch for page in pages) if dry_run else 0,
            }
        )


def _show(pages: list, corpora: list[str]) -> None:
    from libra_bench.hub import remote

    rows = [
        (
            page.source.name,
            page.commit[:12],
            remote.size_of(page.size),
            remote.size_of(page.to_fetch) if page.to_fetch else "here",
            (page.licence or "not stated") + (", gated" if page.gated else ""),
        )
        for page in pages
    ]
    if rows:
        table(("repository", "commit", "size", "to fetch", "licence"), rows)
        total = sum(page.to_fetch for page in pages)
        say(f"{remote.size_of(total)} to fetch, into {remote.cache_folder()}")
    if corpora:
        say(f"NLTK's data: {', '.join(corpora)}")
