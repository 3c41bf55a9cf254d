"""`mainspring up`: server, watch and report page together, until Ctrl-C."""

import threading

import click

from mainspring.entry.cli import present
from mainspring.entry.cli.options import here


@click.command()
@click.option("--port", default=8080, show_default=True, help="Port of predictions; 0 picks a free one.")
@click.option("--page-port", default=8081, show_default=True, help="Port of the report and status page.")
def up(*, port: int, page_port: int) -> None:
    """Serve, watch and show the report page together. Stop with Ctrl-C."""
    from mainspring.app.server_process import ServerProcess
    from mainspring.app.watching import present_status, watch_forever
    from mainspring.app.workspace import open_workspace
    from mainspring.entry.console.page import create_page, page_server

    root = here()
    workspace = open_workspace(root)
    shown = create_page(workspace.paths.report, lambda: present_status(open_workspace(root)).to_json())
    page = page_server(shown, page_port)
    thread = threading.Thread(target=page.run, daemon=True)
    with ServerProcess(workspace.paths.root, workspace.settings.name, port=port) as server:
        thread.start()
        present.say(f"predictions  {server.addresses['public']}/v2/models/{workspace.settings.name}/infer")
        present.say(f"metrics      {server.addresses['metrics']}/metrics")
        present.say(f"status       http://127.0.0.1:{page_port}/status")
        present.say("watching; stop with Ctrl-C")
        watch_forever(workspace, lambda looked: present.progress(f"looked: {looked.ingested.rows} new rows"))
    page.should_exit = True
    thread.join(timeout=5)
