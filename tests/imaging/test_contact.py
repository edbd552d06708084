"""Sheets and maps: nothing on top of a number, nothing wider than its cell."""

import random

from PIL import Image

from ledgerkit.imaging import contact


def test_no_two_numbers_overlap_even_when_all_clusters_lie_on_one_spot() -> None:
    taken: list[contact.Box] = []
    for _ in range(30):
        taken.append(contact._free((300, 300, 330, 322), taken, 700))
    pairs = [(a, b) for place, a in enumerate(taken) for b in taken[:place]]
    assert not any(contact._overlap(a, b) for a, b in pairs)
    assert all(min(box) >= 0 and max(box) <= 700 for box in taken)


def test_a_caption_is_cut_in_the_middle_to_fit_its_cell() -> None:
    text = "plate-001-" + "very-" * 20 + "end"
    fitted = contact._fitted(text, 120)
    assert contact._font().getlength(fitted) <= 120
    assert fitted.startswith("plate")
    assert fitted.endswith("end")
    assert contact._fitted("plate-001", 120) == "plate-001"


def test_a_map_with_hundreds_of_clusters_lists_thirty_and_counts_the_rest() -> None:
    generator = random.Random(1)
    points = [contact.Point(generator.random(), generator.random(), n, None) for n in range(300)]
    image = contact.draw_map("300 plates", points, [1] * 300, side=700)
    assert image.size == (890, 700)


def test_a_map_of_one_point_and_a_sheet_of_none_are_drawn() -> None:
    assert contact.draw_map("1 plate", [contact.Point(0, 0, -1, None)], [], side=300).width == 490
    sheet = contact.draw_sheet("Cluster 0", [], 0, cell=100, columns=6)
    assert sheet.height == 40


def test_noise_is_grey_and_clusters_are_not() -> None:
    assert contact.colour_of(-1) == contact.GREY
    assert contact.GREY not in [contact.colour_of(label) for label in range(30)]


def test_png_bytes_repeat_and_hold_the_picture() -> None:
    image = Image.new("RGB", (20, 10), (1, 2, 3))
    assert contact.to_png(image) == contact.to_png(image.copy())
