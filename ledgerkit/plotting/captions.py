"""What is said below each figure: how it is read, and what on it should make one doubt the result.

By the id of the figure, or by what its ids begin with where there are several of a kind.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Caption:
    """The words that go with every figure of one kind."""

    tags: tuple[str, ...]
    interpretation: str
    warning_signs: str
    is_core: bool = True
    """Whether it belongs to those to look at first."""


CAPTIONS = {
    "peep-missingness-top25": Caption(
        ("peep", "missingness"),
        "For each column of what is grouped, the share of subjects without a value, before "
        "clustering: the columns of the vectors, and of the catalogue for their plates.",
        "A vector is missing: that subject cannot be grouped. A field that labels are taken from is "
        "missing for many: every figure by label then speaks of the rest only.",
    ),
    "peep-label-distribution-top30": Caption(
        ("peep", "distribution", "label"),
        "How many subjects carry each value of the catalogue field that serves as label. It is what "
        "clusters are held against below.",
        "One value has nearly all subjects: then every cluster looks pure, and purity says nothing. "
        "Nearly as many values as subjects: then no cluster can look pure.",
    ),
    "post-missingness-top25": Caption(
        ("post", "missingness"),
        "The same after clustering, with the columns that clustering added. Columns that are null by "
        "design are among them: cluster_id of noise, nearest_cluster_id of members.",
        "x, y or label is missing for any subject. cluster_id is missing for more subjects than the "
        "noise limit allows.",
    ),
    "cluster-size-hist-excluding-noise": Caption(
        ("core", "clustering", "distribution"),
        "How many clusters there are of each size, noise left out. The Gini coefficient in the title "
        "is 0 where all are of one size, and nears 1 where one holds nearly everything.",
        "A single bar far to the right: one cluster swallowed the rest. A pile at the least size "
        "allowed: groups are being split as far as the settings let them.",
    ),
    "cluster-sizes-top30": Caption(
        ("core", "clustering", "distribution"),
        "Members of the largest clusters, by the numbers that maps and montages use too.",
        "The first bar dwarfs the second. The bars fall without any step and the noise is large: "
        "the clusters may be slices of one cloud.",
    ),
    "map2d-by-label": Caption(
        ("core", "cartography", "label"),
        "Every subject at its place on the map, by its label. Near means alike in the vectors; "
        "distances between far islands, and the axes themselves, mean nothing.",
        "The labels are mixed everywhere: the vectors do not see what the catalogue names. The "
        "islands follow labels such as the source or the scanner: they see the reproduction, not "
        "the subject.",
    ),
    "map2d-by-cluster": Caption(
        ("core", "cartography", "cluster"),
        "The same map by cluster. Clusters beyond those in the legend are dark grey, noise is light "
        "grey; every subject is drawn.",
        "One cluster lies in several islands, or an island holds many clusters: map and clusters "
        "disagree, and one of them follows its settings more than the vectors.",
    ),
    "cluster-label-heatmap-top": Caption(
        ("core", "cluster", "label"),
        "Of the members of each of the largest clusters that carry a label, the share with each "
        "label; a row adds up to 1.",
        "The rows look alike: clusters and labels have nothing to do with each other. A bright column "
        "goes through all rows: that label is simply frequent.",
    ),
    "cluster-label-purity-hist": Caption(
        ("core", "purity", "diagnostic"),
        "For each cluster the share of its most frequent label, noise left out. A diagnostic and no "
        "target: a cluster that crosses labels may be the discovery.",
        "Most clusters lie near the share of the most frequent label among all subjects, the line: "
        "they are no purer than chance. All lie at 1 with many small clusters: they are too small "
        "to be impure.",
    ),
    "silhouette-hist-sampled": Caption(
        ("core", "silhouette", "diagnostic"),
        "Cosine silhouette of each subject in the original vectors, noise counted as if it were a "
        "cluster: near 1 well inside its own, 0 between two, below 0 nearer to another.",
        "The mean is low only because of noise, which is no group: then see the figure without it. "
        "A hump below 0: members belong to another cluster.",
    ),
    "silhouette-hist-without-noise": Caption(
        ("core", "silhouette", "diagnostic"),
        "The same with noise removed before anything is compared; the only member of a cluster counts "
        "0 (Rousseeuw 1987). This is the number that settings are chosen by.",
        "The mean is below 0, or much of the mass is: the clusters are an artefact of the layout in "
        "which they were found.",
    ),
    "trials-overview": Caption(
        ("core", "clustering", "sweep", "diagnostic"),
        "All settings that were tried: silhouette against the share left as noise, and against the "
        "persistence of the clusters; the chosen one is a star. Settings that could not be chosen "
        "are crosses; those without one of the measures stand on the lower edge.",
        "The chosen one stands alone among its neighbours: a little change of settings gives another "
        "answer. It stands at the noise limit: the limit made the choice.",
    ),
    "sweep-leaderboard": Caption(
        ("core", "sweep", "leaderboard"),
        "The trials that rank first, with their settings, score, clusters, coverage (share of the "
        "rows in a cluster), stability (adjusted Rand index, subsamples and consensus), silhouette "
        "and modularity. A star has the trial of rank 1, a dash stands for a missing measure. The bar "
        "below a number goes from the least to the greatest of its column here.",
        "The first ones differ in every setting and in their clusters: the score does not tell them "
        "apart, so take the robust one. Scores hardly fall from the first to the last: the order is "
        "chance. A high score with low coverage: most of the rows were left out.",
    ),
    "sweep-consensus": Caption(
        ("core", "sweep", "consensus"),
        "Rows of a sample against each other, ordered by consensus cluster: how many of the trials of "
        "the consensus put the two together, of those that put both in a cluster. Dark is none, bright "
        "all, grey is where no trial has both. Clusters that are agreed on are bright squares on a dark "
        "ground.",
        "A square is mottled: its cluster is one of several readings. Bright bands link two squares: "
        "many trials put these clusters together. All is of one brightness: there is no structure on "
        "which trials agree.",
    ),
    "sweep-silhouettes": Caption(
        ("core", "sweep", "silhouette"),
        "For each consensus cluster the cosine silhouettes of its members in the original vectors: "
        "the width is their density, the thick line the middle half, the dot the median. Clusters "
        "stand by size, the largest first, with the number of their members; of less than five every "
        "member is a dot.",
        "A violin lies largely below 0: its members are nearer to another cluster. A large cluster has "
        "two humps: it may be two. Small clusters alone are high: the score rests on a few rows.",
    ),
    "sweep-pareto": Caption(
        ("core", "sweep", "diagnostic"),
        "Each trial by its stability and its silhouette, the larger the higher its coverage. No other "
        "trial exceeds those on the line in both; they are named by number. The star is rank 1.",
        "The star lies far inside the line: the score pays for something else, see its terms. The line "
        "is made of small points: they are good only by leaving rows out. Stability is high where the "
        "silhouette is low: trials agree on what is no group, such as one cluster of nearly all.",
    ),
    "sweep-dependence": Caption(
        ("sweep", "parameters", "diagnostic"),
        "The score of every trial of one algorithm against each of its settings, with the median of "
        "each value, or of each eighth of a range.",
        "The medians climb to the end of a range: better values may lie beyond it. Points of one value "
        "spread over the whole height: that setting decides nothing by itself. One value has few "
        "points: its median is chance.",
        is_core=False,
    ),
    "sweep-map": Caption(
        ("core", "sweep", "cartography"),
        "The map by consensus cluster: every subject at its place, clusters beyond those in the legend "
        "dark grey, those in none light grey. The map had no part in the consensus unless a trial "
        "grouped the same layout.",
        "A cluster lies in several islands, or one island holds many: map and consensus disagree. Those "
        "in none fill whole islands: a group was missed.",
    ),
    "map": Caption(
        ("montage", "cartography", "map"),
        "The map with small pictures, framed in the colour of their cluster, grey for noise; subjects "
        "without a picture are dots. Each axis is drawn half by value, half by rank, so that islands "
        "lie closer than in the ledger.",
        "Neighbours have nothing in common but paper, frame or tone of the scan. Plates that show the "
        "same thing lie far apart.",
    ),
    "montage-cluster": Caption(
        ("montage", "cluster"),
        "Members of one cluster, those nearest its centroid first, then by falling strength of "
        "membership.",
        "The first row does not look like one kind of thing. The likeness is that of paper, margin or "
        "colour cast. The pictures fall into two kinds: the cluster should be split.",
        is_core=False,
    ),
    "montage-core-cluster": Caption(
        ("montage", "cluster", "core"),
        "Members of one of the three largest clusters, those nearest its centroid first, then by "
        "falling strength of membership.",
        "A large cluster without a common theme is what was left over. If several are so, go back to "
        "the vectors or to the settings of the clustering before anything is named.",
    ),
    "montage-flagged-cluster": Caption(
        ("montage", "cluster", "diagnostic", "flagged"),
        "Members of one of the three smallest clusters, those nearest its centroid first, then by "
        "falling strength of membership.",
        "Copies of one plate, or details of the same sheet, make a cluster of their own. So do faulty "
        "scans. A small cluster that looks like part of a large one was split off by the settings.",
    ),
    "montage-noise": Caption(
        ("montage", "diagnostic"),
        "Subjects that belong to no cluster, evenly spread over their order.",
        "Many of them look like members of a cluster: the settings are too strict. They are all of "
        "one kind: a group was missed.",
    ),
    "overlay": Caption(
        ("overlay", "segmentation"),
        "The regions found on a plate: figures vermilion, parts yellow, lettering sky blue, dark "
        "surround purple; paper is what is left.",
        "A line cuts through what was drawn, lettering is taken for a figure, or the edge of the "
        "paper is missed.",
        is_core=False,
    ),
    "contact": Caption(
        ("contact", "segmentation"),
        "The regions of many plates on one sheet, in the colours that its title names; below each "
        "plate how many figures and lines of lettering were found.",
        "Plates without any figure. Plates of one series that are cut quite differently. Counts that "
        "leap from one plate to the next.",
        is_core=False,
    ),
    "megapixels": Caption(
        ("policy", "distribution"),
        "The sizes of all plates, one tick each, with the limits that the proposed policy sets: beyond "
        "the first a smaller copy is made, beyond the second a plate is treated as an outlier.",
        "A limit lies in the midst of a heap: plates alike are then treated differently. A tick far "
        "from all others: that scan may be faulty.",
        is_core=False,
    ),
}
