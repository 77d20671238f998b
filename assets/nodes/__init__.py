"""The table of node types. To add one, write its file and add its row; a test finds a forgotten one."""

from typing import Final

from assets.nodes.agent import agent
from assets.nodes.analyse import analyse
from assets.nodes.analysis_job import analysis_job
from assets.nodes.append_event import append_event
from assets.nodes.cite import cite
from assets.nodes.condition import condition
from assets.nodes.delay import delay
from assets.nodes.embed import embed
from assets.nodes.fail import fail
from assets.nodes.graph_query import graph_query
from assets.nodes.http import http
from assets.nodes.ingest import ingest
from assets.nodes.loop import loop
from assets.nodes.map import map_
from assets.nodes.mcp_tool import mcp_tool
from assets.nodes.notify import notify
from assets.nodes.parallel import parallel
from assets.nodes.parse import parse
from assets.nodes.plugin import plugin
from assets.nodes.prompt import prompt
from assets.nodes.python import python
from assets.nodes.relate import relate
from assets.nodes.router import router
from assets.nodes.search import search
from assets.nodes.sub_workflow import sub_workflow
from assets.nodes.template import template
from assets.nodes.transform import transform
from resources.workflows.node_type import NodeTypes

NODES: Final = NodeTypes(
    [
        # Models and knowledge
        prompt,
        agent,
        embed,
        parse,
        analyse,
        analysis_job,
        ingest,
        search,
        cite,
        graph_query,
        relate,
        mcp_tool,
        plugin,
        # Data
        template,
        transform,
        python,
        # Control
        condition,
        router,
        map_,
        loop,
        parallel,
        sub_workflow,
        delay,
        fail,
        # The world
        http,
        notify,
        append_event,
    ]
)
