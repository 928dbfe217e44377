"""`sixrayd plan`: what a campaign's hours will bring, and how to spend them."""

from typing import Any

import click

from sixrayd.core.command import json_option, options_of, print_json, reported, workspace_option
from sixrayd.core.workspace import Workspace
from sixrayd.plan.settings import CampaignSettings

option = options_of(CampaignSettings)


@click.command()
@workspace_option
@option("--name", help="Name of the mining.  [default: the newest]")
@option("--reviewers", help="People at work on each day.")
@option("--days", help="Days that are left.")
@option("--hours", help="Hours at work, of one person on one day.")
@json_option
def plan(workspace: Workspace, as_json: bool, **options: Any) -> None:
    """Divide reviewers' hours, and say what they will find and leave open, by what is known now.

    Ask again as answers come in, with the days that are left.

    \b
    Example:
      sixrayd plan --reviewers 3 --days 10
    """
    from sixrayd.plan.printing import print_plan
    from sixrayd.plan.stage import plan as plan_campaign

    with reported():
        result = plan_campaign(workspace, CampaignSettings(**options))
    (print_json if as_json else print_plan)(result)
