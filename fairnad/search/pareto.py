"""NSGA-II's selection without its variation (Deb et al. 2002; paper §4.3.2)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def ranks(objectives: Floats) -> Ints:
    """Non-dominated rank of each point, 0 for the first front.

    Args:
        objectives: shape (num_points, num_objectives), every column to be minimised.

    Returns:
        Shape (num_points,). Equal points share a rank.
    """
    import moocore  # a compiled library: loaded when a search reaches stage II, not with the settings

    if len(objectives) == 0:
        return np.zeros(0, dtype=np.int64)
    return np.asarray(moocore.pareto_rank(np.ascontiguousarray(objectives, dtype=np.float64)), dtype=np.int64)


def crowding(front: Floats) -> Floats:
    """Crowding distance of each point of one front; infinite at the ends of every objective.

    Args:
        front: shape (num_points, num_objectives).

    Returns:
        Shape (num_points,). An objective that is the same for all adds nothing.
    """
    num_points, num_objectives = front.shape
    distance = np.zeros(num_points)
    for column in range(num_objectives):
        values = front[:, column]
        order = np.argsort(values, kind="stable")
        span = values[order[-1]] - values[order[0]]
        if span == 0:
            continue
        distance[order[1:-1]] += (values[order[2:]] - values[order[:-2]]) / span
        distance[order[[0, -1]]] = np.inf
    return distance


def select(objectives: Floats, num_selected: int) -> list[int]:
    """The best ``num_selected`` points by (rank, crowding), ties by position; fewer when there are fewer.

    Args:
        objectives: shape (num_points, num_objectives), every column to be minimised.

    Returns:
        Indices (from 0), first front first, within a front the least crowded first.
    """
    rank = ranks(objectives)
    chosen: list[int] = []
    for level in np.unique(rank):
        members = np.flatnonzero(rank == level)
        distance = crowding(objectives[members])
        order = sorted(range(len(members)), key=lambda i: (-distance[i], members[i]))
        chosen.extend(int(members[i]) for i in order)
        if len(chosen) >= num_selected:
            break
    return chosen[:num_selected]
