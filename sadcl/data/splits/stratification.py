"""Stratified splits of multi-label data: each label gets its share in each split, and groups stay together.

Iterative stratification (Sechidis, Tsoumakas and Vlahavas, *On the stratification of multi-label data*, 2011): the
label with the fewest remaining photos is assigned first, each of its photos to the split that lacks most of the label.
Five extensions: among splits that lack almost as much of it, all labels of the photo decide; groups are assigned in
place of photos; photos without a label count as a label of their own; some photos may have a fixed split; and every
label keeps a photo in train. Afterwards, groups are moved while a split misses its share of a label by more than a
photo.
"""

from collections import defaultdict

import numpy as np

TRAIN = 0
"""Index of the split that has to have every label."""
SLACK = 0.5
"""Photos of the current label by which a split may lack fewer than the neediest one and still be chosen, so that the
group's other labels count; the paper uses 0, which leaves frequent labels several photos off their share."""
TOLERANCE = 0.8
"""Photos by which a split may miss its share of a label; below one, so that a whole number lies within."""
MAX_MOVES, MAX_CELLS, MAX_CANDIDATES = 500, 10, 500
"""Bounds of the correction: groups moved, pairs of split and label tried per move, and groups tried per pair."""


def stratify(
    targets: np.ndarray, groups: np.ndarray, shares: np.ndarray, draws: np.ndarray, fixed: np.ndarray
) -> np.ndarray:
    """Assign each group of photos to a split.

    Args:
        targets: bool [N, C].
        groups: int [N], equal for photos that stay together.
        shares: float [S], fraction of all photos in each split; they sum to 1.
        draws: float [N], a random number per photo, which decides where labels leave a choice.
        fixed: int [N], split of a photo that has one, -1 otherwise. The rest of its group joins it.

    Returns:
        int [N], split of each photo.
    """
    targets = np.column_stack([targets, ~targets.any(axis=1)])
    return _Stratification(targets, groups, shares, draws, fixed).assign()


def _imbalance(lacking: np.ndarray) -> np.ndarray:
    """Squared distance of counts from their shares beyond the tolerance, summed over labels: [..., C] to [...]."""
    return np.asarray((np.maximum(np.abs(lacking) - TOLERANCE, 0) ** 2).sum(axis=-1))


class _Stratification:
    """State of one assignment: split of each photo so far, and what each split still lacks."""

    def __init__(
        self, targets: np.ndarray, groups: np.ndarray, shares: np.ndarray, draws: np.ndarray, fixed: np.ndarray
    ) -> None:
        self._targets, self._split = targets, np.full(len(targets), -1)
        self._lacking = np.outer(shares, targets.sum(axis=0))  # [S, C], photos of each label that a split still lacks
        self._totals = targets.sum(axis=0)
        self._room = shares * len(targets)  # [S], photos of any label that it still lacks
        self._unassigned = targets.sum(axis=0)  # [C], photos without a split
        self._in_train = np.zeros(targets.shape[1], dtype=bool)  # [C], labels that train has
        self._shares = shares
        members: dict[int, list[int]] = defaultdict(list)
        for photo in np.argsort(draws, kind="stable").tolist():
            members[int(groups[photo])].append(photo)
        self._open: list[np.ndarray] = []
        for group in map(np.array, members.values()):
            assigned = group[fixed[group] >= 0]
            for split in np.unique(fixed[assigned]).tolist():
                self._place(assigned[fixed[assigned] == split], split)
            free = group[fixed[group] < 0]
            if len(assigned) and len(free):
                self._place(free, int(np.bincount(fixed[assigned]).argmax()))
            elif len(free):
                self._open.append(free)
        self._open.sort(key=len, reverse=True)  # large groups are harder to place; the draws order equals

    def assign(self) -> np.ndarray:
        """Assign all open groups, then correct; returns the split of each photo, int [N]."""
        groups_with: dict[int, list[np.ndarray]] = defaultdict(list)
        for group in self._open:
            for label in np.flatnonzero(self._targets[group].any(axis=0)).tolist():
                groups_with[label].append(group)
        while self._unassigned.any():
            label = int(np.argmin(np.where(self._unassigned > 0, self._unassigned, np.iinfo(np.int64).max)))
            for group in groups_with[label]:
                if self._split[group[0]] < 0:
                    self._place(group, self._choose(group, label))
        for _ in range(MAX_MOVES):
            if not self._improve():
                break
        return self._split

    def _improve(self) -> bool:
        """Move one group out of a split that exceeds its share of a label; False where no move helps."""
        excess = (-self._lacking).ravel()
        worst = np.argsort(-excess, kind="stable")[:MAX_CELLS]
        return any(self._move(*divmod(int(cell), self._lacking.shape[1])) for cell in worst if excess[cell] >= 1)

    def _move(self, split: int, label: int) -> bool:
        """Move the group with this label whose move out of the split helps most; False where none helps."""
        groups = [g for g in self._open if self._split[g[0]] == split and self._targets[g, label].any()]
        groups = groups[:MAX_CANDIDATES]
        if split == TRAIN:
            # train must not lose the last photo of a label
            in_train = self._targets[self._split == TRAIN].sum(axis=0)
            groups = [g for g in groups if not np.any((in_train > 0) & (in_train == self._targets[g].sum(axis=0)))]
        if not groups:
            return False
        counts = np.array([np.append(self._targets[g].sum(axis=0), len(g)) for g in groups])  # [G, C + 1]
        lacking = np.column_stack([self._lacking, self._room])  # [S, C + 1]
        leaving = _imbalance(lacking[split] + counts) - _imbalance(lacking[split])  # [G]
        changes = np.array([leaving + _imbalance(row - counts) - _imbalance(row) for row in lacking])  # [S, G]
        changes[(self._shares <= 0) | (np.arange(len(changes)) == split)] = np.inf
        target, best = divmod(int(np.argmin(changes)), len(groups))
        if changes[target, best] > -1e-9:
            return False
        self._lacking[split] += counts[best, :-1]
        self._unassigned += counts[best, :-1]
        self._room[split] += counts[best, -1]
        self._place(groups[best], target)
        return True

    def _choose(self, group: np.ndarray, label: int) -> int:
        """Split for a group whose label is assigned now."""
        counts = self._targets[group].sum(axis=0)
        # these may be the last photos of a label that train lacks
        if np.any((counts > 0) & ~self._in_train & (self._unassigned == counts)):
            return TRAIN
        if not self._in_train[label] and self._unassigned[label] > 0:
            return TRAIN
        lacking = np.where(self._shares > 0, self._lacking[:, label], -np.inf).round(9)
        near = np.flatnonzero(lacking > lacking.max() - SLACK)
        urgent = (self._lacking[:, counts > 0] / np.sqrt(self._totals[counts > 0])).sum(axis=1)
        return int(max(near, key=lambda split: (urgent[split].round(9), self._room[split])))

    def _place(self, group: np.ndarray, split: int) -> None:
        """Assign a group to a split, and update what the split lacks."""
        counts = self._targets[group].sum(axis=0)
        self._split[group] = split
        self._lacking[split] -= counts
        self._room[split] -= len(group)
        self._unassigned -= counts
        if split == TRAIN:
            self._in_train |= counts > 0
