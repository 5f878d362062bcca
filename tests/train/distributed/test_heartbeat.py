"""Lost processes are noticed by their missing signs of life, and rounds in which all take part."""

import threading

import pytest
import torch.distributed as dist

from cn.train.distributed.exchange import Exchange
from cn.train.distributed.heartbeat import PATIENCE, LostProcessError, Watch, leave


def watches(count: int) -> list[Watch]:
    store = dist.HashStore()
    return [Watch(store, rank, count) for rank in range(count)]


def test_a_process_without_signs_of_life_is_lost():
    first, second, third = watches(3)
    for now in range(0, 100, 2):
        second.beat()
        if now < 50:
            third.beat()
        lost = first.look(float(now))
        if lost is not None:
            break
    assert 50 + PATIENCE - 2 <= now <= 50 + PATIENCE + 4
    assert lost.rank == 2
    assert "rank 2 has given no sign of life for 20 seconds" in str(lost)
    third.beat()
    assert first.look(1000.0) is lost, "there is no way back"


def test_a_process_that_waits_from_now_on_is_patient():
    """Nobody looks while there is nothing to wait for, however long that takes."""
    first, second = watches(2)
    second.beat()
    assert first.look(0.0) is None
    second.beat()
    assert first.look(1000.0) is None
    assert first.look(1000.0 + PATIENCE) is None
    assert first.look(1001.0 + PATIENCE).rank == 1


def test_the_first_one_that_was_lost_is_named():
    first, second, _ = watches(3)
    leave(first.store, 1, LostProcessError(2, "was killed by SIGKILL"))
    assert str(first.look(0.0)) == "rank 2 was killed by SIGKILL"
    leave(second.store, 2, LostProcessError(2, "was killed by SIGKILL"))
    assert str(second.look(0.0)) == "rank 2 was killed by SIGKILL"


def test_a_store_that_is_gone_is_a_loss():
    class Gone:
        def check(self, keys: list[str]) -> bool:
            raise dist.DistNetworkError("Connection reset by peer")

    lost = Watch(Gone(), 1, 2).look(0.0)
    assert lost is not None
    assert lost.rank == 0


def test_exchanges_give_everything_to_everyone_and_leave_nothing_behind():
    store, count = dist.HashStore(), 3
    said: dict[int, list[object]] = {}

    def take_part(rank: int) -> None:
        exchange = Exchange(store, rank, count, lambda: None)
        said[rank] = [exchange(value) for value in (None, {"rank": rank}, "last" if rank == 2 else None, None)]

    threads = [threading.Thread(target=take_part, args=(rank,)) for rank in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = [[None] * 3, [{"rank": rank} for rank in range(3)], [None, None, "last"], [None] * 3]
    assert said == dict.fromkeys(range(count), expected)
    assert store.num_keys() <= 2


def test_an_exchange_ends_where_a_process_is_lost():
    def lost() -> None:
        raise LostProcessError(1, "was killed")

    with pytest.raises(LostProcessError):
        Exchange(dist.HashStore(), 0, 2, lost)()
