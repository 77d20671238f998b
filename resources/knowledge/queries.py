"""All Cypher of the graph store, for ArcadeDB and Neo4j 5 alike. Values are always parameters, the tenant always among them.

The graph:

    (:Graph {tenant, revision})                          one per tenant; every change passes through it
    (:Change {tenant, revision, touched})                the last changes: ids of what they touched, as JSON
    (:Merge {tenant, id, merge})                         decisions that two concepts are one, as JSON
    (:Document {tenant, id, sha256, title})
    (:Contribution {tenant, id, extraction})             all that the document of that id says, as JSON
    (:Document)-[:SUPPORTS {weight, and the concept as the document describes it}]->(:Concept)
    (:Concept {tenant, id, folded, voice, weight, and its description; what was computed about it as JSON in `scores`})
    (:Concept)-[:REQUIRES|RELATED_TO|PART_OF {document, weight}]->(:Concept)
    (:Document)-[:HAS_CHUNK]->(:Chunk {tenant, id, ordinal, begins, ends})-[:MENTIONS]->(:Concept)
    (:LearningResource {tenant, id, and what it is})-[:TEACHES {weight, begins, ends}]->(:Concept)
    (:LearningPath {tenant, id, path})-[:HAS_STEP]->(:PathConcept {tenant, concept, order, optional})-[:OF]->(:Concept)
    (:UserProgress {tenant, user, concept, and how far})-[:OF]->(:Concept)

Edges between concepts are there once for each document that supports them; readers take the highest weight. `voice` is the
document whose words describe the concept. `folded` is the name in lower case, as Python folds it. A contribution is not
part of its document's node, because servers load whole nodes when they walk past, and keep them for every row.

A path's step and a user's progress name a concept that need not be there (any more): the edge `OF` is there while it is, and
leads to what the concept was merged into. A concept's `embedding` is the vector of its name by `embedding_model`.
"""

from __future__ import annotations

from typing import Final

from resources.knowledge.model import CURATION, EdgeType

# A concept's own words, as they stand on it and on what supports it.
FIELDS: Final = ("name", "kind", "description", "difficulty", "category", "subcategory", "tags", "quality", "minutes")


def _fields(template: str) -> str:
    return ", ".join(template.format(field) for field in FIELDS)


_TOLD: Final = f"c.id AS id, {_fields('c.{0} AS {0}')}"

LABELS: Final = (
    "UserProgress",
    "PathConcept",
    "LearningPath",
    "LearningResource",
    "Chunk",
    "Contribution",
    "Document",
    "Concept",
    "Merge",
    "Change",
    "Graph",
)
# For each kind of node: whether there is one of the tenant, and how some are removed.
FORGET: Final = tuple(
    (
        f"MATCH (n:{label} {{tenant: $tenant}}) RETURN 1 AS one LIMIT 1",
        f"MATCH (n:{label} {{tenant: $tenant}}) WITH n LIMIT $most DETACH DELETE n",
    )
    for label in LABELS
)

PING: Final = "RETURN 1 AS one"

# Writing. The first statement of a transaction takes the tenant's lock (Neo4j) or lets the later of two fail (ArcadeDB).
BEGIN: Final = """
MERGE (g:Graph {tenant: $tenant})
SET g.revision = coalesce(g.revision, 0) + 1
WITH g
OPTIONAL MATCH (k:Contribution {tenant: $tenant, id: $document})
RETURN k.extraction AS extraction, g.revision AS revision, coalesce(g.merges, false) AS merges,
       coalesce(g.learners, false) AS learners
"""

BEGIN_MERGE: Final = """
MERGE (g:Graph {tenant: $tenant})
SET g.revision = coalesce(g.revision, 0) + 1, g.merges = true
RETURN g.revision AS revision, coalesce(g.learners, false) AS learners
"""

SAVE_MERGE: Final = "MERGE (m:Merge {tenant: $tenant, id: $id}) SET m.merge = $merge"
MERGES: Final = "MATCH (m:Merge {tenant: $tenant}) RETURN m.merge AS merge"

CONTRIBUTIONS_TO: Final = """
UNWIND $rows AS row
MATCH (c:Concept {tenant: $tenant, id: row.id})<-[:SUPPORTS]-(d:Document {tenant: $tenant})
WITH DISTINCT d.id AS id
MATCH (k:Contribution {tenant: $tenant, id: id})
RETURN id, k.extraction AS extraction
"""

LOG_CHANGE: Final = "CREATE (x:Change {tenant: $tenant, revision: $revision, touched: $touched})"
FORGET_CHANGE: Final = "MATCH (x:Change {tenant: $tenant, revision: $old}) DELETE x"

SAVE_DOCUMENT: Final = """
MERGE (d:Document {tenant: $tenant, id: $document})
SET d.sha256 = $sha256, d.title = $title
MERGE (k:Contribution {tenant: $tenant, id: $document})
SET k.extraction = $extraction
"""

DELETE_DOCUMENT: Final = """
MATCH (d:Document {tenant: $tenant, id: $document})
MATCH (k:Contribution {tenant: $tenant, id: $document})
DETACH DELETE d, k
"""

# Collected before they are deleted: ArcadeDB loses its place in a long list of relationships that shrinks meanwhile.
REMOVE_SUPPORTS: Final = """
UNWIND $rows AS row
MATCH (d:Document {tenant: $tenant, id: $document})-[s:SUPPORTS]->(c:Concept {tenant: $tenant, id: row.id})
WITH collect(s) AS removed
UNWIND removed AS s
DELETE s
"""

ADD_SUPPORTS: Final = f"""
MATCH (d:Document {{tenant: $tenant, id: $document}})
UNWIND $rows AS row
MERGE (c:Concept {{tenant: $tenant, id: row.id}})
ON CREATE SET c.folded = row.folded, c.voice = $document, c.weight = row.weight, c.aliased = row.aliased,
              {_fields("c.{0} = row.{0}")}
CREATE (d)-[s:SUPPORTS {{weight: row.weight, aliased: row.aliased, {_fields("{0}: row.{0}")}}}]->(c)
RETURN {_TOLD}, c.weight AS weight, c.aliased AS aliased, c.voice AS voice
"""

# The voice is always one of the supporting documents, so that a concept without support spoke through the removed one.
SUPPORTS_OF_SPOKEN: Final = f"""
UNWIND $rows AS row
MATCH (c:Concept {{tenant: $tenant, id: row.id}})
WHERE c.voice = $document
OPTIONAL MATCH (c)<-[s:SUPPORTS]-(d:Document {{tenant: $tenant}})
RETURN c.id AS id, d.id AS document, s.weight AS weight, s.aliased AS aliased,
       {_fields("s.{0} AS {0}")}
"""

SPEAK: Final = f"""
UNWIND $rows AS row
MATCH (c:Concept {{tenant: $tenant, id: row.id}})
SET c.folded = row.folded, c.voice = row.voice, c.weight = row.weight, c.aliased = row.aliased,
    {_fields("c.{0} = row.{0}")}
"""

DELETE_CONCEPTS: Final = "UNWIND $rows AS row MATCH (c:Concept {tenant: $tenant, id: row.id}) DETACH DELETE c"

# A relationship's type cannot be a parameter in Cypher 5, so that each type has statements of its own.
ADD_EDGES: Final = {
    kind: f"""
UNWIND $rows AS row
MATCH (a:Concept {{tenant: $tenant, id: row.source}})
MATCH (b:Concept {{tenant: $tenant, id: row.target}})
CREATE (a)-[:{kind} {{document: $document, weight: row.weight}}]->(b)
"""
    for kind in EdgeType
}

REMOVE_EDGES: Final = {
    kind: f"""
UNWIND $rows AS row
MATCH (a:Concept {{tenant: $tenant, id: row.source}})-[r:{kind} {{document: $document}}]->
      (b:Concept {{tenant: $tenant, id: row.target}})
WITH collect(r) AS removed
UNWIND removed AS r
DELETE r
"""
    for kind in EdgeType
}

# What a document is to a learner, and its passages.
SAVE_RESOURCE: Final = """
MERGE (r:LearningResource {tenant: $tenant, id: $document})
SET r.url = $url, r.title = $title, r.resource_type = $resource_type, r.format = $format, r.source = $source,
    r.quality = $quality, r.difficulty = $difficulty, r.minutes = $minutes, r.language = $language
"""

DELETE_RESOURCE: Final = "MATCH (r:LearningResource {tenant: $tenant, id: $document}) DETACH DELETE r"

ADD_LESSONS: Final = """
MATCH (r:LearningResource {tenant: $tenant, id: $document})
UNWIND $rows AS row
MATCH (c:Concept {tenant: $tenant, id: row.id})
CREATE (r)-[:TEACHES {weight: row.weight, begins: row.begins, ends: row.ends}]->(c)
"""

REMOVE_LESSONS: Final = """
UNWIND $rows AS row
MATCH (r:LearningResource {tenant: $tenant, id: $document})-[t:TEACHES]->(c:Concept {tenant: $tenant, id: row.id})
WITH collect(t) AS removed
UNWIND removed AS t
DELETE t
"""

ADD_CHUNKS: Final = """
MATCH (d:Document {tenant: $tenant, id: $document})
UNWIND $rows AS row
CREATE (d)-[:HAS_CHUNK]->(h:Chunk {tenant: $tenant, id: row.id, ordinal: row.ordinal, begins: row.begins, ends: row.ends})
"""

REMOVE_CHUNKS: Final = "UNWIND $rows AS row MATCH (h:Chunk {tenant: $tenant, id: row.id}) DETACH DELETE h"

ADD_NAMES: Final = """
UNWIND $rows AS row
MATCH (c:Concept {tenant: $tenant, id: row.id})
UNWIND row.chunks AS chunk
MATCH (h:Chunk {tenant: $tenant, id: chunk})
CREATE (h)-[:MENTIONS]->(c)
"""

REMOVE_NAMES: Final = """
UNWIND $rows AS row
MATCH (h:Chunk {tenant: $tenant, id: row.chunk})-[m:MENTIONS]->(c:Concept {tenant: $tenant, id: row.id})
WITH collect(m) AS removed
UNWIND removed AS m
DELETE m
"""

RESOURCES: Final = """
UNWIND $rows AS row
MATCH (r:LearningResource {tenant: $tenant, id: row.document})-[t:TEACHES]->(c:Concept {tenant: $tenant, id: row.concept})
RETURN c.id AS concept, r.id AS document_id, t.weight AS weight, t.begins AS begins, t.ends AS ends, r.url AS url,
       r.title AS title, r.resource_type AS resource_type, r.format AS format, r.source AS source, r.quality AS quality,
       r.difficulty AS difficulty, r.minutes AS minutes, r.language AS language
"""

NAMED_IN: Final = """
MATCH (d:Document {tenant: $tenant, id: $document})-[:HAS_CHUNK]->(h:Chunk {tenant: $tenant})
OPTIONAL MATCH (h)-[:MENTIONS]->(c:Concept {tenant: $tenant})
RETURN h.ordinal AS ordinal, h.begins AS begins, h.ends AS ends, collect(c.id) AS concepts
"""

# Paths that are kept, and how far users have come. What they name is joined to the concepts that are there.
SAVE_PATH: Final = """
MERGE (p:LearningPath {tenant: $tenant, id: $id})
SET p.path = $path, p.name = $name, p.target = $target, p.custom = $custom
WITH p
OPTIONAL MATCH (p)-[:HAS_STEP]->(s:PathConcept {tenant: $tenant})
WITH p, collect(s) AS former
FOREACH (s IN former | DETACH DELETE s)
"""

ADD_STEPS: Final = """
MATCH (p:LearningPath {tenant: $tenant, id: $id})
UNWIND $rows AS row
CREATE (p)-[:HAS_STEP]->(s:PathConcept {tenant: $tenant, concept: row.concept, order: row.order, optional: row.optional})
"""

DELETE_PATH: Final = """
MATCH (p:LearningPath {tenant: $tenant, id: $id})
OPTIONAL MATCH (p)-[:HAS_STEP]->(s:PathConcept {tenant: $tenant})
WITH p, collect(s) AS steps
FOREACH (s IN steps | DETACH DELETE s)
DETACH DELETE p
RETURN count(*) AS gone
"""

PATHS: Final = "MATCH (p:LearningPath {tenant: $tenant}) RETURN p.path AS path"
PATH: Final = "MATCH (p:LearningPath {tenant: $tenant, id: $id}) RETURN p.path AS path"

PATHS_OVER: Final = """
MATCH (c:Concept {tenant: $tenant, id: $id})<-[:OF]-(s:PathConcept {tenant: $tenant})
MATCH (s)<-[:HAS_STEP]-(p:LearningPath {tenant: $tenant})
RETURN DISTINCT p.path AS path
"""

SAVE_PROGRESS: Final = """
UNWIND $rows AS row
MERGE (u:UserProgress {tenant: $tenant, user: row.user, concept: row.concept})
SET u.status = row.status, u.percent = row.percent, u.minutes = row.minutes, u.rating = row.rating,
    u.started_at = row.started_at, u.completed_at = row.completed_at, u.updated_at = row.updated_at
"""

DELETE_PROGRESS: Final = """
MATCH (u:UserProgress {tenant: $tenant, user: $user, concept: $concept}) DETACH DELETE u
"""

LEARNERS: Final = """
MATCH (c:Concept {tenant: $tenant, id: $id})<-[:OF]-(u:UserProgress {tenant: $tenant})
RETURN u.status AS status, count(DISTINCT u.user) AS total
"""

MARK_LEARNERS: Final = "MERGE (g:Graph {tenant: $tenant}) WITH g WHERE g.learners IS NULL SET g.learners = true"

POINTING: Final = ("PathConcept", "UserProgress")
UNLINK: Final = {
    label: f"""
UNWIND $rows AS row
MATCH (n:{label} {{tenant: $tenant, concept: row.concept}})-[o:OF]->()
WITH collect(o) AS removed
UNWIND removed AS o
DELETE o
"""
    for label in POINTING
}
LINK: Final = {
    label: f"""
UNWIND $rows AS row
MATCH (c:Concept {{tenant: $tenant, id: row.into}})
MATCH (n:{label} {{tenant: $tenant, concept: row.concept}})
CREATE (n)-[:OF]->(c)
"""
    for label in POINTING
}

# Vectors and words. An index knows nothing of tenants: more is asked of it than is wanted, and what is another's left out.
WRITE_VECTORS: Final = """
UNWIND $rows AS row
MATCH (c:Concept {tenant: $tenant, id: row.id})
SET c.embedding = row.vector, c.embedding_model = $model
"""

VECTORS: Final = """
UNWIND $rows AS row
MATCH (c:Concept {tenant: $tenant, id: row.id})
WHERE c.embedding_model = $model
RETURN c.id AS id, c.embedding AS vector
"""

NEAREST: Final = """
CALL db.index.vector.queryNodes($index, $asked, $vector) YIELD node, score
WITH node AS c, score
WHERE c.tenant = $tenant AND c.embedding_model = $model
RETURN c.id AS id, c.embedding AS vector
LIMIT $limit
"""

COMPARED: Final = """
MATCH (c:Concept {tenant: $tenant})
WHERE c.embedding_model = $model
RETURN c.id AS id, c.embedding AS vector
ORDER BY vector.similarity.cosine(c.embedding, $vector) DESC
LIMIT $limit
"""

MATCHING: Final = """
CALL db.index.fulltext.queryNodes($index, $words) YIELD node, score
WITH node AS c, score
WHERE c.tenant = $tenant
RETURN c.id AS id, score
ORDER BY score DESC, id
LIMIT $limit
"""

SAVE_CUTS: Final = "MATCH (g:Graph {tenant: $tenant}) SET g.cut = $cut"
CUTS: Final = "MATCH (g:Graph {tenant: $tenant}) RETURN g.cut AS cut"

# Reading.
CONCEPT: Final = f"""
MATCH (c:Concept {{tenant: $tenant, id: $id}})
OPTIONAL MATCH (c)-[:REQUIRES]->(needed:Concept {{tenant: $tenant}})
WITH c, collect(DISTINCT needed.id) AS requires
OPTIONAL MATCH (c)<-[:REQUIRES]-(needing:Concept {{tenant: $tenant}})
WITH c, requires, collect(DISTINCT needing.id) AS required_by
OPTIONAL MATCH (c)-[:PART_OF]->(wider:Concept {{tenant: $tenant}})
WITH c, requires, required_by, collect(DISTINCT wider.id) AS part_of
OPTIONAL MATCH (c)<-[:PART_OF]-(narrower:Concept {{tenant: $tenant}})
WITH c, requires, required_by, part_of, collect(DISTINCT narrower.id) AS parts
OPTIONAL MATCH (c)-[:RELATED_TO]-(other:Concept {{tenant: $tenant}})
RETURN {_TOLD}, requires, required_by, part_of, parts, collect(DISTINCT other.id) AS related
"""

# Whole graphs come in lists: to unpack one row costs as much as five members of a list, and a hub has very many rows.
CONCEPTS: Final = f"""
MATCH (c:Concept {{tenant: $tenant}})
RETURN c.voice AS voice, collect([c.id, {_fields("c.{0}")}]) AS told
"""

SOME_CONCEPTS: Final = f"UNWIND $rows AS row MATCH (c:Concept {{tenant: $tenant, id: row.id}}) RETURN {_TOLD}"

FIND: Final = f"""
MATCH (c:Concept {{tenant: $tenant}})
WHERE c.folded CONTAINS $folded OR c.id = $id
RETURN {_TOLD}
ORDER BY CASE WHEN c.folded = $folded OR c.id = $id THEN 0 ELSE 1 END, size(c.name), c.id
LIMIT $limit
"""

EDGES: Final = {
    kind: f"""
MATCH (a:Concept {{tenant: $tenant}})-[r:{kind}]->(b:Concept {{tenant: $tenant}})
WITH a.id AS source, b.id AS target, max(r.weight) AS weight
RETURN target, collect([source, weight]) AS sources
"""
    for kind in EdgeType
}

DOCUMENTS_OF: Final = """
UNWIND $ids AS id
MATCH (c:Concept {tenant: $tenant, id: id})<-[s:SUPPORTS]-(d:Document {tenant: $tenant})
WHERE s.weight IS NOT NULL
RETURN c.id AS concept, d.id AS document, s.weight AS weight
"""

SOME_EDGES: Final = {
    kind: f"""
UNWIND $rows AS row
MATCH (a:Concept {{tenant: $tenant, id: row.source}})-[r:{kind}]->(b:Concept {{tenant: $tenant, id: row.target}})
RETURN a.id AS source, b.id AS target, max(r.weight) AS weight
"""
    for kind in EdgeType
}

MENTIONS: Final = """
MATCH (c:Concept {tenant: $tenant})<-[s:SUPPORTS]-(d:Document {tenant: $tenant})
WHERE s.weight IS NOT NULL
RETURN d.id AS document, collect([c.id, s.weight]) AS concepts
"""

MENTIONS_OF: Final = """
UNWIND $rows AS row
MATCH (c:Concept {tenant: $tenant, id: row.id})<-[s:SUPPORTS]-(d:Document {tenant: $tenant})
WHERE s.weight IS NOT NULL
RETURN c.id AS concept, d.id AS document, s.weight AS weight
"""

SUPPORTING_CONCEPT: Final = """
MATCH (c:Concept {tenant: $tenant, id: $source})<-[:SUPPORTS]-(d:Document {tenant: $tenant})
WITH DISTINCT d.id AS id ORDER BY id LIMIT $limit
MATCH (k:Contribution {tenant: $tenant, id: id})
RETURN id, k.extraction AS extraction
"""

SUPPORTING_CONCEPTS: Final = """
UNWIND $ids AS wanted
MATCH (c:Concept {tenant: $tenant, id: wanted})<-[:SUPPORTS]-(d:Document {tenant: $tenant})
RETURN DISTINCT c.id AS concept, d.id AS document
"""
CONTRIBUTIONS: Final = """
UNWIND $ids AS wanted
MATCH (k:Contribution {tenant: $tenant, id: wanted})
RETURN k.id AS id, k.extraction AS extraction
"""

CURATIONS: Final = f"""
MATCH (d:Document {{tenant: $tenant}}) WHERE d.id STARTS WITH '{CURATION}' RETURN d.id AS id
"""

SUPPORTING_EDGE: Final = {
    kind: f"""
MATCH (a:Concept {{tenant: $tenant, id: $source}})-[r:{kind}]->(b:Concept {{tenant: $tenant, id: $target}})
WITH DISTINCT r.document AS id ORDER BY id LIMIT $limit
MATCH (k:Contribution {{tenant: $tenant, id: id}})
RETURN id, k.extraction AS extraction
"""
    for kind in EdgeType
}

REVISION: Final = "MATCH (g:Graph {tenant: $tenant}) RETURN coalesce(g.revision, 0) AS revision"

CHANGES: Final = """
UNWIND $revisions AS revision
MATCH (x:Change {tenant: $tenant, revision: revision})
RETURN x.revision AS revision, x.touched AS touched
"""

WRITE_SCORES: Final = """
UNWIND $rows AS row
MATCH (c:Concept {tenant: $tenant, id: row.id})
SET c.scores = row.scores
"""

SCORES: Final = """
UNWIND $rows AS row
MATCH (c:Concept {tenant: $tenant, id: row.id})
WHERE c.scores IS NOT NULL
RETURN c.id AS id, c.scores AS scores
"""

COUNT_CONCEPTS: Final = "MATCH (c:Concept {tenant: $tenant}) RETURN count(c) AS total"
# What a person states is supported through a document that is none (see `model.curation_id`).
COUNT_DOCUMENTS: Final = f"""
MATCH (d:Document {{tenant: $tenant}}) WHERE NOT d.id STARTS WITH '{CURATION}' RETURN count(d) AS total
"""
COUNT_CURATIONS: Final = f"""
MATCH (d:Document {{tenant: $tenant}}) WHERE d.id STARTS WITH '{CURATION}' RETURN count(d) AS total
"""
COUNT_CHUNKS: Final = (
    "MATCH (d:Document {tenant: $tenant})-[:HAS_CHUNK]->(h:Chunk {tenant: $tenant}) RETURN count(h) AS total"
)
COUNT_RESOURCES: Final = """
MATCH (d:Document {tenant: $tenant})
MATCH (r:LearningResource {tenant: $tenant, id: d.id})
RETURN count(r) AS total
"""
COUNT_PATHS: Final = "MATCH (p:LearningPath {tenant: $tenant}) RETURN count(p) AS total"
COUNT_LEARNERS: Final = "MATCH (u:UserProgress {tenant: $tenant}) RETURN count(u) AS total"
COUNT_EDGES: Final = {
    kind: f"""
MATCH (a:Concept {{tenant: $tenant}})-[:{kind}]->(b:Concept {{tenant: $tenant}})
WITH DISTINCT a.id AS source, b.id AS target
RETURN count(*) AS total
"""
    for kind in EdgeType
}
