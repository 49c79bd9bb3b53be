"""The randomisation test under several draws of the weights."""

import numpy as np
import pandas as pd
import pytest

from sanitygap.chapters.randomization.show import seed_numbers


def rows(seed: int, values: dict[str, list[float]], stages: tuple[str, ...]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"image": f"{image}.png", "method": method, "seed": seed, "stage": stage,
             "order": "top-down", "sign": "signed", "ssim": value + 0.1 * place}
            for method, of_images in values.items()
            for image, value in enumerate(of_images)
            for place, stage in enumerate(stages)
        ]
    )  # fmt: skip


def test_draws_are_compared_on_common_images_steps_and_methods() -> None:
    own = rows(0, {"gradient": [0.1, 0.3, 0.9], "smoothgrad": [0.5, 0.5, 0.5]}, ("fc", "conv", "x"))
    others = rows(1, {"gradient": [0.2, 0.6]}, ("fc", "conv"))
    numbers = seed_numbers(own, others)
    assert list(numbers["method"]) == ["gradient", "gradient"]
    # images 0 and 1, steps fc (+0) and conv (+0.1)
    assert numbers.set_index("seed")["ssim"].to_dict() == pytest.approx({0: 0.25, 1: 0.45})
    assert numbers["mean"].to_list() == pytest.approx([0.35, 0.35])
    assert set(numbers["n"]) == {2}


def test_image_with_an_empty_map_is_left_out_in_every_draw() -> None:
    own = rows(0, {"gradient": [0.1, np.nan, 0.3]}, ("fc",))
    others = rows(1, {"gradient": [0.2, 0.9, 0.4]}, ("fc",))
    numbers = seed_numbers(own, others).set_index("seed")
    assert numbers["ssim"].to_dict() == pytest.approx({0: 0.2, 1: 0.3})
    assert set(numbers["n"]) == {2}
