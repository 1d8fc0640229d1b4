"""A curve as text."""

from limbeck.loss_chart import curve_lines

POINTS = [(float(x), 4.0 - x) for x in range(5)]


def test_a_falling_line_goes_from_the_upper_left_to_the_lower_right() -> None:
    assert curve_lines(POINTS, width=16, height=5, ascii_only=True) == [
        "        4 |**",
        "          | **",
        "          |  **",
        "          |   **",
        "        0 |    *",
    ]
    lines = curve_lines(POINTS, width=16, height=3)
    assert [line[:11] for line in lines] == ["        4 │", "          │", "        0 │"]
    dots = [[at for at, character in enumerate(line[11:]) if character != "\u2800"] for line in lines]
    assert dots[0][0] == 0
    assert dots[-1][-1] == 4
    assert all(max(left) <= min(right) + 1 for left, right in zip(dots, dots[1:], strict=False))


def test_many_points_are_averaged_and_gaps_are_joined() -> None:
    noisy = [(float(step), 5.0 + (1.0 if step % 2 else -1.0)) for step in range(10_000)]
    flat = curve_lines(noisy, width=31, height=3)
    low, high = float(flat[-1][:9]), float(flat[0][:9])
    assert 4.9 < low <= high < 5.1
    gap = curve_lines([(0.0, 0.0), (100.0, 1.0)], width=16, height=5, ascii_only=True)
    assert all("*" in line for line in gap)


def test_a_constant_is_a_line_and_one_point_is_no_curve() -> None:
    assert curve_lines([(0.0, 2.0), (1.0, 2.0)], width=16, height=2, ascii_only=True) == [
        "        2 |*****",
        "        2 |",
    ]
    assert curve_lines([(0.0, 2.0)], width=16, height=2) == []
