"""Dealing photos out to splits so that each label has its share in each, and near-duplicates stay together.

Iterative stratification (Sechidis, Tsoumakas and Vlahavas, *On the stratification of multi-label data*, 2011): the
label with the fewest photos left is dealt out first, each of its photos to the split that lacks most of that label.
Here, among splits that lack almost as much of it, all labels of the photo decide; groups are dealt out instead of
photos, photos without a label count as a label of their own, some photos may have their split already, and no label
is left without a photo in train. In the end single groups are moved where a split still misses its share of a label by
more than a photo.
"""

from collections import defaultdict

import numpy as np

TRAIN = 0
"""The split that no label may be without."""
SLACK = 0.5
"""Photos of the label in turn by which a split may lack fewer than another and still be chosen, for the sake of the
group's other labels; the paper's form is 0, which leaves frequent labels several photos off their share."""
NEAR = 0.8
"""Photos by which a split may miss its share of a label; below one, so that a whole number lies within it."""
MENDS, TRIES, CANDIDATES = 500, 10, 500
"""Groups that are moved afterwards at most, places that are looked at for each, and groups that are tried there."""


def stratify(
    targets: np.ndarray, groups: np.ndarray, shares: np.ndarray, draws: np.ndarray, fixed: np.ndarray
) -> np.ndarray:
    """Give each group of photos a split.

    Args:
        targets: bool [N, C].
        groups: int [N], the same for photos that stay together.
        shares: float [S], what part of all photos each split is to have; they sum to 1.
        draws: float [N], a chance for each photo, which decides what labels leave open.
        fixed: int [N], the split of a photo that has one, -1 otherwise. The rest of its group joins it.

    Returns:
        int [N], the split of each photo.
    """
    targets = np.column_stack([targets, ~targets.any(axis=1)])
    return _Dealing(targets, groups, shares, draws, fixed).done()


def _far(lacking: np.ndarray) -> np.ndarray:
    """How far counts lie from their shares, squared and summed over labels; what is within a photo is near enough."""
    return np.asarray((np.maximum(np.abs(lacking) - NEAR, 0) ** 2).sum(axis=-1))


class _Dealing:
    def __init__(
        self, targets: np.ndarray, groups: np.ndarray, shares: np.ndarray, draws: np.ndarray, fixed: np.ndarray
    ) -> None:
        self._targets, self._found = targets, np.full(len(targets), -1)
        self._lacking = np.outer(shares, targets.sum(axis=0))  # [S, C], photos of each label that a split lacks
        self._totals = targets.sum(axis=0)
        self._room = shares * len(targets)  # [S], photos of any kind that it lacks
        self._left = targets.sum(axis=0)  # [C], photos that have no split yet
        self._train = np.zeros(targets.shape[1], dtype=bool)  # labels that train has
        self._shares = shares
        members: dict[int, list[int]] = defaultdict(list)
        for photo in np.argsort(draws, kind="stable").tolist():
            members[int(groups[photo])].append(photo)
        self._open: list[np.ndarray] = []
        for group in map(np.array, members.values()):
            settled = group[fixed[group] >= 0]
            for split in np.unique(fixed[settled]).tolist():
                self._place(settled[fixed[settled] == split], split)
            free = group[fixed[group] < 0]
            if len(settled) and len(free):
                self._place(free, int(np.bincount(fixed[settled]).argmax()))
            elif len(free):
                self._open.append(free)
        self._open.sort(key=len, reverse=True)  # large groups are harder to place; among equals chance decides

    def done(self) -> np.ndarray:
        """Deal out everything that is open."""
        having: dict[int, list[np.ndarray]] = defaultdict(list)
        for group in self._open:
            for label in np.flatnonzero(self._targets[group].any(axis=0)).tolist():
                having[label].append(group)
        while self._left.any():
            label = int(np.argmin(np.where(self._left > 0, self._left, np.iinfo(np.int64).max)))
            for group in having[label]:
                if self._found[group[0]] < 0:
                    self._place(group, self._choice(group, label))
        for _ in range(MENDS):
            if not self._mend():
                break
        return self._found

    def _mend(self) -> bool:
        """Move a group from a split that has too much of a label; whether any move would help."""
        over = (-self._lacking).ravel()
        worst = np.argsort(-over, kind="stable")[:TRIES]
        return any(self._moved(*divmod(int(cell), self._lacking.shape[1])) for cell in worst if over[cell] >= 1)

    def _moved(self, split: int, label: int) -> bool:
        groups = [g for g in self._open if self._found[g[0]] == split and self._targets[g, label].any()][:CANDIDATES]
        if split == TRAIN:
            held = self._targets[self._found == TRAIN].sum(axis=0)
            groups = [g for g in groups if not np.any((held > 0) & (held == self._targets[g].sum(axis=0)))]
        if not groups:
            return False
        counts = np.array([np.append(self._targets[g].sum(axis=0), len(g)) for g in groups])  # [G, C + 1]
        lacking = np.column_stack([self._lacking, self._room])  # [S, C + 1]
        gain = _far(lacking[split] + counts) - _far(lacking[split])
        gains = np.array([gain + _far(lacking[other] - counts) - _far(lacking[other]) for other in range(len(lacking))])
        gains[(self._shares <= 0) | (np.arange(len(gains)) == split)] = np.inf
        other, at = divmod(int(np.argmin(gains)), len(groups))
        if gains[other, at] > -1e-9:
            return False
        self._lacking[split] += counts[at, :-1]
        self._left += counts[at, :-1]
        self._room[split] += counts[at, -1]
        self._place(groups[at], other)
        return True

    def _choice(self, group: np.ndarray, label: int) -> int:
        counts = self._targets[group].sum(axis=0)
        if np.any((counts > 0) & ~self._train & (self._left == counts)):  # the last chance of a label to be learnt
            return TRAIN
        if not self._train[label] and self._left[label] > 0:
            return TRAIN
        lacking = np.where(self._shares > 0, self._lacking[:, label], -np.inf).round(9)
        near = np.flatnonzero(lacking > lacking.max() - SLACK)
        urgent = (self._lacking[:, counts > 0] / np.sqrt(self._totals[counts > 0])).sum(axis=1)
        return int(max(near, key=lambda split: (urgent[split].round(9), self._room[split])))

    def _place(self, group: np.ndarray, split: int) -> None:
        counts = self._targets[group].sum(axis=0)
        self._found[group] = split
        self._lacking[split] -= counts
        self._room[split] -= len(group)
        self._left -= counts
        if split == TRAIN:
            self._train |= counts > 0
