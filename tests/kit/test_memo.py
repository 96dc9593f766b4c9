from __future__ import annotations

from fhir_server.kit.memo import Memo


def test_a_result_is_found_by_the_same_objects_and_an_equal_word():
    memo: Memo[str] = Memo(10)
    one, other = [1], [1]
    assert memo.put((one,), "found", also=("r", 2)) == "found"
    assert memo.get((one,), also=("r", 2)) == "found"
    assert memo.get((other,), also=("r", 2)) is None
    assert memo.get((one,), also=("r", 3)) is None


def test_an_object_that_is_gone_never_lends_its_identity():
    memo: Memo[int] = Memo(10_000)
    for number in range(1000):  # each list could take the place of the one before it
        made_of = [number]
        assert memo.get((made_of,)) is None
        memo.put((made_of,), number)


def test_the_oldest_is_forgotten():
    memo: Memo[int] = Memo(2)
    kept = [[n] for n in range(3)]
    for number, made_of in enumerate(kept):
        memo.put((made_of,), number)
    assert [memo.get((made_of,)) for made_of in kept] == [None, 1, 2]
