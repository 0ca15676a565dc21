"""The network that stacks the two cells of a genotype."""

from __future__ import annotations

import torch
from torch import nn

from autovul.vision.utils.model_archs.darts.genotype import NUM_INPUTS, Edge, Genotype
from autovul.vision.utils.model_archs.darts.operations import make_operation, preprocess


class Cell(nn.Module):
    """One cell: pre-processes the outputs of the two cells before, adds two operations a node, concatenates nodes.

    Args:
        edges: ``(operation, state)``, two a node.
        concat: States that make the output.
        in_channels: Channels of the older and the newer input.
        channels: Channels of every state.
        reduce: Whether edges from the two inputs have stride 2.
        reduce_before: Whether the cell before was a reduction: the older input then has twice the newer one's size.
        dropout: Probability, see `make_operation`.
    """

    def __init__(
        self,
        edges: tuple[Edge, ...],
        concat: tuple[int, ...],
        in_channels: tuple[int, int],
        channels: int,
        *,
        reduce: bool,
        reduce_before: bool,
        dropout: float,
    ) -> None:
        super().__init__()
        self.out_channels = channels * len(concat)
        self.skips = sum(name == "skip_connect" for name, _ in edges)
        self.preprocess0 = preprocess(in_channels[0], channels, reduce=reduce_before)
        self.preprocess1 = preprocess(in_channels[1], channels, reduce=False)
        strides = (2 if reduce and state < NUM_INPUTS else 1 for _, state in edges)
        self._ops = nn.ModuleList(
            make_operation(name, channels, stride, dropout) for (name, _), stride in zip(edges, strides, strict=True)
        )
        self._sources = tuple(state for _, state in edges)
        self._concat = concat

    def forward(self, older: torch.Tensor, newer: torch.Tensor) -> torch.Tensor:
        states = [self.preprocess0(older), self.preprocess1(newer)]
        for edge in range(0, len(self._sources), 2):
            first = self._ops[edge](states[self._sources[edge]])
            second = self._ops[edge + 1](states[self._sources[edge + 1]])
            states.append(first + second)
        return torch.cat([states[state] for state in self._concat], dim=1)


class CellNetwork(nn.Module):
    """Stem and cells; what follows (pool, classifier) is the caller's.

    The reduction cells are those at 1/3 and 2/3 of the depth (rounded down); each doubles the channels.

    Source: DARTS (arXiv 1806.09055), appendix A; deviation: see `make_operation` on dropout.

    Args:
        genotype: The two cells.
        in_channels: Channels of the images.
        init_channels: Channels of a state before the first reduction; the stem has three times as many.
        layers: Number of cells, at least 2.
        dropout: Probability in [0, 1).

    Attributes:
        genotype: As given.
        out_channels: Channels of the output.
        auxiliary_channels: Channels of the second reduction cell's output, where an auxiliary head is fed.
    """

    def __init__(
        self, genotype: Genotype, in_channels: int = 3, init_channels: int = 36, layers: int = 20, dropout: float = 0.2
    ) -> None:
        super().__init__()
        self.genotype = genotype
        stem_channels = 3 * init_channels
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, stem_channels, 3, padding=1, bias=False), nn.BatchNorm2d(stem_channels)
        )
        self.cells = nn.ModuleList()
        self._last_reduction = 2 * layers // 3
        channels, widths, reduce_before = init_channels, (stem_channels, stem_channels), False
        for index in range(layers):
            reduce = index in (layers // 3, self._last_reduction)
            channels *= 2 if reduce else 1
            edges, concat = genotype[2:] if reduce else genotype[:2]
            cell = Cell(edges, concat, widths, channels, reduce=reduce, reduce_before=reduce_before, dropout=dropout)
            self.cells.append(cell)
            widths, reduce_before = (widths[1], cell.out_channels), reduce
            if index == self._last_reduction:
                self.auxiliary_channels = cell.out_channels
        self.out_channels = widths[1]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.forward_auxiliary(x)[0]

    def forward_auxiliary(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The features, and the output of the second reduction cell."""
        older = newer = tap = self.stem(x)
        for index, cell in enumerate(self.cells):
            older, newer = newer, cell(older, newer)
            if index == self._last_reduction:
                tap = newer
        return newer, tap


class AuxiliaryHead(nn.Sequential):
    """A second classifier on the second reduction cell's output, used in training only.

    Args:
        in_channels: Channels of that output, 8 to 10 pixels a side.
        num_classes: Number of logits.
    """

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.ReLU(),
            nn.AvgPool2d(5, stride=3, padding=0, count_include_pad=False),
            nn.Conv2d(in_channels, 128, 1, bias=False),
            nn.BatchNorm2d(128),
            nn.ReLU(),
            nn.Conv2d(128, 768, 2, bias=False),
            nn.BatchNorm2d(768),
            nn.ReLU(),
        )
        self.flatten = nn.Flatten()
        self.classifier = nn.Linear(768, num_classes)
