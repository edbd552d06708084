"""The names of clusters in force, as SQL over the ledgers: a person before a model before the rule.

What a person said of a cluster holds for the same cluster in every later run (its identity comes
from its members), and for that cluster of a current run which shares more than half of all members
with it. More than half leaves no choice: of disjoint sets at most one can overlap so much.
Source: Jaccard 1901 (overlap); Hennig 2007, "Cluster-wise assessment of cluster stability" (more
than 0.5: the cluster was not dissolved).
"""

from __future__ import annotations

LEAST_OVERLAP = 0.5
"""Members in both over members in either; a name is carried only above it."""

_OVERLAPS = """
WITH given AS (
  SELECT d.*, r.person FROM descriptions d JOIN runs r USING (run_id) WHERE r.status <> 'failed'
),
decided AS (
  SELECT * FROM given WHERE source = 'person'
  QUALIFY row_number() OVER (PARTITION BY cluster_id ORDER BY run_id DESC) = 1
),
former AS (
  SELECT DISTINCT m.cluster_id, m.level, m.subject_id
  FROM cluster_members m JOIN decided USING (cluster_id)
),
sizes AS (SELECT cluster_id, any_value(level) AS level, count(*) AS size FROM former GROUP BY 1),
shared AS (
  SELECT c.run_id, c.cluster_id, f.cluster_id AS former_id, count(*) AS shared
  FROM current_cluster_members c JOIN former f USING (subject_id)
  WHERE c.cluster_id IS NOT NULL GROUP BY ALL
),
near AS (
  SELECT s.*, c.size, c.level, z.size AS former_size, z.level AS former_level,
         s.shared / (c.size + z.size - s.shared) AS overlap
  FROM shared s JOIN current_clusters c USING (run_id, cluster_id)
  JOIN sizes z ON z.cluster_id = s.former_id
),"""

VIEW = f"""{_OVERLAPS}
carried AS (
  SELECT n.run_id AS clustering, n.cluster_id AS here, n.former_id, n.overlap, d.*
  FROM near n JOIN decided d ON d.cluster_id = n.former_id
  WHERE n.overlap > {LEAST_OVERLAP} AND (d.name <> '' OR n.former_id = n.cluster_id)
  QUALIFY row_number() OVER (
    PARTITION BY n.run_id, n.former_id
    ORDER BY n.former_id = n.cluster_id DESC, n.overlap DESC, n.level = n.former_level DESC, n.level
  ) = 1
),
person AS (
  SELECT * FROM carried
  QUALIFY row_number() OVER (
    PARTITION BY clustering, here ORDER BY former_id = here DESC, run_id DESC
  ) = 1
),
model AS (
  SELECT * FROM given WHERE source = 'model'
  QUALIFY row_number() OVER (PARTITION BY cluster_id ORDER BY run_id DESC) = 1
),
rule AS (
  SELECT * FROM given WHERE source = 'rule'
  QUALIFY row_number() OVER (PARTITION BY cluster_id ORDER BY run_id DESC) = 1
)
SELECT c.run_id, c.cluster_id, c.level, c.label, c.size,
       CASE WHEN p.name <> '' THEN p.name WHEN m.name IS NOT NULL THEN m.name ELSE u.name END
         AS name,
       CASE WHEN p.name <> '' THEN 'person' WHEN m.name IS NOT NULL THEN 'model'
            WHEN u.name IS NOT NULL THEN 'rule' END AS source,
       coalesce(nullif(p.description, ''), nullif(m.description, ''), nullif(u.description, ''))
         AS description,
       m.category, m.strength,
       CASE WHEN p.name <> '' AND EXISTS (
         SELECT 1 FROM current_cluster_members x WHERE x.run_id = c.run_id
         AND x.cluster_id = c.cluster_id AND x.subject_id = p.representative_id
       ) THEN p.representative_id ELSE c.medoid_id END AS representative_id,
       CASE WHEN p.name <> '' THEN p.run_id WHEN m.name IS NOT NULL THEN m.run_id ELSE u.run_id END
         AS since_run_id,
       CASE WHEN p.name <> '' THEN p.person END AS named_by,
       CASE WHEN p.name <> '' THEN p.former_id END AS named_as,
       CASE WHEN p.name <> '' THEN p.overlap END AS overlap,
       u.name AS descriptive_name
FROM current_clusters c
LEFT JOIN person p ON p.clustering = c.run_id AND p.here = c.cluster_id
LEFT JOIN model m ON m.cluster_id = c.cluster_id
LEFT JOIN rule u ON u.cluster_id = c.cluster_id"""
"""The view `cluster_names`: one row per current cluster, with the name in force and where it is from.

`overlap` is 1 where the cluster itself was named, `named_as` the cluster that was.
"""

LOST = f"""{_OVERLAPS}
carried AS (
  SELECT DISTINCT named_as FROM cluster_names WHERE named_as IS NOT NULL
)
SELECT d.cluster_id, d.name, d.person, d.run_id, z.size,
       n.run_id AS clustering, n.cluster_id AS now, n.shared, n.overlap
FROM decided d JOIN sizes z USING (cluster_id)
LEFT JOIN near n ON n.former_id = d.cluster_id
WHERE d.name <> '' AND d.cluster_id NOT IN (SELECT named_as FROM carried)
ORDER BY d.cluster_id, n.shared DESC, n.cluster_id"""
"""Names of persons that no current cluster bears, with the clusters among which the members are."""
