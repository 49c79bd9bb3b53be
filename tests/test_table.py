"""Measuring functions become tables: how they are cut, checked, addressed and joined."""

from collections.abc import Iterator, Sequence

import pandas as pd
import pytest

from sanitygap import fingerprint, table
from sanitygap.errors import UsageError
from sanitygap.models import load_model
from sanitygap.table import TABLES, Batch, Context, Piece
from tests.cases import cases
from tests.models.tiny import TINY
from tests.tables import tiny_context


@pytest.fixture(autouse=True)
def apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is forgotten."""
    monkeypatch.setitem(TABLES, "measured", None)  # type: ignore[arg-type]
    known = dict(table.data_dictionary()) | {"measured": COLUMNS}
    monkeypatch.setattr(table, "data_dictionary", lambda: known)


@pytest.fixture
def context(folder) -> Context:
    return tiny_context(folder, 5, 3)


def images_and_items(
    batch: Batch,
    methods: Sequence[str] = ("gradient", "gradient-x-input", "noise"),
    sizes: Sequence[int] = (1, 2),
    seeds: Sequence[int] | None = None,
    copies: int = 4,
) -> Iterator[pd.DataFrame]:
    """One row an image, method, size and seed."""
    for seed in seeds or ():
        for method in methods:
            for size in sizes:
                yield batch.rows({}, method=method, size=size, seed=seed, copies=copies)


COLUMNS = dict.fromkeys(("image", "method", "size", "seed", "copies"), "what it is")


def whole(parts) -> pd.DataFrame:
    return pd.concat([part.compute() for part in parts], ignore_index=True)


def test_parts_are_one_item_of_each_parameter_and_a_batch(context, monkeypatch):
    monkeypatch.setattr(table, "BATCH", 2)
    made = table.table("measured", by=["seeds", "methods", "sizes"])
    made(images_and_items)
    parts = TABLES["measured"].parts(context, seeds=[5, 7])
    # two seeds; gradient and gradient x input share a pass; two sizes; batches of 2, 2 and 1
    assert len(parts) == 2 * 2 * 2 * 3
    assert len({part.id for part in parts}) == len(parts)
    assert [len(part.images) for part in parts[:3]] == [2, 2, 1]
    rows = whole(parts)
    assert list(rows) == list(COLUMNS)
    assert len(rows) == 5 * 3 * 2 * 2
    assert set(rows["seed"]) == {5, 7}
    monkeypatch.setattr(table, "BATCH", 10)
    table.table("measured")(images_and_items)
    [part] = TABLES["measured"].parts(context, seeds=[5, 7])
    keys = list(COLUMNS)
    again = part.compute().sort_values(keys, ignore_index=True)
    pd.testing.assert_frame_equal(again, rows.sort_values(keys, ignore_index=True))


def test_parameters_are_given_or_the_profiles_or_the_defaults(context):
    table.table("measured", quick={"copies": 2, "max_images": 1})(images_and_items)
    entry = TABLES["measured"]
    assert entry.arguments("quick", {"sizes": (3,), "copies": None}) == {
        "methods": ("gradient", "gradient-x-input", "noise"), "sizes": (3,), "seeds": None,
        "copies": 2, "max_images": 1,
    }  # fmt: skip
    assert entry.arguments("full", {})["copies"] == 4


@pytest.mark.parametrize(("given", "words"), cases("parameters of tables"))
def test_parameters_that_cannot_be_are_refused(context, given, words):
    table.table("measured")(images_and_items)
    with pytest.raises(UsageError, match=words):
        TABLES["measured"].parts(context, **given)


def test_the_address_holds_code_versions_arguments_model_images_and_seed(
    context, folder, monkeypatch
):
    table.table("measured")(images_and_items)

    def address(of: Context = context, **given) -> str:
        return TABLES["measured"].parts(of, **given)[0].id

    images = context.images
    others = [
        address(copies=5),
        address(seeds=[1]),
        address(max_images=4),
        address(Context(lambda: load_model(TINY), lambda: images, 4)),
        address(Context(lambda: load_model(TINY, seed=9), lambda: images, 3)),
    ]
    here = address()
    for name, value in (("versions", {"torch": "0.1"}), ("of_function", "other code")):
        with monkeypatch.context() as patch:
            patch.setattr(fingerprint, name, lambda *_, value=value: value)
            others.append(address())
    assert len({here, *others}) == 1 + len(others)


def test_a_table_may_look_at_all_images(context, folder):
    def of(n: int, everything: bool) -> str:
        table.table("measured", everything=everything)(images_and_items)
        return TABLES["measured"].parts(tiny_context(folder, n, 3), max_images=2)[0].id

    assert of(4, False) == of(5, False)
    assert of(4, True) != of(5, True)


def test_without_model_and_images_nothing_is_loaded():
    def refuse():
        raise AssertionError("nothing should be loaded")

    table.data_dictionary()["measured"] = {}  # type: ignore[index]

    def squares(n: int = 3, seed: int = 0) -> Iterator[dict[str, int]]:
        """Squares."""
        for number in range(n):
            yield {"number": number, "square": number**2 + seed}

    table.table("measured")(squares)
    [part] = TABLES["measured"].parts(Context(refuse, refuse, 10), n=2)
    assert len(part.id) == 32
    assert part.compute().to_dict("list") == {"number": [0, 1], "square": [10, 11]}


def test_a_table_may_be_cut_in_its_own_way(context):
    def cut(context, arguments):
        yield Piece({"word": "first"}, (4,), also="a file")
        yield Piece({"word": "second"}, (0,))

    table.data_dictionary()["measured"] = {}  # type: ignore[index]

    def words(batch: Batch, word: str = "") -> pd.DataFrame:
        """Words."""
        return batch.rows({}, word=word)

    table.table("measured", cut=cut)(words)
    parts = TABLES["measured"].parts(context)
    assert whole(parts)["word"].tolist() == ["first", "second"]
    assert whole(parts)["position"].tolist() == [4, 0]


def test_every_table_is_in_the_data_dictionary_and_nothing_else_is():
    from sanitygap import tables

    assert set(table.data_dictionary()) - {"measured"} == set(tables.TABLES) - {"measured"}
    for name, columns in table.data_dictionary().items():
        assert all(str(meaning).strip() for meaning in columns.values()), name
