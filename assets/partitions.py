"""How assets are divided: one partition a document, added when the document arrives."""

import dagster as dg

DOCUMENTS = dg.DynamicPartitionsDefinition(name="documents")

TENANT_TAG = "aiw/tenant"
CORRELATION_TAG = "aiw/correlation-id"
POSITION_TAG = "aiw/event-position"
