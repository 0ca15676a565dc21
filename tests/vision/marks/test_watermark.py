"""Triggers: what lies where, what shows through, and what cannot be."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from autovul.base.errors import UserError
from autovul.base.options import OptionError
from autovul.vision import marks
from autovul.vision.marks import Trigger, Watermark

RED, GREEN, BLACK, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 0), (255, 255, 255)


@pytest.fixture
def images():
    return torch.rand(5, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def picture(tmp_path):
    def save(rows, mode="RGB"):
        image = Image.new(mode, (len(rows[0]), len(rows)))
        image.putdata([pixel for row in rows for pixel in row])
        path = tmp_path / "mark.png"
        image.save(path)
        return str(path)

    return save


def slow_apply(images, mark, mask, alpha, top, left):
    """x + mask · (1 − alpha) · (mark − x), number by number."""
    result = images.clone()
    for index in range(len(images)):
        for channel in range(images.shape[1]):
            for row in range(mask.shape[0]):
                for column in range(mask.shape[1]):
                    x = images[index, channel, top + row, left + column].item()
                    weight = mask[row, column].item() * (1 - alpha)
                    changed = x + weight * (mark[channel, row, column].item() - x)
                    result[index, channel, top + row, left + column] = changed
    return result


@pytest.mark.parametrize("name", ["square_white", "star", "checkerboard", "ring"])
@pytest.mark.parametrize("alpha", [0.0, 0.7, 1.0])
def test_the_formula(images, name, alpha):
    mark = Watermark(mark_path=name, mark_height=5, mark_width=4, mark_alpha=alpha, height_offset=2, width_offset=7)
    trigger = mark.trigger()
    expected = slow_apply(images, trigger.mark, trigger.mask, alpha, 2, 7)
    torch.testing.assert_close(mark.apply(images), expected)


def test_the_default_is_a_white_square_of_nine_pixels_at_the_top_left(images):
    before = images.clone()
    marked = Watermark().apply(images)
    assert torch.equal(marked[:, :, :3, :3], torch.ones(5, 3, 3, 3))
    assert torch.equal(marked[:, :, 3:], images[:, :, 3:])
    assert torch.equal(marked[:, :, :, 3:], images[:, :, :, 3:])
    assert torch.equal(images, before)


def test_an_opaque_mark_is_exact_and_an_invisible_one_changes_nothing(images, picture):
    path = picture([[(10, 20, 30), (40, 50, 60)], [(70, 80, 90), (1, 2, 3)]])
    shape = {"mark_height": 2, "mark_width": 2, "edge_color": None}
    expected = torch.tensor([[10, 40, 70, 1], [20, 50, 80, 2], [30, 60, 90, 3]]).view(3, 2, 2) / 255
    assert torch.equal(Watermark(mark_path=path, **shape).apply(images)[0, :, :2, :2], expected)
    assert torch.equal(Watermark(mark_path=path, mark_alpha=1.0, **shape).apply(images), images)


@pytest.mark.parametrize(
    "edge_color, hidden",
    [
        ("auto", {(0, 0), (0, 1), (0, 2), (1, 0), (2, 0)}),  # five of the eight edge pixels are green
        ("black", {(1, 1)}),
        ("white", {(2, 2)}),
        ((1.0, 0.0, 0.0), {(1, 2), (2, 1)}),
        ((0.0,), {(1, 1)}),
        (None, set()),
    ],
)
def test_edge_colour(picture, edge_color, hidden):
    path = picture([[GREEN, GREEN, GREEN], [GREEN, BLACK, RED], [GREEN, RED, WHITE]])
    mask = Watermark(mark_path=path, edge_color=edge_color).trigger().mask
    assert {(int(row), int(column)) for row, column in (mask == 0).nonzero()} == hidden
    assert int(mask.sum()) == 9 - len(hidden)


def test_a_mark_of_one_colour_hides_nothing(picture):
    assert bool((Watermark(mark_path=picture([[RED] * 4] * 4)).trigger().mask == 1).all())


def test_a_picture_with_transparency_of_its_own_says_what_is_see_through(images, picture):
    path = picture([[(*RED, 255), (*RED, 0)], [(*RED, 128), (*RED, 255)]], "RGBA")
    marked = Watermark(mark_path=path, mark_height=2, mark_width=2).apply(images)
    assert torch.equal(marked[:, :, 0, 1], images[:, :, 0, 1])
    assert torch.equal(marked[:, 0, 0, 0], torch.ones(5))
    torch.testing.assert_close(marked[:, 1, 1, 0], images[:, 1, 1, 0] * (1 - 128 / 255))


def test_scattered_pixels_lie_at_distinct_places_that_never_change(images):
    mark = Watermark(mark_distributed=True, mark_height=4, mark_width=4)
    black = mark.apply(torch.zeros(3, 3, 32, 32))
    assert int(black[0, 0].sum()) == 16
    assert torch.equal(black[0], black[2])
    assert torch.equal(
        black, Watermark(mark_distributed=True, mark_height=4, mark_width=4).apply(torch.zeros(3, 3, 32, 32))
    )
    assert not torch.equal(mark.trigger(1).places, mark.trigger(2).places)
    assert int(black[0, 0, :8, :8].sum()) < 16


def test_random_positions_are_uniform_over_all_places_that_fit():
    mark = Watermark(random_pos=True, data_shape=(3, 5, 4), mark_height=3, mark_width=2)
    marked = mark.apply(torch.zeros(9000, 3, 5, 4), generator=torch.Generator().manual_seed(0))
    assert torch.equal(marked.sum((1, 2, 3)), torch.full((9000,), 18.0))
    corners = marked[:, 0].flatten(1).argmax(1)  # the first marked pixel
    counts = torch.bincount(corners, minlength=20)
    allowed = [4 * row + column for row in range(3) for column in range(3)]
    assert int(counts[allowed].sum()) == 9000
    assert counts[allowed].float().sub(1000).abs().max() < 5 * 1000**0.5
    first, again = (mark.apply(torch.zeros(9, 3, 5, 4), generator=torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, again)


def test_random_colours_are_seeded():
    mark = Watermark(random_init=True)
    assert torch.equal(mark.trigger().mark, Watermark(random_init=True).trigger().mark)
    assert not torch.equal(mark.trigger(1).mark, mark.trigger(2).mark)
    assert mark.trigger().mark.unique().numel() == 27


def test_gradients_reach_the_mark_where_it_shows(images):
    trigger = Watermark(mark_path="ring", mark_height=9, mark_width=9).trigger()
    colours = trigger.mark.clone().requires_grad_()
    trigger.with_mark(colours).apply(images).sum().backward()
    torch.testing.assert_close(colours.grad, len(images) * trigger.mask.expand(3, -1, -1))


def test_every_built_in_mark_shows_something_at_any_size_and_in_grey():
    assert "square_white" in marks.list()
    for name in marks.list():
        for size in (1, 3, 32):
            for channels in (1, 3):
                trigger = Watermark(
                    mark_path=name, mark_height=size, mark_width=size, data_shape=(channels, 32, 32)
                ).trigger()
                assert trigger.mark.shape == (channels, size, size)
                assert 0 < trigger.mask.max() <= 1
    assert Watermark(mark_path="star.png").trigger().mark.equal(Watermark(mark_path="star").trigger().mark)


def test_the_pixels_survive_being_stored():
    trigger = Watermark(mark_path="star", mark_distributed=True, mark_alpha=0.25).trigger()
    again = Trigger.from_arrays(trigger.to_arrays())
    for name in ("mark", "mask", "places"):
        assert torch.equal(getattr(trigger, name), getattr(again, name))
    assert (trigger.alpha, trigger.size, trigger.random_pos) == (again.alpha, again.size, again.random_pos)
    with pytest.raises(ValueError, match="outside"):
        Trigger.from_arrays({**trigger.to_arrays(), "size": [2, 2]})


@pytest.mark.parametrize(
    "options, message",
    [
        ({"mark_height": 33}, "mark_height: a mark of 33 pixels does not fit onto an image of 32"),
        ({"width_offset": 30}, "mark_width: a mark of 3 pixels at width_offset 30 does not fit"),
        ({"mark_alpha": 1.5}, "mark_alpha must be less than or equal to 1, got 1.5"),
        ({"mark_alpha": -0.1}, "mark_alpha must be greater than or equal to 0"),
        ({"mark_width": 0}, "mark_width must be"),
        ({"edge_color": (0.1, 2.0, 0.0)}, "edge_color: must be values from 0"),
        ({"edge_color": (0.1, 0.2)}, "edge_color must be one value or 3"),
        ({"edge_color": "white"}, "every pixel of square_white is see-through"),
        ({"random_pos": True, "mark_distributed": True}, "give one of the two"),
        ({"random_pos": True, "height_offset": 2}, "height_offset has no meaning with random_pos"),
    ],
)
def test_what_cannot_be_meant(options, message):
    with pytest.raises(OptionError, match=message):
        Watermark(**options)


def test_marks_that_cannot_be_read(tmp_path):
    with pytest.raises(UserError, match="no built-in mark of this name .nearest: square_white"):
        Watermark(mark_path="sqare_white")
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n but no more")
    with pytest.raises(UserError, match="is no image that can be read"):
        Watermark(mark_path=str(broken))
    with pytest.raises(UserError, match="1 or 3 channels"):
        Watermark(data_shape=(4, 32, 32))


def test_images_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"shape \(N, 3, 32, 32\), got torch.float32 of shape \(1, 3, 16, 16\)"):
        Watermark().apply(torch.zeros(1, 3, 16, 16))


def test_a_mark_of_16_bits_is_scaled_and_one_of_32_refused(tmp_path):
    grey = np.full((4, 4), 20000, np.uint16)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    Image.fromarray(grey.astype(np.float32)).save(tmp_path / "float.tiff")
    options = {"mark_height": 4, "mark_width": 4, "data_shape": (3, 8, 8)}
    mark = Watermark(mark_path=str(tmp_path / "grey.png"), **options).trigger().mark
    assert mark.max() == pytest.approx(20000 / 65535, abs=0.003)
    with pytest.raises(UserError, match="float.tiff is no image that can be read .pixels are 32-bit numbers"):
        Watermark(mark_path=str(tmp_path / "float.tiff"), **options).trigger()
