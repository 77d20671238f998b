"""The table of node types. To add one, write its file and add its row; a test finds a forgotten one."""

from typing import Final

from assets.nodes.condition import condition
from assets.nodes.delay import delay
from assets.nodes.fail import fail
from assets.nodes.map import map_
from assets.nodes.parallel import parallel
from assets.nodes.router import router
from assets.nodes.sub_workflow import sub_workflow
from assets.nodes.template import template
from resources.workflows.node_type import NodeTypes

NODES: Final = NodeTypes([template, condition, router, map_, parallel, sub_workflow, delay, fail])
